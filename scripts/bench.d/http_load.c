// http_load SOCKET REQUESTS PER_CONNECTION [LAST]: the load of a web server on a Unix socket.
// Four connections at once, each kept for so many requests: GET /0, /1, .. and so on. Answers must be of status 200 and say their length.
// At the end LAST is asked for, and no answer expected.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { AT_ONCE = 4 };

static void fail(const char *why, const char *what) {
    fprintf(stderr, "http_load: %s: %s\n", why, what);
    exit(1);
}

static int connected(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (strlen(path) >= sizeof address.sun_path) fail("too long a path", path);
    strcpy(address.sun_path, path);
    if (connect(connection, (struct sockaddr *)&address, sizeof address)) fail("connect", strerror(errno));
    return connection;
}

static void ask(int connection, const char *path) {
    char text[256];
    int length = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n", path);
    if (send(connection, text, length, MSG_NOSIGNAL) != length) fail("send", strerror(errno));
}

static void read_answer(int connection) {
    static char text[1 << 16];
    size_t have = 0;
    for (;;) {
        ssize_t more = recv(connection, text + have, sizeof text - 1 - have, 0);
        if (more <= 0) fail("the server hung up after", text);
        text[have += more] = 0;
        char *body = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "content-length:");
        if (!body) continue;
        if (strncmp(text, "HTTP/1.1 200", 12) || !length || length > body) fail("an answer that was not expected", text);
        if (have >= (size_t)(body + 4 - text) + atol(length + 15)) return;
    }
}

int main(int argc, char **argv) {
    if (argc < 4) fail("wanted", "SOCKET REQUESTS PER_CONNECTION [LAST]");
    long requests = atol(argv[2]), each = atol(argv[3]);
    int connections[AT_ONCE];
    char path[32];
    for (long done = 0; done < requests; done += AT_ONCE) {
        for (int i = 0; i < AT_ONCE; i++) {
            if (done / AT_ONCE % each == 0) {
                if (done) close(connections[i]);
                connections[i] = connected(argv[1]);
            }
            snprintf(path, sizeof path, "/%ld", done + i);
            ask(connections[i], path);
        }
        for (int i = 0; i < AT_ONCE; i++) read_answer(connections[i]);
    }
    if (argc > 4) ask(connected(argv[1]), argv[4]);
    return 0;
}
