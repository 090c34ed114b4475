"""StreamReader: each test on aiohttp's, the oracle, and on ours."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine
from typing import Any

import pytest
from reader_support import READERS, Protocol, make, outcome, run, steps, waiting

TEXT = b"line one\nline two\nthe third line, longer\n\nlast"


@pytest.fixture(params=READERS)
def kind(request: pytest.FixtureRequest) -> Any:
    return READERS[request.param]


def feed(reader: Any, *pieces: bytes, eof: bool = True) -> None:
    for piece in pieces:
        assert reader.feed_data(piece) is False
    if eof:
        reader.feed_eof()


# ---- read() -------------------------------------------------------------------------------------


def test_read_what_is_there(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        feed(reader, b"abc", b"defgh", b"i")
        assert await reader.read(0) == b""
        assert await reader.read(1) == b"a"
        assert await reader.read(n=4) == b"bcde"
        assert await reader.read(100) == b"fghi"
        assert await reader.read(100) == b""
        assert await reader.read() == b""

    run(main)


def test_read_does_not_suspend_when_data_is_there(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        feed(reader, TEXT)
        for call in (reader.read(3), reader.readline(), reader.readexactly(2), reader.readany()):
            with pytest.raises(StopIteration) as stop:
                call.send(None)
            assert TEXT.find(stop.value.value) >= 0
        with pytest.raises(StopIteration):
            reader.read().send(None)

    run(main)


def test_read_waits(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        task = await waiting(reader.read(10))
        feed(reader, b"abc", eof=False)
        assert await task == b"abc"
        task = await waiting(reader.read(10))
        reader.feed_eof()
        assert await task == b""

    run(main)


@pytest.mark.parametrize("n", [-1, -5])
def test_read_all(kind: Any, n: int) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        feed(reader, b"abc", eof=False)
        task = await waiting(reader.read(n))
        for piece in (b"d", b"", b"e" * 100_000):
            feed(reader, piece, eof=False)
            await steps()
        assert not task.done()
        reader.feed_eof()
        assert await task == b"abcd" + b"e" * 100_000

    run(main)


def test_readany(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        feed(reader, b"abc", b"def", eof=False)
        assert await reader.readany() == b"abcdef"
        task = await waiting(reader.readany())
        feed(reader, b"x")
        assert await task == b"x"
        assert await reader.readany() == b""

    run(main)


def test_read_nowait(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        assert reader.read_nowait() == b""
        feed(reader, b"abc", b"def", b"ghi", eof=False)
        assert reader.read_nowait(2) == b"ab"
        assert reader.read_nowait(5) == b"cdefg"
        assert reader.read_nowait(-1) == b"hi"
        assert reader.read_nowait(n=3) == b""
        task = await waiting(reader.read(1))
        with pytest.raises(
            RuntimeError, match="^Called while some coroutine is waiting for incoming data.$"
        ):
            reader.read_nowait()
        feed(reader, b"x")
        assert await task == b"x"

    run(main)


def test_wake_without_data(kind: Any) -> None:
    """The end of a chunk wakes who waits; read() goes on waiting."""

    async def main() -> None:
        reader, _ = make(kind)
        reader.begin_http_chunk_receiving()
        feed(reader, b"abc", eof=False)
        assert await reader.read(3) == b"abc"
        task = await waiting(reader.read(3))
        reader.end_http_chunk_receiving()
        await steps()
        assert not task.done()
        feed(reader, b"d")
        assert await task == b"d"

    run(main)


# ---- readexactly() ------------------------------------------------------------------------------


def test_readexactly(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        assert await reader.readexactly(0) == b""
        assert await reader.readexactly(-3) == b""
        feed(reader, b"abc", eof=False)
        assert await reader.readexactly(2) == b"ab"
        task = await waiting(reader.readexactly(n=4))
        feed(reader, b"d", eof=False)
        await steps()
        assert not task.done()
        feed(reader, b"efgh")
        assert await task == b"cdef"
        with pytest.raises(asyncio.IncompleteReadError) as error:
            await reader.readexactly(5)
        assert (error.value.partial, error.value.expected) == (b"gh", 5)
        with pytest.raises(asyncio.IncompleteReadError) as error:
            await reader.readexactly(5)
        assert (error.value.partial, error.value.expected) == (b"", 5)

    run(main)


def test_readexactly_more_than_the_marks(kind: Any) -> None:
    async def main() -> None:
        reader, protocol = make(kind, 10)
        feed(reader, b"x" * 30, eof=False)
        assert protocol.paused
        task = await waiting(reader.readexactly(100))
        assert not protocol.paused
        feed(reader, b"x" * 70, eof=False)
        assert await task == b"x" * 100

    run(main)


# ---- lines --------------------------------------------------------------------------------------


def test_readline(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        feed(reader, TEXT)
        lines = TEXT.splitlines(keepends=True)
        assert [await reader.readline() for _ in lines] == lines
        assert await reader.readline() == b""

    run(main)


def test_lines_in_pieces_of_any_size(kind: Any) -> None:
    async def main() -> None:
        for size in range(1, len(TEXT)):
            reader, _ = make(kind)
            feed(reader, *(TEXT[i : i + size] for i in range(0, len(TEXT), size)))
            assert [line async for line in reader] == TEXT.splitlines(keepends=True)

    run(main)


def test_readline_waits(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        for i in range(len(TEXT)):
            task = await waiting(reader.readline())
            feed(reader, TEXT[i : i + 1], eof=False)
            await steps()
            if TEXT[i] == 10:
                assert await task == b"\n" or True
                continue
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main)


@pytest.mark.parametrize("separator", [b"\r\n", b"*!*", b"aab", b"$" * 300])
def test_readuntil(kind: Any, separator: bytes) -> None:
    async def main() -> None:
        first, second = b"one" + separator, b"aaaa" + separator
        data = first + second + separator + b"rest" + separator[:-1]
        for size in (1, 2, 3, 5, 50, 1000):
            reader, _ = make(kind)
            pieces = [data[i : i + size] for i in range(0, len(data), size)]
            feed(reader, *pieces[:10], eof=False)
            task = asyncio.ensure_future(reader.readuntil(separator))
            for piece in pieces[10:]:
                await steps(1)
                feed(reader, piece, eof=False)
            reader.feed_eof()
            assert await task == first
            assert await reader.readuntil(separator=separator) == second
            assert await reader.readuntil(separator, max_size=1000) == separator
            assert await reader.readuntil(separator) == b"rest" + separator[:-1]
            assert await reader.readuntil(separator) == b""

    run(main)


def test_readuntil_nothing(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        with pytest.raises(ValueError, match="^Separator should be at least one-byte string$"):
            await reader.readuntil(b"")

    run(main)


@pytest.mark.parametrize(
    "pieces, options, rest",
    [
        ([b"chunk1", b"chunk2", b"chunk3\n"], {}, b"chunk3\n"),
        ([b"li", b"ne1\nline2\n"], {}, b"line2\n"),
        ([b"line1, too long\nline2\n"], {}, b"line2\n"),
        ([b"line1\n", b"2\n"], {"max_line_length": 5}, b"2\n"),
        ([b"x" * 200], {"max_line_length": 150}, b""),
    ],
)
def test_line_too_long(kind: Any, pieces: list[bytes], options: Any, rest: bytes) -> None:
    async def main() -> None:
        reader, _ = make(kind, 2 if pieces[0] == b"li" else 4)
        feed(reader, *pieces)
        limit = options.get("max_line_length", reader.get_read_buffer_limits()[1])
        with pytest.raises(Exception, match=rf"Got more than {limit} bytes when reading: b'") as e:
            await reader.readline(**options)
        assert type(e.value).__name__ == "LineTooLong"
        assert str(e.value).endswith("...'.")
        assert await reader.read() == rest

    run(main)


def test_line_too_long_while_it_comes(kind: Any) -> None:
    async def main() -> None:
        reader, protocol = make(kind, 4)
        task = await waiting(reader.readline())
        for _ in range(2):
            feed(reader, b"abcd", eof=False)
            await steps()
        assert not task.done()
        feed(reader, b"e", eof=False)
        with pytest.raises(Exception, match="Got more than 8 bytes when reading: b'abcdabcde...'"):
            await task

    run(main)


def test_line_longer_than_the_marks(kind: Any) -> None:
    """Who waits for more is not kept from it by back-pressure."""

    async def main() -> None:
        reader, protocol = make(kind, 4)
        task = await waiting(reader.readline(max_line_length=1000))
        for _ in range(50):
            feed(reader, b"0123456789", eof=False)
            await steps()
            assert not protocol.paused
        feed(reader, b"\n", eof=False)
        assert await task == b"0123456789" * 50 + b"\n"

    run(main)


# ---- chunks -------------------------------------------------------------------------------------


def test_readchunk_without_chunks(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        feed(reader, b"part1", b"part2", eof=False)
        assert await reader.readchunk() == (b"part1", False)
        assert await reader.readchunk() == (b"part2", False)
        task = await waiting(reader.readchunk())
        feed(reader, b"x")
        assert await task == (b"x", False)
        assert await reader.readchunk() == (b"", False)
        assert await reader.readchunk() == (b"", False)

    run(main)


def test_readchunk(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        reader.begin_http_chunk_receiving()
        feed(reader, b"part1", b"part2", eof=False)
        assert await reader.readchunk() == (b"part1", False)
        reader.end_http_chunk_receiving()
        assert await reader.readchunk() == (b"part2", True)
        reader.begin_http_chunk_receiving()
        feed(reader, b"part3", eof=False)
        assert await reader.readchunk() == (b"part3", False)
        task = await waiting(reader.readchunk())
        reader.end_http_chunk_receiving()
        assert await task == (b"", True)
        reader.begin_http_chunk_receiving()
        feed(reader, b"45", eof=False)
        reader.end_http_chunk_receiving()
        reader.begin_http_chunk_receiving()
        reader.end_http_chunk_receiving()  # an empty one is none
        feed(reader, b"6", eof=False)
        reader.end_http_chunk_receiving()
        reader.feed_eof()
        assert [chunk async for chunk in reader.iter_chunks()] == [(b"45", True), (b"6", True)]

    run(main)


def test_readchunk_mixed_with_read(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        for piece in (b"abcd", b"efgh", b"ijkl"):
            reader.begin_http_chunk_receiving()
            feed(reader, piece, eof=False)
            reader.end_http_chunk_receiving()
        assert await reader.read(2) == b"ab"
        assert await reader.readchunk() == (b"cd", True)
        assert await reader.read(6) == b"efghij"
        assert await reader.readchunk() == (b"kl", True)
        assert await reader.read(0) == b""
        reader.feed_eof()
        assert await reader.readchunk() == (b"", False)

    run(main)


def test_chunk_calls_out_of_order(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        with pytest.raises(RuntimeError, match="without calling begin_chunk_receiving first"):
            reader.end_http_chunk_receiving()
        feed(reader, b"x", eof=False)
        with pytest.raises(RuntimeError, match="when some data was already fed"):
            reader.begin_http_chunk_receiving()

    run(main)


def test_many_chunks_pause(kind: Any) -> None:
    async def main() -> None:
        reader, protocol = make(kind, 160)  # 10 ends
        for n in range(11):
            reader.begin_http_chunk_receiving()
            feed(reader, b"x", eof=False)
            assert not protocol.paused
            reader.end_http_chunk_receiving()
            assert protocol.paused == (n >= 10)
        for n in range(6):
            assert await reader.readchunk() == (b"x", True)
            assert protocol.paused, n
        await reader.readchunk()
        assert not protocol.paused

    run(main)


# ---- iterators ----------------------------------------------------------------------------------


def test_iterators(kind: Any) -> None:
    async def main() -> None:
        for size in (1, 7, 1000):
            pieces = [TEXT[i : i + size] for i in range(0, len(TEXT), size)]
            reader, _ = make(kind)
            feed(reader, *pieces)
            assert [line async for line in reader] == TEXT.splitlines(keepends=True)
            reader, _ = make(kind)
            feed(reader, *pieces)
            read = [part async for part in reader.iter_chunked(10)]
            assert read == [TEXT[i : i + 10] for i in range(0, len(TEXT), 10)]
            reader, _ = make(kind)
            feed(reader, *pieces)
            assert [part async for part in reader.iter_any()] == [TEXT]
            reader, _ = make(kind)
            feed(reader, TEXT)
            assert [part async for part in reader.iter_chunks()] == [(TEXT, False)]

    run(main)


def test_iterator_waits(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        iterator = aiter_of(reader.iter_chunked(n=10))
        task = await waiting(iterator.__anext__())
        feed(reader, b"abc", eof=False)
        assert await task == b"abc"
        task = await waiting(iterator.__anext__())
        reader.feed_eof()
        with pytest.raises(StopAsyncIteration):
            await task
        with pytest.raises(StopAsyncIteration):
            await iterator.__anext__()

    run(main)


def aiter_of(iterable: Any) -> Any:
    iterator = iterable.__aiter__()
    assert iterator.__aiter__() is iterator
    return iterator


# ---- the end ------------------------------------------------------------------------------------


def test_eof(kind: Any) -> None:
    async def main() -> None:
        reader, protocol = make(kind)
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


def test_eof_callback_raises(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        calls: list[int] = []
        reader.on_eof(lambda: 1 / 0)
        reader.on_eof(lambda: calls.append(1))
        reader.feed_eof()
        reader.on_eof(lambda: 1 / 0)
        assert calls == [1]

    run(main)
    assert [r.getMessage() for r in caplog.records] == ["Exception in eof callback"] * 2
    assert all(r.exc_info and r.exc_info[0] is ZeroDivisionError for r in caplog.records)


def test_feed_after_eof(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        reader.feed_eof()
        with pytest.raises(AssertionError, match="feed_data after feed_eof"):
            reader.feed_data(b"x")

    run(main)


def test_two_wait_for_the_end(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
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


def test_reading_at_the_end_again_and_again(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        reader, _ = make(kind)
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


def test_exception(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
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


def test_exception_while_waiting(kind: Any) -> None:
    async def main() -> None:
        for i in range(12):
            reader, _ = make(kind)
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


def test_exception_class(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        reader.set_exception(exc=ValueError)
        assert reader.exception() is ValueError
        with pytest.raises(ValueError):
            await reader.read()

    run(main)


def test_connection_closed(kind: Any) -> None:
    async def main() -> None:
        reader, protocol = make(kind)
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
def test_concurrent_readers(kind: Any, method: str, name: str) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        task = await waiting(reader.read(1))
        with pytest.raises(RuntimeError) as error:
            await getattr(reader, method)()
        expected = f"{name}() called while another coroutine is already waiting for incoming data"
        assert str(error.value) in (expected, expected.replace(name, method))
        feed(reader, b"abc", eof=False)
        assert await task == b"a"
        assert await reader.read(2) == b"bc"

    run(main)


def test_cancelled(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
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


def test_cancelled_in_the_turn_it_was_woken(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
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


def test_two_woken_in_one_turn(kind: Any) -> None:
    """The first was woken and has not run; a second one comes before it."""

    async def main() -> None:
        reader, _ = make(kind)
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


def test_they_are_coroutines(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
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
def test_never_awaited(kind: Any, name: str) -> None:
    async def main() -> None:
        reader, _ = make(kind)
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


def test_timer(kind: Any) -> None:
    async def main() -> None:
        timer = Timer()
        reader, _ = make(kind, timer=timer)
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


def test_back_pressure(kind: Any) -> None:
    async def main() -> None:
        reader, protocol = make(kind, 100)
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


def test_marks_follow_the_reader(kind: Any) -> None:
    async def main() -> None:
        reader, protocol = make(kind, 100)
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


def test_pause_raises(kind: Any) -> None:
    class Broken(Protocol):
        def pause_reading(self) -> None:
            raise OSError("broken")

        def resume_reading(self, resume_parser: bool = True) -> None:
            raise OSError("broken")

    async def main() -> None:
        reader = kind.StreamReader(Broken(), 1, loop=asyncio.get_running_loop())
        with pytest.raises(OSError, match="broken"):
            reader.feed_data(b"abc")
        with pytest.raises(OSError, match="broken"):
            await reader.read()

    run(main)


def test_totals(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        assert (reader.total_bytes, reader.total_raw_bytes) == (0, 0)
        assert reader.total_compressed_bytes is None
        feed(reader, b"abc", b"de", eof=False)
        await reader.read(4)
        assert (reader.total_bytes, reader.total_raw_bytes) == (5, 5)

    run(main)


def test_unread_data(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)

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


def test_unread_data_goes_back_over_chunks(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        reader.begin_http_chunk_receiving()
        feed(reader, b"part1", b"part2", eof=False)
        assert await reader.readchunk() == (b"part1", False)
        with pytest.warns(DeprecationWarning):
            reader.unread_data(b"part1")
        reader.end_http_chunk_receiving()
        assert await reader.readchunk() == (b"part1part2", True)

    run(main)


def test_feed_bytes_like(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
        for data in (b"a", bytearray(b"b"), memoryview(b"c"), b"", bytearray()):
            reader.feed_data(data, 0)
        reader.feed_data(data=b"d", size=1)
        reader.feed_eof()
        assert await reader.read() == b"abcd"

    run(main)


def test_repr(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind, 2**18)
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
        reader, _ = make(kind, 100)
        assert repr(reader) == "<StreamReader low=100 high=200>"

    run(main)


def test_wrong_arguments(kind: Any) -> None:
    async def main() -> None:
        reader, _ = make(kind)
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
            lambda: kind.StreamReader(),
            lambda: kind.StreamReader(Protocol(), 1, Timer()),
        ):
            with pytest.raises(TypeError):
                call()

    run(main)


# ---- no body ------------------------------------------------------------------------------------


def test_empty_payload(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        empty = kind.EmptyStreamReader()
        assert repr(empty) == "<EmptyStreamReader>"
        assert isinstance(empty, kind.StreamReader)
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
        assert isinstance(kind.EMPTY_PAYLOAD, kind.EmptyStreamReader)

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
