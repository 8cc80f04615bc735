// Four threads that allocate, reallocate and free each other's blocks, and write down each operation in a file: when it
// began and ended on a clock that all threads share, and with which addresses. A recording that stopped in the middle
// is compared with it.
//
// history FILE OPERATIONS [LIMIT SOFT]: operations of each thread; a resource limit to be set first.
#include "target.h"
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define THREADS 4
#define HELD 64

enum operation { NOTHING, ALLOCATED, FREED, REALLOCATED };

// All words are 8 bytes; the test reads them at these places.
struct row {
    uint64_t operation, before, after, size, began, ended;
};

struct slot {
    _Atomic uint64_t address;
};

static struct slot held[THREADS][HELD];
static _Atomic uint64_t now;
static struct row *rows;
static uint64_t operations;

// No size of the C library's own blocks leaves 5 when divided by 16.
static size_t a_size(uint64_t random) { return (random >> 33) % 64 * 16 + 5; }

NOINLINE static void operate(struct row *row, struct slot *own, struct slot *other, size_t size) {
    uint64_t before = atomic_exchange(&other->address, 0);
    row->before = before;
    row->after = 0;
    row->size = size;
    row->began = atomic_fetch_add(&now, 1);
    if (!before) {
        row->after = (uint64_t)malloc(size);
        row->operation = ALLOCATED;
    } else if (size % 3) {
        free((void *)before);
        row->operation = FREED;
    } else {
        row->after = (uint64_t)realloc((void *)before, size);
        row->operation = REALLOCATED;
    }
    row->ended = atomic_fetch_add(&now, 1);
    if (row->after)
        atomic_store(&own->address, row->after);
}

// Only a thread itself puts blocks into its own slots; everybody takes them out.
static void *work(void *number) {
    int thread = (int)(long)number;
    uint64_t random = 777 + thread;
    struct row *row = rows + thread * (operations + 1);
    row++->size = gettid();
    for (uint64_t i = 0; i < operations; i++, row++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        struct slot *own = &held[thread][(random >> 20) % HELD];
        int is_free = !atomic_load(&own->address);
        struct slot *other = is_free ? &held[(random >> 40) % THREADS][(random >> 20) % HELD] : own;
        operate(row, own, other, a_size(random));
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 1;
    operations = strtoull(argv[2], NULL, 10);
    size_t size = THREADS * (operations + 1) * sizeof *rows;
    int file = open(argv[1], O_RDWR | O_CREAT, 0600);
    if (file < 0 || ftruncate(file, size))
        return 1;
    rows = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (rows == MAP_FAILED)
        return 1;
    if (argc > 4) {
        struct rlimit limit;
        getrlimit(atoi(argv[3]), &limit);
        limit.rlim_cur = strtoull(argv[4], NULL, 10);
        if (setrlimit(atoi(argv[3]), &limit))
            return 1;
    }
    mallopt(M_ARENA_MAX, 2);
    pthread_t threads[THREADS];
    for (long i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)i))
            return 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    errno = 0;
    free(malloc(100));
    printf("done, errno %d\n", errno);
    return 7;
}
