"""python-rapidjson: the keys and values read so far are not given back when the text ends too early.

https://github.com/python-rapidjson/python-rapidjson/issues/148. Without unfreed: resident memory +681 B a request with 0.9.1, none with 1.0.
"""
# python: 3.8
# leaks: python-rapidjson==0.9.1
# mended: python-rapidjson==1.0
# verdict: GROWING
import rapidjson

REQUESTS = 50_000
UNFINISHED = '{"a": {"a key that is too long for the place within its holder": [1, 2,'


def request():
    try:
        rapidjson.loads(UNFINISHED)  # the leak
    except ValueError:
        pass


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
