// Loads and unloads two libraries in turn, which the loader puts at the same address; each leaks.
#include "target.h"
#include <dlfcn.h>

static void *load_and_run(const char *path, int times, size_t size) {
    void *library = dlopen(path, RTLD_NOW);
    if (!library) {
        puts(dlerror());
        exit(1);
    }
    void *(*run)(size_t) = (void *(*)(size_t))dlsym(library, "plugin_run");
    void *at = (void *)run;
    for (int i = 0; i < times; i++)
        run(size);
    dlclose(library);
    return at;
}

int main(int argc, char **argv) {
    int same = 0;
    for (int i = 0; i < 10 && argc > 2; i++) {
        void *first = load_and_run(argv[1], 3, 10001);
        void *second = load_and_run(argv[2], 1, 10002);
        same += first == second;
    }
    // Without this the test would test nothing.
    printf("same address: %d of 10\n", same);
    return 0;
}
