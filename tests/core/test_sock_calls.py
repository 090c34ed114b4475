"""What sock_recv() and its kin return, as an object; their arguments."""

from __future__ import annotations

import asyncio
import collections.abc
import errno
import gc
import inspect
import os
import socket
import ssl
import sys
import warnings
import weakref

import pytest
import support

DATAGRAMS = pytest.mark.skipif(sys.version_info < (3, 11), reason="datagram methods came in 3.11")


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
