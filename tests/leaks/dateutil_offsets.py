"""dateutil: every time zone that was ever made stays in a dictionary: a registry with strong references.

https://github.com/dateutil/dateutil/issues/635. Without unfreed: resident memory +367 B a request with 2.7.0, none with 2.8.2.
"""
# python: 3.8
# leaks: python-dateutil==2.7.0
# mended: python-dateutil==2.8.2
# verdict: GROWING
import itertools

from dateutil import tz

REQUESTS = 40_000
NUMBERS = itertools.count()


def request():
    tz.tzoffset(None, next(NUMBERS))  # the leak


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
