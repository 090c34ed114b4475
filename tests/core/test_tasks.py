"""create_future, create_task and task factories."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import sys

import pytest
import support

VAR: contextvars.ContextVar[str] = contextvars.ContextVar("VAR", default="unset")
PY311 = sys.version_info >= (3, 11)


async def value(result=None):
    await asyncio.sleep(0)
    return result


def test_create_future(loop):
    future = loop.create_future()
    assert type(future) is asyncio.Future
    assert future.get_loop() is loop
    future.set_result(3)
    assert loop.run_until_complete(future) == 3


def test_create_task(loop):
    task = loop.create_task(value(4))
    assert type(task) is asyncio.Task
    assert task.get_loop() is loop
    assert loop.run_until_complete(task) == 4


def test_task_name(loop):
    named = loop.create_task(value(), name="fetch customers")
    unnamed = loop.create_task(value())
    number = loop.create_task(value(), name=17)
    none = loop.create_task(value(), name=None)
    assert named.get_name() == "fetch customers"
    assert unnamed.get_name().startswith("Task-")
    assert number.get_name() == "17"
    assert none.get_name().startswith("Task-")
    loop.run_until_complete(asyncio.wait([named, unnamed, number, none]))


def test_coro_by_keyword(loop):
    assert loop.run_until_complete(loop.create_task(coro=value(1))) == 1


@pytest.mark.skipif(not PY311, reason="context= came in 3.11")
def test_task_context(loop):
    context = contextvars.copy_context()
    context.run(VAR.set, "given")

    async def main():
        await asyncio.sleep(0)
        seen = VAR.get()
        VAR.set("changed")
        return seen

    assert loop.run_until_complete(loop.create_task(main(), context=context)) == "given"
    assert context[VAR] == "changed"
    assert VAR.get() == "unset"
    assert loop.run_until_complete(loop.create_task(main(), context=None, name="x")) == "unset"


def test_unknown_keyword(loop):
    coro = value()
    with pytest.raises(TypeError):
        loop.create_task(coro, nonsense=1)
    coro.close()
    support.collect()


def test_not_a_coroutine(loop):
    for wrong in (None, 1, value, loop.create_future()):
        with pytest.raises(TypeError):
            loop.create_task(wrong)
    support.collect()


def test_generator_like_objects(loop):
    from collections.abc import Coroutine

    class Own(Coroutine):
        def __init__(self):
            self.it = iter([None, None])

        def send(self, v):
            try:
                return next(self.it)
            except StopIteration:
                raise StopIteration("own") from None

        def throw(self, *a):
            raise a[0]

        def close(self):
            pass

        def __await__(self):
            return self

    assert loop.run_until_complete(loop.create_task(Own())) == "own"


def test_task_on_closed_loop(loop_factory):
    loop = loop_factory()
    loop.close()
    coro = value()
    with pytest.raises(RuntimeError, match="^Event loop is closed$"):
        loop.create_task(coro)
    coro.close()


# -- task factories ---------------------------------------------------------------------------


def test_factory_without_keywords(loop):
    """The oldest shape: factory(loop, coro)."""
    made = []

    def factory(loop, coro):
        task = asyncio.Task(coro, loop=loop)
        made.append(task)
        return task

    loop.set_task_factory(factory)
    assert loop.get_task_factory() is factory
    task = loop.create_task(value(1))
    assert made == [task]
    assert loop.run_until_complete(task) == 1
    named = loop.create_task(value(2), name="named")
    assert named.get_name() == "named"
    assert loop.run_until_complete(named) == 2
    assert loop.run_until_complete(value(3)) == 3
    loop.set_task_factory(factory=None)
    assert loop.get_task_factory() is None
    loop.run_until_complete(value())


def test_factory_with_keywords(loop):
    calls = []

    def factory(loop, coro, **kwargs):
        calls.append(kwargs)
        kwargs.pop("eager_start", None)
        return asyncio.Task(coro, loop=loop, **kwargs)

    loop.set_task_factory(factory)
    assert loop.run_until_complete(loop.create_task(value(1), name="n")) == 1
    if PY311:
        context = contextvars.copy_context()
        assert loop.run_until_complete(loop.create_task(value(2), context=context)) == 2
        assert calls[1]["context"] is context
        assert loop.run_until_complete(loop.create_task(value(3))) == 3
        assert calls[2].get("context") is None


def test_factory_only_gets_what_was_given(loop):
    """A plain create_task(coro) must not hand keywords to a factory of two parameters."""
    calls = []

    def factory(*args, **kwargs):
        calls.append((args[1:], kwargs))
        return asyncio.Task(args[1], loop=args[0])

    loop.set_task_factory(factory)
    coro = value()
    loop.run_until_complete(loop.create_task(coro))
    assert calls[0][0] == (coro,)
    assert {k: v for k, v in calls[0][1].items() if v is not None} == {}


def test_factory_may_return_any_future(loop, loop_name):
    support.oracle_lacks(loop_name, support.PY == (3, 13), "wants set_name of what it gets")
    loop.set_task_factory(lambda loop, coro, **kw: (coro.close(), loop.create_future())[1])
    future = loop.create_task(value())
    assert type(future) is asyncio.Future
    future.cancel()
    loop.set_task_factory(None)


def test_factory_that_raises(loop):
    def factory(loop, coro, **kw):
        raise ValueError("no tasks today")

    loop.set_task_factory(factory)
    coro = value()
    with pytest.raises(ValueError, match="no tasks today"):
        loop.create_task(coro)
    coro.close()
    loop.set_task_factory(None)


def test_factory_must_be_callable(loop):
    for wrong in (1, "x", object()):
        with pytest.raises(TypeError, match="task factory must be a callable or None"):
            loop.set_task_factory(wrong)
    assert loop.get_task_factory() is None


def test_factory_that_asks_for_further_keywords(loop, loop_name):
    takes_any = any(
        p.kind is p.VAR_KEYWORD
        for p in inspect.signature(asyncio.BaseEventLoop.create_task).parameters.values()
    )
    support.oracle_lacks(loop_name, not takes_any, "create_task has fixed keywords")
    calls = []

    def factory(loop, coro, **kwargs):
        calls.append(kwargs)
        return asyncio.Task(coro, loop=loop)

    loop.set_task_factory(factory)
    loop.run_until_complete(loop.create_task(value(), colour="blue"))
    assert calls[0]["colour"] == "blue"
    loop.set_task_factory(None)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came in 3.12")
def test_eager_task_factory(loop):
    async def main():
        seen = []

        async def work():
            seen.append("started")
            return "done"

        async def slow():
            seen.append("slow started")
            await asyncio.sleep(0)
            seen.append("slow went on")

        loop.set_task_factory(asyncio.eager_task_factory)
        task = loop.create_task(work(), name="eager")
        assert seen == ["started"]
        assert task.done()
        assert task.result() == "done"
        assert task.get_name() == "eager"
        other = asyncio.create_task(slow())
        assert seen == ["started", "slow started"]
        await other
        loop.set_task_factory(None)

    loop.run_until_complete(main())


def test_eager_start(loop, loop_name):
    takes = support.has_keyword(asyncio.Task.__init__, "eager_start") or PY311
    support.oracle_lacks(
        loop_name,
        sys.version_info < (3, 13, 3),
        "create_task hands no eager_start to the task",
    )
    if sys.version_info < (3, 12):  # the task itself does not know it: say so, as a TypeError
        coro = value()
        with pytest.raises(TypeError):
            loop.create_task(coro, eager_start=True)
        coro.close()
        return
    assert takes

    async def main():
        async def work():
            return "done"

        task = loop.create_task(work(), eager_start=True, name="early")
        assert task.done()
        assert task.get_name() == "early"
        assert await task == "done"
        lazy = loop.create_task(work(), eager_start=False)
        assert not lazy.done()
        await lazy

    loop.run_until_complete(main())


# -- what is built on tasks -------------------------------------------------------------------


def test_gather_wait_for_shield(loop):
    async def main():
        assert await asyncio.gather(*(value(n) for n in range(50))) == list(range(50))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.sleep(100), 0.01)
        inner = loop.create_task(value(5))
        assert await asyncio.shield(inner) == 5
        done, pending = await asyncio.wait(
            [loop.create_task(value(1)), loop.create_task(asyncio.sleep(50))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        assert len(done) == len(pending) == 1
        for p in pending:
            p.cancel()
        got = [await f for f in asyncio.as_completed([value(1), value(2)])]
        assert sorted(got) == [1, 2]

    loop.run_until_complete(main())


def test_cancel(loop):
    async def main():
        task = loop.create_task(asyncio.sleep(100))
        await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    loop.run_until_complete(main())


def test_order_of_tasks(loop):
    seen = []

    async def work(n):
        for turn in range(3):
            seen.append((turn, n))
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(work(n) for n in range(5)))

    loop.run_until_complete(main())
    assert seen == sorted(seen)


def test_locks_and_queues(loop):
    async def main():
        queue = asyncio.Queue(maxsize=3)
        semaphore = asyncio.Semaphore(2)
        running = most = 0

        async def consumer():
            nonlocal running, most
            got = []
            while (item := await queue.get()) is not None:
                async with semaphore:
                    running += 1
                    most = max(most, running)
                    await asyncio.sleep(0)
                    running -= 1
                got.append(item)
            return got

        tasks = [asyncio.create_task(consumer()) for _ in range(4)]
        for n in range(50):
            await queue.put(n)
        for _ in tasks:
            await queue.put(None)
        results = await asyncio.gather(*tasks)
        assert sorted(sum(results, [])) == list(range(50))
        assert most == 2

    loop.run_until_complete(main())


@pytest.mark.skipif(not PY311, reason="came in 3.11")
def test_timeout_and_task_group(loop):
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(100)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(value(n), name=str(n)) for n in range(5)]
        assert [t.result() for t in tasks] == list(range(5))
        assert [t.get_name() for t in tasks] == list("01234")

    loop.run_until_complete(main())


def test_run_coroutine_threadsafe(loop):
    results = []

    def other():
        results.append(asyncio.run_coroutine_threadsafe(value("from afar"), loop).result(10))
        loop.call_soon_threadsafe(loop.stop)

    with support.thread(other):
        loop.run_forever()
    assert results == ["from afar"]


def test_deep_chain_of_callbacks_does_not_recurse(loop):
    """10^5 futures, each resolved by the one before."""

    async def main():
        futures = [loop.create_future() for _ in range(100_000)]
        for this, following in zip(futures, futures[1:], strict=False):
            this.add_done_callback(lambda f, following=following: following.set_result(None))
        futures[0].set_result(None)
        await futures[-1]

    loop.run_until_complete(main())


def test_pending_task_destroyed(loop, expect_log):
    expect_log("Task was destroyed but it is pending!")

    async def forever():
        await loop.create_future()

    task = loop.create_task(forever(), name="lost")
    loop.run_until_complete(support.settle())
    task = None  # noqa: F841
    gc.collect()


def test_exception_never_retrieved(loop, expect_log):
    expect_log("Task exception was never retrieved")

    async def bad():
        raise ValueError("lost")

    task = loop.create_task(bad())
    loop.run_until_complete(support.settle())
    task = None  # noqa: F841
    gc.collect()
