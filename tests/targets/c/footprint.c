// What a process takes while it does something very often. Prints KiB that it has in memory, its part of them where others
// have them too, KiB that are of no file, mappings, and descriptors; twice where it must not grow: after half of the
// rounds and after all.
//   live N           N threads that live at once, each after a hundred allocations
//   threads N        N threads one after another, twenty at a time
//   libraries N A B  N times: A and B loaded in turn, called and unloaded
#include "target.h"
#include <dirent.h>
#include <dlfcn.h>

LEAKER(leak_in_thread)

static long kib_of(const char *key) {
    char line[200];
    long kib = -1;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, key, strlen(key)))
            kib = atol(line + strlen(key));
    if (file)
        fclose(file);
    return kib;
}

static int mappings(void) {
    int count = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    for (int c; file && (c = getc(file)) != EOF;)
        count += c == '\n';
    if (file)
        fclose(file);
    return count;
}

static int descriptors(void) {
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (directory && readdir(directory))
        count++;
    if (directory)
        closedir(directory);
    return count;
}

static void measure(void) {
    printf("%ld %ld %ld %d %d\n", kib_of("Rss:"), kib_of("Pss:"), kib_of("Anonymous:"), mappings(), descriptors());
}

static pthread_barrier_t allocated, measured;

static void *live(void *unused) {
    CHURN(100);
    leak_in_thread(10001);
    pthread_barrier_wait(&allocated);
    pthread_barrier_wait(&measured);
    return unused;
}

static void at_once(int threads) {
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    pthread_barrier_init(&allocated, NULL, threads + 1);
    pthread_barrier_init(&measured, NULL, threads + 1);
    pthread_t *ids = malloc(threads * sizeof *ids);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&ids[i], &small, live, NULL))
            exit(1);
    pthread_barrier_wait(&allocated);
    measure();
    pthread_barrier_wait(&measured);
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    free(ids);
}

static void *brief(void *unused) {
    CHURN(20);
    return unused;
}

static void one_after_another(int threads) {
    for (int begun = 0; begun < threads; begun += 20) {
        pthread_t ids[20];
        for (int i = 0; i < 20; i++)
            if (pthread_create(&ids[i], NULL, brief, NULL))
                exit(1);
        for (int i = 0; i < 20; i++)
            pthread_join(ids[i], NULL);
    }
}

static void load(int rounds, char **paths) {
    for (int i = 0; i < rounds; i++) {
        void *library = dlopen(paths[i % 2], RTLD_NOW);
        void *(*run)(size_t) = library ? (void *(*)(size_t))dlsym(library, "plugin_run") : NULL;
        if (!run)
            exit(1);
        free(run(100));
        dlclose(library);
    }
}

int main(int argc, char **argv) {
    const char *way = argc > 2 ? argv[1] : "";
    int often = argc > 2 ? atoi(argv[2]) : 0;
    mallopt(M_ARENA_MAX, 2);
    if (!strcmp(way, "live")) {
        at_once(often);
        return 0;
    }
    for (int tenth = 0; tenth < 10; tenth++) {
        if (!strcmp(way, "threads"))
            one_after_another(often / 10);
        if (!strcmp(way, "libraries") && argc > 4)
            load(often / 10, argv + 3);
        if (tenth == 4 || tenth == 9)
            measure();
    }
    return 0;
}
