"""Coroutines written in C behave as those of Python: each test runs on both."""

from __future__ import annotations

import asyncio
import collections.abc
import gc
import inspect
import types
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

import pytest
import support

import uvolt._core

Make = Callable[[Any], Coroutine[Any, Any, Any]]


class Steps:
    """An awaitable that yields 1, 2, ... n and then returns what was sent and thrown into it."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.seen: list[Any] = []

    def __await__(self) -> Generator[Any, Any, Any]:
        for i in range(1, self.n + 1):
            try:
                self.seen.append((yield i))
            except ZeroDivisionError as e:
                self.seen.append(repr(e))
            except GeneratorExit:
                self.seen.append("exit")
                raise
        return self.seen


@pytest.fixture(params=["python", "c"])
def make(request: pytest.FixtureRequest) -> Any:
    if request.param == "python":

        async def delegate(awaitable: Any) -> Any:
            return await awaitable

        yield delegate
        return
    loop = support.factory("uvolt")()
    yield lambda awaitable: uvolt._core.coroutine(loop, awaitable)
    loop.close()


def result_of(coro: Coroutine[Any, Any, Any], value: Any = None) -> Any:
    with pytest.raises(StopIteration) as stop:
        coro.send(value)
    return stop.value.value


def test_passes_steps_through(make: Make) -> None:
    coro = make(Steps(3))
    assert coro.send(None) == 1
    assert coro.send("a") == 2
    assert coro.throw(ZeroDivisionError("b")) == 3
    assert result_of(coro, "c") == ["a", "ZeroDivisionError('b')", "c"]


def test_result_without_a_step(make: Make) -> None:
    assert result_of(make(Steps(0))) == []


@pytest.mark.parametrize("value", [None, (1, 2), (), StopIteration(3), ValueError()])
def test_any_result(make: Make, value: object) -> None:
    async def give() -> object:
        return value

    assert result_of(make(give())) is value


def test_runs_nothing_before_the_first_step(make: Make) -> None:
    steps = Steps(1)
    coro = make(steps)
    with pytest.raises(TypeError, match="can't send non-None value to a just-started coroutine"):
        coro.send(1)
    coro.close()
    assert steps.seen == []
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coro.send(None)


def test_throw_before_the_first_step(make: Make) -> None:
    steps = Steps(1)
    coro = make(steps)
    with pytest.raises(KeyError):
        coro.throw(KeyError("a"))
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coro.send(None)
    assert steps.seen == []


def test_over(make: Make) -> None:
    coro = make(Steps(0))
    result_of(coro)
    for again in (lambda: coro.send(None), lambda: coro.throw(KeyError())):
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            again()
    coro.close()


def test_throw_that_is_not_caught(make: Make) -> None:
    coro = make(Steps(2))
    coro.send(None)
    with pytest.raises(KeyError, match="a"):
        coro.throw(KeyError("a"))
    with pytest.raises(RuntimeError, match="cannot reuse"):
        coro.send(None)


def test_close_while_waiting(make: Make) -> None:
    steps = Steps(2)
    coro = make(steps)
    coro.send(None)
    coro.close()
    assert steps.seen == ["exit"]
    coro.close()


def test_close_ignored(make: Make) -> None:
    class Stubborn:
        def __await__(self) -> Generator[Any, Any, Any]:
            try:
                yield 1
            except GeneratorExit:
                yield 2

    coro = make(Stubborn())
    coro.send(None)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        coro.close()
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coro.send(None)


def test_close_fails(make: Make) -> None:
    class Failing:
        def __await__(self) -> Generator[Any, Any, Any]:
            try:
                yield 1
            finally:
                raise KeyError("in the finally")

    coro = make(Failing())
    coro.send(None)
    with pytest.raises(KeyError, match="in the finally"):
        coro.close()


def test_dropped_while_waiting_is_closed(make: Make) -> None:
    steps = Steps(2)
    coro = make(steps)
    coro.send(None)
    del coro
    gc.collect()
    assert steps.seen == ["exit"]


def test_cycle_is_collected(make: Make) -> None:
    steps = Steps(2)
    coro = make(steps)
    coro.send(None)
    steps.seen.append(coro)
    seen, there = steps.seen, weakref.ref(steps)
    seen_later: list[Any] = []
    weakref.finalize(steps, seen_later.append, "gone")
    del coro, steps, seen
    gc.collect()
    assert there() is None
    assert seen_later == ["gone"]


def test_never_awaited_warns(make: Make) -> None:
    coro = make(Steps(1))
    name = coro.__qualname__
    with pytest.warns(RuntimeWarning, match="was never awaited") as seen:
        del coro
        gc.collect()
    assert str(seen[0].message) == f"coroutine '{name}' was never awaited"


def test_reentry(make: Make) -> None:
    class Inward:
        def __await__(self) -> Generator[Any, Any, Any]:
            for again in (lambda: coro.send(None), lambda: coro.throw(KeyError()), coro.close):
                with pytest.raises(ValueError, match="coroutine already executing"):
                    again()
            assert coro.cr_running  # type: ignore[attr-defined]
            yield 1

    coro = make(Inward())
    assert coro.send(None) == 1
    assert not coro.cr_running  # type: ignore[attr-defined]
    coro.close()


def test_awaited_twice(make: Make) -> None:
    async def outer() -> None:
        await coro

    coro = make(Steps(2))
    first, second = outer(), outer()
    first.send(None)
    with pytest.raises(RuntimeError, match="coroutine is being awaited already"):
        second.send(None)
    first.close()


@pytest.mark.parametrize("thing", [1, "text", [], object(), iter([1])])
def test_not_awaitable(make: Make, thing: object) -> None:
    coro = make(thing)
    with pytest.raises(TypeError, match="can't be used in 'await' expression"):
        coro.send(None)


def test_bad_iterators(make: Make) -> None:
    class Bad:
        def __init__(self, result: Any) -> None:
            self.result = result

        def __await__(self) -> Any:
            return self.result

    async def nothing() -> None: ...

    with pytest.raises(TypeError, match=r"__await__\(\) returned non-iterator of type 'int'"):
        make(Bad(1)).send(None)
    inner = nothing()
    with pytest.raises(TypeError, match=r"__await__\(\) returned a coroutine"):
        make(Bad(inner)).send(None)
    inner.close()


def test_iterator_without_throw(make: Make) -> None:
    class Plain:
        def __await__(self) -> Any:
            return iter([1, 2, 3])

    coro = make(Plain())
    assert [coro.send(None), coro.send(None)] == [1, 2]
    with pytest.raises(KeyError):
        coro.throw(KeyError())
    coro = make(Plain())
    coro.send(None)
    coro.close()


def test_stop_iteration_may_not_leave(make: Make) -> None:
    class Raises:
        def __await__(self) -> Any:
            return self

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            return 1

        def throw(self, *args: Any) -> Any:
            raise StopIteration("the result")

    coro = make(Raises())
    coro.send(None)
    with pytest.raises(StopIteration) as stop:
        coro.throw(KeyError())
    assert stop.value.value == "the result"


def test_generator_coroutine(make: Make) -> None:
    @types.coroutine
    def steps() -> Generator[int, None, str]:
        yield 1
        return "done"

    coro = make(steps())
    assert coro.send(None) == 1
    assert result_of(coro) == "done"

    def plain() -> Generator[int, None, None]:
        yield 1

    with pytest.raises(TypeError, match="can't be used in 'await' expression"):
        make(plain()).send(None)


def test_what_it_says_of_itself(make: Make) -> None:
    coro = make(Steps(1))
    assert isinstance(coro, collections.abc.Coroutine)
    assert isinstance(coro, Awaitable)
    assert asyncio.iscoroutine(coro)
    assert inspect.isawaitable(coro)
    assert repr(coro).startswith(f"<coroutine object {coro.__qualname__} at 0x")
    assert coro.__qualname__.endswith(coro.__name__)
    assert coro.cr_await is None
    assert coro.cr_running is False  # type: ignore[attr-defined]
    assert weakref.ref(coro)() is coro
    coro.send(None)
    assert coro.cr_await is not None
    coro.close()
    assert coro.cr_await is None


@pytest.mark.filterwarnings("ignore:the .*signature of throw:DeprecationWarning")
@pytest.mark.parametrize("args", [(), (1,), (KeyError, 1, None, None), (KeyError, None, 5)])
def test_bad_throw(make: Make, args: tuple[Any, ...]) -> None:
    coro = make(Steps(1))
    with pytest.raises(TypeError):
        coro.throw(*args)
    coro.close()


@pytest.mark.filterwarnings("ignore:the .*signature of throw:DeprecationWarning")
def test_throw_with_a_class(make: Make) -> None:
    coro = make(Steps(2))
    coro.send(None)
    assert coro.throw(ZeroDivisionError, "text") == 2
    with pytest.raises(KeyError, match="other"):
        coro.throw(KeyError, KeyError("other"))


def test_deep_chain(make: Make) -> None:
    coro = inner = make(Steps(2))
    for _ in range(50):
        coro = make(coro)
    assert coro.send(None) == 1
    assert coro.throw(ZeroDivisionError("x")) == 2
    assert result_of(coro, 5) == ["ZeroDivisionError('x')", 5]
    del inner


# ---- under asyncio, on a loop


@pytest.fixture
def wrap(loop: asyncio.AbstractEventLoop) -> Make:
    """The same, on the loops under test: a coroutine of Python on asyncio, of C on uvolt."""
    if isinstance(loop, uvolt.Loop):
        return lambda awaitable: uvolt._core.coroutine(loop, awaitable)

    async def delegate(awaitable: Any) -> Any:
        return await awaitable

    return delegate


async def later(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


def test_tasks_take_it(loop: asyncio.AbstractEventLoop, wrap: Make) -> None:
    async def main() -> None:
        assert await wrap(later(1)) == 1
        assert await asyncio.create_task(wrap(later(2))) == 2
        assert await asyncio.gather(wrap(later(3)), wrap(later(4))) == [3, 4]
        assert await asyncio.wait_for(wrap(later(5)), 5) == 5
        assert await asyncio.shield(wrap(later(6))) == 6
        assert await asyncio.ensure_future(wrap(later(7))) == 7
        task = asyncio.create_task(wrap(later(8)))
        assert "coro=<" in repr(task)
        assert task.get_coro() is not None
        assert await task == 8

    loop.run_until_complete(main())
    assert loop.run_until_complete(wrap(later(9))) == 9


def test_future(loop: asyncio.AbstractEventLoop, wrap: Make) -> None:
    async def main() -> None:
        done, failed, open_ = loop.create_future(), loop.create_future(), loop.create_future()
        done.set_result(1)
        failed.set_exception(KeyError("a"))
        loop.call_soon(open_.set_result, 2)
        assert await wrap(done) == 1
        assert await wrap(open_) == 2
        with pytest.raises(KeyError):
            await wrap(failed)

    loop.run_until_complete(main())


def test_cancelled(loop: asyncio.AbstractEventLoop, wrap: Make) -> None:
    async def main() -> None:
        future = loop.create_future()
        task = asyncio.create_task(wrap(future))
        await asyncio.sleep(0)
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert future.cancelled()
        task = asyncio.create_task(wrap(loop.create_future()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(wrap(loop.create_future()), 0.01)

    loop.run_until_complete(main())


def test_cancelled_inside(loop: asyncio.AbstractEventLoop, wrap: Make) -> None:
    """The one inside catches the cancellation and returns."""

    async def inside() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            return "caught"
        return ""

    async def main() -> None:
        task = asyncio.create_task(wrap(inside()))
        await asyncio.sleep(0)
        task.cancel()
        assert await task == "caught"

    loop.run_until_complete(main())


def test_many_use_the_same_memory(loop: asyncio.AbstractEventLoop, wrap: Make) -> None:
    async def main() -> None:
        for i in range(2000):
            assert await wrap(later(i)) == i
            with pytest.raises(ZeroDivisionError):
                await wrap(fail())

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    loop.run_until_complete(main())
