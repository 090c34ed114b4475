"""The jobs of the demo. Most are done twice: one task after another, and all with gather.

A job is a coroutine function (server's URL, together or not) that returns the trace of its run, and
raises if what it computed is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from . import client
from .trace import Trace

WAYS = ("one after another", "gather")

ROWS = {"customers": (0.10, 125_000), "orders": (0.15, 892_000), "products": (0.05, 12_000)}
TOTAL = 1_029_000
CALLS = ("users", "weather", "stock", "news")
BATCHES = 20
AT_ONCE = 5
FILES = {"intro": True, "missing": False, "manual": True, "logo": True}
REQUESTS = 500
QUICK_REQUESTS = 40


@dataclass(frozen=True)
class Job:
    """One job, and how often it is measured on each loop."""

    title: str
    run: Callable[[str, bool], Awaitable[Trace]]
    rounds: int
    ways: Sequence[str] = WAYS
    operations: int = 0  # of a job that keeps the processor busy; the others wait

    @property
    def waits(self) -> bool:
        return not self.operations


def expect(condition: bool, what: str) -> None:
    """The job did not do what it should: then its time means nothing."""
    if not condition:
        raise RuntimeError(f"uvolt demo: {what} came out wrong")


async def all_of(coroutines: Iterable[Any], together: bool) -> list[Any]:
    """The results, of one after another or of all at once."""
    if together:
        return list(await asyncio.gather(*coroutines))
    return [await coroutine for coroutine in coroutines]


async def counts(url: str, together: bool) -> Trace:
    """Three table counts."""

    async def count(table: str) -> int:
        with trace.task(table):
            seconds, rows = ROWS[table]
            await asyncio.sleep(seconds)
            return rows

    trace = Trace()
    results = await all_of((count(table) for table in ROWS), together)
    trace.stop()
    expect(sum(results) == TOTAL, "the total")
    return trace


async def api_calls(url: str, together: bool) -> Trace:
    """Four calls of an API that takes 50 ms to answer."""
    async with client.connect(url) as get:

        async def call(name: str) -> bytes:
            with trace.task(name):
                return bytes(await get(f"/wait/50/{name}"))

        trace = Trace()
        results = await all_of((call(name) for name in CALLS), together)
        trace.stop()
    expect(results == [name.encode() for name in CALLS], "an answer")
    return trace


async def batches(url: str, together: bool) -> Trace:
    """Twenty batches, five at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def process(number: int) -> int:
        async with gate:
            with trace.task(f"batch {number}"):
                await asyncio.sleep(0.02)
                return number

    trace = Trace()
    results = await all_of((process(number) for number in range(BATCHES)), together)
    trace.stop()
    expect(results == list(range(BATCHES)), "a batch")
    return trace


async def downloads(url: str, together: bool) -> Trace:
    """Four downloads, one of which fails."""

    async def download(name: str) -> bool:
        try:
            with trace.task(name):
                await asyncio.sleep(0.02)
                if not FILES[name]:
                    raise LookupError(name)
                await asyncio.sleep(0.03)
                return True
        except LookupError:
            return False

    trace = Trace()
    results = await all_of((download(name) for name in FILES), together)
    trace.stop()
    expect(results == list(FILES.values()), "a download")
    return trace


def requests(count: int) -> Callable[[str, bool], Awaitable[Trace]]:
    """Many small requests, each on a connection of its own: here the processor is what counts."""

    async def run(url: str, together: bool) -> Trace:
        async with client.connect(url) as get:
            trace = Trace()
            results = await all_of((get(f"/now/{n}") for n in range(count)), together)
            trace.stop()
        expect(results == [b"%d" % n for n in range(count)], "a response")
        return trace

    return run


def make(quick: bool) -> list[Job]:
    """The jobs in the order of the report. quick: for tests, as short as it gets."""
    rounds = 1 if quick else 3
    count = QUICK_REQUESTS if quick else REQUESTS
    return [
        Job("three table counts", counts, rounds),
        Job("four API calls", api_calls, rounds),
        Job(f"{BATCHES} batches, {AT_ONCE} at a time", batches, rounds),
        Job("four downloads, one fails", downloads, rounds),
        Job(f"{count} HTTP requests at once", requests(count), 3 * rounds, WAYS[1:], count),
    ]
