"""ujson: the text is not given back when it cannot be written: a missing decref on the way out.

CVE-2026-44660, https://github.com/datahub-project/datahub/pull/17453. Without unfreed: resident memory +10,065 B a request with 5.12.0, none with
5.12.1.
"""
# python: 3.11
# leaks: ujson==5.12.0
# mended: ujson==5.12.1
# verdict: GROWING
# bytes: 10000-10100
import ujson

REQUESTS = 20_000


class Full:
    def write(self, text):
        raise OSError("no space left")


def request():
    try:
        ujson.dump(["x" * 10_000], Full())  # the leak
    except OSError:
        pass


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
