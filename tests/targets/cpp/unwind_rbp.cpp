// The same pc and sp at malloc and every return address of the last stack unchanged, yet another stack: one more
// level of recursion, of which only the saved rbp tell.
#include <alloca.h>
#include <cstdlib>
#include <cstring>

static void *volatile sink;
static volatile bool through_leaf;

// Saves rbp on the stack and uses it for something else: there it has to be compared.
__attribute__((noinline, noclone)) static void leaf() {
    asm volatile("xor %%ebp, %%ebp" ::: "rbp");
    void *block = malloc(100);
    sink = block;
    asm volatile("" ::: "rbp");
}

__attribute__((noinline, noclone)) static int level(int depth, int size, int next) {
    char *block = (char *)alloca(size);
    memset(block, 1, size + 1);
    sink = block;
    int result = 0;
    if (depth > 0) {
        result = level(depth - 1, depth == 1 ? next : 0, next);
    } else if (through_leaf) {
        leaf();
    } else {
        void *allocated = malloc(100);
        sink = allocated;
    }
    asm volatile("" ::"r"(block) : "memory");
    return result + block[0];
}

int main() {
    long sum = 0;
    for (int round = 0; round < 300; round++) {
        through_leaf = round % 2;
        for (int size = 16; size < 600; size += 16)
            for (int i = 0; i < 6; i++)
                sum += level(i & 1 ? 2 + (i >> 1) : 1, 16, i & 1 ? 16 : size);
    }
    return sum == 1;
}
