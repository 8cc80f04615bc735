"""Blocks that the cyclic collector frees, and blocks of other sizes that are freed otherwise. Prints how many automatic
collections have freed. argv: the library collected.c."""
import ctypes
import gc
import sys
import threading
import weakref

library = ctypes.CDLL(sys.argv[1])
library.take.restype = ctypes.c_void_p
library.take.argtypes = [ctypes.c_size_t]
library.give_back.argtypes = [ctypes.c_void_p]
library.churn.argtypes = [ctypes.c_size_t]
library.count.restype = ctypes.c_long


class Ring:
    """Holds itself, and blocks; a bytearray's is a byte longer than it."""

    def __init__(self, size, count=1):
        self.data = [bytearray(size - 1) for _ in range(count)]
        self.me = self


class Native:
    """Holds itself and a block of the C library."""

    def __init__(self, size):
        self.block = library.take(size)
        self.me = self

    def __del__(self):
        library.give_back(self.block)


gc.collect()
gc.disable()

for _ in range(20):
    Ring(300001)
gc.collect()

for _ in range(20):
    bytearray(300100)
    library.give_back(library.take(300103))

for _ in range(20):
    Native(300201)
gc.collect()

# More than a chunk of events.
Ring(601, 60000)
gc.collect()

# Another thread frees while the collector runs.
many = [[] for _ in range(200000)]
other = threading.Thread(target=library.churn, args=(300301,))
other.start()
during = 0
while during < 1000:
    Ring(300401)
    before = library.count()
    gc.collect()
    during += library.count() - before
library.stop()
other.join()
del many

rings = []
gc.set_threshold(20)
gc.enable()
for _ in range(200):
    rings.append(weakref.ref(Ring(300501)))
gc.disable()
automatic = sum(ring() is None for ring in rings)
assert automatic > 0
# What is left is freed when none of the sizes above is.
gc.freeze()
print(automatic)
