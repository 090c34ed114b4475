"""Bodies that are decoded as they are read, and what else our StreamReader does by itself."""

from __future__ import annotations

import asyncio
import gc
import gzip
import random
import subprocess
import sys
import time
import weakref
import zlib
from typing import Any

import pytest
import support
from aiohttp.http_parser import DeflateBuffer
from decode_support import ENCODERS, coding_of
from reader_support import READERS, Protocol, make, run, steps, waiting

import uvolt.http.streams as streams
from uvolt.http.exceptions import ClientPayloadError, ContentEncodingError

BODY = b"".join(b"line %d of the body\n" % n for n in range(5000))
MIB = 1 << 20


def coded(body: bytes, coding: str = "gzip", limit: int = 2**16) -> tuple[Any, Protocol]:
    """A reader that got all of `body`, encoded."""
    reader, protocol = make(streams, limit)
    reader._set_coding(coding_of(coding))
    reader.feed_data(ENCODERS[coding](body))
    reader.feed_eof()
    return reader, protocol


encoders = pytest.mark.parametrize("encoder", ENCODERS)


# ---- reading ------------------------------------------------------------------------------------


@encoders
def test_every_way_of_reading(encoder: str) -> None:
    async def main() -> None:
        def body() -> Any:
            return coded(BODY, encoder)[0]

        assert await body().read() == BODY
        assert body()._take_all() == BODY
        assert b"".join([part async for part in body().iter_chunked(1000)]) == BODY
        assert b"".join([part async for part in body().iter_any()]) == BODY
        assert b"".join([part async for part, _ in body().iter_chunks()]) == BODY
        assert [line async for line in body()] == BODY.splitlines(keepends=True)
        reader = body()
        assert await reader.readexactly(70_000) == BODY[:70_000]
        assert reader.read_nowait(10) == BODY[70_000:70_010]
        assert await reader.readuntil(b"4999") == BODY[70_010:-13]
        assert not reader.at_eof()
        assert await reader.readline() == b" of the body\n"
        assert reader.at_eof()

    run(main)


@encoders
@pytest.mark.parametrize("seed", range(6))
def test_fed_and_read_by_turns(encoder: str, seed: int) -> None:
    async def main() -> None:
        rng = random.Random(seed)
        reader, protocol = make(streams, rng.choice([1, 100, 10_000]))
        reader._set_coding(coding_of(encoder))
        encoded = ENCODERS[encoder](BODY)
        size = rng.choice([1, 50, 5000])
        pieces = [encoded[i : i + size] for i in range(0, len(encoded), size)]
        read: list[bytes] = []

        async def drink() -> None:
            while part := await reader.read(rng.choice([1, 1000, 100_000])):
                read.append(part)

        task = asyncio.ensure_future(drink())
        for piece in pieces:
            reader.feed_data(piece)
            if rng.random() < 0.2:
                await steps(2)
        reader.feed_eof()
        await task
        assert b"".join(read) == BODY
        assert reader.total_bytes == len(BODY)
        assert reader.total_raw_bytes == reader.total_compressed_bytes == len(encoded)

    run(main)


def test_as_aiohttps_deflate_buffer() -> None:
    """The same chunks of the same gzip body, by aiohttp's decoder into its reader, and by ours."""

    async def main() -> None:
        encoded = gzip.compress(BODY, mtime=0)
        for size in (10, 1000, 7000):
            theirs, _ = make(READERS["aiohttp"], 2**20)
            buffer = DeflateBuffer(theirs, "gzip", 2**20)
            ours, _ = make(streams, 2**20)
            ours._set_coding("gzip")
            for out in (buffer, ours):
                for i in range(0, len(encoded), size):
                    piece = encoded[i : i + size]
                    out.begin_http_chunk_receiving()
                    out.feed_data(piece, len(piece))
                    out.end_http_chunk_receiving()
                out.feed_eof()
            chunks: list[list[tuple[bytes, bool]]] = []
            for reader in (theirs, ours):
                chunks.append([chunk async for chunk in reader.iter_chunks()])
            ends = [
                [sum(len(b) for b, _ in list_[:i]) for i, (_, end) in enumerate(list_, 1) if end]
                for list_ in chunks
            ]
            assert ends[0] == ends[1]
            assert b"".join(b for b, _ in chunks[1]) == BODY
            assert ours.total_raw_bytes == theirs.total_raw_bytes
            assert ours.total_bytes == theirs.total_bytes

    run(main)


def test_events_come_as_they_are_sent() -> None:
    async def main() -> None:
        reader, _ = make(streams)
        reader._set_coding("gzip")
        coder = zlib.compressobj(wbits=31)
        for n in range(5):
            task = await waiting(reader.readline())
            reader.feed_data(coder.compress(b"event %d\n" % n))
            await steps()
            assert not task.done()
            reader.feed_data(coder.flush(zlib.Z_SYNC_FLUSH))
            assert await task == b"event %d\n" % n
        reader.feed_data(coder.flush())
        reader.feed_eof()
        assert not reader.at_eof() or await reader.read() == b""

    run(main)


@encoders
def test_nothing(encoder: str) -> None:
    async def main() -> None:
        reader, _ = coded(b"", encoder)
        assert reader.at_eof()
        assert await reader.read() == b""
        reader, _ = make(streams)
        reader._set_coding(coding_of(encoder))
        reader.feed_eof()
        assert await reader.read() == b""
        assert reader.at_eof()

    run(main)


def test_unknown_codings_pass() -> None:
    async def main() -> None:
        reader, _ = make(streams)
        reader._set_coding("foo, gzip")
        reader.feed_data(b"as it is")
        reader.feed_eof()
        assert await reader.read() == b"as it is"
        assert reader.total_compressed_bytes is None
        with pytest.raises(ValueError, match="more than 5 codings"):
            reader._set_coding("gzip, " * 6)

    run(main)


# ---- what cannot be decoded ---------------------------------------------------------------------


@encoders
def test_error(encoder: str) -> None:
    async def main() -> None:
        coding = coding_of(encoder)
        broken = ENCODERS[encoder](BODY)[:-20]
        for tail in (b"", b"\xff" * 40):
            for method, args in (("read", ()), ("readany", ()), ("readline", ()), ("read", (10,))):
                reader, _ = make(streams)
                reader._set_coding(coding)
                called: list[int] = []
                reader.on_eof(lambda called=called: called.append(1))
                reader.feed_data(broken + tail)
                reader.feed_eof()
                with pytest.raises(ClientPayloadError) as error:
                    while await getattr(reader, method)(*args):
                        pass
                text = f"400, message:\n  Can not decode content-encoding: {coding}"
                assert str(error.value) == text
                assert isinstance(error.value.__cause__, ContentEncodingError)
                assert reader.exception() is error.value
                with pytest.raises(ClientPayloadError):
                    await reader.read()
                with pytest.raises(ClientPayloadError):
                    reader.read_nowait()
                with pytest.raises(ClientPayloadError):
                    reader._take_all()

    run(main)


def test_error_lets_the_rest_pass() -> None:
    """The connection goes on: what comes is dropped, and the source is not held back."""

    async def main() -> None:
        reader, protocol = make(streams, 100)
        reader._set_coding("gzip")
        task = await waiting(reader.read(10))
        for _ in range(50):
            reader.feed_data(b"this is not gzip")
        with pytest.raises(ClientPayloadError):
            await task
        assert not protocol.paused
        for _ in range(50):
            reader.feed_data(b"nor is this")
        reader.feed_eof()
        assert not protocol.paused
        assert repr(reader).startswith("<StreamReader eof low=100 high=200 e=ClientPayloadError")

    run(main)


def test_at_eof_meets_an_error() -> None:
    async def main() -> None:
        reader, _ = make(streams)
        reader._set_coding("br")
        reader.feed_data(b"\xff\xff\xff\xff")
        reader.feed_eof()
        assert not reader.is_eof() or not reader.at_eof() or reader.exception()
        with pytest.raises(ClientPayloadError):
            await reader.read(1)

    run(main)


# ---- no more than is asked for ------------------------------------------------------------------


def test_nothing_is_decoded_before_it_is_read() -> None:
    async def main() -> None:
        reader, _ = coded(bytes(10 * MIB))
        await steps()
        assert reader.total_bytes == 0
        assert len(await reader.read(10)) == 10
        assert reader.total_bytes < 100_000
        reader._drain()
        assert reader.total_bytes < 100_000
        assert await reader.read() == b""

    run(main)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_read_of_a_bomb_is_bounded(coding: str) -> None:
    async def main() -> None:
        reader, _ = coded(bytes(64 * MIB), coding)
        for n in (1, 1000, 100_000, MIB):
            before = reader.total_bytes
            assert len(await reader.read(n)) == n
            assert reader.total_bytes - before <= n + 2**16
        reader, _ = coded(bytes(64 * MIB), coding)
        assert len(await reader.readany()) <= 2**16
        assert len((await reader.readchunk())[0]) <= 2**16
        assert reader.total_bytes <= 2**18
        with pytest.raises(Exception, match="Got more than"):
            await reader.readline()
        assert reader.total_bytes <= 2**19

    run(main)


BOMB = """
import asyncio, gzip, sys
from pathlib import Path
import uvolt
from uvolt.http.streams import StreamReader

class Protocol:
    connected = True
    def pause_reading(self): pass
    def resume_reading(self, resume_parser=True): pass

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

async def main():
    coder = __import__("zlib").compressobj(wbits=31)
    bomb = b"".join(coder.compress(bytes(1 << 20)) for _ in range(256)) + coder.flush()
    reader = StreamReader(Protocol(), 2**16)
    reader._set_coding("gzip")
    reader.feed_data(bomb)
    reader.feed_eof()
    await reader.read(1)
    Path("/proc/self/clear_refs").write_text("5")
    before, total = peak(), 1
    async for part in reader.iter_chunked(1 << 16):
        total += len(part)
    print(total, peak() - before)

uvolt.run(main())
"""


@pytest.mark.once
def test_memory_for_a_bomb() -> None:
    command = [sys.executable, "-c", BOMB]
    done = subprocess.run(command, env=support.frugal(), check=True, capture_output=True, text=True)
    total, grown = map(int, done.stdout.split())
    assert total == 1 << 28
    assert grown < 2000 * support.SLOW  # KiB


def test_cap() -> None:
    async def main() -> None:
        for coding in ("", "gzip"):
            for size, well in ((1000, True), (1001, False), (100_000, False)):
                reader, _ = make(streams)
                reader._set_cap(1000)
                reader._set_coding(coding)
                body = bytes(size)
                reader.feed_data(gzip.compress(body) if coding else body)
                reader.feed_eof()
                if well:
                    assert await reader.read() == body
                    continue
                text = "^Response body is larger than 1000 bytes$"
                with pytest.raises(ClientPayloadError, match=text):
                    await reader.read()
                assert reader.total_bytes < 200_000

    run(main)


def test_drain() -> None:
    async def main() -> None:
        for coding in ("", "gzip"):
            reader, protocol = make(streams, 100)
            reader._set_coding(coding)
            encoded = gzip.compress(random.Random(1).randbytes(10_000))
            reader.feed_data(encoded[:5000])
            assert protocol.paused
            reader._drain()
            assert not protocol.paused
            for i in range(5000, len(encoded)):
                reader.feed_data(encoded[i : i + 1])
            assert not protocol.paused
            reader.feed_eof()
            assert reader.total_raw_bytes == len(encoded) or not coding
            assert repr(reader) == "<StreamReader eof low=100 high=200>"
            assert await reader.read() == b""

    run(main)


def test_back_pressure_counts_what_is_not_decoded() -> None:
    async def main() -> None:
        reader, protocol = make(streams, 1000)
        reader._set_coding("gzip")
        encoded = gzip.compress(random.Random(1).randbytes(10_000))
        fed = 0
        while not protocol.paused:
            reader.feed_data(encoded[fed : fed + 100])
            fed += 100
        assert fed == 2100
        read = b""
        while len(read) < 10_000:
            part = await asyncio.wait_for(reader.read(500), 1)
            assert part
            read += part
            while not protocol.paused and fed < len(encoded):
                reader.feed_data(encoded[fed : fed + 100])
                fed += 100
        assert len(read) == 10_000

    run(main)


# ---- memory and time ----------------------------------------------------------------------------


def test_one_piece_is_not_copied() -> None:
    async def main() -> None:
        data = bytes(1000)
        for read in ("_take_all", "read_nowait"):
            reader, _ = make(streams)
            reader.feed_data(data)
            reader.feed_eof()
            assert getattr(reader, read)() is data
        reader, _ = make(streams)
        reader.feed_data(data)
        reader.feed_eof()
        assert await reader.read() is data

    run(main)


def cpu(pieces: int, coding: str = "") -> float:
    async def main() -> float:
        reader, _ = make(streams, 10**9)
        reader._set_coding(coding)
        body = bytes(pieces)
        encoded = ENCODERS[coding](body) if coding else body
        start = time.process_time()
        for i in range(len(encoded)):
            reader.feed_data(encoded[i : i + 1])
        reader.feed_eof()
        assert await reader.read() == body
        return time.process_time() - start

    return float(run(main))


@pytest.mark.once
@pytest.mark.parametrize("coding", ["", "zstd"])
def test_many_small_pieces_take_linear_time(coding: str) -> None:
    small = min(cpu(20_000, coding) for _ in range(3))
    assert cpu(400_000, coding) < 100 * small + 0.5


def test_many_small_chunks_are_few_objects() -> None:
    """A million chunks of one byte: no object and no list entry each."""

    async def main() -> None:
        reader, _ = make(streams, 10**9)
        reader.begin_http_chunk_receiving()
        before = sys.getallocatedblocks()
        for _ in range(100_000):
            reader.feed_data(bytearray(b"x"))
            reader.end_http_chunk_receiving()
        assert sys.getallocatedblocks() - before < 1000
        task = asyncio.ensure_future(reader.readexactly(99_000))
        assert await task == b"x" * 99_000
        assert await reader.readchunk() == (b"", True)
        assert await reader.readchunk() == (b"x", True)
        reader.feed_eof()
        assert len([chunk async for chunk in reader.iter_chunks()]) == 999

    run(main)


@pytest.mark.once
def test_slow_line_takes_linear_time() -> None:
    def cpu(n: int) -> float:
        async def main() -> float:
            reader, _ = make(streams, 2 * n)
            task = await waiting(reader.readuntil(b"\r\n"))
            start = time.process_time()
            for _ in range(n):
                reader.feed_data(b"x")
                await asyncio.sleep(0)
            reader.feed_data(b"\r\n")
            assert len(await task) == n + 2
            return time.process_time() - start

        return float(run(main))

    small = min(cpu(2000) for _ in range(3))
    assert cpu(40_000) < 100 * small + 0.5


@pytest.mark.parametrize("length", [0, 10, 1_000_000, 2**62])
def test_expected_length(length: int) -> None:
    """What Content-Length says is only a hint of how much room to make."""

    async def main() -> None:
        reader, _ = make(streams)
        reader._expect(length)
        reader.feed_data(b"first ")
        task = await waiting(reader.read())
        body = random.Random(1).randbytes(1_000_000)
        for i in range(0, len(body), 10_000):
            reader.feed_data(bytearray(body[i : i + 10_000]))
            await steps(1)
        reader.feed_eof()
        assert await task == b"first " + body

    run(main)


def test_cancelled_line_is_not_lost() -> None:
    """aiohttp loses the first part of a line whose reader is cancelled."""

    async def main() -> None:
        for call in ("readline", "readuntil", "readexactly", "read"):
            reader, _ = make(streams)
            reader.feed_data(b"begin ")
            args = {"readexactly": (20,)}.get(call, ())
            task = await waiting(getattr(reader, call)(*args))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            reader.feed_data(b"end\n")
            assert await reader.readline() == b"begin end\n"

    run(main)


# ---- the object ---------------------------------------------------------------------------------


def test_subclass() -> None:
    class Reader(streams.StreamReader):
        pass

    async def main() -> None:
        reader = Reader(Protocol(), 100)
        reader.extra = 1
        reader.feed_data(b"abc")
        reader.feed_eof()
        assert await reader.read() == b"abc"
        assert repr(reader) == "<Reader eof low=9223372036854775807 high=18446744073709551614>"
        ref = weakref.ref(reader)
        reader.on_eof(print)
        del reader
        gc.collect()
        assert ref() is None

    run(main)


def test_not_initialised() -> None:
    reader = streams.StreamReader.__new__(streams.StreamReader)
    assert reader._take_all() == b""
    assert repr(reader) == "<StreamReader low=0 high=0>"
    assert not reader.at_eof()
    text = r"StreamReader.__init__\(\) was not called"
    for call in (
        reader.read,
        reader.readline,
        reader.feed_eof,
        reader.read_nowait,
        reader._drain,
        lambda: reader.feed_data(b"x"),
        lambda: reader.on_eof(print),
        lambda: reader.set_exception(ValueError()),
        reader.iter_any().__anext__,
        reader.wait_eof,
        reader.end_http_chunk_receiving,
        lambda: reader._set_coding("gzip"),
    ):
        with pytest.raises(RuntimeError, match=text):
            call()


def test_initialised_twice() -> None:
    async def main() -> None:
        reader, protocol = make(streams)
        with pytest.raises(RuntimeError, match="initialised already"):
            reader.__init__(protocol, 10)

    run(main)


def test_other_loops() -> None:
    loop = asyncio.SelectorEventLoop()
    with pytest.raises(RuntimeError, match=r"uvolt\.run\(main\(\)\)"):
        streams.StreamReader(Protocol(), 10, loop=loop)
    loop.close()


def test_cycles_are_collected() -> None:
    class Cyclic(Protocol):
        reader: Any = None

    async def main() -> None:
        refs = []
        for _ in range(3):
            protocol = Cyclic()
            reader = streams.StreamReader(protocol, 10)
            protocol.reader = reader
            reader.on_eof(lambda reader=reader: None)
            reader.set_exception(ValueError("why"))
            protocol.calls.append(reader.iter_any())
            refs.append(weakref.ref(protocol))
        del protocol, reader
        gc.collect()
        assert [ref() for ref in refs] == [None] * 3

    run(main)


def test_source_feeds_from_within() -> None:
    """A protocol that has the next bytes ready feeds them in resume_reading()."""

    class Eager(Protocol):
        reader: Any = None
        left = 50

        def resume_reading(self, resume_parser: bool = True) -> None:
            super().resume_reading(resume_parser)
            if self.left > 0 and resume_parser:
                self.left -= 1
                self.reader.feed_data(b"0123456789")
                if self.left == 0:
                    self.reader.feed_eof()

    async def main() -> None:
        for coding in ("", "gzip"):
            for call, args in (("read", (7,)), ("readany", ()), ("readexactly", (100,))):
                if coding:
                    continue
                protocol = Eager()
                protocol.reader = reader = streams.StreamReader(protocol, 15)
                reader.feed_data(b"x" * 31)
                assert protocol.paused
                total = 0
                while total < 500:
                    part = await asyncio.wait_for(getattr(reader, call)(*args), 5)
                    assert part
                    total += len(part)
        protocol = Eager()
        protocol.reader = reader = streams.StreamReader(protocol, 15)
        reader.feed_data(b"x" * 31)
        assert len(await asyncio.wait_for(reader.read(), 5)) == 31 + 500

    run(main)
