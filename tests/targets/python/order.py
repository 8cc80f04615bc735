"""Allocates where C and Python have called each other, and prints the Python stack at each of these moments.

Printed as JSON, for each point: the size of the block, and [function, file, line] of each frame, innermost first.
"""

import asyncio
import ctypes
import functools
import gc
import json
import re
import signal
import sys
import threading
import weakref

byte = b"x"
sizes, stacks, kept = {}, {}, {}


def stack():
    frame = sys._getframe(1)
    found = []
    while frame is not None:
        code = frame.f_code
        found.append([getattr(code, "co_qualname", code.co_name), code.co_filename, frame.f_lineno])
        frame = frame.f_back
    return found


def here(point):
    """The point is the first call with its name."""
    if point not in sizes:
        sizes[point] = size = 5000 + len(sizes)
        kept[point], stacks[point] = None, None
        kept[point], stacks[point] = byte * size, stack()


def sort_key():
    def key(number):
        re.sub("a", in_match, "abc")
        return number

    def in_match(match):
        here("sort key")
        return "b"

    sorted([2, 1], key=key)


def comparison():
    class Ordered:
        def __lt__(self, other):
            here("comparison")
            return True

    [Ordered(), Ordered()].sort()


def ctypes_callback():
    pointer = ctypes.POINTER(ctypes.c_int)

    @ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer)
    def compare(one, other):
        here("ctypes callback")
        return one[0] - other[0]

    ctypes.CDLL(None).qsort((ctypes.c_int * 3)(3, 1, 2), 3, ctypes.sizeof(ctypes.c_int), compare)


def generators():
    def inner():
        here("generators")
        yield

    def middle():
        yield from inner()

    def outer():
        for value in middle():
            yield value

    list(outer())


def closed_generator():
    def waiting():
        try:
            yield
        finally:
            here("closed generator")

    made = waiting()
    next(made)
    made.close()


def dropped_generator():
    def waiting():
        try:
            yield
        finally:
            here("dropped generator")

    made = waiting()
    next(made)
    del made


def nested_maps():
    functools.reduce(lambda *_: list(map(lambda _: here("nested maps"), [1])), [1, 2])


def comprehensions():
    return [[here("comprehensions") for _ in range(1)] for _ in range(1)]


def generator_expression():
    sum(here("generator expression") or 1 for _ in range(1))


def destructor():
    class Dropped:
        def __del__(self):
            here("destructor")

    Dropped()


def collection():
    class Cycle:
        def __init__(self):
            self.itself = self

        def __del__(self):
            here("collection")

    Cycle()
    gc.collect()


def weak_callback():
    class Referred:
        pass

    referred = Referred()
    weakly = weakref.ref(referred, lambda _: here("weak callback"))
    del referred
    assert weakly() is None


def special_methods():
    class Special:
        def __init__(self):
            here("initialiser")

        def __getattr__(self, name):
            return here("missing attribute")

        def __call__(self):
            with self:
                pass

        def __enter__(self):
            return here("context")

        def __exit__(self, *_):
            pass

        @property
        def attribute(self):
            return here("property")

    made = Special()
    made.missing
    made.attribute
    made()


def class_body():
    class Made:
        here("class body")


def executed():
    exec(compile("def f():\n\n  here('executed')\nf()", "<executed>", "exec"), {"here": here})


def imported():
    import imported_by_order


def decorated():
    @functools.lru_cache(maxsize=None)
    def cached():
        here("cached")

    cached()


def unwinding():
    class Unhappy:
        def __enter__(self):
            pass

        def __exit__(self, *_):
            here("unwinding")

    try:
        with Unhappy():
            raise ValueError
    except ValueError:
        here("handling")


def coroutines():
    async def innermost():
        await asyncio.sleep(0)
        here("coroutines")

    async def together():
        await asyncio.gather(innermost(), innermost())

    asyncio.run(together())


def tracing():
    def trace(*_):
        sys.settrace(None)
        here("tracing")

    def traced():
        pass

    sys.settrace(trace)
    traced()


def signalled():
    signal.signal(signal.SIGUSR1, lambda *_: here("signalled"))
    signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def in_thread():
    thread = threading.Thread(target=lambda: here("in thread"))
    thread.start()
    thread.join()


def keywords():
    json.dumps([object()], default=lambda _: here("default of json"))


def recursion(depth=100):
    return recursion(depth - 1) if depth else here("recursion")


def main():
    sort_key()
    comparison()
    ctypes_callback()
    generators()
    closed_generator()
    dropped_generator()
    nested_maps()
    comprehensions()
    generator_expression()
    destructor()
    collection()
    weak_callback()
    special_methods()
    class_body()
    executed()
    imported()
    decorated()
    unwinding()
    coroutines()
    tracing()
    signalled()
    in_thread()
    keywords()
    recursion()
    print(json.dumps({point: {"size": sizes[point], "stack": stacks[point]} for point in sizes}))


main()
