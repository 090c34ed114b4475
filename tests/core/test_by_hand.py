"""Running the loop by hand: _run_once(), _ready, _scheduled and _selector, which are private to
asyncio and used all the same: by nest_asyncio, by programs that embed the loop, by tests."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
import selectors
import signal
import socket
import sys
import threading
import time

import pytest
import support


@contextlib.contextmanager
def scene(loop):
    """What run_forever() does around its iterations, by hand."""
    asyncio._set_running_loop(loop)
    try:
        yield
    finally:
        asyncio._set_running_loop(None)


def run_by_hand(loop, awaitable):
    with scene(loop):
        future = asyncio.ensure_future(awaitable, loop=loop)
        while not future.done():
            loop._run_once()
    return future.result()


def test_one_iteration_runs_what_waits_and_no_more(loop):
    seen = []
    loop.call_soon(lambda: (seen.append(1), loop.call_soon(seen.append, 2)))
    loop._run_once()
    assert seen == [1]
    loop._run_once()
    assert seen == [1, 2]


def test_iteration_waits_for_a_timer(loop):
    seen = []
    begun = loop.time()
    loop.call_later(0.05, seen.append, 1)
    while not seen:
        loop._run_once()
    assert loop.time() - begun >= 0.049


def test_iteration_reports_and_raises(loop, contexts):
    def fail(error):
        raise error

    loop.call_soon(fail, ValueError("seen"))
    loop.call_soon(fail, SystemExit(3))
    with pytest.raises(SystemExit):
        loop._run_once()
    assert [type(c["exception"]) for c in contexts] == [ValueError]


def test_iteration_of_a_closed_loop(loop_factory):
    loop = loop_factory()
    loop.close()
    with pytest.raises((RuntimeError, AttributeError)):  # asyncio's has no selector any more
        loop._run_once()


def test_a_program_by_hand(loop):
    async def main():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"ping\n")
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return line

    async def answer(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    assert run_by_hand(loop, main()) == b"PING\n"


def test_iterations_within_one(loop):
    """A callback that runs the loop until something is done: what waits behind it runs once."""
    seen = []

    def nested():
        done = loop.create_future()
        loop.call_later(0.01, done.set_result, None)
        loop.call_soon(seen.append, "queued by it")
        while not done.done():
            loop._run_once()
        seen.append("back")
        loop.call_soon(loop.stop)

    loop.call_soon(nested)
    for i in range(5):
        loop.call_soon(seen.append, i)
    with contextlib.suppress(IndexError):  # asyncio's own iteration does not expect it
        loop.run_forever()
    assert seen == [0, 1, 2, 3, 4, "queued by it", "back"]


def test_the_ring_grows_while_it_is_drained(loop):
    seen = []

    def many():
        for i in range(1000):
            loop.call_soon(seen.append, i)
        loop._run_once()
        for i in range(1000, 3000):
            loop.call_soon(seen.append, i)
        loop._run_once()
        loop.call_soon(loop.stop)

    loop.call_soon(many)
    loop.run_forever()
    assert seen == list(range(3000))


def test_a_replaced_iteration_is_the_one_that_runs(loop):
    counted = 0
    original = loop._run_once

    def run_once():
        nonlocal counted
        counted += 1
        original()

    loop._run_once = run_once
    try:
        loop.run_until_complete(asyncio.sleep(0.01, loop.stop))
        assert counted >= 2
        before = counted
        loop.stop()
        loop.run_forever()
        assert counted == before + 1
    finally:
        del loop._run_once


def test_setup_and_cleanup(loop, loop_name):
    if loop_name == "asyncio" and sys.version_info < (3, 13):
        pytest.skip("asyncio has these methods from 3.13 on, uvolt on all versions")
    loop._run_forever_setup()
    try:
        assert loop.is_running()
        assert asyncio.get_running_loop() is loop
        loop.call_soon(loop.stop)
        loop._run_once()
        assert loop._stopping
    finally:
        loop._run_forever_cleanup()
    assert not loop.is_running()
    assert not loop._stopping


# ---- the queues ---------------------------------------------------------------------------------


def test_ready_shows_what_waits(loop):
    assert not loop._ready
    handles = [loop.call_soon(int) for _ in range(3)]
    assert len(loop._ready) == 3
    assert list(loop._ready) == handles
    assert handles[1] in loop._ready
    assert loop._ready[0] is handles[0]
    assert loop._ready[-1] is handles[2]
    assert loop._ready.popleft() is handles[0]
    assert list(loop._ready) == handles[1:]
    loop._run_once()
    assert not loop._ready
    with pytest.raises(IndexError):
        loop._ready.popleft()


def test_ready_takes_a_handle_back(loop):
    seen = []
    for i in range(3):
        loop.call_soon(seen.append, i)
    loop._ready.append(loop._ready.popleft())
    loop._run_once()
    assert seen == [1, 2, 0]


def test_ready_takes_a_handle_of_asyncios(loop):
    seen = []
    good = asyncio.Handle(seen.append, (1,), loop, None)
    cancelled = asyncio.Handle(seen.append, (2,), loop, None)
    loop._ready.append(good)
    loop._ready.append(cancelled)
    assert list(loop._ready) == [good, cancelled]
    assert good in loop._ready
    cancelled.cancel()
    loop._run_once()
    assert seen == [1]
    loop._add_callback(good)
    assert loop._ready.popleft() is good


def test_ready_takes_no_handle_of_another_loop(loop_factory, loop_name):
    if loop_name == "asyncio":
        pytest.skip("asyncio does not look")
    ours, other = loop_factory(), loop_factory()
    try:
        with pytest.raises(ValueError, match="belongs to another loop"):
            ours._ready.append(other.call_soon(int))
        assert not ours._ready
    finally:
        ours.close()
        other.close()


def test_scheduled_is_a_heap_of_timers(loop):
    assert not loop._scheduled
    delays = [0.5, 0.1, 0.4, 0.2, 0.3]
    timers = [loop.call_later(1000 * delay, int) for delay in delays]
    scheduled = list(loop._scheduled)
    order = [heapq.heappop(scheduled) for _ in delays]
    assert order == sorted(timers)
    assert order[0]._when == timers[1].when()
    assert timers[0] in loop._scheduled
    for timer in timers:
        timer.cancel()


def test_a_timer_moves_from_scheduled_to_ready(loop):
    seen = []
    timer = loop.call_later(1000, seen.append, 1)
    scheduled = loop._scheduled
    loop._ready.append(heapq.heappop(scheduled))
    assert timer not in loop._scheduled
    loop._run_once()
    assert seen == [1]


def test_a_timer_appended_to_scheduled(loop):
    seen = []
    timers = [asyncio.TimerHandle(loop.time() - 1, seen.append, (n,), loop, None) for n in range(2)]
    for timer in timers:
        loop._scheduled.append(timer)
    timers[0].cancel()
    loop._run_once()
    assert seen == [1]
    assert not loop._scheduled


# ---- the selector -------------------------------------------------------------------------------


def test_select_waits_no_longer_than_asked(loop):
    begun = time.monotonic()
    assert loop._selector.select(0) == loop._selector.select(-1) == []
    assert time.monotonic() - begun < 10
    begun = time.monotonic()
    assert loop._selector.select(0.05) == []
    assert 0.04 < time.monotonic() - begun < 10


def test_select_then_process_events(loop):
    """The loop of nest_asyncio: what is found is run once, in order."""
    a, b = socket.socketpair()
    seen = []
    with a, b:
        key = loop._selector
        loop.add_reader(a, lambda: seen.append(a.recv(10)))
        assert key.get_key(a).events == selectors.EVENT_READ
        b.send(b"x")
        loop._process_events(loop._selector.select(None))
        assert len(loop._ready) == 1
        loop._ready.popleft()._run()
        assert seen == [b"x"]
        assert not loop._ready
        loop.remove_reader(a)


def test_select_is_woken_by_another_thread(loop):
    if loop._csock is None:  # pragma: no cover
        pytest.fail("the loop of the main thread has its pair of sockets")
    thread = threading.Timer(0.05, loop.call_soon_threadsafe, (int,))
    thread.start()
    begun = time.monotonic()
    loop._process_events(loop._selector.select(30))
    assert time.monotonic() - begun < 20
    thread.join()
    loop._run_once()


def test_ctrl_c_ends_a_select(loop):
    thread = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        thread.start()
        loop._selector.select(30)
        time.sleep(1)
    thread.join()


class Nesting(asyncio.Protocol):
    """Runs the loop from within data_received()."""

    def __init__(self, loop, done):
        self.loop, self.done = loop, done

    def data_received(self, data):
        self.loop.call_soon(int)
        try:
            self.loop._run_once()
        except RuntimeError as error:
            self.done.set_result(str(error))
        else:
            self.done.set_result("ran")


def test_a_transports_callback_may_not_poll(loop, loop_name):
    """uv_run() cannot be entered again: an error says so, where asyncio can do it."""
    a, b = socket.socketpair()
    with b:
        done = loop.create_future()

        async def main():
            transport, _ = await loop.create_connection(lambda: Nesting(loop, done), sock=a)
            b.send(b"x")
            await done
            transport.close()

        loop.run_until_complete(main())
    if loop_name == "uvolt":
        assert "is polling" in done.result()
    else:
        assert done.result() == "ran"
    support.collect()
