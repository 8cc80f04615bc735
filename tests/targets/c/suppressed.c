// Leaks of three functions, the last through another one, after as many of the first as its argument says: 10 if there is none.
// Nothing of it can be reached at the end, so that LeakSanitizer finds all of it too.
#include <stdlib.h>
#include <string.h>

#define NOINLINE __attribute__((noinline))

static char *volatile lost;

NOINLINE void session_open(int size) { lost = malloc(size); }

NOINLINE void cache_put(int size) { lost = malloc(size); }

NOINLINE void cache_get(int size) {
    cache_put(size);
    __asm__ volatile("");
}

int main(int count, char **arguments) {
    int sessions = count > 1 ? atoi(arguments[1]) : 10;
    for (int i = 0; i < sessions; i++)
        session_open(1000);
    for (int i = 0; i < 3; i++)
        cache_put(77);
    for (int i = 0; i < 4; i++)
        cache_get(501);
    lost = NULL;
    char volatile stack[8192];
    memset((char *)stack, 0, sizeof stack);
    return 0;
}
