"""Every kind of callback runs in the context it was made in."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import socket

import pytest
import support

VAR: contextvars.ContextVar[str] = contextvars.ContextVar("VAR", default="unset")


def within(value, function, *args):
    context = contextvars.copy_context()
    context.run(VAR.set, value)
    return context.run(function, *args)


@pytest.fixture
def seen(loop):
    return []


def note(seen):
    seen.append(VAR.get())


def test_handles(loop, seen):
    within("soon", loop.call_soon, note, seen)
    within("threadsafe", loop.call_soon_threadsafe, note, seen)
    within("later", loop.call_later, 0, note, seen)
    within("at", loop.call_at, loop.time(), note, seen)
    loop.run_until_complete(asyncio.sleep(0.005))
    assert sorted(seen) == ["at", "later", "soon", "threadsafe"]


def test_done_callback(loop, seen):
    future = loop.create_future()
    within("done", future.add_done_callback, lambda f: note(seen))
    within("setter", future.set_result, None)
    loop.run_until_complete(support.settle())
    assert seen == ["done"]


def test_reader_and_writer(loop, seen):
    a, b = socket.socketpair()
    within("reader", loop.add_reader, a, lambda: (note(seen), loop.remove_reader(a)))
    within("writer", loop.add_writer, a, lambda: (note(seen), loop.remove_writer(a)))
    b.send(b"x")
    loop.run_until_complete(support.settle())
    assert sorted(seen) == ["reader", "writer"]
    a.close()
    b.close()


def test_signal(loop, seen):
    with support.signals_restored(signal.SIGUSR1):
        within("signal", loop.add_signal_handler, signal.SIGUSR1, note, seen)
        os.kill(os.getpid(), signal.SIGUSR1)
        loop.run_until_complete(support.until(lambda: seen))
        loop.remove_signal_handler(signal.SIGUSR1)
    assert seen == ["signal"]


def test_a_change_stays_in_its_callback(loop, seen):
    def change():
        VAR.set("changed")

    loop.call_soon(change)
    loop.call_soon(note, seen)
    loop.call_later(0, note, seen)
    loop.run_until_complete(asyncio.sleep(0.005))
    assert seen == ["unset", "unset"]


def test_repeated_reader_keeps_one_context(loop, seen):
    a, b = socket.socketpair()

    def ready():
        a.recv(1)
        note(seen)
        VAR.set(VAR.get() + "+")

    within("r", loop.add_reader, a, ready)
    for _ in range(3):
        b.send(b"x")
        loop.run_until_complete(support.settle())
    assert seen == ["r", "r+", "r++"]
    loop.remove_reader(a)
    a.close()
    b.close()


def test_task_and_its_children(loop, seen):
    async def child():
        note(seen)
        VAR.set("child")
        await asyncio.sleep(0)
        note(seen)

    async def main():
        VAR.set("main")
        await asyncio.gather(child(), child())
        note(seen)

    within("outer", lambda: loop.run_until_complete(main()))
    assert seen == ["main", "main", "child", "child", "main"]


def test_protocol_callbacks_of_a_client(loop, seen):
    """The context of create_connection: what asyncio's add_reader took a copy of."""

    async def main():
        VAR.set("client")

        def check(protocol):
            seen.append((protocol.events[-1], VAR.get()))

        names = ("connection_made", "data_received", "eof_received", "connection_lost")
        async with support.connected(
            lambda: support.Recorder(**{name: check for name in names})
        ) as (_, protocol, peer):
            VAR.set("changed later")
            peer.sendall(b"x")
            await protocol.received(1)
            peer.close()
            await protocol.gone()

    loop.run_until_complete(main())
    assert [name for name, _ in seen] == [
        "connection_made",
        "data_received",
        "eof_received",
        "connection_lost",
    ]
    by_name = dict(seen)
    assert by_name["connection_made"] == "client"
    assert by_name["data_received"] == "client"
    assert by_name["eof_received"] == "client"


def test_protocol_callbacks_of_a_server(loop, seen):
    """The context in which the server was started."""

    async def main():
        def check(protocol):
            seen.append(VAR.get())

        VAR.set("server")
        accepted = []

        def serve():
            accepted.append(support.Recorder(connection_made=check, data_received=check))
            return accepted[0]

        server = await loop.create_server(serve, support.LOCALHOST, 0)
        VAR.set("client")
        transport, _ = await loop.create_connection(
            support.Recorder, sock=connect(server.sockets[0].getsockname())
        )
        transport.write(b"x")
        await support.until(lambda: len(seen) == 2)
        transport.close()
        await accepted[0].gone()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())
    assert seen == ["server", "server"]


def connect(address):
    s = socket.create_connection(address)
    s.setblocking(False)
    return s


def test_exception_in_a_context_leaves_it(loop, seen, contexts):
    def bad():
        VAR.set("bad")
        raise ValueError

    loop.call_soon(bad)
    loop.call_soon(note, seen)
    loop.run_until_complete(support.settle())
    assert seen == ["unset"]
    assert VAR.get() == "unset"


def test_decimal_context_in_tasks(loop):
    import decimal

    async def work(precision):
        decimal.setcontext(decimal.Context(prec=precision))
        await asyncio.sleep(0)
        return decimal.Decimal(1) / decimal.Decimal(3)

    async def main():
        return await asyncio.gather(work(3), work(7))

    assert [str(x) for x in loop.run_until_complete(main())] == ["0.333", "0.3333333"]
