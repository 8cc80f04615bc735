// 300,000 blocks that live at once; in the midst of it a child.
#include "target.h"
#include <sys/wait.h>
LEAKER(hold)

enum { BLOCKS = 300000 };
static void *blocks[BLOCKS];

int main(void) {
    int status = -1;
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = hold(8 + i % 40);
        if (i == BLOCKS / 2) {
            pid_t pid = fork();
            if (pid == 0) {
                CHURN(100);
                free(blocks[0]);
                _exit(3);
            }
            waitpid(pid, &status, 0);
        }
    }
    for (int i = BLOCKS - 1; i >= 0; i--)
        if (i % 1000)
            free(blocks[i]);
    printf("child %x\n", status);
    return 0;
}
