// Children that cannot begin a file: the first argument is the way, the second an empty directory, or a ledger.
#include "target.h"
#include <fcntl.h>
#include <grp.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
LEAKER(leak_parent)
LEAKER(leak_child)
LEAKER(leak_grandchild)
LEAKER(leak_late)
#define NOBODY 65534

static void *inherited;
static const char *place;

// None of these allocates: the child's first event comes after them.
static void check(const char *what, int failed) {
    if (failed) {
        perror(what);
        _exit(3);
    }
}

static void no_root(void) {
    check("setgroups", setgroups(0, NULL));
    check("setgid", setgid(NOBODY));
    check("setuid", setuid(NOBODY));
}

static void chrooted(void) {
    check("chroot", chroot(place) || chdir("/"));
    no_root();
}

static void descriptors(rlim_t most) {
    struct rlimit limit;
    check("getrlimit", getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = most;
    check("setrlimit", setrlimit(RLIMIT_NOFILE, &limit));
}

static void no_descriptor(void) { descriptors(0); }

static void all_taken(void) {
    descriptors(64);
    while (dup(1) >= 0)
        ;
}

static void work(int blocks) {
    free(inherited);
    CHURN(60000);
    for (int i = 1; i <= blocks; i++)
        leak_child(20000 + i);
}

static int status_of(pid_t pid) {
    int status = -1;
    check("waitpid", waitpid(pid, &status, 0) != pid);
    return status;
}

static void one(void (*before)(void)) {
    pid_t pid = fork();
    if (pid == 0) {
        before();
        work(5);
        exit(0);
    }
    CHURN(60000);
    printf("child %x\n", status_of(pid));
}

static void *in_thread(void *unused) {
    CHURN(20000);
    for (int i = 0; i < 5; i++)
        leak_child(20100);
    return unused;
}

static void threads(void) {
    pthread_t all[3];
    for (int i = 0; i < 3; i++)
        check("pthread_create", pthread_create(&all[i], NULL, in_thread, NULL));
    for (int i = 0; i < 3; i++)
        pthread_join(all[i], NULL);
}

// Two generations of four workers with threads.
static void workers(void) {
    int good = 0;
    for (int generation = 0; generation < 2; generation++) {
        pid_t pids[4];
        for (int i = 0; i < 4; i++)
            if (!(pids[i] = fork())) {
                no_root();
                threads();
                exit(0);
            }
        threads();
        for (int i = 0; i < 4; i++)
            good += status_of(pids[i]) == 0;
    }
    printf("workers %d\n", good);
}

// A child in the parent's file has a child there, which has one that can begin a file.
static void family(void) {
    pid_t pid = fork();
    if (pid == 0) {
        no_descriptor();
        work(1);
        void *own = leak_child(20002);
        if (!(pid = fork())) {
            free(own);
            leak_grandchild(30001);
            leak_grandchild(30002);
            if (!(pid = fork())) {
                descriptors(64);
                leak_grandchild(30003);
                exit(0);
            }
            exit(status_of(pid));
        }
        exit(status_of(pid) != 0);
    }
    printf("family %x\n", status_of(pid));
}

// The parent is gone when the child writes more than is left for it in a file that was cut.
static void outlives(void) {
    int begun[2], gone[2];
    char byte = 0;
    check("pipe", pipe(begun) || pipe(gone));
    if (fork()) {
        check("read", read(begun[0], &byte, 1) != 1);
        return;
    }
    close(gone[1]);
    no_descriptor();
    free(inherited);
    leak_child(20001);
    check("write", write(begun[1], &byte, 1) != 1);
    check("read", read(gone[0], &byte, 1) != 0);
    CHURN(1500000);
    for (int i = 2; i <= 5; i++)
        leak_child(20000 + i);
    exit(0);
}

// The parent has exited before the child would join it: its file is closed.
static void too_late(void) {
    int gone[2];
    char byte;
    check("pipe", pipe(gone));
    if (fork())
        return;
    close(gone[1]);
    no_descriptor();
    check("read", read(gone[0], &byte, 1) != 0);
    work(5);
    exit(0);
}

// The process itself, after a few events; then more than the first mapping holds.
static void itself(void) {
    chrooted();
    CHURN(3000000);
    leak_late(40001);
    puts("itself");
}

struct ledger {
    _Atomic long pid, begun, done;
};

static void keep_ledger(struct ledger *ledger, void *(*leak)(size_t)) {
    alarm(120);
    ledger->pid = getpid();
    for (long i = 1; i <= 300000; i++) {
        ledger->begun = i;
        leak(48);
        ledger->done = i;
        CHURN(3);
    }
    pause();
}

static void ledgers(void) {
    int file = open(place, O_RDWR);
    struct ledger *both = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    check("mmap", both == MAP_FAILED);
    close(file);
    if (!fork()) {
        descriptors(0);
        keep_ledger(&both[1], leak_child);
    }
    keep_ledger(&both[0], leak_parent);
}

int main(int count, char **arguments) {
    const char *way = count > 1 ? arguments[1] : "";
    place = count > 2 ? arguments[2] : NULL;
    if (!strcmp(way, "ledgers"))
        ledgers();
    inherited = malloc(7777);
    leak_parent(10001);
    if (!strcmp(way, "chroot"))
        one(chrooted);
    if (!strcmp(way, "user"))
        one(no_root);
    if (!strcmp(way, "limit"))
        one(no_descriptor);
    if (!strcmp(way, "taken"))
        one(all_taken);
    if (!strcmp(way, "workers"))
        workers();
    if (!strcmp(way, "family"))
        family();
    if (!strcmp(way, "outlives"))
        outlives();
    if (!strcmp(way, "too_late"))
        too_late();
    if (!strcmp(way, "itself"))
        itself();
    free(inherited);
    leak_parent(10002);
    return 0;
}
