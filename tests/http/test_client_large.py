"""Bodies of a mebibyte and more: whole, short, with bytes behind them, left in the middle."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import support
from http_support import answers, get, raw, response

SIZE = (1 << 20) + 17
BODY = bytes(range(251)) * (SIZE // 251 + 1)
BODY = BODY[:SIZE]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE


@pytest.fixture(params=["http", "https"])
def tls(request, certificates):
    """Contexts of the server and the client, or None twice."""
    if request.param == "http":
        return None, True
    return certificates.server(), certificates.client()


def test_one_after_the_other(client, tls):
    async def main():
        sent = [response(bytes([n]) * (SIZE + n)) for n in range(6)]
        async with raw(answers(*sent), ssl=tls[0]) as server, client.session() as http:
            for n in range(6):
                assert await get(http, server.url, ssl=tls[1]) == bytes([n]) * (SIZE + n)
            assert len(server.peers) == 1

    client.run(main)


def test_at_a_time(client, tls):
    async def main():
        async with raw(answers(response(BODY)), ssl=tls[0]) as server, client.session() as http:
            got = await asyncio.gather(*(get(http, server.url, ssl=tls[1]) for _ in range(8)))
            assert got == [BODY] * 8

    client.run(main)


@pytest.mark.parametrize("first", [1, 100, 70_000, 600_000, SIZE - 1])
def test_in_two_parts(client, tls, first):
    """The second comes when the first has been read."""

    async def script(peer):
        while True:
            await peer.request()
            peer.send(HEAD + BODY[:first])
            await support.settle(20)
            peer.send(BODY[first:])

    async def main():
        async with raw(script, ssl=tls[0]) as server, client.session() as http:
            for _ in range(2):
                assert await get(http, server.url, ssl=tls[1]) == BODY
            assert len(server.peers) == 1

    client.run(main)


def test_read_in_pieces_and_then_the_rest(client, tls):
    async def main():
        async with raw(answers(response(BODY)), ssl=tls[0]) as server, client.session() as http:
            for taken in (1, 1000, 300_000):
                async with http.get(server.url, ssl=tls[1]) as answer:
                    start = await answer.content.readexactly(taken)
                    await support.settle(5)
                    assert start + await answer.content.read() == BODY
                async with http.get(server.url, ssl=tls[1]) as answer:
                    await support.settle(10)  # what has come by then is kept in pieces
                    assert await answer.read() == BODY

    client.run(main)


@pytest.mark.parametrize("missing", [1, 1000, SIZE // 2, SIZE])
def test_row_27_too_short(client, tls, missing):
    async def script(peer):
        await peer.request()
        peer.send(HEAD + BODY[: SIZE - missing])

    async def main():
        async with raw(script, ssl=tls[0]) as server, client.session() as http:
            with pytest.raises(client.http.ClientPayloadError):
                await get(http, server.url, ssl=tls[1])

    client.run(main)


@pytest.mark.parametrize("extra", [b"!", response(b"BAD"), b"x" * 100_000])
def test_row_32_bytes_behind_it(client, tls, extra):
    """They are no part of the body, and of no other response."""
    if not client.ours:
        return

    async def script(peer):
        while True:
            await peer.request()
            peer.send(HEAD + BODY + extra)

    async def main():
        async with raw(script, ssl=tls[0]) as server, client.session() as http:
            for n in range(3):
                assert await get(http, server.url, ssl=tls[1]) == BODY
                await support.settle(30)
                assert len(server.peers) == n + 1

    client.run(main)


@pytest.mark.parametrize("how", ["cancelled", "timeout", "left"])
def test_ended_in_the_middle(client, tls, how):
    """The connection is closed, its slot free, and what was read let go."""

    async def script(peer):
        if (await peer.request()).target == "/good":
            peer.send(response(b"good"))
            await peer.gone()
        peer.send(HEAD + BODY[:700_000])
        await peer.gone()

    async def main():
        connector = client.http.TCPConnector(limit=1)
        async with raw(script, ssl=tls[0]) as server:
            async with client.session(connector=connector) as http:
                for _ in range(2):
                    timeout = client.http.ClientTimeout(total=0.2 if how == "timeout" else None)
                    task = asyncio.ensure_future(
                        leave(http, server.url, tls[1])
                        if how == "left"
                        else get(http, server.url, ssl=tls[1], timeout=timeout)
                    )
                    if how == "cancelled":
                        await asyncio.sleep(0.1)
                        task.cancel()
                    with contextlib.suppress(asyncio.CancelledError, asyncio.TimeoutError):
                        await task
                    assert task.cancelled() == (how == "cancelled")
                    assert await get(http, server.url + "/good", ssl=tls[1]) == b"good"
                    server.peers[-1].close()
                    await server.closed_by_client()

    async def leave(http, url, ssl):
        async with http.get(url, ssl=ssl) as answer:
            await answer.content.readexactly(500_000)

    client.run(main)
