"""kombu: messages through queues in memory, with a producer and a consumer that acknowledges."""
# python: 3.11
# bounded: kombu==5.4.2
import kombu

REQUESTS = 1_500
connection = kombu.Connection("memory://")
queue = connection.SimpleQueue("orders")
count = 0


def request():
    global count
    count += 1
    queue.put({"number": count, "lines": [count] * 5}, serializer="json")
    if count % 10 == 0:
        for _ in range(10):
            message = queue.get(timeout=5)
            message.payload
            message.ack()


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
