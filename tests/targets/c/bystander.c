// What a program sees of itself, which must be the same when it is recorded. The argument says what.
#include "target.h"
#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
LEAKER(leak_bystander)
extern char **environ;
extern char __libc_single_threaded __attribute__((weak));

static void signals(void) {
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int i = 1; i < 65; i++) {
        struct sigaction action;
        if (sigaction(i, NULL, &action) == 0 && action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN)
            printf("handler for %d\n", i);
        if (sigismember(&mask, i) == 1)
            printf("blocked %d\n", i);
    }
}

// A thread of somebody else's would be counted, would forbid the unshare, and would take the signal.
static void threads(void) {
    int tasks = 0;
    DIR *directory = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(directory));)
        tasks += entry->d_name[0] != '.';
    closedir(directory);
    int single = &__libc_single_threaded ? __libc_single_threaded : -1;
    printf("tasks %d, single %d, unshare %d\n", tasks, single, unshare(CLONE_THREAD));
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    kill(getpid(), SIGUSR1);
    int signal = 0;
    sigwait(&wanted, &signal);
    printf("signal %d\n", signal == SIGUSR1);
}

static volatile int stop;
static void *churn(void *unused) {
    while (!stop)
        CHURN(100);
    return unused;
}

static void environment(void) {
    int entries = 0;
    for (char **entry = environ; *entry; entry++)
        entries += strncmp(*entry, "LD_PRELOAD=", 11) && strncmp(*entry, "UNFREED_", 8);
    printf("%d entries\n", entries);
    pthread_t thread;
    pthread_create(&thread, NULL, churn, NULL);
    for (int i = 0; i < 20000; i++) {
        char name[20];
        sprintf(name, "NAME%d", i % 50);
        setenv(name, "value", 1);
        if (i % 3 == 0)
            unsetenv(name);
    }
    stop = 1;
    pthread_join(thread, NULL);
    clearenv();
    CHURN(1000);
}

static void error_number(void) {
    int changed = 0;
    for (int i = 0; i < 300000; i++) {
        errno = 123;
        void *block = malloc(i % 300);
        changed += errno != 123;
        kept = block;
        errno = 124;
        free(block);
        changed += errno != 124;
    }
    printf("changed %d\n", changed);
}

// A container's first step, which only a process of one thread may take. Files that were there are out of reach then.
static void namespaces(void) {
    printf("unshare %d\n", unshare(CLONE_NEWUSER | CLONE_NEWNS));
    CHURN(200000);
}

// Reading the time stamp counter is a SIGSEGV from here on.
static void counter(void) {
    puts("start");
    int failed = prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
    CHURN(200000);
    printf("%d\n", failed);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    setvbuf(stdout, NULL, _IONBF, 0);
    CHURN(10);
    if (!strcmp(what, "signals"))
        signals();
    if (!strcmp(what, "threads"))
        threads();
    if (!strcmp(what, "namespaces"))
        namespaces();
    if (!strcmp(what, "environment"))
        environment();
    if (!strcmp(what, "errno"))
        error_number();
    if (!strcmp(what, "counter"))
        counter();
    for (int i = 0; i < 3; i++)
        leak_bystander(10001);
    return 0;
}
