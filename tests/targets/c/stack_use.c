// How much of the stack allocation functions touch below their caller: the stack is painted, the call made, and the
// lowest word looked for that is no longer paint. Prints `BYTES what` for each; the argument is a library with a function
// plugin_run, whose code was never on a stack before. Python loads it as a library and calls stack_of. Linked with
// `-z now`: the loader's own search for a function would be the deepest.
#include "target.h"
#include <dlfcn.h>
#include <signal.h>
#include <sys/wait.h>

enum { PAINTED = 64 << 10, PAINT = 0x5b };
static void *(*plugin_run)(size_t);
static void *block;

// Paints below its caller's frame, or says how deep the paint was touched. Compiled without any use of the stack itself.
NOINLINE static long paint(int look) {
    volatile char *frame = __builtin_frame_address(0);
    if (!look) {
        for (volatile char *at = frame - 64; at > frame - PAINTED; at--)
            *at = PAINT;
        return 0;
    }
    volatile char *at = frame - PAINTED + 1;
    while (at < frame && *at == PAINT)
        at++;
    return frame - at;
}

static void first_call(void) { block = malloc(100); }
static void release(void) { free(block); }
static void steady(void) { CHURN(300000); }
static void resize(void) { block = realloc(malloc(50), 5000); }
static void cleared(void) { block = calloc(10, 10); }
static void aligned(void) { block = aligned_alloc(64, 128); }
static void by_plugin(void) { plugin_run(100); }

// Bytes of stack that so many allocations by this function touch.
long stack_of(void *(*allocate)(size_t), int times) {
    paint(0);
    for (int i = 0; i < times; i++)
        kept = allocate(100);
    return paint(1);
}

static void measure(const char *what, void (*call)(void)) {
    paint(0);
    call();
    long used = paint(1);
    char line[80];
    int length = snprintf(line, sizeof line, "%ld %s\n", used, what);
    if (write(1, line, length) != length)
        _exit(1);
}

NOINLINE static void deep(int depth) {
    volatile int here = depth;
    if (here)
        deep(depth - 1);
    else
        measure("behind 2,000 frames", first_call);
    (void)here;
}

static void handler(int signal) {
    (void)signal;
    measure("in a signal handler", first_call);
}

// Called by code without unwind information, whose frame pointer is followed.
void bare(void);
void behind_bare(void) { measure("behind code without unwind information", first_call); }
__asm__(".text\n.globl bare\n.type bare, @function\nbare: push %rbp\nmov %rsp, %rbp\ncall behind_bare\npop %rbp\nret");

static void *thread(void *what) {
    measure(what, first_call);
    return NULL;
}

static void in_thread(const char *what) {
    pthread_t id;
    pthread_create(&id, NULL, thread, (void *)what);
    pthread_join(id, NULL);
}

int main(int argc, char **argv) {
    measure("first call of the process", first_call);
    measure("free", release);
    measure("300,000 calls of malloc and free", steady);
    measure("realloc", resize);
    measure("calloc", cleared);
    measure("aligned_alloc", aligned);
    deep(2000);
    signal(SIGUSR1, handler);
    raise(SIGUSR1);
    bare();
    in_thread("first call of a thread");
    in_thread("first call of a thread behind one that ended");
    void *plugin = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
    if (!plugin)
        return 2;
    *(void **)&plugin_run = dlsym(plugin, "plugin_run");
    measure("a library's first call", by_plugin);
    if (fork() == 0) {
        measure("first call of a child", first_call);
        _exit(0);
    }
    wait(NULL);
    return 0;
}
