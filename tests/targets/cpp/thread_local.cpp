// thread_local objects with destructors that allocate, in threads that end by returning and by pthread_exit.
#include "target.h"
#include <thread>
#include <vector>
LEAKER(leak_in_destructor)

struct Local {
    std::vector<int> numbers;
    ~Local() {
        numbers.resize(1000);
        leak_in_destructor(10001);
    }
};
thread_local Local local;

static void *leaves(void *unused) {
    local.numbers.push_back(1);
    pthread_exit(unused);
}

int main() {
    for (int i = 0; i < 10; i++) {
        std::thread([] { local.numbers.push_back(2); }).join();
        pthread_t id;
        pthread_create(&id, nullptr, leaves, nullptr);
        pthread_join(id, nullptr);
    }
    puts("ok");
    return 0;
}
