// One thread: N times a block of one of 16 sizes from one of two call sites, 10,000 alive at a time.
// At the end leak_one has leaked 1,000 blocks of 777 bytes.
#include <stdint.h>
#include <stdlib.h>

enum { ALIVE = 10000 };
static char *alive[ALIVE];
static const uint16_t sizes[16] = {16, 24, 32, 48, 64, 40, 96, 128, 16, 200, 256, 32, 512, 64, 1024, 80};

__attribute__((noinline)) static char *one(size_t size) { return malloc(size); }
__attribute__((noinline)) static char *other(size_t size) { return malloc(size); }
__attribute__((noinline)) static char *leak_one(size_t size) { return malloc(size); }

int main(int argc, char **argv) {
    uint64_t random = 88172645463325252ull;
    for (long left = argc > 1 ? atol(argv[1]) : 1000000; left > 0; left--) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        char **place = &alive[random % ALIVE];
        free(*place);
        size_t size = sizes[random >> 20 & 15];
        *place = random >> 40 & 1 ? one(size) : other(size);
        **place = 1;
    }
    for (int i = 0; i < ALIVE; i++) free(alive[i]);
    for (int i = 0; i < 1000; i++) *(char *volatile *)&alive[0] = leak_one(777);
    return 0;
}
