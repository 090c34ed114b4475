"""Debug mode: slow callbacks, thread checks, where things were made, what was never awaited."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import sys
import time

import pytest
import support


@pytest.fixture
def debug(loop):
    loop.set_debug(True)
    return loop


def test_set_debug(loop):
    assert loop.get_debug() is False
    loop.set_debug(True)
    assert loop.get_debug() is True
    assert "debug=True" in repr(loop)
    loop.set_debug(False)
    assert loop.get_debug() is False
    loop.set_debug(1)
    assert loop.get_debug() == 1
    loop.set_debug(0)
    assert not loop.get_debug()


def test_switched_on_while_running(loop):
    async def main():
        loop.set_debug(True)
        await asyncio.sleep(0)
        assert sys.get_coroutine_origin_tracking_depth() > 0
        loop.set_debug(False)
        await asyncio.sleep(0)
        assert sys.get_coroutine_origin_tracking_depth() == 0

    loop.run_until_complete(main())


def test_coroutine_origin_tracking_is_put_back(debug):
    async def main():
        return sys.get_coroutine_origin_tracking_depth()

    before = sys.get_coroutine_origin_tracking_depth()
    assert debug.run_until_complete(main()) > before
    assert sys.get_coroutine_origin_tracking_depth() == before


def test_slow_callback_is_named(debug, expect_log):
    debug.slow_callback_duration = 0.1
    expect_log(r"^Executing <Handle slow_one\(1\) .*> took \d+\.\d\d\d seconds$")

    def slow_one(n):
        time.sleep(0.15)

    slow_one.__qualname__ = "slow_one"
    debug.call_soon(slow_one, 1)
    debug.call_soon(int)
    debug.run_until_complete(asyncio.sleep(0))
    (record,) = expect_log.matching("Executing")
    assert record.levelno == logging.WARNING
    assert f"created at {__file__}" in record.getMessage()


def test_slow_task_is_named(debug, expect_log):
    debug.slow_callback_duration = 0.1
    expect_log(r"^Executing <Task .*name='slow task'.* took \d+\.\d+ seconds$")

    async def work():
        time.sleep(0.15)

    task = debug.create_task(work(), name="slow task")
    debug.run_until_complete(task)


def test_slow_timer_and_reader_are_reported(debug, expect_log):
    debug.slow_callback_duration = 0.1
    expect_log(r"^Executing <TimerHandle .* took \d+\.\d+ seconds$")
    expect_log(r"^Executing <Handle .*slow_reader.* took \d+\.\d+ seconds$")
    r, w = os.pipe()

    def slow_reader():
        debug.remove_reader(r)
        time.sleep(0.15)

    debug.call_later(0.001, time.sleep, 0.15)
    debug.add_reader(r, slow_reader)
    os.write(w, b"x")
    debug.run_until_complete(asyncio.sleep(0.35))
    os.close(r)
    os.close(w)


def test_quick_callbacks_are_not_reported(debug, expect_log):
    debug.slow_callback_duration = 5

    debug.call_soon(time.sleep, 0.02)
    debug.run_until_complete(asyncio.sleep(0.001))
    assert expect_log.matching("Executing") == []


def test_slow_callback_without_debug_is_not_reported(loop, expect_log):
    loop.slow_callback_duration = 0.001
    loop.call_soon(time.sleep, 0.02)
    loop.run_until_complete(asyncio.sleep(0.001))
    assert expect_log.matching("Executing") == []


def test_slow_callback_duration(loop):
    assert loop.slow_callback_duration == 0.1
    loop.slow_callback_duration = 2
    assert loop.slow_callback_duration == 2


def test_fault_30_wrong_thread(debug):
    errors = []

    def other():
        for call in (
            lambda: debug.call_soon(int),
            lambda: debug.call_later(1, int),
            lambda: debug.call_at(1, int),
        ):
            try:
                call()
            except RuntimeError as e:
                errors.append(str(e))
        debug.call_soon_threadsafe(int)

    async def main():
        await debug.run_in_executor(None, other)

    debug.run_until_complete(main())
    text = "Non-thread-safe operation invoked on an event loop other than the current one"
    assert errors == [text] * 3


def test_wrong_thread_before_the_loop_runs_is_allowed(debug):
    """Nobody knows yet which thread the loop will run in."""
    with support.thread(lambda: debug.call_soon(debug.stop)):
        pass
    debug.run_forever()


def test_no_thread_check_without_debug(loop):
    async def main():
        await loop.run_in_executor(None, loop.call_soon, int)

    loop.run_until_complete(main())


def test_source_traceback_of_future_task_and_handle(debug):
    future = debug.create_future()
    # asyncio's create_future is a frame of its own
    assert __file__ in [frame.filename for frame in future._source_traceback[-2:]]

    async def work():
        pass

    task = debug.create_task(work())
    assert __file__ in [frame.filename for frame in task._source_traceback[-2:]]
    handle = debug.call_soon(int)
    timer = debug.call_later(1, int)
    for h in (handle, timer):
        assert h._source_traceback[-1].name == "test_source_traceback_of_future_task_and_handle"
        assert h._source_traceback[-1].filename == __file__
        h.cancel()
    debug.run_until_complete(task)
    assert "created at" in repr(future)


def test_source_traceback_is_absent_without_debug(loop):
    handle = loop.call_soon(int)
    assert handle._source_traceback is None
    assert "created at" not in repr(handle)


def test_never_awaited_names_the_origin(debug):
    async def forgotten():
        pass

    async def main():
        forgotten()
        gc.collect()

    with pytest.warns(RuntimeWarning, match="was never awaited") as caught:
        debug.run_until_complete(main())
    assert "Coroutine created at (most recent call last)" in str(caught[0].message)
    assert __file__ in str(caught[0].message)


def test_never_awaited_without_debug(loop):
    async def forgotten():
        pass

    async def main():
        forgotten()
        gc.collect()

    with pytest.warns(RuntimeWarning, match="forgotten' was never awaited"):
        loop.run_until_complete(main())


def test_pending_task_destroyed_tells_its_source(debug, expect_log):
    expect_log("^Task was destroyed but it is pending!")

    async def forever():
        await debug.create_future()

    def lose():
        debug.create_task(forever(), name="lost task")

    lose()
    debug.run_until_complete(support.settle())
    gc.collect()
    (record,) = expect_log.matching("destroyed")
    assert "source_traceback: Object created at (most recent call last):" in record.getMessage()
    assert "in lose" in record.getMessage()
    assert "lost task" in record.getMessage()


def test_exception_of_a_callback_tells_its_source(debug, expect_log):
    expect_log("^Exception in callback ")

    def bad():
        raise ValueError

    def arrange():
        debug.call_soon(bad)

    arrange()
    debug.run_until_complete(support.settle())
    (record,) = expect_log.matching("Exception in callback")
    assert "source_traceback: Object created at" in record.getMessage()
    assert "in arrange" in record.getMessage()


def test_transport_repr_in_debug(debug):
    async def main():
        async with support.connected() as (transport, _, _peer):
            assert re.search(r"<.*fd=\d+ read=polling write=<idle, bufsize=0>>", repr(transport))

    debug.run_until_complete(main())


def test_whole_io_in_debug(debug):
    """Nothing in the net layer trips over the checks."""

    async def main():
        async with support.pair() as (client, server):
            client.transport.write(b"x" * 200_000)
            assert len(await server.received(200_000)) == 200_000
            server.transport.writelines([b"a" * 1000] * 100)
            await client.received(100_000)
            client.transport.close()
            await server.gone()

    debug.run_until_complete(main())


def test_environment_switches_debug_on(loop_name):
    out = support.script(
        loop_name,
        "loop = new_loop()\nprint(loop.get_debug())\nloop.close()",
        env={"PYTHONASYNCIODEBUG": "1"},
    )
    assert out == "True\n"
    out = support.script(
        loop_name,
        "loop = new_loop()\nprint(loop.get_debug())\nloop.close()",
        options=("-X", "dev", "-W", "error"),
    )
    assert out == "True\n"


def test_io_poll_time_is_only_a_debug_record(debug, expect_log):
    logger = logging.getLogger("asyncio")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        debug.run_until_complete(asyncio.sleep(0.01))
    finally:
        logger.setLevel(level)
    assert all(r.levelno <= logging.INFO for r in expect_log.records)


def test_executor_callback_check_in_debug(debug):
    async def main():
        return await debug.run_in_executor(None, lambda: 5)

    assert debug.run_until_complete(main()) == 5
