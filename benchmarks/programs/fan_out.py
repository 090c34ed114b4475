"""Calls of a JSON API as one finds them, on aiohttp: gathered, a hundred at a time.

python fan_out.py URL CALLS [GATHERED]

GATHERED: how many are gathered at once; all of them by default.
"""

import asyncio
import sys

import aiohttp


async def call(session, room, url, number):
    async with room:
        async with session.get(url, headers={"X-Request": str(number)}) as response:
            if response.status != 200:
                return 0
            data = await response.json()
            return data["value"] + number


async def main(url, calls, gathered):
    room = asyncio.Semaphore(100)
    connector = aiohttp.TCPConnector(limit=100)
    async with aiohttp.ClientSession(connector=connector) as session:
        results = []
        for first in range(0, calls, gathered):
            numbers = range(first, min(first + gathered, calls))
            results += await asyncio.gather(*(call(session, room, url, n) for n in numbers))
    print(len(results), "calls", sum(results))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[-1])))
