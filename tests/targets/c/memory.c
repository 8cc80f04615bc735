// Makes itself large in the way that its first argument names, says by its own ledger how, and waits for the end of its input.
//
//   fragments MIB   small blocks, all but each 500th of which are freed
//   arenas N        the same in N threads, on stacks of which they use half a MiB; they wait
//   maps            files, shared and anonymous memory, one block in a mapping of its own
//   fork            a child that has its parent's blocks, frees half of them and has some of its own
#include "target.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define MIB (1u << 20)
#define KEPT 500

LEAKER(leak_fragment)
LEAKER(leak_in_arena)
LEAKER(leak_large)
LEAKER(leak_parent)
LEAKER(leak_child)

static void say(const char *what) {
    // The heap as glibc counts it: of all arenas what they are in bytes, and what of that is free.
#ifdef __GLIBC__
    struct mallinfo2 info = mallinfo2();
    dprintf(1, "%s %d %zu %zu\n", what, getpid(), info.arena, info.fordblks);
#else
    dprintf(1, "%s %d 0 0\n", what, getpid());
#endif
}

static void wait_for_end(void) {
    char byte;
    while (read(0, &byte, 1) > 0)
        ;
}

static void fragments(size_t bytes, size_t size, void *(*leak)(size_t)) {
    size_t count = bytes / size;
    // Not of the heap, so that the heap is as it is said to be.
    void **blocks = mmap(NULL, count * sizeof *blocks, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < count; i++)
        blocks[i] = leak(size);
    for (size_t i = 0; i < count; i++)
        if (i % KEPT != KEPT - 1)
            free(blocks[i]);
    munmap(blocks, count * sizeof *blocks);
}

static pthread_barrier_t barrier;

static void *thread(void *unused) {
    volatile char stack[MIB / 2];
    for (size_t i = 0; i < sizeof stack; i += 1024)
        stack[i] = 1;
    fragments(4 * MIB, 1000, leak_in_arena);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return unused;
}

static void arenas(int count) {
    pthread_t threads[64];
    pthread_barrier_init(&barrier, NULL, count + 1);
    for (int i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, thread, NULL);
    pthread_barrier_wait(&barrier);
    say("arenas");
    wait_for_end();
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static char *map(size_t size, int protection, int flags, int fd) {
    if (fd >= 0 && ftruncate(fd, size))
        exit(1);
    char *at = mmap(NULL, size, protection, flags, fd, 0);
    volatile char sum = 0;
    for (size_t i = 0; i < size; i += 4096)
        protection &PROT_WRITE ? (void)(at[i] = 1) : (void)(sum += at[i]);
    return at;
}

static void maps(void) {
    char path[] = "/var/tmp/unfreed-memory-XXXXXX";
    int read_only = mkstemp(path), written;
    unlink(path);
    strcpy(path + sizeof path - 7, "XXXXXX");
    written = mkstemp(path);
    unlink(path);
    map(9 * MIB, PROT_READ, MAP_SHARED, read_only);
    map(5 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, written);
    map(7 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    map(3 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, memfd_create("memory", 0));
    // Read and not written: no page of it is resident.
    map(6 * MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    leak_large(21 * MIB);
    // A page in four.
    char *sparse = malloc(16 * MIB);
    for (size_t i = 0; i < 16 * MIB; i += 4 * 4096)
        sparse[i] = 1;
    kept = sparse;
    say("maps");
    wait_for_end();
}

static void forked(void) {
    void *blocks[10000];
    for (int i = 0; i < 10000; i++)
        blocks[i] = leak_parent(1200);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 10000; i += 2)
            free(blocks[i]);
        for (int i = 0; i < 1000; i++)
            leak_child(5000);
        say("child");
        wait_for_end();
        exit(0);
    }
    wait_for_end();
    waitpid(child, NULL, 0);
}

int main(int argc, char **argv) {
    const char *way = argc > 1 ? argv[1] : "";
    int number = argc > 2 ? atoi(argv[2]) : 0;
    if (!strcmp(way, "fragments")) {
        fragments((size_t)number * MIB, 64, leak_fragment);
        say("fragments");
        wait_for_end();
    } else if (!strcmp(way, "arenas")) {
        arenas(number);
    } else if (!strcmp(way, "maps")) {
        maps();
    } else if (!strcmp(way, "fork")) {
        forked();
    }
    return 0;
}
