"""HTTP/1.1 to servers on Unix sockets."""
import hashlib
import http.client
import socket
from concurrent.futures import ThreadPoolExecutor

SECONDS = 120


class Connection(http.client.HTTPConnection):
    """`where` is the path."""

    def __init__(self, where):
        super().__init__("localhost", timeout=SECONDS)
        self.where = where

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self.where)


def listens(where):
    """Whether somebody answers there; for `Stage.start`."""

    def ready():
        try:
            Connection(where).connect()
            return True
        except OSError:
            return False

    return ready


def get(where, path, headers=None):
    """Status and body."""
    connection = Connection(where)
    connection.request("GET", path, headers=headers or {})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def digests(where, paths, at_once=4):
    """One line for each path: status, length and digest of the answer."""

    def one(path):
        status, body = get(where, path)
        return f"{path}: {status}, {len(body)} bytes {hashlib.sha256(body).hexdigest()[:16]}"

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(one, paths))
