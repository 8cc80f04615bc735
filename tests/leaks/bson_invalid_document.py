"""bson of pymongo: the text of an error is built again under a shadowing name, and the first is not given back.

https://github.com/mongodb/mongo-python-driver/pull/2573 (PYTHON-5571). Without unfreed: resident memory +258 B a request with 4.15.2, none with
4.15.3.
"""
# python: 3.11
# leaks: pymongo==4.15.2
# mended: pymongo==4.15.3
# verdict: GROWING
import bson

REQUESTS = 50_000


def request():
    try:
        bson.encode({"a": {"b": object()}})  # the leak
    except bson.errors.InvalidDocument:
        pass


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
