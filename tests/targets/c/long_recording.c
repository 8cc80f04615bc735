// Writes a recording of several segments (over 16 MiB) in four threads, then forks a child that does the same.
// Before that it limits its own address space to what it has and 96 MiB more.
#include "target.h"
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KEPT = 512, EACH = 900000 };

LEAKER(leak_in_parent)
LEAKER(leak_in_child)

static void *work(void *leak) {
    void *kept[KEPT] = {0};
    unsigned random = 1;
    for (int i = 0; i < EACH; i++) {
        random = random * 1664525u + 1013904223u;
        unsigned at = random >> 16 & (KEPT - 1);
        free(kept[at]);
        kept[at] = malloc(16 + (random >> 25 & 127));
    }
    for (int i = 0; i < KEPT; i++) free(kept[i]);
    for (int i = 0; i < 5; i++) ((void *(*)(size_t))leak)(10001);
    return 0;
}

static void in_threads(void *(*leak)(size_t)) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        if (pthread_create(&threads[i], 0, work, (void *)leak)) puts("no thread");
    }
    for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
}

static void limit_address_space(void) {
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (fscanf(statm, "%lu", &pages) != 1) puts("no statm");
    fclose(statm);
    struct rlimit limit = {0};
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = pages * sysconf(_SC_PAGESIZE) + (96ul << 20);
    // The plain program has hardly any: more than that would be the recorder's.
    printf("%s\n", pages * sysconf(_SC_PAGESIZE) < 64ul << 20 ? "small" : "large");
    if (setrlimit(RLIMIT_AS, &limit)) puts("no limit");
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    mallopt(M_ARENA_MAX, 1);
    limit_address_space();
    in_threads(leak_in_parent);
    pid_t child = fork();
    if (child == 0) {
        in_threads(leak_in_child);
        exit(0);
    }
    int status = 1;
    waitpid(child, &status, 0);
    printf("child %d\n", status);
    return 0;
}
