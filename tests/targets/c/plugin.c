// A library that leaks from a function called PLUGIN; compiled twice under two names.
#include "target.h"

NOINLINE void *PLUGIN(size_t n) {
    void *block = malloc(n);
    kept = block;
    __asm__ volatile("" ::: "memory");
    return block;
}

void *plugin_run(size_t n) {
    void *block = PLUGIN(n);
    __asm__ volatile("" ::: "memory");
    return block;
}
