"""Babel: every pattern of a date that was ever parsed stays in a dictionary: a cache without bound.

https://github.com/python-babel/babel/pull/967 (issue 962). Without unfreed: resident memory +269 B a request with 2.11.0, none with 2.12.1.
"""
# python: 3.11
# leaks: babel==2.11.0
# mended: babel==2.12.1
# verdict: GROWING
import itertools

from babel.dates import parse_pattern

REQUESTS = 40_000
NUMBERS = itertools.count()


def request():
    parse_pattern("yyyy '%d'" % next(NUMBERS))  # the leak


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
