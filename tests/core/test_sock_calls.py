"""What sock_recv() and its kin return, as an object; interest in a socket between its waits."""

from __future__ import annotations

import array
import asyncio
import collections.abc
import contextlib
import errno
import gc
import inspect
import mmap
import os
import socket
import ssl
import subprocess
import sys
import threading
import tracemalloc
import warnings
import weakref

import pytest
import support

DATAGRAMS = pytest.mark.skipif(sys.version_info < (3, 11), reason="datagram methods came in 3.11")


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


def drive(coro):
    """The result of a coroutine that does not suspend."""
    try:
        coro.send(None)
    except StopIteration as e:
        return e.value
    raise AssertionError("it has suspended")


# ---- the object ---------------------------------------------------------------------------------


def test_is_a_coroutine(loop, pair):
    coro = loop.sock_recv(pair[0], 1)
    assert isinstance(coro, collections.abc.Coroutine)
    assert asyncio.iscoroutine(coro)
    assert inspect.isawaitable(coro)
    assert not isinstance(coro, asyncio.Future)
    assert coro.__name__ == "sock_recv"
    assert coro.__qualname__.endswith(".sock_recv")
    assert "sock_recv" in repr(coro)
    assert coro.cr_running is False
    assert coro.cr_await is None
    assert weakref.ref(coro)() is coro
    coro.close()


def test_nothing_happens_before_the_first_step(loop, pair):
    a, b = pair
    b.send(b"x")
    receiving, sending = loop.sock_recv(a, 10), loop.sock_sendall(a, b"y")
    assert a.recv(10) == b"x"
    with pytest.raises(BlockingIOError):
        b.recv(10)
    receiving.close()
    sending.close()


def test_steps_by_hand(loop, pair):
    a, b = pair
    coro = loop.sock_recv(a, 10)
    with pytest.raises(TypeError, match="can't send non-None value to a just-started coroutine"):
        coro.send(1)
    future = coro.send(None)
    assert type(future) is type(loop.create_future())
    assert future.get_loop() is loop
    assert future._asyncio_future_blocking is True
    assert coro.cr_await is not None
    future._asyncio_future_blocking = False
    b.send(b"data")
    loop.run_until_complete(asyncio.wait_for(asyncio.shield(future), 5))
    with pytest.raises(StopIteration) as caught:
        coro.send(None)
    assert caught.value.value == b"data"
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coro.send(None)
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coro.throw(ValueError)
    coro.close()


def test_a_result_that_is_a_tuple(loop, listener):
    """StopIteration unpacks tuples if one is not careful."""
    client = socket.create_connection(listener.getsockname())
    support_wait = loop.run_until_complete(loop.sock_accept(listener))
    assert isinstance(support_wait, tuple)
    support_wait[0].close()
    client.close()
    client = socket.create_connection(listener.getsockname())
    server, address = drive(loop.sock_accept(listener))
    assert address == client.getsockname()
    client.close()
    server.close()


def test_awaited_twice(loop, pair):
    a, b = pair

    async def main():
        coro = loop.sock_recv(a, 10)
        task = asyncio.ensure_future(coro)
        await support.settle()
        with pytest.raises(RuntimeError, match="coroutine is being awaited already"):
            await coro
        b.send(b"x")
        assert await task == b"x"
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await coro

    loop.run_until_complete(main())


def test_throw(loop, pair):
    a, b = pair

    class Mine(Exception):
        pass

    coro = loop.sock_recv(a, 10)
    with pytest.raises(Mine):
        coro.throw(Mine)
    coro = loop.sock_recv(a, 10)
    coro.send(None)
    mine = Mine("value")
    with pytest.raises(Mine) as caught:
        coro.throw(mine)
    assert caught.value is mine
    coro = loop.sock_recv(a, 10)
    coro.send(None)
    with pytest.raises(TypeError):
        coro.throw(1)
    coro.close()
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coro.send(None)


@pytest.mark.parametrize("waiting", [False, True])
def test_close(loop, pair, waiting):
    a, b = pair
    coro = loop.sock_recv(a, 10)
    if waiting:
        coro.send(None).cancel()
    coro.close()
    coro.close()
    b.send(b"kept")
    loop.run_until_complete(support.settle())
    assert a.recv(10) == b"kept"


def test_never_awaited(loop, pair):
    with pytest.warns(RuntimeWarning, match=r"coroutine '.*\.sock_recv' was never awaited"):
        loop.sock_recv(pair[0], 1)
        gc.collect()


def test_never_awaited_as_an_error(loop, pair):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        caught = []
        sys.unraisablehook, hook = lambda e: caught.append(e.exc_type), sys.unraisablehook
        try:
            loop.sock_recv(pair[0], 1)
            gc.collect()
        finally:
            sys.unraisablehook = hook
    assert caught == [RuntimeWarning]


def test_every_way_to_run_it(loop, pair):
    a, b = pair

    async def main():
        b.send(b"1")
        assert await loop.sock_recv(a, 1) == b"1"
        for run in (loop.create_task, asyncio.ensure_future, asyncio.shield):
            task = run(loop.sock_recv(a, 1))
            await support.settle()
            b.send(b"2")
            assert await task == b"2"
        b.send(b"3")
        assert await asyncio.wait_for(loop.sock_recv(a, 1), 5) == b"3"
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(loop.sock_recv(a, 1), 0.01)
        assert await asyncio.gather(loop.sock_recv(a, 1), loop.sock_sendall(b, b"4")) == [
            b"4",
            None,
        ]
        reply = await loop.run_in_executor(None, from_thread)
        assert reply == b"5"

    def from_thread():
        future = asyncio.run_coroutine_threadsafe(loop.sock_recv(a, 1), loop)
        b.send(b"5")
        return future.result(10)

    loop.run_until_complete(main())


def test_under_a_trace_function(loop, pair):
    """Python 3.11 and older call other slots while they trace."""
    a, b = pair

    async def main():
        assert await asyncio.gather(loop.sock_recv(a, 9), loop.sock_sendall(b, b"x")) == [
            b"x",
            None,
        ]

    old = sys.gettrace()
    sys.settrace(lambda *args: None)
    try:
        loop.run_until_complete(main())
    finally:
        sys.settrace(old)


def test_a_task_says_what_it_runs(loop, pair):
    async def main():
        task = asyncio.ensure_future(loop.sock_recv(pair[0], 1))
        await support.settle()
        assert "sock_recv" in repr(task)
        assert task.get_coro() is not None
        task.print_stack(file=open(os.devnull, "w"))  # noqa: SIM115
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        loop.run_until_complete(main())


def test_keywords(loop, pair):
    a, b = pair

    async def main():
        await loop.sock_sendall(sock=b, data=b"12345678")
        assert await loop.sock_recv(sock=a, n=1) == b"1"
        assert await loop.sock_recv(a, n=1) == b"2"
        buf = bytearray(2)
        assert await loop.sock_recv_into(sock=a, buf=buf) == 2
        assert buf == b"34"

    loop.run_until_complete(main())


@pytest.mark.parametrize(
    "call",
    [
        lambda loop, s: loop.sock_recv(s),
        lambda loop, s: loop.sock_recv(s, 1, 2),
        lambda loop, s: loop.sock_recv(s, size=1),
        lambda loop, s: loop.sock_sendall(s),
        lambda loop, s: loop.sock_accept(),
        lambda loop, s: loop.sock_connect(s),
    ],
)
def test_wrong_arguments(loop, pair, call):
    with pytest.raises(TypeError, match=r"sock_\w+\(\)"):
        call(loop, pair[0])


def outcome(make):
    """The type and text of the exception that the first step raises."""
    coro = make()
    try:
        return drive(coro)
    except Exception as e:
        return type(e), str(e)


BAD = [
    lambda loop, s: loop.sock_recv(s, -1),
    lambda loop, s: loop.sock_recv(s, "1"),
    lambda loop, s: loop.sock_recv(s, 1.5),
    lambda loop, s: loop.sock_recv(s, 2**70),
    lambda loop, s: loop.sock_recv(s, None),
    lambda loop, s: loop.sock_recv(s, 0),
    lambda loop, s: loop.sock_recv_into(s, b"readonly"),
    lambda loop, s: loop.sock_recv_into(s, None),
    lambda loop, s: loop.sock_recv_into(s, 5),
    lambda loop, s: loop.sock_recv_into(s, bytearray()),
    lambda loop, s: loop.sock_sendall(s, "text"),
    lambda loop, s: loop.sock_sendall(s, None),
    lambda loop, s: loop.sock_sendall(s, b""),
    lambda loop, s: loop.sock_sendall(s, memoryview(b"abcdef")[::2]),
]


@pytest.mark.parametrize("n", range(len(BAD)))
def test_bad_arguments_are_told_by_the_first_step(loop, pair, n):
    oracle = asyncio.SelectorEventLoop()
    try:
        expected = outcome(lambda: BAD[n](oracle, pair[0]))
        assert outcome(lambda: BAD[n](loop, pair[0])) == expected
    finally:
        oracle.close()


class Overstated(bytearray):
    """Its len() is not that of its buffer."""

    def __len__(self):
        return 100_000


@DATAGRAMS
def test_bad_datagram_arguments(loop):
    calls = [
        lambda loop, s: loop.sock_recvfrom(s, -1),
        lambda loop, s: loop.sock_recvfrom(s, "1"),
        lambda loop, s: loop.sock_recvfrom_into(s, bytearray(4), -1),
        lambda loop, s: loop.sock_recvfrom_into(s, bytearray(4), 5),
        lambda loop, s: loop.sock_recvfrom_into(s, Overstated(4)),
        lambda loop, s: loop.sock_recvfrom_into(s, b"readonly"),
        lambda loop, s: loop.sock_sendto(s, b"x", ("127.0.0.1", "port")),
        lambda loop, s: loop.sock_sendto(s, "text", ("127.0.0.1", 9)),
        lambda loop, s: loop.sock_sendto(s, b"x", None),
    ]
    oracle = asyncio.SelectorEventLoop()
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.setblocking(False)
        s.bind((support.LOCALHOST, 0))
        for call in calls:
            assert outcome(lambda: call(loop, s)) == outcome(lambda: call(oracle, s))  # noqa: B023
    oracle.close()


def test_closed_socket(loop, pair):
    a, _ = pair
    a.close()
    for make in (
        lambda: loop.sock_recv(a, 1),
        lambda: loop.sock_recv_into(a, bytearray(1)),
        lambda: loop.sock_sendall(a, b"x"),
        lambda: loop.sock_accept(a),
    ):
        with pytest.raises(OSError) as caught:
            drive(make())
        assert caught.value.errno == errno.EBADF


def test_not_connected(loop):
    with socket.socket() as s:
        s.setblocking(False)
        with pytest.raises(OSError) as caught:
            drive(loop.sock_recv(s, 1))
        assert caught.value.errno == errno.ENOTCONN


def test_ssl_socket_is_refused(loop, pair):
    context = ssl.create_default_context()
    wrapped = context.wrap_socket(
        pair[0], server_hostname="x", do_handshake_on_connect=False, suppress_ragged_eofs=True
    )
    wrapped.setblocking(False)
    for make in (
        lambda: loop.sock_recv(wrapped, 1),
        lambda: loop.sock_recv_into(wrapped, bytearray(1)),
        lambda: loop.sock_sendall(wrapped, b"x"),
        lambda: loop.sock_accept(wrapped),
        lambda: loop.sock_connect(wrapped, ("127.0.0.1", 1)),
    ):
        with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
            drive(make())
    wrapped.close()


def test_a_subclass_has_its_own_methods_called(loop, pair):
    class Counting(socket.socket):
        calls = 0

        def recv(self, *args):
            Counting.calls += 1
            return super().recv(*args)

        def send(self, *args):
            Counting.calls += 1
            return super().send(*args)

    a = Counting(fileno=pair[0].detach())
    a.setblocking(False)
    b = pair[1]

    async def main():
        await loop.sock_sendall(a, b"out")
        assert await loop.sock_recv(b, 10) == b"out"
        task = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        await loop.sock_sendall(b, b"in")
        assert await task == b"in"

    loop.run_until_complete(main())
    assert Counting.calls == 3
    a.close()


def test_blocking_socket_is_refused_in_debug_by_the_first_step(loop, pair):
    loop.set_debug(True)
    pair[0].setblocking(True)
    coro = loop.sock_recv(pair[0], 1)
    with pytest.raises(ValueError, match="the socket must be non-blocking"):
        coro.send(None)
    pair[0].settimeout(5)
    with pytest.raises(ValueError, match="the socket must be non-blocking"):
        loop.sock_sendall(pair[0], b"x").send(None)


def test_closed_loop(loop_factory, pair):
    loop = loop_factory()
    loop.close()
    pair[1].send(b"here")
    assert drive(loop.sock_recv(pair[0], 10)) == b"here"
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        drive(loop.sock_recv(pair[0], 10))


def test_loop_closed_while_waiting(loop_factory, pair):
    """The loop lets go of who waits; what they hold is freed."""
    loop = loop_factory()
    coro = loop.sock_recv(pair[0], 10)
    coro.send(None)
    loop.close()
    coro.close()
    ref = weakref.ref(loop)
    del loop, coro
    gc.collect()
    assert ref() is None


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


# ---- descriptors --------------------------------------------------------------------------------


def test_a_second_reader_replaces_the_first(loop, pair):
    a, b = pair

    async def main():
        first = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        second = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        b.send(b"x")
        assert await second == b"x"
        assert not first.done()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        # and that has not touched who came later
        third = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        b.send(b"y")
        assert await third == b"y"

    loop.run_until_complete(main())


def test_add_reader_replaces_and_remove_reader_removes(loop, pair):
    a, b = pair

    async def main():
        called = asyncio.Event()
        task = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        loop.add_reader(a, called.set)
        b.send(b"x")
        await asyncio.wait_for(called.wait(), 5)
        assert not task.done()
        assert loop.remove_reader(a) is True
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await loop.sock_recv(a, 10) == b"x"
        task = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        assert loop.remove_reader(a) is True
        assert loop.remove_reader(a) is False
        b.send(b"y")
        await support.settle()
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run_until_complete(main())


def test_reader_and_writer_of_one_socket(loop, pair):
    a, b = pair

    async def main():
        receiving = asyncio.ensure_future(loop.sock_recv(a, 10))
        sending = asyncio.ensure_future(loop.sock_sendall(a, bytes(3_000_000)))
        await support.settle()
        b.send(b"x")
        assert await receiving == b"x"
        receiving = asyncio.ensure_future(loop.sock_recv(a, 10))
        got = 0
        while got < 3_000_000:
            got += len(await loop.sock_recv(b, 1 << 20))
        await sending
        await support.settle()
        assert not receiving.done()
        b.send(b"y")
        assert await receiving == b"y"

    loop.run_until_complete(main())


def test_descriptor_of_a_transport(loop):
    async def main():
        async with support.connected() as (transport, _, _peer):
            fd = transport.get_extra_info("socket").fileno()
            sock = socket.socket(fileno=fd)
            sock.setblocking(False)
            try:
                with pytest.raises(
                    RuntimeError, match=f"File descriptor {fd} is used by transport"
                ):
                    await loop.sock_recv(sock, 10)
            finally:
                sock.detach()

    loop.run_until_complete(main())


def test_socket_handed_to_a_transport_after_use(loop, listener):
    """What was watched for sock_recv() is the transport's now."""

    async def main():
        client = socket.create_connection(listener.getsockname())
        server, _ = await loop.sock_accept(listener)
        waiting = asyncio.ensure_future(loop.sock_recv(server, 10))
        await support.settle()
        client.send(b"first")
        assert await waiting == b"first"
        reader, writer = await asyncio.open_connection(sock=server)
        client.send(b"second\n")
        assert await asyncio.wait_for(reader.readline(), 5) == b"second\n"
        writer.close()
        await writer.wait_closed()
        client.close()

    loop.run_until_complete(main())


def test_number_used_again_by_another_socket(loop):
    """Interest that was kept for a closed socket is nothing to the next one of that number."""

    async def main():
        for _ in range(5):
            a, b = socket.socketpair()
            a.setblocking(False)
            b.setblocking(False)
            for n in range(12):
                task = asyncio.ensure_future(loop.sock_recv(a, 10))
                await support.settle(2)
                await loop.sock_sendall(b, b"%d" % n)
                assert await asyncio.wait_for(task, 5) == b"%d" % n
            a.close()
            b.close()

    loop.run_until_complete(main())


def test_number_used_again_while_the_socket_object_lives(loop):
    async def main():
        a, b = socket.socketpair()
        a.setblocking(False)
        task = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        b.send(b"1")
        assert await task == b"1"
        fd = a.fileno()
        os.close(a.detach())
        c, d = socket.socketpair()
        try:
            with contextlib.ExitStack() as stack:
                stack.callback(c.close)
                stack.callback(d.close)
                assert fd in (c.fileno(), d.fileno())
                c.setblocking(False)
                d.setblocking(False)
                for x, y in ((c, d), (d, c)):
                    task = asyncio.ensure_future(loop.sock_recv(x, 10))
                    await support.settle()
                    y.send(b"2")
                    assert await asyncio.wait_for(task, 5) == b"2"
                with pytest.raises(OSError):
                    await loop.sock_recv(a, 10)
        finally:
            b.close()

    loop.run_until_complete(main())


def test_closed_while_waiting_then_the_number_is_used_again(loop):
    """Who waited on the closed socket learns of it then; on asyncio it waits for ever."""

    async def main():
        a, b = socket.socketpair()
        a.setblocking(False)
        fd = a.fileno()
        task = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        a.close()
        c, d = socket.socketpair()
        assert fd in (c.fileno(), d.fileno())
        x, y = (c, d) if c.fileno() == fd else (d, c)
        x.setblocking(False)
        if type(loop) is not asyncio.SelectorEventLoop:  # which raises FileNotFoundError here
            other = asyncio.ensure_future(loop.sock_recv(x, 10))
            await support.settle()
            with pytest.raises(OSError) as caught:
                await asyncio.wait_for(task, 5)
            assert caught.value.errno == errno.EBADF
            y.send(b"mine")
            assert await asyncio.wait_for(other, 5) == b"mine"
        else:
            task.cancel()
            loop.remove_reader(fd)
            await asyncio.wait([task])
        for s in (b, c, d):
            s.close()

    loop.run_until_complete(main())


def cpu_of_idling(loop, seconds=0.3):
    before = sum(os.times()[:2])
    loop.run_until_complete(asyncio.sleep(seconds))
    return (sum(os.times()[:2]) - before) / seconds


def test_data_that_nobody_reads_does_not_spin(loop, pair):
    a, b = pair

    async def main():
        task = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        b.send(b"read")
        assert await task == b"read"
        b.send(b"not read yet")

    loop.run_until_complete(main())
    assert cpu_of_idling(loop) < 0.5
    assert loop.run_until_complete(loop.sock_recv(a, 100)) == b"not read yet"


@pytest.mark.parametrize("reused", [False, True])
def test_closed_with_a_duplicate_alive_does_not_spin(loop, reused):
    """epoll goes on to report a closed descriptor as long as a duplicate, of a forked child say, is
    open, and cannot be told to stop: its key is gone."""

    async def wait_once(sock, other):
        task = asyncio.ensure_future(loop.sock_recv(sock, 10))
        await support.settle()
        other.send(b"x")
        assert await task == b"x"

    a, b = socket.socketpair()
    a.setblocking(False)
    loop.run_until_complete(wait_once(a, b))
    duplicate = a.dup()
    fd = a.fileno()
    a.close()
    extra = []
    if reused:
        extra = list(socket.socketpair())
        assert fd in [s.fileno() for s in extra]
        for s in extra:
            s.setblocking(False)
        loop.run_until_complete(wait_once(extra[0], extra[1]))
        loop.run_until_complete(wait_once(extra[1], extra[0]))
    b.send(b"for the duplicate")
    assert cpu_of_idling(loop) < 0.5
    if reused:  # and the new sockets are still watched
        loop.run_until_complete(wait_once(extra[0], extra[1]))
        loop.run_until_complete(wait_once(extra[1], extra[0]))
    for s in (b, duplicate, *extra):
        s.close()


def test_forked_child_leaves_the_parents_interest_alone(loop, pair):
    a, b = pair

    async def wait_once():
        task = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        b.send(b"x")
        assert await task == b"x"

    loop.run_until_complete(wait_once())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if type(loop) is not asyncio.SelectorEventLoop:  # whose children share the set
                loop.run_until_complete(wait_once())
                loop.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    loop.run_until_complete(wait_once())


def test_many_round_trips_leave_nothing(loop, pair):
    a, b = pair

    async def echo():
        while data := await loop.sock_recv(b, 100):
            await loop.sock_sendall(b, data)

    async def trips(n):
        for i in range(n):
            await loop.sock_sendall(a, b"%d" % i)
            assert await loop.sock_recv(a, 100) == b"%d" % i

    async def main():
        other = asyncio.ensure_future(echo())
        await trips(500)
        gc.collect()
        tracemalloc.start()
        try:
            await trips(100)
            before = tracemalloc.get_traced_memory()[0]
            await trips(2000)
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert grown < 20_000
        a.close()
        await other

    loop.run_until_complete(main())


def test_steady_ping_pong_costs_no_epoll_ctl(tmp_path):
    """10,000 round trips by strace: two calls each and the polls, no change of interest."""
    script = tmp_path / "trips.py"
    script.write_text(
        "import asyncio, socket, sys, uvolt\n"
        "async def main(n):\n"
        "    loop = asyncio.get_running_loop()\n"
        "    a, b = socket.socketpair()\n"
        "    a.setblocking(False); b.setblocking(False)\n"
        "    async def echo():\n"
        "        while data := await loop.sock_recv(b, 100):\n"
        "            await loop.sock_sendall(b, data)\n"
        "    task = asyncio.ensure_future(echo())\n"
        "    for i in range(n):\n"
        "        await loop.sock_sendall(a, b'x')\n"
        "        assert await loop.sock_recv(a, 100) == b'x'\n"
        "    a.close(); await task; b.close()\n"
        "uvolt.run(main(int(sys.argv[1])))\n"
    )
    preload = os.environ.get("LD_PRELOAD")
    sanitizers = ["-E", f"LD_PRELOAD={preload}"] if preload else []  # for Python, not for strace
    counts = []
    for n in ("100", "10100"):
        summary = tmp_path / f"calls{n}"
        command = ["strace", "-f", "-c", "-o", str(summary), *sanitizers, sys.executable]
        command += [str(script), n]
        subprocess.run(command, check=True, timeout=60 * support.SLOW, env=plain_environment())
        calls = {}
        for line in summary.read_text().splitlines():
            columns = line.split()
            if len(columns) > 4 and columns[3].isdigit():
                calls[columns[-1]] = int(columns[3])
        counts.append(calls)
    short, long = counts
    assert long.get("epoll_ctl", 0) - short.get("epoll_ctl", 0) <= 2
    assert long.get("getpid", 0) - short.get("getpid", 0) <= 2
    assert long["sendto"] - short["sendto"] == 20_000
    assert long["recvfrom"] - short["recvfrom"] < 22_000


def plain_environment():
    return {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}


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
        for address in (("localhost", port), ("127.1", port), [support.LOCALHOST, port]):
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
