/* A library: blocks for Python programs to hold, and a thread that frees without the interpreter's lock. */
#include <stdatomic.h>
#include <stdlib.h>

static atomic_long freed;
static atomic_int stopped;

void *take(size_t size) { return malloc(size); }

void give_back(void *block) { free(block); }

long count(void) { return freed; }

void stop(void) { stopped = 1; }

/* Until it is stopped. */
void churn(size_t size) {
    while (!stopped) {
        void *volatile block = malloc(size);
        free(block);
        freed++;
    }
}
