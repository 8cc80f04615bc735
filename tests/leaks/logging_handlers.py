"""logging: a handler is added with each request, and none is removed; each record goes to all of them."""
# python: 3.11
# verdict: GROWING
# also: 17
import io
import logging

REQUESTS = 1_000
log = logging.getLogger("orders")
log.setLevel(logging.INFO)
log.propagate = False
sink = io.StringIO()


def request():
    handler = logging.StreamHandler(sink)  # the leak
    log.addHandler(handler)
    if len(log.handlers) % 100 == 0:
        log.info("%d handlers", len(log.handlers))
        sink.seek(0)
        sink.truncate()


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
