// A signal handler that keeps a block of 20003 bytes at each call.
#include <stdlib.h>

int calls;
static void *volatile kept;

void allocate_in_handler(int signal) {
    calls++;
    kept = malloc(20003);
}
