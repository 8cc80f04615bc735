"""numpy: temporary arrays, small ones of which are kept for the next.
"""
# python: 3.11
# bounded: numpy==1.26.4
import numpy

REQUESTS = 15_000
weights = numpy.random.random((200, 20))


def request():
    rows = numpy.random.random((50, 200))
    scores = (rows @ weights - 0.5) * 2
    scores[scores > 0.5].sum() + numpy.sort(scores, axis=1)[:, -3:].mean()


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
