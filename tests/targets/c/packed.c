// Keeps 7 blocks of its own and 5 of the library that it is given. With a second argument four threads then allocate and
// free until its input ends: `storm` at full speed, which is for a log that is bounded, `serve` not.
#include "target.h"
#include <dlfcn.h>
LEAKER(leak_here)

static void *churn(void *pause) {
    for (;;) {
        CHURN(100);
        if (pause)
            usleep(1000);
    }
    return NULL;
}

int main(int argc, char **argv) {
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
    if (!library)
        return 1;
    void *(*run)(size_t) = (void *(*)(size_t))dlsym(library, "plugin_run");
    for (int i = 0; i < 7; i++)
        leak_here(10001);
    for (int i = 0; i < 5; i++)
        run(20002);
    if (argc > 2) {
        pthread_t thread;
        for (int i = 0; i < 4; i++)
            pthread_create(&thread, NULL, churn, strcmp(argv[2], "storm") ? argv : NULL);
        char byte;
        if (write(1, "ready\n", 6) != 6)
            return 1;
        while (read(0, &byte, 1) > 0)
            ;
    }
    return 0;
}
