"""Prints the C++ source of the cc1plus workload: many standard headers, and structs with containers of their own."""

HEADERS = "algorithm functional future iostream map memory random regex set sstream string thread unordered_map vector"
STRUCT = """
struct Item@ { int key; std::string text; std::vector<Item@> parts; bool operator<(const Item@ &o) const { return key < o.key; } };
std::map<std::string, std::vector<Item@>> read@(std::istream &in) {
    std::map<std::string, std::vector<Item@>> found;
    std::set<Item@> sorted;
    std::unordered_map<int, std::shared_ptr<Item@>> by_key;
    for (std::string line; std::getline(in, line);) {
        Item@ item{@, line, {}};
        found[line].push_back(item);
        sorted.insert(item);
        by_key[item.key] = std::make_shared<Item@>(item);
    }
    for (auto &entry : found) std::sort(entry.second.begin(), entry.second.end());
    std::function<int(int)> add = [&](int x) { return x + (int)found.size() + @; };
    return add(@) ? found : std::map<std::string, std::vector<Item@>>();
}"""

for header in HEADERS.split():
    print(f"#include <{header}>")
for number in "123":
    print(STRUCT.replace("@", number))
print("int main() { read1(std::cin); read2(std::cin); read3(std::cin); }")
