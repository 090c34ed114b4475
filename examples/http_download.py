"""A streamed download with a progress bar: the file is never in memory as a whole."""

import hashlib
import tempfile
from pathlib import Path

from aiohttp import web

import uvolt
from uvolt import http

SIZE = 16 << 20
BAR = 32  # characters


async def send(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(SIZE)})
    await response.prepare(request)
    block = bytes(range(256)) * 256
    for _ in range(SIZE // len(block)):
        await response.write(block)
    return response


class Progress:
    """A line for each quarter; on a terminal one would write "\\r" and the bar each time."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.shown = -1

    def add(self, size: int) -> None:
        self.done += size
        quarter = 4 * self.done // self.total
        if quarter != self.shown:
            self.shown = quarter
            filled = BAR * quarter // 4
            print(f"[{'#' * filled}{'.' * (BAR - filled)}] {25 * quarter:3} %")


async def download(session: http.ClientSession, url: str, target: Path) -> str:
    """Write what is at the URL to the file; its SHA-256."""
    digest = hashlib.sha256()
    async with session.get(url) as response:
        response.raise_for_status()
        assert response.content_length is not None
        progress = Progress(response.content_length)
        progress.add(0)
        with target.open("wb") as file:
            async for chunk in response.content.iter_chunked(1 << 16):
                file.write(chunk)
                digest.update(chunk)
                progress.add(len(chunk))
    return digest.hexdigest()


async def main() -> None:
    app = web.Application()
    app.router.add_get("/file", send)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    try:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "file"
            timeout = http.ClientTimeout(total=None, sock_read=10)  # as long as something comes
            async with http.ClientSession(timeout=timeout) as session:
                digest = await download(session, f"http://{host}:{port}/file", target)
            print(f"{target.stat().st_size:,} bytes, sha256 {digest[:16]}...")
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    uvolt.run(main())
