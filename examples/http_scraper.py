"""A scraper: follows the links of a site, at most eight pages at a time under a semaphore."""

import asyncio
import re
from urllib.parse import urljoin

from aiohttp import web

import uvolt
from uvolt import http

PAGES = 120
AT_A_TIME = 8


class Site:
    """A site whose page n links to 2n and 2n + 1, and to one that is not there."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    async def page(self, request: web.Request) -> web.Response:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.002)
        self.now -= 1
        number = int(request.match_info["number"])
        if number > PAGES:
            raise web.HTTPNotFound
        links = f'<a href="/page/{2 * number}">left</a> <a href="{2 * number + 1}">right</a>'
        return web.Response(text=f"<h1>Page {number}</h1>{links}", content_type="text/html")


class Scraper:
    def __init__(self, session: http.ClientSession) -> None:
        self.session = session
        self.room = asyncio.Semaphore(AT_A_TIME)
        self.titles: dict[str, str] = {}
        self.missing = 0
        self.seen: set[str] = set()

    async def visit(self, url: str) -> None:
        if url in self.seen:
            return
        self.seen.add(url)
        async with self.room:
            async with self.session.get(url) as response:
                if response.status == 404:
                    self.missing += 1
                    return
                text = await response.text()
        if title := re.search("<h1>(.*?)</h1>", text):
            self.titles[url] = title[1]
        links = [urljoin(url, link) for link in re.findall('href="(.*?)"', text)]
        await asyncio.gather(*[self.visit(link) for link in links])


async def main() -> None:
    site = Site()
    app = web.Application()
    app.router.add_get(r"/page/{number:\d+}", site.page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    try:
        connector = http.TCPConnector(limit=AT_A_TIME)
        async with http.ClientSession(connector=connector) as session:
            scraper = Scraper(session)
            await scraper.visit(f"http://{host}:{port}/page/1")
        print(f"{len(scraper.titles)} pages, {scraper.missing} dead links")
        print(f"at most {AT_A_TIME} at a time: {site.most <= AT_A_TIME}")
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    uvolt.run(main())
