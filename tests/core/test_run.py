"""run_forever, run_until_complete, stop and close."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
import weakref

import pytest
import support


async def nothing():
    return None


def test_result_and_exception(loop):
    async def good():
        return 5

    async def bad():
        raise KeyError("x")

    assert loop.run_until_complete(good()) == 5
    with pytest.raises(KeyError):
        loop.run_until_complete(bad())
    future = loop.create_future()
    loop.call_soon(future.set_result, "set")
    assert loop.run_until_complete(future) == "set"
    assert loop.run_until_complete(future) == "set"


def test_takes_any_awaitable(loop):
    class Thing:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return "awaited"

    assert loop.run_until_complete(Thing()) == "awaited"


def test_future_of_another_loop(loop, loop_factory):
    other = loop_factory()
    future = other.create_future()
    with pytest.raises(ValueError):
        loop.run_until_complete(future)
    other.close()


def test_is_running_and_the_running_loop(loop):
    assert loop.is_running() is False
    assert asyncio._get_running_loop() is None

    async def main():
        assert loop.is_running() is True
        assert asyncio.get_running_loop() is loop
        assert asyncio.get_event_loop() is loop

    loop.run_until_complete(main())
    assert loop.is_running() is False
    assert asyncio._get_running_loop() is None


def test_stop_before_run_runs_one_turn(loop):
    seen = []
    loop.call_soon(seen.append, 1)
    loop.stop()
    loop.run_forever()
    assert seen == [1]
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_stop_before_run_does_not_sleep(loop):
    loop.stop()
    start = time.monotonic()
    loop.run_forever()
    assert time.monotonic() - start < 5


def test_stop_lets_the_turn_finish(loop):
    seen = []

    def stopper():
        seen.append("stop")
        loop.stop()
        loop.call_soon(seen.append, "next turn")

    loop.call_soon(seen.append, "before")
    loop.call_soon(stopper)
    loop.call_soon(seen.append, "after")
    loop.run_forever()
    assert seen == ["before", "stop", "after"]
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == ["before", "stop", "after", "next turn"]


def test_stop_twice_counts_once(loop):
    seen = []
    loop.call_soon(loop.stop)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.call_soon(seen.append, 1)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == [1]


def test_stop_in_done_callback_of_main(loop):
    """The future is done although something else stopped the loop in the same turn."""

    async def main():
        loop.stop()
        return 7

    assert loop.run_until_complete(main()) == 7
    loop.call_soon(loop.stop)  # the done callback that stops the loop may still be queued
    loop.run_forever()


def test_stopped_before_the_future_is_done(loop):
    async def main():
        loop.stop()
        await asyncio.sleep(1000)

    task = loop.create_task(main())
    with pytest.raises(RuntimeError, match=r"^Event loop stopped before Future completed\.$"):
        loop.run_until_complete(task)
    assert not task.done()


def test_run_again_many_times(loop):
    for n in range(200):
        assert loop.run_until_complete(asyncio.sleep(0, n)) == n


def test_run_in_a_row_keeps_tasks(loop):
    seen = []

    async def background():
        for n in range(10):
            seen.append(n)
            await asyncio.sleep(0)

    task = loop.create_task(background())
    while not task.done():
        loop.run_until_complete(asyncio.sleep(0))
    assert seen == list(range(10))


def test_nested_run_of_the_same_loop(loop, loop_name):
    support.oracle_lacks(loop_name, support.PY == (3, 13), "a refused run stops the running one")

    async def main():
        with pytest.raises(RuntimeError, match="^This event loop is already running$"):
            loop.run_forever()
        future = loop.create_future()
        with pytest.raises(RuntimeError, match="^This event loop is already running$"):
            loop.run_until_complete(future)
        future.cancel()
        assert loop.is_running()
        assert asyncio.get_running_loop() is loop
        await asyncio.sleep(0)

    loop.run_until_complete(main())


def test_run_while_another_loop_runs(loop, loop_factory, loop_name):
    support.oracle_lacks(loop_name, support.PY == (3, 13), "a refused run stops the running one")
    other = loop_factory()

    async def main():
        text = "^Cannot run the event loop while another loop is running$"
        with pytest.raises(RuntimeError, match=text):
            other.run_forever()
        coro = nothing()
        with pytest.raises(RuntimeError, match=text):
            other.run_until_complete(coro)
        assert not other.is_running()
        coro.close()

    loop.run_until_complete(main())
    support.collect()
    assert other.run_until_complete(asyncio.sleep(0, 1)) == 1
    support.finish(other)


def test_run_from_another_thread_while_running(loop, loop_name):
    support.oracle_lacks(loop_name, support.PY == (3, 13), "a refused run stops the running one")
    errors = []

    def other():
        try:
            loop.run_forever()
        except RuntimeError as e:
            errors.append(str(e))
        loop.call_soon_threadsafe(loop.stop)

    def start():
        t.start()

    t = threading.Thread(target=other)
    loop.call_soon(start)
    loop.run_forever()
    t.join()
    assert errors == ["This event loop is already running"]


def test_two_loops_in_two_threads(loop_factory):
    results = []
    all_running = threading.Barrier(4)  # the ident of a thread that has ended is used again

    def work():
        loop = loop_factory()
        all_running.wait(10)
        results.append(loop.run_until_complete(asyncio.sleep(0.01, threading.get_ident())))
        all_running.wait(10)
        support.finish(loop)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(results)) == 4


def test_a_loop_moves_to_another_thread(loop):
    loop.run_until_complete(asyncio.sleep(0))
    seen = []

    async def main():
        await asyncio.sleep(0.001)
        seen.append(threading.get_ident())

    with support.thread(lambda: loop.run_until_complete(main())):
        pass
    assert seen[0] != threading.get_ident()
    loop.run_until_complete(main())
    assert seen[1] == threading.get_ident()


# -- close ------------------------------------------------------------------------------------


def test_close(loop_factory):
    loop = loop_factory()
    assert loop.is_closed() is False
    loop.close()
    assert loop.is_closed() is True
    loop.close()
    assert loop.is_closed() is True
    assert loop.is_running() is False
    assert "closed=True" in repr(loop)


def test_close_while_running(loop):
    async def main():
        with pytest.raises(RuntimeError, match="^Cannot close a running event loop$"):
            loop.close()
        assert not loop.is_closed()
        await asyncio.sleep(0)

    loop.run_until_complete(main())


def test_everything_raises_after_close(loop_factory):
    loop = loop_factory()
    loop.close()
    text = "^Event loop is closed$"
    for call in (
        lambda: loop.call_soon(print),
        lambda: loop.call_soon_threadsafe(print),
        lambda: loop.call_later(1, print),
        lambda: loop.call_at(1, print),
        lambda: loop.run_forever(),
        lambda: loop.run_in_executor(None, print),
        lambda: loop.add_reader(0, print),
        lambda: loop.add_writer(1, print),
        lambda: loop.add_signal_handler(12, print),
    ):
        with pytest.raises(RuntimeError, match=text):
            call()
    for method in (loop.create_task, loop.run_until_complete):
        never = nothing()
        with pytest.raises(RuntimeError, match=text):
            method(never)
        never.close()


def test_harmless_after_close(loop_factory):
    loop = loop_factory()
    loop.close()
    assert loop.remove_reader(0) is False
    assert loop.remove_writer(0) is False
    assert loop.is_closed()
    loop.stop()
    assert isinstance(loop.time(), float)
    assert loop.get_debug() in (True, False)
    assert loop.get_task_factory() is None
    repr(loop)


def test_coroutine_methods_after_close(loop_factory):
    """They fail with RuntimeError when driven by another loop: nothing hangs, nothing crashes."""
    loop = loop_factory()
    loop.close()
    other = loop_factory()
    for make in (
        lambda: loop.getaddrinfo("localhost", 0),
        lambda: loop.create_connection(asyncio.Protocol, "localhost", 1),
    ):
        with pytest.raises(RuntimeError):
            other.run_until_complete(make())
    other.close()


def test_loop_is_freed(loop_factory):
    loop = loop_factory()
    loop.run_until_complete(asyncio.sleep(0.001))
    ref = weakref.ref(loop)
    loop.close()
    del loop
    gc.collect()
    assert ref() is None


def test_unclosed_loop_warns(loop_factory):
    loop = loop_factory()
    loop.run_until_complete(asyncio.sleep(0))
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        del loop
        gc.collect()


def test_unclosed_loop_that_never_ran_warns(loop_factory):
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        loop_factory()
        gc.collect()


class Keeper:
    """Keeps its loop and a handle of it whose callback is its own: a cycle."""

    def __init__(self, loop):
        self.loop = loop
        self.handles = [loop.call_soon(self.called)]

    def called(self):
        self.handles.append(self.loop.call_soon(self.called))
        self.loop.stop()


@pytest.mark.parametrize("how", ["never run", "run_forever", "_run_once", "threadsafe", "_ready"])
def test_unclosed_loop_whose_handles_are_kept_is_collected(loop_factory, how):
    keeper = Keeper(loop_factory())
    if how == "run_forever":
        keeper.loop.run_forever()
    elif how == "_run_once":
        keeper.loop._run_once()
    elif how == "threadsafe":
        keeper.handles.append(keeper.loop.call_soon_threadsafe(keeper.called))
    elif how == "_ready":
        keeper.handles[:] = list(keeper.loop._ready)
    ref = weakref.ref(keeper.loop)
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        del keeper
        support.collect()
    assert ref() is None


def test_many_loops(loop_factory):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        loop = loop_factory()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_loop_repr(loop):
    text = repr(loop)
    assert "running=False" in text
    assert "closed=False" in text
    assert "debug=False" in text


def test_loop_is_an_abstract_event_loop(loop):
    assert isinstance(loop, asyncio.AbstractEventLoop)


def test_attributes_can_be_set_and_the_loop_subclassed(loop, loop_factory):
    loop.my_attribute = 5
    assert loop.my_attribute == 5
    seen = []

    class Sub(type(loop)):
        def call_soon(self, callback, *args, context=None):
            seen.append(callback)
            return super().call_soon(callback, *args, context=context)

    sub = Sub()
    sub.run_until_complete(asyncio.sleep(0))
    sub.close()
    assert seen


def test_set_event_loop(loop):
    asyncio.set_event_loop(loop)
    try:
        assert asyncio.get_event_loop_policy().get_event_loop() is loop
    finally:
        asyncio.set_event_loop(None)


def test_never_awaited_main_is_reported_on_closed_loop(loop_factory):
    loop = loop_factory()
    loop.close()
    coro = nothing()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.run_until_complete(coro)
    with pytest.warns(RuntimeWarning, match="never awaited"):
        del coro
        gc.collect()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.Runner came in 3.11")
def test_runner(loop_factory):
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(asyncio.sleep(0, 1)) == 1
        loop = runner.get_loop()
        assert type(loop) is type(runner.get_loop())
        assert runner.run(asyncio.sleep(0, 2)) == 2
    assert loop.is_closed()
    asyncio.set_event_loop(None)


def test_idle_loop_uses_no_cpu(loop):
    start = time.process_time()
    loop.run_until_complete(asyncio.sleep(0.3))
    assert time.process_time() - start < 0.15 * support.SLOW
