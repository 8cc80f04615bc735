// Loads the interpreter's library LIBRARY late, and runs CODE in as many interpreters as said, one after the other.
// With "allocator" its objects come from an allocator of this program's: each block has a header of 32 bytes, and every
// 1000th call raises a signal, whose handler, in the library HANDLER, allocates.
#include "target.h"
#include <dlfcn.h>
#include <signal.h>
#include <string.h>

struct allocator {
    void *ctx;
    void *(*malloc)(void *, size_t);
    void *(*calloc)(void *, size_t, size_t);
    void *(*realloc)(void *, void *, size_t);
    void (*free)(void *, void *);
};

static void sometimes_raise(void) {
    static int calls;
    if (++calls % 1000 == 0)
        raise(SIGUSR1);
}

static void *own_malloc(void *ctx, size_t size) {
    sometimes_raise();
    char *block = malloc(size + 32);
    return block ? block + 32 : NULL;
}

static void *own_calloc(void *ctx, size_t count, size_t size) {
    sometimes_raise();
    char *block = calloc(1, count * size + 32);
    return block ? block + 32 : NULL;
}

static void *own_realloc(void *ctx, void *old, size_t size) {
    sometimes_raise();
    char *block = realloc(old ? (char *)old - 32 : NULL, size + 32);
    return block ? block + 32 : NULL;
}

static void own_free(void *ctx, void *block) {
    if (block)
        free((char *)block - 32);
}

int main(int argc, char **argv) {
    const char *path = argv[1], *code = argv[2];
    int times = atoi(argv[3]);
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    void (*initialize)(int) = (void (*)(int))dlsym(library, "Py_InitializeEx");
    int (*run)(const char *, void *) = (int (*)(const char *, void *))dlsym(library, "PyRun_SimpleStringFlags");
    int (*finalize)(void) = (int (*)(void))dlsym(library, "Py_FinalizeEx");
    if (argc > 4) {
        void *handler = dlopen(argv[4], RTLD_NOW);
        signal(SIGUSR1, (void (*)(int))dlsym(handler, "allocate_in_handler"));
        struct allocator own = {NULL, own_malloc, own_calloc, own_realloc, own_free};
        void (*set)(int, struct allocator *) = (void (*)(int, struct allocator *))dlsym(library, "PyMem_SetAllocator");
        set(1, &own);
        set(2, &own);
    }
    for (int time = 1; time <= times; time++) {
        initialize(0);
        if (run(code, NULL))
            return 2;
        if (time < times && finalize())
            return 3;
    }
    if (argc > 4) {
        int *calls = dlsym(dlopen(argv[4], RTLD_NOW), "calls");
        printf("%d\n", *calls);
    }
    fflush(stdout);
    _exit(0);
}
