// What each C library does in its own way: its own allocations, calls back into the program, threads, signals,
// libraries and processes. The arguments are a plugin and a program of another C library.
#include "target.h"
#include <dlfcn.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
LEAKER(leak_in_main)
LEAKER(leak_in_callback)
LEAKER(leak_in_handler)
LEAKER(leak_in_thread)
LEAKER(leak_in_child)
LEAKER(leak_in_exit)
extern char **environ;

NOINLINE void by_strdup(void) {
    kept = strdup("0123456789");
    __asm__ volatile("");
}

NOINLINE void by_getline(void) {
    char *line = NULL;
    size_t size = 0;
    FILE *file = fopen("/proc/self/stat", "r");
    if (file && getline(&line, &size, file) > 0)
        fclose(file);
    kept = line;
}

NOINLINE void by_asprintf(void) {
    char *text;
    if (asprintf(&text, "%d and %f", 17, 1.5) > 0)
        kept = text;
    __asm__ volatile("");
}

static int compare(const void *left, const void *right) {
    static int called;
    if (!called++)
        leak_in_callback(10002);
    return *(const int *)left - *(const int *)right;
}

NOINLINE void by_qsort(void) {
    int numbers[5] = {3, 1, 5, 2, 4};
    qsort(numbers, 5, sizeof *numbers, compare);
    printf("%d\n", numbers[4]);
}

static void handler(int signal) {
    leak_in_handler(10003 + 0 * signal);
}

NOINLINE void interrupted(void) {
    raise(SIGUSR1);
    __asm__ volatile("");
}

static void *thread(void *unused) {
    CHURN(100);
    leak_in_thread(10004);
    return unused;
}

static void threads(void) {
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, thread, NULL);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
}

static void load(const char *plugin) {
    for (int i = 0; i < 3; i++) {
        void *library = dlopen(plugin, RTLD_NOW);
        void *(*run)(size_t) = library ? (void *(*)(size_t))dlsym(library, "plugin_run") : NULL;
        if (!run) {
            puts(dlerror());
            return;
        }
        run(10005);
        dlclose(library);
    }
}

static int status_of(pid_t pid) {
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

static void processes(char **other) {
    pid_t pid = fork();
    if (pid == 0) {
        leak_in_child(10006);
        _exit(0);
    }
    printf("fork %x\n", status_of(pid));
    pid = vfork();
    if (pid == 0) {
        execl("/nonexistent", "nonexistent", (char *)NULL);
        _exit(7);
    }
    printf("vfork %x\n", status_of(pid));
    if (other[0]) {
        int failed = posix_spawn(&pid, other[0], NULL, NULL, other, environ);
        printf("spawn %d %x\n", failed, failed ? 0 : status_of(pid));
    }
}

static void at_end(void) {
    leak_in_exit(10007);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    signal(SIGUSR1, handler);
    atexit(at_end);
    CHURN(1000);
    leak_in_main(10001);
    by_strdup();
    by_getline();
    by_asprintf();
    by_qsort();
    interrupted();
    threads();
    if (argc > 1)
        load(argv[1]);
    processes(argv + (argc > 2 ? 2 : argc));
    return 3;
}
