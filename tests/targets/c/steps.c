// Does what each line of its input says, and answers with the line: in between, a test can do something to its recording.
// It exits at the end of its input.
//
//   work    a hundred blocks that are kept, and some chunks full of events
//   fork    a child that keeps seven blocks and exits
//   drop    the same, as user and group 65534
#include "target.h"
#include <sys/wait.h>
LEAKER(leak_step)
LEAKER(leak_child)

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

int main(void) {
    char line[16];
    while (read(0, line, 5) == 5) {
        if (!memcmp(line, "work", 4))
            work();
        else
            child(line[0] == 'd');
        if (write(1, line, 5) != 5)
            return 1;
    }
    return 0;
}
