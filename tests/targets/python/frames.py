"""Allocates one block in each of the ways in which Python code comes to run, and prints what the interpreter says the
stack is: a JSON list of [size, [[function, file, line], ...]], innermost frame first.

Functions are qualified names from Python 3.11 on, as code objects have had them since.
"""
import asyncio
import contextlib
import ctypes
import functools
import gc
import importlib.abc
import itertools
import json
import os
import pickle
import re
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

keep = []
said = []
number = itertools.count(1)


def name(code):
    return getattr(code, "co_qualname", code.co_name)


def size():
    """The size of the next block, after its stack was noted."""
    frames = []
    frame = sys._getframe(1)
    while frame is not None:
        frames.append([name(frame.f_code), frame.f_code.co_filename, frame.f_lineno])
        frame = frame.f_back
    bytes = 1_000_000 + 4096 * next(number)
    said.append([bytes + 1, frames])
    return bytes


def leak(*_):
    keep.append(bytearray(size()))
    return 0


class Special:
    """Methods that the interpreter calls."""

    def __init__(self, value):
        self.value = value

    def __lt__(self, other):
        leak()
        return self.value < other.value

    def __del__(self):
        leak()

    def __getattr__(self, name):
        leak()
        return name

    @property
    def property(self):
        leak()

    def __enter__(self):
        leak()
        return self

    def __exit__(self, *_):
        leak()

    def __iter__(self):
        leak()
        return iter([1])

    def __hash__(self):
        leak()
        return 1

    def __eq__(self, other):
        leak()
        return True

    def __reduce__(self):
        leak()
        return str, ("x",)

    def __call__(self):
        leak()

    def __bool__(self):
        leak()
        return True

    def __format__(self, spec):
        return str(leak())


def special_methods():
    sorted([Special(3), Special(1)])
    special = Special(1)
    special.attribute, special.property
    with special:
        leak()
    list(special)
    {special: 1}[special]
    pickle.dumps(special)
    special()
    if special:
        "{0:x} {1}".format(special, f"{special:y}")


def callbacks():
    sorted([3, 1, 2], key=leak)
    list(map(leak, [1, 2])), list(filter(leak, [1]))
    functools.reduce(lambda a, b: max([a, b], key=lambda x: sorted([x], key=leak)), [1, 2, 3])
    functools.partial(leak)(), functools.lru_cache()(leak)(1)
    re.sub("a", lambda match: str(leak()), "abca")


def from_c():
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    ctypes.CDLL(None).qsort((ctypes.c_int * 3)(3, 1, 2), 3, 4, compare(lambda a, b: leak()))


def outer_generator():
    leak()
    yield 1
    for item in inner_generator():
        yield item
    yield from inner_generator()


def inner_generator():
    try:
        leak()
        yield 2
    finally:
        leak()


def generators():
    list(outer_generator())
    sum(item for item in outer_generator())
    generator = outer_generator()
    next(generator), next(generator)
    generator.close()
    generator = outer_generator()
    next(generator), next(generator)
    del generator


async def coroutine(depth):
    leak()
    await asyncio.sleep(0)
    if depth:
        await coroutine(depth - 1)
    async with context():
        leak()
    async for _ in asynchronous_generator():
        leak()


@contextlib.asynccontextmanager
async def context():
    leak()
    yield
    leak()


async def asynchronous_generator():
    leak()
    yield 1
    await asyncio.sleep(0)
    leak()


class Meta(type):
    def __new__(cls, *arguments):
        leak()
        return type.__new__(cls, *arguments)


def classes():
    class Base(metaclass=Meta):
        leak()

        def __init_subclass__(cls):
            leak()

    class Derived(Base):
        pass


class Cycle:
    def __init__(self):
        self.itself = self

    def __del__(self):
        leak()


def collected():
    Cycle()
    gc.collect()
    target = Cycle()
    target.itself = None
    reference = weakref.ref(target, leak)
    del target
    return reference


def recursive(depth):
    return recursive(depth - 1) if depth else leak()


def recursive_through_c(depth):
    return max([depth], key=lambda _: recursive_through_c(depth - 1)) if depth else leak()


def decorator(function):
    @functools.wraps(function)
    def decorated(*arguments, **keywords):
        return function(*arguments,
                        last=leak(),
                        **keywords)
    return decorated


@decorator
def many_lines(first, last=None):
    try:
        return (leak(),
                leak(
                ),
                [leak()
                 for _ in (1,)],
                {leak(): leak() for _ in (1,)},
                (lambda: (
                    lambda: leak())())())
    finally:
        leak()


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, *_):
        leak()


def importing():
    sys.meta_path.insert(0, Finder())
    with contextlib.suppress(ImportError):
        import a_module_that_is_not_there  # noqa: F401
    sys.meta_path.pop(0)


def in_thread():
    leak()
    sorted([1, 2], key=leak)


def threads():
    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(leak, [1, 2]))


def traced():
    sys.settrace(lambda *_: None)
    leak()
    sys.settrace(None)


leak()
special_methods()
callbacks()
from_c()
generators()
asyncio.run(coroutine(2))
classes()
collected()
recursive(200)
recursive_through_c(60)
many_lines(1)
importing()
threads()
traced()
exec("def made():\n\n\n    leak()\nmade()\n", globals())
eval("leak()")
print(json.dumps(said), flush=True)
os._exit(0)
