"""Keywords of subprocess_exec() and asyncio.create_subprocess_*()."""

from __future__ import annotations

import asyncio
import collections
import fcntl
import os
import subprocess
import sys
from asyncio.subprocess import PIPE

import pytest
from subprocess_support import (  # noqa: F401 - fixtures are used by name
    SH,
    child_watcher,
    output,
    run,
    sh,
)

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
