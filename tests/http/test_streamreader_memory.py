"""An allocation that fails while a body is fed or read: MemoryError, no crash, no hang."""

from __future__ import annotations

import nomemory_support
import pytest
import support

pytest.importorskip("_testcapi", reason="this Python comes without the hook of its own tests")

SCRIPT = (
    nomemory_support.COMMON
    + """
import gzip
from uvolt.http import streams
from uvolt.http.exceptions import ClientPayloadError, LineTooLong

TEXT = b"".join(b"line %d\\n" % n for n in range(3000))
PACKED = gzip.compress(TEXT)


class Protocol:
    connected = True

    def pause_reading(self):
        pass

    def resume_reading(self, resume_parser=True):
        pass


protocol = Protocol()


def feed(reader, data):
    for at in range(0, len(data), 700):
        reader.feed_data(data[at : at + 700])


async def plain(reader):
    reader.begin_http_chunk_receiving()
    feed(reader, TEXT)
    reader.end_http_chunk_receiving()
    await reader.read(10)
    await reader.readline()
    await reader.readuntil(b"e 9\\nl")
    await reader.readexactly(3000)
    await reader.readchunk()
    reader.read_nowait(20)
    reader.feed_eof()
    async for part in reader.iter_chunked(4000):
        pass


async def packed(reader):
    reader._set_coding("gzip")
    feed(reader, PACKED)
    await reader.readline()
    await reader.readexactly(3000)
    reader.feed_eof()
    assert await reader.read()


# No function is made while memory is short: CPython 3.12 and 3.13 crash then.
async def read(reader):
    return await reader.read()


async def waited(reader):
    task = asyncio.ensure_future(read(reader))
    try:
        await asyncio.sleep(0)
        feed(reader, TEXT[:2000])
        await asyncio.sleep(0)
        feed(reader, TEXT[:2000])
        reader.feed_eof()
        await task
    finally:
        task.cancel()


async def broken(reader):
    reader._set_coding("gzip")
    reader.feed_data(b"this is not gzip")
    try:
        await reader.read()
    except ClientPayloadError:
        pass
    reader = streams.StreamReader(protocol, 4)
    reader.feed_data(TEXT)
    try:
        await reader.readline(max_line_length=3)
    except LineTooLong:
        pass


async def attempt(work, number):
    told.clear()
    reader = streams.StreamReader(protocol, 4096)
    if number is not None:
        _testcapi.set_nomemory(number, number + 1)
    try:
        await work(reader)
        if not reader.is_eof():
            reader.feed_eof()
        _testcapi.remove_mem_hooks()
        if reader.exception() is None:
            assert await reader.read() == b""
        return "done"
    except MemoryError:
        return "raised"
    except SystemError as error:  # CPython forgets to set the MemoryError in places
        assert "without" in str(error), repr(error)
        return "raised"
    finally:
        _testcapi.remove_mem_hooks()


def stop_if(told):
    if told:
        loop.stop()


def run(work, number):
    timers = [loop.call_later(seconds, stop_if, told) for seconds in (0.25, 1, 4)]
    timers.append(loop.call_later(10, loop.stop))
    try:
        return loop.run_until_complete(attempt(work, number))
    except RuntimeError as error:
        assert "Event loop stopped before Future completed" in str(error), repr(error)
        assert told, f"hangs at allocation {number} and nobody was told"
        return "told"
    finally:
        _testcapi.remove_mem_hooks()
        for timer in timers:
            timer.cancel()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))


work, attempts = globals()[sys.argv[1]], int(sys.argv[2])
loop = new_loop()
told = []
loop.set_exception_handler(lambda _, context: told.append(context))
assert run(work, None) == "done"
outcomes = [run(work, number) for number in range(attempts)]
assert run(work, None) == "done"
loop.close()
print(count(outcomes))
"""
)


@pytest.mark.parametrize(
    ("scenario", "attempts"), [("plain", 200), ("packed", 150), ("waited", 120), ("broken", 60)]
)
def test_an_allocation_fails(scenario: str, attempts: int) -> None:
    if support.PY >= (3, 12) and scenario == "broken":
        pytest.skip("CPython itself crashes when it cannot make a function, in textwrap.indent()")
    out = support.script(
        "uvolt",
        SCRIPT,
        args=(scenario, str(attempts)),
        stderr=None,
        timeout=50,
        options=("-X", "faulthandler"),
    )
    assert "'raised'" in out
    assert "'done'" in out
