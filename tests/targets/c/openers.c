// Every way to open a descriptor, twice: one is closed again in the way that belongs to it, the other is kept. Prints the
// kept ones: number, kind (as recorded), and the way. argv[1]: a directory to work in.
#include "target.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>

#ifndef SYS_close_range // headers before Linux 5.9
#define SYS_close_range 436
#endif

enum { FILE_ = 1, DIRECTORY, SOCKET, ACCEPTED, PIPE, EPOLL, EVENT, MEMORY, TIMER, SIGNAL, INOTIFY, DUPLICATE, RECEIVED };

static void check(int result, const char *way) {
    if (result < 0) {
        perror(way);
        exit(1);
    }
}

static void keep(int descriptor, int kind, const char *way) {
    check(descriptor, way);
    printf("%d %d %s\n", descriptor, kind, way);
}

#define DESCRIPTOR(kind, way, ...)                                                                                     \
    do {                                                                                                               \
        int first_ = __VA_ARGS__, second_ = __VA_ARGS__;                                                               \
        check(first_, way);                                                                                            \
        keep(second_, kind, way);                                                                                      \
        close(first_);                                                                                                 \
    } while (0)
#define STREAM(kind, way, close_, number_, ...)                                                                        \
    do {                                                                                                               \
        void *first_ = __VA_ARGS__, *second_ = __VA_ARGS__;                                                            \
        check(first_ && second_ ? 0 : -1, way);                                                                        \
        keep(number_(second_), kind, way);                                                                             \
        close_(first_);                                                                                                \
    } while (0)
#define TWO(kind, way, ...)                                                                                            \
    do {                                                                                                               \
        int ends[2];                                                                                                   \
        check(__VA_ARGS__, way);                                                                                       \
        close(ends[0]);                                                                                                \
        keep(ends[1], kind, way);                                                                                      \
    } while (0)

static int temporary(int (*make)(char *)) {
    char path[] = "file-XXXXXX";
    return make(path);
}

static int temporary_with_flags(void) {
    char path[] = "file-XXXXXX";
    return mkostemp(path, O_CLOEXEC);
}

static int temporary_with_suffix(void) {
    char path[] = "file-XXXXXX.c";
    return mkstemps(path, 2);
}

static void sockets(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    keep(server, SOCKET, "socket");
    check(bind(server, (void *)&address, sizeof address), "bind");
    check(listen(server, 8), "listen");
    for (int way = 0; way < 4; way++) {
        int client = socket(AF_UNIX, SOCK_STREAM, 0);
        check(connect(client, (void *)&address, sizeof address), "connect");
        int accepted = way & 1 ? accept4(server, NULL, NULL, SOCK_CLOEXEC) : accept(server, NULL, NULL);
        if (way < 2)
            keep(accepted, ACCEPTED, way & 1 ? "accept4" : "accept");
        else
            close(accepted);
        close(client);
    }
    int refused = accept4(-1, NULL, NULL, 0);
    printf("refused %d %d\n", refused, errno == EBADF);
}

static void send_and_receive(int sent) {
    int ends[2];
    check(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), "socketpair");
    int both[2] = {sent, sent};
    char byte = 0;
    struct iovec part = {&byte, 1};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof both)];
    } control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof both);
    memcpy(CMSG_DATA(header), both, sizeof both);
    check(sendmsg(ends[0], &message, 0), "sendmsg");
    memset(&control, 0, sizeof control);
    check(recvmsg(ends[1], &message, 0), "recvmsg");
    memcpy(both, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof both);
    keep(both[0], RECEIVED, "recvmsg");
    close(both[1]);
    close(ends[0]);
    close(ends[1]);
}

static void numbers(int open_one) {
    DESCRIPTOR(DUPLICATE, "dup", dup(open_one));
    DESCRIPTOR(DUPLICATE, "F_DUPFD", fcntl(open_one, F_DUPFD, 200));
    DESCRIPTOR(DUPLICATE, "F_DUPFD_CLOEXEC", fcntl(open_one, F_DUPFD_CLOEXEC, 200));
    check(fcntl(open_one, F_SETFD, FD_CLOEXEC), "F_SETFD");
    // A number that is open becomes another's, and one stays what it is.
    int old = eventfd(0, 0);
    keep(dup2(open_one, old), DUPLICATE, "dup2");
    int same = eventfd(0, 0);
    keep(dup2(same, same), EVENT, "eventfd");
    keep(dup3(open_one, 300, O_CLOEXEC), DUPLICATE, "dup3");
    dup2(open_one, 301);
    close(301);
}

static void ranges(void) {
    for (int number = 400; number < 420; number++)
        check(dup2(1, number), "dup2");
    // What the C library does not have the kernel may.
    syscall(SYS_close_range, 405, 409, 0);
    syscall(SYS_close_range, 410, 414, 4 /* CLOSE_RANGE_CLOEXEC */);
    for (int number = 400; number < 420; number++)
        if (fcntl(number, F_GETFD) >= 0)
            keep(number, DUPLICATE, "close_range");
    check(fcntl(410, F_GETFD) == FD_CLOEXEC ? 0 : -1, "CLOSE_RANGE_CLOEXEC");
}

// What children do to their descriptors is not ours.
static void children(int open_one) {
    pid_t child = vfork();
    if (child == 0) {
        close(open_one);
        dup2(1, 500);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    child = fork();
    if (child == 0) {
        close(open_one);
        kept = malloc(20001);
        keep(open("in-child", O_RDWR | O_CREAT, 0600), FILE_, "child");
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    FILE *process = popen("exit 3", "r");
    printf("pclose %d\n", WEXITSTATUS(pclose(process)));
}

static void on_signal(int signal) {
    (void)signal;
    int saved = errno;
    close(open("/dev/null", O_RDONLY));
    close(-1);
    errno = saved;
}

static void *opens(void *way) {
    for (int round = 0; round < 200; round++)
        close(open("/dev/null", O_RDONLY));
    keep(open("/dev/null", O_RDONLY), FILE_, way);
    return NULL;
}

static void *waits(void *server) {
    accept(*(int *)server, NULL, NULL);
    return NULL;
}

// A thread that is cancelled where it waits for a connection.
static void cancelled(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "another"};
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    keep(server, SOCKET, "socket");
    check(bind(server, (void *)&address, sizeof address), "bind");
    check(listen(server, 1), "listen");
    pthread_t thread;
    void *result;
    pthread_create(&thread, NULL, waits, &server);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    printf("cancelled %d\n", result == PTHREAD_CANCELED);
}

int main(int argc, char **argv) {
    check(argc > 1 ? chdir(argv[1]) : -1, "chdir");
    sigset_t mask;
    sigemptyset(&mask);
    DESCRIPTOR(FILE_, "open", open("file", O_RDWR | O_CREAT, 0640));
    DESCRIPTOR(FILE_, "openat", openat(AT_FDCWD, "file", O_RDONLY));
    DESCRIPTOR(DIRECTORY, "open", open(".", O_RDONLY | O_DIRECTORY));
    DESCRIPTOR(FILE_, "creat", creat("created", 0600));
    DESCRIPTOR(FILE_, "mkstemp", temporary(mkstemp));
    DESCRIPTOR(FILE_, "mkostemp", temporary_with_flags());
    DESCRIPTOR(FILE_, "mkstemps", temporary_with_suffix());
#ifdef __GLIBC__
    DESCRIPTOR(FILE_, "open64", open64("file64", O_RDWR | O_CREAT, 0600));
    DESCRIPTOR(FILE_, "openat64", openat64(AT_FDCWD, "file64", O_RDONLY));
    DESCRIPTOR(FILE_, "creat64", creat64("created", 0600));
    DESCRIPTOR(FILE_, "mkstemp64", temporary(mkstemp64));
    STREAM(FILE_, "fopen64", fclose, fileno, fopen64("file", "r"));
    STREAM(FILE_, "tmpfile64", fclose, fileno, tmpfile64());
#endif
    DESCRIPTOR(SOCKET, "socket", socket(AF_INET, SOCK_DGRAM, 0));
    DESCRIPTOR(EPOLL, "epoll_create", epoll_create(1));
    DESCRIPTOR(EPOLL, "epoll_create1", epoll_create1(EPOLL_CLOEXEC));
    DESCRIPTOR(EVENT, "eventfd", eventfd(0, EFD_CLOEXEC));
    DESCRIPTOR(TIMER, "timerfd_create", timerfd_create(CLOCK_MONOTONIC, 0));
    DESCRIPTOR(SIGNAL, "signalfd", signalfd(-1, &mask, 0));
    DESCRIPTOR(INOTIFY, "inotify_init", inotify_init());
    DESCRIPTOR(INOTIFY, "inotify_init1", inotify_init1(0));
    DESCRIPTOR(MEMORY, "memfd_create", memfd_create("name", 0));
    DESCRIPTOR(MEMORY, "syscall", (int)syscall(SYS_memfd_create, "name", 0));
    int changed = signalfd(-1, &mask, 0);
    keep(signalfd(changed, &mask, 0), SIGNAL, "signalfd");
    STREAM(FILE_, "fopen", fclose, fileno, fopen("file", "r"));
    STREAM(FILE_, "tmpfile", fclose, fileno, tmpfile());
    STREAM(FILE_, "fdopen", fclose, fileno, fdopen(open("file", O_RDONLY), "r"));
    STREAM(PIPE, "popen", pclose, fileno, popen("exit 0", "r"));
    STREAM(DIRECTORY, "opendir", closedir, dirfd, opendir("."));
    STREAM(FILE_, "freopen", fclose, fileno, freopen("created", "r", fopen("file", "r")));
    TWO(PIPE, "pipe", pipe(ends));
    TWO(PIPE, "pipe2", pipe2(ends, O_NONBLOCK));
    TWO(SOCKET, "socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    sockets();
    int open_one = open("file", O_RDONLY);
    keep(open_one, FILE_, "open");
    send_and_receive(open_one);
    numbers(open_one);
    int by_number = (int)syscall(SYS_openat, AT_FDCWD, "file", O_RDONLY, 0);
    syscall(SYS_close, by_number);
    ranges();
    // No descriptor, and what has none; errno is as it was.
    errno = ERANGE;
    char buffer[16];
    fclose(fmemopen(buffer, sizeof buffer, "w"));
    printf("errno %d\n", errno == ERANGE);
    int missing = open("no/such/file", O_RDONLY);
    printf("missing %d %d\n", missing, errno == ENOENT);
    missing = close(-1);
    printf("closed %d %d\n", missing, errno == EBADF);
    fflush(stdout);
    children(open_one);
    signal(SIGALRM, on_signal);
    for (int round = 0; round < 100; round++) {
        raise(SIGALRM);
        close(open("/dev/null", O_RDONLY));
    }
    pthread_t threads[4];
    for (int index = 0; index < 4; index++)
        pthread_create(&threads[index], NULL, opens, "thread");
    for (int index = 0; index < 4; index++)
        pthread_join(threads[index], NULL);
    cancelled();
    return 0;
}
