// Does what each line of its input says, and answers with the line: in between, a test can do something to its recording.
// It exits at the end of its input.
//
//   work    a hundred blocks that are kept, and some chunks full of events
//   fork    a child that keeps seven blocks and exits
//   drop    the same, as user and group 65534
//   pair    a child that goes on beside this process until it ends
//   many    another child, which keeps a block and waits for this process to end
//   keep    a block that is kept, by this process and by the child of pair
//   take    a block
//   give    that block back
//   mark    says that this moment is called "said"
//   exec    itself, which goes on with the input
#include "../../../include/unfreed.h"
#include "target.h"
#include <sys/wait.h>
LEAKER(leak_step)
LEAKER(leak_child)
LEAKER(take_block)

static int to_child = -1, from_child = -1, gate[2] = {-1, -1};
static void *taken;

static void work(void) {
    for (int i = 0; i < 100; i++)
        leak_step(3001);
    CHURN(100000);
}

static void child(int drop) {
    pid_t pid = fork();
    if (pid == 0) {
        if (drop && (setgid(65534) || setuid(65534)))
            _exit(1);
        for (int i = 0; i < 7; i++)
            leak_child(5003);
        exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void pair(void) {
    int to[2], from[2];
    char byte;
    if (pipe(to) || pipe(from))
        exit(1);
    if (fork()) {
        close(to[0]);
        close(from[1]);
        to_child = to[1];
        from_child = from[0];
        return;
    }
    close(to[1]);
    close(from[0]);
    while (read(to[0], &byte, 1) == 1) {
        leak_child(5003);
        if (write(from[1], &byte, 1) != 1)
            break;
    }
    exit(0);
}

static void many(void) {
    char byte = 0;
    int from[2];
    if ((gate[0] < 0 && pipe(gate)) || pipe(from))
        exit(1);
    if (fork() == 0) {
        close(gate[1]);
        leak_child(5003);
        exit(write(from[1], &byte, 1) != 1 || read(gate[0], &byte, 1) != 0);
    }
    close(from[1]);
    if (read(from[0], &byte, 1) != 1)
        exit(1);
    close(from[0]);
}

static void keep(void) {
    char byte = 0;
    leak_step(3001);
    if (to_child >= 0 && (write(to_child, &byte, 1) != 1 || read(from_child, &byte, 1) != 1))
        exit(1);
}

int main(int argc, char **argv) {
    char line[16];
    while (read(0, line, 5) == 5) {
        switch (line[0] << 8 | line[1]) {
        case 'w' << 8 | 'o': work(); break;
        case 'f' << 8 | 'o': child(0); break;
        case 'd' << 8 | 'r': child(1); break;
        case 'p' << 8 | 'a': pair(); break;
        case 'm' << 8 | 'a': line[2] == 'r' ? (void)unfreed_mark("said") : many(); break;
        case 'k' << 8 | 'e': keep(); break;
        case 't' << 8 | 'a': taken = take_block(7001); break;
        case 'g' << 8 | 'i': free(taken); break;
        case 'e' << 8 | 'x':
            if (write(1, line, 5) == 5)
                execv("/proc/self/exe", argv);
            return 1;
        }
        if (write(1, line, 5) != 5)
            return 1;
    }
    close(to_child);
    close(gate[1]);
    while (wait(NULL) > 0) {
    }
    return argc == 0;
}
