// Uses the allocator it was linked with from four threads. The allocator's own statistics are not printed: that it is
// still the one in use is seen by a block's address and by its usable size.
#include "target.h"
LEAKER(leak_linked)

static void *thread(void *unused) {
    CHURN(20000);
    for (int i = 0; i < 10; i++)
        leak_linked(10001);
    void *block = NULL;
    if (posix_memalign(&block, 64, 100))
        puts("posix_memalign failed");
    block = realloc(block, 5000);
    free(block);
    free(strdup("text"));
    return unused;
}

int main(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, thread, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (size_t size = 1; size < 100000; size = size * 3 / 2 + 1) {
        void *block = malloc(size);
        printf("%zu ", malloc_usable_size(block));
        free(block);
    }
    puts("");
    return 0;
}
