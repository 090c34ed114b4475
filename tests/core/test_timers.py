"""call_later and call_at: deadlines, order, odd numbers, and what many of them cost."""

from __future__ import annotations

import asyncio
import math
import random
import time
import weakref
from unittest import mock

import pytest
import support


def test_time_is_monotonic_time(loop):
    for _ in range(100):
        before = time.monotonic()
        now = loop.time()
        after = time.monotonic()
        assert before - 1e-6 <= now <= after + 1e-6
        assert type(now) is float


def test_time_moves_within_a_callback(loop):
    seen = []

    def callback():
        a = loop.time()
        time.sleep(0.01)
        seen.append(loop.time() - a)

    loop.call_soon(callback)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen[0] >= 0.009


def test_never_early(loop):
    """Not even by the resolution of the poll's milliseconds."""
    late = []
    for delay in (0.0001, 0.0005, 0.001, 0.0014, 0.0019, 0.003, 0.0071):
        for _ in range(10):
            when = loop.time() + delay
            loop.call_at(when, lambda when=when: (late.append(loop.time() - when), loop.stop()))
            loop.run_forever()
    assert len(late) == 70
    # asyncio may run a timer up to its clock's resolution (1 ns here) early
    assert min(late) >= -1e-8


def test_asyncio_sleep_never_early(loop):
    async def main():
        for delay in (0.001, 0.0025, 0.01):
            start = time.monotonic()
            await asyncio.sleep(delay)
            assert time.monotonic() - start >= delay - 1e-8

    loop.run_until_complete(main())


def test_deadline_order(loop):
    now = loop.time()
    seen = []
    delays = [n / 100_000 for n in range(500)]
    random.Random(1).shuffle(delays)
    for delay in delays:
        loop.call_at(now + delay, seen.append, delay)
    loop.call_at(now + 0.02, loop.stop)
    loop.run_forever()
    assert seen == sorted(delays)


def test_deadline_order_below_a_millisecond(loop):
    now = loop.time() + 0.01
    seen = []
    for n in (5, 3, 9, 1, 7):
        loop.call_at(now + n * 1e-6, seen.append, n)
    loop.call_at(now + 0.005, loop.stop)
    loop.run_forever()
    assert seen == [1, 3, 5, 7, 9]


def test_equal_deadlines_all_run_once(loop):
    """asyncio's heap does not promise an order among equals; each runs exactly once."""
    when = loop.time() + 0.005
    seen = []
    for n in range(1000):
        loop.call_at(when, seen.append, n)
    loop.call_at(when + 0.005, loop.stop)
    loop.run_forever()
    assert sorted(seen) == list(range(1000))


def test_equal_deadlines_few_are_in_order_on_uvolt(loop, loop_name):
    support.oracle_lacks(loop_name, True, "a heap without a sequence number keeps no order")
    when = loop.time() + 0.005
    seen = []
    for n in range(1000):
        loop.call_at(when, seen.append, n)
    loop.call_at(when + 0.005, loop.stop)
    loop.run_forever()
    assert seen == list(range(1000))


@pytest.mark.parametrize("delay", [-1, -1e18, -math.inf, 0, 0.0, -0.0, False])
def test_now_or_in_the_past(loop, delay):
    seen = []
    loop.call_later(delay, seen.append, 1)
    loop.run_until_complete(asyncio.sleep(0.005))
    assert seen == [1]


@pytest.mark.parametrize("delay", [1e9, 1e18, 1e300, math.inf, 2**70, 10**30])
def test_far_in_the_future(loop, delay):
    seen = []
    timer = loop.call_later(delay, seen.append, 1)
    assert timer.when() == loop.time() + delay or abs(timer.when() - loop.time() - delay) < 1
    loop.call_later(0.02, loop.stop)
    loop.run_forever()
    assert seen == []
    timer.cancel()
    loop.run_until_complete(support.settle())


def test_infinite_timer_alone_does_not_spin(loop):
    loop.call_later(math.inf, print)
    start = time.process_time()

    def other():
        time.sleep(0.2)
        loop.call_soon_threadsafe(loop.stop)

    with support.thread(other):
        loop.run_forever()
    assert time.process_time() - start < 0.15 * support.SLOW


def test_nan_never_blocks_the_loop(loop):
    """asyncio takes NaN and never runs it; a ValueError is as good. Nothing else suffers."""
    seen = []
    try:
        loop.call_later(math.nan, seen.append, "nan")
    except ValueError:
        pass
    for n in range(20):
        loop.call_later(n / 1000, seen.append, n)
    loop.call_soon(seen.append, "soon")
    loop.call_soon_threadsafe(lambda: None)
    loop.run_until_complete(support.settle())
    assert "soon" in seen


def test_call_later_none_is_refused(loop, loop_name):
    support.oracle_lacks(loop_name, support.PY < (3, 11), "call_at(None) is an AssertionError")
    with pytest.raises(TypeError):
        loop.call_later(None, print)
    with pytest.raises(TypeError):
        loop.call_at(None, print)


def test_timeout_of_inf(loop):
    async def main():
        assert await asyncio.wait_for(asyncio.sleep(0.001, "done"), math.inf) == "done"

    loop.run_until_complete(main())


def test_cancel_from_another_timer_that_is_due(loop):
    seen = []
    now = loop.time()

    def first():
        seen.append("first")
        second.cancel()

    loop.call_at(now - 2, first)
    second = loop.call_at(now - 1, seen.append, "second")
    loop.run_until_complete(asyncio.sleep(0.005))
    assert seen == ["first"]


def test_cancel_in_its_own_callback(loop):
    seen = []

    def callback(n):
        timer.cancel()
        seen.append(n)

    timer = loop.call_later(0.001, callback, 5)
    loop.run_until_complete(asyncio.sleep(0.01))
    assert seen == [5]


def test_timer_from_a_timer_runs_in_a_later_turn(loop):
    seen = []

    def outer():
        seen.append("outer")
        loop.call_at(loop.time() - 1, seen.append, "inner")
        loop.call_soon(seen.append, "soon")

    loop.call_later(0, outer)
    loop.run_until_complete(asyncio.sleep(0.005))
    assert seen[0] == "outer"
    assert sorted(seen) == ["inner", "outer", "soon"]


def test_periodic(loop):
    ticks = []

    def tick():
        ticks.append(loop.time())
        if len(ticks) == 20:
            loop.stop()
        else:
            loop.call_at(ticks[0] + len(ticks) * 0.002, tick)

    loop.call_soon(tick)
    loop.run_forever()
    assert len(ticks) == 20
    for n, t in enumerate(ticks):
        assert t >= ticks[0] + n * 0.002 - 1e-8


def test_earlier_timer_added_while_sleeping_from_thread(loop):
    """The poll's time-out is shortened when a sooner timer comes in."""
    start = time.monotonic()
    far = loop.call_later(30, loop.stop)

    def other():
        time.sleep(0.02)
        loop.call_soon_threadsafe(loop.call_later, 0.02, loop.stop)

    with support.thread(other):
        loop.run_forever()
    assert time.monotonic() - start < 10
    far.cancel()


def test_cancelled_nearest_timer_does_not_end_the_sleep_of_others(loop):
    seen = []
    near = loop.call_later(0.005, seen.append, "near")
    loop.call_later(0.02, lambda: (seen.append("far"), loop.stop()))
    loop.call_soon(near.cancel)
    loop.run_forever()
    assert seen == ["far"]


def test_cancelled_timers_give_their_memory_back(loop):
    class Thing:
        pass

    refs = []
    keep = loop.call_later(1000, print)

    async def main():
        for _ in range(100):
            batch = []
            for _ in range(1000):
                thing = Thing()
                refs.append(weakref.ref(thing))
                batch.append(loop.call_later(500, print, thing))
            for timer in batch:
                timer.cancel()
            del batch, timer, thing
            await asyncio.sleep(0)

    before = support.counters().get("handles_alive", 0)
    loop.run_until_complete(main())
    loop.run_until_complete(support.settle())
    assert not any(r() for r in refs)
    assert support.counters().get("handles_alive", 0) - before < 1000
    keep.cancel()


def test_cancelled_timers_all_at_once(loop):
    timers = [loop.call_later(500 + n % 7, print, n) for n in range(100_000)]
    for timer in timers:
        timer.cancel()
    del timers, timer
    loop.run_until_complete(support.settle())
    support.collect()
    if support.counters():
        assert support.counters()["handles_alive"] < 50_000


def test_random_cancels_leave_the_right_ones(loop):
    rng = random.Random(7)
    now = loop.time()
    seen, expected = [], []
    timers = []
    for n in range(3000):
        when = now + rng.randrange(200) / 10_000
        timers.append((when, n, loop.call_at(when, seen.append, n)))
    rng.shuffle(timers)
    for i, (when, n, timer) in enumerate(timers):
        if i % 3:
            timer.cancel()
        else:
            expected.append((when, n))
    loop.call_at(now + 0.05, loop.stop)
    loop.run_forever()
    assert sorted(seen) == sorted(n for _, n in expected)
    whens = dict((n, when) for when, n in expected)
    assert [whens[n] for n in seen] == sorted(whens.values())


def test_close_with_timers_left(loop_factory):
    class Thing:
        pass

    loop = loop_factory()
    thing = Thing()
    ref = weakref.ref(thing)
    loop.call_later(100, print, thing)
    loop.call_soon(print, thing)
    del thing
    loop.close()
    del loop
    support.collect()
    assert ref() is None


def test_exception_in_a_timer(loop, contexts):
    def bad():
        raise ValueError("boom")

    seen = []
    now = loop.time()
    loop.call_at(now - 2, bad)
    loop.call_at(now - 1, seen.append, 1)
    loop.run_until_complete(asyncio.sleep(0.005))
    assert seen == [1]
    assert isinstance(contexts[0]["handle"], asyncio.TimerHandle)
    assert str(contexts[0]["exception"]) == "boom"


# ---- a clock of the program's ----------------------------------------------------------------


def test_timers_go_by_a_replaced_time(loop):
    """As test helpers move the clock, or stop it."""
    now = loop.time()
    seen = []
    loop.call_later(1000, seen.append, "before")

    async def main():
        with mock.patch.object(loop, "time", return_value=now) as clock:
            loop.call_later(3000, seen.append, "meanwhile")
            for ahead, expected in (
                (999, []),
                (1001, ["before"]),
                (2999, ["before"]),
                (3000, ["before", "meanwhile"]),
            ):
                clock.return_value = now + ahead
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert seen == expected
        start = time.monotonic()
        await asyncio.sleep(0.01)  # the system's clock again
        assert time.monotonic() - start >= 0.01 - 1e-8

    loop.run_until_complete(main())


def test_a_clock_of_a_subclass(loop_factory):
    """One that began at another time: deadlines are its, waiting takes as long as ever."""
    plain = loop_factory()
    plain.close()

    class Late(type(plain)):
        def time(self):
            return super().time() - 5000

    loop = Late()
    try:
        timer = loop.call_later(0.05, loop.stop)
        assert timer.when() < time.monotonic() - 4000
        for wait in (0.05, 0.02):
            start = time.monotonic()
            loop.run_forever()
            assert wait - 1e-3 < time.monotonic() - start < 5
            loop.call_later(0.02, loop.stop)
        loop.run_forever()
    finally:
        support.finish(loop)


def test_a_class_gets_another_clock(loop):
    """It counts from the next run on at the latest."""
    now = loop.time()
    seen = []
    loop.call_later(1000, seen.append, 1)
    with mock.patch.object(type(loop), "time", lambda self: now + 2000):
        loop.run_until_complete(support.settle())
    assert seen == [1]


@pytest.mark.parametrize("bad", [ValueError, None])
def test_a_clock_that_fails_ends_the_run(loop, bad):
    timer = loop.call_later(1000, print)
    with mock.patch.object(loop, "time", side_effect=bad, return_value="late"):
        with pytest.raises(TypeError if bad is None else ValueError):
            loop.call_later(1, print)
        with pytest.raises(TypeError if bad is None else ValueError):
            loop.run_forever()
    timer.cancel()
    loop.run_until_complete(asyncio.sleep(0.001))


@pytest.mark.parametrize("when", [5, 5.0, -7, 10**15, True])
def test_when_is_what_call_at_was_given(loop, when):
    timer = loop.call_at(when, print)
    assert timer.when() == timer._when == when
    if type(when) is not bool:
        assert type(timer.when()) is type(timer._when) is type(when)
    assert hash(timer) == hash(when)
    timer.cancel()
