"""Generators that are left unfinished, tee that is read by both, contexts, thread locals, and finalizers of what goes again."""
# python: 3.11
# bounded: -
import contextvars
import itertools
import threading
import weakref

REQUESTS = 5_000
user = contextvars.ContextVar("user", default=None)
local = threading.local()
count = 0


class Session:
    pass


def rows(number):
    try:
        for row in range(20):
            yield {"number": number, "row": row}
    finally:
        local.last = number


def request():
    global count
    count += 1
    session = Session()
    weakref.finalize(session, int)
    context = contextvars.copy_context()
    context.run(user.set, f"user {count}")
    unfinished = rows(count)
    first, second = itertools.tee(itertools.islice(rows(count), 10))
    return next(unfinished), [*first], [*second]


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
