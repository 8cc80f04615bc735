// A program with an allocator of its own, as one that is linked statically with jemalloc: nobody else sees its blocks, and
// nobody may give it others.
#include "target.h"

static char heap[16 << 20];
static size_t used;

static void check(const void *block) {
    const char *at = block;
    if (block && (at < heap || at >= heap + sizeof heap)) {
        if (write(1, "foreign block\n", 14) == 14)
            abort();
    }
}

void *malloc(size_t n) {
    size_t size = (n + 31) & ~(size_t)15, at = __sync_fetch_and_add(&used, size);
    if (at + size > sizeof heap)
        abort();
    *(size_t *)(heap + at) = size - 16;
    return heap + at + 16;
}

void free(void *block) { check(block); }

void *calloc(size_t count, size_t size) { return malloc(count * size); }

void *realloc(void *old, size_t n) {
    check(old);
    void *block = malloc(n);
    size_t before = old ? ((size_t *)old)[-2] : 0;
    if (before)
        memcpy(block, old, before < n ? before : n);
    return block;
}

LEAKER(leak_unseen)

int main(void) {
    CHURN(1000);
    leak_unseen(10001);
    char *text = realloc(strdup("hello"), 1000);
    FILE *file = fopen("/dev/null", "w");
    fprintf(file, "%s", text);
    fclose(file);
    puts(text);
    return 0;
}
