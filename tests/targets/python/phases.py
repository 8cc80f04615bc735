"""Keeps memory at each time of its life, and ends in an orderly way: 50 blocks of 10,001 bytes when it runs, and when it
imports `phases_imported` one of 30,003. What C code has kept, 7 blocks of 20,002 bytes, nobody frees."""

import ctypes
import json
import sys

kept = []


def keep():
    kept.append(bytes(10_001 - sys.getsizeof(b"")))


def keep_in_c():
    malloc = ctypes.CDLL(None).malloc
    malloc.restype = ctypes.c_void_p
    for _ in range(7):
        malloc(20_002)


def by_the_library():
    # The innermost Python frame is of the standard library, which is not who keeps it.
    json.loads('["' + "x" * 40_000 + '"]', object_hook=None, parse_int=None, cls=Decoder)


class Decoder(json.JSONDecoder):
    def decode(self, text):
        kept.append(super().decode(text))


for _ in range(50):
    keep()
keep_in_c()
by_the_library()
import phases_imported  # noqa: E402
