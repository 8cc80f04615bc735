// Loads and unloads two libraries in turn, given as arguments: they come to lie at one address and have other frames.
#include <cstdio>
#include <dlfcn.h>

int main(int, char **arguments) {
    int reused = 0;
    void *last = nullptr;
    for (int round = 0; round < 1500; round++) {
        void *library = dlopen(arguments[1 + round % 2], RTLD_NOW);
        if (!library)
            return puts(dlerror()), 1;
        auto *enter = (void (*)(int))dlsym(library, "enter");
        reused += (void *)enter == last;
        last = (void *)enter;
        for (int i = 0; i < 5; i++)
            enter(i);
        dlclose(library);
    }
    // Otherwise this would be no test.
    return reused < 1000;
}
