// Anonymous memory that is mapped, moved, torn and unmapped, and memory of a file, which is another matter. Keeps 4,352 KiB in
// six mappings.
#include "target.h"
#include <fcntl.h>
#include <sys/mman.h>

#define KIB 1024ul

static char *check(void *at, const char *what) {
    if (at == MAP_FAILED) {
        perror(what);
        exit(1);
    }
    return at;
}

NOINLINE static char *anonymous(size_t size) {
    return check(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), "mmap");
}

NOINLINE static void whole(void) {
    char *kept_whole = anonymous(1024 * KIB);
    // Neither is what it was: there is no such room.
    printf("too large %d\n", mremap(kept_whole, 1024 * KIB, 1ul << 46, 0) == MAP_FAILED);
    printf("not a page %d\n", munmap(kept_whole + 1, 4096));
    munmap(anonymous(1024 * KIB), 1024 * KIB);
}

NOINLINE static void torn(void) {
    char *both = anonymous(1024 * KIB);
    munmap(both + 256 * KIB, 512 * KIB);
}

NOINLINE static void moved(void) {
    check(mremap(anonymous(64 * KIB), 64 * KIB, 2048 * KIB, MREMAP_MAYMOVE), "mremap");
    check(mremap(anonymous(1024 * KIB), 1024 * KIB, 256 * KIB, 0), "mremap");
}

NOINLINE static void of_a_file(void) {
    int file = open("/proc/self/exe", O_RDONLY);
    char *beneath = anonymous(1024 * KIB);
    check(mmap(beneath, 512 * KIB, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0), "mmap");
    char *other = check(mmap(NULL, 64 * KIB, PROT_READ, MAP_PRIVATE, file, 0), "mmap");
    check(mremap(other, 64 * KIB, 128 * KIB, MREMAP_MAYMOVE), "mremap");
    close(file);
}

static void *nothing(void *unused) { return unused; }

int main(void) {
    whole();
    torn();
    moved();
    of_a_file();
    // The C library's own.
    pthread_t thread;
    pthread_create(&thread, NULL, nothing, NULL);
    pthread_join(thread, NULL);
    kept = malloc(1 << 20);
    return 0;
}
