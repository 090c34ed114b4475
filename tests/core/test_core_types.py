"""The extension's own types, handled as nobody should: an exception at worst, never a crash."""

from __future__ import annotations

import asyncio
import copy
import gc
import itertools
import pickle

import pytest
import support

pytestmark = pytest.mark.skipif("uvolt" not in support.LOOPS, reason="only of uvolt's own types")

if "uvolt" in support.LOOPS:
    import uvolt
    from uvolt import _core

    TYPES = sorted(
        (t for t in vars(_core).values() if isinstance(t, type)), key=lambda t: t.__name__
    )
else:
    TYPES = []

ODD = [None, 0, -1, "x", b"x", (), [], {}, object(), print, 1.5, 2**70, float("nan")]


@pytest.mark.parametrize("kind", TYPES, ids=lambda t: t.__name__)
def test_constructed_with_anything(kind):
    for count in range(4):
        for args in itertools.islice(itertools.product(ODD, repeat=count), 400):
            try:
                made = kind(*args)
            except (TypeError, ValueError, RuntimeError, OverflowError, AttributeError, OSError):
                continue
            close(made)
            del made
    gc.collect()


# Methods of a loop that wait for events, for as long as it takes.
WAITING = ("run_forever", "run_until_complete", "_run", "_run_once", "_poll")


def close(thing):
    if isinstance(thing, asyncio.AbstractEventLoop):
        thing.close()


def members(thing):
    for name in dir(thing):
        # what would block, or ends the world
        if name in WAITING or name.startswith("__"):
            continue
        yield name


@pytest.mark.parametrize("kind", TYPES, ids=lambda t: t.__name__)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_bare_objects(kind):
    """Made by __new__ alone, if that is allowed; then every method with odd arguments."""
    try:
        bare = kind.__new__(kind)
    except TypeError:
        return
    try:
        for name in members(bare):
            try:
                value = getattr(bare, name)
            except Exception:
                continue
            if not callable(value) or isinstance(value, type):
                continue
            for count in range(4):
                for args in itertools.islice(itertools.product(ODD[:6], repeat=count), 40):
                    try:
                        result = value(*args)
                    except BaseException:
                        continue
                    if asyncio.iscoroutine(result):
                        result.close()
    finally:
        close(bare)
    del bare
    gc.collect()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
def test_every_method_of_a_transport_with_odd_arguments(expect_log):
    expect_log.allow("")
    loop = uvolt.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)

    async def attack(state):
        async with support.connected() as (transport, protocol, peer):
            if state == "paused":
                transport.pause_reading()
            elif state == "writing":
                transport.write(b"x" * 5_000_000)
            elif state == "closing":
                transport.close()
            elif state == "closed":
                transport.close()
                await protocol.gone()
            for name in list(members(transport)):
                value = getattr(transport, name, None)
                if not callable(value) or isinstance(value, type):
                    continue
                for count in range(4):
                    for args in itertools.islice(itertools.product(ODD[:7], repeat=count), 60):
                        try:
                            result = value(*args)
                        except (Exception, SystemExit):
                            continue
                        if asyncio.iscoroutine(result):
                            result.close()
                await asyncio.sleep(0)
            transport.set_protocol(support.Recorder())
            transport.abort()
            await support.settle()

    for state in ("open", "paused", "writing", "closing", "closed"):
        loop.run_until_complete(attack(state))
    support.finish(loop)
    gc.collect()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
def test_every_method_of_a_handle_with_odd_arguments():
    loop = uvolt.new_event_loop()
    for make in (lambda: loop.call_soon(int), lambda: loop.call_later(1, int)):
        for cancelled in (False, True):
            for name in list(members(make())):
                handle = make()
                if cancelled:
                    handle.cancel()
                value = getattr(handle, name, None)
                if not callable(value) or isinstance(value, type):
                    continue
                for count in range(4):
                    for args in itertools.islice(itertools.product(ODD, repeat=count), 60):
                        try:
                            value(*args)
                        except Exception:
                            continue
                handle.cancel()
    support.finish(loop)
    gc.collect()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("state", ["open", "closed"])
def test_every_method_of_a_loop_with_odd_arguments(state, expect_log):
    expect_log.allow("")
    loop = uvolt.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    if state == "closed":
        loop.close()
    for name in list(members(loop)):
        if name in ("set_debug", "close", "_close", *WAITING) or (
            name[0] == "_" and name not in vars(_core.Loop)
        ):
            continue
        value = getattr(loop, name, None)
        if not callable(value) or isinstance(value, type):
            continue
        for count in range(4):
            for args in itertools.islice(itertools.product(ODD, repeat=count), 50):
                try:
                    result = value(*args)
                except (Exception, SystemExit):
                    continue
                if asyncio.iscoroutine(result) or asyncio.isfuture(result):
                    (result.close if asyncio.iscoroutine(result) else result.cancel)()
    loop._default_executor = None
    loop.close()
    del loop, value
    gc.collect()


def test_init_twice():
    loop = uvolt.new_event_loop()
    handle = loop.call_later(10, int)
    try:
        loop.__init__()
    except RuntimeError:
        pass
    loop.run_until_complete(asyncio.sleep(0.001))
    handle.cancel()
    loop.close()


@pytest.mark.parametrize("operation", [copy.copy, copy.deepcopy, pickle.dumps])
def test_not_copied_nor_pickled(operation):
    loop = uvolt.new_event_loop()

    async def main():
        async with support.connected() as (transport, _, _peer):
            for thing in (loop, transport, loop.call_soon(int), loop.call_later(1, int)):
                try:
                    made = operation(thing)
                except (TypeError, pickle.PicklingError, AttributeError, RuntimeError):
                    continue
                pytest.fail(f"{operation.__name__} of {type(thing).__name__} gave {made!r}")

    loop.run_until_complete(main())
    support.finish(loop)


def test_exports_are_typed():
    counters = _core.counters()
    assert counters and all(type(v) is int for v in counters.values())
    with pytest.raises(TypeError):
        _core.counters(1)
