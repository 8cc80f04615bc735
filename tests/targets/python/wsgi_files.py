"""A WSGI application that opens files and sockets and does not close all of them. It answers with its pid."""

import collections
import os
import socket

first = open(__file__)  # at start-up
sockets, numbers, pool = [], [], collections.deque()


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/socket":
        sockets.append(socket.socket())  # a socket
    elif path == "/number":
        numbers.append(os.open(__file__, os.O_RDONLY))  # a number
    elif path == "/pool":
        pool.append(open(__file__))  # a pool
        if len(pool) > 8:
            pool.popleft().close()
    else:
        with open(__file__) as file:  # closed again
            file.read()
    body = b"%d" % os.getpid()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
