"""bson of pymongo: the default options of decode_all() are not given back.

https://github.com/mongodb/mongo-python-driver/pull/927 (PYTHON-3222). Without unfreed: resident memory +465 B a request with 4.1.0, none with 4.1.1.
"""
# python: 3.10
# leaks: pymongo==4.1.0
# mended: pymongo==4.1.1
# verdict: GROWING
import bson

REQUESTS = 50_000
DOCUMENTS = bson.encode({"a": 1})


def request():
    bson.decode_all(DOCUMENTS)  # the leak


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
