"""cbor2: the hash of a tag is that of a tuple that is not given back.

https://github.com/agronholm/cbor2/pull/150. Without unfreed: resident memory +63 B a request with 5.4.4, none with 5.4.6.
"""
# python: 3.10
# leaks: cbor2==5.4.4
# mended: cbor2==5.4.6
# verdict: GROWING
import cbor2

REQUESTS = 100_000


def request():
    hash(cbor2.CBORTag(1, "text"))  # the leak


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
