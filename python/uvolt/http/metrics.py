"""What programs that are watched want to know: when the steps of a request were done, and how many
connections a connector has made.

aiohttp has neither; its TraceConfig, which is here as well (tracing.py), costs more.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ("ConnectorStats", "ResponseTimings")


class ResponseTimings(NamedTuple):
    """When the steps of a request were done: seconds, as loop.time() has them; None: not come to,
    or not needed. Of the last hop if redirects were followed: each response of `history` has its
    own.

    start: the request was begun. queued: the limits of the connector allowed it a connection.
    dns: the addresses of the host were known. connect: a connection to one of them was made.
    tls: so was the handshake. These three are None where an open connection was used.
    sent: the whole request was given to the system, or to the connection's buffer before it.
    first_byte, done: of the response; `done` when the last one has come, read or not.
    """

    start: float
    queued: float | None
    dns: float | None
    connect: float | None
    tls: float | None
    sent: float | None
    first_byte: float | None
    done: float | None


class ConnectorStats(NamedTuple):
    """What a connector has done since it was made, and has now.

    opened, closed: connections so far. reused: how often an open one was given to a request.
    in_use, idle: connections now. waiting: requests that wait for one, now.
    dns_hits, dns_misses: of the cache of names, so far; who waits for a lookup that is under way
    hits it, without a cache all lookups miss.
    """

    opened: int
    reused: int
    closed: int
    in_use: int
    idle: int
    waiting: int
    dns_hits: int = 0
    dns_misses: int = 0
