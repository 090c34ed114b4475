"""sock_recv() and its kin: data, cancellation, connections."""

from __future__ import annotations

import array
import asyncio
import contextlib
import errno
import gc
import mmap
import os
import socket
import sys
import threading
import warnings

import pytest
import support

DATAGRAMS = pytest.mark.skipif(sys.version_info < (3, 11), reason="datagram methods came in 3.11")

# ---- data ---------------------------------------------------------------------------------------


def test_end_of_the_stream(loop, pair):
    a, b = pair

    async def main():
        task = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        b.send(b"last")
        b.close()
        assert await task == b"last"
        assert await loop.sock_recv(a, 10) == b""
        assert await loop.sock_recv(a, 10) == b""

    loop.run_until_complete(main())


@pytest.mark.parametrize("size", [1, 511, 1024, 262_144, 262_145, 1_000_000])
def test_sizes(loop, pair, size):
    a, b = pair

    async def main():
        data = os.urandom(size)
        got = bytearray()

        async def read():
            while len(got) < size:
                part = await loop.sock_recv(a, size)
                assert type(part) is bytes
                got.extend(part)

        await asyncio.gather(read(), loop.sock_sendall(b, data))
        assert got == data

    loop.run_until_complete(main())


def test_buffers_of_all_kinds(loop, pair):
    a, b = pair
    mapping = mmap.mmap(-1, 8)
    mapping[:] = b"mappedXX"
    numbers = array.array("i", range(50_000))
    sources = [b"bytes", bytearray(b"array"), memoryview(b"view"), mapping]

    async def main():
        for source in sources:
            await loop.sock_sendall(b, source)
            assert await loop.sock_recv(a, 100) == bytes(source)
        target = array.array("i", [0] * len(numbers))
        if type(loop) is not asyncio.SelectorEventLoop:  # it counts items where it means bytes
            view = memoryview(target).cast("B")

            async def read():
                at = 0
                while at < len(view):
                    at += await loop.sock_recv_into(a, view[at:])

            await asyncio.gather(read(), loop.sock_sendall(b, numbers))
            view.release()
            assert target == numbers

    loop.run_until_complete(main())
    mapping.close()


def test_sendall_keeps_the_buffer_while_it_waits(loop, pair):
    a, b = pair
    data = bytearray(os.urandom(3_000_000))
    expected = bytes(data)

    async def main():
        task = asyncio.ensure_future(loop.sock_sendall(a, data))
        await support.settle()
        with pytest.raises(BufferError):
            data.extend(b"more")
        got = bytearray()
        while len(got) < len(expected):
            got += await loop.sock_recv(b, 1 << 20)
        await task
        assert got == expected
        data.extend(b"more")

    loop.run_until_complete(main())


def test_sendall_fails_half_way(loop, pair):
    a, b = pair

    async def main():
        task = asyncio.ensure_future(loop.sock_sendall(a, bytes(5_000_000)))
        await support.settle()
        assert not task.done()
        b.close()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await task
        assert loop.remove_writer(a) is False

    loop.run_until_complete(main())


def test_recv_into_does_not_hold_the_buffer_while_it_waits(loop, pair):
    a, b = pair
    buf = bytearray(3)

    async def main():
        task = asyncio.ensure_future(loop.sock_recv_into(a, buf))
        await support.settle()
        buf.extend(b"12")
        b.send(b"abcde")
        assert await task == 5
        assert buf == b"abcde"

    loop.run_until_complete(main())


# ---- cancellation -------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", range(8))
def test_cancelled_at_any_turn_nothing_is_lost(loop, pair, turns):
    a, b = pair

    async def main():
        task = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle(2)
        b.send(b"data")
        await support.settle(turns)
        was_done = task.done()
        task.cancel()
        try:
            got = await task
        except asyncio.CancelledError:
            assert not was_done
            if type(loop) is asyncio.SelectorEventLoop:
                return  # it may have read already, and then nobody gets it
            got = await asyncio.wait_for(loop.sock_recv(a, 10), 5)
        assert got == b"data"

    loop.run_until_complete(main())


def test_cancelled_accept_loses_no_connection(loop, listener):
    async def main():
        for turns in range(6):
            task = asyncio.ensure_future(loop.sock_accept(listener))
            await support.settle(2)
            client = socket.create_connection(listener.getsockname())
            await support.settle(turns)
            task.cancel()
            try:
                server, address = await task
            except asyncio.CancelledError:
                if type(loop) is asyncio.SelectorEventLoop:
                    client.close()
                    return
                server, address = await asyncio.wait_for(loop.sock_accept(listener), 5)
            assert address == client.getsockname()
            server.close()
            client.close()

    with warnings.catch_warnings():
        if type(loop) is asyncio.SelectorEventLoop:
            warnings.simplefilter("ignore", ResourceWarning)
        loop.run_until_complete(main())
        gc.collect()


def test_cancelled_before_it_began(loop, pair):
    async def main():
        task = asyncio.ensure_future(loop.sock_recv(pair[0], 10))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run_until_complete(main())


def test_the_future_is_cancelled_and_not_the_task(loop, pair):
    a, b = pair

    async def main():
        task = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        task._fut_waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        b.send(b"kept")
        assert await loop.sock_recv(a, 10) == b"kept"

    loop.run_until_complete(main())


# ---- connections --------------------------------------------------------------------------------


def test_accepted_socket(loop, listener):
    async def main():
        client = socket.create_connection(listener.getsockname())
        sock, address = await loop.sock_accept(listener)
        assert type(sock) is socket.socket
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
        assert sock.proto == listener.proto
        assert sock.gettimeout() == 0
        assert os.get_inheritable(sock.fileno()) is False
        assert os.get_blocking(sock.fileno()) is False
        assert address == client.getsockname()
        sock.close()
        client.close()

    loop.run_until_complete(main())


def test_unix_accept_and_connect(loop, tmp_path):
    path = str(tmp_path / "s")

    async def main():
        with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
            listening.bind(path)
            listening.listen()
            listening.setblocking(False)
            client.setblocking(False)
            accepting = asyncio.ensure_future(loop.sock_accept(listening))
            await support.settle()
            await loop.sock_connect(client, path)
            server, address = await accepting
            assert address == ""
            server.close()
            with pytest.raises(FileNotFoundError), socket.socket(socket.AF_UNIX) as other:
                other.setblocking(False)
                await loop.sock_connect(other, path + "-none")

    loop.run_until_complete(main())


def test_connect_refused_text(loop):
    port = support.free_port()

    async def main():
        with socket.socket() as client:
            client.setblocking(False)
            with pytest.raises(ConnectionRefusedError) as caught:
                await loop.sock_connect(client, (support.LOCALHOST, port))
            assert caught.value.errno == errno.ECONNREFUSED
            assert f"Connect call failed ('{support.LOCALHOST}', {port})" in str(caught.value)

    loop.run_until_complete(main())


def test_connect_cancelled_and_tried_again(loop):
    """The refusal that the first call did not wait for is the second one's; then it connects."""

    async def main():
        with socket.socket() as listening, socket.socket() as client:
            listening.bind((support.LOCALHOST, 0))
            client.setblocking(False)
            task = asyncio.ensure_future(loop.sock_connect(client, listening.getsockname()))
            await asyncio.sleep(0)
            task.cancel()
            listening.listen()
            with pytest.raises(ConnectionRefusedError):
                await loop.sock_connect(client, listening.getsockname())
            await loop.sock_connect(client, listening.getsockname())
            with pytest.raises(asyncio.CancelledError):
                await task

    loop.run_until_complete(main())


def test_connect_by_odd_addresses(loop, listener):
    port = listener.getsockname()[1]

    async def main():
        host = support.LOCALHOST
        for address in (("localhost", port), ("127.1", port), [host, port], (host, port, 0)):
            with socket.socket() as client:
                client.setblocking(False)
                await loop.sock_connect(client, address)
                assert client.getpeername()[1] == port

    loop.run_until_complete(main())


@pytest.mark.parametrize(
    "address", [None, (), ("127.0.0.1",), ("127.0.0.1", -1), ("127.0.0.1", 70000)]
)
def test_connect_to_nonsense(loop, address):
    def attempt(loop):
        async def main():
            with socket.socket() as client:
                client.setblocking(False)
                try:
                    await asyncio.wait_for(loop.sock_connect(client, address), 5)
                except Exception as e:
                    return type(e)

        return loop.run_until_complete(main())

    oracle = asyncio.SelectorEventLoop()
    try:
        assert attempt(loop) == attempt(oracle)
    finally:
        oracle.close()


def test_blocking_sockets_outside_debug_do_not_hang_the_loop(loop_factory, listener):
    """A flag against blocking is used; accept() and connect(), without one, block as on asyncio."""
    loop = loop_factory()
    a, b = socket.socketpair()
    if type(loop) is not asyncio.SelectorEventLoop:

        async def main():
            task = asyncio.ensure_future(loop.sock_recv(a, 10))
            await support.settle()
            threading.Timer(0.01, b.send, (b"x",)).start()
            assert await asyncio.wait_for(task, 5) == b"x"

        loop.run_until_complete(main())
    else:
        b.send(b"x")
        assert loop.run_until_complete(loop.sock_recv(a, 10)) == b"x"
    client = socket.create_connection(listener.getsockname())
    listener.setblocking(True)
    server, _ = loop.run_until_complete(loop.sock_accept(listener))
    for s in (a, b, client, server):
        s.close()
    loop.close()


@DATAGRAMS
def test_datagram_addresses(loop, tmp_path):
    async def main():
        with contextlib.ExitStack() as stack:

            def datagram(family, name=None):
                s = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                s.setblocking(False)
                if name is not None:
                    s.bind(name)
                return s

            pairs = [
                (
                    datagram(socket.AF_INET, ("127.0.0.1", 0)),
                    datagram(socket.AF_INET, ("127.0.0.1", 0)),
                ),
                (
                    datagram(socket.AF_UNIX, str(tmp_path / "a")),
                    datagram(socket.AF_UNIX, str(tmp_path / "b")),
                ),
                (datagram(socket.AF_UNIX), datagram(socket.AF_UNIX, str(tmp_path / "c"))),
                (
                    datagram(socket.AF_UNIX, b"\0uvolt-test-%d" % os.getpid()),
                    datagram(socket.AF_UNIX, str(tmp_path / "d")),
                ),
            ]
            with contextlib.suppress(OSError):
                pairs.append(
                    (datagram(socket.AF_INET6, ("::1", 0)), datagram(socket.AF_INET6, ("::1", 0)))
                )
            for source, target in pairs:
                for data in (b"hello", b""):
                    source.sendto(data, target.getsockname())
                    expected = target.recvfrom(100)
                    assert await loop.sock_sendto(source, data, target.getsockname()) == len(data)
                    assert await loop.sock_recvfrom(target, 100) == expected
                    waiting = asyncio.ensure_future(loop.sock_recvfrom(target, 2))
                    await support.settle()
                    await loop.sock_sendto(source, data, target.getsockname())
                    assert await waiting == (data[:2], expected[1])
                    buf = bytearray(8)
                    waiting = asyncio.ensure_future(loop.sock_recvfrom_into(target, buf, 3))
                    await support.settle()
                    await loop.sock_sendto(source, data, target.getsockname())
                    assert await waiting == (len(data[:3]), expected[1])
                    assert buf == data[:3].ljust(8, b"\0")

    loop.run_until_complete(main())


@DATAGRAMS
def test_other_families_are_asyncios(loop):
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    except OSError as e:
        pytest.fail(f"no netlink sockets here: {e}")
    with sock:
        sock.setblocking(False)
        sock.bind((0, 0))

        async def main():
            request = (20).to_bytes(4, sys.byteorder) + b"\x12\0\x01\x03" + bytes(12)
            await loop.sock_sendto(sock, request, (0, 0))
            _, address = await asyncio.wait_for(loop.sock_recvfrom(sock, 65536), 5)
            assert address == (0, 0)

        loop.run_until_complete(main())
