"""Servers and users that do anything: no crash, no hang, no slot or descriptor lost."""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

import pytest
import support
from pool_support import HEAD, OK, Peer, connected, fetch, pooling, serving

from uvolt.http import exceptions

ROUNDS = int(os.environ.get("UVOLT_FUZZ_ROUNDS", "12"))

GOOD = [
    OK,
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nX: " + b"y" * 500 + b"\r\n\r\n" + b"z" * 100_000,
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw",
]


def spoil(rng: random.Random, data: bytes) -> bytes:
    """Some bytes changed, left out, doubled; or more than was asked for."""
    out = bytearray(data)
    for _ in range(rng.choice((0, 0, 1, 3))):
        at = rng.randrange(min(len(out), 120))
        kind = rng.randrange(3)
        if kind == 0:
            out[at] = rng.choice(b"\r\n\0: 0a;\xff")
        elif kind == 1:
            del out[at : at + rng.randrange(1, 4)]
        else:
            out[at:at] = out[at : at + 5]
        if not out:
            out += b"x"
    if rng.random() < 0.1:
        out += rng.choice((b"x", b"\r\n", OK))
    if rng.random() < 0.1:
        del out[rng.randrange(len(out)) :]
    return bytes(out)


async def any_server(rng: random.Random, peer: Peer) -> None:
    while True:
        if rng.random() > 0.05 and not await peer.request():
            return
        data = spoil(rng, rng.choice(GOOD))
        while data:
            size = rng.choice((1, 2, 7, 50, 100_000))
            await peer.send(data[:size])
            data = data[size:]
            if size < 100_000 and rng.random() < 0.8:
                size = 100_000 if rng.random() < 0.3 else size
                await asyncio.sleep(0)
        end = rng.random()
        if end < 0.1:
            return
        if end < 0.15:
            peer.reset()
            return


async def any_user(rng: random.Random, pool: Any, server: Any) -> None:
    for _ in range(rng.randrange(1, 8)):
        conn = await connected(pool, pool.route(rng.choice("abc")), server)
        follows = rng.random() < 0.2
        try:
            exchange = conn.exchange(
                HEAD,
                rng.choice((None, b"", b"body")),
                head_only=rng.random() < 0.1,
                body_follows=follows,
                upgrade=rng.random() < 0.3,
                once=rng.random() < 0.3,
                read_timeout=rng.choice((0, 0.02)),
            )
        except exceptions.ServerDisconnectedError:
            continue
        try:
            if follows:
                exchange.write(b"x" * rng.choice((1, 100_000)))
                exchange.write_eof()
            if rng.random() < 0.2:
                exchange.pause(True)
                await asyncio.sleep(0)
                exchange.pause(False)
            if rng.random() < 0.1:
                conn.close()
            await asyncio.wait_for(exchange.future, rng.choice((0.001, 0.05, 0.05)))
        except (exceptions.ClientError, exceptions.HttpProcessingError, asyncio.TimeoutError):
            pass
        finally:
            exchange.abandon()


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_anything(uloop: asyncio.AbstractEventLoop, seed: int) -> None:
    rng = random.Random(seed)

    async def main() -> None:
        async def handler(peer: Peer) -> None:
            await any_server(rng, peer)

        async with serving(handler) as server, pooling(limit=4, limit_per_host=2) as pool:
            tasks = [asyncio.ensure_future(any_user(rng, pool, server)) for _ in range(15)]
            while not all(task.done() for task in tasks):
                await asyncio.sleep(0.002)
                if rng.random() < 0.1:
                    rng.choice(tasks).cancel()
                assert pool.in_use + pool.idle <= 4
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if not isinstance(result, asyncio.CancelledError | OSError):
                    assert result is None, result
            assert (pool.in_use, pool.waiting) == (0, 0)
            if rng.random() < 0.5:
                tasks = [asyncio.ensure_future(any_user(rng, pool, server)) for _ in range(8)]
                await support.settle(rng.randrange(10))
                await pool.close()
                await asyncio.gather(*tasks, return_exceptions=True)

        async def good(peer: Peer) -> None:
            while await peer.request():
                await peer.send(OK)

        async with serving(good) as server, pooling() as pool:
            exchange = await fetch(pool, pool.route("a"), server)
            assert bytes(exchange.body) == b"ok"

    uloop.run_until_complete(main())
