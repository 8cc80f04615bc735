// Allocations at a depth that is given: below 1,024 frames the whole stack is recorded, above it is cut.
#include "target.h"
LEAKER(leak_deep)

NOINLINE int descend(int depth) {
    volatile int here = depth;
    if (depth <= 0) {
        for (int i = 0; i < 50; i++) {
            leak_deep(10001);
            CHURN(20);
        }
        return 0;
    }
    int below = descend(depth - 1);
    return below + (here & 1);
}

int main(int argc, char **argv) {
    printf("%d\n", descend(argc > 1 ? atoi(argv[1]) : 0));
    return 0;
}
