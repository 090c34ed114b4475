"""TraceConfig: coroutines of the program that are told what a request does, step by step.

Source: https://docs.aiohttp.org/en/stable/tracing_reference.html
The signals, their order and their parameters are aiohttp's. A session without a TraceConfig knows
nothing of this module.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableSequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, overload

from multidict import CIMultiDict
from yarl import URL

from .. import _core
from . import _support
from .timeouts import ClientTimeout, Expiry, deadline, earliest

if TYPE_CHECKING:
    from .client import ClientSession
    from .connector import BaseConnector
    from .request import ClientRequest
    from .response import ClientResponse

__all__ = (
    "TraceConfig",
    "TraceConnectionCreateEndParams",
    "TraceConnectionCreateStartParams",
    "TraceConnectionQueuedEndParams",
    "TraceConnectionQueuedStartParams",
    "TraceConnectionReuseconnParams",
    "TraceDnsCacheHitParams",
    "TraceDnsCacheMissParams",
    "TraceDnsResolveHostEndParams",
    "TraceDnsResolveHostStartParams",
    "TraceRequestChunkSentParams",
    "TraceRequestEndParams",
    "TraceRequestExceptionParams",
    "TraceRequestHeadersSentParams",
    "TraceRequestRedirectParams",
    "TraceRequestStartParams",
    "TraceResponseChunkReceivedParams",
)

Receiver = Callable[..., Awaitable[object]]


class Signal(MutableSequence[Receiver]):
    """The receivers of a signal: a list, until it is frozen. They are called in its order, each is
    awaited before the next. As aiosignal.Signal."""

    __slots__ = ("_owner", "_receivers", "frozen")

    def __init__(self, owner: object) -> None:
        self._owner = owner
        self._receivers: list[Receiver] = []
        self.frozen = False

    def freeze(self) -> None:
        """From now on it can be sent, and no more be changed."""
        self.frozen = True

    async def send(self, *args: Any, **kwargs: Any) -> None:
        """Call all receivers. RuntimeError if it is not frozen."""
        if not self.frozen:
            raise RuntimeError("Cannot send non-frozen signal.")
        for receiver in self._receivers:
            await receiver(*args, **kwargs)

    def __call__(self, receiver: Receiver) -> Receiver:
        """Append, as a decorator."""
        self.append(receiver)
        return receiver

    def _check(self) -> None:
        if self.frozen:
            raise RuntimeError("Cannot modify frozen list.")

    @overload
    def __getitem__(self, index: int) -> Receiver: ...
    @overload
    def __getitem__(self, index: slice) -> list[Receiver]: ...
    def __getitem__(self, index: int | slice) -> Receiver | list[Receiver]:
        return self._receivers[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._check()
        self._receivers[index] = value

    def __delitem__(self, index: int | slice) -> None:
        self._check()
        del self._receivers[index]

    def __len__(self) -> int:
        return len(self._receivers)

    def __eq__(self, other: object) -> bool:
        return self._receivers == other

    __hash__ = None  # type: ignore[assignment]

    def insert(self, index: int, value: Receiver) -> None:
        """Put a receiver before another. RuntimeError once it is frozen."""
        self._check()
        self._receivers.insert(index, value)

    def __repr__(self) -> str:
        return f"<Signal owner={self._owner}, frozen={self.frozen}, {self._receivers!r}>"


# ---- what receivers are given -------------------------------------------------------------------


class _Params:
    """Like a frozen dataclass of its slots, sixteen of which would take milliseconds at import."""

    __slots__: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        names = self.__slots__
        values = dict(zip(names, args, strict=False), **kwargs)
        if len(args) > len(names) or values.keys() != set(names):
            raise TypeError(f"{type(self).__name__} takes {', '.join(names) or 'no arguments'}")
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._values()

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({fields})"


class TraceRequestStartParams(_Params):
    """Of on_request_start. Fields that are put into `headers` are sent."""

    __slots__ = ("method", "url", "headers")
    method: str
    url: URL
    headers: CIMultiDict[str]


class TraceRequestChunkSentParams(_Params):
    """Of on_request_chunk_sent: a piece of the body, not yet compressed, is going to be sent."""

    __slots__ = ("method", "url", "chunk")
    method: str
    url: URL
    chunk: bytes


class TraceResponseChunkReceivedParams(_Params):
    """Of on_response_chunk_received: read() has the body, which is `chunk`."""

    __slots__ = ("method", "url", "chunk")
    method: str
    url: URL
    chunk: bytes


class TraceRequestEndParams(_Params):
    """Of on_request_end: the head of the last response is there."""

    __slots__ = ("method", "url", "headers", "response")
    method: str
    url: URL
    headers: CIMultiDict[str]
    response: ClientResponse


class TraceRequestExceptionParams(_Params):
    """Of on_request_exception, which comes instead of on_request_end."""

    __slots__ = ("method", "url", "headers", "exception")
    method: str
    url: URL
    headers: CIMultiDict[str]
    exception: BaseException


class TraceRequestRedirectParams(_Params):
    """Of on_request_redirect: `response` leads elsewhere."""

    __slots__ = ("method", "url", "headers", "response")
    method: str
    url: URL
    headers: CIMultiDict[str]
    response: ClientResponse


class TraceConnectionQueuedStartParams(_Params):
    """Of on_connection_queued_start: the limits allow no connection now."""

    __slots__ = ()


class TraceConnectionQueuedEndParams(_Params):
    """Of on_connection_queued_end."""

    __slots__ = ()


class TraceConnectionCreateStartParams(_Params):
    """Of on_connection_create_start: a new connection is going to be made."""

    __slots__ = ()


class TraceConnectionCreateEndParams(_Params):
    """Of on_connection_create_end."""

    __slots__ = ()


class TraceConnectionReuseconnParams(_Params):
    """Of on_connection_reuseconn: a connection is there."""

    __slots__ = ()


class TraceDnsResolveHostStartParams(_Params):
    """Of on_dns_resolvehost_start: the resolver is going to be asked."""

    __slots__ = ("host",)
    host: str


class TraceDnsResolveHostEndParams(_Params):
    """Of on_dns_resolvehost_end."""

    __slots__ = ("host",)
    host: str


class TraceDnsCacheHitParams(_Params):
    """Of on_dns_cache_hit: the addresses are known, or being asked for."""

    __slots__ = ("host",)
    host: str


class TraceDnsCacheMissParams(_Params):
    """Of on_dns_cache_miss."""

    __slots__ = ("host",)
    host: str


class TraceRequestHeadersSentParams(_Params):
    """Of on_request_headers_sent: the head is going to be sent, with these fields."""

    __slots__ = ("method", "url", "headers")
    method: str
    url: URL
    headers: CIMultiDict[str]


# ---- TraceConfig --------------------------------------------------------------------------------

SIGNALS: Final = {
    "request_start": TraceRequestStartParams,
    "request_chunk_sent": TraceRequestChunkSentParams,
    "response_chunk_received": TraceResponseChunkReceivedParams,
    "request_end": TraceRequestEndParams,
    "request_exception": TraceRequestExceptionParams,
    "request_redirect": TraceRequestRedirectParams,
    "connection_queued_start": TraceConnectionQueuedStartParams,
    "connection_queued_end": TraceConnectionQueuedEndParams,
    "connection_create_start": TraceConnectionCreateStartParams,
    "connection_create_end": TraceConnectionCreateEndParams,
    "connection_reuseconn": TraceConnectionReuseconnParams,
    "dns_resolvehost_start": TraceDnsResolveHostStartParams,
    "dns_resolvehost_end": TraceDnsResolveHostEndParams,
    "dns_cache_hit": TraceDnsCacheHitParams,
    "dns_cache_miss": TraceDnsCacheMissParams,
    "request_headers_sent": TraceRequestHeadersSentParams,
}


class TraceConfig:
    """Signals of a session's requests: each is a list of coroutine functions
    `async def receiver(session, context, params)`.

    trace_config_ctx_factory(trace_request_ctx=...) makes the context, one for each request and
    TraceConfig; trace_request_ctx is what the request was called with.
    """

    def __init__(self, trace_config_ctx_factory: Callable[..., Any] = SimpleNamespace) -> None:
        self._trace_config_ctx_factory = trace_config_ctx_factory
        self._signals = {name: Signal(self) for name in SIGNALS}

    def trace_config_ctx(self, trace_request_ctx: Any = None) -> Any:
        """A context for a request."""
        return self._trace_config_ctx_factory(trace_request_ctx=trace_request_ctx)

    def freeze(self) -> None:
        """From now on the signals cannot be changed. Called by the session."""
        for signal in self._signals.values():
            signal.freeze()

    @property
    def on_request_start(self) -> Signal:
        """A call of the session begins."""
        return self._signals["request_start"]

    @property
    def on_request_chunk_sent(self) -> Signal:
        """A piece of the body is sent."""
        return self._signals["request_chunk_sent"]

    @property
    def on_response_chunk_received(self) -> Signal:
        """read() has the body."""
        return self._signals["response_chunk_received"]

    @property
    def on_request_end(self) -> Signal:
        """The call ends with a response."""
        return self._signals["request_end"]

    @property
    def on_request_exception(self) -> Signal:
        """The call ends with an exception."""
        return self._signals["request_exception"]

    @property
    def on_request_redirect(self) -> Signal:
        """A response leads elsewhere."""
        return self._signals["request_redirect"]

    @property
    def on_connection_queued_start(self) -> Signal:
        """The request waits for a connection."""
        return self._signals["connection_queued_start"]

    @property
    def on_connection_queued_end(self) -> Signal:
        """It waits no more."""
        return self._signals["connection_queued_end"]

    @property
    def on_connection_create_start(self) -> Signal:
        """A connection is made."""
        return self._signals["connection_create_start"]

    @property
    def on_connection_create_end(self) -> Signal:
        """It is made."""
        return self._signals["connection_create_end"]

    @property
    def on_connection_reuseconn(self) -> Signal:
        """A connection is used again."""
        return self._signals["connection_reuseconn"]

    @property
    def on_dns_resolvehost_start(self) -> Signal:
        """The resolver is asked."""
        return self._signals["dns_resolvehost_start"]

    @property
    def on_dns_resolvehost_end(self) -> Signal:
        """It has answered."""
        return self._signals["dns_resolvehost_end"]

    @property
    def on_dns_cache_hit(self) -> Signal:
        """The addresses of a host are known."""
        return self._signals["dns_cache_hit"]

    @property
    def on_dns_cache_miss(self) -> Signal:
        """They are not known."""
        return self._signals["dns_cache_miss"]

    @property
    def on_request_headers_sent(self) -> Signal:
        """The head is sent."""
        return self._signals["request_headers_sent"]


def params_for(kind: type, signal: str) -> Any:
    """The class of what is told to the receivers of a TraceConfig of this type: a TraceConfig of
    aiohttp's own has them told in aiohttp's own classes."""
    ours = SIGNALS[signal]
    theirs = sys.modules.get("aiohttp.tracing")
    if theirs is not None and issubclass(kind, theirs.TraceConfig):
        return getattr(theirs, ours.__name__)
    return ours


class Traces:
    """The traces of one request: send("dns_cache_hit", host) tells them all.

    Only those that were told of the start hear of what follows. A TraceConfig of aiohttp's own
    works as well: it is used by its public names.
    """

    __slots__ = ("_session", "_started")

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._started: list[tuple[Any, Any]] = []

    async def start(
        self,
        context: object,
        method: str,
        url: URL,
        headers: CIMultiDict[str],
    ) -> None:
        """on_request_start of each; context: what the call has as trace_request_ctx."""
        for config in self._session._trace_configs:
            own = config.trace_config_ctx(trace_request_ctx=context)
            params = params_for(type(config), "request_start")(method, url, headers)
            await config.on_request_start.send(self._session, own, params)
            self._started.append((config, own))

    async def send(self, signal: str, *params: Any) -> None:
        """Tell all, one after the other; what a receiver raises comes out."""
        for config, own in self._started:
            made = params_for(type(config), signal)(*params)
            await getattr(config, f"on_{signal}").send(self._session, own, made)

    async def on_read(self, response: Any) -> None:
        """Told by a response once its body was read."""
        await self.send("response_chunk_received", response.method, response.url, response._body)


class Connect:
    """Gets the connection of one exchange, as C does it without traces, and tells them of it.

    Called by C, again if what it has given turns out to be closed (`fresh`: then only a new one
    will do). Raises what the connector raises, ConnectionTimeoutError when the wait for a
    connection is over, TimeoutError at end_by of loop.time().
    """

    def __init__(
        self,
        traces: Traces,
        connector: BaseConnector,
        request: ClientRequest,
        route: _core.HTTPRoute,
        timeout: ClientTimeout,
        end_by: float | None,
        times: dict[str, float] | None = None,
    ) -> None:
        self._traces = traces
        self._times = times
        self._connector = connector
        self._request = request
        self._route = route
        self._timeout = timeout
        self._end_by = end_by
        self._loop = connector._loop
        self._connect_by = deadline(self._loop.time(), timeout.connect)

    async def __call__(self, fresh: bool) -> tuple[_core.HTTPConnection, bytes, bytes | None]:
        """(connection, head, body): what is sent, and on what."""
        try:
            with Expiry(self._loop, self._end_by):
                conn = await self._acquire(fresh)
                try:
                    await self._prepare(conn)
                    request = self._request
                    has_upload = request._body is not None or request.expects_continue
                    return conn, request.head(), None if has_upload else request.whole_body()
                except BaseException:
                    conn.close()
                    raise
        except asyncio.TimeoutError as exc:
            if type(exc) is asyncio.TimeoutError:
                raise _support.total_timeout() from exc
            raise

    async def _acquire(self, fresh: bool) -> _core.HTTPConnection:
        pool = self._connector._open_pool()
        while True:
            conn = pool.take(self._route)
            if conn is None:
                await self._traces.send("connection_queued_start")
                conn = await self._wait(pool)
                try:
                    await self._traces.send("connection_queued_end")
                except BaseException:
                    conn.release()
                    raise
            if not fresh or conn.state == "new":
                return conn
            conn.close()

    async def _wait(self, pool: _core.HTTPPool) -> _core.HTTPConnection:
        seconds = getattr(self._timeout, "pool", None)  # aiohttp's has none
        pool_by = deadline(self._loop.time(), seconds)
        try:
            with Expiry(self._loop, earliest(self._connect_by, pool_by)):
                return await pool.acquire(self._route)
        except asyncio.TimeoutError as exc:
            raise _support.pool_timeout(self._request.url) from exc

    async def _prepare(self, conn: _core.HTTPConnection) -> None:
        request, traces = self._request, self._traces
        if self._times is not None:
            self._times.clear()
            self._times["queued"] = self._loop.time()
        if conn.state == "new":
            await traces.send("connection_create_start")
            await self._connector._open(
                conn,
                self._route,
                self._timeout,
                self._connect_by,
                self._end_by,
                traces,
                self._times,
            )
            await traces.send("connection_create_end")
        else:
            await traces.send("connection_reuseconn")
        await traces.send("request_headers_sent", request.method, request.url, request.headers)
