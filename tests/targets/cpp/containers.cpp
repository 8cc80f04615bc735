// Keeps 100 strings and 100 nodes of a map, all of which containers of the standard library allocate.
#include <map>
#include <string>
#include <vector>

struct Cache {
    std::vector<std::string> names;
    std::map<int, int> numbers;

    __attribute__((noinline)) void add(int number) {
        names.push_back(std::string(1000, 'x'));
        numbers[number] = number;
    }
};

int main() {
    auto *cache = new Cache;
    cache->names.reserve(100);
    for (int number = 0; number < 100; number++) cache->add(number);
    return cache->names.size() == 100 && cache->numbers.size() == 100 ? 0 : 1;
}
