// The ways to make a process. The parent leaks before and after, each child frees a block that it inherited and leaks
// its own; the argument is the way.
#include "target.h"
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
LEAKER(leak_parent)
LEAKER(leak_child)
extern char **environ;
// Since glibc 2.34.
extern pid_t _Fork(void) __attribute__((weak));

static void *inherited;

static void child(void) {
    free(inherited);
    CHURN(5000);
    for (int i = 1; i <= 5; i++)
        leak_child(20000 + i);
}

static int status_of(pid_t pid) {
    int status = -1;
    if (waitpid(pid, &status, 0) != pid)
        puts("no such child");
    return status;
}

static void once(pid_t pid) {
    if (pid == 0) {
        child();
        _exit(2);
    }
    CHURN(5000);
    printf("child %x\n", status_of(pid));
}

static void by_vfork(void) {
    volatile int sum = 0;
    for (volatile int i = 0; i < 50; i++) {
        pid_t pid = vfork();
        if (pid == 0) {
            execl("/nonexistent", "nonexistent", (char *)NULL);
            _exit(7);
        }
        sum += WEXITSTATUS(status_of(pid));
    }
    printf("vfork %d\n", sum);
}

static void by_spawn(const char *self) {
    char *arguments[] = {(char *)self, "leaf", NULL};
    pid_t pid;
    int failed = posix_spawn(&pid, self, NULL, NULL, arguments, environ);
    printf("spawn %d %x\n", failed, failed ? 0 : status_of(pid));
}

static void *in_worker(void *unused) {
    CHURN(1000);
    for (int i = 0; i < 5; i++)
        leak_child(20100);
    return unused;
}

static void worker(void) {
    pthread_t threads[2];
    free(inherited);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, in_worker, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    exit(0);
}

// Two generations of four workers, as a server keeps them.
static void prefork(void) {
    int good = 0;
    for (int generation = 0; generation < 2; generation++) {
        pid_t workers[4];
        for (int i = 0; i < 4; i++)
            if (!(workers[i] = fork()))
                worker();
        for (int i = 0; i < 4; i++)
            good += status_of(workers[i]) == 0;
    }
    printf("workers %d\n", good);
}

static volatile int stop;
static void *churn(void *unused) {
    while (!stop)
        CHURN(500);
    return unused;
}

// The other threads are anywhere in the allocator and in the recorder when the process is copied.
static void with_threads(int exits) {
    pthread_t threads[4];
    int good = 0;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, churn, NULL);
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            CHURN(200);
            leak_child(20200);
            if (exits)
                exit(0);
            _exit(0);
        }
        good += status_of(pid) == 0;
    }
    stop = 1;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("children %d\n", good);
}

static int waiting;
static void *at_once(void *unused) {
    __atomic_sub_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) > 0)
        ;
    CHURN(300);
    leak_child(20400);
    return unused;
}

// Stacks of earlier threads are used again, so that the children's first events are those of three threads at once.
static void threads_of_child(void) {
    int good = 0;
    for (int i = 0; i < 30; i++) {
        pid_t pid = i ? fork() : 0;
        pthread_t threads[2];
        if (pid == 0) {
            waiting = 3;
            for (int k = 0; k < 2; k++)
                pthread_create(&threads[k], NULL, at_once, NULL);
            at_once(NULL);
            for (int k = 0; k < 2; k++)
                pthread_join(threads[k], NULL);
            if (i)
                _exit(0);
        } else {
            good += status_of(pid) == 0;
        }
    }
    printf("children %d\n", good);
}

// A child's child, so that its parent is not the first process.
static void grandchild(void) {
    pid_t pid = fork();
    if (pid == 0) {
        leak_child(20301);
        pid_t second = fork();
        if (second == 0) {
            leak_child(20302);
            _exit(0);
        }
        _exit(status_of(second));
    }
    printf("child %x\n", status_of(pid));
}

int main(int argc, char **argv) {
    const char *way = argc > 1 ? argv[1] : "";
    setvbuf(stdout, NULL, _IONBF, 0);
    if (!strcmp(way, "leaf")) {
        leak_child(20001);
        return 2;
    }
    if (!strcmp(way, "second image")) {
        leak_parent(10003);
        puts("second image");
        return 0;
    }
    inherited = malloc(500);
    leak_parent(10001);
    if (!strcmp(way, "fork"))
        once(fork());
    if (!strcmp(way, "clone"))
        once(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    if (!strcmp(way, "_Fork"))
        once(_Fork ? _Fork() : syscall(SYS_fork));
    if (!strcmp(way, "vfork"))
        by_vfork();
    if (!strcmp(way, "spawn"))
        by_spawn(argv[0]);
    if (!strcmp(way, "prefork"))
        prefork();
    if (!strcmp(way, "threads"))
        with_threads(0);
    if (!strcmp(way, "threads exit"))
        with_threads(1);
    if (!strcmp(way, "threads of child"))
        threads_of_child();
    if (!strcmp(way, "grandchild"))
        grandchild();
    free(inherited);
    leak_parent(10002);
    if (!strcmp(way, "exec"))
        execl(argv[0], argv[0], "second image", (char *)NULL);
    return 1;
}
