// What the allocation functions promise when they fail or are asked for nothing: results, errno, and the block of a
// realloc that failed. Everything is printed; the recorded run must print the same.
#include "target.h"
LEAKER(survivor)

#define SHOW(call)                                                                                                     \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        void *volatile block_ = (call);                                                                                \
        printf("%-32s %s errno %d\n", #call, block_ ? "block" : "null", errno);                                        \
        free(block_);                                                                                                  \
    } while (0)

static volatile size_t huge = SIZE_MAX / 2 + 10, zero = 0;

static void failures(void) {
    SHOW(malloc(huge));
    SHOW(malloc(zero));
    SHOW(calloc(huge, 2));
    SHOW(calloc(huge, 3));
    SHOW(calloc(zero, 5));
    SHOW(realloc(NULL, 10));
    SHOW(realloc(NULL, huge));
    SHOW(reallocarray(NULL, huge, 4));
    SHOW(memalign(3, 10));
    SHOW(memalign(64, huge));
    SHOW(aligned_alloc(3, 10));
    SHOW(aligned_alloc(64, 1));
    SHOW(valloc(huge));
    SHOW(pvalloc(huge));
}

static void posix_memalign_results(void) {
    void *block = (void *)1;
    errno = 0;
    int einval = posix_memalign(&block, 3, 10);
    printf("posix_memalign %d %d errno %d\n", einval, block == (void *)1, errno);
    int enomem = posix_memalign(&block, 8, huge);
    printf("posix_memalign %d %d errno %d\n", enomem, block == (void *)1, errno);
}

static void errno_is_kept(void) {
    errno = 77;
    free(malloc(100));
    free(malloc(1 << 20));
    void *volatile block = calloc(3, 5000);
    block = realloc(block, 100000);
    free(block);
    printf("errno %d\n", errno);
}

int main(void) {
    failures();
    posix_memalign_results();
    char *block = survivor(10001);
    for (int i = 0; i < 10; i++) {
        char *none = realloc(block, huge), *none_either = reallocarray(block, huge, 3);
        printf("%d %d %d\n", none == NULL, none_either == NULL, block[10000] == 0x5a);
    }
    void *volatile shrunk = realloc(malloc(30), zero);
    printf("realloc to 0: %s\n", shrunk ? "block" : "null");
    errno_is_kept();
    for (int i = 0; i < 100; i++) {
        void *aligned = malloc(i);
        if ((uintptr_t)aligned % 16)
            puts("not aligned");
        free(aligned);
    }
    return 0;
}
