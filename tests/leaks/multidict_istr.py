"""multidict: the keys of a CIMultiDict are not given back: a missing decref in C, which every aiohttp service had.

https://github.com/aio-libs/multidict/issues/1131. Without unfreed: resident memory +2,201 B a request with 6.3.0, none with 6.4.3.
"""
# python: 3.11
# leaks: multidict==6.3.0
# mended: multidict==6.4.3
# verdict: GROWING
# also: 18
from multidict import CIMultiDict

REQUESTS = 40_000


def request():
    headers = CIMultiDict({f"X-Any-{i}": str(i) for i in range(10)})  # the leak
    answer = CIMultiDict()
    for key, value in headers.items():
        answer.add(key, value)


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
