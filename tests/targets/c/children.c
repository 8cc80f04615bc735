// Children in numbers, and commands started while other threads allocate. The argument is the way.
#include "target.h"
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
LEAKER(leak_parent)
LEAKER(leak_child)
extern char **environ;

enum { CHILDREN = 50 };

static volatile int stop;
static void *churn(void *unused) {
    while (!stop)
        CHURN(500);
    return unused;
}

static int good(pid_t pid) {
    int status = -1;
    return waitpid(pid, &status, 0) == pid && status == 0;
}

// A server's child for each request, or a shell's: it does next to nothing.
static int forked(int allocates) {
    int count = 0;
    for (int i = 0; i < CHILDREN; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            if (allocates)
                CHURN(1);
            _exit(0);
        }
        count += good(pid);
    }
    return count;
}

static int commands(void) {
    int count = 0;
    for (int i = 0; i < 10; i++) {
        char *arguments[] = {"true", NULL}, line[10] = "";
        pid_t pid;
        count += posix_spawnp(&pid, "true", NULL, NULL, arguments, environ) == 0 && good(pid);
        count += system("exit 3") == 3 << 8;
        FILE *output = popen("echo hi", "r");
        count += output && fgets(line, sizeof line, output) && !strcmp(line, "hi\n");
        count += output && pclose(output) == 0;
    }
    return count;
}

// The child allocates in its parent's memory.
static int shared(void) {
    volatile int count = 0;
    for (volatile int i = 0; i < 20; i++) {
        leak_parent(10001);
        pid_t pid = vfork();
        if (pid == 0) {
            leak_parent(10001);
            execlp("true", "true", (char *)NULL);
            _exit(1);
        }
        count += good(pid);
    }
    return count;
}

// The thread that forks is the only one of the child, and not the first of its parent.
static void *fork_here(void *unused) {
    pid_t pid = fork();
    if (pid == 0) {
        CHURN(100);
        leak_child(20001);
        exit(0);
    }
    return good(pid) ? NULL : unused;
}

static int by_thread(void) {
    int count = 0;
    for (int i = 0; i < 5; i++) {
        pthread_t thread;
        void *failed = NULL;
        pthread_create(&thread, NULL, fork_here, "failed");
        pthread_join(thread, &failed);
        count += !failed;
    }
    return count;
}

// A thread that is not the first becomes the program anew, which ends all others.
static char *left;
static void *execute_again(void *program) {
    execl("/proc/self/exe", program, "exec", left, (char *)NULL);
    return NULL;
}

static void by_exec(char *program, const char *times) {
    leak_parent(10001);
    static char number[20];
    snprintf(number, sizeof number, "%d", atoi(times) - 1);
    left = number;
    pthread_t thread;
    if (atoi(times) > 0 && !pthread_create(&thread, NULL, execute_again, program))
        pthread_join(thread, NULL);
}

int main(int argc, char **argv) {
    const char *way = argc > 1 ? argv[1] : "";
    pthread_t threads[2];
    int count = 0, churning = !strcmp(way, "commands") || !strcmp(way, "vfork") || !strcmp(way, "thread");
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int i = 0; churning && i < 2; i++)
        pthread_create(&threads[i], NULL, churn, NULL);
    if (!strcmp(way, "idle") || !strcmp(way, "brief"))
        count = forked(!strcmp(way, "brief"));
    if (!strcmp(way, "commands"))
        count = commands();
    if (!strcmp(way, "vfork"))
        count = shared();
    if (!strcmp(way, "thread"))
        count = by_thread();
    if (!strcmp(way, "exec"))
        by_exec(argv[0], argc > 2 ? argv[2] : "");
    stop = 1;
    for (int i = 0; churning && i < 2; i++)
        pthread_join(threads[i], NULL);
    leak_parent(10001);
    printf("%d\n", count);
    return 0;
}
