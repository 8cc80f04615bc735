// Allocations before main and after it: .preinit_array, the resolver of an indirect function, constructors; exit
// handlers and destructors.
#include "target.h"
LEAKER(leak_preinit)
LEAKER(leak_constructor)
LEAKER(leak_atexit)
LEAKER(leak_destructor)

static void preinit(void) {
    free(malloc(30));
    leak_preinit(10001);
}
__attribute__((section(".preinit_array"), used)) static void (*preinit_entry)(void) = preinit;

__attribute__((constructor)) static void constructor(void) {
    free(malloc(40));
    leak_constructor(10002);
}

__attribute__((destructor)) static void destructor(void) {
    CHURN(100);
    leak_destructor(10004);
}

static void at_exit(void) {
    CHURN(100);
    leak_atexit(10003);
}

int main(void) {
    atexit(at_exit);
    puts("ok");
    return 0;
}
