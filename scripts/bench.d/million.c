// Holds N blocks of 16 to 1,000 bytes from 64 call paths until its standard input ends; writes a line when they are there.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define LEVEL __attribute__((noinline))
LEVEL static void *leaf_a(size_t size) { return malloc(size); }
LEVEL static void *leaf_b(size_t size) { return calloc(1, size); }

LEVEL static void *level(unsigned path, int depth, size_t size) {
    void *block;
    if (depth == 0)
        block = path & 1 ? leaf_a(size) : leaf_b(size);
    else if (path & 1)
        block = level(path >> 1, depth - 1, size);
    else
        block = level(path >> 1 | 32, depth - 1, size);
    __asm__ volatile("" : : "r"(block) : "memory");
    return block;
}

int main(int argc, char **argv) {
    long count = argc > 1 ? atol(argv[1]) : 1000000;
    void **blocks = calloc(count, sizeof *blocks);
    uint64_t random = 88172645463325252ull;
    for (long i = 0; i < count; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        blocks[i] = level(random >> 20 & 31, 5, 16 + random % 985);
        *(char *)blocks[i] = 1;
    }
    printf("%ld blocks\n", count);
    fflush(stdout);
    while (getchar() != EOF) {
    }
    return blocks[count / 2] == NULL;
}
