// Something for the compiler to chew on.
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

int main() {
    std::map<std::string, std::vector<std::unique_ptr<int>>> map;
    for (const std::string &word : {"abd", "acd", "x"})
        map[word].push_back(std::make_unique<int>(1));
    std::function<void()> print = [&] {
        for (auto &[key, value] : map)
            std::cout << key << value.size();
    };
    print();
}
