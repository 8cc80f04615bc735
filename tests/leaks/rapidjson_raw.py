"""python-rapidjson: RawJSON() is allocated before its arguments are looked at, and stays when these are wrong.

https://github.com/python-rapidjson/python-rapidjson/pull/239. Without unfreed: resident memory +32 B a request with 1.23, none with 1.24.
"""
# python: 3.11
# leaks: python-rapidjson==1.23
# mended: python-rapidjson==1.24
# verdict: GROWING
# bytes: 24-48
import rapidjson

REQUESTS = 100_000


def request():
    try:
        rapidjson.RawJSON(1)  # the leak
    except TypeError:
        pass


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
