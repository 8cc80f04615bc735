"""A Flask app with a leak: every request of /foo adds a list to one that is never emptied.

Serves on a free port and prints its number.
"""

import signal
import sys

from flask import Flask
from werkzeug.serving import make_server

app = Flask(__name__)
kept = []


def _get_foo():
    kept.append([1, "a", 3, True] * 10000)  # the leak: 40,000 pointers, which are 320,000 bytes
    return {"foo": True}


@app.route("/foo")
def get_foo():
    return _get_foo()


def main():
    # Ends as a service does that is stopped: the interpreter frees its globals, the leak with them.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
