// Allocations while a thread ends: destructors of pthread keys that allocate, free and set their value again for
// several rounds, after whatever a recorder kept for the thread may be gone.
#include "target.h"
LEAKER(leak_at_end)

static pthread_key_t keys[40];
static __thread int rounds;

static void again(void *value) {
    free(value);
    CHURN(20);
    leak_at_end(10001);
    if (++rounds < 3)
        pthread_setspecific(keys[0], malloc(30));
}

static void once(void *value) {
    free(value);
    CHURN(10);
    leak_at_end(10002);
}

static void *thread(void *unused) {
    pthread_setspecific(keys[0], malloc(20));
    pthread_setspecific(keys[1], malloc(20));
    // Beyond the first 32 keys the C library allocates the table.
    pthread_setspecific(keys[39], malloc(20));
    CHURN(100);
    return unused;
}

int main(void) {
    for (int i = 0; i < 40; i++)
        pthread_key_create(&keys[i], i == 0 ? again : once);
    for (int i = 0; i < 16; i++) {
        pthread_t id;
        pthread_create(&id, NULL, thread, NULL);
        pthread_join(id, NULL);
    }
    puts("ok");
    return 0;
}
