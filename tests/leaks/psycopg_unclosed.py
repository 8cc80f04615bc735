"""psycopg: a connection for each request, kept by what has asked for it and never closed.
"""
# python: 3.11
# leaks: psycopg[binary]==3.2.3
# server: postgresql
# verdict: GROWING
# also: 19 20
# bytes: 20000-60000
import os

import psycopg

REQUESTS = 300
sessions = []


def request():
    connection = psycopg.connect(host="127.0.0.1", port=os.environ["PORT"], user="test", dbname="postgres")  # the leak
    connection.execute("select repeat('x', 100)").fetchall()
    sessions.append(connection)


if __name__ == "__main__":
    # Python has small integers ready: with these something is allocated between two requests, which tells them apart.
    for _ in range(1_000, 1_000 + REQUESTS):
        request()
