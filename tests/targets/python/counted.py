"""The objects of counts.py. `blocks: N` says how many a line holds in the end, where all versions agree on it.

gc.collect() empties the interpreter's free lists: an object made out of one has a block from before, which
tracemalloc moves to the new line, and which is the old line's to who looks at blocks. For the same reason nothing here calls functions of other files whose
frames may be kept. Lists are made first, so that a line which fills one allocates nothing but its objects.
"""

import gc

gc.collect()
N = 1000
NUMBERS = range(N)
gc.collect()


class Slots:
    __slots__ = ("a", "b")


gc.collect()


class Plain:
    pass


gc.collect()

def counter(n):
    for i in range(n):
        yield i


def call(n):
    return counter(n)


def in_thread(lists):
    gc.collect()
    for i in NUMBERS:
        lists[0][i] = [i]  # blocks: 2000
    for i in NUMBERS:
        lists[1][i] = bytes(600)  # blocks: 1000
    gc.collect()


def make(run_in_thread):
    gc.collect()
    kept = []  # blocks: 1
    for _ in range(40):
        kept.append([None] * N)  # blocks: 81
    gc.collect()
    one = iter(kept)

    objects = next(one)
    for i in NUMBERS:
        objects[i] = object()  # blocks: 1000
    gc.collect()
    dicts = next(one)
    for i in NUMBERS:
        dicts[i] = {}  # blocks: 1000
    gc.collect()
    filled = next(one)
    for i in NUMBERS:
        filled[i] = {"a": None, "b": None}
    gc.collect()
    lists = next(one)
    for i in NUMBERS:
        lists[i] = []  # blocks: 1000
    gc.collect()
    pairs = next(one)
    for i in NUMBERS:
        pairs[i] = [None, None]  # blocks: 2000
    gc.collect()
    strings = next(one)
    for i in NUMBERS:
        strings[i] = "text %d" % i  # blocks: 1000
    gc.collect()
    wide = next(one)
    for i in NUMBERS:
        wide[i] = "\N{SNOWMAN}" * (300 + i)  # blocks: 1000
    gc.collect()
    ints = next(one)
    for i in NUMBERS:
        ints[i] = i + 1000000  # blocks: 1000
    gc.collect()
    big = next(one)
    for i in NUMBERS:
        big[i] = 1 << 10 * i + 100  # blocks: 1000
    gc.collect()
    floats = next(one)
    for i in NUMBERS:
        floats[i] = i + 0.5  # blocks: 1000
    gc.collect()
    tuples = next(one)
    for i in NUMBERS:
        tuples[i] = (tuples, floats)  # blocks: 1000
    gc.collect()
    sets = next(one)
    for i in NUMBERS:
        sets[i] = {None}  # blocks: 1000
    gc.collect()
    data = next(one)
    for i in NUMBERS:
        data[i] = bytes(i + 2)  # blocks: 1000
    gc.collect()
    arrays = next(one)
    for i in NUMBERS:
        arrays[i] = bytearray(i + 1)  # blocks: 2000
    gc.collect()
    slots = next(one)
    for i in NUMBERS:
        slots[i] = Slots()  # blocks: 1000
    gc.collect()
    instances = next(one)
    for i in NUMBERS:
        instances[i] = Plain()
    gc.collect()
    for instance in instances:
        instance.a = instance.b = None
    gc.collect()
    functions = next(one)
    for i in NUMBERS:
        functions[i] = lambda: functions  # blocks: 2000
    gc.collect()
    generators = next(one)
    for i in NUMBERS:
        generators[i] = counter(3)
    gc.collect()
    begun = next(one)
    for i in NUMBERS:
        begun[i] = call(3)
    for generator in begun:
        next(generator)
    gc.collect()
    bound = next(one)
    for i in NUMBERS:
        bound[i] = slots.append  # blocks: 1000
    gc.collect()
    comprehended = next(one)
    for i in range(5):
        comprehended[i] = [(i, None) for _ in NUMBERS]
    gc.collect()

    grown = []
    for i in range(50 * N):
        grown.append(None)  # blocks: 1
    gc.collect()
    table = {}
    for instance in instances:
        table[instance] = None  # blocks: 1
    gc.collect()
    members = set()
    for instance in instances:
        members.add(instance)  # blocks: 1
    gc.collect()
    text = bytearray()
    for i in range(10 * N):
        text += b"some"  # blocks: 1
    shrunk = bytearray(100 * N)
    del shrunk[200:]
    halves = []
    for _ in NUMBERS:
        halves.append(None)
    del halves[N // 2 :]
    gc.collect()

    run_in_thread(in_thread, [next(one), next(one)])
    gc.collect()
    return kept, grown, table, members, text, shrunk, halves
