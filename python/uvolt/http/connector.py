"""Connectors: where connections come from. The pool of them is C (_core.HTTPPool); making one is
here, for it happens once per connection: names, addresses, TLS, Unix sockets, errors.

Source: https://docs.aiohttp.org/en/stable/client_reference.html#connectors
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl as ssl_module
import sys
import traceback
import warnings
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from .. import _core, connect
from . import _support
from .abc import AbstractResolver, ResolveResult
from .dial import (
    TLS,
    AddrInfoType,
    Limit,
    SocketFactoryType,
    address_infos,
    hand_over,
    is_ours,
    make_tls,
    one_error,
    translated,
)
from .exceptions import (
    ClientConnectionError,
    ClientConnectorDNSError,
    ClientConnectorError,
    InvalidUrlClientError,
    ServerFingerprintMismatch,
)
from .helpers import (
    _Sentinel,
    deprecated,
    ends_in_number,
    is_canonical_ipv4,
    is_ip_address,
    sentinel,
)
from .metrics import ConnectorStats
from .reqrep import ConnectionKey, SSLArgument, merge_ssl_params
from .resolver import CachingResolver, DefaultResolver, DNSCache
from .timeouts import ClientTimeout, Expiry, deadline

if TYPE_CHECKING:
    from typing_extensions import Self

    from .tracing import Traces

__all__ = (
    "AddrInfoType",
    "BaseConnector",
    "SocketFactoryType",
    "TCPConnector",
)

Finish = Callable[[socket.socket], Awaitable[None]]

HTTP_SCHEMAS: Final = frozenset({"", "http", "https"})
HIGH_LEVEL_SCHEMAS: Final = HTTP_SCHEMAS | {"ws", "wss"}


class BaseConnector(_core.HTTPConnector):
    """What connectors have in common: a pool of connections.

    keepalive_timeout: seconds an unused connection is kept; None: for ever. force_close: none is
    used twice. limit: connections at a time, limit_per_host: to one (host, port, TLS); 0: no limit.
    enable_cleanup_closed and timeout_ceil_threshold are aiohttp's, without effect here.
    Raises ValueError for keepalive_timeout with force_close, RuntimeError outside a uvolt loop.
    """

    allowed_protocol_schema_set = HIGH_LEVEL_SCHEMAS
    _source_traceback: traceback.StackSummary | None = None
    _ssl: SSLArgument = True  # for requests that name none
    _has_proxies = False  # whether it can connect by one
    _user_agent: str | None = None  # in requests for tunnels; None: that it is uvolt's
    _timeout_ceil_threshold: float = 5

    def __init__(
        self,
        *,
        keepalive_timeout: float | None | _Sentinel = sentinel,
        force_close: bool = False,
        limit: int = 100,
        limit_per_host: int = 0,
        enable_cleanup_closed: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        timeout_ceil_threshold: float = 5,
    ) -> None:
        if force_close:
            if keepalive_timeout is not None and keepalive_timeout is not sentinel:
                raise ValueError("keepalive_timeout cannot be set if force_close is True")
            keepalive_timeout = None
        elif keepalive_timeout is sentinel:
            keepalive_timeout = 15.0
        loop = loop or asyncio.get_running_loop()
        if not isinstance(loop, _core.Loop):
            raise _support.wrong_loop()
        if loop.get_debug():
            self._source_traceback = traceback.extract_stack(sys._getframe(1))
        self._loop = loop
        if timeout_ceil_threshold != 5:
            self._timeout_ceil_threshold = timeout_ceil_threshold
        self._pool = _core.HTTPPool(loop, limit, limit_per_host, keepalive_timeout, force_close)

    def __del__(self, _warnings: Any = warnings) -> None:
        pool = self._pool
        if pool is None or pool.closed:
            return
        connections = [repr(connection) for connection in pool.connections]
        if not connections or self._loop.is_closed():
            return
        pool.close()
        _warnings.warn(f"Unclosed connector {self!r}", ResourceWarning, source=self)
        context = {
            "connector": self,
            "connections": connections,
            "message": "Unclosed connector",
        }
        if self._source_traceback is not None:
            context["source_traceback"] = self._source_traceback
        self._loop.call_exception_handler(context)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        exc_traceback: TracebackType | None = None,
    ) -> None:
        await self.close()

    @property
    def force_close(self) -> bool:
        """Whether every connection is closed after one request."""
        return self._open_pool().force_close

    @property
    def limit(self) -> int:
        """How many connections there may be at a time; 0: no limit."""
        return self._open_pool().limit

    @property
    def limit_per_host(self) -> int:
        """How many there may be to one host, port and kind; 0: no limit."""
        return self._open_pool().limit_per_host

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._pool is None or self._pool.closed

    @property
    def stats(self) -> ConnectorStats:
        """Connections made, used again, closed, and those there are now."""
        pool = self._open_pool()
        return ConnectorStats(
            pool.total_opened,
            pool.total_reused,
            pool.total_closed,
            pool.in_use,
            pool.idle,
            pool.waiting,
        )

    # aiohttp's names for what programs look at to watch a connector; copies, not the thing itself.

    def _by_key(self, *states: str) -> dict[ConnectionKey, list[_core.HTTPConnection]]:
        found: dict[ConnectionKey, list[_core.HTTPConnection]] = {}
        for connection in self._open_pool().connections:
            if connection.state in states:
                found.setdefault(connection.key, []).append(connection)
        return found

    @property
    def _conns(self) -> dict[ConnectionKey, list[tuple[_core.HTTPConnection, float]]]:
        """The connections that are kept, by their keys. In place of the time since which each is,
        there is 0.0: the pool alone knows it."""
        kept = self._by_key("idle")
        return {key: [(connection, 0.0) for connection in kept[key]] for key in kept}

    @property
    def _acquired_per_host(self) -> dict[ConnectionKey, set[_core.HTTPConnection]]:
        """The connections that are in use or being made, by their keys."""
        return {key: set(used) for key, used in self._by_key("new", "taken", "busy").items()}

    @property
    def _acquired(self) -> set[_core.HTTPConnection]:
        """The connections that are in use or being made."""
        return set().union(*self._acquired_per_host.values())

    @property
    def _closed(self) -> bool:
        return self.closed

    async def connect(self, req: Any, traces: Any = None, timeout: Any = None) -> Any:
        """A connection for a ClientRequest, kept or new, for programs that speak over it: by its
        `transport`. Whoever got it calls its release() or close().

        timeout: a ClientTimeout; None: no limits. traces: aiohttp's, not told of it. Raises what a
        request raises.
        """
        pool = self._open_pool()
        limits = ClientTimeout() if timeout is None else timeout
        route = pool.route(req.connection_key)
        now = self._loop.time()
        connect_by, end_by = deadline(now, limits.connect), deadline(now, limits.total)
        try:
            with Expiry(self._loop, connect_by):
                connection = await pool.acquire(route)
        except asyncio.TimeoutError as exc:
            raise _support.open_timeout(route.key) from exc
        try:
            if connection.state == "new":
                await self._open(connection, route, limits, connect_by, end_by)
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_pool(self) -> _core.HTTPPool:
        assert self._pool is not None
        return self._pool

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Close all connections, and wait until their sockets are closed.

        Requests under way get a ClientConnectionError. Connections with TLS are always aborted:
        abort_ssl changes nothing.
        """
        if self._pool is not None and not self._loop.is_closed():
            await self._pool.close()

    async def _open(
        self,
        conn: _core.HTTPConnection,
        route: _core.HTTPRoute,
        timeout: ClientTimeout,
        connect_by: float | None = None,
        end_by: float | None = None,
        traces: Traces | None = None,
        times: dict[str, float] | None = None,
    ) -> None:
        """Connect a connection that the pool has granted. Called by C.

        connect_by and end_by: loop.time() at which the connect and the total timeout are over.
        traces: are told of it; times: loop.time() of the steps is put there.
        Raises ConnectionTimeoutError for the former and after timeout.sock_connect seconds,
        TimeoutError for the latter; ClientConnectorError and its kin; ClientConnectionError if the
        connector was closed meanwhile.
        """
        key: ConnectionKey = route.key
        limit = Limit(
            self._loop, timeout.sock_connect, connect_by, end_by, traces=traces, times=times
        )
        try:
            if key.proxy is None:
                await self._connect(conn, key, limit)
            else:
                await self._connect_by_proxy(conn, key, limit)
        except asyncio.TimeoutError as exc:
            if isinstance(exc, ClientConnectionError):
                raise
            if limit.is_over() and limit.when == end_by:
                raise _support.total_timeout() from exc
            raise _support.open_timeout(key) from exc
        if self.closed:
            conn.close()
            raise _support.connector_closed()

    def _tls(self, key: ConnectionKey) -> TLS | None:
        """How TLS is spoken with the origin; None: not at all."""
        if not key.is_ssl:
            return None
        return make_tls((key.ssl, self._ssl), key.server_hostname or key.host)

    async def _connect(self, conn: _core.HTTPConnection, key: ConnectionKey, limit: Limit) -> None:
        raise NotImplementedError

    async def _connect_by_proxy(self, conn: _core.HTTPConnection, key: Any, limit: Limit) -> None:
        raise ValueError(f"{type(self).__name__} does not connect by a proxy")


# ---- TCP ----------------------------------------------------------------------------------------


class TCPConnector(BaseConnector):
    """Connections by TCP, and TLS on them.

    ssl: the default for requests that name none: True (verified), False (not), an SSLContext or a
    Fingerprint; verify_ssl, ssl_context and fingerprint are its old names. proxy_ssl: the same for
    TLS with a proxy itself (uvolt's own); None: as with the origin, but for its fingerprint.
    use_dns_cache, ttl_dns_cache (seconds; None: for ever), dns_cache_max_size (hosts): answers of
    the resolver are kept. resolver: None is the system's, ThreadedResolver.
    family, local_addr (host, port): of the sockets; socket_factory makes them.
    happy_eyeballs_delay: seconds before the next address is tried beside the one under way (RFC
    8305); None: one after the other. interleave: how many of the first family come first.
    The rest is BaseConnector's.
    """

    allowed_protocol_schema_set = HIGH_LEVEL_SCHEMAS | {"tcp"}
    # What __init__() without arguments would set: C makes such a connector without it.
    _proxy_ssl: SSLArgument | None = None
    _has_proxies = True
    _use_dns_cache = True
    _dns_cache_limits: tuple[float | None, int] = (10, 1000)
    _family: socket.AddressFamily = socket.AF_UNSPEC
    _local_addr: tuple[str, int] | None = None
    _happy_eyeballs_delay: float | None = 0.25
    _interleave: int | None = None
    _socket_factory: SocketFactoryType | None = None
    _resolver_owner = True

    def __init__(
        self,
        *,
        verify_ssl: bool = True,
        fingerprint: bytes | None = None,
        use_dns_cache: bool = True,
        ttl_dns_cache: float | None = 10,
        dns_cache_max_size: int = 1000,
        family: socket.AddressFamily = socket.AF_UNSPEC,
        ssl_context: ssl_module.SSLContext | None = None,
        ssl: SSLArgument = True,
        local_addr: tuple[str, int] | None = None,
        resolver: AbstractResolver | None = None,
        keepalive_timeout: float | None | _Sentinel = sentinel,
        force_close: bool = False,
        limit: int = 100,
        limit_per_host: int = 0,
        enable_cleanup_closed: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        timeout_ceil_threshold: float = 5,
        happy_eyeballs_delay: float | None = 0.25,
        interleave: int | None = None,
        socket_factory: SocketFactoryType | None = None,
        ssl_shutdown_timeout: float | None | _Sentinel = sentinel,
        proxy_ssl: SSLArgument | None = None,
    ) -> None:
        super().__init__(
            keepalive_timeout=keepalive_timeout,
            force_close=force_close,
            limit=limit,
            limit_per_host=limit_per_host,
            enable_cleanup_closed=enable_cleanup_closed,
            loop=loop,
            timeout_ceil_threshold=timeout_ceil_threshold,
        )
        if ssl_shutdown_timeout is not sentinel:
            deprecated("The ssl_shutdown_timeout parameter is deprecated and has no effect")
        self._ssl = merge_ssl_params(ssl, verify_ssl, ssl_context, fingerprint)
        if proxy_ssl is not None:
            self._proxy_ssl = merge_ssl_params(proxy_ssl)
        self._use_dns_cache = use_dns_cache
        self._family = family
        self._local_addr = local_addr
        self._happy_eyeballs_delay = happy_eyeballs_delay
        self._interleave = interleave
        self._socket_factory = socket_factory
        self._resolver_owner = resolver is None
        if resolver is not None:
            self._resolver = resolver
        self._dns_cache_limits = (ttl_dns_cache, dns_cache_max_size)
        self._direct = family == socket.AF_UNSPEC and local_addr is None and socket_factory is None

    @functools.cached_property
    def _resolver(self) -> AbstractResolver:
        return DefaultResolver(self._loop)

    @functools.cached_property
    def _cached_hosts(self) -> DNSCache:
        return DNSCache(*self._dns_cache_limits)

    @property
    def _names(self) -> CachingResolver:
        if self._names_made is None:
            cache = self._cached_hosts if self._use_dns_cache else None
            self._names_made = CachingResolver(
                self._loop, self._resolver, self._family, cache, self.closed
            )
        names: CachingResolver = self._names_made
        return names

    @property
    def family(self) -> socket.AddressFamily:
        """The family of the sockets; AF_UNSPEC: any."""
        return self._family

    @property
    def use_dns_cache(self) -> bool:
        """Whether answers of the resolver are kept."""
        return self._use_dns_cache

    @property
    def stats(self) -> ConnectorStats:
        """BaseConnector.stats, with how often names were in the cache."""
        names = self._names
        return super().stats._replace(dns_hits=names.hits, dns_misses=names.misses)

    def clear_dns_cache(self, host: str | None = None, port: int | None = None) -> None:
        """Forget the addresses of a host and port, or all. ValueError for only one of the two."""
        if (host is None) != (port is None):
            raise ValueError("either both host and port or none of them are allowed")
        if host is None or port is None:
            self._cached_hosts.clear()
        else:
            self._cached_hosts.remove((host, port))

    async def close(self, *, abort_ssl: bool = False) -> None:
        """BaseConnector.close(); lookups of names are given up, and the own resolver is closed."""
        if self._names_made is not None:
            await self._names_made.close()
        await super().close(abort_ssl=abort_ssl)
        if self._resolver_owner and "_resolver" in self.__dict__:
            await self._resolver.close()

    def _literal(self, host: str, port: int) -> list[ResolveResult] | None:
        """What a host that is an address itself resolves to; None if it is a name.

        Raises InvalidUrlClientError for 127.1 and such: forms that the system takes for an address,
        but that who filters hosts does not see as one.
        """
        if ":" not in host:
            if not ends_in_number(host):
                return None
            if not is_canonical_ipv4(host):
                raise InvalidUrlClientError(host, "is not a canonical IPv4 address")
        return [
            ResolveResult(
                hostname=host, host=host, port=port, family=self._family, proto=0, flags=0
            )
        ]

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> list[ResolveResult]:
        """The addresses of a host, which may be one itself."""
        found = self._literal(host, port)
        return await self._names.resolve(host, port, traces) if found is None else found

    def _known_address(self, host: str, port: int) -> str | None:
        """The only address of a name that was resolved a while ago; None where there are several,
        or none is known. Called by C, which connects to it without _open(), if that and _connect()
        and _resolve_host() are the ones above and `_direct` is true."""
        return self._names.known_address(host, port)

    async def _connect(self, conn: _core.HTTPConnection, key: ConnectionKey, limit: Limit) -> None:
        tls = self._tls(key)

        async def finish(sock: socket.socket) -> None:
            limit.note("connect")
            await self._make_transport(conn, sock, tls)
            if tls is not None:
                limit.note("tls")

        await self._reach(key, limit, finish)

    async def _connect_by_proxy(self, conn: _core.HTTPConnection, key: Any, limit: Limit) -> None:
        from .tunnel import connect  # most programs have no proxy

        await connect(self, conn, key, limit)

    async def _reach(
        self,
        key: ConnectionKey,
        limit: Limit,
        finish: Finish,
        error_class: type[ClientConnectorError] = ClientConnectorError,
    ) -> None:
        """Connect to the host and port of `key`, whichever of its addresses answers. finish(sock)
        makes a transport on the socket; where it fails with an OSError, other addresses are tried.

        Raises error_class and the other ClientConnectorErrors.
        """
        host = key.host
        if host.endswith(".."):
            host = host.rstrip(".") + "."
        assert key.port is not None
        found = await self._look_up(key, host, key.port, limit)
        infos = address_infos(found, self._family)
        error: Exception | None = None
        while infos:
            tried: list[AddrInfoType] = []
            try:
                with translated(key, error_class), limit.of_attempt():
                    return await self._connect_any(infos, tried, finish)
            except (ClientConnectorError, ServerFingerprintMismatch, asyncio.TimeoutError) as exc:
                error = exc
            if limit.is_over():
                break
            # What a handshake failed with may work with another address.
            infos = [info for info in infos if info not in tried]
        if error is None:
            error = ClientConnectorDNSError(key, OSError(None, "no address of the family"))
        try:
            raise error
        finally:
            error = None  # no reference cycle

    async def _look_up(
        self, key: ConnectionKey, host: str, port: int, limit: Limit
    ) -> list[ResolveResult]:
        """The addresses of a host. Raises ClientConnectorDNSError."""
        try:
            with limit.of_lookup():
                found = await self._resolve_host(host, port, limit.traces)
            if not is_ip_address(host):
                limit.note("dns")
        except OSError as exc:
            if is_ours(exc):
                raise
            raise ClientConnectorDNSError(key, exc) from exc
        return found

    async def _connect_any(
        self, infos: list[AddrInfoType], tried: list[AddrInfoType], finish: Finish
    ) -> None:
        """Connect to the first address that answers. Those that are out of question afterwards are
        put into `tried`."""
        tried.append(infos[0])
        sock, info = await self._connect_socket(infos, tried)
        tried[:] = [info]
        try:
            await finish(sock)
        except BaseException:
            sock.close()  # harmless where a transport has it
            raise

    async def _make_transport(self, protocol: Any, sock: socket.socket, tls: TLS | None) -> None:
        """A transport on a connected socket, with TLS if there is to be. The protocol hears of it
        only when the certificate is the right one."""
        context, name, fingerprint = tls or (None, None, None)
        if fingerprint is None:
            await self._loop.create_connection(
                lambda: protocol, sock=sock, ssl=context, server_hostname=name
            )
            return
        transport, _ = await self._loop.create_connection(
            asyncio.Protocol, sock=sock, ssl=context, server_hostname=name
        )
        hand_over(transport, protocol, fingerprint)

    async def _connect_socket(
        self, infos: list[AddrInfoType], tried: list[AddrInfoType]
    ) -> tuple[socket.socket, AddrInfoType]:
        """A socket that is connected to one of the addresses, and which. Raises OSError."""
        local_infos = None
        if self._local_addr is not None:
            local_infos = await self._loop._resolve_stream(
                self._local_addr, dict(family=self._family, proto=0, flags=0)
            )
        if len(infos) == 1:
            return await self._connect_address(infos[0], local_infos, []), infos[0]
        delay = self._happy_eyeballs_delay
        interleave = self._interleave
        if interleave is None and delay is not None:
            interleave = 1
        if interleave:
            infos = connect.interleave_addresses(infos, interleave)
        errors: list[OSError] = []
        won: dict[socket.socket, AddrInfoType] = {}

        async def attempt(info: AddrInfoType) -> socket.socket:
            sock = await self._connect_address(info, local_infos, errors)
            won[sock] = info
            return sock

        sock: socket.socket | None = None
        try:
            if delay is None:
                for info in infos:
                    with contextlib.suppress(OSError):
                        sock = await attempt(info)
                        break
            else:
                sock = await connect.race(
                    (functools.partial(attempt, info) for info in infos), delay
                )
            if sock is None:
                tried[:] = infos
                raise one_error(errors)
            return sock, won[sock]
        finally:
            errors.clear()  # no reference cycles
            won.clear()

    async def _connect_address(
        self,
        info: AddrInfoType,
        local_infos: list[AddrInfoType] | None,
        errors: list[OSError],
    ) -> socket.socket:
        """One attempt. An OSError is raised and also noted in `errors`."""
        family, kind, proto, _, address = info
        sock: socket.socket | None = None
        try:
            if self._socket_factory is not None:
                sock = self._socket_factory(info)
            else:
                sock = socket.socket(family, kind, proto)
            sock.setblocking(False)
            if local_infos is not None:
                connect.bind_local(sock, family, local_infos, errors)
            await self._loop.sock_connect(sock, address)
            return sock
        except BaseException as exc:
            if isinstance(exc, OSError):
                errors.append(exc)
            if sock is not None:
                sock.close()
            raise


# What the class had when it was made: C looks whether it is still that.
_stock_hooks = (TCPConnector._open, TCPConnector._connect, TCPConnector._resolve_host)
_stock_close = TCPConnector.close
_core.http_quicken(TCPConnector)
