// A handler that allocates, raised where the program is outside of the allocator: the stack goes through the signal's
// frame.
#include "target.h"
#include <signal.h>
LEAKER(leak_in_handler)

static int runs;

static void handler(int signal) {
    (void)signal;
    leak_in_handler(10001);
    CHURN(5);
    runs++;
}

NOINLINE void interrupted(void) {
    raise(SIGUSR1);
    __asm__ volatile("");
}

int main(void) {
    signal(SIGUSR1, handler);
    for (int i = 0; i < 20; i++)
        interrupted();
    printf("%d\n", runs);
    return 0;
}
