// Threads that hand the same addresses to each other as fast as they can: one arena, so that a block given back by one
// is what the next gets. The argument says which way they give back.
#include "target.h"
LEAKER(leak_race)
LEAKER(passed_on)

static void *reallocate(void *unused) {
    for (int i = 0; i < 20000; i++) {
        void *block = passed_on(2000);
        block = realloc(block, 6000);
        free(block);
        if (i % 200 == 0)
            leak_race(2001);
    }
    return unused;
}

static void *volatile slots[64];
static volatile int done;

static void *produce(void *unused) {
    for (int i = 0; i < 60000; i++)
        free(__sync_lock_test_and_set(&slots[i % 64], passed_on(1500)));
    for (int i = 0; i < 50; i++)
        leak_race(2001);
    return unused;
}

static void *consume(void *unused) {
    while (!done)
        for (int i = 0; i < 64; i++)
            free(__sync_lock_test_and_set(&slots[i], NULL));
    return unused;
}

static void across_threads(void) {
    pthread_t producers[2], consumers[2];
    for (int i = 0; i < 2; i++) {
        pthread_create(&producers[i], NULL, produce, NULL);
        pthread_create(&consumers[i], NULL, consume, NULL);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(producers[i], NULL);
    done = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(consumers[i], NULL);
    for (int i = 0; i < 64; i++)
        free(slots[i]);
}

static void by_realloc(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, reallocate, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

int main(int argc, char **argv) {
    mallopt(M_ARENA_MAX, 1);
    if (argc > 1 && !strcmp(argv[1], "realloc"))
        by_realloc();
    else
        across_threads();
    puts("ok");
    return 0;
}
