"""multidict: a key that is removed keeps one reference too many.

https://github.com/aio-libs/multidict/issues/1232. Without unfreed: resident memory +5,984 B a request with 6.6.3, none with 6.6.4.
"""
# python: 3.11
# leaks: multidict==6.6.3
# mended: multidict==6.6.4
# verdict: GROWING
from multidict import MultiDict

REQUESTS = 10_000


def request():
    headers = {f"X-Any-{i}": str(i) for i in range(100)}
    answer = MultiDict(headers)  # the leak
    for key in headers:
        answer.pop(key)


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
