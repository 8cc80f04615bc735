// What a program does with descriptors. The first argument is the way, the second a file of its own.
#include "target.h"
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
LEAKER(leak_here)

static int file_at(const char *path, int flags) { return open(path, O_RDWR | O_CREAT | flags, 0600); }

// Whatever else held a number of the file's would be written into it.
static void close_all(const char *path) {
    for (int i = 3; i < 1024; i++)
        close(i);
    int files[10];
    for (int i = 0; i < 10; i++)
        files[i] = file_at(path, i ? O_APPEND : O_TRUNC);
    printf("first %d\n", files[0]);
    int written = 0;
    for (int i = 0; i < 300; i++) {
        written += write(files[9], "0123456789", 10);
        CHURN(300);
    }
    struct stat status;
    char text[3001] = "";
    int right = pread(files[0], text, sizeof text, 0) == 3000;
    for (int i = 0; i < 3000; i++)
        right &= text[i] == '0' + i % 10;
    printf("%d bytes, %d right, %d\n", written, right, fstat(files[0], &status) ? 0 : (int)status.st_size);
}

static void be_daemon(const char *path) {
    setsid();
    if (fork())
        _exit(0);
    if (chdir("/"))
        _exit(1);
    umask(0);
    for (int i = 0; i < 1024; i++)
        close(i);
    int null = open("/dev/null", O_RDWR), file = file_at(path, O_TRUNC), again = dup(file);
    CHURN(20000);
    for (int i = 0; i < 6; i++)
        leak_here(10001);
    dprintf(file, "daemon %d %d %d\n", null, file, again);
    _exit(0);
}

static void print(const char *path) {
    char line[100] = "";
    int file = open(path, O_RDONLY);
    if (read(file, line, sizeof line - 1) > 0)
        fputs(line, stdout);
}

// It is this process's child once its own parent is gone.
static void daemonize(const char *path) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (fork() == 0)
        be_daemon(path);
    while (wait(NULL) > 0)
        ;
    print(path);
}

// Started with 0 to 2 closed.
static void closed(const char *path) {
    CHURN(100);
    leak_here(10001);
    int file = file_at(path, O_TRUNC), second = dup(file), third = dup(file);
    dprintf(file, "files %d %d %d\n", file, second, third);
    fprintf(stderr, "error\n");
    printf("output\n");
    fflush(stdout);
    CHURN(1000);
}

int main(int argc, char **argv) {
    const char *way = argc > 1 ? argv[1] : "", *path = argc > 2 ? argv[2] : "";
    if (!strcmp(way, "close all"))
        close_all(path);
    if (!strcmp(way, "daemon"))
        daemonize(path);
    if (!strcmp(way, "closed"))
        closed(path);
    if (!strcmp(way, "first"))
        printf("%d\n", open("/dev/null", O_RDONLY));
    leak_here(10001);
    return 0;
}
