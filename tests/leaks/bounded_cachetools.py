"""cachetools: caches by age and by use, full after a tenth of the requests.
"""
# python: 3.11
# bounded: cachetools==5.5.0
import itertools

import cachetools

REQUESTS = 40_000
NUMBERS = itertools.count()
by_age = cachetools.TTLCache(maxsize=4000, ttl=3600)
by_use = cachetools.LRUCache(maxsize=4000)


def request():
    number = next(NUMBERS)
    by_age[f"session {number}"] = bytes(300)
    by_use[number] = [number] * 20
    by_use.get(number - 2000)


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
