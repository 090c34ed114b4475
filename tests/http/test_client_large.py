"""Bodies of many reads: whole, in parts, given up, with their length known and not."""

from __future__ import annotations

import asyncio
import random

import pytest
from http_support import chunked, pieces_then_close, raw, response

MIB = 1 << 20
SIZES = (100_000, 300_000, MIB, MIB + 1, 3 * MIB, 17 * MIB)


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def parts(data: bytes, seed: int) -> list[bytes]:
    rng, at, made = random.Random(seed), 0, []
    while at < len(data):
        step = rng.choice((1, 1000, 65_536, 400_000, 2_000_000))
        made.append(data[at : at + step])
        at += step
    return made


def fetch(client, answer: list[bytes], use, *, close: bool = False):
    async def main():
        async with raw(pieces_then_close(answer, close=close)) as server, client.session() as http:
            async with http.get(server.url) as got:
                return await use(got)

    return client.run(main)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("framing", ["length", "chunked", "end"])
def test_read_whole(client, size, framing):
    data = content(size)
    if framing == "length":
        answer = response(data)
    elif framing == "chunked":
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = head + chunked(*parts(data, size))
    else:
        answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + data

    async def use(got):
        return await got.read()

    assert fetch(client, parts(answer, 1), use, close=framing == "end") == data


@pytest.mark.parametrize("wait", [0, 0.05])
@pytest.mark.parametrize("size", SIZES)
def test_read_in_parts(client, size, wait):
    """Some by read(n), some by readany(), the rest at once, when it may all have come."""
    data = content(size)

    async def use(got):
        await asyncio.sleep(wait)
        taken = [await got.content.readexactly(10), await got.content.read(70_000)]
        taken += [await got.content.readany(), await got.content.read(1000)]
        taken.append(await got.content.read())
        return b"".join(taken)

    assert fetch(client, parts(response(data), 2), use) == data


def test_a_read_that_is_given_up_loses_nothing(client):
    """aiohttp's read() has taken what came by then."""
    data = content(3 * MIB)
    answer = response(data)

    async def slowly(peer):
        await peer.request()
        for at in range(0, len(answer), 500_000):
            peer.send(answer[at : at + 500_000])
            await asyncio.sleep(0.02)

    async def main():
        async with raw(slowly) as server, client.session() as http:
            async with http.get(server.url) as got:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(got.content.read(), 0.03)
                first = await got.content.readexactly(1_234_567)
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(got.content.readexactly(3 * MIB), 0.01)
                return first + await got.content.read()

    got = client.run(main)
    assert (got == data) if client.ours else (len(got) < len(data))
