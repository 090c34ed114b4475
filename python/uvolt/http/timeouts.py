"""ClientTimeout: how long each step of a request may take."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final

from .helpers import deprecated, sentinel

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


def request_timeout(timeout: Any) -> ClientTimeout:
    """A ClientTimeout; a number is its total, in seconds. aiohttp's own, which has neither `pool`
    nor `write`, is as good and stays what it is."""
    if isinstance(timeout, ClientTimeout) or hasattr(timeout, "sock_connect"):
        return timeout  # type: ignore[no-any-return]
    return ClientTimeout(total=timeout)


def session_timeout(timeout: Any, read_timeout: Any, conn_timeout: float | None) -> ClientTimeout:
    """The timeout of a session, whose parts had arguments of their own once. ValueError for both,
    and for what is no ClientTimeout."""
    if timeout is sentinel and read_timeout is sentinel and conn_timeout is None:
        return DEFAULT_TIMEOUT
    old = {"read_timeout": read_timeout, "conn_timeout": conn_timeout}
    given = {name: value for name, value in old.items() if value not in (sentinel, None)}
    if timeout is not sentinel and timeout is not None:
        if not hasattr(timeout, "sock_connect"):
            raise ValueError(
                f"timeout parameter cannot be of {type(timeout)} type, "
                "please use 'timeout=ClientTimeout(...)'"
            )
        for name, part in (("read_timeout", "read"), ("conn_timeout", "connect")):
            if name in given:
                raise ValueError(
                    f"{name} and timeout parameters conflict, please setup timeout.{part}"
                )
        return request_timeout(timeout)
    for name in given:
        deprecated(f"{name} is deprecated, use timeout argument instead")
    return replace(
        DEFAULT_TIMEOUT,
        total=given.get("read_timeout", DEFAULT_TIMEOUT.total),
        connect=given.get("conn_timeout"),
    )


def deadline(now: float, seconds: float | None) -> float | None:
    """When so many seconds from now are over; None: never, for None and for 0."""
    return now + seconds if seconds else None


def earliest(*whens: float | None) -> float | None:
    """The first of these times; None is never."""
    return min((when for when in whens if when is not None), default=None)


def is_timeout(exc: BaseException) -> bool:
    """Whether an exception is the end of a timeout. ETIMEDOUT of the system is not one, though its
    class is the same from Python 3.11 on."""
    return isinstance(exc, asyncio.TimeoutError) and getattr(exc, "errno", None) is None


class Expiry:
    """`async with`, but plain: the task is cancelled at `when` of loop.time(), and that becomes
    asyncio.TimeoutError. asyncio.timeout_at() for all versions of Python.
    """

    __slots__ = ("_cancelling", "_handle", "_loop", "_task", "_when", "expired")

    def __init__(self, loop: asyncio.AbstractEventLoop, when: float | None) -> None:
        self._loop = loop
        self._when = when
        self.expired = False

    def __enter__(self) -> Expiry:
        self._handle = None
        if self._when is not None:
            task = asyncio.current_task(self._loop)
            if task is None:
                raise RuntimeError("Timeout should be used inside a task")
            self._task = task
            if sys.version_info >= (3, 11):
                self._cancelling = task.cancelling()
            self._handle = self._loop.call_at(self._when, self._expire)
        return self

    def _expire(self) -> None:
        self.expired = True
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
        if not self.expired:
            return
        if sys.version_info >= (3, 11) and self._task.uncancel() > self._cancelling:
            return  # somebody else cancels it as well
        if kind is asyncio.CancelledError:
            raise asyncio.TimeoutError from error
