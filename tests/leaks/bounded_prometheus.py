"""prometheus_client: few labels, a histogram, and the page that is scraped.
"""
# python: 3.11
# bounded: prometheus_client==0.21.0
import prometheus_client

REQUESTS = 4_000
seen = prometheus_client.Counter("seen", "Requests", ["method", "status"])
took = prometheus_client.Histogram("took", "Seconds", ["method"])
count = 0


def request():
    global count
    count += 1
    seen.labels(("GET", "POST")[count % 2], str(200 + count % 7)).inc()
    took.labels("GET").observe(count % 13 / 10)
    if count % 50 == 0:
        prometheus_client.generate_latest()


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
