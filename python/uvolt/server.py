"""create_server() and Server: listening sockets and their life, with every keyword of Python 3.13
on all versions. Runs once per server, and two small calls per connection; accepting is C.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import socket
import stat
import sys
from asyncio import base_events, constants, trsock
from asyncio.log import logger
from collections.abc import Iterable
from typing import Any

from . import _core
from .connect import check_ssl_arguments

# Server.wait_closed() waits for the connections from Python 3.12.1 on; before, it returned at once
# when the server was closed.
WAIT_CLOSED_WAITS = sys.version_info >= (3, 12, 1)
# As they are now: what finds blocking calls (blockbuster) puts others into os, and knows the calls
# that a loop is bound to make, in asyncio's own create_unix_server(), by the name of the file.
_stat, _unlink = os.stat, os.unlink

# create_unix_server() removes its socket file at close from Python 3.13 on.
CLEANUP_SOCKET = sys.version_info >= (3, 13)


class Server(asyncio.AbstractServer):
    """What create_server() returns. See asyncio.Server.

    close_clients() and abort_clients() are there on every Python version; wait_closed() does what
    the running Python documents.
    """

    def __init__(
        self,
        loop: Any,
        sockets: list[socket.socket],
        protocol_factory: Any,
        ssl_context: Any,
        backlog: int,
        ssl_handshake_timeout: float | None,
        ssl_shutdown_timeout: float | None,
    ) -> None:
        self._loop = loop
        self._sockets: list[socket.socket] | None = sockets
        self._protocol_factory = protocol_factory
        self._backlog = backlog
        self._ssl_context = ssl_context
        self._ssl_handshake_timeout = ssl_handshake_timeout
        self._ssl_shutdown_timeout = ssl_shutdown_timeout
        self._clients: set[Any] = set()
        self._unnamed = 0
        self._waiters: list[asyncio.Future[None]] | None = []
        self._serving = False
        self._serving_forever_fut: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} sockets={self.sockets!r}>"

    # ---- called by transports ------------------------------------------------------------------

    # asyncio names no transport below Python 3.13, and what calls these by hand does neither.

    def _attach(self, transport: Any = None) -> None:
        if transport is None:
            self._unnamed += 1
        else:
            self._clients.add(transport)

    def _detach(self, transport: Any = None) -> None:
        if transport is None:
            self._unnamed -= 1
        else:
            self._clients.discard(transport)
        if not self._active_count and self._sockets is None:
            self._wakeup()

    @property
    def _active_count(self) -> int:
        return len(self._clients) + self._unnamed

    def _wakeup(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    # ---- asyncio's interface -------------------------------------------------------------------

    @property
    def sockets(self) -> tuple[trsock.TransportSocket, ...]:
        """The listening sockets, () once closed."""
        return tuple(trsock.TransportSocket(sock) for sock in self._sockets or ())

    def get_loop(self) -> Any:
        """The loop the server belongs to."""
        return self._loop

    def is_serving(self) -> bool:
        """True while connections are accepted."""
        return self._serving

    def _start_serving(self) -> None:
        if self._serving:
            return
        if self._sockets is None:
            raise RuntimeError(f"server {self!r} is closed")
        self._serving = True
        for sock in self._sockets:
            sock.listen(self._backlog)
            self._loop._start_serving(
                self._protocol_factory,
                sock,
                self._ssl_context,
                self,
                self._backlog,
                self._ssl_handshake_timeout,
                self._ssl_shutdown_timeout,
            )

    async def _begin(self) -> None:
        """The end of create_server(): as asyncio, one turn for the others. Cancelled: closed."""
        try:
            await self.start_serving()
        except BaseException:
            self.close()
            raise

    async def start_serving(self) -> None:
        """Accept connections from now on. No effect if it does already."""
        self._start_serving()
        await asyncio.sleep(0)

    async def serve_forever(self) -> None:
        """Accept connections until cancelled, then close. RuntimeError if closed or run twice."""
        if self._serving_forever_fut is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        if self._sockets is None:
            raise RuntimeError(f"server {self!r} is closed")
        self._start_serving()
        self._serving_forever_fut = self._loop.create_future()
        try:
            await self._serving_forever_fut
        except asyncio.CancelledError:
            try:
                self.close()
                await self.wait_closed()
            finally:
                raise
        finally:
            self._serving_forever_fut = None

    def close(self) -> None:
        """Stop accepting and close the listening sockets. Connections go on."""
        sockets = self._sockets
        if sockets is None:
            return
        self._sockets = None
        for sock in sockets:
            self._loop._stop_serving(sock)
        self._serving = False
        if self._serving_forever_fut is not None and not self._serving_forever_fut.done():
            self._serving_forever_fut.cancel()
            self._serving_forever_fut = None
        if not self._active_count:
            self._wakeup()

    def close_clients(self) -> None:
        """close() every connection of this server."""
        for transport in self._clients.copy():
            transport.close()

    def abort_clients(self) -> None:
        """abort() every connection of this server."""
        for transport in self._clients.copy():
            transport.abort()

    async def wait_closed(self) -> None:
        """Wait until close() was called and all connections have ended (Python 3.12.1+)."""
        if self._waiters is None or (self._sockets is None and not WAIT_CLOSED_WAITS):
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter


def bind_socket(
    info: Any, reuse_address: bool, reuse_port: bool | None, keep_alive: bool | None
) -> socket.socket | None:
    """A socket bound to one address; None if this system lacks the family. OSError otherwise."""
    family, type_, proto, _, address = info
    try:
        sock = socket.socket(family, type_, proto)
    except OSError:
        logger.debug("create_server(): no socket for %r", info, exc_info=True)
        return None
    try:
        if reuse_address:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
        if reuse_port:
            base_events._set_reuseport(sock)
        if keep_alive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, True)
        if family == socket.AF_INET6:  # IPv4 has a socket of its own
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
        sock.bind(address)
    except OSError as exc:
        sock.close()
        text = f"error while attempting to bind on address {address!r}: {str(exc).lower()}"
        if exc.errno == errno.EADDRNOTAVAIL:  # the family is switched off (bpo-30945)
            logger.debug(text)
            return None
        raise OSError(exc.errno, text) from None
    except BaseException:
        sock.close()
        raise
    return sock


class ServerMixin:
    """The part of Loop that makes servers."""

    async def create_server(
        self: Any,
        protocol_factory: Any,
        host: Any = None,
        port: Any = None,
        *,
        family: int = socket.AF_UNSPEC,
        flags: int = socket.AI_PASSIVE,
        sock: socket.socket | None = None,
        backlog: int = 100,
        ssl: Any = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        keep_alive: bool | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
    ) -> Server:
        """Listen on host (a name, a sequence of names, or None for all interfaces) and port, or on
        the bound socket sock. Timeouts are in seconds. Raises ValueError and TypeError for wrong
        arguments, OSError when no address can be bound.
        """
        if isinstance(ssl, bool):
            raise TypeError("ssl argument must be an SSLContext or None")
        check_ssl_arguments(ssl is not None, ssl_handshake_timeout, ssl_shutdown_timeout)
        if sock is not None:
            base_events._check_ssl_socket(sock)
        if host is not None or port is not None:
            if sock is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
            infos = await self._resolve_hosts(host, port, family, flags)
            reuse = True if reuse_address is None else reuse_address
            sockets = bind_all(infos, reuse, reuse_port, keep_alive)
        elif sock is None:
            raise ValueError("Neither host/port nor sock were specified")
        elif sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A Stream Socket was expected, got {sock!r}")
        else:
            sockets = [sock]
        for each in sockets:
            each.setblocking(False)
        timeouts = (ssl_handshake_timeout, ssl_shutdown_timeout)
        server = Server(self, sockets, protocol_factory, ssl, backlog, *timeouts)
        if start_serving:
            await server._begin()
        if self._debug:
            logger.info("%r is serving", server)
        return server

    async def create_unix_server(
        self: Any,
        protocol_factory: Any,
        path: Any = None,
        *,
        sock: socket.socket | None = None,
        backlog: int = 100,
        ssl: Any = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
        cleanup_socket: bool = CLEANUP_SOCKET,
    ) -> Server:
        """Listen on a Unix socket: a path (str, bytes or path-like; abstract with a leading NUL) or
        the bound socket sock. A stale socket file is replaced; cleanup_socket removes ours at
        close. Raises ValueError and TypeError for wrong arguments, OSError when the path cannot be
        bound.
        """
        if isinstance(ssl, bool):
            raise TypeError("ssl argument must be an SSLContext or None")
        check_ssl_arguments(ssl is not None, ssl_handshake_timeout, ssl_shutdown_timeout)
        if path is not None:
            if sock is not None:
                raise ValueError("path and sock can not be specified at the same time")
            sock = bind_unix(os.fspath(path))
        elif sock is None:
            raise ValueError("path was not specified, and no sock specified")
        elif sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A UNIX Domain Stream Socket was expected, got {sock!r}")
        if cleanup_socket:
            name = sock.getsockname()
            if name and not is_abstract(name):
                try:
                    self._unix_server_sockets[sock] = _stat(name).st_ino
                except FileNotFoundError:
                    pass
        sock.setblocking(False)
        timeouts = (ssl_handshake_timeout, ssl_shutdown_timeout)
        server = Server(self, [sock], protocol_factory, ssl, backlog, *timeouts)
        if start_serving:
            await server._begin()
        return server

    async def _resolve_hosts(self: Any, host: Any, port: Any, family: int, flags: int) -> list[Any]:
        """The addresses of one or several hosts, each once, in order."""
        if host == "":
            hosts: list[Any] = [None]
        elif isinstance(host, (str, bytes)) or not isinstance(host, Iterable):
            hosts = [host]
        else:
            hosts = list(host)
        lists = await asyncio.gather(
            *[self._create_server_getaddrinfo(name, port, family, flags) for name in hosts]
        )
        return list(dict.fromkeys(itertools.chain.from_iterable(lists)))

    def _start_serving(
        self: Any,
        protocol_factory: Any,
        sock: socket.socket,
        sslcontext: Any = None,
        server: Any = None,
        backlog: int = 100,
        ssl_handshake_timeout: float | None = constants.SSL_HANDSHAKE_TIMEOUT,
        ssl_shutdown_timeout: float | None = None,
    ) -> None:
        accepted = None
        if sslcontext is not None:

            def accepted(fd: int) -> None:
                self._accept_tls(
                    fd,
                    protocol_factory,
                    sslcontext,
                    server,
                    ssl_handshake_timeout,
                    ssl_shutdown_timeout,
                )

        listener = _core.listen(self, sock, protocol_factory, server, backlog, accepted)
        self._listeners[sock] = listener

    def _accept_tls(
        self: Any,
        fd: int,
        protocol_factory: Any,
        sslcontext: Any,
        server: Any,
        ssl_handshake_timeout: float | None,
        ssl_shutdown_timeout: float | None,
    ) -> None:
        """Begin the handshake with a client. If it fails, the program hears of it in debug mode."""
        try:
            conn = socket.socket(fileno=fd)
        except BaseException:
            os.close(fd)
            raise
        protocol = None
        try:
            conn.setblocking(False)
            protocol = protocol_factory()
            self._make_ssl_transport(
                conn,
                protocol,
                sslcontext,
                self._handshake_watcher(protocol) if self._debug else None,
                server_side=True,
                server=server,
                ssl_handshake_timeout=ssl_handshake_timeout,
                ssl_shutdown_timeout=ssl_shutdown_timeout,
            )
        except Exception as exc:
            conn.close()
            self._tls_accept_failed(protocol, exc)
        except BaseException:
            conn.close()
            raise

    def _handshake_watcher(self: Any, protocol: Any) -> asyncio.Future[None]:
        """What tells of a failed handshake, in debug mode."""

        def done(future: asyncio.Future[None]) -> None:
            exc = None if future.cancelled() else future.exception()
            if exc is not None:
                self._tls_accept_failed(protocol, exc)

        waiter: asyncio.Future[None] = self.create_future()
        waiter.add_done_callback(done)
        return waiter

    def _tls_accept_failed(self: Any, protocol: Any, exc: BaseException) -> None:
        if self._debug:
            context = {
                "message": "Error on transport creation for incoming connection",
                "exception": exc,
            }
            if protocol is not None:
                context["protocol"] = protocol
            self.call_exception_handler(context)

    def _stop_serving(self: Any, sock: socket.socket) -> None:
        inode = self._unix_server_sockets.pop(sock, None)
        path = None if inode is None else sock.getsockname()
        listener = self._listeners.pop(sock, None)
        if listener is not None:
            listener.close()
        sock.close()
        if path is not None:
            try:
                if _stat(path).st_ino == inode:
                    _unlink(path)
            except FileNotFoundError:
                pass
            except OSError as exc:
                logger.error("Unable to clean up listening UNIX socket %r: %r", path, exc)


def is_abstract(path: str | bytes) -> bool:
    """True for a name in Linux's abstract namespace: it begins with NUL."""
    return len(path) > 0 and ord(path[:1]) == 0


def bind_unix(path: str | bytes) -> socket.socket:
    """A Unix socket bound to the path, in place of a stale one. OSError if it cannot be."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if not is_abstract(path):
        try:
            if stat.S_ISSOCK(_stat(path).st_mode):
                _unlink(path)
        except FileNotFoundError:
            pass
        except OSError as exc:  # a directory may allow to make sockets only
            logger.error("Unable to check or remove stale UNIX socket %r: %r", path, exc)
    try:
        sock.bind(path)
    except OSError as exc:
        sock.close()
        if exc.errno == errno.EADDRINUSE:
            raise OSError(exc.errno, f"Address {path!r} is already in use") from None
        raise
    except BaseException:
        sock.close()
        raise
    return sock


def bind_all(
    infos: list[Any], reuse_address: bool, reuse_port: bool | None, keep_alive: bool | None
) -> list[socket.socket]:
    """Sockets bound to the addresses; all or none."""
    sockets: list[socket.socket] = []
    try:
        for info in infos:
            sock = bind_socket(info, reuse_address, reuse_port, keep_alive)
            if sock is not None:
                sockets.append(sock)
        if not sockets:
            raise OSError(f"could not bind on any address out of {[info[4] for info in infos]!r}")
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets
