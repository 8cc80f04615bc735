"""Calls Python's allocator directly: every function, sizes of 0, failures. Prints the blocks that stay."""
import ctypes
import os
import sys

python = ctypes.pythonapi
for domain in "PyMem", "PyObject":
    for name, arguments in ("Malloc", 1), ("Calloc", 2), ("Realloc", 2), ("Free", 1):
        function = getattr(python, f"{domain}_{name}")
        function.restype = None if name == "Free" else ctypes.c_void_p
        function.argtypes = [ctypes.c_size_t] * (arguments - 1) + [ctypes.c_size_t]

TOO_MUCH = sys.maxsize - 1000
sizes = []
for number, domain in enumerate(("PyMem", "PyObject")):
    malloc, calloc, realloc, free = (
        getattr(python, f"{domain}_{name}") for name in ("Malloc", "Calloc", "Realloc", "Free")
    )

    def stays(block, size):
        assert block
        sizes.append(size)

    base = 20_000 + 1000 * number
    stays(malloc(base + 1), base + 1)
    stays(calloc(3, base + 2), 3 * (base + 2))
    # From nothing, from small to large, from large to small, in place, and on without success.
    stays(realloc(0, base + 3), base + 3)
    stays(realloc(malloc(40), base + 4), base + 4)
    stays(realloc(realloc(malloc(base), 100), base + 5), base + 5)
    stays(realloc(malloc(base + 5), base + 6), base + 6)
    block = malloc(base + 7)
    assert not realloc(block, TOO_MUCH)
    stays(block, base + 7)
    assert not malloc(TOO_MUCH) and not calloc(1, TOO_MUCH)
    # Blocks of no size are blocks; a realloc to no size makes one.
    for block in malloc(0), calloc(0, 8), realloc(0, 0), realloc(malloc(base + 8), 0), realloc(malloc(48), 0):
        assert block
        free(block)
    for size in 1, 512, 513, base + 9:
        block = malloc(size)
        assert not realloc(block, TOO_MUCH)
        free(realloc(block, 2 * size))
    free(0)
print(*sizes)
sys.stdout.flush()
os._exit(0)
