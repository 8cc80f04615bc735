// A library for unwind_reload.cpp; FRAME is the size of its frames.
#include <cstdlib>

static void *volatile sink;

__attribute__((noinline, noclone)) static void allocate(int i) {
    volatile char frame[FRAME];
    frame[i] = 1;
    void *block = malloc(40 + i);
    sink = block;
    free(block);
    frame[i] = 2;
}

extern "C" __attribute__((noinline)) void enter(int i) {
    volatile char frame[FRAME / 2];
    frame[i] = 1;
    allocate(i);
    frame[i] = 2;
}
