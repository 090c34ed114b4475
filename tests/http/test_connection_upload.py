"""HTTPConnection: bodies that follow, flow control both ways, early answers, timeouts, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import Any

import pytest
import servers
import support
from pool_support import HEAD, OK, Peer, answering, connected, fetch, pooling, script, serving

from uvolt.http import exceptions

Loop = asyncio.AbstractEventLoop
MB = 1 << 20


async def reading(peer: Peer, size: int) -> None:
    """Take a body of that size, then answer."""
    await peer.request()
    await peer.reader.readexactly(size)
    await peer.send(OK)
    await peer.reader.read()


# -- sending ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 5000, 3 * MB])
def test_body_with_the_head(uloop: Loop, size: int) -> None:
    body = bytes(i & 255 for i in range(256)) * (size // 256) + b"x" * (size % 256)
    got = bytearray()

    async def handler(peer: Peer) -> None:
        await peer.request()
        got.extend(await peer.reader.readexactly(size))
        await peer.send(OK)
        await peer.reader.read()

    async def main() -> None:
        async with serving(handler) as server, pooling() as pool:
            exchange = await fetch(pool, pool.route("a"), server, body=body)
            assert bytes(exchange.body) == b"ok"
            assert pool.idle == 1

    uloop.run_until_complete(main())
    assert bytes(got) == body


def test_arguments(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server, pooling() as pool:
            conn = await connected(pool, pool.route("a"), server)
            for args in ((), ("x",), (HEAD, "x"), (bytearray(HEAD),)):
                with pytest.raises(TypeError):
                    conn.exchange(*args)
            with pytest.raises(TypeError):
                conn.exchange(HEAD, nonsense=1)
            assert conn.state == "taken"
            conn.close()

    uloop.run_until_complete(main())


def test_upload_with_back_pressure(uloop: Loop) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(0.05)
        left = 4 * MB
        while left > 0:
            left -= len(await peer.reader.read(MB))
        await peer.send(OK)
        await peer.reader.read()

    async def main() -> None:
        async with serving(handler) as server, pooling() as pool:
            conn = await connected(pool, pool.route("a"), server)
            sock = conn.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MB // 16)
            exchange = conn.exchange(HEAD, body_follows=True)
            waits = 0
            for _ in range(64):
                if not exchange.write(bytes(MB // 16)):
                    waits += 1
                    assert conn.transport.get_write_buffer_size() < MB
                    await exchange.room
                    assert exchange.room is None
            assert waits > 0
            exchange.write_eof()
            with pytest.raises(RuntimeError):
                exchange.write(b"x")
            await exchange.future
            assert pool.idle == 1

    uloop.run_until_complete(main())


def test_answer_before_the_upload_ends(uloop: Loop) -> None:
    """It is delivered, the upload learns of it, and the connection is not used again."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await peer.reader.read(100)

    async def main() -> None:
        async with serving(handler) as server, pooling() as pool:
            conn = await connected(pool, pool.route("a"), server)
            exchange = conn.exchange(HEAD, body_follows=True)
            exchange.write(b"x")
            await exchange.future
            assert (exchange.status, bytes(exchange.body), pool.idle) == (413, b"no", 0)
            assert conn.closed
            with pytest.raises(exceptions.ClientConnectionResetError):
                exchange.write(b"y")
            with pytest.raises(exceptions.ClientConnectionResetError):
                exchange.write_eof()

    uloop.run_until_complete(main())


def test_early_answer_while_the_socket_is_full(uloop: Loop) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await asyncio.sleep(0.05)

    async def main() -> None:
        async with serving(handler) as server, pooling() as pool:
            conn = await connected(pool, pool.route("a"), server)
            exchange = conn.exchange(HEAD, bytes(16 * MB))
            await exchange.future
            assert (exchange.status, pool.idle) == (413, 0)

    uloop.run_until_complete(main())


def test_early_answer_and_a_reset(uloop: Loop) -> None:
    """The server answers, closes with bytes unread, and our next write fails before we read."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            async with pooling() as pool:
                conn = await pool.acquire(pool.route("a"))
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: conn, *listener.getsockname())
                exchange = conn.exchange(HEAD, body_follows=True)
                peer, _ = listener.accept()
                with peer:
                    exchange.write(bytes(1000))
                    peer.recv(10)
                    peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
                time.sleep(0.01)  # the answer and the reset are in our kernel now
                exchange.write(bytes(1000))
                await exchange.future
                assert (exchange.status, bytes(exchange.body)) == (413, b"no")

    uloop.run_until_complete(main())


def test_server_closes_in_an_upload(uloop: Loop) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()

    async def main() -> None:
        async with serving(handler) as server, pooling() as pool:
            conn = await connected(pool, pool.route("a"), server)
            exchange = conn.exchange(HEAD, body_follows=True)
            with pytest.raises(exceptions.ClientConnectionError):
                for _ in range(1000):
                    if not exchange.write(bytes(MB)):
                        await exchange.room
            with pytest.raises(exceptions.ClientConnectionError):
                await exchange.future
            assert pool.in_use == 0

    uloop.run_until_complete(main())


def test_request_that_must_not_be_sent_twice(uloop: Loop) -> None:
    """A server that answers, seems to keep the connection, and closes: noticed without a poll."""

    async def main() -> None:
        async with pooling() as pool:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                conn = await pool.acquire(pool.route("a"))
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: conn, *listener.getsockname())
                peer, _ = listener.accept()
                exchange = conn.exchange(HEAD, once=True)
                with peer:
                    peer.recv(1000)
                    peer.send(OK)
                await exchange.future
                assert await pool.acquire(pool.route("a")) is conn
                with pytest.raises(exceptions.ServerDisconnectedError):
                    conn.exchange(HEAD, once=True)
                assert pool.in_use == 0

    uloop.run_until_complete(main())


# -- reading ----------------------------------------------------------------------------------


def test_back_pressure(uloop: Loop) -> None:
    sent = 0

    async def handler(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (32 * MB))
        for _ in range(32):
            await peer.send(bytes(MB))
            sent += 1
        await peer.reader.read()

    async def main() -> None:
        async with serving(handler) as server, pooling() as pool:
            conn = await connected(pool, pool.route("a"), server)
            exchange = conn.exchange(HEAD)
            assert await exchange.started
            exchange.pause(True)
            exchange.pause(True)
            await asyncio.sleep(0.05)
            assert len(exchange.body) < 2 * MB
            assert sent < 20
            exchange.pause(False)
            await exchange.future
            assert len(exchange.body) == 32 * MB
            assert pool.idle == 1

    uloop.run_until_complete(main())


def test_paused_at_the_end_is_not_paused_for_the_next(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server, pooling() as pool:
            conn = await connected(pool, pool.route("a"), server)
            exchange = conn.exchange(HEAD)
            exchange.pause(True)
            await asyncio.sleep(0.02)
            assert not exchange.over
            exchange.pause(False)
            await exchange.future
            await fetch(pool, pool.route("a"), server)
            assert len(server.peers) == 1

    uloop.run_until_complete(main())


# -- timeouts ---------------------------------------------------------------------------------


def test_read_timeout(uloop: Loop) -> None:
    for answer in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"):

        async def main(answer: bytes = answer) -> None:
            async with serving(script(answer)) as server, pooling() as pool:
                began = time.monotonic()
                with pytest.raises(exceptions.SocketTimeoutError):
                    await fetch(pool, pool.route("a"), server, read_timeout=0.05)
                assert 0.04 < time.monotonic() - began < 2 * support.SLOW
                assert pool.in_use == 0

        uloop.run_until_complete(main())


def test_read_timeout_is_between_two_bytes(uloop: Loop) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        for i in range(len(OK)):
            await peer.send(OK[i : i + 1])
            await asyncio.sleep(0.04)
        await peer.reader.read()

    async def main() -> None:
        async with serving(handler) as server, pooling() as pool:
            began = time.monotonic()
            exchange = await fetch(pool, pool.route("a"), server, read_timeout=1)
            assert time.monotonic() - began > 1.2
            assert bytes(exchange.body) == b"ok"

    uloop.run_until_complete(main())


def test_read_timeout_begins_when_the_request_is_out(uloop: Loop) -> None:
    """It must not fire during an upload, or on an idle connection."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        for _ in range(40):  # the kernel's buffers hold about 10 of them
            await asyncio.sleep(0.06)
            await peer.reader.readexactly(MB)
        await peer.send(OK)
        await answering(peer)

    async def main() -> None:
        async with serving(handler) as server, pooling() as pool:
            limit, began = 1.5, time.monotonic()
            exchange = await fetch(
                pool, pool.route("a"), server, body=bytes(40 * MB), read_timeout=limit
            )
            assert time.monotonic() - began > 2
            assert bytes(exchange.body) == b"ok"
            limit = 0.1
            await asyncio.sleep(2 * limit)
            assert pool.idle == 1
            conn = await pool.acquire(pool.route("a"))
            exchange = conn.exchange(HEAD[:-2], body_follows=True, read_timeout=limit)
            await asyncio.sleep(2 * limit)
            assert not exchange.over
            exchange.abandon()

    uloop.run_until_complete(main())


def test_read_timeout_rests_while_the_user_does(uloop: Loop) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await asyncio.sleep(1.4)
        await peer.send(b"ok")
        await peer.reader.read()

    async def main() -> None:
        async with serving(handler) as server, pooling() as pool:
            conn = await connected(pool, pool.route("a"), server)
            exchange = conn.exchange(HEAD, read_timeout=1)
            await exchange.started
            exchange.pause(True)
            await asyncio.sleep(1.2)
            assert not exchange.over
            exchange.pause(False)
            await exchange.future

    uloop.run_until_complete(main())


def test_loop_that_was_busy_is_no_read_timeout(uloop: Loop) -> None:
    """What lies in the socket is read before the clock is looked at."""

    async def main() -> None:
        async with serving(answering) as server, pooling() as pool:
            await fetch(pool, pool.route("a"), server)
            conn = await pool.acquire(pool.route("a"))
            exchange = conn.exchange(HEAD, read_timeout=0.05)
            await support.settle(3)
            time.sleep(0.1)
            await exchange.future
            assert bytes(exchange.body) == b"ok"

    uloop.run_until_complete(main())


def test_write_timeout(uloop: Loop) -> None:
    async def handler(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await asyncio.sleep(30)

    async def main() -> None:
        async with serving(handler) as server, pooling() as pool:
            began = time.monotonic()
            with pytest.raises(exceptions.SocketTimeoutError, match="writing"):
                await fetch(pool, pool.route("a"), server, body=bytes(32 * MB), write_timeout=0.1)
            assert time.monotonic() - began < 2 * support.SLOW
            conn = await connected(pool, pool.route("a"), server)
            exchange = conn.exchange(HEAD, body_follows=True, write_timeout=0.1)
            await asyncio.sleep(0.2)
            assert not exchange.over  # nothing waits to be written
            while exchange.write(bytes(MB)):
                pass
            with pytest.raises(exceptions.SocketTimeoutError, match="writing"):
                await exchange.future

    uloop.run_until_complete(main())


def test_write_timeout_with_progress(uloop: Loop) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        for _ in range(40):
            await asyncio.sleep(0.05)
            await peer.reader.readexactly(MB // 2)
        await peer.send(OK)
        await peer.reader.read()

    async def main() -> None:
        async with serving(handler) as server, pooling() as pool:
            began = time.monotonic()
            exchange = await fetch(
                pool, pool.route("a"), server, body=bytes(20 * MB), write_timeout=1
            )
            assert time.monotonic() - began > 1.5
            assert bytes(exchange.body) == b"ok"

    uloop.run_until_complete(main())


# -- TLS --------------------------------------------------------------------------------------


@pytest.fixture
def contexts_of(certificates: servers.Certificates) -> tuple[Any, Any]:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificates.certificate, certificates.key)
    client = certificates.client()
    return server, client


def test_tls(uloop: Loop, contexts_of: tuple[Any, Any]) -> None:
    async def main() -> None:
        async with serving(answering, server_ssl=contexts_of[0]) as server, pooling() as pool:
            server.ssl = contexts_of[1]
            for i in range(3):
                exchange = await fetch(pool, pool.route("a"), server)
                assert bytes(exchange.body) == b"ok"
                await asyncio.sleep(0.01)  # through a poll, and the tickets of TLS 1.3
                assert (pool.idle, len(server.peers)) == (1, 1), i
            server.peers[0].writer.close()
            await support.until(lambda: pool.idle == 0)

    uloop.run_until_complete(main())


@pytest.mark.parametrize("size", [10, 5000, 4 * MB])
def test_tls_upload(uloop: Loop, contexts_of: tuple[Any, Any], size: int) -> None:
    async def handler(peer: Peer) -> None:
        await reading(peer, size)

    async def main() -> None:
        async with serving(handler, server_ssl=contexts_of[0]) as server, pooling() as pool:
            server.ssl = contexts_of[1]
            exchange = await fetch(
                pool, pool.route("a"), server, body=bytes(size), read_timeout=5 * support.SLOW
            )
            assert bytes(exchange.body) == b"ok"
            assert pool.idle == 1

    uloop.run_until_complete(main())


def test_tls_unasked_bytes(uloop: Loop, contexts_of: tuple[Any, Any]) -> None:
    async def main() -> None:
        async with serving(answering, server_ssl=contexts_of[0]) as server, pooling() as pool:
            server.ssl = contexts_of[1]
            await fetch(pool, pool.route("a"), server)
            await server.peers[0].send(b"x")
            await support.until(lambda: pool.idle == 0)

    uloop.run_until_complete(main())


def test_tls_back_pressure_and_large_body(uloop: Loop, contexts_of: tuple[Any, Any]) -> None:
    size = 8 * MB

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        await peer.send(bytes(size))
        await peer.reader.read()

    async def main() -> None:
        async with serving(handler, server_ssl=contexts_of[0]) as server, pooling() as pool:
            server.ssl = contexts_of[1]
            conn = await connected(pool, pool.route("a"), server)
            exchange = conn.exchange(HEAD)
            await exchange.started
            for _ in range(5):
                exchange.pause(True)
                await asyncio.sleep(0.01)
                exchange.pause(False)
                await asyncio.sleep(0)
            await exchange.future
            assert len(exchange.body) == size

    uloop.run_until_complete(main())


def test_tls_until_the_end(uloop: Loop, contexts_of: tuple[Any, Any]) -> None:
    async def main() -> None:
        handler = script(b"HTTP/1.1 200 OK\r\n\r\nabc", close=True)
        async with serving(handler, server_ssl=contexts_of[0]) as server, pooling() as pool:
            server.ssl = contexts_of[1]
            exchange = await fetch(pool, pool.route("a"), server)
            assert bytes(exchange.body) == b"abc"

    uloop.run_until_complete(main())


def test_tls_close_does_not_wait_for_the_peer(uloop: Loop, contexts_of: tuple[Any, Any]) -> None:
    """Not even for one that was closing already, and whose peer does not answer."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        peer.writer.transport.pause_reading()
        await asyncio.sleep(10)

    async def main() -> None:
        async with serving(handler, server_ssl=contexts_of[0]) as server, pooling() as pool:
            server.ssl = contexts_of[1]
            await fetch(pool, pool.route("a"), server)
            assert (pool.in_use, pool.idle, len(pool.connections)) == (0, 0, 1)
            began = time.monotonic()
            await pool.close()
            assert time.monotonic() - began < 5

    uloop.run_until_complete(main())
