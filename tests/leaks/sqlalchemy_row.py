"""SQLAlchemy: a row that is asked for a column that it does not have keeps its text: a missing decref in C.

https://github.com/sqlalchemy/sqlalchemy/issues/7875. Without unfreed: resident memory +68 B a request with 1.4.35, none with 1.4.36.
"""
# python: 3.8
# leaks: sqlalchemy==1.4.35 greenlet==2.0.2
# mended: sqlalchemy==1.4.36 greenlet==2.0.2
# verdict: GROWING
import itertools

import sqlalchemy

REQUESTS = 20_000
NUMBERS = itertools.count()
connection = sqlalchemy.create_engine("sqlite://").connect()


def request():
    row = connection.execute(sqlalchemy.text("select 1 as one, 'x' as text")).fetchone()
    getattr(row, "no column %d" % next(NUMBERS), None)  # the leak


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
