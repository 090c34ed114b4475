"""StreamReader: each test on aiohttp's, the oracle, and on ours."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from reader_support import TEXT, feed, make, run, steps, waiting

# ---- read() -------------------------------------------------------------------------------------


def test_read_what_is_there(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        feed(reader, b"abc", b"defgh", b"i")
        assert await reader.read(0) == b""
        assert await reader.read(1) == b"a"
        assert await reader.read(n=4) == b"bcde"
        assert await reader.read(100) == b"fghi"
        assert await reader.read(100) == b""
        assert await reader.read() == b""

    run(main)


def test_read_does_not_suspend_when_data_is_there(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        feed(reader, TEXT)
        for call in (reader.read(3), reader.readline(), reader.readexactly(2), reader.readany()):
            with pytest.raises(StopIteration) as stop:
                call.send(None)
            assert TEXT.find(stop.value.value) >= 0
        with pytest.raises(StopIteration):
            reader.read().send(None)

    run(main)


def test_read_waits(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        task = await waiting(reader.read(10))
        feed(reader, b"abc", eof=False)
        assert await task == b"abc"
        task = await waiting(reader.read(10))
        reader.feed_eof()
        assert await task == b""

    run(main)


@pytest.mark.parametrize("n", [-1, -5])
def test_read_all(streams: Any, n: int) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        feed(reader, b"abc", eof=False)
        task = await waiting(reader.read(n))
        for piece in (b"d", b"", b"e" * 100_000):
            feed(reader, piece, eof=False)
            await steps()
        assert not task.done()
        reader.feed_eof()
        assert await task == b"abcd" + b"e" * 100_000

    run(main)


def test_readany(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        feed(reader, b"abc", b"def", eof=False)
        assert await reader.readany() == b"abcdef"
        task = await waiting(reader.readany())
        feed(reader, b"x")
        assert await task == b"x"
        assert await reader.readany() == b""

    run(main)


def test_read_nowait(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
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


def test_wake_without_data(streams: Any) -> None:
    """The end of a chunk wakes who waits; read() goes on waiting."""

    async def main() -> None:
        reader, _ = make(streams)
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


def test_readexactly(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
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


def test_readexactly_more_than_the_marks(streams: Any) -> None:
    async def main() -> None:
        reader, protocol = make(streams, 10)
        feed(reader, b"x" * 30, eof=False)
        assert protocol.paused
        task = await waiting(reader.readexactly(100))
        assert not protocol.paused
        feed(reader, b"x" * 70, eof=False)
        assert await task == b"x" * 100

    run(main)


# ---- lines --------------------------------------------------------------------------------------


def test_readline(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        feed(reader, TEXT)
        lines = TEXT.splitlines(keepends=True)
        assert [await reader.readline() for _ in lines] == lines
        assert await reader.readline() == b""

    run(main)


def test_lines_in_pieces_of_any_size(streams: Any) -> None:
    async def main() -> None:
        for size in range(1, len(TEXT)):
            reader, _ = make(streams)
            feed(reader, *(TEXT[i : i + size] for i in range(0, len(TEXT), size)))
            assert [line async for line in reader] == TEXT.splitlines(keepends=True)

    run(main)


def test_readline_waits(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
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
def test_readuntil(streams: Any, separator: bytes) -> None:
    async def main() -> None:
        first, second = b"one" + separator, b"aaaa" + separator
        data = first + second + separator + b"rest" + separator[:-1]
        for size in (1, 2, 3, 5, 50, 1000):
            reader, _ = make(streams)
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


def test_readuntil_nothing(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
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
def test_line_too_long(streams: Any, pieces: list[bytes], options: Any, rest: bytes) -> None:
    async def main() -> None:
        reader, _ = make(streams, 2 if pieces[0] == b"li" else 4)
        feed(reader, *pieces)
        limit = options.get("max_line_length", reader.get_read_buffer_limits()[1])
        with pytest.raises(Exception, match=rf"Got more than {limit} bytes when reading: b'") as e:
            await reader.readline(**options)
        assert type(e.value).__name__ == "LineTooLong"
        assert str(e.value).endswith("...'.")
        assert await reader.read() == rest

    run(main)


def test_line_too_long_while_it_comes(streams: Any) -> None:
    async def main() -> None:
        reader, protocol = make(streams, 4)
        task = await waiting(reader.readline())
        for _ in range(2):
            feed(reader, b"abcd", eof=False)
            await steps()
        assert not task.done()
        feed(reader, b"e", eof=False)
        with pytest.raises(Exception, match="Got more than 8 bytes when reading: b'abcdabcde...'"):
            await task

    run(main)


def test_line_longer_than_the_marks(streams: Any) -> None:
    """Who waits for more is not kept from it by back-pressure."""

    async def main() -> None:
        reader, protocol = make(streams, 4)
        task = await waiting(reader.readline(max_line_length=1000))
        for _ in range(50):
            feed(reader, b"0123456789", eof=False)
            await steps()
            assert not protocol.paused
        feed(reader, b"\n", eof=False)
        assert await task == b"0123456789" * 50 + b"\n"

    run(main)


# ---- chunks -------------------------------------------------------------------------------------


def test_readchunk_without_chunks(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        feed(reader, b"part1", b"part2", eof=False)
        assert await reader.readchunk() == (b"part1", False)
        assert await reader.readchunk() == (b"part2", False)
        task = await waiting(reader.readchunk())
        feed(reader, b"x")
        assert await task == (b"x", False)
        assert await reader.readchunk() == (b"", False)
        assert await reader.readchunk() == (b"", False)

    run(main)


def test_readchunk(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
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


def test_readchunk_mixed_with_read(streams: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        reader, _ = make(streams)
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


def test_chunk_calls_out_of_order(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
        with pytest.raises(RuntimeError, match="without calling begin_chunk_receiving first"):
            reader.end_http_chunk_receiving()
        feed(reader, b"x", eof=False)
        with pytest.raises(RuntimeError, match="when some data was already fed"):
            reader.begin_http_chunk_receiving()

    run(main)


def test_many_chunks_pause(streams: Any) -> None:
    async def main() -> None:
        reader, protocol = make(streams, 160)  # 10 ends
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


def test_iterators(streams: Any) -> None:
    async def main() -> None:
        for size in (1, 7, 1000):
            pieces = [TEXT[i : i + size] for i in range(0, len(TEXT), size)]
            reader, _ = make(streams)
            feed(reader, *pieces)
            assert [line async for line in reader] == TEXT.splitlines(keepends=True)
            reader, _ = make(streams)
            feed(reader, *pieces)
            read = [part async for part in reader.iter_chunked(10)]
            assert read == [TEXT[i : i + 10] for i in range(0, len(TEXT), 10)]
            reader, _ = make(streams)
            feed(reader, *pieces)
            assert [part async for part in reader.iter_any()] == [TEXT]
            reader, _ = make(streams)
            feed(reader, TEXT)
            assert [part async for part in reader.iter_chunks()] == [(TEXT, False)]

    run(main)


def test_iterator_waits(streams: Any) -> None:
    async def main() -> None:
        reader, _ = make(streams)
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
