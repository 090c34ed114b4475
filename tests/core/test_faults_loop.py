"""Faults of the loop itself, each with the row of the table of faults it comes from.

Rows 23 and 24 are in test_signals, 37 in test_executor, 38 and 39 in test_getaddrinfo, 40 to 42 in
test_sock, test_fdwatch and tests/net, 30 in test_debug; rows of connections in
tests/net/test_faults_tcp.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time

import pytest
import support


def turn(loop):
    loop.run_until_complete(support.settle())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["soon", "timer", "reader", "task", "done", "threadsafe"])
def test_fault_19_leaves_the_loop_and_keeps_the_queue(loop, where, kind):
    a, b = socket.socketpair()
    b.send(b"x")
    seen = []
    count = 0

    def leave(*args):
        nonlocal count
        loop.remove_reader(a)
        count += 1
        # queued in the same turn, and for the next: kept
        loop.call_soon(seen.append, "queued")
        loop.call_later(0.001, seen.append, "timer")
        raise kind

    async def task():
        leave()

    if where == "soon":
        loop.call_soon(leave)
    elif where == "timer":
        loop.call_later(0, leave)
    elif where == "reader":
        loop.add_reader(a, leave)
    elif where == "task":
        tasks = [loop.create_task(task())]
    elif where == "done":
        future = loop.create_future()
        future.add_done_callback(leave)
        future.set_result(None)
    else:
        loop.call_soon_threadsafe(leave)
    with pytest.raises(kind):
        loop.run_forever()
    assert count == 1
    assert not loop.is_running()
    if where == "task":
        assert type(tasks[0].exception()) is kind
    loop.run_until_complete(asyncio.sleep(0.005))
    assert seen == ["queued", "timer"]
    a.close()
    b.close()


def test_fault_19_thousand_times(loop):
    def leave():
        raise SystemExit

    for _ in range(1000):
        loop.call_soon(leave)
        with pytest.raises(SystemExit):
            loop.run_forever()
    assert loop.run_until_complete(asyncio.sleep(0, 1)) == 1


@pytest.mark.parametrize("kind", [asyncio.CancelledError, GeneratorExit, BaseException])
@pytest.mark.parametrize("where", ["soon", "timer", "reader", "signal", "done"])
def test_fault_20_other_base_exceptions(loop, contexts, where, kind):
    a, b = socket.socketpair()
    b.send(b"x")

    def bad(*args):
        loop.remove_reader(a)
        raise kind("odd")

    with support.signals_restored(signal.SIGUSR1):
        if where == "soon":
            loop.call_soon(bad)
        elif where == "timer":
            loop.call_later(0, bad)
        elif where == "reader":
            loop.add_reader(a, bad)
        elif where == "signal":
            loop.add_signal_handler(signal.SIGUSR1, bad)
            os.kill(os.getpid(), signal.SIGUSR1)
        else:
            future = loop.create_future()
            future.add_done_callback(bad)
            future.set_result(None)
        loop.run_until_complete(support.until(lambda: contexts))
        loop.remove_signal_handler(signal.SIGUSR1)
    assert [type(c["exception"]) for c in contexts] == [kind]
    turn(loop)
    a.close()
    b.close()


def test_fault_21_the_exception_handler_raises(loop, expect_log):
    expect_log("^Unhandled error in exception handler", times=3)

    def handler(loop, context):
        raise RuntimeError("the handler itself")

    def bad():
        raise ValueError

    seen = []
    loop.set_exception_handler(handler)
    for n in range(3):
        loop.call_soon(bad)
        loop.call_soon(seen.append, n)
    turn(loop)
    assert seen == [0, 1, 2]


def test_fault_22_sigint_while_the_poll_sleeps(loop):
    """With nothing to do, for ever: the poll has no time-out."""
    start = time.monotonic()
    with support.kill_after(0.1, signal.SIGINT, loop):
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
    assert time.monotonic() - start < 10
    turn(loop)


def test_fault_22_sigint_many_times(loop):
    for _ in range(20):
        with support.kill_after(0.005, signal.SIGINT, loop):
            with pytest.raises(KeyboardInterrupt):
                loop.run_forever()
    turn(loop)


def test_fault_25_nested_and_second_runs(loop, loop_factory, loop_name):
    support.oracle_lacks(loop_name, support.PY == (3, 13), "a refused run stops the running one")
    other = loop_factory()
    texts = []

    def attempt(run):
        try:
            run()
        except RuntimeError as e:
            texts.append(str(e))

    def work():
        attempt(loop.run_forever)
        attempt(other.run_forever)
        assert loop.is_running()
        assert not other.is_running()

    loop.call_soon(work)
    loop.call_soon(work)
    loop.call_later(0.005, loop.stop)
    loop.run_forever()
    assert (
        texts
        == [
            "This event loop is already running",
            "Cannot run the event loop while another loop is running",
        ]
        * 2
    )
    turn(other)
    other.close()


def test_fault_26_close(loop_factory):
    loop = loop_factory()
    texts = []

    def work():
        try:
            loop.close()
        except RuntimeError as e:
            texts.append(str(e))
        loop.stop()

    loop.call_soon(work)
    loop.run_forever()
    assert texts == ["Cannot close a running event loop"]
    loop.close()
    loop.close()


def test_fault_26_close_in_another_thread(loop):
    """The loop that runs in a thread cannot be closed from here."""
    started = threading.Event()

    def other():
        loop.call_soon(started.set)
        loop.run_forever()

    with support.thread(other):
        started.wait(10)
        with pytest.raises(RuntimeError, match="^Cannot close a running event loop$"):
            loop.close()
        loop.call_soon_threadsafe(loop.stop)


def test_fault_28_every_method_of_a_closed_loop(loop_factory):
    """RuntimeError('Event loop is closed') or a quiet answer; never anything worse."""
    loop = loop_factory()
    loop.close()

    async def coro():
        pass

    must = {
        "call_soon": lambda: loop.call_soon(int),
        "call_soon with arguments": lambda: loop.call_soon(int, 1, 2, 3, 4),
        "call_soon_threadsafe": lambda: loop.call_soon_threadsafe(int),
        "call_later": lambda: loop.call_later(0, int),
        "call_at": lambda: loop.call_at(0, int),
        "run_forever": lambda: loop.run_forever(),
        "add_reader": lambda: loop.add_reader(0, int),
        "add_writer": lambda: loop.add_writer(1, int),
        "run_in_executor": lambda: loop.run_in_executor(None, int),
    }
    for name, call in must.items():
        with pytest.raises(RuntimeError, match="^Event loop is closed$"):
            call()
            pytest.fail(name)
    c = coro()
    with pytest.raises(RuntimeError, match="^Event loop is closed$"):
        loop.create_task(c)
    with pytest.raises(RuntimeError, match="^Event loop is closed$"):
        loop.run_until_complete(c)
    c.close()
    for quiet in (
        lambda: loop.remove_reader(0),
        lambda: loop.remove_writer(0),
        lambda: loop.stop(),
        lambda: loop.is_running(),
        lambda: loop.time(),
        lambda: loop.create_future(),
        lambda: loop.set_debug(True),
        lambda: loop.set_exception_handler(None),
        lambda: loop.set_task_factory(None),
        lambda: loop.remove_signal_handler(signal.SIGUSR1),
        lambda: loop.close(),
        lambda: repr(loop),
    ):
        quiet()


def test_fault_29_threads_while_closing(loop_factory):
    """Many threads, many rounds: each call runs or raises, every thread comes to an end."""
    for round_ in range(40):
        loop = loop_factory()
        ran, taken = [], []
        errors = set()
        go = threading.Event()

        def work(loop=loop, ran=ran, taken=taken, errors=errors, go=go):
            go.wait(10)
            for _ in range(300):
                try:
                    loop.call_soon_threadsafe(ran.append, 1)
                except RuntimeError as e:
                    errors.add(str(e))
                    return
                taken.append(1)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        loop.call_soon(go.set)
        loop.call_later(0.0005 * (round_ % 5), loop.stop)
        loop.run_forever()
        loop.close()
        for t in threads:
            t.join(20)
            assert not t.is_alive()
        assert errors <= {"Event loop is closed"}
        assert len(ran) <= len(taken)


def test_fault_29_no_wake_up_is_lost(loop):
    """A wake-up that comes while the loop goes to sleep must not be missed."""
    rounds = 2000
    count = 0
    gate = threading.Semaphore(0)

    def got():
        nonlocal count
        count += 1
        gate.release()
        if count == rounds:
            loop.stop()

    def other():
        for n in range(rounds):
            loop.call_soon_threadsafe(got)
            if n % 7:
                assert gate.acquire(timeout=20)
        while gate.acquire(blocking=False):
            pass

    with support.thread(other):
        loop.run_forever()
    assert count == rounds


def test_fault_30_wrong_thread_in_debug(loop):
    loop.set_debug(True)
    errors = []

    def other():
        try:
            loop.call_soon(int)
        except RuntimeError as e:
            errors.append(str(e))

    async def main():
        await loop.run_in_executor(None, other)

    loop.run_until_complete(main())
    assert errors == [
        "Non-thread-safe operation invoked on an event loop other than the current one"
    ]


FORK = """
import os, sys, signal, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads
loop = new_loop()

async def child_main():
    r = asyncio.get_running_loop()
    future = r.create_future()
    r.call_later(0.01, future.set_result, "child")
    return await future

async def main():
    import socket
    a, b = socket.socketpair()
    a.setblocking(False)
    seen = []
    loop.add_reader(a, lambda: seen.append(a.recv(10)))
    await asyncio.sleep(0)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                code = 2
            assert code == 2, "the parent's loop still runs in the child"
            mine = new_loop()
            assert mine.run_until_complete(child_main()) == "child"
            mine.close()
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(code)
    # the parent sleeps in its poll and is not disturbed
    await asyncio.sleep(0.3)
    got, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
    b.send(b"x")
    await asyncio.sleep(0.01)
    assert seen == [b"x"], seen
    loop.remove_reader(a)
    a.close(); b.close()
    print("parent")

loop.run_until_complete(main())
loop.close()
"""


def test_fault_31_fork_in_a_running_loop(loop_name):
    assert support.script(loop_name, FORK).split() == ["parent"]


def test_fault_31_child_leaves_the_parents_loop_alone(loop_name):
    """The child changes watchers of the inherited loop: the parent's epoll set is its own."""
    out = support.script(
        loop_name,
        """
import os, socket
loop = new_loop()
a, b = socket.socketpair()
a.setblocking(False)
seen = []
loop.add_reader(a, lambda: seen.append(a.recv(10)))
loop.run_until_complete(asyncio.sleep(0))
pid = os.fork()
if pid == 0:
    a.close(); b.close()
    del loop
    os._exit(0)
os.waitpid(pid, 0)
b.send(b"x")
loop.run_until_complete(asyncio.sleep(0.01))
print(seen)
loop.remove_reader(a)
loop.close()
a.close(); b.close()
""",
    )
    assert out == "[b'x']\n"


def test_fault_45_daemon_thread_at_exit(loop_name):
    support.script(
        loop_name,
        """
import threading, time
def work():
    loop = new_loop()
    async def main():
        while True:
            await asyncio.sleep(0.001)
    loop.run_until_complete(main())
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)
""",
    )


SUBINTERPRETER = """
import sys, textwrap
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
code = textwrap.dedent('''
    import asyncio
    %s
    import socket
    loop = new_loop()
    async def main():
        async def handle(reader, writer):
            writer.write((await reader.readline()).upper())
            writer.close()
            await writer.wait_closed()
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\\\\n")
        assert await reader.read() == b"HELLO\\\\n"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.001)
    loop.run_until_complete(main())
    loop.close()
''')
for n in range(3):
    try:
        other = interpreters.create()
    except TypeError:
        other = interpreters.create("legacy")
    done = interpreters.run_string(other, code)
    assert done is None, done.formatted
    interpreters.destroy(other)
    loop = new_loop()
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()
print("ok")
"""


@pytest.mark.parametrize("config", ["isolated", "legacy"])
def test_fault_46_subinterpreters(loop_name, config):
    """With its own GIL too where the Python has that."""
    if support.PY == (3, 12) and config == "isolated":
        pytest.skip("CPython 3.12 aborts at its end after asyncio alone ran under a second GIL")
    if config == "legacy" and sys.version_info < (3, 12):
        config = "isolated"  # all are of the old kind there
    make = support.factory_code(loop_name).replace("import asyncio\n", "").strip()
    source = SUBINTERPRETER % make.replace("\n", "\n    ")
    if config == "legacy":
        source = source.replace("interpreters.create()", 'interpreters.create("legacy")')
        if sys.version_info < (3, 13):
            source = source.replace(
                'interpreters.create("legacy")', "interpreters.create(isolated=False)"
            )
    out = support.script(loop_name, source, options=("-X", "faulthandler"))
    assert out == "ok\n"


def test_fault_47_a_loop_per_thread(loop_factory):
    """Loops side by side, each with its own connections, timers and tasks."""
    errors = []

    def work(n):
        try:
            loop = loop_factory()

            async def main():
                async with support.pair() as (client, server):
                    for m in range(50):
                        client.transport.write(b"%d," % m)
                        await asyncio.sleep(0)
                    expected = b"".join(b"%d," % m for m in range(50))
                    assert await server.received(len(expected)) == expected
                    await asyncio.gather(*(asyncio.sleep(0.001) for _ in range(50)))

            for _ in range(3):
                loop.run_until_complete(main())
            support.finish(loop)
        except BaseException as e:  # noqa: BLE001
            errors.append(e)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30 * support.SLOW)
        assert not t.is_alive()
    assert errors == []
