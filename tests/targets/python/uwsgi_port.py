"""Starts uwsgi with a socket that listens on a free port, and prints its number: uwsgi_port.py UWSGI ARGUMENTS..."""

import os
import socket
import sys

listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
listening.set_inheritable(True)
os.execv(sys.argv[1], sys.argv[1:] + ["--http-socket", "fd://%d" % listening.fileno()])
