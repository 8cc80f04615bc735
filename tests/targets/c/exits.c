// The ways a process ends. Five blocks are unfreed at each; the argument is the way.
#include "target.h"
#include <signal.h>
#include <sys/syscall.h>
LEAKER(leak_exit)

static void *leave_last(void *main_thread) {
    pthread_join((pthread_t)main_thread, NULL);
    leak_exit(10005);
    exit(6);
}

static void *churn_for_ever(void *started) {
    CHURN(1000);
    pthread_barrier_wait(started);
    for (;;)
        CHURN(1000);
    return NULL;
}

static void race(void) {
    pthread_barrier_t started;
    pthread_barrier_init(&started, NULL, 9);
    for (int i = 0; i < 8; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, churn_for_ever, &started);
    }
    pthread_barrier_wait(&started);
    exit(8);
}

int main(int argc, char **argv) {
    const char *way = argc > 1 ? argv[1] : "";
    CHURN(1000);
    for (int i = 1; i <= 4; i++)
        leak_exit(10000 + i);
    if (!strcmp(way, "pthread_exit")) {
        pthread_t thread;
        pthread_create(&thread, NULL, leave_last, (void *)pthread_self());
        pthread_exit(NULL);
    }
    leak_exit(10005);
    if (write(1, "ok\n", 3) != 3)
        return 1;
    if (!strcmp(way, "_exit"))
        _exit(9);
    if (!strcmp(way, "quick_exit"))
        quick_exit(7);
    if (!strcmp(way, "exit_group"))
        syscall(SYS_exit_group, 5);
    if (!strcmp(way, "abort"))
        abort();
    if (!strcmp(way, "kill"))
        kill(getpid(), SIGKILL);
    if (!strcmp(way, "crash"))
        *(volatile int *)16 = 1;
    if (!strcmp(way, "race"))
        race();
    return 4;
}
