"""What the tests of subprocesses share: shell commands, a protocol that writes things down."""

from __future__ import annotations

import asyncio
import contextlib
import os
from asyncio.subprocess import PIPE

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
        if pid or not support.SERVERS:
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
