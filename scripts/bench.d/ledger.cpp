// C++ with templates, containers, std::function, shared_ptr and exceptions: N rounds of 20,000 lines that are parsed and indexed.
// Every eighth line is bad and is refused by an exception from some frames down; of every 256th of these leak_line leaks a block.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

struct Refused : std::runtime_error {
    std::vector<std::string> fields;
    Refused(const char *why, std::vector<std::string> read) : std::runtime_error(std::string("refused: ") + why), fields(std::move(read)) {}
};

struct Booking {
    std::string account;
    double amount;
    std::vector<std::string> labels;
};

template <class T> T converted(const std::string &text);
template <> double converted(const std::string &text) { return std::stod(text); }
template <> std::string converted(const std::string &text) { return "account " + text; }

template <class T> T field(const std::vector<std::string> &fields, std::size_t number) {
    try {
        return converted<T>(fields.at(number));
    } catch (const std::logic_error &error) {
        throw Refused(error.what(), fields);
    }
}

template <class Key> class Index {
    std::map<Key, std::vector<std::shared_ptr<const Booking>>> bookings;
    std::function<Key(const Booking &)> key;

public:
    explicit Index(std::function<Key(const Booking &)> by) : key(std::move(by)) {}
    void add(std::shared_ptr<const Booking> booking) { bookings[key(*booking)].push_back(std::move(booking)); }
    template <class Each> void visit(Each each) const {
        for (const auto &entry : bookings)
            for (const auto &booking : entry.second) each(*booking);
    }
};

std::string written(uint64_t random, long number) {
    std::ostringstream line;
    line << random % 4000 << ';' << (number % 8 == 7 ? "none" : std::to_string(double(random >> 20 & 0xffff) / 4));
    for (unsigned label = 0; label < random % 3; label++) line << ";label-" << (random >> 10) % 50 + label;
    return line.str();
}

std::shared_ptr<const Booking> parsed(const std::string &line) {
    std::vector<std::string> fields;
    std::istringstream in(line);
    for (std::string text; std::getline(in, text, ';');) fields.push_back(text);
    auto booking = std::make_shared<Booking>();
    booking->account = field<std::string>(fields, 0);
    booking->amount = field<double>(fields, 1);
    for (std::size_t number = 2; number < fields.size(); number++) booking->labels.push_back(field<std::string>(fields, number));
    return booking;
}

__attribute__((noinline)) void *leak_line() { return std::malloc(777); }

}  // namespace

int main(int argc, char **argv) {
    uint64_t random = 88172645463325252ull;
    long refused = 0;
    double total = 0;
    for (long left = argc > 1 ? std::atol(argv[1]) : 1; left > 0; left--) {
        Index<std::string> by_account([](const Booking &booking) { return booking.account; });
        Index<int> by_size([](const Booking &booking) { return int(booking.amount) / 100; });
        std::unordered_map<std::string, long> labels;
        for (long number = 0; number < 20000; number++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            try {
                auto booking = parsed(written(random, number));
                by_account.add(booking);
                by_size.add(booking);
                for (const auto &label : booking->labels) labels[label]++;
            } catch (const Refused &error) {
                if (++refused % 256 == 0) std::memset(leak_line(), int(error.fields.size()), 777);
            }
        }
        by_account.visit([&](const Booking &booking) { total += booking.amount; });
        by_size.visit([&](const Booking &booking) { total += booking.labels.size(); });
    }
    std::printf("%.2f %ld\n", total, refused);
}
