"""linecache and traceback: errors with their lines are formatted and logged.
"""
# python: 3.11
# bounded: -
import io
import json
import logging
import traceback

REQUESTS = 6_000
log = logging.getLogger("service")
log.addHandler(logging.StreamHandler(io.StringIO()))
log.propagate = False


def request():
    try:
        json.loads("{")
    except ValueError:
        traceback.format_exc()
        log.exception("cannot be parsed")
        log.handlers[0].setStream(io.StringIO())


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
