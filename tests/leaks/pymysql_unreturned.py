"""SQLAlchemy: connections of pymysql to MariaDB that are checked out of a pool without a bound, and are not given back.
"""
# python: 3.11
# leaks: sqlalchemy==2.0.36 pymysql==1.1.1
# server: mariadb
# verdict: GROWING
# also: 20
# bytes: 10000-25000
import os

import sqlalchemy

REQUESTS = 300
engine = sqlalchemy.create_engine(f"mysql+pymysql://root@127.0.0.1:{os.environ['PORT']}/", pool_size=3, max_overflow=-1)
sessions = []


def request():
    connection = engine.connect()  # the leak
    sessions.append(connection)


if __name__ == "__main__":
    # Python has small integers ready: with these something is allocated between two requests, which tells them apart.
    for _ in range(1_000, 1_000 + REQUESTS):
        request()
