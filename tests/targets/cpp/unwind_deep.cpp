// Recursion around and far above the depth at which stacks are cut, up and down.
#include <cstdlib>

static void *volatile sink;

__attribute__((noinline, noclone)) static int other(int depth, int leaf);

__attribute__((noinline, noclone)) static int descend(int depth, int leaf) {
    volatile char frame[40];
    frame[depth & 31] = 1;
    if (depth % 50 == 0 || depth >= leaf) {
        void *block = malloc(24);
        sink = block;
        free(block);
    }
    if (depth >= leaf)
        return frame[depth & 31];
    return (depth % 3 ? descend(depth + 1, leaf) : other(depth + 1, leaf)) + frame[depth & 31];
}

__attribute__((noinline, noclone)) static int other(int depth, int leaf) {
    volatile char frame[72];
    frame[depth & 63] = 2;
    return descend(depth + 1, leaf) + frame[depth & 63];
}

int main() {
    static const int leaves[] = {900, 1010, 1015, 1018, 1019, 1020, 1021, 1022, 1024, 1030, 1100, 2500, 5000, 1021, 1000};
    long sum = 0;
    for (int round = 0; round < 4; round++)
        for (int leaf : leaves)
            for (int again = 0; again < 3; again++)
                sum += descend(1, leaf - leaf % 2 * again);
    return sum == 42;
}
