// Serves HTTP on a free port of 127.0.0.1 and prints its number: what grows, what is bounded, and what is freed with its request.
// Each answer is how many bytes its request keeps. It is ended by a signal, as services are: nothing is freed then.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#define APART __attribute__((noinline))

struct Session {
    char text[2000];
};

struct Table {
    std::vector<std::unique_ptr<Session>> rows;
    APART Table() {
        for (int row = 0; row < 500; row++) rows.push_back(std::make_unique<Session>());  // one-time table
    }
};

struct Arena {
    std::vector<std::unique_ptr<char[]>> blocks;
    APART void fill() {
        for (int block = 0; block < 20; block++) blocks.emplace_back(new char[3000]);  // arena
    }
};

struct Bounded {
    std::list<std::pair<int, std::unique_ptr<Session>>> order;
    std::unordered_map<int, decltype(order)::iterator> places;
    APART void put(int number) {
        order.emplace_front(number, new Session);  // bounded
        places[number] = order.begin();
        if (order.size() <= 100) return;
        places.erase(order.back().first);
        order.pop_back();
    }
};

static std::map<int, Session *> sessions;
static Bounded bounded;
static int numbers;

static APART int remember() {
    Session *session = new Session;  // unbounded
    sessions[++numbers] = session;  // unbounded index
    return sizeof *session;
}

static APART std::string handle(const Table &table, const std::string &path) {
    if (path == "/map") return std::to_string(remember());
    if (path == "/bounded") bounded.put(++numbers);
    if (path == "/arena") {
        Arena arena;
        arena.fill();
        return std::to_string(arena.blocks.size() - 20);
    }
    return std::to_string(table.rows.size() - 500);
}

int main() {
    const Table table;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listener, (sockaddr *)&address, size) || listen(listener, 16)) return 1;
    getsockname(listener, (sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int connection = accept(listener, nullptr, nullptr);
        std::string head;
        char bytes[512];
        ssize_t count;
        while (head.find("\r\n\r\n") == std::string::npos && (count = read(connection, bytes, sizeof bytes)) > 0) head.append(bytes, count);
        std::string path = head.substr(0, head.find(" HTTP"));
        path.erase(0, path.find('/'));
        std::string answer = "HTTP/1.0 200 OK\r\n\r\n" + handle(table, path);
        if (write(connection, answer.data(), answer.size()) < 0) return 1;
        close(connection);
    }
}
