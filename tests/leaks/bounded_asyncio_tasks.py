"""asyncio: tasks, timers, queues and pipes of a server that does its work and forgets it.
"""
# python: 3.11
# bounded: -
import asyncio

REQUESTS = 4_000
loop = asyncio.new_event_loop()


async def step(queue, number):
    await asyncio.sleep(0)
    await queue.put(bytes(100 + number))


async def answer():
    queue = asyncio.Queue(10)
    await asyncio.gather(*(step(queue, number) for number in range(10)))
    return [await asyncio.wait_for(queue.get(), 1) for _ in range(10)]


def request():
    loop.run_until_complete(answer())


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
