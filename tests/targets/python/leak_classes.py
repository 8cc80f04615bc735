"""A Flask service with the classes of leaks, and with what looks like them. Each answer is how many bytes its request keeps.

With COLLECTOR=off in the environment nothing is collected.
"""

import collections
import ctypes
import functools
import gc
import itertools
import os
import sqlite3
import sys

from flask import Flask, request

app = Flask(__name__)
libc = ctypes.CDLL(None)
libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
numbers = itertools.count()

model = [bytes(10_000) for _ in range(200)]  # start-up data
translations = []
connections, files, cache, recent = [], [], {}, collections.OrderedDict()

if os.environ.get("COLLECTOR") == "off":
    gc.disable()


class Usage(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]


libc.mallinfo2.restype = Usage


@app.route("/unclosed")
def unclosed():
    """What sqlite and a file need is not known here: the C library is asked, which has what is above 512 bytes."""
    before = libc.mallinfo2().uordblks
    connection = sqlite3.connect(":memory:")  # unclosed connection
    connection.execute("create table orders (number integer)")  # unclosed connection's table
    connections.append(connection)
    files.append(open(__file__))  # unclosed file
    return str(libc.mallinfo2().uordblks - before)


class Node:
    def __init__(self):
        self.itself = self
        self.text = bytes(1000)  # cycle


@app.route("/cycles")
def cycles():
    for _ in range(50):
        Node()
    return str(50 * sys.getsizeof(bytes(1000)))


@app.route("/library")
def library():
    libc.malloc(15_000)  # library
    return "15000"


@app.route("/cache")
def unbounded():
    key = f"an order that comes once, number {next(numbers)}"  # key of an order
    cache[key] = bytes(9_000)  # unbounded cache
    return str(sys.getsizeof(cache[key]))


@functools.lru_cache(maxsize=16)
def page(number):
    return bytes(9_000 + number % 7)  # least recently used


@app.route("/lru")
def least_recently_used():
    page(next(numbers))
    return "0"


@app.route("/recent")
def bounded():
    recent[next(numbers)] = bytes(9_000)  # bounded cache
    if len(recent) > 16:
        recent.popitem(last=False)
    return "0"


@app.route("/lazy")
def lazy():
    if not translations:
        translations.extend(bytes(10_000) for _ in range(100))  # lazy data
    return "0"


@app.route("/orders")
def correct():
    lines = [{"number": number, "price": number * 1.25, "name": f"item {number}"} for number in range(100)]
    found = [line for line in lines if request.args.get("name", "") in line["name"]]
    return {"count": len(found), "total": sum(line["price"] for line in found), "lines": found, "kept": 0}
