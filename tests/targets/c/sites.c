// One thread, a dozen allocation sites on branching stacks, some of what they allocate is freed: for the comparison with
// another tool, so without anything that the two count differently (no realloc, no output, no library function).
#include "target.h"
LEAKER(site_a)
LEAKER(site_b)
LEAKER(site_c)

NOINLINE void inner(int i) {
    free(site_a(100 + i));
    site_a(1000 + i);
    if (i % 3 == 0)
        site_b(3000);
    __asm__ volatile("");
}

NOINLINE void left(int i) {
    inner(i);
    site_c(500);
    __asm__ volatile("");
}

NOINLINE void right(int i) {
    if (i % 2)
        inner(i);
    else
        free(site_c(40));
    kept = calloc(7, 11 + i);
    __asm__ volatile("");
}

NOINLINE void recursive(int depth) {
    site_b(64);
    if (depth)
        recursive(depth - 1);
    __asm__ volatile("");
}

int main(void) {
    for (int i = 0; i < 50; i++) {
        left(i);
        right(i);
    }
    for (int i = 0; i < 5; i++)
        recursive(i);
    return 0;
}
