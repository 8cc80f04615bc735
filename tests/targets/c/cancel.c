// Threads that are cancelled between their allocations, wherever a function is that a thread can be cancelled in.
#include "target.h"
LEAKER(leak_cancel)

static int cleaned;
static void clean(void *block) {
    free(block);
    __sync_fetch_and_add(&cleaned, 1);
}

static void *thread(void *started) {
    pthread_cleanup_push(clean, leak_cancel(50));
    pthread_barrier_wait(started);
    for (;;) {
        CHURN(100);
        pthread_testcancel();
    }
    pthread_cleanup_pop(1);
    return NULL;
}

int main(void) {
    int cancelled = 0;
    for (int i = 0; i < 50; i++) {
        pthread_t id;
        void *result = NULL;
        pthread_barrier_t started;
        pthread_barrier_init(&started, NULL, 2);
        pthread_create(&id, NULL, thread, &started);
        pthread_barrier_wait(&started);
        pthread_cancel(id);
        pthread_join(id, &result);
        cancelled += result == PTHREAD_CANCELED;
    }
    for (int i = 0; i < 3; i++)
        leak_cancel(10001);
    printf("%d cancelled, %d cleaned\n", cancelled, cleaned);
    return 0;
}
