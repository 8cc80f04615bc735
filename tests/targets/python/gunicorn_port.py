"""Configuration of gunicorn: a free port, whose number is printed when requests can be sent."""

bind = "127.0.0.1:0"


def when_ready(server):
    print(server.LISTENERS[0].sock.getsockname()[1], flush=True)
