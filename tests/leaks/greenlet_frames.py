"""greenlet: the memory of the frames of a greenlet is not unmapped with Python 3.11. They are of 16 KiB, of which one page is
touched.

https://github.com/python-greenlet/greenlet/issues/328. Without unfreed: resident memory +4,096 B a request with 2.0.0.post0, none with 2.0.1.
"""
# python: 3.11
# leaks: greenlet==2.0.0.post0
# mended: greenlet==2.0.1
# verdict: GROWING
# function: inner_bootstrap
import greenlet

REQUESTS = 5_000


def hello():
    return "hello"


def request():
    greenlet.greenlet(hello, greenlet.getcurrent()).switch()  # the leak


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
