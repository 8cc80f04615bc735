// Forbids itself most system calls and allocates on. Arguments: what happens to a forbidden call, how the filter is
// installed, and in what thread or process.
#include "target.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
extern char **environ;
LEAKER(leak_before)
LEAKER(leak_after)
LEAKER(leak_elsewhere)

#define NUMBER BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ON(call, action) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), BPF_STMT(BPF_RET | BPF_K, action)
#define ALLOW(call) ON(call, SECCOMP_RET_ALLOW)

static unsigned action;
static const char *way;
static volatile int trapped;

static void on_trap(int signal) {
    (void)signal;
    trapped++;
}

static int install(struct sock_fprog *filter) {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!strcmp(way, "prctl"))
        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter);
    if (!strcmp(way, "syscall"))
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, filter);
    if (!strcmp(way, "syscall prctl"))
        return syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter);
    if (!strcmp(way, "strict"))
        return prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    // For all threads, with a descriptor as the result.
    int fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                     SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
                     filter);
    return fd < 0 ? fd : 0;
}
#define INSTALL(...)                                                                                                   \
    ({                                                                                                                 \
        struct sock_filter code[] = {NUMBER, __VA_ARGS__};                                                             \
        struct sock_fprog filter = {sizeof code / sizeof *code, code};                                                 \
        install(&filter);                                                                                              \
    })

// Little more than glibc's malloc needs.
static int allow_little(void) {
    return INSTALL(ALLOW(brk), ALLOW(write), ALLOW(futex), ALLOW(exit), ALLOW(exit_group), ALLOW(rt_sigreturn),
                   BPF_STMT(BPF_RET | BPF_K, action));
}

// What new threads and processes need is allowed, but no file is to be had any more, by a second filter.
static int deny_files(void) {
    if (INSTALL(ON(ptrace, SECCOMP_RET_KILL_PROCESS), ON(mount, SECCOMP_RET_KILL_PROCESS),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)))
        return 1;
    return INSTALL(ON(open, action), ON(openat, action), ON(readlinkat, action), ON(newfstatat, action),
                   ON(ftruncate, action), ON(fallocate, action), ON(tgkill, action), ON(unlinkat, action),
                   ON(rename, action), ON(renameat, action), ON(renameat2, action), ON(prctl, action),
                   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

// What a program need not do to be executed, and a recorder does.
static int deny_recording(void) {
    return INSTALL(ON(madvise, action), ON(ftruncate, action), ON(fallocate, action), ON(gettid, action),
                   ON(getppid, action), ON(readlinkat, action), ON(getcwd, action), ON(tgkill, action),
                   ON(mremap, action), ON(unlinkat, action), ON(mkdir, action), ON(rename, action), ON(ioctl, action),
                   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

// One that the kernel does not accept: it has no end.
static int try_in_vain(void) { return !INSTALL(BPF_STMT(BPF_LD | BPF_IMM, 0)); }

static void work(void) {
    for (int i = 0; i < 4; i++)
        leak_after(2001);
    CHURN(150000);
}

static void *sandboxed(void *unused) {
    if (allow_little())
        puts("no filter");
    work();
    syscall(SYS_exit, 0);
    return unused;
}

static void *in_thread(void *unused) {
    for (int i = 0; i < 5; i++)
        leak_elsewhere(3001);
    CHURN(1000);
    return unused;
}

static int done;

// Does not end: glibc would give its stack back, by madvise.
static void *staying(void *unused) {
    in_thread(unused);
    __atomic_add_fetch(&done, 1, __ATOMIC_RELEASE);
    while (pause())
        ;
    return unused;
}

static void run_threads_that_stay(int count) {
    pthread_t thread;
    for (int i = 0; i < count; i++)
        pthread_create(&thread, NULL, staying, NULL);
    while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) < count)
        sched_yield();
}

static void run_thread(void *(*function)(void *)) {
    pthread_t thread;
    pthread_create(&thread, NULL, function, NULL);
    pthread_join(thread, NULL);
}

static void run_child(void) {
    pid_t child = fork();
    if (child == 0) {
        in_thread(NULL);
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    printf("child %x\n", status);
}

static int leaf(void) {
    CHURN(1000);
    leak_after(2001);
    write(1, "leaf\n", 5);
    return 4;
}

int main(int argc, char **argv) {
    if (argc == 1)
        return leaf();
    const char *actions[] = {"kill", "kill thread", "errno", "success", "trap", "trace", "notify"};
    unsigned numbers[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_ERRNO | ENOSYS, SECCOMP_RET_ERRNO,
                          SECCOMP_RET_TRAP,         SECCOMP_RET_TRACE,       SECCOMP_RET_USER_NOTIF};
    const char *where = argc > 3 ? argv[3] : "main";
    way = argv[2];
    for (int i = 0; i < 7; i++)
        if (!strcmp(argv[1], actions[i]))
            action = numbers[i];
    signal(SIGSYS, on_trap);
    puts("start");
    fflush(stdout);
    for (int i = 0; i < 3; i++)
        leak_before(10001);
    // A thread that goes on, and its memory, which the next one takes over.
    run_thread(in_thread);
    CHURN(100);
    if (!strcmp(where, "thread")) {
        run_thread(sandboxed);
        CHURN(150000);
    } else if (!strcmp(where, "child")) {
        if (fork() == 0)
            sandboxed(NULL);
        wait(NULL);
        CHURN(1000);
    } else if (!strcmp(where, "files")) {
        if (deny_files())
            return 2;
        work();
        run_thread(in_thread);
        run_thread(in_thread);
        run_child();
        // As libraries do.
        return 0;
    } else if (!strcmp(where, "threads")) {
        if (deny_recording())
            return 2;
        work();
        run_threads_that_stay(9);
        write(1, "alive\n", 6);
        _exit(3);
    } else if (!strcmp(where, "exec")) {
        if (deny_recording())
            return 2;
        if (fork() == 0)
            execl("/proc/self/exe", argv[0], (char *)NULL);
        int status = -1;
        wait(&status);
        // A child that allocates nothing before.
        char *arguments[] = {argv[0], NULL};
        pid_t child;
        int failed = posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments, environ);
        int second = -1;
        wait(&second);
        if (failed || status != second || status != 4 << 8)
            return 5;
        leak_after(2001);
        execl("/proc/self/exe", argv[0], (char *)NULL);
        return 2;
    } else if (!strcmp(where, "relatives")) {
        // A vfork child's filter, for the program that it executes.
        pid_t child = vfork();
        if (child == 0) {
            if (deny_recording())
                _exit(6);
            execl("/proc/self/exe", argv[0], (char *)NULL);
            _exit(7);
        }
        int status = -1;
        waitpid(child, &status, 0);
        printf("vfork %x\n", status);
        fflush(stdout);
        if (deny_recording())
            return 2;
        // Executed by a child of a child's child, of which nothing is known, and whose grandparent is gone.
        int orphaned[2], over[2];
        char byte;
        if (pipe(orphaned) || pipe(over) || (child = fork()) < 0)
            return 8;
        if (child == 0) {
            if (fork() != 0)
                _exit(0);
            close(over[0]);
            read(orphaned[0], &byte, 1);
            if (fork() == 0)
                execl("/proc/self/exe", argv[0], (char *)NULL);
            wait(&status);
            printf("orphan %x\n", status);
            fflush(stdout);
            _exit(0);
        }
        close(over[1]);
        waitpid(child, &status, 0);
        write(orphaned[1], "", 1);
        // Until nobody can write there.
        read(over[0], &byte, 1);
        leak_after(2001);
    } else if (!strcmp(where, "in vain")) {
        if (try_in_vain())
            return 2;
        work();
        return 0;
    } else {
        if (allow_little())
            return 2;
        work();
        errno = 77;
        CHURN(400000);
        if (errno != 77)
            write(1, "errno\n", 6);
    }
    if (trapped)
        write(1, "trapped\n", 8);
    write(1, "alive\n", 6);
    syscall(SYS_exit, 3);
}
