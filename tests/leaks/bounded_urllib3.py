"""urllib3: pools of connections, of which a manager keeps ten.
"""
# python: 3.11
# bounded: urllib3==2.2.3
import itertools

import urllib3

REQUESTS = 20_000
NUMBERS = itertools.count()
manager = urllib3.PoolManager(num_pools=10)


def request():
    manager.connection_from_host(f"host{next(NUMBERS)}.example")


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
