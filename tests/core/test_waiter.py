"""The future that a call of sock_* waits with, which serves again: nobody may see that."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import socket
import sys
import weakref

import pytest
import support

import uvolt


@pytest.fixture
def pairs():
    """Function of a number: so many socket pairs."""
    opened = []

    def make(n):
        for _ in range(n):
            for end in (pair := socket.socketpair()):
                end.setblocking(False)
                opened.append(end)
            yield pair

    yield lambda n: list(make(n))
    for end in opened:
        end.close()


async def echo(loop, sock, rounds):
    for _ in range(rounds):
        await loop.sock_sendall(sock, (await loop.sock_recv(sock, 100)) + b"!")


async def ask(loop, sock, rounds):
    for number in range(rounds):
        await loop.sock_sendall(sock, b"%d" % number)
        assert await loop.sock_recv(sock, 100) == b"%d!" % number


def test_many_at_once(loop, pairs):
    """More than are kept, and again."""

    async def main():
        await asyncio.gather(
            *(f(loop, s, 20) for a, b in pairs(200) for f, s in ((echo, a), (ask, b)))
        )

    loop.run_until_complete(main())


def test_serves_again(loop_name, loop, pairs):
    support.oracle_lacks(loop_name, True, "it makes a new one")
    ((a, b),) = pairs(1)
    seen = []

    async def main():
        task = asyncio.ensure_future(ask(loop, a, 5))
        for number in range(5):
            await support.settle()
            seen.append(id(task._fut_waiter))
            assert not task._fut_waiter.done()
            assert b.recv(100) == b"%d" % number
            b.send(b"%d!" % number)
        await task

    loop.run_until_complete(main())
    assert len(set(seen)) == 1


def cancelled_in_its_turn(loop, pairs, **cancel):
    """One task cancels the other, whose event came in the same poll. That task, its socket."""
    (a, b), (c, d) = pairs(2)
    tasks = []

    async def first(sock, other):
        await loop.sock_recv(sock, 10)
        if not tasks[other].done():
            tasks[other].cancel(**cancel)

    async def main():
        tasks.extend(loop.create_task(first(s, n)) for s, n in ((a, 1), (c, 0)))
        await support.settle()
        b.send(b"x")
        d.send(b"y")
        await asyncio.wait(tasks)

    loop.run_until_complete(main())
    (task,) = (t for t in tasks if t.cancelled())
    (done,) = (t for t in tasks if not t.cancelled())
    assert done.result() is None
    return task, (a, c)[tasks.index(task)]


def test_cancelled_between_event_and_step(loop, pairs):
    task, sock = cancelled_in_its_turn(loop, pairs)
    if sys.version_info >= (3, 11):
        assert task.cancelling() == 1
    if isinstance(loop, uvolt.Loop):  # nothing is lost, where asyncio has read it already
        assert len(sock.recv(10)) == 1


@pytest.mark.skipif(sys.version_info < (3, 11), reason="3.10 keeps no message across a wait")
def test_message_of_the_cancellation(loop, pairs):
    task, _ = cancelled_in_its_turn(loop, pairs, msg="why")
    with pytest.raises(asyncio.CancelledError) as caught:
        loop.run_until_complete(task)
    assert caught.value.args == ("why",)


def test_cancelled_between_and_goes_on(loop, pairs):
    """A task that catches it can wait again."""
    (a, b), (c, d) = pairs(2)
    log = []

    async def stubborn(sock):
        try:
            await loop.sock_recv(sock, 10)
        except asyncio.CancelledError:
            log.append("cancelled")
        await asyncio.sleep(0.01)
        log.append(await loop.sock_recv(sock, 10))

    async def other(sock, task):
        await loop.sock_recv(sock, 10)
        task[0].cancel()

    async def main():
        tasks = []
        tasks.append(loop.create_task(other(a, tasks_of_c := [])))
        tasks_of_c.append(loop.create_task(stubborn(c)))
        await support.settle()
        b.send(b"x")
        await support.settle()
        d.send(b"y")
        await asyncio.gather(tasks[0], tasks_of_c[0])

    loop.run_until_complete(asyncio.wait_for(main(), 5 * support.SLOW))
    assert log == ["cancelled", b"y"]


def test_who_looks_at_the_future(loop, pairs):
    """Whoever holds it, or has added a callback to it, sees it done."""
    ((a, b),) = pairs(1)
    calls = []

    async def main():
        for hold, callback in ((True, False), (False, True), (True, True), (True, False)):
            task = loop.create_task(loop.sock_recv(a, 10))
            await support.settle()
            waiter = task._fut_waiter
            assert isinstance(waiter, asyncio.Future)
            assert not waiter.done()
            assert asyncio.isfuture(waiter)
            assert waiter.get_loop() is loop
            if callback:
                waiter.add_done_callback(calls.append)
            if not hold:
                del waiter
            b.send(b"x")
            assert await task == b"x"
            await support.settle()
            if hold:
                assert waiter.done()
                waiter.result()
            if callback:
                assert calls.pop().done()

    loop.run_until_complete(main())


def test_driven_by_hand(loop, pairs):
    ((a, b),) = pairs(1)
    got = []

    async def main():
        coro = loop.sock_recv(a, 10)
        for _ in range(3):
            future = coro.send(None)
            future._asyncio_future_blocking = False
            future.add_done_callback(got.append)
            b.send(b"x")
            await support.settle()
            assert got.pop() is future
            with pytest.raises(StopIteration) as stop:
                coro.send(None)
            assert stop.value.value == b"x"
            coro = loop.sock_recv(a, 10)
        coro.close()

    loop.run_until_complete(main())


def test_tasks_of_other_kinds(loop, pairs):
    """Python's, a subclass, an eager one: each after the other, and mixed."""

    class Task(asyncio.Task):
        pass

    def plain(coro):
        return loop.create_task(coro)

    kinds = [
        plain,
        lambda coro: asyncio.tasks._PyTask(coro, loop=loop),
        lambda coro: Task(coro, loop=loop),
    ]
    if sys.version_info >= (3, 12):
        kinds.append(lambda coro: asyncio.Task(coro, loop=loop, eager_start=True))

    async def main():
        for kind in [*kinds, plain]:
            ((a, b),) = pairs(1)
            await asyncio.gather(kind(ask(loop, a, 5)), kind(echo(loop, b, 5)))
        await asyncio.gather(
            *(
                kind(f(loop, s, 20))
                for kind in kinds
                for a, b in pairs(3)
                for f, s in ((echo, a), (ask, b))
            )
        )

    loop.run_until_complete(main())


def test_context_and_current_task(loop, pairs):
    var = contextvars.ContextVar("var")
    ((a, b),) = pairs(1)

    async def mine(value):
        var.set(value)
        for _ in range(3):
            assert await loop.sock_recv(a, 1) == b"x"
            assert var.get() == value
            assert asyncio.current_task().get_name() == value

    async def main():
        for name in ("one", "two"):
            task = loop.create_task(mine(name), name=name)
            for _ in range(3):
                await support.settle()
                b.send(b"x")
            await task
            assert var.get(None) is None

    loop.run_until_complete(main())


@pytest.mark.parametrize("where", ["instance", "class"])
def test_call_soon_of_the_programs(loop, pairs, where, monkeypatch):
    """One that a program has put in its place is called to wake a task, as by any future."""
    ends = pairs(5)
    seen = []
    original = type(loop).call_soon

    def call_soon(callback, *args, context=None):
        seen.append(callback)
        return original(loop, callback, *args, context=context)

    async def wake_all():
        tasks = [loop.create_task(loop.sock_recv(a, 1)) for a, _ in ends]
        await support.settle()
        seen.clear()
        for _, b in ends:  # the same poll brings them all
            b.send(b"x")
        await asyncio.wait(tasks)
        assert [task.result() for task in tasks] == [b"x"] * 5
        return [c for c in seen if getattr(c, "__self__", None) in tasks]

    async def main():
        assert await wake_all() == []
        with monkeypatch.context() as patch:
            if where == "instance":
                patch.setattr(loop, "call_soon", call_soon)
            else:
                patch.setattr(type(loop), "call_soon", lambda _, *a, **kw: call_soon(*a, **kw))
            assert len(await wake_all()) == 5
        assert await wake_all() == []

    loop.run_until_complete(main())


def test_debug_comes_and_goes(loop, pairs):
    ((a, b),) = pairs(1)

    async def main():
        tasks = [loop.create_task(ask(loop, a, 60)), loop.create_task(echo(loop, b, 60))]
        while not all(task.done() for task in tasks):
            loop.set_debug(not loop.get_debug())
            for _ in range(7):
                await asyncio.sleep(0)
        loop.set_debug(False)
        await asyncio.gather(*tasks)

    loop.run_until_complete(main())


def test_timeouts(loop, pairs):
    ((a, b),) = pairs(1)

    async def main():
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(loop.sock_recv(a, 1), 0.01)
            loop.call_later(0.01, b.send, b"x")
            assert await asyncio.wait_for(loop.sock_recv(a, 1), 5 * support.SLOW) == b"x"

    loop.run_until_complete(main())


def test_woken_and_never_run(loop_factory, pairs):
    """The loop stops between the event and the step, for good."""
    ((a, b),) = pairs(1)
    loop = loop_factory()

    async def first():
        await loop.sock_recv(a, 1)

    task = loop.create_task(first())
    loop.run_until_complete(support.settle())
    loop.call_soon(b.send, b"x")
    loop.call_soon(loop.stop)
    loop.run_forever()
    task._log_destroy_pending = False
    loop.close()
    del task
    gc.collect()


def test_loop_is_collected(loop_factory, pairs):
    """What it keeps for the next waits does not keep it."""
    loop = loop_factory()
    ((a, b),) = pairs(1)

    async def main(loop):
        await asyncio.gather(ask(loop, a, 3), echo(loop, b, 3))

    loop.run_until_complete(main(loop))
    seen = weakref.ref(loop)
    loop.close()
    del loop
    gc.collect()
    assert seen() is None
