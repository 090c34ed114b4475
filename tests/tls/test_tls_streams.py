"""asyncio's streams over TLS: open_connection, start_server, StreamWriter.start_tls."""

from __future__ import annotations

import asyncio
import gc
import ssl

import pytest
import support
from support import LOCALHOST, settle
from tls_support import Peer, blocking, run, sockets

MB = 1 << 20


async def serving(handler, context, **kwargs):
    server = await asyncio.start_server(handler, LOCALHOST, 0, ssl=context, **kwargs)
    return server, server.sockets[0].getsockname()[1]


async def stop(server):
    server.close()
    await server.wait_closed()
    await settle()


async def opened(port, context, **kwargs):
    kwargs.setdefault("server_hostname", "localhost")
    return await asyncio.open_connection(LOCALHOST, port, ssl=context, **kwargs)


async def closed(writer):
    writer.close()
    try:
        await writer.wait_closed()
    except (ssl.SSLError, ConnectionError):
        pass


def test_lines(loop, certs):
    client, server_context = certs.contexts()

    async def main():
        async def handler(reader, writer):
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
            await closed(writer)

        server, port = await serving(handler, server_context)
        reader, writer = await opened(port, client)
        for number in range(100):
            writer.write(b"line %d\n" % number)
            await writer.drain()
            assert await reader.readline() == b"LINE %d\n" % number
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        assert writer.can_write_eof() is False
        await closed(writer)
        await stop(server)

    run(loop, main)


def test_request_and_response(loop, certs):
    """The peer sends its answer and closes: read() sees all of it and then the end."""
    client, server_context = certs.contexts()
    body = bytes(range(256)) * 12_000

    async def main():
        async def handler(reader, writer):
            assert await reader.readuntil(b"\r\n\r\n") == b"GET / HTTP/1.0\r\n\r\n"
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
            writer.write(body)
            await writer.drain()
            await closed(writer)

        server, port = await serving(handler, server_context)
        for _ in range(3):
            reader, writer = await opened(port, client)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            assert await reader.read() == b"HTTP/1.0 200 OK\r\n\r\n" + body
            assert reader.at_eof()
            assert await reader.read() == b""
            await closed(writer)
        await stop(server)

    run(loop, main)


@pytest.mark.parametrize("limit", [1000, 1 << 16, MB])
def test_back_pressure(loop, certs, limit):
    """A slow reader with a limit: 8 MB arrive whole, and the buffer stays near the limit."""
    client, server_context = certs.contexts()
    data = bytes(range(256)) * 4096 * 8

    async def main():
        async def handler(reader, writer):
            for at in range(0, len(data), 100_000):
                writer.write(data[at : at + 100_000])
                await writer.drain()
            await closed(writer)

        server, port = await serving(handler, server_context)
        reader, writer = await opened(port, client, limit=limit)
        got = bytearray()
        peak = 0
        while chunk := await reader.read(200_000):
            got += chunk
            peak = max(peak, len(reader._buffer))
            if len(got) % 3 == 0:
                await asyncio.sleep(0)
        assert got == data
        assert peak <= 2 * limit + MB
        await closed(writer)
        await stop(server)

    run(loop, main)


def test_readexactly_and_incomplete(loop, certs):
    client, server_context = certs.contexts()

    async def main():
        async with sockets() as (a, b):
            peer = Peer(b, server_context, server_side=True)
            (reader, writer), _ = await asyncio.gather(
                asyncio.open_connection(sock=a, ssl=client, server_hostname="localhost"),
                blocking(peer.handshake),
            )
            await blocking(peer.sock.sendall, peer.seal(b"x" * 30_000))
            assert await reader.readexactly(20_000) == b"x" * 20_000
            await blocking(peer.sock.sendall, peer.close_notify())
            with pytest.raises(asyncio.IncompleteReadError) as info:
                await reader.readexactly(20_000)
            assert info.value.partial == b"x" * 10_000
            await closed(writer)

    run(loop, main)


def test_drain_waits_for_a_slow_peer(loop, certs):
    client, server_context = certs.contexts()

    async def main():
        async with sockets() as (a, b):
            peer = Peer(b, server_context, server_side=True)
            (_, writer), _ = await asyncio.gather(
                asyncio.open_connection(sock=a, ssl=client, server_hostname="localhost"),
                blocking(peer.handshake),
            )
            written = 0

            async def write():
                nonlocal written
                while written < 30 * MB:
                    writer.write(b"x" * 100_000)
                    written += 100_000
                    await writer.drain()

            task = asyncio.ensure_future(write())
            last = -1
            while last != written:
                last = written
                await asyncio.sleep(0.05)
            assert not task.done()
            got = 0
            while not task.done() or got < written:
                got += len(await blocking(peer.recv))
            await task
            assert got == written
            writer.transport.abort()
            await settle()

    run(loop, main)


def test_drain_fails_when_the_connection_is_lost(loop, certs):
    client, server_context = certs.contexts()

    async def main():
        async with sockets() as (a, b):
            peer = Peer(b, server_context, server_side=True)
            (reader, writer), _ = await asyncio.gather(
                asyncio.open_connection(sock=a, ssl=client, server_hostname="localhost"),
                blocking(peer.handshake),
            )
            support.reset(b)
            with pytest.raises(ConnectionError):
                while True:
                    writer.write(b"x" * 100_000)
                    await writer.drain()
                    await asyncio.sleep(0)
            with pytest.raises(ConnectionError):
                await reader.read()
            await closed(writer)

    run(loop, main)


@pytest.mark.parametrize("side", ["client", "server"])
def test_start_tls(loop, certs, side):
    """StreamWriter.start_tls (Python 3.11): the pair goes on, now over TLS."""
    if support.PY < (3, 11):
        assert not hasattr(asyncio.StreamWriter, "start_tls")
        return
    client, server_context = certs.contexts()

    async def main():
        async with sockets() as (a, b):
            reader, writer = await asyncio.open_connection(sock=a)
            writer.write(b"STARTTLS\r\n")
            assert await blocking(b.recv, 100) == b"STARTTLS\r\n"
            if side == "client":
                peer = Peer(b, server_context, server_side=True)
                upgrade = writer.start_tls(client, server_hostname="localhost")
            else:
                peer = Peer(b, client, server_side=False, server_hostname="localhost")
                # before 3.12 the writer takes the server's side if its protocol has a callback only
                protocol = writer.transport.get_protocol()
                protocol._client_connected_cb = lambda *args: None
                upgrade = writer.start_tls(server_context)
            before = writer.transport
            await asyncio.gather(upgrade, blocking(peer.handshake))
            assert writer.transport is not before
            assert writer.get_extra_info("ssl_object") is not None
            writer.write(b"hello\n")
            await writer.drain()
            assert await blocking(peer.recv) == b"hello\n"
            await blocking(peer.send, b"answer\n")
            assert await reader.readline() == b"answer\n"
            await blocking(peer.sock.sendall, peer.close_notify())
            assert await reader.read() == b""
            await closed(writer)

    run(loop, main)


def test_handler_that_raises(loop, certs, contexts):
    client, server_context = certs.contexts()

    async def main():
        async def handler(reader, writer):
            await reader.readline()
            raise ZeroDivisionError("handler")

        server, port = await serving(handler, server_context)
        reader, writer = await opened(port, client)
        writer.write(b"x\n")
        if support.PY >= (3, 12):  # the connection is closed then
            assert await reader.read() == b""
        await closed(writer)
        server.close()
        await settle(20)
        gc.collect()  # up to 3.11 the task tells when it goes, and on 3.10 its protocol keeps it

    run(loop, main)
    assert [str(context["exception"]) for context in contexts] == ["handler"]


def test_unverified(loop, certs):
    async def main():
        async def handler(reader, writer):
            raise AssertionError("called")

        server, port = await serving(handler, certs.server("other.test"))
        with pytest.raises(ssl.SSLCertVerificationError):
            await opened(port, certs.client())
        await stop(server)

    run(loop, main)


def test_many(loop, certs):
    client, server_context = certs.contexts()
    done = []

    async def main():
        async def handler(reader, writer):
            data = await reader.readexactly(10_000)
            writer.write(data[::-1])
            await writer.drain()
            await closed(writer)

        server, port = await serving(handler, server_context, backlog=100)

        async def one(number):
            reader, writer = await opened(port, client)
            data = b"%05d" % number * 2000
            writer.write(data)
            assert await reader.read() == data[::-1]
            await closed(writer)
            done.append(number)

        await asyncio.gather(*(one(number) for number in range(50)))
        await stop(server)

    run(loop, main)
    assert len(done) == 50


def test_wait_closed_tells_of_the_time_limit(loop, certs):
    client, server_context = certs.contexts()

    async def main():
        async with sockets() as (a, b):
            peer = Peer(b, server_context, server_side=True)
            (_, writer), _ = await asyncio.gather(
                asyncio.open_connection(
                    sock=a, ssl=client, server_hostname="localhost", ssl_shutdown_timeout=0.1
                ),
                blocking(peer.handshake),
            )
            writer.close()
            with pytest.raises(
                (TimeoutError, asyncio.TimeoutError), match="SSL shutdown timed out"
            ):
                await writer.wait_closed()

    run(loop, main)
