// Threads that allocate, reallocate, free and free each other's blocks for ever, and keep a ledger of what they hold in a
// file that outlives them. It is killed at a random instant and its recording compared with the ledger.
//
//   ledger FILE threads N [MOST]   N threads; with MOST they stop working after so many operations, and it lives on
//   ledger FILE processes N        one thread, which forks N workers, of which some end: each has a row or two of its own
//
// A block is entered after malloc returned it and struck out before it is given to free or realloc. What a thread does
// at the moment stands in its own row, so that at most the one operation in flight of each thread is in doubt.
#include "target.h"
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define ROWS 64
#define HELD 512

enum operation { NOTHING, ALLOCATING, FREEING, REALLOCATING };

struct entry {
    _Atomic uint64_t address, size;
};

// Of one thread. All words are 8 bytes; the test reads them at these places.
struct row {
    _Atomic uint64_t pid, operation, address, size;
    struct entry held[HELD];
};

struct ledger {
    _Atomic uint64_t operations;
    struct row rows[ROWS];
};

static struct ledger *ledger;
static uint64_t most_operations = UINT64_MAX;
// The rows of this process.
static int first_row, rows = 1;

// No size of the C library's own blocks leaves 5 when divided by 16.
static size_t a_size(uint64_t *random) {
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    uint64_t bits = *random >> 33;
    return (bits % 16 ? bits / 16 % 64 : bits / 16 % 4096) * 16 + 5;
}

static void begin(struct row *row, enum operation operation, uint64_t address, uint64_t size) {
    atomic_store(&row->address, address);
    atomic_store(&row->size, size);
    atomic_store(&row->operation, operation);
}

static void end(struct row *row, int done) {
    atomic_store(&row->operation, NOTHING);
    atomic_fetch_add(&ledger->operations, done);
}

static void enter(struct entry *entry, void *block, size_t size) {
    atomic_store(&entry->size, size);
    atomic_store(&entry->address, (uint64_t)block);
}

static void allocate(struct row *row, struct entry *entry, size_t size) {
    begin(row, ALLOCATING, 0, size);
    enter(entry, malloc(size), size);
    end(row, 1);
}

// Takes the block out of an entry, which may be another thread's; false when somebody was faster.
static int strike_out(struct entry *entry, uint64_t address) {
    return atomic_compare_exchange_strong(&entry->address, &address, 0);
}

static void release(struct row *row, struct entry *entry) {
    uint64_t address = atomic_load(&entry->address);
    begin(row, FREEING, address, 0);
    int mine = address && strike_out(entry, address);
    if (mine)
        free((void *)address);
    end(row, mine);
}

static void reallocate(struct row *row, struct entry *own, size_t size) {
    uint64_t address = atomic_load(&own->address);
    begin(row, REALLOCATING, address, size);
    int mine = address && strike_out(own, address);
    if (mine)
        enter(own, realloc((void *)address, size), size);
    end(row, mine);
}

// Only a thread itself enters blocks in its row; everybody in its process strikes out.
static void step(int number, uint64_t *random) {
    size_t size = a_size(random);
    struct row *row = &ledger->rows[number];
    struct entry *own = &row->held[(*random >> 20) % HELD];
    if (!atomic_load(&own->address))
        allocate(row, own, size);
    else if (*random >> 60 < 5)
        reallocate(row, own, size);
    else if (*random >> 60 < 10)
        release(row, &ledger->rows[first_row + (*random >> 40) % rows].held[(*random >> 20) % HELD]);
    else
        release(row, own);
}

static void *work(void *number) {
    uint64_t random = 12345 + (long)number;
    while (atomic_load(&ledger->operations) < most_operations)
        step((int)(long)number, &random);
    pause();
    return NULL;
}

static void in_threads(int first, int count) {
    pthread_t threads[ROWS];
    first_row = first;
    rows = count;
    for (int i = 0; i < count; i++)
        atomic_store(&ledger->rows[first + i].pid, getpid());
    for (long i = 1; i < count; i++)
        pthread_create(&threads[i], NULL, work, (void *)(first + i));
    work((void *)(long)first);
}

// Every second one ends; some of the others have two threads.
static void worker(int number, int row, void *inherited) {
    free(inherited);
    if (number % 2) {
        first_row = row;
        atomic_store(&ledger->rows[row].pid, getpid());
        uint64_t random = 777 + row;
        for (int i = 0; i < number * 200; i++)
            step(row, &random);
        if (number % 4 == 1)
            exit(0);
        _exit(0);
    }
    in_threads(row, number % 3 ? 1 : 2);
}

static void in_processes(int workers) {
    uint64_t random = 99;
    int begun = 0, alive = 0;
    atomic_store(&ledger->rows[0].pid, getpid());
    for (;;) {
        for (int i = 0; i < 1000; i++)
            step(0, &random);
        while (alive > 0 && waitpid(-1, NULL, WNOHANG) > 0)
            alive--;
        if (begun < workers && alive < 5) {
            void *inherited = malloc(100);
            if (fork() == 0)
                worker(begun, 1 + 2 * begun, inherited);
            free(inherited);
            begun++;
            alive++;
        }
    }
}

int main(int argc, char **argv) {
    int file = argc > 3 ? open(argv[1], O_RDWR | O_CREAT, 0600) : -1;
    if (file < 0 || ftruncate(file, sizeof *ledger))
        return 1;
    ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (ledger == MAP_FAILED)
        return 1;
    if (argc > 4)
        most_operations = strtoull(argv[4], NULL, 10);
    mallopt(M_ARENA_MAX, 2);
    if (!strcmp(argv[2], "threads"))
        in_threads(0, atoi(argv[3]));
    else
        in_processes(atoi(argv[3]));
    return 2;
}
