// Every function of the allocation interface leaks one block and frees others. All usable bytes are written: a tool
// that keeps something of its own in a block would be overwritten.
#include "target.h"
#include <dirent.h>
#include <dlfcn.h>

static void fill(void *block) {
    memset(block, 0x77, malloc_usable_size(block));
    kept = block;
}

static void check(const char *name, void *block, size_t alignment) {
    if (!block || (uintptr_t)block % alignment)
        printf("%s: bad block\n", name);
    fill(block);
}

NOINLINE void by_malloc(void) { fill(malloc(10001)); }
NOINLINE void by_calloc(void) {
    char *block = calloc(101, 102);
    for (int i = 0; i < 101 * 102; i++)
        if (block[i])
            puts("calloc: not zero");
    fill(block);
}
NOINLINE void by_realloc(void) {
    void *block = malloc(10);
    fill(block);
    size_t sizes[] = {100000, 300000, 20, 10003};
    for (int i = 0; i < 4; i++) {
        block = realloc(block, sizes[i]);
        fill(block);
    }
}
NOINLINE void by_realloc_null(void) { fill(realloc(NULL, 10004)); }
NOINLINE void by_reallocarray(void) { fill(reallocarray(malloc(5), 103, 105)); }
NOINLINE void by_memalign(void) { check("memalign", memalign(256, 10006), 256); }
NOINLINE void by_posix_memalign(void) {
    void *block = NULL;
    if (posix_memalign(&block, 4096, 10007))
        puts("posix_memalign failed");
    check("posix_memalign", block, 4096);
}
NOINLINE void by_aligned_alloc(void) { check("aligned_alloc", aligned_alloc(64, 10048), 64); }
NOINLINE void by_valloc(void) { check("valloc", valloc(10009), 4096); }
NOINLINE void by_pvalloc(void) {
    void *block = pvalloc(10010);
    if (malloc_usable_size(block) < 3 * 4096)
        puts("pvalloc: not rounded up to pages");
    check("pvalloc", block, 4096);
}
NOINLINE void by_strdup(void) { kept = strdup("nine char"); }
NOINLINE void by_strndup(void) { kept = strndup("eleven chars", 11); }
NOINLINE void by_asprintf(void) {
    char *text = NULL;
    if (asprintf(&text, "%d-%s", 5, "x") != 3)
        puts("asprintf failed");
    kept = text;
}
NOINLINE void by_getline(void) {
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen("/proc/version", "r");
    if (getline(&line, &size, file) < 1)
        puts("getline failed");
    fclose(file);
    kept = line;
}
NOINLINE void by_getcwd(void) { kept = getcwd(NULL, 0); }
NOINLINE void by_realpath(void) { kept = realpath("/usr/../usr", NULL); }
NOINLINE void by_memstream(void) {
    char *buffer;
    size_t size;
    FILE *file = open_memstream(&buffer, &size);
    fputs("hello", file);
    fclose(file);
    kept = buffer;
}
NOINLINE void by_fopen(void) { kept = fopen("/dev/null", "r"); }

// The ways to free. The sized ones are of C23 and in no C library here yet; cfree is only there for old programs.
NOINLINE void freed(void) {
    void (*cfree)(void *) = (void (*)(void *))dlvsym(RTLD_DEFAULT, "cfree", "GLIBC_2.2.5");
    void (*free_sized)(void *, size_t) = (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
    void (*free_aligned_sized)(void *, size_t, size_t) =
        (void (*)(void *, size_t, size_t))dlsym(RTLD_DEFAULT, "free_aligned_sized");
    free(NULL);
    free(malloc(20001));
    if (cfree)
        cfree(malloc(20002));
    if (free_sized)
        free_sized(malloc(20003), 20003);
    if (free_aligned_sized)
        free_aligned_sized(aligned_alloc(64, 20032), 64, 20032);
    void *volatile block = malloc(20004);
    volatile size_t zero = 0;
    block = realloc(block, zero);
    if (block)
        puts("realloc to 0 did not free");
}

static void list_a_directory(void) {
    struct dirent **entries;
    int count = scandir("/", &entries, NULL, alphasort);
    while (count-- > 0)
        free(entries[count]);
    free(entries);
}

int main(void) {
    by_malloc(), by_calloc(), by_realloc(), by_realloc_null(), by_reallocarray(), by_memalign(), by_posix_memalign();
    by_aligned_alloc(), by_valloc(), by_pvalloc(), by_strdup(), by_strndup(), by_asprintf(), by_getline(), by_getcwd();
    by_realpath(), by_memstream(), by_fopen(), freed(), list_a_directory();
    malloc_trim(0);
#if __GLIBC_PREREQ(2, 33)
    printf("%d\n", mallinfo2().uordblks > 0);
#endif
    printf("%d\n", malloc_usable_size(NULL) == 0);
    return 0;
}
