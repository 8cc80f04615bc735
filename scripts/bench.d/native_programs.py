"""The programs in machine code that are measured, how each is made ready, and heaptrack beside which they run."""
import os
import shutil
import sys

from metered import place, shell, source
from programs import Bar, Program, Tool, fresh

BARS = [Bar("heaptrack", 2 / 3)]


def compiled(name):
    # Each call of malloc comes from its own function: none is left by a jump, and none is merged with its like.
    flags = ["-O2", "-g", "-fno-optimize-sibling-calls", "-fno-ipa-icf", "-pthread"]
    shell("cc", *flags, source(name + ".c"), "-o", place(name))


def generated(script, out, *filters):
    """The output of a generator of ours, through further commands, in a file."""
    data = shell(sys.executable, source(script))
    for command in filters:
        data = shell(*command, data=data)
    with open(place(out), "wb") as file:
        file.write(data)


def cc1plus():
    return shell("c++", "-print-prog-name=cc1plus").decode().strip()


def under_heaptrack(command):
    os.makedirs(fresh("heaptrack"))
    return ["heaptrack", "-o", place("heaptrack/log"), *command]


def tools():
    if shutil.which("heaptrack"):
        return [Tool("heaptrack", under_heaptrack)]
    print("heaptrack is not installed (apt-get install heaptrack): skipped")
    return []


PROGRAMS = {
    "loop": Program(
        "10 M blocks on one thread",
        ["cc"],
        lambda: compiled("loop"),
        lambda: [place("loop"), "10000000"],
        leak=("leak_one", 1000),
    ),
    "threads": Program(
        "10 M blocks on four threads, freed by one another",
        ["cc"],
        lambda: compiled("threads"),
        lambda: [place("threads"), "10000000"],
        leak=("leak_some", 1000),
    ),
    "sqlite3": Program(
        "inserts, look-ups and scans in memory",
        ["sqlite3"],
        lambda: generated("sql_load.py", "load.sql"),
        lambda: [shutil.which("sqlite3"), ":memory:"],
        stdin=place("load.sql"),
    ),
    "cc1plus": Program(
        "g++ -O1 of a large preprocessed file",
        ["c++"],
        lambda: generated("cpp_source.py", "large.ii", ["c++", "-x", "c++", "-E", "-"]),
        lambda: [cc1plus(), "-quiet", "-O1", place("large.ii"), "-o", os.devnull],
    ),
}
