"""Streamed uploads: a file as it is on disk, and lines that are made while they are sent."""

import asyncio
import gzip
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

import uvolt
from uvolt import http


async def receive(request: web.Request) -> web.Response:
    """Count the bytes and lines of a body as it comes."""
    size = lines = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        lines += chunk.count(b"\n")
    length = request.headers.get("Content-Length")
    return web.json_response({"size": size, "lines": lines, "length": length})


async def records(number: int) -> AsyncIterator[bytes]:
    """Lines of JSON, some at a time, as they might come from a database."""
    for start in range(0, number, 100):
        await asyncio.sleep(0)
        yield b"".join(b'{"id": %d}\n' % n for n in range(start, start + 100))


async def main() -> None:
    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    url = f"http://{host}:{port}/"
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "log.txt"
            path.write_bytes(b"a line of a log file\n" * 250_000)
            async with http.ClientSession() as session:
                with path.open("rb") as file:  # read as the server takes it
                    async with session.post(url, data=file) as response:
                        print("file:", await response.json())
                async with session.post(url, data=records(10_000)) as response:
                    print("records:", await response.json())
                packed = gzip.compress(path.read_bytes())
                headers = {"Content-Encoding": "gzip"}
                async with session.post(url, data=packed, headers=headers) as response:
                    print("packed, as the server sees it:", (await response.json())["lines"])
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    uvolt.run(main())
