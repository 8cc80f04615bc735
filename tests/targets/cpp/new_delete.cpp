// The family of operator new and delete, one leak each, and containers that free what they took.
#include "target.h"
#include <memory>
#include <new>
#include <string>
#include <vector>

struct alignas(64) Aligned {
    char bytes[10048];
};
struct Own {
    char bytes[10005];
    static NOINLINE void *operator new(size_t size) { return malloc(size); }
    static void operator delete(void *block) { free(block); }
};

NOINLINE void by_new() { kept = new char[1][10001]; }
NOINLINE void by_new_array() { kept = new char[10002]; }
NOINLINE void by_nothrow() { kept = new (std::nothrow) char[10003]; }
NOINLINE void by_aligned() {
    Aligned *block = new Aligned;
    if ((uintptr_t)block % 64)
        puts("not aligned");
    kept = block;
}
NOINLINE void by_class() { kept = new Own; }
NOINLINE void by_string() { kept = new std::string(10006, 'x'); }

NOINLINE void freed() {
    for (int i = 0; i < 100; i++) {
        std::unique_ptr<Aligned[]> many(new Aligned[3]);
        kept = many.get();
        delete new Own;
        std::vector<std::string> texts(i, std::string(40, 'y'));
        kept = &texts;
        ::operator delete(::operator new(50), (size_t)50);
        ::operator delete(::operator new(50, std::align_val_t(128)), std::align_val_t(128));
    }
}

int main() {
    by_new(), by_new_array(), by_nothrow(), by_aligned(), by_class(), by_string(), freed();
    volatile size_t huge = SIZE_MAX / 4;
    try {
        kept = new char[huge];
    } catch (std::bad_alloc &) {
        puts("bad_alloc");
    }
    printf("%d\n", new (std::nothrow) char[huge] == nullptr);
    return 0;
}
