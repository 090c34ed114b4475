"""Nothing grows: each scenario is repeated, and blocks of memory and references are counted."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import warnings

import pytest
import support

REPEAT = 30
# Long-lived objects that C code takes references to; immortal ones keep their count anyway.
WATCHED = [None, True, False, (), b"", "", int, asyncio.Future, asyncio.Protocol, 0, 1]


def noop(*args):
    pass


def boom(*args):
    raise ZeroDivisionError


async def call_soon(loop):
    for n in range(20):
        loop.call_soon(noop)
        loop.call_soon(noop, n, n, n, n, n)
        loop.call_soon_threadsafe(noop, n)
        loop.call_soon(noop, n).cancel()
    await asyncio.sleep(0)


async def timers(loop):
    for n in range(20):
        loop.call_later(100 + n, noop, n).cancel()
        loop.call_later(0, noop, n, n, n, n)
        loop.call_at(loop.time() - n, noop)
    await asyncio.sleep(0.001)


async def failing_callbacks(loop):
    for _ in range(5):
        loop.call_soon(boom, 1, 2)
        loop.call_later(0, boom)
        if not loop.get_debug():
            loop.call_soon(42)
    await asyncio.sleep(0.001)


async def tasks(loop):
    await asyncio.gather(*(asyncio.sleep(0) for _ in range(10)))
    task = loop.create_task(asyncio.sleep(10), name="x")
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    loop.create_future().cancel()


async def wrong_arguments(loop):
    for call in (
        lambda: loop.call_soon(),
        lambda: loop.call_soon(noop, wrong=1),
        lambda: loop.call_later("x", noop),
        lambda: loop.call_later(1),
        lambda: loop.add_reader("x", noop),
        lambda: loop.add_reader(-1, noop),
        lambda: loop.remove_reader(None),
        lambda: loop.set_exception_handler(1),
        lambda: loop.set_task_factory(1),
        lambda: loop.create_task(1),
        lambda: loop.add_signal_handler(0, noop),
    ):
        try:
            call()
        except (TypeError, ValueError):
            pass
        else:
            raise AssertionError("accepted")


async def threads(loop):
    await loop.run_in_executor(None, noop, 1)
    await loop.run_in_executor(None, loop.call_soon_threadsafe, noop)


async def names(loop):
    await loop.getaddrinfo("127.0.0.1", 80)
    await loop.getaddrinfo("::1", "80", type=socket.SOCK_STREAM)
    await loop.getaddrinfo("localhost", 80)
    try:
        await loop.getaddrinfo("127.0.0.1", "nonesuch")
    except OSError:
        pass
    await loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)


async def watchers(loop):
    a, b = socket.socketpair()
    b.send(b"x")
    loop.add_reader(a, noop, 1)
    loop.add_reader(a, noop, 2)
    loop.add_writer(a, noop)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    loop.remove_reader(a)
    loop.remove_writer(a)
    loop.remove_writer(a)
    a.close()
    b.close()


async def signals(loop):
    loop.add_signal_handler(signal.SIGUSR1, noop, 1)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.sleep(0.001)
    loop.remove_signal_handler(signal.SIGUSR1)


async def sockets(loop):
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    task = loop.create_task(loop.sock_recv(a, 10))
    await asyncio.sleep(0)
    await loop.sock_sendall(b, b"hello")
    await task
    task = loop.create_task(loop.sock_recv(a, 10))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    a.close()
    b.close()


async def echo(loop):
    async with support.pair() as (a, b):
        a.transport.write(b"x" * 100)
        a.transport.writelines([b"a", bytearray(b"b"), memoryview(b"c")])
        await b.received(103)
        b.transport.write(b"y" * 2000)
        await a.received(2000)
        a.transport.pause_reading()
        a.transport.resume_reading()
        a.transport.get_extra_info("peername")
        a.transport.set_protocol(a)
        repr(a.transport)


async def buffered_echo(loop):
    async with support.pair(support.BufferedRecorder, support.BufferedRecorder) as (a, b):
        a.transport.write(b"x" * 10_000)
        await b.received(10_000)
        b.transport.write_eof()
        await a.eof


async def streams(loop):
    async def handle(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(handle, support.LOCALHOST, 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello\n")
    assert await reader.read() == b"hello\n"
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    await support.settle()


async def queued_and_aborted(loop):
    async with support.connected() as (transport, protocol, peer):
        transport.write(b"x" * 3_000_000)
        transport.writelines([b"y" * 1000] * 10)
        transport.abort()
        await protocol.gone()
        transport.write(b"z")
        transport.writelines([b"z"])


async def wrong_writes(loop):
    async with support.connected() as (transport, _, _peer):
        for data in (None, "x", 1, [b"x"]):
            try:
                transport.write(data)
            except TypeError:
                pass
        for lines in (1, ["x"], [b"a", None]):
            try:
                transport.writelines(lines)
            except TypeError:
                pass


async def reset_by_peer(loop):
    async with support.connected() as (transport, protocol, peer):
        transport.write(b"x" * 3_000_000)
        support.reset(peer)
        await protocol.gone()


async def protocols_that_raise(loop):
    for event in ("connection_made", "data_received", "eof_received", "connection_lost"):
        async with support.connected(lambda event=event: support.Recorder(**{event: boom})) as (
            transport,
            protocol,
            peer,
        ):
            peer.sendall(b"x")
            peer.shutdown(socket.SHUT_WR)
            await protocol.gone()
    for event in ("get_buffer", "buffer_updated"):
        async with support.connected(
            lambda event=event: support.BufferedRecorder(**{event: boom})
        ) as (transport, protocol, peer):
            peer.sendall(b"x")
            await protocol.gone()


async def refused(loop):
    port = support.free_port()
    for kwargs in ({}, {"happy_eyeballs_delay": 0.1}):
        try:
            await loop.create_connection(asyncio.Protocol, support.LOCALHOST, port, **kwargs)
        except OSError:
            pass
    try:
        await loop.create_connection(asyncio.Protocol, support.LOCALHOST, 70000)
    except OverflowError:
        pass
    try:
        await loop.create_server(asyncio.Protocol, "192.0.2.77", 0)
    except OSError:
        pass


async def cancelled_connects(loop):
    with socket.create_server((support.LOCALHOST, 0), backlog=100) as server:
        for turns in range(5):
            task = loop.create_task(loop.create_connection(asyncio.Protocol, *server.getsockname()))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            (result,) = await asyncio.gather(task, return_exceptions=True)
            if isinstance(result, tuple):
                result[0].abort()
            await support.settle()


async def pipes(loop):
    for events in ((), ("connection_made", "data_received", "eof_received", "connection_lost")):
        r, w = os.pipe()
        made = {event: boom for event in events}
        source, receiver = await loop.connect_read_pipe(
            lambda made=made: support.Recorder(**made), open(r, "rb", buffering=0)
        )
        sink, sender = await loop.connect_write_pipe(
            lambda made=made: support.Recorder(**made), open(w, "wb", buffering=0)
        )
        sink.write(b"x" * 300_000)
        sink.write(bytearray(b"y" * 1000))
        await receiver.received(301_000)
        source.pause_reading()
        source.resume_reading()
        sink.write(b"z" * 300_000)
        repr(source), repr(sink)
        source.close()
        sink.abort()
        await sender.gone()
        sink.write(b"z")
    with open(__file__, "rb") as file:
        try:
            await loop.connect_read_pipe(asyncio.Protocol, file)
        except ValueError:
            pass


async def children(loop):
    logging.disable(logging.WARNING)  # what debug mode tells, the test's log would keep
    try:
        await some_children(loop)
    finally:
        logging.disable(logging.NOTSET)


async def some_children(loop):
    process = await asyncio.create_subprocess_exec("/bin/cat", stdin=-1, stdout=-1)
    await process.communicate(b"x" * 100_000)
    process = await asyncio.create_subprocess_exec("/bin/true")
    await process.wait()
    process = await asyncio.create_subprocess_exec("/bin/cat", stdin=-1)
    process.kill()
    await process.wait()
    process._transport.close()
    try:
        await asyncio.create_subprocess_exec("/nonesuch", stdin=-1, stdout=-1)
    except FileNotFoundError:
        pass
    task = loop.create_task(asyncio.create_subprocess_exec("/bin/cat", stdin=-1, stdout=-1))
    await asyncio.sleep(0)
    assert task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0.001)


async def generators(loop):
    async def generator():
        yield 1
        yield 2

    async for _ in generator():
        break


SCENARIOS = [
    call_soon,
    timers,
    failing_callbacks,
    tasks,
    wrong_arguments,
    threads,
    names,
    watchers,
    signals,
    sockets,
    echo,
    buffered_echo,
    streams,
    queued_and_aborted,
    wrong_writes,
    reset_by_peer,
    protocols_that_raise,
    refused,
    cancelled_connects,
    pipes,
    children,
    generators,
]


def measure(once):
    """Growth of memory blocks and of references to watched objects over REPEAT runs."""
    support.collect()
    before = [sys.getrefcount(o) for o in WATCHED]
    blocks = sys.getallocatedblocks()
    for _ in range(REPEAT):
        once()
    support.collect()
    grown = sys.getallocatedblocks() - blocks
    after = [sys.getrefcount(o) for o in WATCHED]
    references = {repr(o): b - a for o, a, b in zip(WATCHED, before, after, strict=True)}
    return grown, {name: n for name, n in references.items() if n >= REPEAT}


def check(once):
    """Caches and free lists fill up and are full one day; a leak of one block a run never ends."""
    for _ in range(25):
        grown, references = measure(once)
        if grown < REPEAT // 2 and not references:
            return
    pytest.fail(f"after {REPEAT} runs {grown} blocks more, references {references}")


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda f: f.__name__)
def test_scenario_does_not_grow(loop, loop_name, scenario, debug):
    support.oracle_lacks(loop_name, True, "what its own Python code keeps is no matter of ours")
    loop.set_exception_handler(lambda loop, context: None)
    loop.set_debug(debug)
    loop.slow_callback_duration = 1000
    loop.set_default_executor(support.single_thread())
    with support.signals_restored(signal.SIGUSR1):
        check(lambda: loop.run_until_complete(scenario(loop)))


def test_loops_do_not_grow(loop_factory):
    def once():
        loop = loop_factory()
        loop.call_later(100, noop, loop)
        loop.call_soon(noop, loop)
        loop.run_until_complete(asyncio.sleep(0))
        loop.cycle = loop
        loop.close()

    check(once)


def test_interrupted_loops_do_not_grow(loop):
    def leave():
        raise KeyboardInterrupt

    def once():
        loop.call_soon(leave)
        try:
            loop.run_forever()
        except KeyboardInterrupt:
            pass

    check(once)


def test_unclosed_things_do_not_grow(loop_factory):
    async def main(loop):
        server = await loop.create_server(support.Recorder, support.LOCALHOST, 0)
        transport, protocol = await loop.create_connection(
            support.Recorder, *server.sockets[0].getsockname()
        )
        await support.settle()
        transport.write(b"x" * 1000)
        protocol.cycle = (loop, transport, server, loop.call_later(10, noop, protocol))

    def once():
        loop = loop_factory()
        loop.run_until_complete(main(loop))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del loop
            gc.collect()

    check(once)
