"""call_soon and call_soon_threadsafe: order, arguments, contexts, and misuse."""

from __future__ import annotations

import asyncio
import contextvars
import os
import socket
import sys
import threading
import time
import weakref
from unittest import mock

import pytest
import support

VAR: contextvars.ContextVar[str] = contextvars.ContextVar("VAR", default="unset")


def drain(loop):
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_runs_in_order(loop):
    seen = []
    for i in range(1000):
        loop.call_soon(seen.append, i)
    drain(loop)
    assert seen == list(range(1000))


@pytest.mark.parametrize("count", range(8))
@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe", "call_later", "call_at"])
def test_argument_counts(loop, method, count):
    seen = []
    args = tuple(object() for _ in range(count))
    when = {"call_later": (0,), "call_at": (loop.time(),)}.get(method, ())
    getattr(loop, method)(*when, lambda *got: seen.append(got), *args)
    loop.call_later(0.005, loop.stop)
    loop.run_forever()
    assert seen == [args]


def test_many_arguments(loop):
    seen = []
    args = tuple(range(300))
    loop.call_soon(lambda *got: seen.append(got), *args)
    drain(loop)
    assert seen == [args]


def test_returns_a_handle(loop):
    handle = loop.call_soon(print)
    assert isinstance(handle, asyncio.Handle)
    assert not isinstance(handle, asyncio.TimerHandle)
    handle.cancel()
    threadsafe = loop.call_soon_threadsafe(print)
    assert isinstance(threadsafe, asyncio.Handle)
    threadsafe.cancel()


def test_callbacks_of_a_callback_run_in_the_next_turn(loop):
    seen = []

    def first():
        seen.append("first")
        loop.call_soon(seen.append, "third")

    loop.call_soon(first)
    loop.call_soon(seen.append, "second")
    loop.run_until_complete(support.settle())
    assert seen == ["first", "second", "third"]


def test_a_turn_ends_although_callbacks_reschedule_themselves(loop):
    # I/O and timers are served between turns, so a callback that never stops cannot starve them.
    a, b = socket.socketpair()
    turns = 0
    stop = []

    def again():
        nonlocal turns
        turns += 1
        if not stop:
            loop.call_soon(again)

    def ready():
        stop.append("io")
        loop.remove_reader(a)
        loop.stop()

    loop.add_reader(a, ready)
    loop.call_soon(again)
    b.send(b"x")
    loop.call_later(10, loop.stop)
    loop.run_forever()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert stop == ["io"]
    a.close()
    b.close()


def test_timer_served_while_callbacks_reschedule_themselves(loop):
    fired = []

    def again():
        if not fired:
            loop.call_soon(again)

    loop.call_soon(again)
    loop.call_later(0.01, lambda: (fired.append(1), loop.stop()))
    loop.run_forever()
    assert fired


def test_order_of_ready_timers_and_readers(loop):
    """asyncio: first what was ready before the poll, then the readers, then the timers that fell
    due, all in one turn."""
    a, b = socket.socketpair()
    b.send(b"x")
    seen = []
    loop.add_reader(a, lambda: (seen.append("reader"), loop.remove_reader(a)))
    loop.call_at(loop.time() - 1, seen.append, "timer")
    loop.call_soon(seen.append, "soon")
    drain(loop)
    assert seen == ["soon", "reader", "timer"] or seen == ["soon"], seen
    loop.run_until_complete(support.settle())
    assert sorted(seen) == ["reader", "soon", "timer"]
    a.close()
    b.close()


def test_callback_from_reader_runs_after_the_timer_that_is_due(loop):
    a, b = socket.socketpair()
    b.send(b"x")
    seen = []

    def reader():
        seen.append("reader")
        loop.remove_reader(a)
        loop.call_soon(seen.append, "soon of reader")

    loop.add_reader(a, reader)
    loop.call_at(loop.time() - 1, seen.append, "timer")
    loop.run_until_complete(support.settle())
    assert seen == ["reader", "timer", "soon of reader"]
    a.close()
    b.close()


def test_cancel_before_it_runs(loop):
    seen = []
    handle = loop.call_soon(seen.append, 1)
    handle.cancel()
    assert handle.cancelled()
    drain(loop)
    assert seen == []


def test_cancel_in_its_own_callback(loop):
    seen = []

    def callback(*args):
        handle.cancel()
        seen.append(args)

    handle = loop.call_soon(callback, 1, "two")
    drain(loop)
    assert seen == [(1, "two")]
    assert handle.cancelled()


def test_cancel_one_of_the_same_turn(loop):
    seen = []
    loop.call_soon(lambda: second.cancel())
    second = loop.call_soon(seen.append, 1)
    drain(loop)
    assert seen == []


def test_cancel_drops_callback_and_arguments(loop):
    class Thing:
        def __call__(self, other):
            pass

    thing, other = Thing(), Thing()
    refs = [weakref.ref(thing), weakref.ref(other)]
    handle = loop.call_soon(thing, other)
    del thing, other
    handle.cancel()
    support.collect()
    assert [r() for r in refs] == [None, None]
    drain(loop)


def test_run_handle_lets_go_of_its_arguments(loop):
    class Thing:
        pass

    thing = Thing()
    ref = weakref.ref(thing)
    loop.call_soon(lambda _: None, thing)
    del thing
    drain(loop)
    support.collect()
    assert ref() is None


def test_exception_goes_to_the_handler_and_the_rest_runs(loop, contexts):
    seen = []

    def bad():
        raise ValueError("boom")

    loop.call_soon(bad)
    loop.call_soon(seen.append, 1)
    drain(loop)
    assert seen == [1]
    assert len(contexts) == 1
    assert str(contexts[0]["exception"]) == "boom"
    assert isinstance(contexts[0]["handle"], asyncio.Handle)
    assert "bad" in contexts[0]["message"]
    assert contexts[0]["message"].startswith("Exception in callback ")


# -- keywords and misuse ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda loop: loop.call_soon(),
        lambda loop: loop.call_soon(callback=None, nonsense=1),
        lambda loop: loop.call_soon(print, nonsense=1),
        lambda loop: loop.call_soon(print, context=None, other=None),
        lambda loop: loop.call_soon_threadsafe(),
        lambda loop: loop.call_soon_threadsafe(print, nonsense=1),
        lambda loop: loop.call_later(),
        lambda loop: loop.call_later(1),
        lambda loop: loop.call_later("soon", print),
        lambda loop: loop.call_later(print, 1),
        lambda loop: loop.call_later(1, print, nonsense=1),
        lambda loop: loop.call_at(1),
        lambda loop: loop.call_at(1, print, nonsense=1),
        lambda loop: loop.time(1),
        lambda loop: loop.stop(1),
        lambda loop: loop.close(1),
        lambda loop: loop.is_running(1),
        lambda loop: loop.create_future(1),
        lambda loop: loop.create_task(),
        lambda loop: loop.add_reader(),
        lambda loop: loop.add_reader(0),
        lambda loop: loop.remove_reader(),
        lambda loop: loop.set_exception_handler(1),
        lambda loop: loop.set_task_factory(1),
        lambda loop: loop.add_signal_handler(),
        lambda loop: loop.run_until_complete(1),
        lambda loop: loop.run_until_complete(print),
    ],
)
def test_type_errors(loop, call):
    with pytest.raises(TypeError):
        call(loop)


def test_call_at_wants_a_number(loop, loop_name):
    support.oracle_lacks(loop_name, True, "call_at takes anything and breaks the heap later")
    for when in ("now", None, [], 1j):
        with pytest.raises(TypeError, match="when"):
            loop.call_at(when, print)
    loop.run_until_complete(asyncio.sleep(0))


def test_call_later_names_the_argument(loop, loop_name):
    support.oracle_lacks(loop_name, support.PY < (3, 11), "call_later(None) fails in passing")
    with pytest.raises(TypeError, match="delay"):
        loop.call_later(None, print)


def test_callback_by_keyword(loop):
    seen = []
    loop.call_soon(callback=lambda: seen.append("soon"))
    loop.call_soon_threadsafe(callback=lambda: seen.append("threadsafe"))
    loop.call_later(delay=0, callback=lambda: seen.append("later"))
    loop.call_at(when=loop.time(), callback=lambda: seen.append("at"))
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    assert sorted(seen) == ["at", "later", "soon", "threadsafe"]


def test_uncallable_is_reported_when_it_runs(loop, contexts):
    loop.call_soon(42)
    drain(loop)
    assert isinstance(contexts[0]["exception"], TypeError)


def test_debug_refuses_coroutines_and_uncallables(loop):
    async def coro():
        pass

    loop.set_debug(True)
    for method in (
        loop.call_soon,
        loop.call_soon_threadsafe,
        lambda f: loop.call_later(1, f),
        lambda f: loop.call_at(1, f),
    ):
        with pytest.raises(TypeError, match="coroutines cannot be used with"):
            method(coro)
        with pytest.raises(TypeError, match="a callable object was expected by"):
            method(42)
    made = coro()
    with pytest.raises(TypeError, match="coroutines cannot be used with call_soon"):
        loop.call_soon(made)
    made.close()


# -- contexts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe", "call_later", "call_at"])
def test_context_keyword(loop, method):
    context = contextvars.copy_context()
    context.run(VAR.set, "given")
    seen = []
    when = {"call_later": (0,), "call_at": (0,)}.get(method, ())
    getattr(loop, method)(*when, lambda: seen.append(VAR.get()), context=context)
    getattr(loop, method)(*when, lambda: seen.append(VAR.get()), context=None)
    getattr(loop, method)(*when, lambda: seen.append(VAR.get()))
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    assert seen == ["given", "unset", "unset"]


def test_current_context_is_copied(loop):
    seen = []

    def check():
        seen.append(VAR.get())
        VAR.set("inner")

    def main():
        VAR.set("outer")
        loop.call_soon(check)
        VAR.set("later")

    contextvars.copy_context().run(main)
    drain(loop)
    assert seen == ["outer"]
    assert VAR.get() == "unset"


def test_two_callbacks_in_one_context(loop):
    context = contextvars.copy_context()
    seen = []
    loop.call_soon(VAR.set, "set by the first", context=context)
    loop.call_soon(lambda: seen.append(VAR.get()), context=context)
    drain(loop)
    assert seen == ["set by the first"]
    assert context[VAR] == "set by the first"


def test_context_already_entered_is_reported(loop, contexts, expect_log):
    # since 3.12 the exception handler is to run in that context too, and cannot
    expect_log.allow("Unhandled error in exception handler")
    context = contextvars.copy_context()

    def main():
        loop.call_soon(print, context=context)
        drain(loop)

    context.run(main)
    told = [str(c["exception"]) for c in contexts]
    told += [r.getMessage() for r in expect_log.matching("Unhandled error")]
    assert len(told) == 1
    assert "already entered" in told[0]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Handle.get_context came in 3.12")
def test_get_context(loop):
    context = contextvars.copy_context()
    handle = loop.call_soon(print, context=context)
    timer = loop.call_later(1, print, context=context)
    assert handle.get_context() is context
    assert timer.get_context() is context
    other = loop.call_soon(print)
    assert isinstance(other.get_context(), contextvars.Context)
    for h in (handle, timer, other):
        h.cancel()


def test_wrong_context(loop, contexts):
    """asyncio finds out when it runs the callback; an earlier TypeError is as good."""
    try:
        loop.call_soon(print, context=object())
    except TypeError:
        return
    drain(loop)
    assert isinstance(contexts[0]["exception"], AttributeError | TypeError)


# -- call_soon_threadsafe ---------------------------------------------------------------------


def test_threadsafe_wakes_a_sleeping_loop(loop):
    def other():
        time.sleep(0.05)
        loop.call_soon_threadsafe(loop.stop)

    timer = loop.call_later(30, loop.stop)
    start = time.monotonic()
    with support.thread(other):
        loop.run_forever()
    assert time.monotonic() - start < 10
    timer.cancel()


def test_threadsafe_from_many_threads_loses_nothing(loop):
    seen: list[tuple[int, int]] = []
    threads, each = 8, 500
    left = threads * each

    def got(item):
        nonlocal left
        seen.append(item)
        left -= 1
        if not left:
            loop.stop()

    def other(n):
        for i in range(each):
            loop.call_soon_threadsafe(got, (n, i))
            if i % 50 == 0:
                time.sleep(0)

    workers = [threading.Thread(target=other, args=(n,)) for n in range(threads)]
    loop.call_soon(lambda: [w.start() for w in workers])
    loop.run_forever()
    for w in workers:
        w.join()
    for n in range(threads):
        assert [i for m, i in seen if m == n] == list(range(each))


def test_threadsafe_one_at_a_time_is_prompt(loop):
    """Each of many wake-ups of a sleeping loop arrives: none is swallowed by the one before."""
    rounds = 300
    done = threading.Semaphore(0)

    def other():
        for _ in range(rounds):
            loop.call_soon_threadsafe(done.release)
            assert done.acquire(timeout=10)
        loop.call_soon_threadsafe(loop.stop)

    with support.thread(other):
        loop.run_forever()


def test_threadsafe_before_the_loop_runs(loop):
    seen = []
    with support.thread(lambda: loop.call_soon_threadsafe(seen.append, 1)):
        pass
    drain(loop)
    assert seen == [1]


def test_threadsafe_from_the_loop_itself(loop):
    seen = []
    loop.call_soon(lambda: loop.call_soon_threadsafe(seen.append, 1))
    loop.run_until_complete(support.settle())
    assert seen == [1]


def test_threadsafe_comes_before_a_timer_that_is_due_then(loop):
    """What other threads have queued while the loop slept comes before what is due at its end."""
    seen = []
    now = loop.time()
    loop.call_at(now + 1000, seen.append, "timer")
    loop.call_at(now + 1000, loop.stop)

    def other():
        time.sleep(0.02)
        later = mock.patch.object(loop, "time", return_value=now + 2000)
        patches.append(later)
        later.start()
        loop.call_soon_threadsafe(seen.append, "thread")

    patches = []
    with support.thread(other):
        loop.run_forever()
    patches[0].stop()
    assert seen == ["thread", "timer"]


def test_threadsafe_while_closing(loop_factory):
    """Each call either is taken or raises RuntimeError('Event loop is closed'); no crash."""
    for _ in range(30):
        loop = loop_factory()
        ready = threading.Event()
        errors = []

        def other(loop=loop, ready=ready, errors=errors):
            ready.set()
            try:
                while True:
                    loop.call_soon_threadsafe(int)
            except RuntimeError as e:
                errors.append(str(e))

        with support.thread(other):
            ready.wait()
            loop.call_soon(loop.stop)
            loop.run_forever()
            loop.close()
        assert errors == ["Event loop is closed"]


def test_call_soon_from_a_signal_handler_like_interrupt(loop):
    """A pipe reader wakes the loop; call_soon in it runs without another event."""
    r, w = os.pipe()
    seen = []
    loop.add_reader(r, lambda: (os.read(r, 10), loop.call_soon(loop.stop), seen.append(1)))
    with support.thread(lambda: (time.sleep(0.02), os.write(w, b"x"))):
        loop.run_forever()
    assert seen == [1]
    loop.remove_reader(r)
    os.close(r)
    os.close(w)
