// Signals at any instant, whose handlers allocate, free and leak: linked with reentrant_allocator.c, under which that is
// allowed. Prints how many blocks the handlers and the threads leaked.
#include "target.h"
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif
LEAKER(leak_in_handler)
LEAKER(leak_outside)

static atomic_long runs, leaked;

static void handler(int signal) {
    (void)signal;
    int saved = errno;
    void *first = malloc(33), *second = malloc(1000);
    free(first);
    second = realloc(second, 5000);
    if (atomic_fetch_add(&runs, 1) % 16 == 0) {
        leak_in_handler(10001);
        atomic_fetch_add(&leaked, 1);
    }
    free(second);
    errno = saved;
}

// A timer of this thread's own: its signals come at any instant, whatever other threads do.
static timer_t begin_storm(void) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    event.sigev_notify_thread_id = gettid();
    struct itimerspec every = {{0, 100000}, {0, 100000}};
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &every, NULL))
        abort();
    return timer;
}

static void *work(void *unused) {
    void *blocks[64] = {0};
    timer_t timer = begin_storm();
    for (int i = 0; atomic_load(&runs) < 2000; i++) {
        void **block = &blocks[i * 7 % 64];
        if (i % 5 == 0) {
            *block = realloc(*block, 16 + i % 3000);
        } else {
            free(*block);
            *block = malloc(16 + i % 300);
        }
    }
    timer_delete(timer);
    for (int i = 0; i < 64; i++)
        free(blocks[i]);
    for (int i = 0; i < 100; i++)
        leak_outside(10002);
    return unused;
}

int main(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, work, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    printf("%ld %ld\n", atomic_load(&runs), atomic_load(&leaked));
    return 0;
}
