// Loaded into Python: signals at any instant of the interpreter, whose handlers allocate, free and leak. Its allocator
// must be one that allows it (reentrant_allocator.c).
#include "target.h"
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif
LEAKER(leak_in_handler)

atomic_long runs, leaked;
static timer_t timer;

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

// The signals come to the calling thread.
int begin_storm(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    event.sigev_notify_thread_id = gettid();
    struct itimerspec every = {{0, 100000}, {0, 100000}};
    return timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &every, NULL);
}

void end_storm(void) { timer_delete(timer); }

// For one signal at a known place.
void handle(void) {
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGUSR1, &action, NULL);
}
