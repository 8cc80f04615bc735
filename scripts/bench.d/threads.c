// Four threads that put blocks into shared places and free what another one had put there, N blocks in all.
// At the end each thread's leak_some has leaked 250 blocks of 777 bytes.
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

enum { PLACES = 8192, THREADS = 4 };
static _Atomic(char *) places[PLACES];
static long each;

__attribute__((noinline)) static char *some(size_t size) { return malloc(size); }
__attribute__((noinline)) static char *leak_some(size_t size) { return malloc(size); }

static void *work(void *number) {
    uint64_t random = 88172645463325252ull ^ ((uintptr_t)number * 0x9E3779B97F4A7C15ull);
    for (long left = each; left > 0; left--) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        char *block = some(16 + (random >> 20 & 511));
        *block = 1;
        free(atomic_exchange(&places[random % PLACES], block));
    }
    for (int i = 0; i < 250; i++) *leak_some(777) = 1;
    return 0;
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS];
    each = (argc > 1 ? atol(argv[1]) : 1000000) / THREADS;
    for (uintptr_t i = 0; i < THREADS; i++) pthread_create(&threads[i], 0, work, (void *)(i + 1));
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], 0);
    for (int i = 0; i < PLACES; i++) free(places[i]);
    return 0;
}
