"""ijson: each parser of the yajl2_c backend leaves some of what it was made with behind.

https://github.com/ICRAR/ijson/issues/34. Without unfreed: resident memory +461 B a request with 3.1.1, none with 3.1.2.
"""
# python: 3.8
# leaks: ijson==3.1.1
# mended: ijson==3.1.2
# verdict: GROWING
import io

import ijson.backends.yajl2_c as ijson

REQUESTS = 30_000


def request():
    list(ijson.items(io.BytesIO(b'{"a": [1, 2, {"b": 3}]}'), "a"))  # the leak


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
