"""A scraper as one finds them, on aiohttp: follows links from a page, twenty pages at a time.

python scraper.py URL PAGES
"""

import asyncio
import hashlib
import re
import sys

import aiohttp

AT_A_TIME = 20
LINK = re.compile(r'href="([^"#]+)"')
TITLE = re.compile(r"<title>(.*?)</title>", re.S)


async def worker(session, site, queue, seen, titles, pages):
    while True:
        url = await queue.get()
        try:
            async with session.get(url) as response:
                response.raise_for_status()
                text = await response.text()
            titles[url] = TITLE.search(text)[1]
            for link in LINK.findall(text):
                target = link if "://" in link else site + link
                if target not in seen and len(seen) < pages:
                    seen.add(target)
                    queue.put_nowait(target)
        except aiohttp.ClientError as exc:
            print("failed", url, exc)
        finally:
            queue.task_done()


async def main(start, pages):
    queue, seen, titles = asyncio.Queue(), {start}, {}
    site = start.rsplit("/", 1)[0]
    queue.put_nowait(start)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        workers = [
            asyncio.create_task(worker(session, site, queue, seen, titles, pages))
            for _ in range(AT_A_TIME)
        ]
        await queue.join()
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    text = "\n".join(sorted(titles.values()))
    print(len(titles), "pages", hashlib.sha256(text.encode()).hexdigest()[:16])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
