"""A request cancelled at each of its waits, by each way there is: the pool stays whole."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable
from typing import Any

import pytest
import support
from http_support import RawServer, black_hole, raw, silent
from test_request_fast import GENERAL, ok, run

import uvolt.http

WAYS = pytest.mark.parametrize("way", [{}, GENERAL], ids=["fast", "general"])


async def begun(peer: Any) -> None:
    await peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")
    await peer.gone()


async def fetch(http: Any, url: str, **request: Any) -> bytes:
    async with http.get(url, **request) as answer:
        return bytes(await answer.read())


async def whole(http: Any, server: RawServer, slots: int = 1) -> None:
    """Nothing is held, and as many requests as there are slots go through at a time."""
    pool = http.connector._pool
    assert (pool.in_use, pool.waiting) == (0, 0)
    server.script = ok
    got = await asyncio.wait_for(
        asyncio.gather(*(fetch(http, server.url) for _ in range(slots * 2))), 5 * support.SLOW
    )
    assert got == [b"ok"] * slots * 2


ENDS: dict[str, Callable[[Any], Any]] = {
    "cancel": lambda asking: asking.throw(asyncio.CancelledError()),
    "throw": lambda asking: asking.throw(ZeroDivisionError()),
    "close": lambda asking: asking.close(),
}


@contextlib.contextmanager
def ended(end: str) -> Any:
    error = {"cancel": asyncio.CancelledError, "throw": ZeroDivisionError}.get(end)
    with pytest.raises(error) if error else contextlib.nullcontext():
        yield


async def until_it_waits(asking: Any) -> Any:
    """By hand, as a task does, one step."""
    waits_for = asking.send(None)
    assert waits_for is not None
    waits_for._asyncio_future_blocking = False
    return waits_for


@WAYS
@pytest.mark.parametrize("end", [*ENDS, "drop"])
def test_while_it_waits_for_the_head(way: dict[str, Any], end: str) -> None:
    async def main() -> None:
        async with raw(ok) as server:
            connector = uvolt.http.TCPConnector(limit=1)
            async with uvolt.http.ClientSession(connector=connector) as http:
                await fetch(http, server.url)
                server.peers[0].server.script = silent
                asking = http.get(server.url, **way)
                await until_it_waits(asking)
                assert connector._pool.in_use == 1
                if end == "drop":
                    del asking
                    gc.collect()
                else:
                    with ended(end):
                        ENDS[end](asking)
                    with pytest.raises(RuntimeError, match="cannot reuse"):
                        asking.send(None)
                await server.closed_by_client()
                await whole(http, server)

    run(main)


@WAYS
@pytest.mark.parametrize("end", [*ENDS, "drop"])
def test_while_it_waits_for_a_slot(way: dict[str, Any], end: str) -> None:
    async def main() -> None:
        async with raw(silent) as server:
            connector = uvolt.http.TCPConnector(limit=1)
            async with uvolt.http.ClientSession(connector=connector) as http:
                first = asyncio.create_task(fetch(http, server.url))
                await support.until(lambda: bool(server.asked))
                asking = http.get(server.url, **way)
                await until_it_waits(asking)
                assert connector._pool.waiting == 1
                if end == "drop":
                    del asking
                    gc.collect()
                else:
                    with ended(end):
                        ENDS[end](asking)
                assert connector._pool.waiting == 0
                first.cancel()
                await asyncio.wait([first])
                await whole(http, server)

    run(main)


@WAYS
def test_as_the_slot_is_given(way: dict[str, Any]) -> None:
    """Cancelled in the turn in which the connection is handed over."""

    async def main() -> None:
        async with raw(ok) as server:
            connector = uvolt.http.TCPConnector(limit=1)
            async with uvolt.http.ClientSession(connector=connector) as http:
                for turns in range(12):
                    tasks = [asyncio.create_task(fetch(http, server.url, **way)) for _ in range(4)]
                    await support.settle(turns)
                    for task in tasks[1:3]:
                        task.cancel()
                    got = await asyncio.gather(*tasks, return_exceptions=True)
                    assert got[0] == got[3] == b"ok"
                    assert all(g == b"ok" or isinstance(g, asyncio.CancelledError) for g in got)
                await whole(http, server)

    run(main)


@WAYS
def test_while_it_connects(way: dict[str, Any]) -> None:
    async def main() -> None:
        connector = uvolt.http.TCPConnector(limit=2)
        async with raw(ok) as server, uvolt.http.ClientSession(connector=connector) as http:
            with black_hole() as port:
                url = f"http://127.0.0.1:{port}/"
                tasks = [asyncio.create_task(fetch(http, url, **way)) for _ in range(5)]
                await asyncio.sleep(0.02)
                assert (connector._pool.in_use, connector._pool.waiting) == (2, 3)
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                assert all(task.cancelled() for task in tasks)
            await whole(http, server, 2)

    run(main)


@WAYS
@pytest.mark.parametrize("reading", ["read", "text", "json", "content"])
def test_while_it_reads(way: dict[str, Any], reading: str) -> None:
    async def main() -> None:
        async with raw(begun) as server:
            connector = uvolt.http.TCPConnector(limit=1)
            async with uvolt.http.ClientSession(connector=connector) as http:
                answer = await http.get(server.url, **way)
                read = answer.content.read if reading == "content" else getattr(answer, reading)
                task = asyncio.create_task(read())
                await support.settle()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                if reading == "content":
                    answer.close()
                assert answer.closed
                await server.closed_by_client()
                await whole(http, server)

    run(main)


@WAYS
def test_at_each_turn(way: dict[str, Any]) -> None:
    """After every number of turns that a request takes, by wait_for, gather and a task."""

    async def main() -> None:
        async with raw(ok) as server:
            connector = uvolt.http.TCPConnector(limit=2)
            async with uvolt.http.ClientSession(connector=connector) as http:
                for turns in range(25):
                    task = asyncio.ensure_future(
                        asyncio.gather(*(fetch(http, server.url, **way) for _ in range(4)))
                    )
                    await support.settle(turns)
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                    await support.settle(3)
                    assert connector._pool.waiting == 0
                await whole(http, server, 2)

    run(main)


@WAYS
def test_wait_for(way: dict[str, Any]) -> None:
    async def main() -> None:
        async with raw(silent) as server:
            connector = uvolt.http.TCPConnector(limit=1)
            async with uvolt.http.ClientSession(connector=connector) as http:
                for _ in range(3):
                    with pytest.raises(asyncio.TimeoutError):
                        await asyncio.wait_for(http.get(server.url, **way), 0.02)
                await server.closed_by_client()
                await whole(http, server)

    run(main)


def test_shielded() -> None:
    async def main() -> None:
        async with raw(ok) as server, uvolt.http.ClientSession() as http:
            inner = asyncio.ensure_future(fetch(http, server.url))
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(inner), 0)
            assert await inner == b"ok"
            await whole(http, server)

    run(main)


@WAYS
def test_the_total_timeout_at_each_wait(way: dict[str, Any]) -> None:
    async def main() -> None:
        connector = uvolt.http.TCPConnector(limit=1)
        async with raw(silent) as server, uvolt.http.ClientSession(connector=connector) as http:
            for script in (silent, begun):
                server.script = script
                with pytest.raises(asyncio.TimeoutError):
                    await fetch(http, server.url, timeout=0.05, **way)
                await server.closed_by_client()
            with black_hole() as port, pytest.raises(asyncio.TimeoutError):
                await fetch(http, f"http://127.0.0.1:{port}/", timeout=0.05, **way)
            server.script = silent
            first = asyncio.create_task(fetch(http, server.url))
            await support.settle()
            with pytest.raises(asyncio.TimeoutError):
                await fetch(http, server.url, timeout=0.05, **way)
            first.cancel()
            await asyncio.wait([first])
            await whole(http, server)

    run(main)


def test_closed_session_under_way() -> None:
    """close() while requests wait for a slot or a head: all end with an error."""

    async def main() -> None:
        async with raw(silent) as server:
            connector = uvolt.http.TCPConnector(limit=3)
            http = uvolt.http.ClientSession(connector=connector)
            tasks = [asyncio.create_task(fetch(http, server.url)) for _ in range(8)]
            await support.until(lambda: len(server.asked) == 3)
            await http.close()
            got = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(g, uvolt.http.ClientError) for g in got), got
            with pytest.raises(RuntimeError, match="Session is closed"):
                await http.get(server.url)

    run(main)
