// Allocations on stacks of every kind. The argument says which.
#include "target.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
LEAKER(leak_on_stack)

// The least that a thread may have, thread-local storage included.
static void *on_tiny(void *unused) {
    CHURN(50);
    leak_on_stack(1001);
    free(strdup("x"));
    return unused;
}

static void tiny(void) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    printf("size %d\n", pthread_attr_setstacksize(&attributes, 16384));
    int started = 0;
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, on_tiny, NULL))
            continue;
        pthread_join(thread, NULL);
        started++;
    }
    printf("started %d\n", started);
}

// A crash handler on a signal stack of 8 KiB.
static void crashed(int signal) {
    (void)signal;
    leak_on_stack(1002);
    if (write(1, "handled\n", 8) == 8)
        _exit(7);
}

static void alternate(void) {
    static char stack[8192];
    stack_t place = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = crashed, .sa_flags = SA_ONSTACK};
    sigaltstack(&place, NULL);
    sigaction(SIGSEGV, &action, NULL);
    CHURN(1000);
    *(volatile int *)16 = 1;
}

enum { COROUTINES = 30, TURNS = 10 };
static ucontext_t scheduler, coroutines[COROUTINES];
static int current, done;

static void coroutine(void) {
    for (int i = 0; i < TURNS; i++) {
        leak_on_stack(1003);
        CHURN(5);
        swapcontext(&coroutines[current], &scheduler);
    }
    done++;
}

// On blocks of the heap.
static void switched(void) {
    char *stacks[COROUTINES];
    for (int i = 0; i < COROUTINES; i++) {
        getcontext(&coroutines[i]);
        coroutines[i].uc_stack.ss_sp = stacks[i] = malloc(16384);
        coroutines[i].uc_stack.ss_size = 16384;
        coroutines[i].uc_link = &scheduler;
        makecontext(&coroutines[i], coroutine, 0);
    }
    for (int turn = 0; turn <= TURNS; turn++)
        for (current = 0; current < COROUTINES; current++)
            swapcontext(&scheduler, &coroutines[current]);
    for (int i = 0; i < COROUTINES; i++)
        free(stacks[i]);
    printf("done %d\n", done);
}

static jmp_buf outside;
NOINLINE static void inward(int depth) {
    if (depth > 0)
        inward(depth - 1);
    leak_on_stack(1004);
    longjmp(outside, 1);
}

static void jumped(void) {
    volatile int jumps = 0;
    for (volatile int i = 0; i < 1000; i++) {
        if (setjmp(outside))
            jumps++;
        else
            inward(i % 20);
    }
    printf("jumps %d\n", jumps);
}

// Calls on a stack of which nothing is mapped above the return address, or that is not aligned as the ABI wants it.
static void *call_at(char *top, size_t size) {
    void *block, *(*function)(size_t) = leak_on_stack;
    __asm__ volatile("mov %%rsp, %%rbx\n"
                     "mov %[top], %%rsp\n"
                     "call *%[function]\n"
                     "mov %%rbx, %%rsp\n"
                     : "=a"(block), "+D"(size), [function] "+S"(function)
                     : [top] "r"(top)
                     : "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1");
    return block;
}

static void borrowed(int misaligned) {
    size_t size = 64 << 10;
    char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(stack + size / 2, size / 2, PROT_NONE);
    // The loader looks for these functions on its own terms.
    CHURN(1);
    memset(stack, 0, 1);
    for (int i = 0; i < 5; i++)
        kept = call_at(stack + size / 2 - (misaligned ? 264 : 0), 1005);
}

// Code without unwind information, as made at run time, which uses rbp for something else.
void bare(void);
void behind_bare(void) { leak_on_stack(1006); }
__asm__(".text\n.type bare, @function\nbare: push %rbp\nmov $1, %ebp\ncall behind_bare\npop %rbp\nret");

int main(int argc, char **argv) {
    const char *kind = argc > 1 ? argv[1] : "";
    setvbuf(stdout, NULL, _IONBF, 0);
    if (!strcmp(kind, "tiny"))
        tiny();
    if (!strcmp(kind, "alternate"))
        alternate();
    if (!strcmp(kind, "switched"))
        switched();
    if (!strcmp(kind, "jumped"))
        jumped();
    if (!strcmp(kind, "edge"))
        borrowed(0);
    for (int i = 0; !strcmp(kind, "bare") && i < 5; i++)
        bare();
    if (!strcmp(kind, "misaligned"))
        borrowed(1);
    return 0;
}
