// An allocator that may be called from a signal handler at any instant: lock-free lists of slots, never given back to
// the kernel. With it a program may allocate in handlers, so that a handler can interrupt a recorder anywhere.
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

// Its calloc and realloc call the public malloc and free, which is what another library may have replaced, if that is
// asked for.
#ifdef CALLS_PUBLIC
#define take malloc
#define give_back free
#else
static void *take(size_t size);
static void give_back(void *block);
void *malloc(size_t size) { return take(size); }
void free(void *block) { give_back(block); }
#endif

#define CLASSES 24
#define ARENA ((size_t)1 << 34)

// A list's head: index of the first slot in 16-byte units, and a tag against a head that was away and came back.
static _Atomic uint64_t heads[CLASSES];
static _Atomic uint64_t used;
static _Atomic(char *) arena;

static char *base(void) {
    char *at = atomic_load(&arena);
    if (at)
        return at;
    char *made = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *none = NULL;
    if (atomic_compare_exchange_strong(&arena, &none, made))
        return made;
    munmap(made, ARENA);
    return none;
}

// A slot: 16 bytes with its class and the next free slot, then the block.
struct slot {
    _Atomic uint32_t next;
    uint32_t class;
    uint64_t pad;
};

static struct slot *slot_at(uint64_t index) { return (struct slot *)(base() + index * 16); }

void *take(size_t size) {
    uint32_t class = 0;
    while (((size_t)32 << class) < size + sizeof(struct slot))
        if (++class == CLASSES)
            return NULL;
    uint64_t head = atomic_load(&heads[class]);
    while ((uint32_t)head) {
        struct slot *first = slot_at((uint32_t)head);
        uint64_t next = ((head >> 32) + 1) << 32 | atomic_load(&first->next);
        if (atomic_compare_exchange_weak(&heads[class], &head, next))
            return first + 1;
    }
    uint64_t units = (uint64_t)2 << class;
    struct slot *fresh = slot_at(1 + atomic_fetch_add(&used, units));
    fresh->class = class;
    return fresh + 1;
}

void give_back(void *block) {
    if (!block)
        return;
    struct slot *slot = (struct slot *)block - 1;
    uint32_t index = ((char *)slot - base()) / 16;
    uint64_t head = atomic_load(&heads[slot->class]), next;
    do {
        atomic_store(&slot->next, (uint32_t)head);
        next = ((head >> 32) + 1) << 32 | index;
    } while (!atomic_compare_exchange_weak(&heads[slot->class], &head, next));
}

size_t malloc_usable_size(void *block) {
    return block ? ((size_t)32 << ((struct slot *)block - 1)->class) - sizeof(struct slot) : 0;
}

void *calloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *block = take(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

void *realloc(void *block, size_t size) {
    if (!block)
        return take(size);
    if (size <= malloc_usable_size(block))
        return block;
    void *moved = take(size);
    if (moved) {
        memcpy(moved, block, malloc_usable_size(block));
        give_back(block);
    }
    return moved;
}
