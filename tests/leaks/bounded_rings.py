"""What is kept of the newest: a deque, a ring of measurements, a log in memory that is flushed.
"""
# python: 3.11
# bounded: -
import collections
import io
import logging
import logging.handlers

REQUESTS = 50_000
newest = collections.deque(maxlen=500)
log = logging.getLogger("service")
log.propagate = False
log.addHandler(logging.handlers.MemoryHandler(200, target=logging.StreamHandler(io.StringIO())))
ring = [None] * 1000
count = 0


def request():
    global count
    count += 1
    newest.append({"number": count, "text": "x" * 200})
    ring[count % 1000] = [count * 1.5]
    log.warning("request %d", count)
    log.handlers[0].target.setStream(io.StringIO())


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
