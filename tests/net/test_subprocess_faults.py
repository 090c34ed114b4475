"""Children that cannot be made, watched or waited for; threads, other loops, debug mode."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import resource
import signal
import stat
import sys
import threading
import time
import warnings
from asyncio.subprocess import PIPE

import pytest
import support
from subprocess_support import (  # noqa: F401 - fixtures are used by name
    MIB,
    Events,
    child_watcher,
    end,
    run,
    sh,
)

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
