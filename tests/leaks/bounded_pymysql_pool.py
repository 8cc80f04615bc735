"""SQLAlchemy: a QueuePool of connections of pymysql to MariaDB, three and at most two more, that are made anew now and then.
"""
# python: 3.11
# bounded: sqlalchemy==2.0.36 pymysql==1.1.1
# server: mariadb
import os
from concurrent.futures import ThreadPoolExecutor

import sqlalchemy

REQUESTS = 3_000
engine = sqlalchemy.create_engine(f"mysql+pymysql://root@127.0.0.1:{os.environ['PORT']}/", pool_size=3, max_overflow=2, pool_pre_ping=True, pool_recycle=2)


def request(number=0):
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("select :number, repeat('x', 100)"), {"number": number}).fetchall()


if __name__ == "__main__":
    with ThreadPoolExecutor(8) as threads:
        for _ in threads.map(request, range(REQUESTS)):
            pass
