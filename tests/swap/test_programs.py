"""What programs and libraries do with sessions and responses besides awaiting their methods."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import types
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import support
from swap_support import listening, run, server


@pytest.fixture(params=["aiohttp", "uvolt"])
def names(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The module aiohttp, with its own names and with ours."""
    yield aiohttp if request.param == "aiohttp" else request.getfixturevalue("swapped")


@types.coroutine
def old_style(awaitable: Any) -> Generator[Any, None, Any]:
    """A generator that is a coroutine, as aiodocker's streams are."""
    return (yield from awaitable)


def test_yield_from(names: Any) -> None:
    async def main() -> None:
        async with server() as url, names.ClientSession() as session:
            response = await old_style(session.get(url))
            assert (await old_style(response.content.read(1))) == b"{"
            assert b"GET" in await old_style(response.content.readline())
            await old_style(response.wait_for_close())
            response = await old_style(session.post(url, data=b"x"))
            assert (await old_style(response.json()))["body"] == "x"
            await old_style(session.close())

    run(main)


@pytest.mark.parametrize("loop", ["asyncio", "uvolt"])
def test_yield_from_a_loops_coroutines(loop: str) -> None:
    async def main() -> None:
        one, other = socket.socketpair()
        with one, other:
            one.setblocking(False)
            other.setblocking(False)
            running = asyncio.get_running_loop()
            reading = asyncio.ensure_future(old_style(running.sock_recv(other, 10)))
            await asyncio.sleep(0)
            await old_style(running.sock_sendall(one, b"hello"))
            assert await reading == b"hello"

    run(main, loop)


class Parser:
    """What aiodocker gives aiohttp's protocol for what follows a 101."""

    def __init__(self) -> None:
        self.got = b""
        self.is_ended = asyncio.get_running_loop().create_future()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.got += data
        return False, b""

    def feed_eof(self) -> None:
        if not self.is_ended.done():
            self.is_ended.set_result(None)


def test_upgrade_to_another_protocol(names: Any, fallbacks: list[str]) -> None:
    """aiodocker's exec: the connection of a 101 is taken over, by what is aiohttp's."""

    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello")
        writer.write((await reader.readline()).upper())
        writer.close()

    async def main() -> None:
        async with listening(upgrade) as url, names.ClientSession() as session:
            for headers in ({"Connection": "Upgrade", "upgrade": "tcp"}, [("Upgrade", "tcp")]):
                async with session.post(url, headers=headers) as response:
                    assert response.status == 101
                    connection = response.connection
                    assert connection is not None and connection.protocol is not None
                    parser = Parser()
                    connection.protocol.set_parser(parser, None)
                    connection.transport.write(b"asked\n")
                    await parser.is_ended
                    assert parser.got == b"helloASKED\n"
                    response.close()

    run(main)
    if names.ClientSession is not aiohttp.client.__dict__["ClientSession"]:
        assert fallbacks.count(
            "aiohttp.ClientSession falls back to aiohttp's own: a request with Upgrade"
        )


NESTED = """
import asyncio, sys
import nest_asyncio, aiohttp
from aiohttp import web

async def get(url):
    async with aiohttp.ClientSession() as session, session.post(url, data=b"x") as response:
        print(await response.text(), "uvolt" in type(response).__mro__[2].__module__)

async def hello(request):
    return web.Response(body=await request.read() * 3)

async def main():
    app = web.Application()
    app.router.add_post("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await get(url)
    asyncio.get_event_loop().run_until_complete(get(url))
    asyncio.run(get(url))
    await runner.cleanup()

nest_asyncio.apply()
asyncio.run(main())
"""


def test_nest_asyncio(tmp_path: Path) -> None:
    """The engine works in a loop whose callbacks nest_asyncio runs."""
    path = tmp_path / "nested.py"
    path.write_text(NESTED)
    words = [sys.executable, "-W", "ignore", "-m", "uvolt", "run", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30 * support.SLOW)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout == "xxx True\n" * 3
