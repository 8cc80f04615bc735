"""A Flask app whose only leak is one line, which keeps a list of 40,000 pointers with each request of /foo.

Serves on a free port, prints its number, and ends in an orderly way on SIGTERM. /size says how large one of the lists
is. /count, with tracemalloc running, says how many blocks and bytes that line holds now.
"""

import gc
import signal
import sys
import threading
import tracemalloc

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

app = Flask(__name__)
kept = []


class Quiet(WSGIRequestHandler):
    def log_request(self, code="-", size="-"):
        pass


def _get_foo():
    kept.append([1, "a", 3, True] * 10000)  # the leak
    return {"foo": True}


@app.route("/foo")
def get_foo():
    # Which does not help, but empties the free lists: what is made next has new blocks.
    gc.collect()
    return _get_foo()


@app.route("/size")
def size():
    return str(sys.getsizeof(kept[0]))


@app.route("/count")
def count():
    line = _get_foo.__code__.co_firstlineno + 1
    for found in tracemalloc.take_snapshot().statistics("lineno"):
        if found.traceback[0].filename == __file__ and found.traceback[0].lineno == line:
            return "%d %d" % (found.count, found.size)
    return "0 0"


def main():
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
