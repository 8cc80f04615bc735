"""Configuration of gunicorn: a free port of 127.0.0.1, written to the file that SOAK_PORT_FILE names once it listens."""
import os

bind = "127.0.0.1:0"


def when_ready(server):
    path = os.environ["SOAK_PORT_FILE"]
    with open(path + ".new", "w") as file:
        file.write(str(server.LISTENERS[0].sock.getsockname()[1]))
    os.rename(path + ".new", path)
