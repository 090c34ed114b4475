"""create_connection(): names, addresses, happy eyeballs; create_unix_connection() and
connect_accepted_socket(); with every keyword of Python 3.13 on all versions. Runs once per
connection; the transport is C.

Follows RFC 8305 (happy eyeballs) and asyncio's documentation of create_connection.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import socket
import sys
from asyncio import base_events
from asyncio.log import logger
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

_Protocol = TypeVar("_Protocol", bound=asyncio.BaseProtocol)

AddrInfo = tuple[Any, Any, int, str, Any]


def interleave_addresses(infos: Iterable[AddrInfo], first: int = 1) -> list[AddrInfo]:
    """The addresses with families taken in turn, the first `first` of them of the first family."""
    families: OrderedDict[int, list[AddrInfo]] = OrderedDict()
    for info in infos:
        families.setdefault(info[0], []).append(info)
    lists = list(families.values())
    if not lists:
        return []
    ordered = lists[0][: first - 1] if first > 1 else []
    lists[0] = lists[0][len(ordered) :]
    ordered.extend(
        info for info in itertools.chain.from_iterable(itertools.zip_longest(*lists)) if info
    )
    return ordered


def connect_error(errors: list[OSError], all_errors: bool) -> Exception:
    """The exception for a connection of which every attempt failed."""
    if all_errors and sys.version_info >= (3, 11):
        return ExceptionGroup("create_connection failed", errors)
    if len({str(error) for error in errors}) == 1:
        return errors[0]
    return OSError("Multiple exceptions: " + ", ".join(str(error) for error in errors))


def check_ssl_arguments(
    ssl: Any, handshake: float | None, shutdown: float | None, hostname: str | None = None
) -> None:
    """ValueError for what only makes sense with TLS."""
    if ssl:
        return
    if hostname is not None:
        raise ValueError("server_hostname is only meaningful with ssl")
    if handshake is not None:
        raise ValueError("ssl_handshake_timeout is only meaningful with ssl")
    if shutdown is not None:
        raise ValueError("ssl_shutdown_timeout is only meaningful with ssl")


def literal(address: Any, hints: dict[str, int]) -> list[AddrInfo]:
    """What a host that is an address itself resolves to; empty if it is none."""
    info = base_events._ipaddr_info(
        *address[:2], hints["family"], socket.SOCK_STREAM, hints["proto"], *address[2:]
    )
    return [] if info is None else [info]


def close_loser(task: asyncio.Task[socket.socket]) -> None:
    """An attempt of a race that is over has ended: what it may have connected is not wanted."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def race(
    attempts: Iterable[Callable[[], Coroutine[Any, Any, socket.socket]]], delay: float
) -> socket.socket | None:
    """The socket of the first attempt that succeeds, None if all fail (RFC 8305, section 5).

    Each attempt begins when the one before has failed, or after delay seconds. Whatever happens,
    the others are cancelled and no socket but the winner's is left open.
    """
    tasks: list[asyncio.Task[socket.socket]] = []
    winner: asyncio.Task[socket.socket] | None = None
    waiting = iter(attempts)
    more = True
    try:
        while winner is None:
            attempt = next(waiting, None) if more else None
            more = attempt is not None
            if attempt is not None:
                tasks.append(asyncio.ensure_future(attempt()))
            running = [task for task in tasks if not task.done()]
            if not running and not more:
                break
            done, _ = await asyncio.wait(
                running, timeout=delay if more else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                error = task.exception()
                if error is None:
                    winner = task
                elif not isinstance(error, OSError):
                    raise error
    except BaseException:
        winner = None
        raise
    finally:
        losers = [task for task in tasks if task is not winner]
        for task in losers:
            task.add_done_callback(close_loser)
            task.cancel()
        try:
            await asyncio.gather(*losers, return_exceptions=True)
        except BaseException:  # cancelled now
            if winner is not None:
                winner.result().close()
            raise
    return None if winner is None else winner.result()


class ConnectMixin:
    """The part of Loop that makes client connections."""

    async def create_connection(
        self: Any,
        protocol_factory: Callable[[], _Protocol],
        host: Any = None,
        port: Any = None,
        *,
        ssl: Any = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: socket.socket | None = None,
        local_addr: tuple[str | None, int] | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        happy_eyeballs_delay: float | None = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> tuple[asyncio.Transport, _Protocol]:
        """Connect to host and port, or take the connected sock. Returns (transport, protocol).

        Delays and timeouts are in seconds. all_errors raises an ExceptionGroup of every attempt's
        error (Python 3.11+; one OSError that names them all before). Raises ValueError for
        arguments that exclude each other, OSError when no address could be reached, OverflowError
        for a port beyond 65535.
        """
        check_ssl_arguments(ssl, ssl_handshake_timeout, ssl_shutdown_timeout, server_hostname)
        if ssl and server_hostname is None:
            if not host:
                raise ValueError("You must set server_hostname when using ssl without a host")
            server_hostname = host
        if sock is not None:
            base_events._check_ssl_socket(sock)
        if host is not None or port is not None:
            if sock is not None:
                raise ValueError("host/port and sock can not be specified at the same time")
            if happy_eyeballs_delay is not None and interleave is None:
                interleave = 1
            sock = await self._connect_host(
                (host, port),
                dict(family=family, proto=proto, flags=flags),
                local_addr,
                happy_eyeballs_delay,
                interleave,
                all_errors,
            )
        elif sock is None:
            raise ValueError("host and port was not specified and no sock specified")
        elif sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A Stream Socket was expected, got {sock!r}")
        else:
            sock.setblocking(False)
        try:
            transport, protocol = await self._begin_connection(
                sock,
                protocol_factory,
                ssl,
                server_hostname,
                ssl_handshake_timeout,
                ssl_shutdown_timeout,
            )
        except BaseException:
            if host is not None or port is not None:
                sock.close()  # ours; harmless where a transport has it
            raise
        if self._debug:
            logger.debug("%r connected to %s:%r: (%r, %r)", sock, host, port, transport, protocol)
        return transport, protocol

    async def create_unix_connection(
        self: Any,
        protocol_factory: Callable[[], _Protocol],
        path: Any = None,
        *,
        ssl: Any = None,
        sock: socket.socket | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[asyncio.Transport, _Protocol]:
        """Connect to a Unix socket: a path (str, bytes or path-like; abstract with a leading NUL),
        or take the connected sock. Returns (transport, protocol).

        Timeouts are in seconds. Raises ValueError for arguments that exclude each other, OSError
        when there is no server; BlockingIOError when too many wait for it already.
        """
        if ssl and server_hostname is None:
            raise ValueError("you have to pass server_hostname when using ssl")
        check_ssl_arguments(ssl, ssl_handshake_timeout, ssl_shutdown_timeout, server_hostname)
        if path is not None:
            if sock is not None:
                raise ValueError("path and sock can not be specified at the same time")
            path = os.fspath(path)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        elif sock is None:
            raise ValueError("no path and sock were specified")
        elif sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A UNIX Domain Stream Socket was expected, got {sock!r}")
        try:
            sock.setblocking(False)
            if path is not None:
                sock.connect(path)  # at once or not at all
            transport, protocol = await self._begin_connection(
                sock,
                protocol_factory,
                ssl,
                server_hostname,
                ssl_handshake_timeout,
                ssl_shutdown_timeout,
            )
        except BaseException:
            if path is not None:
                sock.close()  # ours; harmless where a transport has it
            raise
        return transport, protocol

    async def connect_accepted_socket(
        self: Any,
        protocol_factory: Callable[[], _Protocol],
        sock: socket.socket,
        *,
        ssl: Any = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[asyncio.Transport, _Protocol]:
        """A transport over a connection that was accepted elsewhere: the server side of TLS if ssl
        is an SSLContext. Returns (transport, protocol). ValueError for wrong arguments.
        """
        if sock.type != socket.SOCK_STREAM:
            raise ValueError(f"A Stream Socket was expected, got {sock!r}")
        check_ssl_arguments(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        base_events._check_ssl_socket(sock)
        transport, protocol = await self._begin_connection(
            sock,
            protocol_factory,
            ssl,
            "",
            ssl_handshake_timeout,
            ssl_shutdown_timeout,
            server_side=True,
        )
        if self._debug:
            sock = transport.get_extra_info("socket")
            logger.debug("%r handled: (%r, %r)", sock, transport, protocol)
        return transport, protocol

    async def _begin_connection(
        self: Any,
        sock: socket.socket,
        protocol_factory: Any,
        ssl: Any,
        server_hostname: str | None,
        handshake: float | None,
        shutdown: float | None,
        *,
        server_side: bool = False,
    ) -> tuple[Any, Any]:
        """The protocol and the transport for a connected socket, once connection_made has run."""
        protocol = protocol_factory()
        waiter = self.create_future()
        if ssl:
            # Who replaces this method on Python 3.10 does not expect the keyword.
            late = shutdown is not None or sys.version_info >= (3, 11)
            timeout = {"ssl_shutdown_timeout": shutdown} if late else {}
            transport = self._make_ssl_transport(
                sock,
                protocol,
                None if isinstance(ssl, bool) else ssl,
                waiter,
                server_side=server_side,
                server_hostname=server_hostname,
                ssl_handshake_timeout=handshake,
                **timeout,
            )
        else:
            transport = self._make_socket_transport(sock, protocol, waiter)
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    async def _connect_host(
        self: Any,
        address: tuple[Any, Any],
        hints: dict[str, int],
        local_addr: Any,
        delay: float | None,
        interleave: int | None,
        all_errors: bool,
    ) -> socket.socket:
        """A connected socket: resolve, then try the addresses in turn or racing each other."""
        infos = literal(address, hints) or await self._resolve_stream(address, hints)
        local_infos = None
        if local_addr is not None:
            local_infos = await self._resolve_stream(local_addr, hints)
        if interleave:
            infos = interleave_addresses(infos, interleave)
        errors: list[OSError] = []
        sock: socket.socket | None = None
        if delay is None:
            for info in infos:
                try:
                    sock = await self._connect_address(errors, info, local_infos)
                    break
                except OSError:
                    continue
        else:
            attempts = (
                functools.partial(self._connect_address, errors, info, local_infos)
                for info in infos
            )
            sock = await race(attempts, delay)
        if sock is None:
            try:
                raise connect_error(errors, all_errors)
            finally:
                errors.clear()
        return sock

    async def _resolve_stream(self: Any, address: Any, hints: dict[str, int]) -> list[AddrInfo]:
        infos: list[AddrInfo] = await self._ensure_resolved(
            address, type=socket.SOCK_STREAM, loop=self, **hints
        )
        if not infos:
            raise OSError("getaddrinfo() returned empty list")
        return infos

    async def _connect_address(
        self: Any, errors: list[OSError], info: AddrInfo, local_infos: list[AddrInfo] | None
    ) -> socket.socket:
        """One attempt. An OSError is raised and also noted in `errors`."""
        family, type_, proto, _, address = info
        sock = None
        try:
            sock = socket.socket(family=family, type=type_ | socket.SOCK_NONBLOCK, proto=proto)
            if local_infos is not None:
                bind_local(sock, family, local_infos, errors)
            await self.sock_connect(sock, address)
            return sock
        except OSError as exc:
            errors.append(exc)
            if sock is not None:
                sock.close()
            raise
        except BaseException:
            if sock is not None:
                sock.close()
            raise


def bind_local(
    sock: socket.socket, family: int, infos: list[AddrInfo], errors: list[OSError]
) -> None:
    """Bind to the first local address of the family that works. What failed before goes to
    `errors`; when all failed, the last failure is raised instead."""
    failed: list[OSError] = []
    for local_family, _, _, _, address in infos:
        if local_family != family:
            continue
        try:
            sock.bind(address)
            errors.extend(failed)
            return
        except OSError as exc:
            text = f"error while attempting to bind on address {address!r}: {str(exc).lower()}"
            failed.append(OSError(exc.errno, text))
    if not failed:
        raise OSError(f"no matching local address with {family=} found")
    errors.extend(failed[:-1])
    raise failed[-1]
