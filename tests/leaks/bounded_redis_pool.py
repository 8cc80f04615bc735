"""redis: a pool of connections, to a server that answers OK.
"""
# python: 3.11
# bounded: redis==5.2.0
import socket
import threading

import redis

REQUESTS = 10_000
listener = socket.create_server(("127.0.0.1", 0))


def serve(connection):
    while connection.recv(4096):
        connection.sendall(b"+OK\r\n")


def accept():
    while True:
        threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()


threading.Thread(target=accept, daemon=True).start()
client = redis.Redis(port=listener.getsockname()[1], lib_name=None, lib_version=None, max_connections=5)


def request():
    client.set("name", "value" * 100)


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
