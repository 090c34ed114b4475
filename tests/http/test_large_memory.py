"""The memory of large bodies that were let go is used for later ones (csrc/core/large.h)."""

from __future__ import annotations

import asyncio
import gc
import resource
import tracemalloc

import pytest
import support
from http_support import answers, get, raw, response

import uvolt
import uvolt.http

MIB = 1 << 20


def body(n: int, size: int = MIB) -> bytes:
    return bytes([n]) * size


def test_bodies_are_their_own() -> None:
    """Kept, hashed, let go, looked at through a memoryview: each has its own bytes and hash."""

    async def main() -> None:
        script = answers(*(response(body(n)) for n in range(40)))
        kept: dict[bytes, int] = {}
        views = []
        async with raw(script) as server, uvolt.http.ClientSession() as http:
            for n in range(0, 40, 4):
                hash(await get(http, server.url))  # it is let go with its hash
                got = await get(http, server.url)
                assert got == body(n + 1)
                kept[got] = n + 1
                views.append((memoryview(await get(http, server.url)), n + 2))
                async with http.get(server.url) as answer:
                    part = await answer.content.readexactly(1000)
                    got = part + await answer.content.read()
                assert got == body(n + 3)
            for got, n in kept.items():
                assert got == body(n)
                assert kept[body(n)] == n
            for view, n in views:
                assert view == body(n)

    uvolt.run(main())


def test_sizes_are_their_own() -> None:
    sizes = [MIB, MIB - 1, MIB + 1, MIB, 64 << 10, (64 << 10) - 1, MIB, 3 * MIB, MIB]

    async def main() -> None:
        sent = [response(body(n, size)) for n, size in enumerate(sizes)]
        async with raw(answers(*sent)) as server, uvolt.http.ClientSession() as http:
            for n, size in enumerate(sizes):
                assert await get(http, server.url) == body(n, size)

    uvolt.run(main())


def test_a_failed_body_leaves_nothing() -> None:
    """A body that ends early, in memory that was another's before."""

    async def main() -> None:
        short = response(body(1))[: -MIB // 2]

        whole = response(body(0))
        script = answers(whole, short, whole, close=True)
        async with raw(script) as server, uvolt.http.ClientSession() as http:
            assert await get(http, server.url) == body(0)
            with pytest.raises(uvolt.http.ClientPayloadError):
                await get(http, server.url)
            assert await get(http, server.url) == body(0)

    uvolt.run(main())


@pytest.mark.skipif(support.SANITIZED, reason="free lists are off under the sanitizers")
def test_no_page_is_faulted_in_again(nginx) -> None:
    async def main() -> float:
        async with uvolt.http.ClientSession() as http:

            async def some(n: int) -> None:
                for _ in range(n):
                    assert len(await get(http, f"http://127.0.0.1:{nginx.port}/text.txt")) == MIB

            await asyncio.gather(*(some(5) for _ in range(8)))
            before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
            await asyncio.gather(*(some(25) for _ in range(8)))
            return (resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before) / 200

    assert uvolt.run(main()) < 8  # a page each would be 256; without the memory's reuse it was 50


def test_what_is_kept_is_bounded_and_given_up() -> None:
    async def main() -> None:
        count = 40
        script = answers(*(response(body(n)) for n in range(count)))
        async with raw(script) as server, uvolt.http.ClientSession() as http:
            await get(http, server.url)  # what a first request makes is here to stay
            await asyncio.sleep(0)
            gc.collect()
            tracemalloc.start()
            try:
                bodies = await asyncio.gather(*(get(http, server.url) for _ in range(count)))
                del bodies
                await support.settle()  # gather()'s future
                gc.collect()
                assert tracemalloc.get_traced_memory()[0] < 18 * MIB
                await support.until(lambda: tracemalloc.get_traced_memory()[0] < MIB / 2)
                await get(http, server.url)  # and it begins anew
                await support.until(lambda: tracemalloc.get_traced_memory()[0] < MIB / 2)
            finally:
                tracemalloc.stop()

    uvolt.run(main())


def test_a_loop_takes_it_along() -> None:
    """Nothing is left when the loop is closed, also with the bodies still there."""
    kept = []

    async def main() -> None:
        async with raw(answers(response(body(7)))) as server, uvolt.http.ClientSession() as http:
            kept.append(await get(http, server.url))
            await get(http, server.url)

    tracemalloc.start()
    try:
        uvolt.run(main())
        gc.collect()
        assert kept == [body(7)]
        assert tracemalloc.get_traced_memory()[0] < 2.5 * MIB
    finally:
        tracemalloc.stop()
