// Interrupts the thread behind each instruction between begin() and end(). A handler that interrupted the code of
// [low, high) allocates and frees a block: as if a signal came at that instant.
#include "target.h"
#include <signal.h>
#include <ucontext.h>

static unsigned long low, high, handled;

static void handler(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    unsigned long at = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    if (at >= low && at < high) {
        void *volatile block = malloc(10001);
        free(block);
        handled++;
    }
}

void begin(unsigned long from, unsigned long to) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
    low = from, high = to;
    if (sigaction(SIGTRAP, &action, NULL))
        abort();
    // The trap flag. The words pushed must not lie where the compiler keeps something below the stack pointer.
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::: "memory", "cc");
}

unsigned long end(void) {
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::: "memory", "cc");
    return handled;
}
