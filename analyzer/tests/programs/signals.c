// Prints the number of each signal it gets; SIGUSR1 ends it with status 9.
#include <signal.h>
#include <stdio.h>

int main(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, 0);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int signal = 0;
        sigwait(&all, &signal);
        printf("%d\n", signal);
        fflush(stdout);
        if (signal == SIGUSR1) return 9;
    }
}
