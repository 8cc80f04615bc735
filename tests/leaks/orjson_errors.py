"""orjson: each text that cannot be parsed leaves its error's document behind: a missing decref in Rust.

https://github.com/ijl/orjson/issues/89. Without unfreed: resident memory +114 B a request with 2.6.5, also after gc.collect(), none with 3.0.1.
"""
# python: 3.8
# leaks: orjson==2.6.5
# mended: orjson==3.0.1
# verdict: GROWING
import orjson

REQUESTS = 100_000


def request():
    try:
        orjson.loads("Whatever")  # the leak
    except orjson.JSONDecodeError:
        pass


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
