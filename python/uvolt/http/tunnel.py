"""Connecting by a proxy: requests that a proxy forwards, tunnels made by CONNECT, SOCKS5.

Source: RFC 9110, 9.3.6 (CONNECT). An answer is read whole and no further, within ANSWER bytes
and the time that connecting may take.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from . import _support
from .dial import TLS, Limit, hand_over, make_tls, translated
from .exceptions import (
    BadHttpMessage,
    ClientConnectorError,
    ClientHttpProxyError,
    ClientProxyConnectionError,
    ServerDisconnectedError,
)
from .proxy import Proxy, ProxyKey, connect_headers, is_forwarded
from .reqrep import ConnectionKey, Fingerprint, RequestInfo, SSLArgument
from .request import AUTO_HEADERS, serialize
from .socks import SocksError, handshake

if TYPE_CHECKING:
    from .. import _core
    from .connector import TCPConnector

ANSWER: Final = 16 * 1024
"""Bytes of the head of an answer to CONNECT, interim ones before it included (as curl)."""


async def connect(
    connector: TCPConnector, conn: _core.HTTPConnection, key: ProxyKey, limit: Limit
) -> None:
    """Connect `conn` to the origin of `key` by its proxy.

    Raises ClientProxyConnectionError if the proxy cannot be connected or a SOCKS proxy refuses,
    ClientHttpProxyError if it answers CONNECT with no success, ServerDisconnectedError if with
    nothing; the rest as without a proxy.
    """
    assert key.proxy is not None
    if key.proxy.scheme in ("socks5", "socks5h"):
        await _by_socks(connector, conn, key, limit)
    elif is_forwarded(key.proxy, key.is_ssl):
        near, tls = _proxy_itself(connector, key)

        async def finish(sock: socket.socket) -> None:
            await connector._make_transport(conn, sock, tls)
            limit.note("connect")

        await connector._reach(near, limit, finish, ClientProxyConnectionError)
    else:
        await _by_tunnel(connector, conn, key, limit)


def _proxy_itself(connector: TCPConnector, key: ProxyKey) -> tuple[ConnectionKey, TLS | None]:
    """The key of connections to the proxy as a host, and how TLS is spoken with it: as with the
    origin, unless the connector has a `proxy_ssl`; but a fingerprint is the origin's where there is
    TLS with both."""
    url = key.proxy
    assert url is not None and url.raw_host is not None
    choices: tuple[SSLArgument, ...] = (key.ssl, connector._ssl)
    if connector._proxy_ssl is not None:
        choices = (connector._proxy_ssl,)
    elif key.is_ssl:
        choices = tuple(True if isinstance(c, Fingerprint) else c for c in choices)
    is_ssl = url.scheme == "https"
    near = ConnectionKey(url.raw_host, url.port, is_ssl, choices[0])
    return near, make_tls(choices, url.raw_host) if is_ssl else None


# ---- CONNECT ------------------------------------------------------------------------------------


class Answer(NamedTuple):
    """The head of a proxy's answer to CONNECT."""

    status: int
    reason: str
    headers: CIMultiDict[str]


_status_line = re.compile(
    rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?"
).fullmatch
_field = re.compile(
    rb"([-!#$%&'*+.^_`|~0-9a-zA-Z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*"
).fullmatch


class AnswerParser:
    """Reads the answer to CONNECT as it comes in, in whatever pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._seen = 0  # bytes of interim answers before

    def feed(self, data: bytes) -> Answer | None:
        """Take more of it; the answer when it is whole. Raises BadHttpMessage for what is none, is
        too long, or has bytes behind it: nobody may speak in a tunnel before TLS does."""
        start = max(0, len(self._buffer) - 3)
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n\r\n", start)
            # Up to three bytes of the empty line may be there already.
            if self._seen + (len(self._buffer) - 3 if end < 0 else end) > ANSWER:
                raise BadHttpMessage(f"the answer to CONNECT has more than {ANSWER} bytes")
            if end < 0:
                return None
            answer = parse_answer(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
            if answer.status >= 200:
                break
            if answer.status == 101:
                raise BadHttpMessage("CONNECT is answered by another protocol")
            self._seen += end + 4
            start = 0
        if self._buffer and is_success(answer):
            raise BadHttpMessage(f"{len(self._buffer)} bytes behind the answer to CONNECT")
        return answer


def parse_answer(head: bytes) -> Answer:
    """A head without its empty line. Raises BadHttpMessage."""
    first, *lines = head.split(b"\r\n")
    status = _status_line(first)
    if status is None:
        raise BadHttpMessage(f"not an answer to CONNECT: {first[:80]!r}")
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        field = _field(line)
        if field is None:
            raise BadHttpMessage(f"not a field of an answer to CONNECT: {line[:80]!r}")
        headers.add(field[1].decode("ascii"), field[2].decode("utf-8", "surrogateescape"))
    return Answer(int(status[1]), (status[2] or b"").decode("utf-8", "surrogateescape"), headers)


def is_success(answer: Answer) -> bool:
    """Whether the tunnel is there. RFC 9110 has any 2xx; aiohttp, as proxies do, 200."""
    return answer.status == 200


class TunnelProtocol(asyncio.Protocol):
    """Waits for the answer to CONNECT on a connection to a proxy."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.transport: Any = None
        self.answer: asyncio.Future[Answer] = loop.create_future()
        self._parser = AnswerParser()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.answer.done():
            return
        try:
            answer = self._parser.feed(data)
        except BadHttpMessage as exc:
            self.answer.set_exception(exc)
            return
        if answer is not None:
            self.transport.pause_reading()  # what comes now is TLS
            self.answer.set_result(answer)

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self.answer.done():
            error: Any = ServerDisconnectedError()
            if isinstance(exc, OSError):
                error = _support.os_error(exc)
            self.answer.set_exception(error)

    def give_up(self) -> None:
        """The connection is not wanted any more."""
        self.answer.cancel()
        if self.transport is not None:
            self.transport.abort()


async def _by_tunnel(
    connector: TCPConnector, conn: _core.HTTPConnection, key: ProxyKey, limit: Limit
) -> None:
    near, tls = _proxy_itself(connector, key)
    made: list[TunnelProtocol] = []

    def finish(sock: socket.socket) -> Any:
        made.append(TunnelProtocol(connector._loop))
        return connector._make_transport(made[-1], sock, tls)

    try:
        await connector._reach(near, limit, finish, ClientProxyConnectionError)
        with limit.of_attempt():
            await _ask(made[-1], key, connector._user_agent)
        limit.note("connect")
        with translated(key), limit.of_attempt():
            await _start_tls(connector, made[-1], conn, key)
        limit.note("tls")
    except BaseException:
        for protocol in made:
            protocol.give_up()
        raise


async def _ask(protocol: TunnelProtocol, key: ProxyKey, user_agent: str | None) -> None:
    """CONNECT, and its answer. Raises ClientHttpProxyError unless there is a tunnel now."""
    assert key.proxy is not None
    origin = URL.build(scheme="https", host=key.host, port=key.port, path="/")
    proxy = Proxy(key.proxy, key.proxy_auth, key.proxy_headers)
    automatic = dict(AUTO_HEADERS)
    if user_agent is not None:
        automatic["User-Agent"] = user_agent
    headers = connect_headers(proxy, origin.host_port_subcomponent or "", automatic.items())
    target = f"{origin.host_subcomponent}:{key.port}"
    protocol.transport.write(serialize(f"CONNECT {target} HTTP/1.1", headers))
    info = RequestInfo(origin, "CONNECT", CIMultiDictProxy(headers), key.proxy)
    try:
        answer = await protocol.answer
    except BadHttpMessage as exc:
        raise ClientHttpProxyError(info, (), status=exc.code, message=exc.message) from exc
    if not is_success(answer):
        raise ClientHttpProxyError(
            info,
            (),
            status=answer.status,
            message=answer.reason,
            headers=CIMultiDictProxy(answer.headers),
        )


async def _start_tls(
    connector: TCPConnector, protocol: TunnelProtocol, conn: _core.HTTPConnection, key: ProxyKey
) -> None:
    tls = connector._tls(key)
    assert tls is not None
    if protocol.transport.is_closing():
        raise ConnectionResetError(errno.ECONNRESET, "the proxy closed the tunnel")
    transport = await connector._loop.start_tls(
        protocol.transport, asyncio.Protocol(), tls.context, server_hostname=tls.server_hostname
    )
    hand_over(transport, conn, tls.fingerprint)


# ---- SOCKS --------------------------------------------------------------------------------------

# With one of these another address of the origin may do.
_UNREACHABLE: Final = frozenset(
    {
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ECONNREFUSED,
        errno.ETIMEDOUT,
        errno.EAFNOSUPPORT,
    }
)


async def _by_socks(
    connector: TCPConnector, conn: _core.HTTPConnection, key: ProxyKey, limit: Limit
) -> None:
    """socks5h: the proxy looks the origin's name up; socks5: the connector does (as with curl)."""
    assert key.proxy is not None and key.port is not None
    host = key.host.rstrip(".") if key.host.endswith("..") else key.host
    hosts = [host]
    if key.proxy.scheme == "socks5":
        found = await connector._look_up(key, host, key.port, limit)
        hosts = [str(answer["host"]) for answer in found]
    else:
        connector._literal(host, key.port)  # what is refused as an address, is refused here
    for n, name in enumerate(hosts):
        try:
            return await _ask_socks(connector, conn, key, limit, name)
        except ClientProxyConnectionError as exc:
            is_last = n == len(hosts) - 1 or limit.is_over()
            is_other = not isinstance(exc.os_error, SocksError) or exc.errno not in _UNREACHABLE
            if is_last or is_other:
                raise


async def _ask_socks(
    connector: TCPConnector, conn: _core.HTTPConnection, key: ProxyKey, limit: Limit, host: str
) -> None:
    assert key.port is not None
    auth = key.proxy_auth
    credentials = (None, "") if auth is None else (auth.login, auth.password)
    steps = handshake(host, key.port, *credentials)
    first = next(steps)
    near, _ = _proxy_itself(connector, key)
    taken: list[socket.socket] = []

    async def take(sock: socket.socket) -> None:
        taken.append(sock)

    try:
        await connector._reach(near, limit, take, ClientProxyConnectionError)
        sock = taken[-1]
        with translated(key, ClientProxyConnectionError), limit.of_attempt():
            await _shake(connector._loop, sock, steps, first)
        limit.note("connect")
        with translated(key, ClientConnectorError), limit.of_attempt():
            await connector._make_transport(conn, sock, connector._tls(key))
        if key.is_ssl:
            limit.note("tls")
    except BaseException:
        for sock in taken:
            sock.close()  # harmless where a transport has it
        raise


async def _shake(loop: Any, sock: socket.socket, steps: Any, step: tuple[bytes, int]) -> None:
    """A handshake on a socket. Raises SocksError, OSError."""
    while True:
        data, size = step
        if data:
            await loop.sock_sendall(sock, data)
        answer = b""
        while len(answer) < size:
            piece = await loop.sock_recv(sock, size - len(answer))
            if not piece:
                raise SocksError(None, "SOCKS5 proxy closed the connection")
            answer += piece
        try:
            step = steps.send(answer)
        except StopIteration:
            return
