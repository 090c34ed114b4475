"""run_in_executor, set_default_executor, shutdown_default_executor."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import sys
import threading
import time
import weakref

import pytest
import support


def test_runs_in_another_thread(loop):
    async def main():
        return await loop.run_in_executor(None, threading.get_ident)

    assert loop.run_until_complete(main()) != threading.get_ident()


def test_arguments_and_exceptions(loop):
    def work(a, b):
        if b == 0:
            raise ValueError("zero")
        return a // b

    async def main():
        assert await loop.run_in_executor(None, work, 6, 3) == 2
        with pytest.raises(ValueError, match="zero"):
            await loop.run_in_executor(None, work, 6, 0)
        with pytest.raises(TypeError):
            await loop.run_in_executor(None, work)

    loop.run_until_complete(main())


def test_in_parallel(loop):
    barrier = threading.Barrier(4)

    async def main():
        return await asyncio.gather(
            *(loop.run_in_executor(None, barrier.wait, 10) for _ in range(4))
        )

    assert sorted(loop.run_until_complete(main())) == [0, 1, 2, 3]


def test_many_results(loop):
    async def main():
        futures = [loop.run_in_executor(None, int, n) for n in range(500)]
        assert await asyncio.gather(*futures) == list(range(500))

    loop.run_until_complete(main())


def test_own_executor(loop):
    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:

        async def main():
            return await loop.run_in_executor(pool, lambda: threading.current_thread().name)

        assert loop.run_until_complete(main()).startswith("mine")


def test_default_executor_is_made_once(loop):
    async def main():
        await loop.run_in_executor(None, int)
        first = loop._default_executor
        await loop.run_in_executor(None, int)
        assert loop._default_executor is first
        assert isinstance(first, concurrent.futures.ThreadPoolExecutor)

    loop.run_until_complete(main())


def test_set_default_executor(loop):
    pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="default")
    loop.set_default_executor(pool)

    async def main():
        return await loop.run_in_executor(None, lambda: threading.current_thread().name)

    assert loop.run_until_complete(main()).startswith("default")


@pytest.mark.parametrize("wrong", [None, 1, "x", object(), threading.Thread])
def test_default_executor_must_be_a_pool_of_threads(loop, wrong):
    if support.PY < (3, 11):
        with pytest.warns(DeprecationWarning, match="not an instance of ThreadPoolExecutor"):
            loop.set_default_executor(wrong)
        loop._default_executor = None
        return
    with pytest.raises(TypeError, match="executor must be ThreadPoolExecutor instance"):
        loop.set_default_executor(wrong)


def test_cancel_what_has_not_started(loop):
    gate = threading.Event()
    ran = []
    pool = concurrent.futures.ThreadPoolExecutor(1)
    loop.set_default_executor(pool)

    async def main():
        first = loop.run_in_executor(None, gate.wait, 10)
        second = loop.run_in_executor(None, ran.append, 1)
        await asyncio.sleep(0.01)
        second.cancel()
        await support.settle()  # asyncio hands the cancellation on in a callback
        gate.set()
        await first
        with pytest.raises(asyncio.CancelledError):
            await second

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())
    assert ran == []


def test_cancel_what_runs(loop):
    """The future is cancelled; the late result is dropped."""
    gate = threading.Event()

    async def main():
        future = loop.run_in_executor(None, gate.wait, 10)
        await asyncio.sleep(0.01)
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future
        gate.set()

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())


def test_result_after_the_loop_is_closed(loop_factory):
    loop = loop_factory()
    gate = threading.Event()
    future = None

    async def main():
        nonlocal future
        future = loop.run_in_executor(None, gate.wait, 10)
        await asyncio.sleep(0.01)

    loop.run_until_complete(main())
    pool = loop._default_executor
    loop.close()
    gate.set()
    pool.shutdown(wait=True)
    assert not future.done()


def test_close_shuts_the_executor_down(loop_factory):
    loop = loop_factory()

    async def main():
        await loop.run_in_executor(None, int)

    loop.run_until_complete(main())
    pool = loop._default_executor
    loop.close()
    with pytest.raises(RuntimeError):
        pool.submit(int)
    pool.shutdown(wait=True)


def test_fault_37_executor_after_shutdown(loop):
    async def main():
        await loop.run_in_executor(None, int)
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match="^Executor shutdown has been called$"):
            loop.run_in_executor(None, int)
        await loop.shutdown_default_executor()

    loop.run_until_complete(main())


def test_fault_37_shutdown_without_an_executor(loop):
    async def main():
        await loop.shutdown_default_executor()
        with pytest.raises(RuntimeError, match="^Executor shutdown has been called$"):
            loop.run_in_executor(None, int)

    loop.run_until_complete(main())


def test_shutdown_waits(loop):
    done = []

    def work():
        time.sleep(0.05)
        done.append(1)

    async def main():
        future = loop.run_in_executor(None, work)
        await loop.shutdown_default_executor()
        assert done == [1]
        await future

    loop.run_until_complete(main())


def test_fault_37_shutdown_timeout(loop, loop_name):
    # 3.12 and 3.13.0 wait for the threads all the same
    support.oracle_lacks(loop_name, sys.version_info < (3, 14), "timeout= does not work yet")
    gate = threading.Event()

    async def main():
        future = loop.run_in_executor(None, gate.wait, 20)
        await asyncio.sleep(0.01)
        with pytest.warns(RuntimeWarning, match="did not finish(ing)? joining its threads within"):
            await loop.shutdown_default_executor(timeout=0.05)
        gate.set()
        await future

    pool = None
    try:
        loop.run_until_complete(main())
        pool = loop._default_executor
    finally:
        gate.set()
        if pool is not None:
            pool.shutdown(wait=True)


def test_shutdown_timeout_not_reached(loop, loop_name):
    support.oracle_lacks(loop_name, sys.version_info < (3, 12), "no timeout= before 3.12")

    async def main():
        await loop.run_in_executor(None, int)
        await loop.shutdown_default_executor(timeout=10)
        await loop.shutdown_default_executor(None)

    loop.run_until_complete(main())


def test_to_thread_keeps_the_context(loop):
    import contextvars

    var = contextvars.ContextVar("var")

    async def main():
        var.set("seen")
        assert await asyncio.to_thread(var.get) == "seen"

    loop.run_until_complete(main())


def test_debug_mode_checks_the_callback(loop):
    async def coro():
        pass

    loop.set_debug(True)
    with pytest.raises(TypeError):
        loop.run_in_executor(None, coro)
    with pytest.raises(TypeError):
        loop.run_in_executor(None, 42)


class Instant(concurrent.futures.Executor):
    """Futures that the test completes, or that are done when they are given."""

    def __init__(self, future):
        self.future = future

    def submit(self, function, /, *args, **kwargs):
        self.future.submitted = (function, args)
        return self.future


class OwnFuture(concurrent.futures.Future):
    pass


KINDS = [concurrent.futures.Future, OwnFuture]


@pytest.mark.parametrize("kind", KINDS)
def test_states_of_the_executors_future(loop, kind):
    async def main():
        done = kind()
        done.set_result("here")
        assert await loop.run_in_executor(Instant(done), print, 1, 2) == "here"
        assert done.submitted == (print, (1, 2))
        later = kind()
        waiting = loop.run_in_executor(Instant(later), print)
        assert type(waiting) is type(loop.create_future())
        await support.settle()
        assert not waiting.done()
        threading.Thread(target=later.set_result, args=(None,)).start()
        assert await waiting is None
        for raised, expected in (
            (ValueError("mine"), ValueError),
            (concurrent.futures.CancelledError(), asyncio.CancelledError),
            (concurrent.futures.TimeoutError(), asyncio.TimeoutError),
            (concurrent.futures.InvalidStateError(), asyncio.InvalidStateError),
        ):
            failed = kind()
            failed.set_exception(raised)
            with pytest.raises(expected):
                await loop.run_in_executor(Instant(failed), print)

    loop.run_until_complete(main())


@pytest.mark.parametrize("kind", KINDS)
def test_cancellation_goes_both_ways(loop, kind):
    async def main():
        source = kind()
        waiting = loop.run_in_executor(Instant(source), print)
        source.cancel()
        source.set_running_or_notify_cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        source = kind()
        waiting = loop.run_in_executor(Instant(source), print)
        waiting.cancel()
        await support.settle()
        assert source.cancelled()
        source = kind()  # one that cannot be cancelled any more: its result goes nowhere
        source.set_running_or_notify_cancel()
        waiting = loop.run_in_executor(Instant(source), print)
        waiting.cancel()
        await support.settle()
        source.set_result(1)
        await support.settle()
        assert waiting.cancelled()

    loop.run_until_complete(main())


@pytest.mark.parametrize("kind", KINDS)
def test_result_set_by_somebody_else(loop, contexts, kind):
    async def main():
        source = kind()
        waiting = loop.run_in_executor(Instant(source), print)
        waiting.set_result("mine")
        source.set_result("late")
        await support.settle()
        assert await waiting == "mine"

    loop.run_until_complete(main())
    assert [type(c["exception"]) for c in contexts] == [AssertionError]


def test_an_asyncio_future_is_given_back_as_it_is(loop):
    future = loop.create_future()
    assert loop.run_in_executor(Instant(future), print) is future


def test_keywords_and_wrong_arguments(loop):
    future = loop.run_in_executor(executor=None, func=int)
    assert loop.run_until_complete(future) == 0
    for call in (lambda: loop.run_in_executor(), lambda: loop.run_in_executor(None)):
        with pytest.raises(TypeError, match=r"run_in_executor\(\) missing"):
            call()
    with pytest.raises(AttributeError, match="submit"):
        loop.run_in_executor(object(), int)


def test_nothing_is_kept_of_a_call(loop):
    class Result:
        pass

    refs = []

    def work():
        result = Result()
        refs.append(weakref.ref(result))
        return result

    async def main():
        for _ in range(20):
            await loop.run_in_executor(None, work)

    loop.run_until_complete(main())
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        loop.run_until_complete(loop.run_in_executor(pool, work))
    loop.run_until_complete(loop.shutdown_default_executor())
    gc.collect()
    assert [ref for ref in refs if ref() is not None] == []


def test_cancelled_tasks_leave_nothing(loop):
    """Futures that are never completed go with the executor that forgot them."""

    async def main():
        source = concurrent.futures.Future()
        task = asyncio.ensure_future(wrap(loop.run_in_executor(Instant(source), print)))
        await support.settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return weakref.ref(source)

    async def wrap(future):
        return await future

    ref = loop.run_until_complete(main())
    gc.collect()
    assert ref() is None
