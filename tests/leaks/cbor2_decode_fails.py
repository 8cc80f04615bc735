"""cbor2: what was decoded of a nested map stays when a text in it is not UTF-8.

https://github.com/agronholm/cbor2/issues/257. Without unfreed: resident memory +868 B a request with 5.9.0, none with 6.2.1.
"""
# python: 3.11
# leaks: cbor2==5.9.0
# mended: cbor2==6.2.1
# verdict: GROWING
import cbor2

REQUESTS = 50_000
MALFORMED = b"\xbf\x01\xa1\x02\xa1\x03\x64\xff\xff\xff\xff\xff"


def request():
    try:
        cbor2.loads(MALFORMED)  # the leak
    except cbor2.CBORDecodeError:
        pass


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
