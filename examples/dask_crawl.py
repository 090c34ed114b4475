"""A crawl fanned out over a Dask LocalCluster whose workers run on uvolt.

Every task is a coroutine function, which a worker runs on its event loop: it fetches a batch of
pages at once and hands back the links on them. The crawl ends when there are no new ones.
"""

import asyncio
import re

import aiohttp
import distributed
from aiohttp import web

import uvolt

PAGES = 150
BATCH = 10

if __name__ != "__main__":
    # A worker is a process that Dask starts afresh, and it imports this file before it makes its
    # loop. (A package of workers would do the same in its __init__.py.)
    uvolt.install()


async def page(request: web.Request) -> web.Response:
    number = int(request.match_info["number"])
    links = [n for n in range(3 * number + 1, 3 * number + 4) if n < PAGES]
    await asyncio.sleep(0.005)
    text = "".join(f'<a href="/page/{link}">{link}</a>' for link in [number, *links])
    return web.Response(text=text, content_type="text/html")


async def start_server() -> tuple[web.AppRunner, str]:
    app = web.Application()
    app.router.add_get("/page/{number}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    return runner, f"http://{host}:{port}"


async def fetch(session: aiohttp.ClientSession, path: str) -> str:
    async with session.get(path) as response:
        return await response.text()


async def crawl(url: str, paths: list[str]) -> tuple[str, str, list[str]]:
    """On a worker: its name, its kind of loop, and the links on these pages."""
    async with aiohttp.ClientSession(url) as session:
        texts = await asyncio.gather(*[fetch(session, path) for path in paths])
    links = [link for text in texts for link in re.findall('href="([^"]+)"', text)]
    kind = type(asyncio.get_running_loop())
    return distributed.get_worker().name, f"{kind.__module__}.{kind.__qualname__}", links


async def main() -> None:
    runner, url = await start_server()
    cluster = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        asynchronous=True,
    )
    seen = {"/page/0"}
    waves = 0
    workers, loops = set(), set()
    async with cluster, distributed.Client(cluster, asynchronous=True) as client:
        new = sorted(seen)
        while new:
            waves += 1
            batches = [new[start : start + BATCH] for start in range(0, len(new), BATCH)]
            results = await client.gather([client.submit(crawl, url, batch) for batch in batches])
            found = set()
            for worker, loop, links in results:
                workers.add(worker)
                loops.add(loop)
                found.update(links)
            new = sorted(found - seen)
            seen |= found
    await runner.cleanup()
    print(f"{len(seen)} pages in {waves} waves")
    print(f"workers that took part: {len(workers)}, their loop: {' '.join(loops)}")


if __name__ == "__main__":
    asyncio.run(main())
