"""set_exception_handler, call_exception_handler and default_exception_handler."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging

import pytest
import support

VAR: contextvars.ContextVar[str] = contextvars.ContextVar("VAR", default="unset")


def boom():
    raise ZeroDivisionError("boom")


def drain(loop):
    loop.run_until_complete(support.settle())


def test_default_handler_logs(loop, expect_log):
    expect_log("^Exception in callback boom")
    handle = loop.call_soon(boom)
    drain(loop)
    (record,) = expect_log.matching("Exception in callback")
    assert record.levelno == logging.ERROR
    assert record.exc_info[0] is ZeroDivisionError
    assert "handle: <Handle boom" in record.getMessage()
    del handle


def test_default_handler_logs_source_traceback_in_debug(loop, expect_log):
    expect_log("^Exception in callback boom")
    loop.set_debug(True)
    loop.call_soon(boom)
    drain(loop)
    (record,) = expect_log.matching("Exception in callback")
    assert "Object created at (most recent call last):" in record.getMessage()
    assert __file__ in record.getMessage()


def test_handler_gets_loop_and_context(loop):
    calls = []
    loop.set_exception_handler(lambda *args: calls.append(args))
    handle = loop.call_soon(boom)
    drain(loop)
    ((got_loop, context),) = calls
    assert got_loop is loop
    assert set(context) >= {"message", "exception", "handle"}
    assert context["handle"] is handle
    assert type(context["exception"]) is ZeroDivisionError
    assert context["exception"].__traceback__ is not None


def test_get_and_reset(loop, expect_log):
    def handler(loop, context):
        pass

    assert loop.get_exception_handler() is None
    loop.set_exception_handler(handler)
    assert loop.get_exception_handler() is handler
    loop.set_exception_handler(None)
    assert loop.get_exception_handler() is None
    expect_log("boom")
    loop.call_soon(boom)
    drain(loop)


def test_handler_must_be_callable(loop):
    with pytest.raises(TypeError, match="A callable object or None is expected"):
        loop.set_exception_handler("not callable")
    assert loop.get_exception_handler() is None


def test_broken_handler(loop, expect_log):
    expect_log("^Unhandled error in exception handler")

    def handler(loop, context):
        raise AttributeError("broken handler")

    seen = []
    loop.set_exception_handler(handler)
    loop.call_soon(boom)
    loop.call_soon(seen.append, 1)
    drain(loop)
    assert seen == [1]
    (record,) = expect_log.matching("Unhandled error in exception handler")
    assert record.exc_info[0] is AttributeError


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_handler_may_leave_the_loop(loop, kind):
    def handler(loop, context):
        raise kind

    loop.set_exception_handler(handler)
    loop.call_soon(boom)
    with pytest.raises(kind):
        loop.run_forever()
    loop.set_exception_handler(None)
    assert loop.run_until_complete(asyncio.sleep(0, 1)) == 1


def test_default_handler_can_be_called_by_the_own_one(loop, expect_log):
    expect_log("Exception in callback boom")
    loop.set_exception_handler(lambda loop, context: loop.default_exception_handler(context))
    loop.call_soon(boom)
    drain(loop)


def test_overridden_default_handler(loop_factory):
    kind = type(probe := loop_factory())
    probe.close()
    seen = []

    class Sub(kind):
        def default_exception_handler(self, context):
            seen.append(context)

    loop = Sub()
    loop.call_soon(boom)
    drain(loop)
    support.finish(loop)
    assert "boom" in seen[0]["message"]


def test_overridden_call_exception_handler(loop_factory):
    kind = type(probe := loop_factory())
    probe.close()
    seen = []

    class Sub(kind):
        def call_exception_handler(self, context):
            seen.append(context)

    loop = Sub()
    loop.call_soon(boom)
    drain(loop)
    support.finish(loop)
    assert "boom" in seen[0]["message"]


def test_called_by_hand(loop, contexts, expect_log):
    loop.call_exception_handler({"message": "mine", "extra": 1})
    assert contexts == [{"message": "mine", "extra": 1}]
    loop.set_exception_handler(None)
    expect_log("^by hand")
    loop.call_exception_handler({"message": "by hand", "extra": "shown"})
    (record,) = expect_log.matching("by hand")
    assert "extra: 'shown'" in record.getMessage()


def test_empty_context_is_logged_too(loop, expect_log):
    expect_log("Unhandled exception in event loop")
    loop.call_exception_handler({})


def test_task_and_future_contexts(loop, contexts):
    async def bad():
        boom()

    loop.create_task(bad())
    loop.create_future().set_exception(ValueError("never seen"))
    drain(loop)
    gc.collect()
    drain(loop)
    messages = sorted(c["message"] for c in contexts)
    assert messages == [
        "Future exception was never retrieved",
        "Task exception was never retrieved",
    ]
    assert {"future", "exception", "message"} <= set(contexts[0])
    contexts.clear()


def test_exception_in_done_callback(loop, contexts):
    future = loop.create_future()
    future.add_done_callback(lambda f: boom())
    future.set_result(1)
    drain(loop)
    assert type(contexts[0]["exception"]) is ZeroDivisionError


@pytest.mark.parametrize("kind", [asyncio.CancelledError, GeneratorExit, BaseException])
def test_other_base_exceptions_stay_in_the_loop(loop, contexts, kind):
    def bad():
        raise kind("odd")

    seen = []
    loop.call_soon(bad)
    loop.call_later(0, bad)
    loop.call_soon(seen.append, 1)
    loop.run_until_complete(asyncio.sleep(0.01))
    assert seen == [1]
    assert [type(c["exception"]) for c in contexts] == [kind, kind]


@pytest.mark.skipif(support.PY < (3, 12), reason="the handler runs in the context since 3.12")
def test_handler_runs_in_the_handles_context(loop):
    seen = []
    loop.set_exception_handler(lambda loop, context: seen.append(VAR.get()))
    context = contextvars.copy_context()
    context.run(VAR.set, "of the handle")
    loop.call_soon(boom, context=context)
    drain(loop)
    assert seen in (["of the handle"], ["unset"])


def test_no_reference_is_kept_to_the_exception(loop):
    import weakref

    class Mine(Exception):
        pass

    refs = []

    def bad():
        error = Mine()
        refs.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    loop.set_exception_handler(lambda loop, context: None)
    loop.call_soon(bad)
    drain(loop)
    gc.collect()
    assert refs[0]() is None


def test_error_with_a_broken_repr(loop, expect_log):
    class Bad:
        def __repr__(self):
            raise RuntimeError("no repr")

        def __call__(self):
            raise ValueError("called")

    seen = []
    loop.set_exception_handler(lambda loop, context: seen.append(context["exception"]))
    loop.call_soon(Bad())
    seen2 = []
    loop.call_soon(seen2.append, 1)
    try:
        drain(loop)
    except RuntimeError:
        drain(loop)  # asyncio: making the message raises out of the loop
    assert seen2 == [1]
