"""What the TLS tests share: certificates, contexts, a blocking peer, and connections to it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import support
import trustme
from support import BufferedRecorder, Recorder

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Certs:
    """A certificate authority, and contexts with certificates that it has signed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA()
        self.stranger = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(self.ca_file)

    @functools.cache  # noqa: B019 - one object for the session
    def cert(self, *names: str, expired: bool = False, trusted: bool = True) -> Any:
        now = datetime.datetime.now(datetime.timezone.utc)
        times = {}
        if expired:
            times = dict(
                not_before=now - datetime.timedelta(days=9),
                not_after=now - datetime.timedelta(days=1),
            )
        return (self.ca if trusted else self.stranger).issue_cert(*names, **times)

    def server(
        self, *names: str, make: type[ssl.SSLContext] = ssl.SSLContext, **kind: bool
    ) -> ssl.SSLContext:
        context = make(ssl.PROTOCOL_TLS_SERVER)
        names = names or ("localhost", "127.0.0.1", "*.wild.test")
        self.cert(*names, **kind).configure_cert(context)
        return context

    def client(self, make: type[ssl.SSLContext] = ssl.SSLContext) -> ssl.SSLContext:
        context = make(ssl.PROTOCOL_TLS_CLIENT)
        self.ca.configure_trust(context)
        return context

    def contexts(self, version: str | None = None) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        """(client's, server's), of that TLS version only."""
        both = self.client(), self.server()
        if version is not None:
            for context in both:
                only(context, version)
        return both


def only(context: ssl.SSLContext, version: str) -> ssl.SSLContext:
    context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


async def blocking(work: Callable[..., Any], *args: Any) -> Any:
    """Run what blocks in a thread."""
    loop = asyncio.get_running_loop()
    return await asyncio.wait_for(loop.run_in_executor(None, work, *args), 20 * support.SLOW)


class Peer:
    """A blocking TLS peer on a socket. Everything goes through two ssl.MemoryBIOs, so that a test
    can hold records back, cut them, and look at what the other side sends."""

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None = None,
    ) -> None:
        self.sock = sock
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming, self.outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self.raw_received = 0
        self.eof = False

    def pull(self) -> bytes:
        """The records that wait to be sent."""
        return self.outgoing.read()

    def flush(self) -> None:
        if records := self.pull():
            self.sock.sendall(records)

    def feed(self) -> None:
        data = self.sock.recv(1 << 16)
        self.raw_received += len(data)
        if data:
            self.incoming.write(data)
        else:
            self.eof = True
            self.incoming.write_eof()

    def do(self, call: Callable[..., Any], *args: Any) -> Any:
        while True:
            try:
                result = call(*args)
            except ssl.SSLWantReadError:
                self.flush()
                self.feed()
            except ssl.SSLError:
                self.flush()  # the alert
                raise
            else:
                self.flush()
                return result

    def handshake(self) -> None:
        self.do(self.tls.do_handshake)

    def seal(self, data: bytes) -> bytes:
        """The records of this text, not sent."""
        self.tls.write(data)
        return self.pull()

    def send(self, data: bytes) -> None:
        self.do(self.tls.write, data)

    def recv(self, size: int = 1 << 16) -> bytes:
        """b"" at close_notify; ssl.SSLEOFError at the end of TCP without one."""
        data = self.do(self.tls.read, size)
        return bytes(data)

    def recv_exactly(self, size: int) -> bytes:
        got = bytearray()
        while len(got) < size:
            if not (data := self.recv(min(size - len(got), 1 << 16))):
                raise EOFError(f"{len(got)} of {size} bytes")
            got += data
        return bytes(got)

    def recv_all(self) -> bytes:
        got = bytearray()
        while data := self.recv():
            got += data
        return bytes(got)

    def close_notify(self) -> bytes:
        """The record that says so, not sent."""
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLSyscallError):
            self.tls.unwrap()
        return self.pull()

    def close(self) -> None:
        self.sock.close()

    def read_raw_until_eof(self) -> int:
        """Bytes until the end of TCP; -1 for a reset."""
        count = 0
        try:
            while data := self.sock.recv(1 << 16):
                count += len(data)
        except ConnectionResetError:
            return -1
        return count


async def begin(
    role: str,
    sock: socket.socket,
    context: ssl.SSLContext,
    make: Callable[[], Any] = Recorder,
    *,
    server_hostname: str | None = "localhost",
    **kwargs: Any,
) -> tuple[Any, Any]:
    """A TLS transport of the running loop on a connected socket, in that role."""
    loop = asyncio.get_running_loop()
    if role == "client":
        kwargs["server_hostname"] = server_hostname
        return await loop.create_connection(make, sock=sock, ssl=context, **kwargs)
    return await loop.connect_accepted_socket(make, sock, ssl=context, **kwargs)


@contextlib.asynccontextmanager
async def sockets() -> AsyncIterator[tuple[socket.socket, socket.socket]]:
    """A connected pair: the loop's end and the peer's. Both are closed at the end, whoever has
    them."""
    a, b = support.tcp_pair()
    try:
        yield a, b
    finally:
        b.close()
        await support.settle()
        a.close()


@contextlib.asynccontextmanager
async def connected(
    certs: Certs,
    role: str,
    make: Callable[[], Any] = Recorder,
    *,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
    version: str | None = None,
    finish: bool = True,
    **kwargs: Any,
) -> AsyncIterator[tuple[Any, Any, Peer]]:
    """A TLS transport in that role, its protocol, and the blocking peer, after the handshake."""
    client, server = contexts or certs.contexts(version)
    ours, theirs = (client, server) if role == "client" else (server, client)
    async with sockets() as (a, b):
        peer = Peer(
            b,
            theirs,
            server_side=role == "client",
            server_hostname=None if role == "client" else "localhost",
        )
        (transport, protocol), _ = await asyncio.wait_for(
            asyncio.gather(begin(role, a, ours, make, **kwargs), blocking(peer.handshake)),
            20 * support.SLOW,
        )
        if role == "server" and peer.tls.version() == "TLSv1.3":
            await support.settle()
        try:
            yield transport, protocol, peer
        finally:
            if finish:
                await end(transport, protocol)


async def end(transport: Any, protocol: Any) -> None:
    closed = getattr(protocol, "closed", None)
    if closed is None or not closed.done():
        transport.abort()
    await support.settle()


@contextlib.asynccontextmanager
async def pair(
    certs: Certs,
    client: Callable[[], Any] = Recorder,
    server: Callable[[], Any] = Recorder,
    *,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
    server_hostname: str | None = "localhost",
) -> AsyncIterator[tuple[Any, Any]]:
    """Two connected protocols, both over TLS on the running loop."""
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future = loop.create_future()

    def serve() -> Any:
        protocol = server()
        accepted.set_result(protocol)
        return protocol

    client_context, server_context = contexts or certs.contexts()
    listener = await loop.create_server(serve, support.LOCALHOST, 0, ssl=server_context)
    port = listener.sockets[0].getsockname()[1]
    protocol = other = None
    try:
        _, protocol = await loop.create_connection(
            client, support.LOCALHOST, port, ssl=client_context, server_hostname=server_hostname
        )
        other = await asyncio.wait_for(accepted, 10 * support.SLOW)
        await support.until(lambda: other.transport is not None)
        yield protocol, other
    finally:
        for one in (protocol, other):
            if one is not None and one.transport is not None:
                await end(one.transport, one)
        listener.close()
        await listener.wait_closed()
        await support.settle()


def run(loop: asyncio.AbstractEventLoop, main: Callable[[], Any], timeout: float = 30) -> Any:
    return loop.run_until_complete(asyncio.wait_for(main(), timeout * support.SLOW))


class Buffered(BufferedRecorder):
    """asyncio's TLS needs a memoryview: of a bytearray it fills a slice, which is a copy."""

    def get_buffer(self, sizehint: int) -> Any:
        return memoryview(super().get_buffer(sizehint))


class Refuser(asyncio.Protocol):
    """A protocol that must never hear of a connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        raise AssertionError("connection_made was called")

    def connection_lost(self, exc: BaseException | None) -> None:
        raise AssertionError("connection_lost was called")
