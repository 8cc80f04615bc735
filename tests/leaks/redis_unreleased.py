"""redis: connections that are taken out of the client's own pool and never released to it.
"""
# python: 3.11
# leaks: redis==5.2.0
# server: redis
# verdict: GROWING
# bytes: 1500-8000
import os

import redis

REQUESTS = 500
client = redis.Redis(port=int(os.environ["PORT"]))


def request():
    connection = client.connection_pool.get_connection("PING")  # the leak
    connection.send_command("PING")
    connection.read_response()


if __name__ == "__main__":
    # Python has small integers ready: with these something is allocated between two requests, which tells them apart.
    for _ in range(1_000, 1_000 + REQUESTS):
        request()
