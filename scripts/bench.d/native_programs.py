"""The programs in machine code that are measured, and how each is made ready. Those of our own leak; for the others no leak is known."""
import os
import shutil
import sys

import metered
from metered import place, shell, source
from programs import Leak, Program, fresh

# Each call of malloc comes from its own function: none is left by a jump, and none is merged with its like.
OWN = ["-O2", "-g", "-fno-optimize-sibling-calls", "-fno-ipa-icf", "-pthread"]


def compiled(name):
    return metered.compiled(name + ".c", "cc", *OWN)


def generated(script, out, *filters):
    """The output of a generator of ours, through further commands, in a file."""
    data = shell(sys.executable, source(script))
    for command in filters:
        data = shell(*command, data=data)
    with open(place(out), "wb") as file:
        file.write(data)


def cc1plus():
    return shell("c++", "-print-prog-name=cc1plus").decode().strip()


def load(socket, command, *end):
    """A client that waits for the socket, runs the load, and ends the server by a last command."""
    return [sys.executable, source("load.py"), socket, command, *end]


def servers():
    shop_requests, requests = 40_000, 200_000

    def at(socket, command):
        """The command of a server whose socket is not there yet."""
        fresh(socket)
        return command

    def nginx():
        metered.compiled("http_load.c", "cc", "-O2")
        os.makedirs(place("nginx.tmp"), exist_ok=True)
        shutil.copy(source("nginx.conf"), place("nginx.conf"))
        with open(place("page"), "w") as page:
            page.write("a line of a page of text\n" * 100)

    def shop():
        metered.compiled("http_load.c", "cc", "-O2")
        metered.compiled("shop.rs", "rustc", "--edition", "2024", "-O", "-g")

    redis = "redis-server --port 0 --unixsocket redis.sock --appendonly no --save".split()
    redis_load = "redis-benchmark -s redis.sock -n 300000 -r 200000 -P 16 -t set,lpush,hset -q"
    yield Program(
        "redis",
        "redis-server: 900,000 commands of redis-benchmark",
        ["redis-server", "redis-benchmark", "redis-cli"],
        lambda: None,
        lambda: at("redis.sock", [*redis, ""]),
        client=load("redis.sock", redis_load, "redis-cli -s redis.sock shutdown nosave"),
    )
    yield Program(
        "nginx",
        f"nginx: {requests:,} requests of 2.5 KB over {requests // 100:,} connections",
        ["nginx", "cc"],
        nginx,
        lambda: at("nginx.sock", ["nginx", "-p", ".", "-c", "nginx.conf"]),
        client=load("nginx.sock", f"./http_load nginx.sock {requests} 100", "nginx -p . -c nginx.conf -s quit"),
    )
    yield Program(
        "rust",
        f"a server in Rust, a thread for each of {shop_requests // 1000} connections: {shop_requests:,} orders",
        ["rustc", "cc"],
        shop,
        lambda: at("shop.sock", [place("shop"), "shop.sock"]),
        leak=Leak("leak_order", shop_requests // 100),
        client=load("shop.sock", f"./http_load shop.sock {shop_requests} 1000 /end"),
    )


def own(name, about, blocks, leak):
    """A program of ours in C whose argument is how many blocks it allocates."""
    command = [place(name), str(blocks)]
    return Program(name, about, ["cc"], lambda: compiled(name), lambda: command, leak=Leak(leak, 1000), small={"command": lambda: [place(name), str(blocks // 10)]})


def programs():
    yield own("loop", "10 M blocks on one thread", 10_000_000, "leak_one")
    yield own("recursion", "4 M blocks below 10 to 60 calls", 4_000_000, "leak_deep")
    yield own("threads", "10 M blocks on four threads, freed by one another", 10_000_000, "leak_some")
    yield Program(
        "cpp",
        "C++ with templates, containers and exceptions: 200,000 lines parsed",
        ["c++"],
        lambda: metered.compiled("ledger.cpp", "c++", "-std=c++17", *OWN),
        lambda: [place("ledger"), "10"],
        leak=Leak("leak_line", 10 * 2500 // 256),
    )
    yield Program(
        "sqlite3",
        "sqlite3: inserts, look-ups and scans in memory",
        ["sqlite3"],
        lambda: generated("sql_load.py", "load.sql"),
        lambda: [shutil.which("sqlite3"), ":memory:"],
        stdin=place("load.sql"),
    )
    yield Program(
        "cc1plus",
        "cc1plus: g++ -O1 of a large preprocessed file",
        ["c++"],
        lambda: generated("cpp_source.py", "large.ii", ["c++", "-x", "c++", "-E", "-"]),
        lambda: [cc1plus(), "-quiet", "-O1", place("large.ii"), "-o", os.devnull],
    )
    yield from servers()
