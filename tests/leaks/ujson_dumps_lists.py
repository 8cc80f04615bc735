"""ujson: what dumps() iterates over is not given back.

https://github.com/ultrajson/ultrajson/issues/392. Without unfreed: resident memory +1,337 B a request with 2.0.1, 38 B with 2.0.3, which has another leak.
"""
# python: 3.8
# leaks: ujson==2.0.1
# mended: ujson==4.0.2
# verdict: GROWING
import ujson

REQUESTS = 40_000


def request():
    text = ujson.dumps({"rows": [{f"column {i}": "value" * 10} for i in range(20)]})  # the leak
    ujson.loads(text)


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
