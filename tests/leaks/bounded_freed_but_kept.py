"""Memory that the allocator keeps: of many blocks each 500th stays, once; then requests come that keep nothing.
"""
# python: 3.11
# bounded: -
REQUESTS = 100_000
blocks = [bytes(700) for _ in range(200_000)]
pins = blocks[::500]
del blocks


def request():
    [bytes(700 + i) for i in range(20)]


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
