"""prometheus_client: a label with a value of each request: each is a series that the registry keeps.

A known fault of its use: https://prometheus.io/docs/practices/instrumentation/#do-not-overuse-labels.
"""
# python: 3.11
# leaks: prometheus_client==0.21.0
# verdict: GROWING
import prometheus_client

REQUESTS = 4_000
seen = prometheus_client.Counter("seen", "Requests", ["method", "path"])
count = 0


def request():
    global count
    count += 1
    seen.labels("GET", f"/orders/{count}").inc()  # the leak
    if count % 500 == 0:
        prometheus_client.generate_latest()


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
