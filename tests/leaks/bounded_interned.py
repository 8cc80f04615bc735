"""Interned strings and attributes with names from outside: many times the same thousand.
"""
# python: 3.11
# bounded: -
import json
import sys

REQUESTS = 40_000
count = 0


class Holder:
    pass


def request():
    global count
    count += 1
    number = count * 7 % 1000
    name = sys.intern(f"attribute {number}")
    setattr(Holder(), name, json.loads('{"column %d": [1, 2]}' % number))


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
