"""connect_write_pipe(): what is written, flow control, the reader that goes away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import socket
import tty

import pytest
import support
from pipe_support import KIB, MIB, drain, fifo, fill, read, reading, run, writing

# ---- writing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fifo", "socket", "tty"])
def test_write_kinds(loop, kind):
    async def main():
        if kind == "fifo":
            pipe, other = fifo("w")
        elif kind == "socket":
            pipe, peer = socket.socketpair()
            other = peer.detach()
        else:
            other, ours = pty.openpty()
            tty.setraw(ours)
            pipe = open(ours, "wb", buffering=0)
        transport, protocol = await writing(pipe)
        assert isinstance(transport, asyncio.WriteTransport)
        assert transport.get_extra_info("pipe") is pipe
        transport.write(b"by")
        transport.write(bytearray(b"te"))
        transport.write(memoryview(b"s"))
        transport.writelines([b"", b" and ", b"lines"])
        transport.write(b"")
        assert read(other, 15) == b"bytes and lines"
        transport.close()
        transport.close()
        assert transport.is_closing()
        await protocol.gone()
        assert protocol.events == ["connection_made", "connection_lost"]
        assert protocol.lost is None
        await support.settle()
        assert pipe.fileno() == -1 if kind == "socket" else pipe.closed
        os.close(other)

    run(loop, main)


def test_write_what_is_no_bytes(loop):
    async def main():
        pipe, r = fifo("w")
        transport, protocol = await writing(pipe)
        for wrong in ("text", 5, None, [b"x"]):
            with pytest.raises((TypeError, AssertionError)):  # asyncio asserts
                transport.write(wrong)
        transport.write(b"fine")
        assert os.read(r, 100) == b"fine"
        transport.abort()
        await protocol.gone()
        os.close(r)

    run(loop, main)


def test_write_eof_closes(loop):
    async def main():
        pipe, r = fifo("w")
        transport, protocol = await writing(pipe)
        assert transport.can_write_eof()
        transport.write(b"abc")
        transport.write_eof()
        transport.write_eof()
        transport.write(b"for nobody")
        await protocol.gone()
        await support.settle()
        assert os.read(r, 100) == b"abc"
        assert os.read(r, 100) == b""
        os.close(r)

    run(loop, main)


def test_close_flushes(loop):
    async def main():
        pipe, r = fifo("w")
        os.set_blocking(r, False)
        transport, protocol = await writing(pipe)
        size = fill(transport) + MIB
        data = bytearray(b"y" * MIB)
        transport.write(data)
        data[:] = bytes(MIB)  # what was written must not change any more
        transport.close()
        assert not protocol.closed.done()
        got = bytearray()
        while not protocol.closed.done() or len(got) < size:
            with contextlib.suppress(BlockingIOError):
                got += os.read(r, MIB)
            await asyncio.sleep(0)
        assert len(got) == size
        assert got.endswith(b"y" * MIB)
        assert got.count(b"\0") == 0
        os.close(r)

    run(loop, main)


def test_abort_drops(loop):
    async def main():
        pipe, r = fifo("w")
        transport, protocol = await writing(pipe)
        fill(transport)
        transport.abort()
        assert transport.get_write_buffer_size() == 0
        await protocol.gone()
        assert protocol.lost is None
        os.set_blocking(r, False)
        await support.settle()
        assert drain(r) > 0
        os.close(r)

    run(loop, main)


def test_flow_control(loop):
    async def main():
        pipe, r = fifo("w")
        os.set_blocking(r, False)
        transport, protocol = await writing(pipe)
        assert transport.get_write_buffer_limits() == (16 * KIB, 64 * KIB)
        transport.set_write_buffer_limits(high=1000, low=10)
        assert transport.get_write_buffer_limits() == (10, 1000)
        with pytest.raises(ValueError):
            transport.set_write_buffer_limits(high=1, low=2)
        fill(transport)
        assert protocol.events == ["connection_made", "pause_writing"]
        transport.write(b"x" * 5000)
        assert protocol.count("pause_writing") == 1
        while protocol.count("resume_writing") == 0:
            drain(r)
            await asyncio.sleep(0)
        assert transport.get_write_buffer_size() <= 10
        fill(transport)
        assert protocol.count("pause_writing") == 2
        transport.abort()
        await protocol.gone()
        os.close(r)

    run(loop, main)


@pytest.mark.parametrize("name", ["pause_writing", "resume_writing"])
def test_flow_control_raises(loop, contexts, name):
    async def main():
        def fail(protocol):
            raise ZeroDivisionError

        pipe, r = fifo("w")
        os.set_blocking(r, False)
        transport, protocol = await writing(pipe, **{name: fail})
        transport.set_write_buffer_limits(0)
        written = fill(transport)
        while written:
            written -= drain(r)
            await asyncio.sleep(0)
        await support.settle()
        transport.close()
        await protocol.gone()
        os.close(r)

    run(loop, main)
    (context,) = contexts
    assert context["message"] == f"protocol.{name}() failed"


def test_write_in_resume_writing(loop):
    async def main():
        pipe, r = fifo("w")
        os.set_blocking(r, False)

        def more(protocol):
            if protocol.count("resume_writing") < 3:
                fill(protocol.transport)
            else:
                loop.call_soon(protocol.transport.close)

        transport, protocol = await writing(pipe, resume_writing=more)
        transport.set_write_buffer_limits(0)
        fill(transport)
        while not protocol.closed.done():
            drain(r)
            await asyncio.sleep(0)
        assert protocol.count("pause_writing") == 3
        os.close(r)

    run(loop, main)


def test_reader_goes_away(loop):
    async def main():
        pipe, r = fifo("w")
        transport, protocol = await writing(pipe)
        os.close(r)
        await protocol.gone()
        assert protocol.lost is None
        assert transport.is_closing()

    run(loop, main)


def test_reader_goes_away_with_data_pending(loop):
    async def main():
        pipe, r = fifo("w")
        transport, protocol = await writing(pipe)
        fill(transport)
        os.close(r)
        await protocol.gone()
        assert isinstance(protocol.lost, BrokenPipeError)
        assert transport.get_write_buffer_size() == 0

    run(loop, main)


def test_write_to_broken_pipe(loop):
    async def main():
        pipe, r = fifo("w")
        transport, protocol = await writing(pipe)
        os.close(r)
        transport.write(b"x")  # before the loop has seen the reader go
        assert transport.is_closing()
        await protocol.gone()
        assert isinstance(protocol.lost, BrokenPipeError)
        assert protocol.events == ["connection_made", "connection_lost"]

    run(loop, main)


def test_many_lost_writes_warn(loop, expect_log):
    expect_log("pipe closed by peer or os.write", times=2)

    async def main():
        pipe, r = fifo("w")
        transport, protocol = await writing(pipe)
        transport.abort()
        for _ in range(7):
            transport.write(b"x")
        await protocol.gone()
        os.close(r)

    run(loop, main)


@pytest.mark.parametrize("end", ["r", "w"])
def test_what_connection_lost_sees(loop, end):
    async def main():
        seen = []

        def look(protocol):
            transport = protocol.transport
            seen.append((transport.get_protocol() is protocol, transport.is_closing()))
            seen.append(transport.get_extra_info("pipe").closed)
            transport.close()

        pipe, other = fifo(end)
        transport, protocol = await (reading if end == "r" else writing)(pipe, connection_lost=look)
        transport.close()
        await protocol.gone()
        assert seen == [(True, True), False]
        await support.settle()
        assert protocol.count("connection_lost") == 1
        os.close(other)

    run(loop, main)


def test_abort_after_close(loop):
    async def main():
        pipe, r = fifo("w")
        transport, protocol = await writing(pipe)
        fill(transport)
        transport.close()
        transport.abort()
        await protocol.gone()
        await support.settle()
        assert protocol.count("connection_lost") == 1
        os.close(r)

    run(loop, main)


def test_null_device(loop, contexts):
    """A character device that epoll refuses can be written to."""

    async def main():
        transport, protocol = await writing(open("/dev/null", "wb", buffering=0))
        transport.write(b"x" * MIB)
        assert transport.get_write_buffer_size() == 0
        transport.close()
        await protocol.gone()

    run(loop, main)
    assert contexts == []


def test_null_device_read(loop, contexts):
    """And cannot be watched: the exception handler is told."""

    async def main():
        transport, protocol = await reading(open("/dev/null", "rb", buffering=0))
        await support.settle()
        transport.close()
        await protocol.gone()

    run(loop, main)
    (context,) = contexts
    assert isinstance(context["exception"], PermissionError)
