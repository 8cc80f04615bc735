// 2,000 threads, twenty at a time: what a recorder keeps for a thread must be used again.
#include "target.h"
LEAKER(leak_in_thread)

static void *thread(void *number) {
    CHURN(50);
    if ((long)number % 10 == 0)
        leak_in_thread(10001);
    return NULL;
}

int main(void) {
    for (long first = 0; first < 2000; first += 20) {
        pthread_t ids[20];
        for (int i = 0; i < 20; i++)
            if (pthread_create(&ids[i], NULL, thread, (void *)(first + i)))
                return 1;
        for (int i = 0; i < 20; i++)
            pthread_join(ids[i], NULL);
    }
    puts("ok");
    return 0;
}
