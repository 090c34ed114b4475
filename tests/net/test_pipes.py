"""connect_read_pipe() and connect_write_pipe(): FIFOs, sockets, terminals."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import os
import pty
import socket
import stat
import subprocess
import sys
import tty
import warnings

import pytest
import support
from pipe_support import MIB, fifo, fill, is_reading, read, reading, run, writing

# ---- reading ------------------------------------------------------------------------------------


def test_read_until_eof(loop):
    async def main():
        pipe, w = fifo("r")
        transport, protocol = await reading(pipe)
        assert isinstance(transport, asyncio.ReadTransport)
        assert protocol.events == ["connection_made"]
        assert transport.get_protocol() is protocol
        assert is_reading(transport) and not transport.is_closing()
        os.write(w, b"hello ")
        await protocol.received(6)
        os.write(w, b"world")
        await protocol.received(11)
        os.close(w)
        await protocol.gone()
        assert bytes(protocol.data) == b"hello world"
        assert protocol.events[-2:] == ["eof_received", "connection_lost"]
        assert protocol.lost is None
        await support.settle()
        assert transport.is_closing() and not is_reading(transport)
        assert pipe.closed
        assert transport.get_protocol() is None

    run(loop, main)


def test_eof_keeps_nothing_open(loop):
    """What eof_received() returns means nothing here: a read end has no other half."""

    async def main():
        pipe, w = fifo("r")
        os.close(w)
        _, protocol = await reading(pipe, eof_received=lambda p: True)
        await protocol.gone()
        assert protocol.events == ["connection_made", "eof_received", "connection_lost"]

    run(loop, main)


@pytest.mark.parametrize("kind", ["fifo", "socket", "tty"])
def test_read_kinds(loop, kind):
    async def main():
        if kind == "fifo":
            pipe, other = fifo("r")
        elif kind == "socket":
            pipe, peer = socket.socketpair()
            other = peer.detach()
        else:
            ours, other = pty.openpty()
            tty.setraw(other)
            pipe = open(ours, "rb", buffering=0)
        transport, protocol = await reading(pipe)
        os.write(other, b"some\n")
        await protocol.received(5)
        os.close(other)
        await protocol.gone()
        # a terminal whose other side has gone says EIO, which is no bug of anybody
        assert (protocol.lost is None) == (kind != "tty")
        assert protocol.count("eof_received") == (kind != "tty")
        assert bytes(protocol.data) == b"some\n"
        del transport

    run(loop, main)


def test_pipe_is_known(loop):
    async def main():
        pipe, w = fifo("r")
        transport, protocol = await reading(pipe)
        assert transport.get_extra_info("pipe") is pipe
        assert transport.get_extra_info("nothing") is None
        assert transport.get_extra_info("nothing", 5) == 5
        assert transport._pipe is pipe
        assert transport._fileno == pipe.fileno()
        transport.note = "programs do this"
        assert f"fd={pipe.fileno()}" in repr(transport)
        assert "polling" in repr(transport)
        transport.pause_reading()
        assert "idle" in repr(transport)
        transport.close()
        assert "closing" in repr(transport)
        await protocol.gone()
        await support.settle()
        assert "closed" in repr(transport)
        os.close(w)

    run(loop, main)


def test_pause_and_resume(loop):
    async def main():
        pipe, w = fifo("r")
        transport, protocol = await reading(pipe)
        transport.pause_reading()
        transport.pause_reading()
        assert not is_reading(transport)
        os.write(w, b"abc")
        await asyncio.sleep(0.02)
        assert protocol.data == b""
        transport.resume_reading()
        transport.resume_reading()
        assert is_reading(transport)
        await protocol.received(3)
        transport.pause_reading()
        os.close(w)
        await asyncio.sleep(0.02)
        assert protocol.count("eof_received") == 0
        transport.resume_reading()
        await protocol.gone()
        transport.pause_reading()
        transport.resume_reading()

    run(loop, main)


def test_pause_in_connection_made_and_data_received(loop, loop_name):
    support.oracle_lacks(loop_name, sys.version_info < (3, 11), "reads nevertheless")

    async def main():
        pipe, w = fifo("r")
        os.write(w, b"abc")
        transport, protocol = await reading(
            pipe,
            connection_made=lambda p: p.transport.pause_reading(),
            data_received=lambda p: p.transport.pause_reading(),
        )
        await asyncio.sleep(0.02)
        assert protocol.data == b""
        transport.resume_reading()
        await protocol.received(3)
        os.write(w, b"def")
        await asyncio.sleep(0.02)
        assert bytes(protocol.data) == b"abc"
        transport.resume_reading()
        await protocol.received(6)
        transport.close()
        await protocol.gone()
        os.close(w)

    run(loop, main)


def test_close_delivers_nothing_more(loop):
    async def main():
        pipe, w = fifo("r")
        transport, protocol = await reading(pipe)
        os.write(w, b"abc")
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert protocol.count("connection_lost") == 0
        await protocol.gone()
        assert protocol.events == ["connection_made", "connection_lost"]
        await support.settle()
        assert pipe.closed
        os.close(w)

    run(loop, main)


def test_close_in_data_received(loop):
    async def main():
        pipe, w = fifo("r")
        _, protocol = await reading(pipe, data_received=lambda p: p.transport.close())
        os.write(w, b"abc")
        await protocol.gone()
        os.close(w)
        assert protocol.events == ["connection_made", "data_received", "connection_lost"]

    run(loop, main)


def test_set_protocol(loop):
    async def main():
        pipe, w = fifo("r")
        transport, first = await reading(pipe)
        second = support.Recorder()
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        os.write(w, b"abc")
        await second.received(3)
        assert first.data == b""
        os.close(w)
        await second.gone()
        assert first.events == ["connection_made"]

    run(loop, main)


def test_data_received_raises(loop, contexts):
    """The exception handler hears of it; the transport goes on, other than a socket's."""

    async def main():
        pipe, w = fifo("r")

        def fail(protocol):
            if protocol.count("data_received") == 1:
                raise ZeroDivisionError

        _, protocol = await reading(pipe, data_received=fail)
        os.write(w, b"abc")
        await protocol.received(3)
        await support.until(lambda: contexts)
        os.write(w, b"def")
        await protocol.received(6)
        os.close(w)
        await protocol.gone()
        assert protocol.lost is None

    run(loop, main)
    (context,) = contexts
    assert isinstance(context["exception"], ZeroDivisionError)
    assert "_read_ready" in context["message"]


@pytest.mark.parametrize("name", ["connection_made", "eof_received", "connection_lost"])
@pytest.mark.parametrize("end", ["r", "w"])
def test_callback_raises(loop, contexts, name, end):
    async def main():
        pipe, other = fifo(end)

        def fail(protocol):
            raise ZeroDivisionError

        transport, protocol = await (reading if end == "r" else writing)(pipe, **{name: fail})
        os.close(other)
        await protocol.gone()
        await support.settle()
        assert pipe.closed
        del transport

    run(loop, main)
    expected = 0 if (name, end) == ("eof_received", "w") else 1
    assert [type(c["exception"]) for c in contexts] == [ZeroDivisionError] * expected


def test_protocol_without_data_received(loop, contexts):
    async def main():
        pipe, w = fifo("r")
        transport, _ = await loop.connect_read_pipe(asyncio.BaseProtocol, pipe)
        os.write(w, b"abc")
        await support.until(lambda: contexts)
        transport.close()
        await support.settle()
        os.close(w)

    run(loop, main)
    assert isinstance(contexts[0]["exception"], AttributeError)


def test_read_error(loop, contexts):
    async def main():
        pipe, w = fifo("r")
        transport, protocol = await reading(pipe)
        # what reads as EISDIR under the same number
        directory = os.open("/", os.O_RDONLY)
        saved = os.dup(pipe.fileno())
        os.write(w, b"x")
        os.dup2(directory, pipe.fileno())
        os.close(directory)
        await protocol.gone()
        os.close(saved)
        os.close(w)
        assert isinstance(protocol.lost, IsADirectoryError)
        del transport

    run(loop, main)
    (context,) = contexts
    assert context["message"] == "Fatal read error on pipe transport"
    assert isinstance(context["exception"], IsADirectoryError)


@pytest.mark.parametrize("size", [1, 100, 4096, 65536, 4 * MIB])
def test_everything_arrives(loop, size):
    data = os.urandom(size)

    async def main():
        r, w = os.pipe()
        got, receiver = await reading(open(r, "rb", buffering=0))
        sent, sender = await writing(open(w, "wb", buffering=0))
        for at in range(0, size, 300_000):
            sent.write(data[at : at + 300_000])
        sent.close()
        await receiver.gone()
        await sender.gone()
        assert bytes(receiver.data) == data
        del got

    run(loop, main)


def test_reads_of_changing_size(loop):
    """Small after large, and a pipe that was made larger than others."""

    async def main():
        pipe, w = fifo("r")
        with contextlib.suppress(PermissionError):
            fcntl.fcntl(w, 1031, MIB)  # F_SETPIPE_SZ
        os.set_blocking(w, False)
        transport, protocol = await reading(pipe)
        expected = bytearray()
        for n, size in enumerate([10, 65536, 65536, 3, 40000, 70000, 200_000, 600_000, 1, 33000]):
            part = bytes([n]) * size
            while part:
                sent = 0
                with contextlib.suppress(BlockingIOError):
                    sent = os.write(w, part)
                expected += part[:sent]
                part = part[sent:]
                await protocol.received(len(expected))
        assert protocol.data == expected
        transport.close()
        os.close(w)

    run(loop, main)


def test_stream_reader(loop):
    async def main():
        pipe, w = fifo("r")
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        os.write(w, b"one\ntwo\n")
        assert await reader.readline() == b"one\n"
        assert await reader.readline() == b"two\n"
        os.write(w, b"rest")
        os.close(w)
        assert await reader.read() == b"rest"
        assert reader.at_eof()
        transport.close()
        await support.settle()

    run(loop, main)


def test_stream_reader_pauses(loop):
    async def main():
        pipe, w = fifo("r")
        reader = asyncio.StreamReader(limit=1000)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        os.set_blocking(w, False)
        os.write(w, b"x" * 5000)
        await support.until(lambda: not is_reading(transport))
        assert await reader.readexactly(5000) == b"x" * 5000
        assert is_reading(transport)
        os.close(w)
        assert await reader.read() == b""
        await support.settle()

    run(loop, main)


def test_contextvars(loop):
    import contextvars

    var = contextvars.ContextVar("var", default="none")

    async def main():
        seen = []
        pipe, w = fifo("r")
        note = {
            name: lambda p, name=name: seen.append((name, var.get()))
            for name in ("connection_made", "data_received", "eof_received", "connection_lost")
        }
        var.set("set")
        _, protocol = await reading(pipe, **note)
        var.set("changed")
        os.write(w, b"x")
        await protocol.received(1)
        os.close(w)
        await protocol.gone()
        assert {value for _, value in seen} == {"set"}
        assert len(seen) == 4

    run(loop, main)


# ---- descriptors --------------------------------------------------------------------------------


@pytest.mark.parametrize("connect", [reading, writing])
def test_regular_file(loop, connect, tmp_path):
    async def main():
        with open(tmp_path / "file", "w+b", buffering=0) as file:
            flags = fcntl.fcntl(file, fcntl.F_GETFL)
            with pytest.raises(ValueError, match="[Pp]ipe transport is"):
                await connect(file)
            assert not file.closed
            assert fcntl.fcntl(file, fcntl.F_GETFL) == flags

    run(loop, main)


@pytest.mark.parametrize("connect", [reading, writing])
def test_closed_file(loop, loop_name, connect):
    support.oracle_lacks(loop_name, True, "its transport's __del__ fails")

    async def main():
        pipe, other = fifo("r")
        pipe.close()
        with pytest.raises(ValueError):
            await connect(pipe)
        os.close(other)

    run(loop, main)


@pytest.mark.parametrize("end", ["r", "w"])
def test_descriptor_is_closed_once(loop, end):
    """uvloop #763: the number may be somebody else's by the time of a second close."""

    async def main():
        pipe, other = fifo(end)
        number = pipe.fileno()
        transport, protocol = await (reading if end == "r" else writing)(pipe)
        transport.close()
        await protocol.gone()
        await support.settle()
        assert pipe.closed
        stranger = os.open("/dev/null", os.O_RDONLY)
        if stranger != number:
            os.dup2(stranger, number)
        del transport, protocol
        pipe.close()
        del pipe
        gc.collect()
        await support.settle()
        assert stat.S_ISCHR(os.fstat(number).st_mode)
        os.close(stranger)
        if stranger != number:
            os.close(number)
        os.close(other)

    run(loop, main)


@pytest.mark.parametrize("end", ["r", "w"])
def test_only_nonblocking_is_changed(loop, end):
    async def main():
        pipe, other = fifo(end)
        number = pipe.fileno()
        before = fcntl.fcntl(number, fcntl.F_GETFL), fcntl.fcntl(number, fcntl.F_GETFD)
        transport, protocol = await (reading if end == "r" else writing)(pipe)
        after = fcntl.fcntl(number, fcntl.F_GETFL), fcntl.fcntl(number, fcntl.F_GETFD)
        assert after == (before[0] | os.O_NONBLOCK, before[1])
        transport.close()
        await protocol.gone()
        os.close(other)

    run(loop, main)


def test_file_closed_under_transport(loop):
    async def main():
        pipe, w = fifo("r")
        transport, protocol = await reading(pipe)
        pipe.close()
        await support.settle()
        transport.close()
        await protocol.gone()
        os.close(w)

    run(loop, main)


def test_terminal_both_ways_on_one_number(loop):
    async def main():
        master, slave = pty.openpty()
        tty.setraw(slave)
        file = open(master, "r+b", buffering=0)
        rt, receiver = await reading(file)
        wt, sender = await writing(file)
        wt.write(b"to the slave")
        assert read(slave, 12) == b"to the slave"
        os.write(slave, b"to the master")
        await receiver.received(13)
        wt.close()
        await sender.gone()
        rt.close()
        await receiver.gone()
        os.close(slave)

    run(loop, main)


@pytest.mark.parametrize("end", ["r", "w"])
def test_cancelled_connect_closes(loop, end):
    async def main():
        pipe, other = fifo(end)
        task = asyncio.ensure_future((reading if end == "r" else writing)(pipe))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await support.settle()
        assert pipe.closed
        os.close(other)

    run(loop, main)


@pytest.mark.parametrize("end", ["r", "w"])
def test_unclosed_transport_warns(loop_factory, end):
    loop = loop_factory()

    async def main():
        pipe, other = fifo(end)
        made = await (reading if end == "r" else writing)(pipe)
        made[0].pause_reading() if end == "r" else fill(made[0])
        return made[0], other

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        transport, other = loop.run_until_complete(main())
        loop.close()
        del transport
        support.collect()
    os.close(other)
    texts = [str(w.message) for w in seen if w.category is ResourceWarning]
    assert len([text for text in texts if text.startswith("unclosed transport <")]) == 1


@pytest.mark.parametrize("end", ["r", "w"])
def test_methods_after_loop_closed(loop_factory, end):
    loop = loop_factory()

    async def main():
        pipe, other = fifo(end)
        return (await (reading if end == "r" else writing)(pipe))[0], other

    transport, other = loop.run_until_complete(main())
    if end == "w":
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    repr(transport)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            transport.close()
        del transport
        support.collect()
    os.close(other)


def test_debug_mode(loop, expect_log, caplog):
    import logging

    loop.set_debug(True)
    caplog.set_level(logging.DEBUG, "asyncio")

    async def main():
        pipe, w = fifo("r")
        transport, protocol = await reading(pipe)
        transport.pause_reading()
        transport.resume_reading()
        os.write(w, b"x")
        os.close(w)
        await protocol.gone()
        pipe, r = fifo("w")
        _, protocol = await writing(pipe)
        os.close(r)
        await protocol.gone()

    run(loop, main)
    text = caplog.text
    assert "pauses reading" in text and "resumes reading" in text
    assert text.count("was closed by peer") == 2
    assert "Read pipe" in text and "Write pipe" in text


def test_standard_streams(loop_name):
    """A child on the loop that talks over its own stdin and stdout, as programs with -c do."""
    code = support.factory_code(loop_name) + (
        "import asyncio, sys\n"
        "async def main():\n"
        "    loop = asyncio.get_running_loop()\n"
        "    reader = asyncio.StreamReader()\n"
        "    await loop.connect_read_pipe(\n"
        "        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)\n"
        "    transport, protocol = await loop.connect_write_pipe(\n"
        "        asyncio.streams.FlowControlMixin, sys.stdout)\n"
        "    writer = asyncio.StreamWriter(transport, protocol, reader, loop)\n"
        "    while line := await reader.readline():\n"
        "        writer.write(line.upper())\n"
        "        await writer.drain()\n"
        "    transport.close()\n"
        "    await asyncio.sleep(0.01)\n"
        "loop = new_loop()\n"
        "loop.run_until_complete(main())\n"
        "loop.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=b"one\ntwo\n",
        capture_output=True,
        timeout=30 * support.SLOW,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"ONE\nTWO\n", b"")
