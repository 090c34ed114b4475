"""Fetch many URLs with one ClientSession: its connector keeps a few connections and reuses them."""

import asyncio

import aiohttp
from aiohttp import web

PAGES = 60
CONNECTIONS = 8


async def start_server(peers: set[str]) -> tuple[web.AppRunner, str]:
    async def page(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(str(request.transport.get_extra_info("peername")))
        await asyncio.sleep(0.005)
        return web.Response(text="x" * int(request.match_info["number"]))

    app = web.Application()
    app.router.add_get("/page/{number}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    return runner, f"http://{host}:{port}"


async def fetch(session: aiohttp.ClientSession, path: str) -> int:
    async with session.get(path) as response:
        return len(await response.read())


async def main() -> None:
    peers: set[str] = set()
    runner, url = await start_server(peers)
    try:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        async with aiohttp.ClientSession(url, connector=connector) as session:
            paths = [f"/page/{number}" for number in range(PAGES)]
            sizes = await asyncio.gather(*[fetch(session, path) for path in paths])
        print(f"{len(sizes)} pages, {sum(sizes):,} bytes")
        print(f"in order: {sizes == sorted(sizes)}")
        print(f"at most {CONNECTIONS} connections: {len(peers) <= CONNECTIONS}")
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
