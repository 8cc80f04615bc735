// What a program and a recorder both want of the loader; the first argument is the way, the second a library.
#include "target.h"
#include <dlfcn.h>
#include <link.h>

static volatile int stop;
static int count;

static void in_threads(int n, void *(*run)(void *)) {
    pthread_t threads[10];
    for (int i = 0; i < n; i++)
        pthread_create(&threads[i], NULL, run, NULL);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

// Failures are said in memory of the loader's, which is freed with the thread.
static void *fail(void *unused) {
    for (int i = 0; i < 50; i++) {
        dlopen("/nonexistent.so", RTLD_NOW);
        if (dlerror())
            __sync_fetch_and_add(&count, 1);
        dlsym(RTLD_NEXT, "no_function_has_this_name");
    }
    return unused;
}

// It takes a lock of the thread and allocates under it.
static void *ask_attributes(void *unused) {
    for (int i = 0; i < 100; i++) {
        pthread_attr_t attributes;
        if (!pthread_getattr_np(pthread_self(), &attributes)) {
            pthread_attr_destroy(&attributes);
            __sync_fetch_and_add(&count, 1);
        }
    }
    return unused;
}

static int allocate_in_callback(struct dl_phdr_info *info, size_t size, void *data) {
    (void)info, (void)size, (void)data;
    CHURN(20);
    return 0;
}

static void *iterate(void *unused) {
    while (!stop)
        dl_iterate_phdr(allocate_in_callback, NULL);
    return unused;
}

static void *churn(void *unused) {
    while (!stop)
        CHURN(200);
    return unused;
}

static void locks(const char *library) {
    void *(*const runs[])(void *) = {iterate, churn, churn, iterate};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, runs[i], NULL);
    for (int i = 0; i < 100; i++) {
        void *loaded = dlopen(library, RTLD_NOW);
        count += loaded && dlclose(loaded) == 0;
    }
    stop = 1;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static int (*touch)(int);
static void *touch_storage(void *unused) {
    for (int i = 0; i < 1000; i++)
        touch(i);
    __sync_fetch_and_add(&count, 1);
    return unused;
}

static void storage(const char *library) {
    for (int round = 0; round < 4; round++) {
        void *loaded = dlopen(library, RTLD_NOW);
        *(void **)&touch = dlsym(loaded, "touch");
        in_threads(10, touch_storage);
        dlclose(loaded);
    }
}

// Exported, and what the library must not call.
int who(void) { return 1; }

// The library's own symbols come first, so its malloc is not ours and its blocks are freed by us.
static void deepbind(const char *library) {
    void *loaded = dlopen(library, RTLD_NOW | RTLD_DEEPBIND);
    int (*ask)(void) = (int (*)(void))dlsym(loaded, "ask");
    void *(*make)(size_t) = (void *(*)(size_t))dlsym(loaded, "make");
    void (*drop)(void *) = (void (*)(void *))dlsym(loaded, "drop");
    for (int i = 0; i < 1000; i++) {
        free(make(100));
        drop(malloc(200));
        free(realloc(make(300), 3000));
    }
    count = ask();
}

LEAKER(leak_loader)

int main(int argc, char **argv) {
    const char *way = argc > 1 ? argv[1] : "", *library = argc > 2 ? argv[2] : "";
    if (!strcmp(way, "failures"))
        in_threads(8, fail);
    if (!strcmp(way, "attributes"))
        in_threads(4, ask_attributes);
    if (!strcmp(way, "locks"))
        locks(library);
    if (!strcmp(way, "storage"))
        storage(library);
    if (!strcmp(way, "deepbind"))
        deepbind(library);
    // By a name that only the program's own search path resolves.
    if (!strcmp(way, "search"))
        count = dlopen(library, RTLD_NOW) != NULL;
    // Another C library beside the program's, with a heap of its own.
    if (!strcmp(way, "namespace"))
        count = dlmopen(LM_ID_NEWLM, library, RTLD_NOW) != NULL;
    for (int i = 0; i < 3; i++)
        leak_loader(10001);
    printf("%d\n", count);
    return 0;
}
