"""add_signal_handler, remove_signal_handler, and Python's own handlers beside them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time
import warnings

import pytest
import support

USR1, USR2 = signal.SIGUSR1, signal.SIGUSR2


@pytest.fixture(autouse=True)
def restored(clean):
    with support.signals_restored(USR1, USR2, signal.SIGALRM, signal.SIGCHLD):
        yield


def kill(number=USR1):
    os.kill(os.getpid(), number)


def test_handler_runs_in_the_loop(loop):
    seen = []
    loop.add_signal_handler(USR1, seen.append, "usr1")
    loop.add_signal_handler(USR2, lambda *args: seen.append(args), 1, 2)
    loop.call_soon(kill, USR1)
    loop.call_soon(kill, USR2)
    loop.run_until_complete(support.until(lambda: len(seen) == 2))
    assert "usr1" in seen
    assert (1, 2) in seen
    assert loop.remove_signal_handler(USR1) is True
    assert loop.remove_signal_handler(USR2) is True
    assert signal.getsignal(USR1) == signal.SIG_DFL


def test_wakes_the_sleeping_loop(loop):
    loop.add_signal_handler(USR1, loop.stop)
    start = time.monotonic()
    with support.kill_after(0.05, USR1, loop):
        loop.call_later(30, loop.stop).cancel()
        loop.run_forever()
    assert time.monotonic() - start < 10
    loop.remove_signal_handler(USR1)


def test_remove(loop):
    assert loop.remove_signal_handler(USR1) is False
    loop.add_signal_handler(USR1, int)
    assert loop.remove_signal_handler(USR1) is True
    assert loop.remove_signal_handler(USR1) is False


def test_replace(loop):
    seen = []
    loop.add_signal_handler(USR1, seen.append, "old")
    loop.add_signal_handler(USR1, seen.append, "new")
    loop.call_soon(kill)
    loop.run_until_complete(support.until(lambda: seen))
    assert seen == ["new"]
    loop.remove_signal_handler(USR1)


def test_sigint_gets_its_default_handler_back(loop):
    loop.add_signal_handler(signal.SIGINT, int)
    assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert loop.remove_signal_handler(signal.SIGINT) is True
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_sigint_handler(loop):
    seen = []
    loop.add_signal_handler(signal.SIGINT, lambda: (seen.append(1), loop.stop()))
    with support.kill_after(0.05, signal.SIGINT, loop):
        loop.run_forever()
    assert seen == [1]
    loop.remove_signal_handler(signal.SIGINT)


@pytest.mark.parametrize("number", ["x", None, 1.5, "SIGUSR1", []])
def test_fault_24_not_a_number(loop, number):
    with pytest.raises(TypeError):
        loop.add_signal_handler(number, int)
    with pytest.raises(TypeError):
        loop.remove_signal_handler(number)


@pytest.mark.parametrize("number", [0, -1, signal.NSIG, signal.NSIG + 1, 10**6])
def test_fault_24_no_such_signal(loop, number):
    with pytest.raises(ValueError, match="invalid signal number"):
        loop.add_signal_handler(number, int)
    with pytest.raises(ValueError, match="invalid signal number"):
        loop.remove_signal_handler(number)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_fault_24_cannot_be_caught(loop, number):
    with pytest.raises(RuntimeError, match=f"sig {int(number)} cannot be caught"):
        loop.add_signal_handler(number, int)
    assert loop.remove_signal_handler(number) is False


def test_fault_24_coroutines(loop):
    async def coro():
        pass

    with pytest.raises(TypeError, match="coroutines cannot be used"):
        loop.add_signal_handler(USR1, coro)
    made = coro()
    with pytest.raises(TypeError, match="coroutines cannot be used"):
        loop.add_signal_handler(USR1, made)
    made.close()
    assert signal.getsignal(USR1) == signal.SIG_DFL


def test_fault_24_not_in_the_main_thread(loop_factory):
    errors = []

    def other():
        loop = loop_factory()
        try:
            loop.add_signal_handler(USR1, int)
        except (RuntimeError, ValueError) as e:
            errors.append(e)
        loop.close()

    with support.thread(other):
        pass
    assert [type(e) for e in errors] == [RuntimeError]
    assert signal.getsignal(USR1) == signal.SIG_DFL


def test_exception_in_a_handler(loop, contexts):
    def bad():
        raise ValueError("in the handler")

    loop.add_signal_handler(USR1, bad)
    loop.call_soon(kill)
    loop.run_until_complete(support.until(lambda: contexts))
    assert str(contexts[0]["exception"]) == "in the handler"
    loop.remove_signal_handler(USR1)


def test_handler_that_removes_itself(loop):
    seen = []

    def once():
        seen.append(1)
        assert loop.remove_signal_handler(USR1) is True
        signal.signal(USR1, signal.SIG_IGN)

    loop.add_signal_handler(USR1, once)
    loop.call_soon(kill)
    loop.run_until_complete(support.until(lambda: seen))
    kill()
    loop.run_until_complete(asyncio.sleep(0.01))
    assert seen == [1]


def test_signal_pending_when_removed(loop):
    """The byte is in the pipe but nobody wants it any more."""
    loop.add_signal_handler(USR1, int)
    kill()
    loop.remove_signal_handler(USR1)
    loop.run_until_complete(asyncio.sleep(0.01))


def test_signal_before_the_loop_runs(loop):
    seen = []
    loop.add_signal_handler(USR1, seen.append, 1)
    kill()
    loop.run_until_complete(support.until(lambda: seen))
    assert seen == [1]
    loop.remove_signal_handler(USR1)


def test_python_handler_runs_while_the_loop_sleeps(loop):
    seen = []
    signal.signal(USR1, lambda number, frame: seen.append(time.monotonic()))
    start = time.monotonic()
    with support.kill_after(0.05, USR1, loop):
        loop.run_until_complete(asyncio.sleep(1))
    # not only at the end of the sleep
    assert len(seen) == 1
    assert seen[0] - start < 0.8


def test_python_handler_beside_a_loop_handler(loop):
    seen = []
    loop.add_signal_handler(USR2, int)
    signal.signal(USR1, lambda number, frame: seen.append(time.monotonic()))
    start = time.monotonic()
    with support.kill_after(0.05, USR1, loop):
        loop.run_until_complete(asyncio.sleep(1))
    assert len(seen) == 1
    assert seen[0] - start < 0.8
    loop.remove_signal_handler(USR2)


def test_python_handler_may_use_call_soon_threadsafe(loop):
    signal.signal(USR1, lambda number, frame: loop.call_soon_threadsafe(loop.stop))
    start = time.monotonic()
    with support.kill_after(0.05, USR1, loop):
        timer = loop.call_later(20, loop.stop)
        loop.run_forever()
    timer.cancel()
    assert time.monotonic() - start < 10


def test_wakeup_fd_is_put_back(loop_factory):
    def wakeup():
        now = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(now)
        return now

    before = wakeup()
    loop = loop_factory()
    loop.run_until_complete(asyncio.sleep(0))
    assert wakeup() == before
    loop.add_signal_handler(USR1, int)
    loop.run_until_complete(asyncio.sleep(0))
    loop.remove_signal_handler(USR1)
    assert wakeup() == before
    loop.add_signal_handler(USR1, int)
    loop.close()
    assert wakeup() == before
    assert signal.getsignal(USR1) == signal.SIG_DFL


def test_the_wakeup_fd_of_the_program_is_served(loop):
    """As long as the loop has no handler of its own, the program's wakeup descriptor is told."""
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    seen = []
    before = signal.set_wakeup_fd(b.fileno())
    signal.signal(USR1, lambda number, frame: seen.append(number))

    async def main():
        kill()
        await asyncio.sleep(0.005)
        with support.kill_after(0.005, USR1):
            await asyncio.sleep(0.05)
        await support.until(lambda: len(seen) == 2)

    loop.run_until_complete(main())
    assert signal.set_wakeup_fd(before) == b.fileno()
    assert a.recv(10) == bytes([USR1, USR1])
    a.close()
    b.close()


def test_handlers_of_a_closed_loop_are_gone(loop_factory):
    loop = loop_factory()
    loop.add_signal_handler(USR1, int)
    loop.add_signal_handler(USR2, int)
    loop.close()
    assert signal.getsignal(USR1) == signal.SIG_DFL
    assert signal.getsignal(USR2) == signal.SIG_DFL
    # the next loop is not bothered
    other = loop_factory()
    seen = []
    other.add_signal_handler(USR1, seen.append, 1)
    kill()
    other.run_until_complete(support.until(lambda: seen))
    other.remove_signal_handler(USR1)
    other.close()


def test_interrupted_system_calls_go_on(loop):
    """SA_RESTART is set, as asyncio does with siginterrupt(False)."""
    loop.add_signal_handler(USR1, int)
    r, w = os.pipe()
    with support.kill_after(0.03, USR1):
        with support.thread(lambda: (time.sleep(0.1), os.write(w, b"x"))):
            assert os.read(r, 1) == b"x"
    loop.remove_signal_handler(USR1)
    os.close(r)
    os.close(w)


@pytest.fixture
def full_pipe_is_fine(monkeypatch):
    """asyncio lets the interpreter report that the wakeup pipe was full; nothing else may be."""
    hook = sys.unraisablehook

    def only_others(report):
        if report.exc_type is not BlockingIOError:
            hook(report)

    monkeypatch.setattr(sys, "unraisablehook", only_others)


def test_fault_23_storm(loop, full_pipe_is_fine):
    """Signals may coalesce; the last one is not lost and nothing recurses."""
    seen = []
    loop.add_signal_handler(USR1, seen.append, 1)

    def storm():
        for _ in range(20_000):
            kill()

    async def main():
        await loop.run_in_executor(None, storm)
        await support.until(lambda: seen)
        await asyncio.sleep(0.05)
        before = len(seen)
        kill()
        await support.until(lambda: len(seen) > before)

    loop.run_until_complete(main())
    loop.remove_signal_handler(USR1)


def test_fault_23_storm_while_the_loop_does_not_look(loop, full_pipe_is_fine):
    """More than the wakeup pipe holds."""
    seen = []
    loop.add_signal_handler(USR1, seen.append, 1)

    def work():
        for _ in range(3000):
            kill()

    loop.call_soon(work)
    loop.run_until_complete(support.until(lambda: seen))
    loop.remove_signal_handler(USR1)


def test_other_loops_in_other_threads_do_not_see_it(loop, loop_factory):
    seen = []
    loop.add_signal_handler(USR1, seen.append, "main")
    started = threading.Event()
    others = []

    def other():
        theirs = loop_factory()
        others.append(theirs)
        theirs.call_soon(started.set)
        theirs.run_forever()
        theirs.close()

    with support.thread(other):
        started.wait(10)
        kill()
        loop.run_until_complete(support.until(lambda: seen))
        others[0].call_soon_threadsafe(others[0].stop)
    assert seen == ["main"]
    loop.remove_signal_handler(USR1)


def test_context_of_a_handler(loop):
    import contextvars

    var = contextvars.ContextVar("var", default="unset")
    seen = []

    def main():
        var.set("set")
        loop.add_signal_handler(USR1, lambda: seen.append(var.get()))

    contextvars.copy_context().run(main)
    kill()
    loop.run_until_complete(support.until(lambda: seen))
    assert seen == ["set"]
    loop.remove_signal_handler(USR1)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.Runner came in 3.11")
def test_runner_handles_sigint_and_puts_it_back(loop_factory):
    async def main():
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(20)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(main())
    assert signal.getsignal(signal.SIGINT) is before
    asyncio.set_event_loop(None)


# ---- every signal, and the times at which one may come ------------------------------------------

# A sanitizer keeps some for itself: Python does not know their handlers.
CATCHABLE = sorted(
    number
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    if signal.getsignal(number) is not None
)


@pytest.mark.parametrize("number", CATCHABLE, ids=int)
def test_every_signal_that_can_be_caught(loop, number):
    seen = []
    with support.signals_restored(number):
        loop.add_signal_handler(number, seen.append, number)
        loop.call_soon(kill, number)
        loop.run_until_complete(support.until(lambda: seen))
        assert seen == [number]
        assert loop.remove_signal_handler(number) is True
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        assert signal.getsignal(number) is default


def test_signals_between_two_runs(loop):
    """What comes while the loop is stopped is handled when it runs again, once and in order."""
    seen = []
    for number in (USR1, USR2):
        loop.add_signal_handler(number, seen.append, number)
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))
        kill(USR1)
        kill(USR2)
        before = len(seen)
        loop.run_until_complete(support.until(lambda before=before: len(seen) == before + 2))
    assert seen == [USR1, USR2] * 3
    for number in (USR1, USR2):
        loop.remove_signal_handler(number)


def test_signal_while_stopped_is_handled_in_the_first_iterations(loop):
    seen = []
    loop.add_signal_handler(USR1, seen.append, 1)
    loop.run_until_complete(asyncio.sleep(0))
    kill()

    async def some_turns():
        for _ in range(3):
            await asyncio.sleep(0)

    loop.run_until_complete(some_turns())
    assert seen == [1]
    loop.remove_signal_handler(USR1)


def test_handlers_run_in_the_order_the_signals_came(loop):
    seen = []
    loop.add_signal_handler(USR2, seen.append, USR2)
    loop.add_signal_handler(USR1, seen.append, USR1)

    async def main():
        for _ in range(5):
            kill(USR2)
            kill(USR1)
        await support.until(lambda: len(seen) == 10)

    loop.run_until_complete(main())
    assert seen == [USR2, USR1] * 5
    for number in (USR1, USR2):
        loop.remove_signal_handler(number)


def test_plain_handler_that_raises_in_a_callback(loop, contexts):
    """It raises in whatever Python code runs, here a callback, and belongs to that."""

    def handler(number, frame):
        raise ZeroDivisionError("from the handler")

    signal.signal(USR1, handler)
    loop.call_soon(kill)
    after = []
    loop.call_soon(after.append, 1)
    loop.run_until_complete(support.until(lambda: after))
    assert [type(context["exception"]) for context in contexts] == [ZeroDivisionError]


def test_plain_handler_that_raises_leaves_the_rest_of_the_loop_alone(loop):
    """The exception leaves run_forever(); what was due comes when the loop runs again."""
    seen = []

    def handler(number, frame):
        raise LookupError("from the handler")

    signal.signal(USR1, handler)
    loop.add_signal_handler(USR2, seen.append, "usr2")
    timer = loop.call_later(0.1, seen.append, "timer")
    with support.kill_after(0.02, USR1, loop), pytest.raises(LookupError, match="from the handler"):
        loop.run_forever()
    assert not loop.is_running()
    kill(USR2)
    loop.run_until_complete(support.until(lambda: len(seen) == 2))
    assert seen == ["usr2", "timer"]
    assert not timer.cancelled()
    loop.remove_signal_handler(USR2)


def test_plain_handler_that_raises_while_the_loop_is_busy(loop):
    """A loop that polls and never sleeps."""
    raised = []

    def handler(number, frame):
        raised.append(1)
        raise LookupError

    signal.signal(USR1, handler)
    loop.set_exception_handler(lambda *args: loop.stop())

    def spin():
        if not raised:
            loop.call_soon(spin)

    loop.call_soon(spin)
    with support.kill_after(0.02, USR1, loop), contextlib.suppress(LookupError):
        loop.run_forever()  # it hits the callback, or the loop between two of them
    assert raised == [1]
    loop.run_until_complete(asyncio.sleep(0.001))


def test_itimer_storm(loop):
    """A handler of each kind, at a thousand signals a second, beside I/O."""
    seen, plain = [], []
    loop.add_signal_handler(signal.SIGALRM, seen.append, 1)
    signal.signal(USR1, lambda *args: plain.append(1))

    async def main():
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        try:
            async with support.pair() as (client, server):
                for n in range(200):
                    client.transport.write(b"x" * 100)
                    await server.received(100 * (n + 1))
                    if n % 10 == 0:
                        kill(USR1)
                await support.until(lambda: len(seen) > 20)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    loop.run_until_complete(main())
    assert len(plain) == 20
    loop.remove_signal_handler(signal.SIGALRM)


def test_sigchld_handler_beside_subprocesses(loop):
    """SIGCHLD is the program's as any other signal; children are reaped all the same."""
    seen = []
    loop.add_signal_handler(signal.SIGCHLD, seen.append, 1)

    async def main():
        for code in range(3):
            process = await asyncio.create_subprocess_exec("/bin/sh", "-c", f"exit {code}")
            assert await process.wait() == code
        await support.until(lambda: seen)

    loop.run_until_complete(main())
    assert loop.remove_signal_handler(signal.SIGCHLD) is True


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="no child watchers any more")
@pytest.mark.parametrize("name", ["SafeChildWatcher", "FastChildWatcher", "MultiLoopChildWatcher"])
def test_sigchld_with_a_child_watcher(loop, name):
    """The watchers that live by SIGCHLD find it on the loop they are attached to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        watcher = getattr(asyncio, name)()
        watcher.attach_loop(loop)
        ended = []
        pid = os.spawnv(os.P_NOWAIT, "/bin/sh", ["sh", "-c", "sleep 0.05; exit 7"])

        async def main():
            with watcher:
                watcher.add_child_handler(pid, lambda *args: ended.append(args))
            await support.until(lambda: ended)

        loop.run_until_complete(main())
        assert ended == [(pid, 7)]
        watcher.attach_loop(None)
        watcher.close()
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


# ---- the wakeup descriptor ----------------------------------------------------------------------


def current_wakeup_fd():
    now = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(now)
    return now


def test_wakeup_fd_is_put_back_after_an_exception(loop):
    before = current_wakeup_fd()

    def leave():
        raise KeyboardInterrupt

    loop.call_soon(leave)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert current_wakeup_fd() == before


def test_loops_in_turns(loop_factory):
    """Two loops with handlers, run one after the other: each has its own signals."""
    one, two = loop_factory(), loop_factory()
    seen = []
    one.add_signal_handler(USR1, seen.append, "one")
    for _ in range(2):
        two.run_until_complete(asyncio.sleep(0))
        kill()
        one.run_until_complete(support.until(lambda: seen))
        assert seen == ["one"]
        seen.clear()
        two.run_until_complete(asyncio.sleep(0.001))
    assert seen == []
    one.remove_signal_handler(USR1)
    one.close()
    two.close()
