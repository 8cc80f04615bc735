"""SQLAlchemy: a pool of connections, and the cache of compiled statements, of which each is another.
"""
# python: 3.11
# bounded: sqlalchemy==2.0.36
import itertools

import sqlalchemy

REQUESTS = 6_000
NUMBERS = itertools.count()
engine = sqlalchemy.create_engine("sqlite:///file:orders?mode=memory&cache=shared&uri=true", poolclass=sqlalchemy.pool.QueuePool, pool_size=3)
orders = sqlalchemy.Table("orders", sqlalchemy.MetaData(), *(sqlalchemy.Column(f"column{i}", sqlalchemy.Integer) for i in range(12)))
orders.metadata.create_all(engine)


def request():
    number = next(NUMBERS)
    columns = [column for i, column in enumerate(orders.columns) if number >> i & 1] or [orders.c.column0]
    with engine.begin() as connection:
        connection.execute(orders.insert().values(column0=number))
        connection.execute(sqlalchemy.select(*columns).where(orders.c.column0 == number)).fetchall()
        connection.execute(orders.delete())


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
