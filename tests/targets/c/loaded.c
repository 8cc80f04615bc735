// A library to be loaded: large thread-local storage, a function that the program has too, and blocks that go to and fro.
#include <stdlib.h>

static __thread char storage[70000];
static void *volatile kept;

int touch(int i) {
    storage[i % (int)sizeof storage]++;
    return storage[(i + 1) % (int)sizeof storage];
}

int who(void) { return 2; }
int ask(void) { return who(); }

void *make(size_t n) {
    void *block = malloc(n);
    kept = block;
    __asm__ volatile("" ::: "memory");
    return block;
}

void drop(void *block) { free(block); }
