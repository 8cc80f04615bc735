// Exceptions through many frames, thrown again and carried to another place, in four threads at once: the block of each is
// allocated and freed while the stack is unwound.
#include "../c/target.h"
#include <atomic>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
LEAKER(leak_thrown)

NOINLINE static void descend(int depth, int round) {
    std::string text(40 + depth, 'a');
    if (depth == 0) {
        if (round % 50 == 0)
            leak_thrown(1001);
        throw std::runtime_error(text);
    }
    descend(depth - 1, round);
}

static int work() {
    int caught = 0;
    for (int round = 0; round < 500; round++) {
        std::exception_ptr carried;
        try {
            try {
                descend(round % 15, round);
            } catch (std::exception &) {
                throw;
            }
        } catch (...) {
            carried = std::current_exception();
        }
        try {
            std::rethrow_exception(carried);
        } catch (std::runtime_error &) {
            caught++;
        }
    }
    return caught;
}

int main() {
    std::atomic<int> caught{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&] { caught += work(); });
    for (auto &thread : threads)
        thread.join();
    printf("%d\n", caught.load());
    return 0;
}
