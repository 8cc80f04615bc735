// A thread for which no memory can be mapped, neither by the program nor by its recorder: what there is on the heap
// already is enough for the program.
#include "target.h"
#include <sys/resource.h>

LEAKER(leak_before)
LEAKER(leak_in_thread)

static char stack[256 << 10] __attribute__((aligned(4096)));

static void *work(void *unused) {
    for (int i = 0; i < 5; i++)
        leak_in_thread(103);
    return unused;
}

int main(void) {
    mallopt(M_ARENA_MAX, 1);
    // Of this size the C library keeps no cache: the thread finds it on the heap.
    free(leak_before(60000));
    for (int i = 0; i < 3; i++)
        leak_before(101);
    struct rlimit limit;
    getrlimit(RLIMIT_DATA, &limit);
    limit.rlim_cur = 4096;
    pthread_attr_t attributes;
    pthread_t thread;
    if (setrlimit(RLIMIT_DATA, &limit) || pthread_attr_init(&attributes) ||
        pthread_attr_setstack(&attributes, stack, sizeof stack))
        return 1;
    if (pthread_create(&thread, &attributes, work, NULL) || pthread_join(thread, NULL))
        return 1;
    leak_before(102);
    puts("done");
    return 0;
}
