"""KeyboardInterrupt and SystemExit leave the loop at once and leave it usable; Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time

import pytest
import support

KINDS = [KeyboardInterrupt, SystemExit]


def usable(loop):
    assert not loop.is_running()
    assert asyncio._get_running_loop() is None
    seen = []
    loop.call_soon(seen.append, "soon")
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert seen == ["soon"]
    assert loop.run_until_complete(asyncio.sleep(0.001, "slept")) == "slept"


def leave(kind):
    raise kind("leave")


@pytest.mark.parametrize("kind", KINDS)
def test_from_a_callback(loop, kind):
    seen = []
    loop.call_soon(seen.append, "before")
    loop.call_soon(leave, kind)
    loop.call_soon(seen.append, "after")
    with pytest.raises(kind):
        loop.run_forever()
    assert seen == ["before"]
    # what was queued behind it is kept
    usable(loop)
    assert seen == ["before", "after"]


@pytest.mark.parametrize("kind", KINDS)
def test_from_a_timer(loop, kind):
    seen = []
    loop.call_later(0.001, leave, kind)
    loop.call_later(0.002, seen.append, "later")
    with pytest.raises(kind):
        loop.run_forever()
    time.sleep(0.003)
    usable(loop)
    assert seen == ["later"]


@pytest.mark.parametrize("kind", KINDS)
def test_from_call_soon_threadsafe(loop, kind):
    with support.thread(lambda: (time.sleep(0.02), loop.call_soon_threadsafe(leave, kind))):
        with pytest.raises(kind):
            loop.run_forever()
    usable(loop)


@pytest.mark.parametrize("kind", KINDS)
def test_from_a_task(loop, kind):
    async def other():
        await asyncio.sleep(0)
        leave(kind)

    async def main():
        task = loop.create_task(other())
        tasks.append(task)
        await asyncio.sleep(100)

    tasks = []
    with pytest.raises(kind):
        loop.run_until_complete(main())
    assert type(tasks[0].exception()) is kind
    usable(loop)


@pytest.mark.parametrize("kind", KINDS)
def test_from_the_main_task(loop, kind):
    async def main():
        await asyncio.sleep(0)
        leave(kind)

    with pytest.raises(kind):
        loop.run_until_complete(main())
    usable(loop)


@pytest.mark.parametrize("kind", KINDS)
def test_from_a_reader_and_a_writer(loop, kind):
    a, b = socket.socketpair()
    b.send(b"x")
    loop.add_reader(a, leave, kind)
    with pytest.raises(kind):
        loop.run_forever()
    loop.remove_reader(a)
    loop.add_writer(a, leave, kind)
    with pytest.raises(kind):
        loop.run_forever()
    loop.remove_writer(a)
    usable(loop)
    a.close()
    b.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "event", ["data_received", "eof_received", "connection_made", "connection_lost"]
)
def test_from_a_protocol(loop, contexts, event, kind):
    def leave_once(protocol):
        protocol.on.clear()
        leave(kind)

    async def open_one():
        a, b = support.tcp_pair()
        b.sendall(b"hello")
        b.shutdown(socket.SHUT_WR)
        peers.append(b)
        return await loop.create_connection(lambda: support.Recorder(**{event: leave_once}), sock=a)

    async def main():
        transports.append((await open_one())[0])
        await asyncio.sleep(50)

    peers, transports = [], []
    with pytest.raises(kind):
        loop.run_until_complete(main())
    usable(loop)
    for t in transports:
        t.abort()
    usable(loop)
    for task in asyncio.all_tasks(loop):
        task.cancel()
    usable(loop)
    for b in peers:
        b.close()
    support.collect()


@pytest.mark.parametrize("kind", KINDS)
def test_several_in_a_row(loop, kind):
    for _ in range(20):
        loop.call_soon(leave, kind)
    for _ in range(20):
        with pytest.raises(kind):
            loop.run_forever()
    usable(loop)


@pytest.mark.parametrize("kind", KINDS)
def test_from_a_signal_handler_of_the_loop(loop, kind):
    with support.signals_restored(signal.SIGUSR1):
        loop.add_signal_handler(signal.SIGUSR1, leave, kind)
        loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
        with pytest.raises(kind):
            loop.run_forever()
        loop.remove_signal_handler(signal.SIGUSR1)
        usable(loop)


@pytest.mark.parametrize("kind", [*KINDS, ZeroDivisionError])
def test_from_a_plain_signal_handler_while_the_loop_sleeps(loop, kind):
    def handler(number, frame):
        raise kind("from the handler")

    with support.signals_restored(signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, handler)
        start = time.monotonic()
        with support.kill_after(0.05, signal.SIGUSR1, loop):
            with pytest.raises(kind):
                loop.run_until_complete(asyncio.sleep(20))
        assert time.monotonic() - start < 10
        for task in asyncio.all_tasks(loop):
            task.cancel()
        usable(loop)


def test_keyboard_interrupt_while_the_loop_sleeps(loop):
    with support.kill_after(0.05, signal.SIGINT, loop):
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
    usable(loop)


def test_keyboard_interrupt_while_a_callback_works(loop):
    def work():
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            pass
        pytest.fail("not interrupted")

    with support.kill_after(0.05, signal.SIGINT, loop):
        loop.call_soon(work)
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
    usable(loop)


def test_keyboard_interrupt_while_the_loop_is_busy(loop):
    """Turns without a pause between them still look at signals."""

    def again():
        loop.call_soon(again)

    loop.call_soon(again)
    with support.kill_after(0.05, signal.SIGINT, loop):
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()


# -- asyncio.run and asyncio.Runner -----------------------------------------------------------

PY311 = pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.Runner came in 3.11")
RUN = """
import os, signal, threading, time, sys

def interrupt(delay=0.1, times=1):
    def work():
        for _ in range(times):
            time.sleep(delay)
            os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=work, daemon=True).start()

def run(main):
    if sys.version_info >= (3, 11):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(main)
    loop = new_loop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()
"""


@PY311
def test_first_ctrl_c_cancels_the_main_task(loop_name):
    out = support.script(
        loop_name,
        RUN
        + """
async def main():
    interrupt()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("cancelled")
        raise
    finally:
        await asyncio.sleep(0.01)
        print("cleaned up")

try:
    run(main())
except KeyboardInterrupt:
    print("KeyboardInterrupt")
""",
    )
    assert out.split() == ["cancelled", "cleaned", "up", "KeyboardInterrupt"]


@PY311
def test_second_ctrl_c_raises_at_once(loop_name):
    out = support.script(
        loop_name,
        RUN
        + """
async def main():
    interrupt(0.4, 2)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("cancelled")
    await asyncio.sleep(60)   # will not be asked again

try:
    run(main())
except KeyboardInterrupt:
    print("KeyboardInterrupt")
""",
    )
    assert out.split() == ["cancelled", "KeyboardInterrupt"]


@PY311
def test_ctrl_c_while_the_main_task_computes(loop_name):
    out = support.script(
        loop_name,
        RUN
        + """
async def main():
    interrupt()
    end = time.monotonic() + 1
    while time.monotonic() < end:
        pass
    print("computed")
    await asyncio.sleep(60)

try:
    run(main())
except KeyboardInterrupt:
    print("KeyboardInterrupt")
""",
    )
    assert out.split() == ["computed", "KeyboardInterrupt"]


@PY311
def test_suppressed_cancellation_gives_the_result(loop_name):
    out = support.script(
        loop_name,
        RUN
        + """
async def main():
    interrupt()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "suppressed"

print(run(main()))
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
""",
    )
    assert out.split() == ["suppressed", "True"]


def test_ctrl_c_uncaught_ends_the_process(loop_name):
    out = support.script(
        loop_name,
        RUN
        + """
async def main():
    interrupt()
    print("waiting", flush=True)
    await asyncio.sleep(60)
run(main())
""",
        code=-signal.SIGINT,
        stderr=None,
    )
    assert out.split() == ["waiting"]


def test_ctrl_c_with_an_own_handler(loop_name):
    """A program that installed its own SIGINT handler keeps it."""
    out = support.script(
        loop_name,
        RUN
        + """
async def main():
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, done.set)
    interrupt()
    await asyncio.wait_for(done.wait(), 30)
    print("handled")
run(main())
""",
    )
    assert out.split() == ["handled"]


def test_system_exit_code(loop_name):
    support.script(
        loop_name,
        RUN
        + """
async def main():
    await asyncio.sleep(0)
    sys.exit(7)
run(main())
""",
        code=7,
    )


@PY311
def test_tasks_are_cancelled_when_the_main_one_is_interrupted(loop_name):
    out = support.script(
        loop_name,
        RUN
        + """
async def other():
    try:
        await asyncio.sleep(60)
    finally:
        print("other ended")

async def main():
    task = asyncio.create_task(other())
    interrupt()
    await asyncio.sleep(60)

try:
    run(main())
except KeyboardInterrupt:
    print("KeyboardInterrupt")
""",
    )
    assert out.splitlines() == ["other ended", "KeyboardInterrupt"]
