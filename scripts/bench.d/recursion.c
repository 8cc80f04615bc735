// N blocks of 8 sizes, each allocated below 10 to 60 recursive calls over a few paths, 4,096 alive.
// At the end leak_deep has leaked 1,000 blocks of 777 bytes below 30 calls. (Few sizes: heaptrack 1.4 takes 19 GB for many of them.)
#include <stdint.h>
#include <stdlib.h>

enum { ALIVE = 4096 };
static char *alive[ALIVE];
static uint64_t state = 88172645463325252ull;

static uint64_t next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

__attribute__((noinline)) static int leaf(void) {
    uint64_t random = next();
    char **place = &alive[random % ALIVE];
    free(*place);
    *place = malloc(32 * (1 + (random >> 20 & 7)));
    **place = 1;
    return 1;
}

static int left_hand(int depth, unsigned path), right_hand(int depth, unsigned path);
static int (*const ways[2])(int, unsigned) = {left_hand, right_hand};

// What is done with the result keeps each call a frame of its own.
__attribute__((noinline)) static int left_hand(int depth, unsigned path) {
    return depth == 0 ? leaf() : ways[path & 1](depth - 1, path >> 1) + 1;
}
__attribute__((noinline)) static int right_hand(int depth, unsigned path) {
    return depth == 0 ? leaf() : ways[path & 1](depth - 1, path >> 1) * 3;
}

__attribute__((noinline)) static char *leak_deep(int depth) {
    char *volatile block = depth == 0 ? malloc(777) : leak_deep(depth - 1);
    return block;
}

int main(int argc, char **argv) {
    int sum = 0;
    for (long left = argc > 1 ? atol(argv[1]) : 1000000; left > 0; left--) {
        uint64_t random = next();
        sum += ways[random & 1](10 + random % 51, random >> 40 & 3);
    }
    for (int i = 0; i < ALIVE; i++) free(alive[i]);
    for (int i = 0; i < 1000; i++) *leak_deep(30) = 1;
    return sum == 42;
}
