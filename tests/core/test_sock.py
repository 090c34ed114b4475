"""sock_connect, sock_accept, sock_recv, sock_recv_into, sock_sendall and the datagram ones."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile

import pytest
import support


@pytest.fixture
def pair():
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    yield a, b
    a.close()
    b.close()


@pytest.fixture
def listener():
    with socket.socket() as s:
        s.bind((support.LOCALHOST, 0))
        s.listen(20)
        s.setblocking(False)
        yield s


def nonblocking(family=socket.AF_INET, kind=socket.SOCK_STREAM):
    s = socket.socket(family, kind)
    s.setblocking(False)
    return s


def test_connect_and_accept(loop, listener):
    async def main():
        client = nonblocking()
        accepting = asyncio.ensure_future(loop.sock_accept(listener))
        await loop.sock_connect(client, listener.getsockname())
        server, address = await accepting
        assert address == client.getsockname()
        assert server.gettimeout() == 0
        await loop.sock_sendall(client, b"hello")
        assert await loop.sock_recv(server, 100) == b"hello"
        client.close()
        assert await loop.sock_recv(server, 100) == b""
        server.close()

    loop.run_until_complete(main())


def test_connect_by_name(loop, listener):
    async def main():
        client = nonblocking()
        await loop.sock_connect(client, ("localhost", listener.getsockname()[1]))
        client.close()

    loop.run_until_complete(main())


def test_connect_refused(loop):
    async def main():
        client = nonblocking()
        with pytest.raises(ConnectionRefusedError):
            await loop.sock_connect(client, (support.LOCALHOST, support.free_port()))
        client.close()

    loop.run_until_complete(main())


def test_recv_waits(loop, pair):
    a, b = pair

    async def main():
        task = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        assert not task.done()
        b.send(b"late")
        assert await task == b"late"

    loop.run_until_complete(main())


def test_recv_into(loop, pair):
    a, b = pair

    async def main():
        buffer = bytearray(10)
        b.send(b"one")
        assert await loop.sock_recv_into(a, buffer) == 3
        task = asyncio.ensure_future(loop.sock_recv_into(a, memoryview(buffer)[3:]))
        await support.settle()
        b.send(b"two")
        assert await task == 3
        assert bytes(buffer[:6]) == b"onetwo"

    loop.run_until_complete(main())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_sendall_large(loop, pair, kind):
    a, b = pair
    data = os.urandom(3_000_000)

    async def main():
        async def read():
            got = bytearray()
            while len(got) < len(data):
                got += await loop.sock_recv(b, 65536)
            return bytes(got)

        reading = asyncio.ensure_future(read())
        await loop.sock_sendall(a, kind(data))
        assert await reading == data

    loop.run_until_complete(main())


def test_sendall_nothing(loop, pair):
    loop.run_until_complete(loop.sock_sendall(pair[0], b""))


def test_sendall_to_a_closed_peer(loop, pair):
    a, b = pair
    b.close()

    async def main():
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(10):
                await loop.sock_sendall(a, b"x" * 100_000)

    loop.run_until_complete(main())


def test_ping_pong(loop, pair):
    a, b = pair

    async def echo():
        for _ in range(300):
            await loop.sock_sendall(b, await loop.sock_recv(b, 100))

    async def main():
        task = asyncio.ensure_future(echo())
        for n in range(300):
            await loop.sock_sendall(a, b"%d" % n)
            assert await loop.sock_recv(a, 100) == b"%d" % n
        await task

    loop.run_until_complete(main())


def test_blocking_socket_is_refused_in_debug(loop, pair):
    a, _ = pair
    a.setblocking(True)
    loop.set_debug(True)

    async def main():
        for call in (
            lambda: loop.sock_recv(a, 1),
            lambda: loop.sock_recv_into(a, bytearray(1)),
            lambda: loop.sock_sendall(a, b"x"),
            lambda: loop.sock_connect(a, ("127.0.0.1", 1)),
            lambda: loop.sock_accept(a),
        ):
            with pytest.raises(ValueError, match="the socket must be non-blocking"):
                await call()

    loop.run_until_complete(main())


def test_fault_40_cancel(loop, pair, listener):
    a, b = pair

    async def main():
        for coro in (
            loop.sock_recv(a, 10),
            loop.sock_recv_into(a, bytearray(10)),
            loop.sock_accept(listener),
        ):
            task = asyncio.ensure_future(coro)
            await support.settle()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await support.settle()
        # nobody listens any more: the bytes are there for the next one
        assert loop.remove_reader(a) is False
        b.send(b"kept")
        await support.settle()
        assert await loop.sock_recv(a, 10) == b"kept"

    loop.run_until_complete(main())


def test_fault_40_cancel_sendall(loop, pair):
    a, b = pair

    async def main():
        task = asyncio.ensure_future(loop.sock_sendall(a, b"x" * 5_000_000))
        await support.settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await support.settle()
        assert loop.remove_writer(a) is False

    loop.run_until_complete(main())


def test_fault_40_cancel_connect(loop):
    """A listener with a full queue leaves a connect waiting."""
    with socket.socket() as full:
        full.bind((support.LOCALHOST, 0))
        full.listen(0)
        others = []
        try:
            for _ in range(4):
                s = nonblocking()
                others.append(s)
                s.connect_ex(full.getsockname())

            async def main():
                client = nonblocking()
                task = asyncio.ensure_future(loop.sock_connect(client, full.getsockname()))
                await asyncio.sleep(0.02)
                if not task.done():
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                    await support.settle()
                    assert loop.remove_writer(client) is False
                client.close()

            loop.run_until_complete(main())
        finally:
            for s in others:
                s.close()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the datagram methods came in 3.11")
def test_datagrams(loop):
    async def main():
        a, b = (nonblocking(kind=socket.SOCK_DGRAM) for _ in range(2))
        a.bind((support.LOCALHOST, 0))
        b.bind((support.LOCALHOST, 0))
        assert await loop.sock_sendto(a, b"hello", b.getsockname()) == 5
        assert await loop.sock_recvfrom(b, 100) == (b"hello", a.getsockname())
        buffer = bytearray(10)
        task = asyncio.ensure_future(loop.sock_recvfrom_into(b, buffer))
        await support.settle()
        await loop.sock_sendto(a, b"again", b.getsockname())
        assert await task == (5, a.getsockname())
        assert buffer[:5] == b"again"
        a.close()
        b.close()

    loop.run_until_complete(main())


def test_sendfile(loop, pair):
    a, b = pair
    data = os.urandom(200_000)

    async def main():
        with tempfile.TemporaryFile() as f:
            f.write(data)
            f.seek(0)

            async def read():
                got = bytearray()
                while len(got) < len(data) - 100:
                    got += await loop.sock_recv(b, 65536)
                return bytes(got)

            reading = asyncio.ensure_future(read())
            assert await loop.sock_sendfile(a, f, 100, None) == len(data) - 100
            assert await reading == data[100:]

    loop.run_until_complete(main())


def test_socket_of_a_transport_is_refused(loop):
    async def main():
        async with support.connected() as (transport, _, _peer):
            fd = transport.get_extra_info("socket").fileno()
            copy = socket.socket(fileno=os.dup(fd))
            copy.setblocking(False)
            copy.close()
            with pytest.raises(RuntimeError, match="is used by transport"):
                loop.add_reader(fd, int)

    loop.run_until_complete(main())


def test_many_connects_at_once(loop, listener):
    async def main():
        clients = [nonblocking() for _ in range(50)]
        listener.listen(100)
        accepting = asyncio.gather(*(loop.sock_accept(listener) for _ in range(1)))
        await asyncio.gather(*(loop.sock_connect(c, listener.getsockname()) for c in clients))
        served = [s for s, _ in await accepting]
        for _ in range(49):
            served.append((await loop.sock_accept(listener))[0])
        for s in clients + served:
            s.close()

    loop.run_until_complete(main())
