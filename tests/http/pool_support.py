"""What tests of pools and connections share: scripted servers, requests without a session."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from uvolt import _core

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Handler = Callable[["Peer"], Awaitable[None]]


class Peer:
    """The server's end of one connection."""

    def __init__(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.number = number  # of the connection, from 0
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """The next head; b"" at the end."""
        try:
            return await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            return error.partial

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with RST."""
        sock = self.writer.transport.get_extra_info("socket")
        sock.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # SO_LINGER 0
        self.writer.transport.abort()


class Server:
    def __init__(self) -> None:
        self.address: tuple[str, int] = ("", 0)
        self.peers: list[Peer] = []
        self.ssl: ssl.SSLContext | None = None  # of the client


@contextlib.asynccontextmanager
async def serving(
    handler: Handler, *, server_ssl: ssl.SSLContext | None = None, limit: int = 2**16
) -> AsyncIterator[Server]:
    server = Server()
    tasks: list[asyncio.Task[None]] = []

    async def run(peer: Peer) -> None:
        try:
            await handler(peer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            peer.writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
                await peer.writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(len(server.peers), reader, writer)
        server.peers.append(peer)
        tasks.append(asyncio.ensure_future(run(peer)))

    listener = await asyncio.start_server(
        accept, "127.0.0.1", 0, ssl=server_ssl, limit=limit, backlog=2000
    )
    server.address = listener.sockets[0].getsockname()[:2]
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for peer in server.peers:  # a task that was cancelled before its first step closes nothing
            peer.writer.close()
        await listener.wait_closed()


async def answering(peer: Peer) -> None:
    """A good server."""
    while await peer.request():
        await peer.send(OK)


def script(*answers: bytes, close: bool = False) -> Handler:
    """Answers in turn; then close, or wait for the client to close."""

    async def handler(peer: Peer) -> None:
        for answer in answers:
            if not await peer.request():
                return
            await peer.send(answer)
        if not close:
            await peer.reader.read()

    return handler


def make_pool(**options: Any) -> Any:
    return _core.HTTPPool(asyncio.get_running_loop(), **options)


@contextlib.asynccontextmanager
async def pooling(**options: Any) -> AsyncIterator[Any]:
    pool = make_pool(**options)
    try:
        yield pool
    finally:
        await pool.close()
        assert pool.connections == []
        assert (pool.in_use, pool.idle, pool.waiting) == (0, 0, 0)


async def connected(pool: Any, route: Any, server: Server) -> Any:
    """A connection from the pool, connected if it is a new one."""
    conn = await pool.acquire(route)
    if conn.state == "new":
        loop = asyncio.get_running_loop()
        try:
            name = "localhost" if server.ssl is not None else None
            await loop.create_connection(
                lambda: conn, *server.address, ssl=server.ssl, server_hostname=name
            )
        except BaseException:
            conn.close()
            raise
    return conn


async def fetch(pool: Any, route: Any, server: Server, head: bytes = HEAD, **options: Any) -> Any:
    """One exchange, to its end."""
    conn = await connected(pool, route, server)
    exchange = conn.exchange(head, **options)
    try:
        await exchange.future
    finally:
        exchange.abandon()
    return exchange
