"""aiohttp: the handler that middlewares make of an error is cached, and each error is another key: a cache that is never hit.

CVE-2024-52303, https://github.com/aio-libs/aiohttp/security/advisories/GHSA-27mf-ghqm-j3j8. Without unfreed: resident memory +65,249 B a request with
3.10.10, 893 B with 3.10.11 (the same after more requests: none).
"""
# python: 3.11
# leaks: aiohttp==3.10.10
# mended: aiohttp==3.10.11
# verdict: GROWING
# also: 21
import asyncio

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

REQUESTS = 2_000


@web.middleware
async def middleware(message, handler):
    return await handler(message)


async def hello(_):
    return web.Response(text="hello")


app = web.Application(middlewares=[middleware])
app.router.add_get("/", hello)
app.freeze()
loop = asyncio.new_event_loop()


async def answer():
    try:
        await app._handle(make_mocked_request("POST", "/", app=app))  # the leak
    except web.HTTPException:
        pass


def request():
    loop.run_until_complete(answer())


if __name__ == "__main__":
    for _ in range(REQUESTS):
        request()
