// Threads that allocate and free, mostly their own blocks, and leave some; in several processes, if asked for, of which all
// but the first are forked.
//
//   churn THREADS ROUNDS [PROCESSES]
#include "target.h"
#include <stdatomic.h>
#include <sys/wait.h>

enum { SLOTS = 64 };

static unsigned long rounds;
// Blocks that one thread leaves to another.
static _Atomic(void *) passed[16];

static NOINLINE void *step(unsigned long round) { return malloc(17 + round % 8 * 40); }

static void *work(void *number) {
    void *own[SLOTS] = {0};
    unsigned long thread = (unsigned long)number;
    for (unsigned long round = 0; round < rounds; round++) {
        void **slot = &own[(round * 7 + thread) % SLOTS];
        free(*slot);
        *slot = step(round);
        if (round % 16 == 0) {
            free(atomic_exchange(&passed[(round / 16 + thread) % 16], step(round)));
        }
    }
    for (int slot = 0; slot < SLOTS; slot++) {
        free(own[slot]);
    }
    return NULL;
}

int main(int argc, char **argv) {
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
    int processes = argc > 3 ? atoi(argv[3]) : 1;
    for (int process = 1; process < processes; process++) {
        if (fork() == 0) {
            processes = 1;
        }
    }
    pthread_t handles[64];
    for (long number = 0; number < threads; number++) {
        if (pthread_create(&handles[number], NULL, work, (void *)number)) {
            return 1;
        }
    }
    for (int number = 0; number < threads; number++) {
        pthread_join(handles[number], NULL);
    }
    while (processes > 1 && wait(NULL) > 0) {
    }
    return 0;
}
