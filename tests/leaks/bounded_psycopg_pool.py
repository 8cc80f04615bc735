"""psycopg: a pool of at most five connections to PostgreSQL, of which eight threads want one; some requests fail.
"""
# python: 3.11
# bounded: psycopg[binary,pool]==3.2.3
# server: postgresql
import os
from concurrent.futures import ThreadPoolExecutor

import psycopg
import psycopg_pool

REQUESTS = 4_000
pool = psycopg_pool.ConnectionPool(f"host=127.0.0.1 port={os.environ['PORT']} user=test dbname=postgres", min_size=1, max_size=5, max_lifetime=5)


def request(number=0):
    try:
        with pool.connection() as connection:
            connection.execute("select %s::int, repeat('x', 100) from generate_series(1, 10)", [number]).fetchall()
            if number % 10 == 0:
                connection.execute("select nothing")
    except psycopg.errors.UndefinedColumn:
        pass


if __name__ == "__main__":
    with ThreadPoolExecutor(8) as threads:
        for _ in threads.map(request, range(REQUESTS)):
            pass
    pool.close()
