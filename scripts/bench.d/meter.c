// meter OUT COMMAND...: runs a command and writes "wall_ns cpu_us largest_kib tree_kib status" to OUT once all that it started has ended.
// wall: until the command itself has ended. cpu: user and system time of it and of every descendant, also those that nobody waited for.
// largest: the peak of the largest process, as the system counts it. tree: the largest sum of the peaks of those alive together, looked at
// every 20 ms, never below `largest`; pages that they share count in each. status: the exit status, or minus the signal.
// A program of its own, because a process begins with the peak of the one that forked it.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static long long microseconds(struct timeval time) { return time.tv_sec * 1000000ll + time.tv_usec; }

static long peak_of(int pid) {
    char name[64], line[256];
    long kib = 0;
    snprintf(name, sizeof name, "/proc/%d/status", pid);
    FILE *file = fopen(name, "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1) break;
    if (file) fclose(file);
    return kib;
}

// The sum of the peaks of all that is below a process; what is started by a thread other than the first is not seen.
static long peaks_below(int pid) {
    char name[64];
    long sum = 0;
    int child;
    snprintf(name, sizeof name, "/proc/%d/task/%d/children", pid, pid);
    FILE *file = fopen(name, "r");
    while (file && fscanf(file, "%d", &child) == 1) sum += peak_of(child) + peaks_below(child);
    if (file) fclose(file);
    return sum;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    sigset_t ended, before;
    sigemptyset(&ended);
    sigaddset(&ended, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ended, &before);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    long long began = now(), wall = 0, cpu = 0;
    int child = fork(), status = 0, how, pid;
    if (child == 0) {
        sigprocmask(SIG_SETMASK, &before, NULL);
        execvp(argv[2], argv + 2);
        perror(argv[2]);
        _exit(127);
    }
    long largest = 0, tree = 0;
    struct rusage usage;
    while ((pid = wait4(-1, &how, WNOHANG, &usage)) >= 0) {
        if (pid == 0) {
            long sum = peaks_below(getpid());
            if (sum > tree) tree = sum;
            sigtimedwait(&ended, NULL, &(struct timespec){0, 20000000});
            continue;
        }
        cpu += microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
        if (usage.ru_maxrss > largest) largest = usage.ru_maxrss;
        if (pid != child) continue;
        wall = now() - began;
        status = WIFSIGNALED(how) ? -WTERMSIG(how) : WEXITSTATUS(how);
    }
    FILE *out = fopen(argv[1], "w");
    if (!out) return 2;
    fprintf(out, "%lld %lld %ld %ld %d\n", wall, cpu, largest, tree > largest ? tree : largest, status);
    return fclose(out) != 0;
}
