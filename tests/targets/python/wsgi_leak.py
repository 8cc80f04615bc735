"""A WSGI application that keeps a block with each request of /leak. It answers with its pid."""

import os

kept = []


def leak():
    return bytes(100_000)  # the leak


def application(environ, start_response):
    if environ["PATH_INFO"] == "/leak":
        kept.append(leak())
    body = b"%d" % os.getpid()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
