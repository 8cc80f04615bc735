/* Threads of which each holds so many blocks at any instant, and always others: one is allocated before an old one is
 * freed, or is moved by realloc. Says "ready" when all are there, and goes on for ever.
 *
 *     holds THREADS BLOCKS
 */
#include "target.h"

#include <pthread.h>
#include <sys/mman.h>

static long threads, blocks;
static pthread_barrier_t ready;

NOINLINE static void *hold(void *old, unsigned random) {
    size_t size = 100 + random % 3000;
    if (random >> 31) {
        return realloc(old, size);
    }
    void *new = malloc(size);
    free(old);
    return new;
}

static void *work(void *number) {
    /* Not of malloc: what is counted is what `hold` has. */
    void **held = mmap(NULL, blocks * sizeof *held, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned random = 1 + (unsigned)(long)number;
    for (long i = 0; i < blocks; i++) {
        held[i] = hold(NULL, 100);
    }
    pthread_barrier_wait(&ready);
    if (number == NULL) {
        puts("ready");
        fflush(stdout);
    }
    for (;;) {
        random = random * 1103515245 + 12345;
        long i = random / 256 % blocks;
        held[i] = hold(held[i], random);
    }
    return NULL;
}

int main(int argc, char **argv) {
    threads = argc > 1 ? atol(argv[1]) : 1;
    blocks = argc > 2 ? atol(argv[2]) : 1;
    pthread_barrier_init(&ready, NULL, threads);
    for (long i = 1; i < threads; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, work, (void *)i);
    }
    work(NULL);
}
