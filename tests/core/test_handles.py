"""Handle and TimerHandle as objects."""

from __future__ import annotations

import asyncio
import copy
import gc
import warnings
import weakref

import pytest
import support


def noop(*args):
    pass


def test_timer_handle_type(loop):
    timer = loop.call_later(1, noop)
    assert isinstance(timer, asyncio.TimerHandle)
    assert isinstance(timer, asyncio.Handle)
    timer.cancel()


def test_call_later_zero_still_has_when(loop):
    timer = loop.call_later(0, noop)
    assert isinstance(timer, asyncio.TimerHandle)
    assert timer.when() <= loop.time()
    timer.cancel()


def test_when(loop):
    assert loop.call_at(12.5, noop).when() == 12.5
    before = loop.time()
    timer = loop.call_later(10, noop)
    assert before + 10 <= timer.when() <= loop.time() + 10
    timer.cancel()
    assert before + 10 <= timer.when() <= loop.time() + 10
    assert loop.call_at(3, noop).when() == 3


def test_cancel_twice(loop):
    for handle in (loop.call_soon(noop), loop.call_later(1, noop)):
        assert handle.cancelled() is False
        assert handle.cancel() is None
        assert handle.cancelled() is True
        assert handle.cancel() is None
        assert handle.cancelled() is True


def test_cancel_after_it_ran(loop):
    handle = loop.call_soon(noop, 1)
    timer = loop.call_later(0, noop, 1)
    loop.run_until_complete(asyncio.sleep(0.005))
    assert not handle.cancelled()
    assert not timer.cancelled()
    handle.cancel()
    timer.cancel()
    assert handle.cancelled()
    assert timer.cancelled()


def test_cancel_after_the_loop_is_closed(loop_factory):
    loop = loop_factory()
    handle, timer = loop.call_soon(noop, 1), loop.call_later(5, noop, 1)
    loop.close()
    handle.cancel()
    timer.cancel()
    assert handle.cancelled()
    assert timer.cancelled()


def test_handles_outlive_their_loop(loop_factory):
    loop = loop_factory()
    handle, timer = loop.call_soon(noop, 1), loop.call_later(5, noop, 1)
    loop.close()
    del loop
    gc.collect()
    assert "Handle" in repr(handle)
    assert timer.when() > 0
    del handle, timer


def test_handle_repr(loop):
    handle = loop.call_soon(noop)
    assert repr(handle).startswith("<Handle ")
    assert "noop(" in repr(handle)
    assert "cancelled" not in repr(handle)
    handle.cancel()
    assert repr(handle) == "<Handle cancelled>"


def test_timer_repr(loop):
    timer = loop.call_at(123, noop)
    assert repr(timer).startswith(("<TimerHandle when=123 ", "<TimerHandle when=123.0 "))
    assert "noop(" in repr(timer)
    timer.cancel()
    assert repr(timer).startswith("<TimerHandle cancelled when=123")


def test_debug_repr(loop):
    loop.set_debug(True)
    handle = loop.call_soon(noop, 1, "a")
    timer = loop.call_at(123, noop, 2)
    for h, args in ((handle, "noop(1, 'a')"), (timer, "noop(2)")):
        text = repr(h)
        assert args in text
        assert f"created at {__file__}:" in text
        h.cancel()
        text = repr(h)
        assert "cancelled" in text
        # after cancel() the text it had is kept for debugging
        assert args in text
        assert "created at" in text


def test_repr_of_a_method_and_a_partial(loop):
    import functools

    class Thing:
        def method(self):
            pass

    a = loop.call_soon(Thing().method)
    b = loop.call_soon(functools.partial(noop, 1))
    assert "Thing.method" in repr(a)
    assert "noop(" in repr(b)
    a.cancel()
    b.cancel()


def test_timer_ordering(loop):
    a, b, c = (loop.call_at(t, noop) for t in (100, 200, 200))
    assert a < b
    assert b > a
    assert a <= b
    assert b >= a
    assert a <= a
    assert sorted([c, a]) == [a, c]
    assert not b < c
    assert not b > c
    for other in (1, "x", None, loop.call_soon(noop)):
        with pytest.raises(TypeError):
            assert a < other
        with pytest.raises(TypeError):
            assert a >= other


def test_timer_equality(loop):
    a, b = loop.call_at(100, noop, 1), loop.call_at(100, noop, 1)
    c, d = loop.call_at(101, noop, 1), loop.call_at(100, noop, 2)
    assert a == b
    assert not a != b
    assert a != c
    assert a != d
    assert a <= b
    assert a >= b
    assert a != 1
    assert (a == object()) is False
    b.cancel()
    assert a != b


def test_timer_hash(loop):
    a, b = loop.call_at(100, noop, 1), loop.call_at(100, noop, 2)
    assert hash(a) == hash(100)
    assert hash(a) == hash(b)
    assert len({a, b}) == 2
    assert hash(a) == hash(a)


def test_handle_equality_is_identity(loop):
    a, b = loop.call_soon(noop), loop.call_soon(noop)
    assert a == a
    assert a != b
    assert len({a, b}) == 2


def test_attributes_that_libraries_read(loop):
    timer = loop.call_at(100, noop, 1)
    assert timer._when == 100
    assert timer._cancelled is False
    assert timer._callback is noop
    assert timer._args == (1,)
    timer.cancel()
    assert timer._cancelled is True
    assert timer._callback is None
    assert timer._args is None
    handle = loop.call_soon(noop, 1, 2, 3, 4, 5)
    assert handle._callback is noop
    assert handle._args == (1, 2, 3, 4, 5)
    assert handle._loop is loop
    assert handle._source_traceback is None


def test_weak_references(loop):
    handle, timer = loop.call_soon(noop), loop.call_later(100, noop)
    refs = [weakref.ref(handle), weakref.ref(timer)]
    assert [r() for r in refs] == [handle, timer]
    handle.cancel()
    timer.cancel()
    del handle, timer
    loop.run_until_complete(support.settle())
    gc.collect()
    assert refs[0]() is None


def test_a_cycle_through_a_handle_is_collected(loop_factory):
    loop = loop_factory()

    class Thing:
        pass

    thing = Thing()
    thing.handle = loop.call_soon(noop, thing)
    thing.timer = loop.call_later(1000, noop, thing)
    ref = weakref.ref(thing)
    loop.close()
    del thing, loop
    gc.collect()
    assert ref() is None


@pytest.mark.parametrize("way", ["run", "raised", "taken", "popped"])
def test_a_handle_that_left_the_queue_is_collected(loop, way):
    """The collector need not know a handle while the loop has it, but afterwards."""

    class Thing:
        def run(self):
            if way == "raised":
                raise ZeroDivisionError

    thing = Thing()
    thing.handle = loop.call_soon(thing.run)
    ref = weakref.ref(thing)
    del thing
    gc.collect()
    assert ref() is not None
    loop.set_exception_handler(lambda loop, context: None)
    if way == "taken":
        taken = [handle for handle in loop._ready if handle._callback.__func__ is Thing.run]
        assert len(taken) == 1
        del taken
    if way == "popped":
        kept = loop._ready.popleft()
        assert kept is ref().handle
        del kept
    loop.run_until_complete(support.settle())
    gc.collect()
    assert ref() is None


def test_a_loop_dropped_with_callbacks_waiting_is_collected(loop_factory):
    class Thing:
        def run(self, loop):
            pass

    loop, thing = loop_factory(), Thing()
    loop.call_soon(thing.run, loop)
    loop.call_soon(thing.run, loop)
    thing.loop = loop
    refs = [weakref.ref(thing), weakref.ref(loop)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del loop, thing
        gc.collect()
        gc.collect()
    assert [ref() for ref in refs] == [None, None]


def test_a_cancelled_handle_kept_for_long_holds_nothing(loop):
    class Thing:
        pass

    things = [Thing() for _ in range(5)]
    refs = [weakref.ref(t) for t in things]
    handle = loop.call_later(1000, noop, *things)
    del things
    handle.cancel()
    gc.collect()
    assert [r() for r in refs] == [None] * 5


def test_handles_are_not_copied_nor_made_by_hand_wrongly(loop):
    handle = loop.call_soon(noop)
    with pytest.raises((TypeError, AttributeError, NotImplementedError)):
        type(handle)(1, 2, 3, 4, 5, 6, 7, 8)
    try:
        again = copy.copy(handle)
    except TypeError:
        pass
    else:
        again.cancel()
    handle.cancel()


def test_asyncio_classes_still_work_on_the_loop(loop):
    """asyncio.Handle made by hand, as tests and libraries do."""
    seen = []
    handle = asyncio.Handle(seen.append, (1,), loop)
    handle._run()
    assert seen == [1]
    timer = asyncio.TimerHandle(5, seen.append, (1,), loop)
    assert timer.when() == 5
    assert "when=5" in repr(timer)
