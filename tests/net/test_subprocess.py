"""subprocess_exec(), subprocess_shell() and asyncio.create_subprocess_*()."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import errno
import fcntl
import gc
import logging
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
import warnings
from asyncio.subprocess import DEVNULL, PIPE, STDOUT

import pytest
import support

MIB = 1 << 20
SH = "/bin/sh"


@pytest.fixture(autouse=True)
def child_watcher(clean):
    """asyncio's oracle: on 3.10 and 3.11 its default watcher costs nothing to keep."""
    yield
    with contextlib.suppress(ChildProcessError):
        pid, status = os.waitpid(-1, os.WNOHANG)
        pytest.fail(f"a child is left: {pid} {status}")


def run(loop, main):
    return loop.run_until_complete(asyncio.wait_for(main(), 40 * support.SLOW))


async def sh(command, **options):
    return await asyncio.create_subprocess_exec(SH, "-c", command, **options)


async def output(command, **options):
    """What a shell command prints, once it has ended well."""
    process = await sh(command, stdout=PIPE, **options)
    out, _ = await process.communicate()
    assert process.returncode == 0, process.returncode
    return out.decode()


def end(transport):
    """Let a child that reads a line go on, and see it dead before the loop can."""
    os.write(transport.get_pipe_transport(0)._fileno, b"\n")
    os.waitid(os.P_PID, transport.get_pid(), os.WEXITED | os.WNOWAIT)


class Events(asyncio.SubprocessProtocol):
    """Writes down what it is told. `on` as in support.Recorder."""

    def __init__(self, **on):
        self.on = on
        self.events = []
        self.data = {1: b"", 2: b""}
        self.transport = None
        self.done = asyncio.get_running_loop().create_future()

    def did(self, name, *args):
        self.events.append((name, *args))
        if name in self.on:
            self.on[name](self)

    def connection_made(self, transport):
        self.transport = transport
        self.did("connection_made")

    def pipe_data_received(self, fd, data):
        assert type(data) is bytes
        self.data[fd] += data
        self.did("pipe_data_received", fd)

    def pipe_connection_lost(self, fd, exc):
        self.did("pipe_connection_lost", fd, exc)

    def process_exited(self):
        self.did("process_exited")

    def connection_lost(self, exc):
        self.did("connection_lost", exc)
        self.done.set_result(None)


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


# ---- keywords -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"universal_newlines": True},
        {"text": True},
        {"encoding": "utf-8"},
        {"errors": "strict"},
        {"bufsize": 4096},
        {"shell": True},
    ],
)
def test_refused_keywords(loop, options):
    async def main():
        with pytest.raises(ValueError):
            await asyncio.create_subprocess_exec("/bin/true", **options)
        with pytest.raises(ValueError):
            await asyncio.create_subprocess_shell("true", **{**options, "bufsize": 1})

    run(loop, main)


def test_default_values_are_taken(loop):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "/bin/true",
            universal_newlines=False,
            shell=False,
            bufsize=0,
            encoding=None,
            errors=None,
            text=None,
            env=None,
            cwd=None,
            user=None,
            group=None,
            extra_groups=None,
            umask=-1,
            pass_fds=(),
            close_fds=True,
            start_new_session=False,
            preexec_fn=None,
            executable=None,
            restore_signals=True,
            pipesize=-1,
            startupinfo=None,
            creationflags=0,
        )
        assert await process.wait() == 0

    run(loop, main)


def test_wrong_keyword_and_argument(loop):
    async def main():
        with pytest.raises(TypeError):
            await asyncio.create_subprocess_exec("/bin/true", nonesuch=1)
        with pytest.raises(TypeError):
            await asyncio.create_subprocess_exec("/bin/true", 5)
        with pytest.raises(ValueError):
            await asyncio.create_subprocess_shell(["true"])
        with pytest.raises(ValueError):
            await asyncio.create_subprocess_exec("/bin/tr\0ue")

    run(loop, main)


@pytest.mark.parametrize("kind", [dict, collections.ChainMap, "environ"])
def test_env(loop, kind, monkeypatch):
    async def main():
        if kind == "environ":
            monkeypatch.setenv("UVOLT_X", "value")
            env = os.environ
        else:
            env = kind({"UVOLT_X": "value", "PATH": os.environ["PATH"]})
        assert await output("echo $UVOLT_X", env=env) == "value\n"

    run(loop, main)


def test_cwd(loop, tmp_path):
    async def main():
        for path in (tmp_path, str(tmp_path), os.fsencode(tmp_path)):
            assert await output("pwd -P", cwd=path) == f"{tmp_path.resolve()}\n"

    run(loop, main)


def test_executable(loop):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "name", "-c", "echo $0", executable=SH, stdout=PIPE
        )
        assert (await process.communicate())[0] == b"name\n"

    run(loop, main)


def test_path_objects(loop, tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho $1\n")
    script.chmod(0o755)

    async def main():
        process = await asyncio.create_subprocess_exec(script, tmp_path, stdout=PIPE)
        assert (await process.communicate())[0] == f"{tmp_path}\n".encode()

    run(loop, main)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_user_and_groups(loop):
    async def main():
        assert await output("id -u; id -g; id -G", user=65534, group=65533, extra_groups=[1]) in (
            "65534\n65533\n65533 1\n",
            "65534\n65533\n1 65533\n",
        )
        assert await output("id -un", user="nobody") == "nobody\n"

    run(loop, main)


def test_umask(loop):
    async def main():
        assert await output("umask", umask=0o027) == "0027\n"

    run(loop, main)


def test_sessions_and_groups(loop):
    async def main():
        process = await sh("exec sleep 100", start_new_session=True)
        assert os.getsid(process.pid) == process.pid
        process.kill()
        await process.wait()
        if sys.version_info >= (3, 11):
            process = await sh("exec sleep 100", process_group=0)
            assert os.getpgid(process.pid) == process.pid
            assert os.getsid(process.pid) == os.getsid(0)
            process.kill()
            await process.wait()

    run(loop, main)


def test_descriptors_of_the_child(loop):
    """close_fds (the default) closes inheritable ones; pass_fds keeps some."""

    async def main():
        r, w = os.pipe()
        os.set_inheritable(r, True)
        listing = "ls /proc/$$/fd | sort -n | tr '\\n' ' '"
        assert str(r) not in (await output(listing)).split()
        assert str(r) in (await output(listing, close_fds=False)).split()
        fds = (await output(listing, pass_fds=(w,))).split()
        assert str(w) in fds and str(r) not in fds
        os.close(r)
        os.close(w)

    run(loop, main)


def test_nothing_of_the_loop_is_inherited(loop):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "/bin/cat", close_fds=False, stdin=PIPE, stdout=PIPE
        )
        process.stdin.write(b"up\n")
        assert await process.stdout.readline() == b"up\n"
        mine = {os.stat(f"/proc/self/fd/{fd}").st_ino for fd in (0, 1, 2)}
        pipes = {
            os.fstat(process._transport.get_pipe_transport(fd)._fileno).st_ino for fd in (0, 1)
        }
        for fd in os.listdir(f"/proc/{process.pid}/fd"):
            what = os.readlink(f"/proc/{process.pid}/fd/{fd}")
            assert "eventpoll" not in what and "eventfd" not in what and "pidfd" not in what
            if int(fd) > 2 and what.startswith("pipe:"):
                assert int(what[6:-1]) not in pipes - mine, what
        process.kill()
        await process.communicate()

    run(loop, main)


def test_preexec_fn(loop):
    async def main():
        assert await output("umask", preexec_fn=lambda: os.umask(0o055)) == "0055\n"

        def fail():
            raise ZeroDivisionError

        with pytest.raises(subprocess.SubprocessError, match="preexec_fn"):
            await sh("true", preexec_fn=fail)

    run(loop, main)


def test_pipesize(loop):
    async def main():
        process = await sh("exec cat", stdin=PIPE, stdout=PIPE, pipesize=4096 * 2)
        for fd in (0, 1):
            pipe = process._transport.get_pipe_transport(fd).get_extra_info("pipe")
            assert fcntl.fcntl(pipe, 1032) == 4096 * 2  # F_GETPIPE_SZ
        assert (await process.communicate(b"x" * 100_000))[0] == b"x" * 100_000

    run(loop, main)


def test_files_and_descriptors(loop, tmp_path):
    async def main():
        with open(tmp_path / "out", "w+b") as out, open("/dev/null") as null:
            process = await sh("echo to the file", stdin=null, stdout=out, stderr=out.fileno())
            await process.wait()
            out.seek(0)
            assert out.read() == b"to the file\n"

    run(loop, main)


def test_stdio_are_pipes(loop):
    """uvloop #505, #532: what is a socket cannot be opened by its name."""

    async def main():
        process = await sh(
            "stat -Lc %F /dev/stdin /dev/stdout /dev/stderr; cat /dev/stdin; echo x >/dev/stdout;"
            " echo y >/proc/self/fd/2",
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
        )
        out, err = await process.communicate(b"input\n")
        assert out == b"fifo\nfifo\nfifo\ninput\nx\n"
        assert err == b"y\n"

    run(loop, main)


def test_pipes_of_the_child_block(loop):
    """O_NONBLOCK on our ends only."""

    async def main():
        code = "import os; print(*(os.get_blocking(fd) for fd in (0, 1, 2)))"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        out, err = await process.communicate()
        assert (out, err) == (b"True True True\n", b"")

    run(loop, main)


# ---- faults -------------------------------------------------------------------------------------


def test_no_at_fork_hooks(loop_name):
    """faults.md row 32."""
    out = support.script(
        loop_name,
        """
        import os, sys
        for when in ("before", "after_in_parent", "after_in_child"):
            os.register_at_fork(**{when: lambda when=when: print(when, flush=True)})
        async def main():
            process = await asyncio.create_subprocess_exec("/bin/true")
            await process.wait()
            process = await asyncio.create_subprocess_shell("cat", stdin=-1, stdout=-1)
            await process.communicate(b"x")
        loop = new_loop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(main())
        loop.close()
        """,
    )
    assert out == ""


@pytest.mark.parametrize(
    ("argv", "options", "error"),
    [
        (["/nonesuch"], {}, FileNotFoundError),
        (["nonesuch-in-path"], {}, FileNotFoundError),
        (["/etc/passwd"], {}, PermissionError),
        (["/tmp"], {}, PermissionError),
        (["/bin/true"], {"cwd": "/nonesuch"}, FileNotFoundError),
        (["/bin/true"], {"cwd": "/etc/passwd"}, NotADirectoryError),
        (["/bin/true", "x" * (4 * MIB)], {}, OSError),
    ],
)
def test_failed_spawn(loop, argv, options, error):
    """faults.md row 33. That nothing is left open is looked at after every test."""

    async def main():
        before = len(os.listdir("/proc/self/fd"))
        for pipes in ({}, {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}):
            for _ in range(20):
                with pytest.raises(error):
                    await asyncio.create_subprocess_exec(*argv, **pipes, **options)
        await support.settle()
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) == before

    run(loop, main)


@contextlib.contextmanager
def few_descriptors(spare: int):
    """At most `spare` more can be opened."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.open("/dev/null", os.O_RDONLY)
    os.close(probe)
    used = {int(name) for name in os.listdir("/proc/self/fd")}
    limit = probe
    while spare > 0:
        spare -= limit not in used
        limit += 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Popen of 3.10 itself leaks its pipes then")
@pytest.mark.parametrize("spare", range(9))
def test_no_descriptors_left(loop, loop_name, spare):
    """EMFILE at any point: an error and nothing left, or a child that works."""
    support.oracle_lacks(loop_name, sys.version_info >= (3, 12), "loses children without a pidfd")

    async def main():
        await (await sh("true")).wait()  # what the loop opens once
        with few_descriptors(spare):
            try:
                process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
            except OSError as exc:
                assert exc.errno == errno.EMFILE
                return
        assert (await process.communicate(b"fine"))[0] == b"fine"
        assert process.returncode == 0

    run(loop, main)


def test_reaped_elsewhere(loop, loop_name, expect_log):
    """faults.md row 34."""
    support.oracle_lacks(loop_name, sys.version_info < (3, 12), "a thread waits for it, too")
    expect_log("exit status already read", times=1)

    async def main():
        process = await sh("read x", stdin=PIPE)
        task = asyncio.ensure_future(process.wait())
        await asyncio.sleep(0)
        end(process._transport)
        os.waitpid(process.pid, 0)
        assert await task == 255
        assert process.returncode == 255

    run(loop, main)


def test_reaped_by_its_popen_object(loop_name, loop):
    support.oracle_lacks(loop_name, True, "tells 255 although Popen knows better")

    async def main():
        process = await sh("read x; exit 6", stdin=PIPE)
        end(process._transport)
        assert process._transport.get_extra_info("subprocess").wait() == 6
        assert await process.wait() == 6

    run(loop, main)


def test_sigchld_ignored(loop, loop_name, expect_log):
    """The kernel reaps children then."""
    support.oracle_lacks(loop_name, sys.version_info >= (3, 12), "fails if the child was quick")
    expect_log("exit status already read|Unknown child process", times=1)

    async def main():
        process = await sh("exit 6")
        assert await process.wait() == 255

    with support.signals_restored(signal.SIGCHLD):
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        run(loop, main)


def test_many_short_children(loop):
    """faults.md row 35: no zombie, and no more descriptors than before."""

    async def one(n):
        process = await asyncio.create_subprocess_exec("/bin/true")
        assert await process.wait() == 0

    async def main():
        for _ in range(10):
            await asyncio.gather(*(one(n) for n in range(50)))

    run(loop, main)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_loop_closed_before_the_child_exits(loop_factory, loop_name, expect_log):
    """faults.md row 35."""
    support.oracle_lacks(loop_name, True, "tells only when the child has exited, from a thread")
    expect_log(r"Loop .* that handles pid \d+ is closed", times=1)
    loop = loop_factory()

    async def main():
        alive = await sh("exec sleep 100", stdin=PIPE)
        gone = await sh("read x; exit 4", stdin=PIPE)
        end(gone._transport)
        return alive, gone

    alive, gone = loop.run_until_complete(main())
    popen = alive._transport.get_extra_info("subprocess")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        loop.close()
        assert popen.poll() is None, "close() is not the child's end"
        pid = gone.pid
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        del alive, gone
        support.collect()
    assert popen.wait() == -signal.SIGKILL
    texts = [str(w.message) for w in seen if w.category is ResourceWarning]
    assert len([text for text in texts if text.startswith("unclosed transport <Subprocess")]) == 2


@pytest.mark.parametrize("pipes", [{}, {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}])
@pytest.mark.parametrize("turns", range(6))
def test_cancelled_spawn(loop, pipes, turns, expect_log):
    """faults.md row 36: the child is gone, the pipes are closed."""
    expect_log.allow("exit status already read")  # asyncio's, on some versions

    async def main():
        task = asyncio.ensure_future(
            asyncio.create_subprocess_exec("/bin/sleep", "100", **pipes),
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.done():
            process = task.result()
            process.kill()
            await process.wait()
        else:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.sleep(0.01)
        await support.settle()

    run(loop, main)


def test_cancelled_wait(loop):
    async def main():
        process = await sh("exec cat", stdin=PIPE, stdout=PIPE)
        for call in (process.wait, process.stdout.read, process.communicate):
            task = asyncio.ensure_future(call())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert process.returncode is None
        process.kill()
        assert await process.wait() == -signal.SIGKILL
        process._transport.close()
        await support.settle()

    run(loop, main)


def test_child_dropped_without_wait(loop, loop_name):
    async def main():
        process = await sh("exit 0")
        transport = process._transport
        del process
        await support.until(lambda: transport.get_returncode() is not None)
        await support.settle()
        assert transport.is_closing()

    run(loop, main)


# ---- threads and other loops --------------------------------------------------------------------


def test_from_threads_at_once(loop_name):
    """uvloop #508: several loops, each in a thread, none of them the main one."""
    results = []

    async def main():
        async def one(n):
            process = await sh(f"cat; exit {n}", stdin=PIPE, stdout=PIPE)
            out, _ = await process.communicate(b"x" * n)
            return len(out), process.returncode

        return await asyncio.gather(*(one(n) for n in range(10)))

    def work():
        loop = support.factory(loop_name)()
        try:
            asyncio.set_event_loop(loop)
            results.append(loop.run_until_complete(main()))
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(support.thread(work))
    assert results == [[(n, n) for n in range(10)]] * 4


def test_no_thread_a_child(loop, loop_name):
    support.oracle_lacks(loop_name, sys.version_info < (3, 12), "starts a thread for each")

    async def main():
        before = threading.active_count()
        processes = [await sh("exec cat", stdin=PIPE) for _ in range(5)]
        assert threading.active_count() == before
        for process in processes:
            process.stdin.close()
            await process.wait()
        await support.settle()

    run(loop, main)


@pytest.mark.parametrize("refusal", [errno.ENOSYS, errno.EPERM, "missing"])
def test_without_pidfd(loop, loop_name, monkeypatch, refusal):
    """Where the system has no pidfd, a thread waits."""
    support.oracle_lacks(loop_name, True, "looks once, and chooses another watcher")

    def refuse(pid, flags=0):
        raise OSError(refusal, os.strerror(refusal))

    if refusal == "missing":
        monkeypatch.delattr(os, "pidfd_open")
    else:
        monkeypatch.setattr(os, "pidfd_open", refuse)

    async def main():
        process = await sh("cat; exit 3", stdin=PIPE, stdout=PIPE)
        assert any(t.name == f"waitpid-{process.pid}" for t in threading.enumerate())
        assert await process.communicate(b"x") == (b"x", None)
        assert process.returncode == 3
        process = await sh("exec sleep 100")
        process.kill()
        assert await process.wait() == -signal.SIGKILL

    run(loop, main)


def test_cannot_be_watched(loop, loop_name, monkeypatch):
    """No pidfd and no thread: no child either."""
    support.oracle_lacks(loop_name, True, "leaves the child alone")
    monkeypatch.delattr(os, "pidfd_open")

    def fail(thread):
        raise RuntimeError("can't start new thread")

    async def main():
        for pipes in ({}, {"stdin": PIPE, "stdout": PIPE}):
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await asyncio.create_subprocess_exec("/bin/sleep", "100", **pipes)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        run(loop, main)


def test_without_pidfd_loop_closed(loop_factory, loop_name, monkeypatch, expect_log):
    support.oracle_lacks(loop_name, True, "looks once, and chooses another watcher")
    expect_log(r"Loop .* that handles pid \d+ is closed", times=1)
    monkeypatch.delattr(os, "pidfd_open")
    loop = loop_factory()

    async def main():
        return await sh("exec sleep 100")

    process = loop.run_until_complete(main())
    loop.close()
    os.kill(process.pid, signal.SIGTERM)
    for thread in threading.enumerate():
        if thread.name == f"waitpid-{process.pid}":
            thread.join(10 * support.SLOW)
    process._transport.get_extra_info("subprocess").returncode = 0
    process._transport.close()


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="no child watchers any more")
def test_chosen_child_watcher(loop):
    """A watcher that the program has set is used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        watcher = asyncio.SafeChildWatcher()
        seen = []
        original = watcher.add_child_handler
        watcher.add_child_handler = lambda pid, *args: seen.append(pid) or original(pid, *args)
        old = asyncio.get_event_loop_policy()._watcher
        asyncio.set_child_watcher(watcher)
        try:
            watcher.attach_loop(loop)

            async def main():
                process = await sh("cat; exit 3", stdin=PIPE, stdout=PIPE)
                assert await process.communicate(b"x") == (b"x", None)
                assert process.returncode == 3
                assert seen == [process.pid]

            run(loop, main)
            watcher.attach_loop(None)
        finally:
            asyncio.get_event_loop_policy()._watcher = old


@pytest.mark.skipif(sys.version_info < (3, 12), reason="interpreters share one GIL before 3.12")
def test_sub_interpreter(loop_name):
    out = support.script(
        loop_name,
        """
        import os, sys
        if sys.version_info >= (3, 13):
            import _interpreters as interpreters
            new, run = interpreters.create, interpreters.exec
        else:
            import _xxsubinterpreters as interpreters
            new, run = interpreters.create, interpreters.run_string
        code = '''
        import asyncio, sys
        sys.path[:] = {path!r}
        {factory}
        async def main():
            process = await asyncio.create_subprocess_exec("/bin/cat", stdin=-1, stdout=-1)
            return await process.communicate(b"from a sub-interpreter")
        loop = new_loop()
        print(loop.run_until_complete(main()), flush=True)
        loop.close()
        '''
        import textwrap
        factory = {factory!r}
        number = new()
        failed = run(number, textwrap.dedent(code).format(path=sys.path, factory=factory))
        assert failed is None, failed
        interpreters.destroy(number)
        sys.stdout.flush()
        os._exit(0)  # 3.12.1 aborts at exit once a sub-interpreter has imported asyncio
        """.replace("{factory!r}", repr(support.factory_code(loop_name).replace("\n", "; ")[:-2])),
        options=("-X", "faulthandler"),
    )
    assert out == "(b'from a sub-interpreter', None)\n"


# ---- debug mode ---------------------------------------------------------------------------------


def test_debug_mode(loop, caplog, expect_log):
    loop.set_debug(True)
    loop.slow_callback_duration = 100
    caplog.set_level(logging.DEBUG, "asyncio")

    async def main():
        process = await sh("exec cat", stdin=PIPE, stdout=PIPE)
        await process.communicate(b"x")
        transport, protocol = await loop.subprocess_exec(Events, "/bin/cat")
        transport.close()
        await protocol.done

    run(loop, main)
    for text in ("execute program", "created: pid", "exited with return code 0", "kill"):
        assert text in caplog.text, text


def test_spawn_does_not_hold_the_loop(loop):
    """The parent waits until the child has started its program, and no longer."""

    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticker = asyncio.ensure_future(tick())
        process = await sh("exec sleep 0.1")
        await process.wait()
        ticker.cancel()
        assert ticks > 5

    begun = time.monotonic()
    run(loop, main)
    assert time.monotonic() - begun >= 0.1


def test_stdin_inode_is_a_pipe(loop):
    async def main():
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
        for fd in (0, 1):
            number = process._transport.get_pipe_transport(fd)._fileno
            assert stat.S_ISFIFO(os.fstat(number).st_mode)
            assert stat.S_ISFIFO(os.stat(f"/proc/{process.pid}/fd/{fd}").st_mode)
        await process.communicate(b"")

    run(loop, main)
