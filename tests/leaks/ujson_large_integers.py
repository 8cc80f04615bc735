"""ujson: an integer beyond 64 bits is copied to be converted, and the copy is not given back: malloc in C without free.

CVE-2026-32874, https://github.com/advisories/GHSA-wgvc-ghv9-3pmm. Without unfreed: resident memory +210 B a request with 5.11.0, none with 5.12.0.
"""
# python: 3.11
# leaks: ujson==5.11.0
# mended: ujson==5.12.0
# verdict: GROWING
# bytes: 200-220
import ujson

REQUESTS = 100_000
NUMBERS = "[" + "9" * 200 + "]"


def request():
    ujson.loads(NUMBERS)  # the leak


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
