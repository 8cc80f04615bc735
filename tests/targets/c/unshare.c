// Leaves its namespaces, of which some need a process of one thread, and goes on in others, with a child.
#include "target.h"
#include <sched.h>
#include <sys/wait.h>
LEAKER(leak_before)
LEAKER(leak_after)
LEAKER(leak_child)

int main(void) {
    for (int i = 0; i < 3; i++)
        leak_before(10001);
    int flags[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET};
    for (int i = 0; i < 4; i++)
        printf("%x %d\n", flags[i], unshare(flags[i]));
    fflush(stdout);
    CHURN(100000);
    for (int i = 0; i < 4; i++)
        leak_after(20001);
    if (fork() == 0) {
        CHURN(10000);
        leak_child(30001);
        printf("child %d\n", getpid());
        return 0;
    }
    int status = -1;
    wait(&status);
    printf("status %x\n", status);
    return 0;
}
