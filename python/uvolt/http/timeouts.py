"""ClientTimeout: how long each step of a request may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ("ClientTimeout", "DEFAULT_TIMEOUT")


@dataclass(frozen=True, slots=True)
class ClientTimeout:
    """Timeouts of a request, in seconds. None or 0 is no limit; ClientTimeout() limits nothing.

    total: the whole, from the call to the last byte of the body; redirects included.
    connect: to have a connection, be it waited for in the pool or made.
    sock_connect: to make a new connection, TLS included.
    sock_read: between two pieces of the response, counted once the request is sent.
    pool: to be given a place in the pool (uvolt's own).
    write: between two pieces of the request taken by the system (uvolt's own).
    ceil_threshold: kept for aiohttp's sake; times are not rounded here.

    Raised when time is up: asyncio.TimeoutError for total, ConnectionTimeoutError for connect,
    sock_connect and pool, SocketTimeoutError for sock_read and write.
    Source: https://docs.aiohttp.org/en/stable/client_reference.html#clienttimeout
    """

    total: float | None = None
    connect: float | None = None
    sock_read: float | None = None
    sock_connect: float | None = None
    ceil_threshold: float = 5
    pool: float | None = None
    write: float | None = None


DEFAULT_TIMEOUT: Final = ClientTimeout(total=300, sock_connect=30)
"""What a session has that names none: five minutes in all, 30 seconds to connect."""
