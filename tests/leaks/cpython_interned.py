"""CPython 3.12: what sys.intern() was given is immortal: names that come from outside stay for ever.

https://github.com/python/cpython/issues/113993. Without unfreed: resident memory +126 B a request with 3.12.1, some 10 B with 3.11.7 and 3.13.0 (the
table of those that live).
"""
# python: 3.12
# mended-python: 3.11
# verdict: GROWING
import itertools
import sys

REQUESTS = 100_000
NUMBERS = itertools.count()


def request():
    sys.intern("a name that comes from outside, %d" % next(NUMBERS))  # the leak


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
