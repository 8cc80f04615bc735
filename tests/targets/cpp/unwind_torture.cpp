// Stacks of every shape: exceptions, longjmp, coroutines by swapcontext, alloca, over-aligned frames, virtual and
// library calls in random recursion, signals whose handlers allocate, on two threads.
// Arguments: rounds; `alternate` to handle the signals on a stack of their own.
#include <alloca.h>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <ucontext.h>
#include <vector>
#define NOINLINE __attribute__((noinline, noclone))

static void *volatile sink;
static thread_local unsigned long long seed;
static thread_local std::vector<jmp_buf *> *jumps;

static unsigned chance(unsigned below) {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (seed >> 33) % below;
}

NOINLINE static void churn(int size) {
    void *block = malloc(16 + size % 500);
    sink = block;
    free(block);
}

static int descend(int depth);

struct Shape {
    virtual ~Shape() {}
    virtual int visit(int depth) = 0;
};

struct Square : Shape {
    int visit(int depth) override {
        std::string name(40 + depth, 'a');
        int result = descend(depth);
        sink = &name[0];
        return result + name.size();
    }
};

struct Circle : Shape {
    int visit(int depth) override {
        std::vector<int> points(depth + 3);
        int result = descend(depth);
        churn(result & 0xff);
        return result + points.size();
    }
};

// Its frame is aligned and has no constant size: the CFA is a word in memory.
NOINLINE static int aligned(int depth, int size) {
    alignas(64) char block[128];
    char *more = (char *)alloca(size);
    memset(more, depth, size);
    memset(block, depth, sizeof block);
    churn(size);
    int result = descend(depth);
    sink = block, sink = more;
    churn(3);
    return result + more[size / 2];
}

NOINLINE static int dynamic(int depth) {
    int size = chance(900) + 1;
    char *block = (char *)alloca(size);
    memset(block, 1, size);
    churn(size);
    int result = descend(depth);
    sink = block;
    return result;
}

NOINLINE static int thrower(int depth) {
    churn(depth);
    if (chance(3) == 0)
        throw std::runtime_error("thrown");
    return descend(depth);
}

NOINLINE static int catcher(int depth) {
    try {
        return thrower(depth - 1);
    } catch (const std::exception &error) {
        churn(7);
        return descend(depth - 1) + strlen(error.what());
    }
}

NOINLINE static int jumper(int depth) {
    jmp_buf here;
    size_t level = jumps->size();
    volatile int result = 1;
    if (setjmp(here) == 0) {
        jumps->push_back(&here);
        result = descend(depth - 1);
    } else {
        churn(9);
    }
    jumps->resize(level);
    return result;
}

static int descend(int depth) {
    if (depth <= 0) {
        churn(600 + depth);
        if (!jumps->empty() && chance(4) == 0)
            longjmp(*jumps->back(), 1);
        return 1;
    }
    switch (chance(8)) {
    case 0: {
        Square square;
        return square.visit(depth - 1);
    }
    case 1: {
        std::unique_ptr<Shape> shape(new Circle);
        return shape->visit(depth - 1);
    }
    case 2:
        return aligned(depth - 1, chance(300) + 1);
    case 3:
        return dynamic(depth - 1) + 1;
    case 4:
        return catcher(depth);
    case 5:
        return jumper(depth);
    case 6: {
        std::map<int, std::string> map;
        for (int i = 0; i < 4; i++)
            map[chance(100)] = "longer than what a string holds in place";
        return descend(depth - 2) + map.size();
    }
    default: {
        std::function<int()> call = [&, text = std::string(50, 'x')] { return descend(depth - 1) + (int)text.size(); };
        return call();
    }
    }
}

enum { COROUTINES = 8, STACK = 128 << 10 };
static ucontext_t caller, coroutines[COROUTINES];

NOINLINE static int nested(int index, int depth) {
    std::string text(60, 'q');
    if (depth == 0) {
        swapcontext(&coroutines[index], &caller);
        return 1;
    }
    churn(depth);
    return nested(index, depth - 1) + text.size();
}

static void coroutine(int index) {
    for (;;) {
        std::vector<std::string> held;
        for (int i = 0; i < 5; i++) {
            held.push_back(std::string(100, 'c'));
            swapcontext(&coroutines[index], &caller);
        }
        nested(index, chance(30));
    }
}

static void handler(int) { churn(33); }

NOINLINE static void interrupted(int depth) {
    if (depth == 0) {
        raise(SIGUSR1);
        return;
    }
    interrupted(depth - 1);
    churn(depth);
}

static long work(int rounds, int deepest, bool is_main) {
    std::vector<jmp_buf *> own;
    jumps = &own;
    own.reserve(4096);
    volatile long sum = 0;
    for (volatile int i = 0; i < rounds; i++) {
        jmp_buf outer;
        if (setjmp(outer) == 0) {
            own.assign(1, &outer);
            sum += descend(chance(deepest));
        }
        own.clear();
        if (is_main) {
            swapcontext(&caller, &coroutines[chance(COROUTINES)]);
            if (i % 10 == 0)
                interrupted(chance(10));
        }
    }
    return sum;
}

int main(int count, char **arguments) {
    int rounds = count > 1 ? atoi(arguments[1]) : 1000;
    struct sigaction action = {};
    action.sa_handler = handler;
    if (count > 2) {
        static char stack[64 << 10];
        stack_t alternate = {};
        alternate.ss_sp = stack;
        alternate.ss_size = sizeof stack;
        sigaltstack(&alternate, nullptr);
        action.sa_flags = SA_ONSTACK;
    }
    sigaction(SIGUSR1, &action, nullptr);
    for (int i = 0; i < COROUTINES; i++) {
        getcontext(&coroutines[i]);
        coroutines[i].uc_stack.ss_sp = aligned_alloc(4096, STACK);
        coroutines[i].uc_stack.ss_size = STACK;
        coroutines[i].uc_link = nullptr;
        makecontext(&coroutines[i], (void (*)())coroutine, 1, i);
    }
    std::thread other([=] { seed = 2, sink = (void *)work(rounds, 40, false); });
    seed = 1;
    sink = (void *)work(rounds, 60, true);
    other.join();
    puts("done");
}
