"""The caches of compiled expressions of re and regex: each request brings another expression.
"""
# python: 3.11
# bounded: regex==2024.9.11
import itertools
import re

import regex

REQUESTS = 6_000
NUMBERS = itertools.count()


def request():
    number = next(NUMBERS)
    re.match(f"order {number} of [a-z]+", "order")
    regex.match(f"order {number} of [a-z]+", "order")


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
