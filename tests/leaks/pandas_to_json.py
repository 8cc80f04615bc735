"""pandas: to_json() keeps one reference too many to each column's values.

https://github.com/pandas-dev/pandas/issues/43877. Without unfreed: resident memory +83,640 B a request (an index of 80,000 bytes, ten columns beside it) with 1.3.5, none
with 1.4.2.
"""
# python: 3.8
# leaks: pandas==1.3.5 numpy==1.22.4
# mended: pandas==1.4.2 numpy==1.22.4
# verdict: GROWING
# also: 19
# bytes: 8000-8400
import numpy
import pandas

REQUESTS = 300


def request():
    frame = pandas.DataFrame({str(column): numpy.random.random_sample(size=1000) for column in range(10)})
    frame.to_json()  # the leak


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
