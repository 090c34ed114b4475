"""Asynchronous generators: the hooks, shutdown_asyncgens and its warning."""

from __future__ import annotations

import asyncio
import gc
import sys

import pytest
import support


async def numbers(log):
    try:
        n = 0
        while True:
            yield n
            n += 1
            await asyncio.sleep(0)
    finally:
        await asyncio.sleep(0)
        log.append("closed")


def test_hooks_are_set_only_while_running(loop):
    before = sys.get_asyncgen_hooks()
    seen = []

    async def main():
        seen.append(sys.get_asyncgen_hooks())

    loop.run_until_complete(main())
    assert sys.get_asyncgen_hooks() == before
    assert seen[0].firstiter is not None
    assert seen[0].finalizer is not None
    assert seen[0] != before


def test_hooks_are_restored_after_an_exception(loop):
    before = sys.get_asyncgen_hooks()

    def leave():
        raise KeyboardInterrupt

    loop.call_soon(leave)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert sys.get_asyncgen_hooks() == before


def test_foreign_hooks_are_kept(loop):
    calls = []
    old = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=calls.append)
    try:
        loop.run_until_complete(asyncio.sleep(0))
        assert sys.get_asyncgen_hooks().firstiter == calls.append
    finally:
        sys.set_asyncgen_hooks(*old)


def test_dropped_generator_is_closed_by_the_loop(loop):
    log = []

    async def main():
        async for n in numbers(log):
            if n == 3:
                break
        gc.collect()
        await support.settle()

    loop.run_until_complete(main())
    assert log == ["closed"]


def test_dropped_in_another_thread(loop):
    log = []

    async def main():
        generator = numbers(log)
        await anext(generator)
        held.append(generator)
        del generator
        await loop.run_in_executor(None, held.clear)
        await support.until(lambda: log)

    held = []
    loop.run_until_complete(main())
    assert log == ["closed"]


def test_shutdown_asyncgens(loop):
    log = []
    held = []

    async def main():
        for _ in range(3):
            generator = numbers(log)
            await anext(generator)
            held.append(generator)

    loop.run_until_complete(main())
    assert log == []
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert log == ["closed"] * 3
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert log == ["closed"] * 3
    held.clear()


def test_error_while_closing_goes_to_the_handler(loop, contexts):
    held = []

    async def bad():
        try:
            yield 1
        finally:
            raise ZeroDivisionError("while closing")

    async def main():
        generator = bad()
        await anext(generator)
        held.append(generator)

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert len(contexts) == 1
    assert "an error occurred during closing of asynchronous generator" in contexts[0]["message"]
    assert contexts[0]["asyncgen"] is held[0]
    assert type(contexts[0]["exception"]) is ZeroDivisionError


def test_generator_started_after_shutdown_warns(loop):
    log = []
    loop.run_until_complete(loop.shutdown_asyncgens())

    async def main():
        generator = numbers(log)
        with pytest.warns(ResourceWarning, match="was scheduled after loop.shutdown_asyncgens"):
            await anext(generator)
        await generator.aclose()

    loop.run_until_complete(main())


def test_finished_generators_are_not_held(loop):
    import weakref

    refs = []

    async def few():
        yield 1
        yield 2

    async def main():
        generator = few()
        refs.append(weakref.ref(generator))
        assert [n async for n in generator] == [1, 2]

    loop.run_until_complete(main())
    gc.collect()
    assert refs[0]() is None


def test_asyncio_run_closes_generators(loop_factory):
    log = []

    async def main():
        generator = numbers(log)
        await anext(generator)
        held.append(generator)

    held = []
    if sys.version_info >= (3, 11):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(main())
        asyncio.set_event_loop(None)
    else:
        loop = loop_factory()
        loop.run_until_complete(main())
        support.finish(loop)
    assert log == ["closed"]
