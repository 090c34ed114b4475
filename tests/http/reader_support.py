"""What tests of stream readers share: a protocol that records, and both kinds of readers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp.streams

import uvolt
import uvolt.http.streams

TEXT = b"line one\nline two\nthe third line, longer\n\nlast"

READERS: dict[str, Any] = {"aiohttp": aiohttp.streams, "uvolt": uvolt.http.streams}


class Protocol:
    """What a reader asks of the connection."""

    def __init__(self) -> None:
        self.connected = True
        self.paused = False
        self.calls: list[Any] = []

    def pause_reading(self) -> None:
        self.paused = True
        self.calls.append("pause")

    def resume_reading(self, resume_parser: bool = True) -> None:
        self.paused = False
        self.calls.append("resume" if resume_parser else "resume at end")


def make(module: Any, limit: int = 2**16, **options: Any) -> tuple[Any, Protocol]:
    """A reader of one kind in the running loop, and its protocol."""
    protocol = Protocol()
    options.setdefault("loop", asyncio.get_running_loop())
    return module.StreamReader(protocol, limit, **options), protocol


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return uvolt.run(main())


async def steps(n: int = 3) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def waiting(coroutine: Any) -> asyncio.Task[Any]:
    """A task that has begun to wait."""
    task = asyncio.ensure_future(coroutine)
    await steps()
    assert not task.done()
    return task


async def outcome(coroutine: Any) -> tuple[str, Any]:
    """What awaiting it gives, so that two can be compared."""
    try:
        return "value", await coroutine
    except Exception as error:
        return "error", (type(error).__name__, str(error))


def feed(reader: Any, *pieces: bytes, eof: bool = True) -> None:
    for piece in pieces:
        assert reader.feed_data(piece) is False
    if eof:
        reader.feed_eof()
