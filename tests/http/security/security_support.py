"""What the modules of the security matrix share. aiohttp is no oracle here: some of it is why there
is a matrix; what must come of a row is written in the row."""

from __future__ import annotations

import re
import resource
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import support
from http_support import Client, Peer, RawServer

import uvolt.http

http: Any = uvolt.http


def run(main: Callable[[], Awaitable[Any]], seconds: float = 30) -> Any:
    """Run main() on uvolt's loop; nothing may reach the loop's exception handler."""
    return Client("uvolt").run(main, seconds)


def lines_of(data: bytes) -> list[bytes]:
    """As the most lenient of servers would split it."""
    return re.split(rb"[\r\n\0]+", data)


def heads(server: RawServer) -> Iterable[bytes]:
    """The request heads that came, as sent."""
    return (asked.head for asked in server.asked)


async def endless(peer: Peer, piece: bytes, bound: int) -> int:
    """Send pieces until the client goes; how many bytes it took. Fails above the bound."""
    sent = 0
    while not peer.ended:
        await peer.send_slowly(piece)
        await support.settle(2)  # the client is on the same loop
        sent += len(piece)
        assert sent <= bound, "the client takes it without end"
    return sent


def rss() -> int:
    """Bytes of memory that the process has."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()
