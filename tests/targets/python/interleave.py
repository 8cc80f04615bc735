"""C and Python that call each other in every way there is, and allocate on each level. interleave.py ROUNDS."""

import asyncio
import collections
import ctypes
import functools
import gc
import itertools
import json
import re
import sys
import threading
import weakref

SIZE = itertools.cycle([40, 3000, 70000])


def block():
    return bytearray(next(SIZE))


class Ordered:
    def __init__(self, number):
        self.number = number

    def __lt__(self, other):
        block()
        return self.number < other.number

    def __hash__(self):
        block()
        return self.number % 3

    def __eq__(self, other):
        block()
        return self.number == other.number

    def __getattr__(self, name):
        return block()

    def __iter__(self):
        yield from numbers(self.number)

    def __enter__(self):
        return block()

    def __exit__(self, *_):
        block()

    def __repr__(self):
        return "<%s>" % len(block())

    @property
    def value(self):
        return block()

    def __del__(self):
        block()


class Cycle:
    def __init__(self):
        self.itself = self
        self.held = block()

    def __del__(self):
        block()


def numbers(count):
    try:
        for number in range(count):
            block()
            yield number
    finally:
        block()


def delegating(count):
    yield from numbers(count)
    return block()


def descend(depth):
    if depth == 0:
        return sorted(Ordered(number % 7) for number in range(12))
    if depth % 4 == 0:
        return list(map(lambda _: descend(depth - 1), [1]))
    if depth % 4 == 1:
        return functools.reduce(lambda *_: descend(depth - 1), [1, 2])
    if depth % 4 == 2:
        return [descend(depth - 1) for _ in [1]]
    return descend(depth - 1)


def dropped():
    """Generators that are closed, thrown into and collected in the middle."""
    first, second, third = numbers(5), delegating(5), numbers(5)
    next(first), next(second), next(third)
    first.close()
    try:
        second.throw(ValueError("thrown in"))
    except ValueError:
        block()
    del third


def cleanly_recursive(depth):
    return block() if depth == 0 else cleanly_recursive(depth - 1)


async def awaited(number):
    block()
    await asyncio.sleep(0)
    return [block(), number]


async def produced(count):
    for number in range(count):
        await asyncio.sleep(0)
        yield block()


async def coroutines():
    await asyncio.gather(*[awaited(number) for number in range(5)])
    async for _ in produced(3):
        block()
    return [len(one) async for one in produced(2)]


def callbacks():
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))

    def difference(one, other):
        block()
        return one[0] - other[0]

    numbers_to_sort = (ctypes.c_int * 6)(5, 2, 4, 1, 6, 3)
    ctypes.CDLL(None).qsort(numbers_to_sort, 6, ctypes.sizeof(ctypes.c_int), compare(difference))
    return list(numbers_to_sort)


def one_round():
    descend(16)
    list(delegating(5))
    dropped()
    cleanly_recursive(40)
    asyncio.run(coroutines())
    with Ordered(3) as held:
        len(held)
    Ordered(3).absent
    Ordered(3).value
    re.sub("a", lambda match: str(len(block())), "aaa")
    exec("made = [block() for _ in range(4)]")
    eval("sum(len(block()) for _ in range(4))")
    json.dumps([Ordered(1)], default=lambda _: list(map(len, [block()])))
    sorted([3, 1, 2], key=lambda number: sorted([Ordered(number), Ordered(2)])[0].number)
    {Ordered(number): None for number in range(4)}
    repr([Ordered(1), Ordered(2)])
    list(Ordered(3))
    collections.Counter(len(block()) for _ in range(3))
    max([Ordered(1), Ordered(2)], key=lambda ordered: [block(), ordered.number][1])
    weakly = weakref.ref(Ordered(1), lambda _: block())
    assert weakly() is None
    assert callbacks() == [1, 2, 3, 4, 5, 6]
    type("Made", (Ordered,), {"__init_subclass__": lambda **_: block()})
    Cycle()
    gc.collect()


def main():
    for _ in range(int(sys.argv[1])):
        one_round()
        threads = [threading.Thread(target=descend, args=(6,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


main()
print("done")
