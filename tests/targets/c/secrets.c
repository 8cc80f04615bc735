// Fills memory with a secret that it reads from its input and with one of its environment: blocks that are freed, kept and
// moved, stacks of its threads, names of variables. Then it exits, or is killed if its first argument says so.
#include "target.h"
#include <signal.h>

static char secret[64];

static NOINLINE void fill(char *block, size_t size) {
    for (size_t at = 0; at + 64 <= size; at += 64)
        memcpy(block + at, secret, 64);
}

static NOINLINE void deeper(int depth) {
    char on_stack[256];
    fill(on_stack, sizeof on_stack);
    char *block = malloc(256);
    fill(block, 256);
    if (depth)
        deeper(depth - 1);
    block = realloc(block, 1024);
    fill(block, 1024);
    if (depth % 2)
        free(block);
    kept = on_stack;
}

static void *thread(void *_) {
    for (int i = 0; i < 100; i++)
        deeper(20);
    return _;
}

int main(int argc, char **argv) {
    if (read(0, secret, sizeof secret) != sizeof secret)
        return 1;
    char *variable = strdup(getenv("SECRET"));
    setenv(variable, variable, 1);
    pthread_t other;
    pthread_create(&other, NULL, thread, NULL);
    thread(NULL);
    pthread_join(other, NULL);
    if (argc > 1 && !strcmp(argv[1], "kill"))
        kill(getpid(), SIGKILL);
    return 0;
}
