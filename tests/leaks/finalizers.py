"""weakref: a finalizer of something that lives long is registered with each request."""
# python: 3.11
# verdict: GROWING
# also: 19
import weakref

REQUESTS = 4_000


class Pool:
    pass


pool = Pool()


def request():
    buffer = bytearray(500)  # the leak
    weakref.finalize(pool, buffer.clear)


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
