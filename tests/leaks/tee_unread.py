"""itertools.tee: what one iterator reads is kept for the other, which nobody reads."""
# python: 3.11
# verdict: GROWING
# also: 12
import itertools

REQUESTS = 4_000
orders, audit = itertools.tee({"number": number, "lines": [number] * 5} for number in itertools.count(1_000))  # the leak


def request():
    return next(orders)["lines"]


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
