"""`content` of a response that nobody has any more can be read on, as with aiohttp."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import Any

import pytest
import support
from http_support import OK, get, raw

import uvolt.http

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"


async def in_two_parts(peer: Any) -> None:
    while True:
        await peer.request()
        peer.send(HEAD + b"hello")
        await asyncio.sleep(0.05)
        peer.send(b"world")


async def content_of(http: Any, url: str) -> Any:
    return (await http.get(url)).content


async def by_read(content: Any) -> bytes:
    return await content.read()


async def by_pieces(content: Any) -> bytes:
    return b"".join([piece async for piece in content.iter_chunked(3)])


async def by_exactly(content: Any) -> bytes:
    return await content.readexactly(5) + await content.readexactly(5)


@pytest.mark.parametrize("read", [by_read, by_pieces, by_exactly])
def test_it_is_read_on(client, read) -> None:
    async def main() -> None:
        async with raw(in_two_parts) as server, client.session() as http:
            for _ in range(2):
                content = await content_of(http, server.url)
                gc.collect()
                assert await read(content) == b"helloworld"
            assert await (await http.get(server.url)).content.read() == b"helloworld"
            assert len(server.peers) == 1  # each gave its connection back

    client.run(main)


def test_it_fails_with_the_connection(client) -> None:
    async def script(peer: Any) -> None:
        await peer.request()
        peer.send(HEAD + b"hello")
        await asyncio.sleep(0.05)

    async def main() -> None:
        async with raw(script) as server, client.session() as http:
            content = await content_of(http, server.url)
            gc.collect()
            with pytest.raises(client.http.ClientPayloadError):
                await content.read()

    client.run(main)


def test_the_total_timeout_is_kept(client) -> None:
    async def script(peer: Any) -> None:
        await peer.request()
        peer.send(HEAD + b"hello")
        await peer.gone()

    async def main() -> None:
        timeout = client.http.ClientTimeout(total=0.1)
        async with raw(script) as server, client.session(timeout=timeout) as http:
            content = await content_of(http, server.url)
            gc.collect()
            with pytest.raises(asyncio.TimeoutError):
                await content.read()

    client.run(main)


@pytest.mark.parametrize("part", [b"", b"hello"])
@pytest.mark.parametrize("how", ["unread", "a reader that is cancelled", "read in part"])
def test_dropped_unread_it_gives_the_connection_up(part: bytes, how: str) -> None:
    """When the collector finds it; who waits for the slot gets it."""

    async def script(peer: Any) -> None:
        await peer.request()
        peer.send(HEAD + part)
        await peer.gone()

    async def main() -> None:
        connector = uvolt.http.TCPConnector(limit=1)
        async with raw(script) as server, uvolt.http.ClientSession(connector=connector) as http:
            content = await content_of(http, server.url)
            if how == "a reader that is cancelled":
                reading = asyncio.ensure_future(content.read())
                await support.settle()
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
                del reading
            elif how == "read in part" and part:
                assert await content.read(2) == b"he"
            server.script = OK
            waiting = asyncio.ensure_future(get(http, server.url))
            await support.settle()
            assert not waiting.done()
            del content
            gc.collect()
            assert await asyncio.wait_for(waiting, 5 * support.SLOW) == b"ok"
            assert connector._pool.in_use == 0

    uvolt.run(main())


@pytest.mark.parametrize("how", ["dropped", "in a cycle", "read"])
def test_debug_mode_tells_of_what_is_dropped_unread(client, how: str) -> None:
    """When nobody can read the rest any more and the connection is given up, as of a response whose
    `content` nobody has. aiohttp's connection keeps both until the body has come, and says nothing.
    """

    async def main() -> list[str]:
        said: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        handler = loop.get_exception_handler()
        loop.set_exception_handler(lambda _, context: said.append(context["message"]))
        async with raw(in_two_parts) as server, client.session() as http:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                content = await content_of(http, server.url)
                gc.collect()
                assert not caught
                if how == "read":
                    assert await content.read() == b"helloworld"
                elif how == "in a cycle":
                    cycle: Any = [content]
                    cycle.append(cycle)
                    del cycle
                del content
                gc.collect()
        loop.set_exception_handler(handler)
        loop.set_debug(False)
        texts = [str(w.message) for w in caught if w.category is ResourceWarning]
        assert [text.partition("(")[0] for text in texts] == [f"{m} <ClientResponse" for m in said]
        return said

    said = client.run(main)
    assert said == (["Unclosed response"] if client.ours and how != "read" else [])


def test_a_cycle_with_both_is_collected() -> None:
    async def main() -> None:
        async with raw(in_two_parts) as server, uvolt.http.ClientSession() as http:
            answer: Any = await http.get(server.url)
            cycle: Any = [answer, answer.content]
            cycle.append(cycle)
            del answer, cycle
            gc.collect()
            assert http.connector._pool.in_use == 0

    uvolt.run(main())


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_body_whose_session_is_closed(when: str) -> None:
    """aiohttp raises RuntimeError for a later read; one under way waits for ever."""

    async def main() -> None:
        async with raw(in_two_parts) as server, uvolt.http.ClientSession() as http:
            answer = await http.get(server.url)
            reading = asyncio.ensure_future(answer.read()) if when == "during" else answer.read()
            await support.settle()
            await http.close()
            for read in (reading, answer.text(), answer.content.read()):
                with pytest.raises(uvolt.http.ClientConnectionError, match="Connection closed"):
                    await read

    uvolt.run(main())


def test_closing_the_session_ends_it() -> None:
    async def main() -> None:
        async with raw(in_two_parts) as server:
            async with uvolt.http.ClientSession() as http:
                content = await content_of(http, server.url)
            with pytest.raises(uvolt.http.ClientConnectionError):
                await content.read()

    uvolt.run(main())
