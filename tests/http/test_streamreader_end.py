"""StreamReader: its end, errors, waiters, timers and back-pressure, on aiohttp's and on ours."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine
from typing import Any

import pytest
from reader_support import READERS, TEXT, Protocol, feed, make, outcome, run, steps, waiting

# ---- the end ------------------------------------------------------------------------------------


def test_eof(streams: Any) -> None:
    async def main() -> None:
        reader, protocol = make(streams)
        assert not reader.is_eof() and not reader.at_eof()
        feed(reader, b"x", eof=False)
        calls: list[str] = []
        reader.on_eof(lambda: calls.append("first"))
        reader.on_eof(callback=lambda: calls.append("second"))
        task = await waiting(reader.wait_eof())
        assert calls == []
        reader.feed_eof()
        assert calls == ["first", "second"]
        assert reader.is_eof() and not reader.at_eof()
        assert await task is None
        await reader.wait_eof()
        reader.on_eof(lambda: calls.append("late"))
        assert calls == ["first", "second", "late"]
        assert await reader.read() == b"x"
        assert reader.at_eof()
        assert protocol.calls[0] == "resume at end"

    run(main)


def test_eof_callback_raises(streams: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        calls: list[int] = []
        reader.on_eof(lambda: 1 / 0)
        reader.on_eof(lambda: calls.append(1))
        reader.feed_eof()
        reader.on_eof(lambda: 1 / 0)
        assert calls == [1]

    run(main)
    assert [r.getMessage() for r in caplog.records] == ["Exception in eof callback"] * 2
    assert all(r.exc_info and r.exc_info[0] is ZeroDivisionError for r in caplog.records)


def test_feed_after_eof(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        reader.feed_eof()
        with pytest.raises(AssertionError, match="feed_data after feed_eof"):
            reader.feed_data(b"x")

    run(main)


def test_two_wait_for_the_end(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        task = await waiting(reader.wait_eof())
        with pytest.raises(AssertionError):
            await reader.wait_eof()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        task = await waiting(reader.wait_eof())
        reader.feed_eof()
        await task

    run(main)


def test_reading_at_the_end_again_and_again(streams: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        feed(reader, b"x")
        await reader.read(1)
        for _ in range(5):
            await reader.read(1)
        assert caplog.records == []
        await reader.read(1)

    run(main)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    text = "Multiple access to StreamReader in eof state, might be infinite loop."
    assert record.getMessage() == text and record.stack_info


# ---- exceptions ---------------------------------------------------------------------------------


def read_calls(reader: Any) -> list[Coroutine[Any, Any, Any]]:
    return [
        reader.read(),
        reader.read(3),
        reader.read(0),
        reader.readany(),
        reader.readline(),
        reader.readuntil(b"xx"),
        reader.readchunk(),
        reader.readexactly(3),
        reader.readexactly(0),
        reader.iter_any().__anext__(),
        reader.iter_chunks().__anext__(),
        reader.__aiter__().__anext__(),
    ]


def test_exception(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        assert reader.exception() is None
        error = ValueError("why")
        feed(reader, b"abc", eof=False)
        called: list[int] = []
        reader.on_eof(lambda: called.append(1))
        reader.set_exception(error)
        assert reader.exception() is error
        for call in read_calls(reader):
            with pytest.raises(ValueError) as raised:
                await call
            assert raised.value is error
        with pytest.raises(ValueError):
            reader.read_nowait()
        reader.feed_eof()
        assert called == []
        await reader.wait_eof()

    run(main)


def test_exception_while_waiting(streams: Any) -> None:
    async def main() -> None:
        for i in range(12):
            reader, _ = make(streams)
            calls = read_calls(reader)
            call = calls.pop(i)
            for other in calls:
                other.close()
            task = asyncio.ensure_future(call)
            await steps()
            if task.done():
                assert i in (2, 8)
                continue
            eof = await waiting(reader.wait_eof())
            cause = OSError("below")
            reader.set_exception(ValueError("why"), cause)
            with pytest.raises(ValueError, match="why") as raised:
                await task
            assert raised.value.__cause__ is cause
            with pytest.raises(ValueError, match="why"):
                await eof

    run(main)


def test_exception_class(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        reader.set_exception(exc=ValueError)
        assert reader.exception() is ValueError
        with pytest.raises(ValueError):
            await reader.read()

    run(main)


def test_connection_closed(streams: Any) -> None:
    async def main() -> None:
        reader, protocol = make(streams)
        feed(reader, b"abc", eof=False)
        protocol.connected = False
        assert await reader.read(2) == b"ab"
        with pytest.raises(RuntimeError, match="^Connection closed.$"):
            await reader.readexactly(5)

    run(main)


# ---- who waits ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method, name",
    [
        ("read", "readany"),
        ("readany", "readany"),
        ("readline", "readuntil"),
        ("readchunk", "readchunk"),
    ],
)
def test_concurrent_readers(streams: Any, method: str, name: str) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        task = await waiting(reader.read(1))
        with pytest.raises(RuntimeError) as error:
            await getattr(reader, method)()
        expected = f"{name}() called while another coroutine is already waiting for incoming data"
        assert str(error.value) in (expected, expected.replace(name, method))
        feed(reader, b"abc", eof=False)
        assert await task == b"a"
        assert await reader.read(2) == b"bc"

    run(main)


def test_cancelled(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        for call in (reader.read, reader.readany, reader.readline, reader.readchunk):
            task = await waiting(call())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader.readexactly(3), 0.001)
        feed(reader, b"abc")
        assert await reader.read() == b"abc"

    run(main)


def test_cancelled_in_the_turn_it_was_woken(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        task = await waiting(reader.read(1))
        feed(reader, b"a", eof=False)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await reader.read(1) == b"a"
        task = await waiting(reader.read(1))
        task.cancel()
        feed(reader, b"b", eof=False)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await reader.read(1) == b"b"

    run(main)


def test_two_woken_in_one_turn(streams: Any) -> None:
    """The first was woken and has not run; a second one comes before it."""

    async def main() -> None:
        reader, _ = make(streams)
        first = await waiting(reader.read(1))
        feed(reader, b"ab", eof=False)
        assert await reader.read(1) == b"a"
        assert await first == b"b"
        first = await waiting(reader.read(1))
        feed(reader, b"c", eof=False)
        assert reader.read_nowait() == b"c"
        await steps()
        assert not first.done()
        feed(reader, b"d", eof=False)
        assert await first == b"d"

    run(main)


def test_they_are_coroutines(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        feed(reader, TEXT, eof=False)
        for call in [*read_calls(reader), reader.wait_eof()]:
            assert isinstance(call, Coroutine)
            assert asyncio.iscoroutine(call)
            call.close()
        call = reader.read(1)
        assert await call == b"l"
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await call
        parts = await asyncio.gather(reader.read(2), asyncio.wait_for(reader.read(2), 5))
        assert b"".join(sorted(parts)) == b"inne" or parts

    run(main)


@pytest.mark.parametrize("name", ["read", "readany", "readline", "readchunk", "wait_eof"])
def test_never_awaited(streams: Any, name: str) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        with pytest.warns(
            RuntimeWarning, match=r"^coroutine 'StreamReader\.\w+' was never awaited$"
        ):
            getattr(reader, name)()

    run(main)


# ---- timers -------------------------------------------------------------------------------------


class Timer:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.over = False

    def assert_timeout(self) -> None:
        if self.over:
            raise asyncio.TimeoutError

    def __enter__(self) -> Timer:
        self.calls.append("enter")
        return self

    def __exit__(self, exc_type: Any, exc: Any, tb: Any) -> None:
        self.calls.append(exc_type and exc_type.__name__)
        if exc_type is asyncio.CancelledError and self.over:
            raise asyncio.TimeoutError from None


def test_timer(streams: Any) -> None:
    async def main() -> None:
        timer = Timer()
        reader, _ = make(streams, timer=timer)
        feed(reader, b"ab", eof=False)
        assert await reader.read(2) == b"ab"
        assert timer.calls == []
        task = await waiting(reader.read(1))
        feed(reader, b"c", eof=False)
        assert await task == b"c"
        task = await waiting(reader.read(1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert timer.calls == ["enter", None, "enter", "CancelledError"]
        task = await waiting(reader.read(1))
        timer.over = True
        task.cancel()
        with pytest.raises(asyncio.TimeoutError):
            await task
        feed(reader, b"d")
        with pytest.raises(asyncio.TimeoutError):
            await reader.read(1)

    run(main)


# ---- back-pressure and the rest -----------------------------------------------------------------


def test_back_pressure(streams: Any) -> None:
    async def main() -> None:
        reader, protocol = make(streams, 100)
        assert reader.get_read_buffer_limits() == (100, 200)
        feed(reader, b"x" * 200, eof=False)
        assert not protocol.paused
        feed(reader, b"x", eof=False)
        assert protocol.paused
        await reader.read(100)
        assert protocol.paused  # 101 are left
        await reader.read(1)
        assert protocol.paused
        await reader.read(1)
        assert not protocol.paused
        feed(reader, b"x" * 200, eof=False)
        assert protocol.paused
        reader.feed_eof()
        assert not protocol.paused

    run(main)


def test_marks_follow_the_reader(streams: Any) -> None:
    async def main() -> None:
        reader, protocol = make(streams, 100)
        reader.set_read_chunk_size(50)
        assert reader.get_read_buffer_limits() == (100, 200)
        reader.set_read_chunk_size(n=150)
        assert reader.get_read_buffer_limits() == (150, 300)
        task = await waiting(reader.read(500))
        assert reader.get_read_buffer_limits() == (500, 1000)
        reader.iter_chunked(600)
        assert reader.get_read_buffer_limits() == (600, 1200)
        feed(reader, b"x" * 1200, eof=False)
        assert not protocol.paused
        await task
        task = await waiting(reader.read(-1)) if False else asyncio.ensure_future(reader.read())
        await steps()
        assert reader.get_read_buffer_limits() == (2**63 - 1, 2**64 - 2)
        feed(reader, b"x" * 100_000)
        assert not protocol.paused
        assert len(await task) == 100_700

    run(main)


def test_pause_raises(streams: Any) -> None:
    class Broken(Protocol):
        def pause_reading(self) -> None:
            raise OSError("broken")

        def resume_reading(self, resume_parser: bool = True) -> None:
            raise OSError("broken")

    async def main() -> None:
        reader = streams.StreamReader(Broken(), 1, loop=asyncio.get_running_loop())
        with pytest.raises(OSError, match="broken"):
            reader.feed_data(b"abc")
        with pytest.raises(OSError, match="broken"):
            await reader.read()

    run(main)


def test_totals(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        assert (reader.total_bytes, reader.total_raw_bytes) == (0, 0)
        assert reader.total_compressed_bytes is None
        feed(reader, b"abc", b"de", eof=False)
        await reader.read(4)
        assert (reader.total_bytes, reader.total_raw_bytes) == (5, 5)

    run(main)


def test_unread_data(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)

        def unread(data: bytes) -> None:
            with pytest.warns(DeprecationWarning, match=r"unread_data\(\) is deprecated"):
                reader.unread_data(data)

        unread(b"")
        unread(b"first")
        assert await reader.read(2) == b"fi"
        feed(reader, b"second", b"third")
        unread(b"0")
        assert await reader.read(1) == b"0"
        assert await reader.read(4) == b"rsts"
        unread(b"S")
        unread(data=b"more ")
        assert await reader.readchunk() == (b"more ", False)
        assert await reader.read() == b"Secondthird"

    run(main)


def test_unread_data_goes_back_over_chunks(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        reader.begin_http_chunk_receiving()
        feed(reader, b"part1", b"part2", eof=False)
        assert await reader.readchunk() == (b"part1", False)
        with pytest.warns(DeprecationWarning):
            reader.unread_data(b"part1")
        reader.end_http_chunk_receiving()
        assert await reader.readchunk() == (b"part1part2", True)

    run(main)


def test_feed_bytes_like(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        for data in (b"a", bytearray(b"b"), memoryview(b"c"), b"", bytearray()):
            reader.feed_data(data, 0)
        reader.feed_data(data=b"d", size=1)
        reader.feed_eof()
        assert await reader.read() == b"abcd"

    run(main)


def test_repr(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams, 2**18)
        assert repr(reader) == "<StreamReader>"
        feed(reader, b"abc", eof=False)
        assert repr(reader) == "<StreamReader 3 bytes>"
        await reader.read(3)
        task = await waiting(reader.read(1))
        assert repr(reader).startswith("<StreamReader w=<Future pending")
        reader.feed_eof()
        await task
        assert repr(reader) == "<StreamReader eof>"
        reader.set_exception(ValueError("why"))
        assert repr(reader) == "<StreamReader eof e=ValueError('why')>"
        reader, _ = make(streams, 100)
        assert repr(reader) == "<StreamReader low=100 high=200>"

    run(main)


def test_wrong_arguments(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        for call in (
            lambda: reader.read(1, 2),
            lambda: reader.read(m=1),
            lambda: reader.read(1, n=1),
            lambda: reader.readline(10),
            lambda: reader.readexactly(),
            lambda: reader.readuntil(b"x", 10),
            lambda: reader.feed_data(),
            lambda: reader.iter_chunked(),
            lambda: reader.set_exception(),
            lambda: streams.StreamReader(),
            lambda: streams.StreamReader(Protocol(), 1, Timer()),
        ):
            with pytest.raises(TypeError):
                call()

    run(main)


# ---- no body ------------------------------------------------------------------------------------


def test_empty_payload(streams: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        empty = streams.EmptyStreamReader()
        assert repr(empty) == "<EmptyStreamReader>"
        assert isinstance(empty, streams.StreamReader)
        empty.set_exception(ValueError())
        assert empty.exception() is None
        called: list[int] = []
        empty.on_eof(lambda: called.append(1))
        assert called == [1]
        empty.on_eof(lambda: 1 / 0)
        empty.feed_eof()
        assert empty.feed_data(b"abc") is False
        assert empty.is_eof() and empty.at_eof()
        await empty.wait_eof()
        assert await empty.read() == await empty.read(10) == await empty.readline() == b""
        assert await empty.readany() == empty.read_nowait() == b""
        assert await empty.readchunk() == (b"", False)
        assert await empty.readchunk() == (b"", True)
        with pytest.raises(asyncio.IncompleteReadError):
            await empty.readexactly(1)
        assert [line async for line in empty] == []
        assert [part async for part in empty.iter_chunked(10)] == []
        assert [part async for part in empty.iter_any()] == []
        empty.set_read_chunk_size(10)
        assert empty.total_bytes == 0
        assert isinstance(streams.EMPTY_PAYLOAD, streams.EmptyStreamReader)

    run(main)
    assert [r.getMessage() for r in caplog.records] == ["Exception in eof callback"]


# ---- at random ----------------------------------------------------------------------------------


class Pair:
    """Both readers, done the same to."""

    def __init__(self, limit: int) -> None:
        self.readers, self.protocols = zip(
            *(make(module, limit) for module in READERS.values()), strict=True
        )

    def both(self, method: str, *args: Any) -> None:
        for reader in self.readers:
            getattr(reader, method)(*args)


CALLS = [
    ("read", (1,)),
    ("read", (5,)),
    ("read", (40,)),
    ("readany", ()),
    ("readline", ()),
    ("readuntil", (b"ab",)),
    ("readuntil", (b"\n\n\n",)),
    ("readexactly", (7,)),
    ("readchunk", ()),
]


@pytest.mark.parametrize("seed", range(200))
def test_random_operations(seed: int) -> None:
    """The same fed and read, pieces and calls at random: the same results, in the same turn."""
    rng = random.Random(seed)

    async def main() -> None:
        pair = Pair(rng.choice([3, 20, 500]))
        chunked = rng.random() < 0.5
        tasks: list[asyncio.Task[Any]] = []
        if chunked:
            pair.both("begin_http_chunk_receiving")
        for _ in range(60):
            what = rng.random()
            if what < 0.55:
                n = rng.choice([0, 1, 2, 3, 10, 60])
                pair.both("feed_data", bytes(rng.choices(b"ab\nc", k=n)))
                if chunked and n > 0 and rng.random() < 0.6:
                    pair.both("end_http_chunk_receiving")
                    pair.both("begin_http_chunk_receiving")
            elif not tasks:
                name, args = rng.choice(CALLS)
                tasks = [
                    asyncio.ensure_future(outcome(getattr(reader, name)(*args)))
                    for reader in pair.readers
                ]
            await steps(rng.randint(0, 3))
            if tasks and (what > 0.9 or any(task.done() for task in tasks)):
                await steps(4)
                assert tasks[0].done() == tasks[1].done()
                if tasks[0].done():
                    assert tasks[0].result() == tasks[1].result()
                    tasks = []
        pair.both("feed_eof")
        results = [await task for task in tasks]
        assert results == [] or results[0] == results[1]
        ends = [await outcome(reader.read()) for reader in pair.readers]
        assert ends[0] == ends[1]
        assert [reader.at_eof() for reader in pair.readers] == [True, True]
        assert len({reader.total_bytes for reader in pair.readers}) == 1

    run(main)
