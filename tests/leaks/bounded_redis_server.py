"""redis: a pool that waits for one of five connections to a real server, of which eight threads want one: pipelines, sets and subscriptions.
"""
# python: 3.11
# bounded: redis==5.2.0
# server: redis
import os
from concurrent.futures import ThreadPoolExecutor

import redis

REQUESTS = 4_000
client = redis.Redis(connection_pool=redis.BlockingConnectionPool(port=int(os.environ["PORT"]), max_connections=5))


def request(number=0):
    with client.pipeline() as pipeline:
        pipeline.set(f"key{number % 50}", "x" * 200).get(f"key{number % 50}").lpush("queue", number).ltrim("queue", 0, 9).execute()
    if number % 50 == 0:
        with client.pubsub() as subscriber:
            subscriber.subscribe("news")
            subscriber.get_message(timeout=1)


if __name__ == "__main__":
    with ThreadPoolExecutor(8) as threads:
        for _ in threads.map(request, range(REQUESTS)):
            pass
