"""functools.lru_cache on a method holds each instance that was asked (flake8-bugbear's B019)."""
# python: 3.11
# verdict: GROWING
# also: 16 20
import functools

REQUESTS = 4_000


class Order:
    def __init__(self, number):
        self.lines = [number + line for line in range(50)]  # the leak

    @functools.lru_cache(maxsize=None)
    def total(self):
        return sum(self.lines)


def request():
    return Order(1_000).total()


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
