"""An aiohttp web server (Application, AppRunner, TCPSite) and several clients at the same time."""

import asyncio

import aiohttp
from aiohttp import web

NOTES = web.AppKey("notes", dict[str, str])


async def put_note(request: web.Request) -> web.Response:
    request.app[NOTES][request.match_info["name"]] = await request.text()
    return web.Response(status=201)


async def get_note(request: web.Request) -> web.Response:
    try:
        text = request.app[NOTES][request.match_info["name"]]
    except KeyError:
        raise web.HTTPNotFound(text="no such note") from None
    return web.Response(text=text)


async def count(request: web.Request) -> web.StreamResponse:
    """An answer in pieces."""
    response = web.StreamResponse()
    await response.prepare(request)
    for n in range(int(request.query["to"])):
        await response.write(f"{n + 1} ".encode())
        await asyncio.sleep(0)
    await response.write_eof()
    return response


def make_app() -> web.Application:
    app = web.Application()
    app[NOTES] = {}
    app.router.add_put("/notes/{name}", put_note)
    app.router.add_get("/notes/{name}", get_note)
    app.router.add_get("/count", count)
    return app


async def client(number: int, url: str) -> str:
    async with aiohttp.ClientSession(url) as session:
        note = f"/notes/{number}"
        async with session.put(note, data=f"note of client {number}") as response:
            status = response.status
        async with session.get(note) as response:
            text = await response.text()
        async with session.get("/count", params={"to": number}) as response:
            numbers = await response.text()
        async with session.get("/notes/none") as response:
            missing = response.status
    return f"{status} {text!r} {numbers!r} {missing}"


async def main() -> None:
    runner = web.AppRunner(make_app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    try:
        lines = await asyncio.gather(*[client(n, f"http://{host}:{port}") for n in range(1, 9)])
        print(*lines, sep="\n")
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
