"""logging: records with arguments and tracebacks, through a queue and a buffer, to a file that is cut."""
# python: 3.11
# bounded: -
import io
import logging
import logging.handlers

REQUESTS = 3_000
sink = io.StringIO()
log = logging.getLogger("orders")
log.setLevel(logging.DEBUG)
log.propagate = False
last = logging.StreamHandler(sink)
last.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
log.addHandler(logging.handlers.MemoryHandler(200, logging.CRITICAL, last))
count = 0


def request():
    global count
    count += 1
    log.info("order %d of %s", count, {"lines": count % 7})
    try:
        {}[count]
    except KeyError:
        log.exception("no order %d", count)
    if sink.tell() > 100_000:
        sink.seek(0)
        sink.truncate()


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
