// Six threads that allocate, reallocate, free and free each other's blocks for ever, and keep a ledger of what they hold
// in a file that outlives them. It is killed at a random instant and its recording compared with the ledger.
//
// With a second argument the threads stop working after so many operations, and it lives on.
//
// A block is entered after malloc returned it and struck out before it is given to free or realloc. What a thread does
// at the moment stands in its own entry, so that at most the one operation in flight of each thread is in doubt.
#include "target.h"
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define THREADS 6
#define HELD 512

enum operation { NOTHING, ALLOCATING, FREEING, REALLOCATING };

struct entry {
    _Atomic uint64_t address, size;
};

// All words are 8 bytes; the test reads them at these places.
struct ledger {
    _Atomic uint64_t operations;
    struct {
        _Atomic uint64_t operation, address, size;
    } in_flight[THREADS];
    struct entry held[THREADS][HELD];
};

static struct ledger *ledger;
static uint64_t most_operations = UINT64_MAX;

// No size of the C library's own blocks leaves 5 when divided by 16.
static size_t a_size(uint64_t *random) {
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    uint64_t bits = *random >> 33;
    return (bits % 16 ? bits / 16 % 64 : bits / 16 % 4096) * 16 + 5;
}

static void begin(int thread, enum operation operation, uint64_t address, uint64_t size) {
    atomic_store(&ledger->in_flight[thread].address, address);
    atomic_store(&ledger->in_flight[thread].size, size);
    atomic_store(&ledger->in_flight[thread].operation, operation);
}

static void end(int thread, int done) {
    atomic_store(&ledger->in_flight[thread].operation, NOTHING);
    atomic_fetch_add(&ledger->operations, done);
}

static void enter(struct entry *entry, void *block, size_t size) {
    atomic_store(&entry->size, size);
    atomic_store(&entry->address, (uint64_t)block);
}

static void allocate(int thread, struct entry *entry, size_t size) {
    begin(thread, ALLOCATING, 0, size);
    enter(entry, malloc(size), size);
    end(thread, 1);
}

// Takes the block out of an entry, which may be another thread's; false when somebody was faster.
static int strike_out(struct entry *entry, uint64_t address) {
    return atomic_compare_exchange_strong(&entry->address, &address, 0);
}

static void release(int thread, struct entry *entry) {
    uint64_t address = atomic_load(&entry->address);
    begin(thread, FREEING, address, 0);
    int mine = address && strike_out(entry, address);
    if (mine)
        free((void *)address);
    end(thread, mine);
}

static void reallocate(int thread, struct entry *own, size_t size) {
    uint64_t address = atomic_load(&own->address);
    begin(thread, REALLOCATING, address, size);
    int mine = address && strike_out(own, address);
    if (mine)
        enter(own, realloc((void *)address, size), size);
    end(thread, mine);
}

// Only a thread itself enters blocks in its row; everybody strikes out.
static void *work(void *number) {
    int thread = (int)(long)number;
    uint64_t random = 12345 + thread;
    while (atomic_load(&ledger->operations) < most_operations) {
        size_t size = a_size(&random);
        struct entry *own = &ledger->held[thread][(random >> 20) % HELD];
        if (!atomic_load(&own->address))
            allocate(thread, own, size);
        else if (random >> 60 < 5)
            reallocate(thread, own, size);
        else if (random >> 60 < 10)
            release(thread, &ledger->held[(random >> 40) % THREADS][(random >> 20) % HELD]);
        else
            release(thread, own);
    }
    pause();
    return NULL;
}

int main(int argc, char **argv) {
    int file = argc > 1 ? open(argv[1], O_RDWR | O_CREAT, 0600) : -1;
    if (file < 0 || ftruncate(file, sizeof *ledger))
        return 1;
    ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (ledger == MAP_FAILED)
        return 1;
    if (argc > 2)
        most_operations = strtoull(argv[2], NULL, 10);
    mallopt(M_ARENA_MAX, 2);
    pthread_t threads[THREADS];
    for (long i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)i);
    pthread_join(threads[0], NULL);
    return 2;
}
