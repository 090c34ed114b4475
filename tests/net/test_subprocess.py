"""subprocess_exec(), subprocess_shell() and asyncio.create_subprocess_*()."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT

import pytest
import support
from subprocess_support import (  # noqa: F401 - fixtures are used by name
    MIB,
    SH,
    Events,
    child_watcher,
    end,
    run,
    sh,
)

# ---- what comes back ----------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_exit_code(loop, code):
    async def main():
        process = await sh(f"exit {code}")
        assert process.pid > 0
        assert await process.wait() == code
        assert process.returncode == code
        assert await process.wait() == code

    run(loop, main)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1])
def test_ended_by_signal(loop, number):
    async def main():
        process = await sh("exec sleep 100")
        assert process.returncode is None
        process.send_signal(number)
        assert await process.wait() == -number

    run(loop, main)


def test_terminate_and_kill(loop):
    async def main():
        first, second = await sh("exec sleep 100"), await sh("exec sleep 100")
        first.terminate()
        second.kill()
        assert await first.wait() == -signal.SIGTERM
        assert await second.wait() == -signal.SIGKILL

    run(loop, main)


def test_signal_to_a_dead_child(loop):
    async def main():
        process = await sh("exit 3")
        transport = process._transport
        await process.wait()
        await support.until(lambda: transport._proc is None)
        for call in (process.terminate, process.kill, lambda: process.send_signal(0)):
            with pytest.raises(ProcessLookupError):
                call()
        assert process.returncode == 3

    run(loop, main)


def test_signal_to_a_zombie(loop, loop_name):
    """Dead, but the loop does not know yet."""
    support.oracle_lacks(loop_name, sys.version_info < (3, 13), "polls, and loses the exit code")

    async def main():
        process = await sh("read x; exit 3", stdin=PIPE)
        end(process._transport)
        process.terminate()
        process.kill()
        assert await process.wait() == 3

    run(loop, main)


def test_communicate(loop):
    async def main():
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
        assert await process.communicate(b"hello") == (b"hello", None)
        process = await sh("echo out; echo err >&2", stdout=PIPE, stderr=PIPE)
        assert await process.communicate() == (b"out\n", b"err\n")
        process = await sh("echo out; echo err >&2", stdout=PIPE, stderr=STDOUT)
        assert await process.communicate() == (b"out\nerr\n", None)
        process = await sh("cat", stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
        assert await process.communicate() == (b"", None)

    run(loop, main)


def test_communicate_large(loop):
    data = os.urandom(4 * MIB)

    async def main():
        process = await asyncio.create_subprocess_exec(
            SH, "-c", "tee /dev/stderr", stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        out, err = await process.communicate(data)
        assert out == data and err == data
        assert process.returncode == 0

    run(loop, main)


def test_communicate_with_one_who_does_not_read(loop, expect_log):
    """BrokenPipeError of the input is not the caller's business."""
    if sys.version_info < (3, 11):  # its SubprocessStreamProtocol
        expect_log.allow("Future exception was never retrieved")

    async def main():
        process = await sh("exec 0<&-; echo done", stdin=PIPE, stdout=PIPE)
        out, _ = await process.communicate(b"x" * MIB)
        assert out == b"done\n"
        assert process.returncode == 0

    run(loop, main)


def test_write_to_one_who_does_not_read(loop, expect_log):
    if sys.version_info < (3, 11):  # its SubprocessStreamProtocol
        expect_log.allow("Future exception was never retrieved")

    async def main():
        process = await sh("exec 0<&-; sleep 100", stdin=PIPE)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                process.stdin.write(b"x" * 65536)
                await process.stdin.drain()
        process.kill()
        await process.wait()

    run(loop, main)


def test_streams(loop):
    async def main():
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
        for n in range(100):
            line = b"%d\n" % n
            process.stdin.write(line)
            await process.stdin.drain()
            assert await process.stdout.readline() == line
        process.stdin.close()
        await process.stdin.wait_closed()
        assert await process.stdout.read() == b""
        assert await process.wait() == 0

    run(loop, main)


def test_output_before_and_after_exit(loop):
    async def main():
        process = await sh("echo first; (sleep 0.05; echo second) &", stdout=PIPE)
        assert await process.stdout.readline() == b"first\n"
        assert await process.stdout.read() == b"second\n"
        assert await process.wait() == 0

    run(loop, main)


def test_wait_does_not_wait_for_pipes(loop, loop_name):
    """Somebody else has the pipe open: the child has exited nevertheless."""
    support.oracle_lacks(loop_name, sys.version_info < (3, 13), "waits for the pipes, too")

    async def main():
        process = await sh("sleep 100 & echo $!", stdout=PIPE)
        grandchild = int(await process.stdout.readline())
        assert await asyncio.wait_for(process.wait(), 5 * support.SLOW) == 0
        os.kill(grandchild, signal.SIGKILL)
        assert await process.stdout.read() == b""
        await support.settle()

    run(loop, main)


def test_slow_reader_pauses_the_child(loop):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "/usr/bin/head", "-c", "3000000", "/dev/zero", stdout=PIPE, limit=1000
        )
        transport = process._transport.get_pipe_transport(1)
        await support.until(lambda: transport._paused)
        await asyncio.sleep(0.05)
        assert process.returncode is None
        got = 0
        while chunk := await process.stdout.read(100_000):
            got += len(chunk)
        assert got == 3_000_000
        assert await process.wait() == 0

    run(loop, main)


@pytest.mark.parametrize("size", [10, 65536, 5 * MIB])
def test_whole_output(loop, size):
    async def main():
        code = f"import os, sys; sys.stdout.buffer.write(bytes(range(256)) * {size // 256 + 1})"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=PIPE)
        out = await process.stdout.read()
        assert out == bytes(range(256)) * (size // 256 + 1)
        assert await process.wait() == 0

    run(loop, main)


def test_data_in_order_around_the_start(loop):
    """What comes before, with and after connection_made() is one stream."""

    async def main():
        code = "import os\nfor n in range(20000): os.write(1, b'%d\\n' % n)"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=PIPE)
        for n in range(20000):
            assert await process.stdout.readline() == b"%d\n" % n
        assert await process.stdout.read() == b""
        assert await process.wait() == 0

    run(loop, main)


def test_receiver_replaced(loop, monkeypatch):
    """A program that looks at what its protocols receive sees it."""
    seen = []

    def receive(protocol, fd, data):
        seen.append((fd, data))
        original(protocol, fd, data)

    original = asyncio.subprocess.SubprocessStreamProtocol.pipe_data_received
    monkeypatch.setattr(asyncio.subprocess.SubprocessStreamProtocol, "pipe_data_received", receive)

    async def main():
        process = await sh("echo out; echo err >&2", stdout=PIPE, stderr=PIPE)
        assert await process.communicate() == (b"out\n", b"err\n")

    run(loop, main)
    assert sorted(seen) == [(1, b"out\n"), (2, b"err\n")]


def test_protocol_replaced(loop):
    async def main():
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
        process.stdin.write(b"one\n")
        assert await process.stdout.readline() == b"one\n"
        other = Events()
        process._transport.set_protocol(other)
        process.stdin.write(b"two\n")
        await support.until(lambda: other.data[1] == b"two\n")
        process.kill()
        await other.done
        process._transport.close()

    run(loop, main)


@pytest.mark.parametrize("name", ["connect_read_pipe", "connect_write_pipe"])
def test_connect_replaced(loop, name):
    """The loop's method is called where a program has put its own in its place."""
    calls = []

    async def main():
        original = getattr(loop, name)

        async def connect(factory, pipe):
            calls.append(pipe)
            return await original(factory, pipe)

        setattr(loop, name, connect)
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
        popen = process._transport.get_extra_info("subprocess")
        assert calls == [popen.stdout if name == "connect_read_pipe" else popen.stdin]
        assert await process.communicate(b"x") == (b"x", None)

    run(loop, main)


def test_reader_replaced_on_the_protocol(loop):
    """A program may swap the StreamReader that its protocol feeds."""

    async def main():
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
        process.stdin.write(b"one\n")
        assert await process.stdout.readline() == b"one\n"
        protocol = process._protocol
        other = asyncio.StreamReader()
        protocol.stdout = other
        process.stdin.write(b"two\n")
        assert await other.readline() == b"two\n"
        process.stdin.close()
        await process.wait()
        assert await other.read() == b""

    run(loop, main)


# ---- protocols ----------------------------------------------------------------------------------


def test_protocol_events(loop):
    async def main():
        transport, protocol = await loop.subprocess_exec(
            Events, SH, "-c", "cat; echo err >&2; exit 7"
        )
        assert isinstance(transport, asyncio.SubprocessTransport)
        assert protocol.transport is transport
        assert transport.get_protocol() is protocol
        stdin = transport.get_pipe_transport(0)
        stdin.write(b"in")
        stdin.close()
        await protocol.done
        assert protocol.data == {1: b"in", 2: b"err\n"}
        names = [event[0] for event in protocol.events]
        assert names[0] == "connection_made"
        assert names[-1] == "connection_lost"
        assert protocol.events[-1][1] is None
        assert names.count("process_exited") == 1
        lost = [event[1:] for event in protocol.events if event[0] == "pipe_connection_lost"]
        assert sorted(lost) == [(0, None), (1, None), (2, None)]
        assert transport.get_returncode() == 7
        transport.close()
        assert transport.is_closing()

    run(loop, main)


def test_shell(loop):
    async def main():
        transport, protocol = await loop.subprocess_shell(Events, "echo $((6 * 7))")
        await protocol.done
        assert protocol.data[1] == b"42\n"
        transport.close()
        process = await asyncio.create_subprocess_shell("exit 5")
        assert await process.wait() == 5
        process = await asyncio.create_subprocess_shell(b"exit 6")
        assert await process.wait() == 6

    run(loop, main)


def test_what_is_known(loop):
    async def main():
        transport, protocol = await loop.subprocess_exec(Events, "/bin/cat", stderr=DEVNULL)
        process = transport.get_extra_info("subprocess")
        assert isinstance(process, subprocess.Popen)
        assert transport.get_extra_info("nothing", 3) == 3
        assert transport.get_pid() == process.pid
        assert transport.get_returncode() is None
        stdin, stdout = transport.get_pipe_transport(0), transport.get_pipe_transport(1)
        assert isinstance(stdin, asyncio.WriteTransport)
        assert isinstance(stdout, asyncio.ReadTransport)
        assert stdin.get_extra_info("pipe") is process.stdin
        assert stdout.get_extra_info("pipe") is process.stdout
        assert transport.get_pipe_transport(2) is None
        assert transport.get_pipe_transport(9) is None
        text = repr(transport)
        assert f"pid={process.pid}" in text and "running" in text and "stdin=" in text
        other = Events()
        transport.set_protocol(other)
        assert transport.get_protocol() is other
        stdin.close()
        await other.done
        assert "returncode=0" in repr(transport)
        transport.close()
        assert "closed" in repr(transport)
        assert [e[0] for e in protocol.events] == ["connection_made"]

    run(loop, main)


@pytest.mark.parametrize(
    "name",
    ["connection_made", "pipe_data_received", "pipe_connection_lost", "process_exited"],
)
def test_protocol_raises(loop, contexts, name):
    async def main():
        def fail(protocol):
            if [event[0] for event in protocol.events].count(name) == 1:
                raise ZeroDivisionError

        transport, protocol = await loop.subprocess_exec(
            lambda: Events(**{name: fail}), "/bin/echo", "x", stdin=None, stderr=None
        )
        await protocol.done
        assert protocol.data[1] == b"x\n"
        transport.close()

    run(loop, main)
    (context,) = contexts
    assert isinstance(context["exception"], ZeroDivisionError)


def test_pause_and_resume_writing_reach_the_protocol(loop):
    async def main():
        seen = []

        class Flow(Events):
            def pause_writing(self):
                seen.append("pause")

            def resume_writing(self):
                seen.append("resume")

        transport, protocol = await loop.subprocess_exec(Flow, SH, "-c", "cat >/dev/null")
        stdin = transport.get_pipe_transport(0)
        stdin.write(b"x" * MIB)
        assert seen == ["pause"]
        await support.until(lambda: len(seen) == 2)
        assert seen == ["pause", "resume"]
        stdin.close()
        await protocol.done
        transport.close()

    run(loop, main)


def test_close_kills(loop):
    async def main():
        transport, protocol = await loop.subprocess_exec(Events, "/bin/cat")
        transport.close()
        transport.close()
        await protocol.done
        assert transport.get_returncode() == -signal.SIGKILL

    run(loop, main)


def test_close_of_a_dead_child_does_not_kill(loop, loop_name):
    support.oracle_lacks(loop_name, True, "close() polls, and its watcher then tells 255")

    async def main():
        transport, protocol = await loop.subprocess_exec(
            Events, SH, "-c", "read x; exit 9", stdout=None, stderr=None
        )
        end(transport)
        transport.close()
        await protocol.done
        assert transport.get_returncode() == 9

    run(loop, main)
