"""functools.lru_cache that is full: each request brings a new entry and pushes out an old one.
"""
# python: 3.11
# bounded: -
import functools
import itertools

REQUESTS = 60_000
NUMBERS = itertools.count()


@functools.lru_cache(maxsize=1000)
def page(number):
    return bytes(1000 + number % 7)


def request():
    page(next(NUMBERS))


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
