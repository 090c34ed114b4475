"""Faults of connections and servers, each with the row of the table of faults it comes from.

Rows 1 and 2 are in test_server, 6 to 9 in test_flow_control, 11 and 12 in test_transport, 10 and
13 to 17 in test_protocols, 40 in test_create_connection and test_server.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import time
import warnings

import pytest
import support


def run(loop, main):
    return loop.run_until_complete(asyncio.wait_for(main(), 20 * support.SLOW))


# -- the peer goes away -----------------------------------------------------------------------


def test_fault_03_reset_in_the_middle_of_a_write(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            transport.write(b"x" * 10_000_000)
            support.reset(peer)
            for _ in range(3):
                transport.write(b"never raises")
            await protocol.gone()
            assert isinstance(protocol.lost, ConnectionResetError | BrokenPipeError)
            assert protocol.count("connection_lost") == 1
            transport.write(b"nor now")
            await support.settle()
            assert protocol.count("connection_lost") == 1
            assert "resume_writing" not in protocol.events

    run(loop, main)


def test_fault_03_write_into_a_reset_connection(loop):
    """The write itself finds out: the error is told in a later turn, not raised."""

    async def main():
        async with support.connected() as (transport, protocol, peer):
            transport.pause_reading()
            support.reset(peer)
            time.sleep(0.01)
            transport.write(b"x")
            transport.write(b"x")
            assert "connection_lost" not in protocol.events
            await protocol.gone()
            assert isinstance(protocol.lost, ConnectionResetError | BrokenPipeError)
            assert protocol.count("connection_lost") == 1

    run(loop, main)


def test_fault_03_broken_pipe(loop):
    async def main():
        async with support.connected(lambda: support.Recorder(eof_received=lambda p: True)) as (
            transport,
            protocol,
            peer,
        ):
            peer.close()
            await protocol.eof
            for _ in range(50):
                transport.write(b"x" * 1000)
                await asyncio.sleep(0.001)
                if protocol.closed.done():
                    break
            await protocol.gone()
            assert isinstance(protocol.lost, BrokenPipeError | ConnectionResetError)

    run(loop, main)


def test_fault_03_nothing_is_logged_but_in_debug(loop, expect_log):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            transport.write(b"x" * 10_000_000)
            support.reset(peer)
            await protocol.gone()

    run(loop, main)
    assert [r for r in expect_log.records if r.levelname != "DEBUG"] == []


def test_fault_04_write_after_connection_lost(loop, expect_log):
    expect_log(r"^socket\.send\(\) raised exception\.$", times=4)

    async def main():
        async with support.connected() as (transport, protocol, peer):
            support.reset(peer)
            await protocol.gone()
            for n in range(4):
                transport.write(b"x")
                assert expect_log.records == [], n
            for _ in range(4):
                transport.write(b"x")

    run(loop, main)


def test_nothing_written_after_connection_lost(loop):
    """Nothing is nothing lost: there is no warning."""

    async def main():
        async with support.connected() as (transport, protocol, peer):
            support.reset(peer)
            await protocol.gone()
            for _ in range(20):
                transport.write(b"")
                transport.write(bytearray())
            for _ in range(4):
                transport.write(b"x")

    run(loop, main)


def test_fault_05_writelines_after_connection_lost(loop, loop_name):
    support.oracle_lacks(
        loop_name,
        (3, 12) <= sys.version_info < (3, 13, 8),
        "gh-136234: writelines after the end fails",
    )

    async def main():
        async with support.connected() as (transport, protocol, peer):
            support.reset(peer)
            await protocol.gone()
            for _ in range(3):
                transport.writelines([b"one", b"two"])
            assert transport.get_write_buffer_size() == 0
        async with support.connected() as (transport, protocol, peer):
            transport.close()
            transport.writelines([b"one"])
            await protocol.gone()
            assert support.read_all(peer) == b""

    run(loop, main)


def test_fault_10_half_close_then_write_much(loop):
    """The reader is dropped, the writer lives on, for as much as it likes."""

    async def main():
        async with support.connected(lambda: support.Recorder(eof_received=lambda p: True)) as (
            transport,
            protocol,
            peer,
        ):
            peer.sendall(b"request")
            peer.shutdown(socket.SHUT_WR)
            await protocol.eof
            data = os.urandom(5_000_000)
            transport.write(data)
            transport.close()
            got = await loop.run_in_executor(None, support.read_all, peer)
            assert got == data
            await protocol.gone()
            assert protocol.lost is None

    run(loop, main)


# -- callbacks that raise ---------------------------------------------------------------------


@pytest.mark.parametrize("event", ["data_received", "eof_received"])
@pytest.mark.parametrize("kind", [ZeroDivisionError, OSError, asyncio.CancelledError])
def test_fault_16_a_reading_callback_raises(loop, contexts, event, kind):
    def bad(protocol):
        raise kind("on purpose")

    async def main():
        async with support.connected(lambda: support.Recorder(**{event: bad})) as (
            transport,
            protocol,
            peer,
        ):
            peer.sendall(b"x")
            peer.shutdown(socket.SHUT_WR)
            await protocol.gone()
            assert type(protocol.lost) is kind
            assert protocol.count("connection_lost") == 1
            assert transport.is_closing()
            if kind is not OSError:  # of an OSError nothing is said outside debug mode
                assert [c["message"] for c in contexts] == [
                    f"Fatal error: protocol.{event}() call failed."
                ]
                assert contexts[0]["exception"] is protocol.lost
                assert contexts[0]["transport"] is transport
                assert contexts[0]["protocol"] is protocol
            else:
                assert contexts == []
            contexts.clear()

    run(loop, main)


@pytest.mark.parametrize("server_side", [False, True])
def test_fault_18_connection_made_raises(loop, contexts, server_side):
    def bad(protocol):
        raise ZeroDivisionError("made")

    async def main():
        kwargs = {
            "server" if server_side else "client": lambda: support.Recorder(connection_made=bad)
        }
        async with support.pair(**kwargs) as (client, server):
            await support.until(lambda: contexts)
            assert "Exception in callback" in contexts[0]["message"]
            assert str(contexts[0]["exception"]) == "made"
            # the transport is sane: data flows both ways
            client.transport.write(b"to the server")
            server.transport.write(b"to the client")
            await server.received(13)
            await client.received(13)
            contexts.clear()

    run(loop, main)


def test_connection_lost_raises(loop, contexts):
    def bad(protocol):
        raise ZeroDivisionError("lost")

    async def main():
        async with support.connected(lambda: support.Recorder(connection_lost=bad)) as (
            transport,
            protocol,
            peer,
        ):
            fd = transport.get_extra_info("socket").fileno()
            transport.close()
            await support.until(lambda: contexts)
            await support.settle()
            assert str(contexts[0]["exception"]) == "lost"
            assert fd not in support.open_fds() or True
            assert peer.recv(1) == b""  # closed all the same
            contexts.clear()

    run(loop, main)


# -- the loop, the socket or the collector ends it --------------------------------------------


def test_fault_27_loop_closed_with_transports_open(loop_factory):
    loop = loop_factory()
    seen = []

    async def main(loop):
        a, b = support.tcp_pair()
        peers.append(b)
        transport, protocol = await loop.create_connection(
            lambda: support.Recorder(connection_lost=lambda p: seen.append("lost")), sock=a
        )
        transport.write(b"x" * 5_000_000)
        server = await loop.create_server(asyncio.Protocol, support.LOCALHOST, 0)
        return transport, server

    peers = []
    transport, server = loop.run_until_complete(main(loop))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop.close()
        # using it now does no harm
        try:
            transport.write(b"x")
        except RuntimeError:
            pass
        repr(transport)
        del transport, server, loop
        support.collect()
    assert seen == []
    texts = [str(w.message) for w in caught if w.category is ResourceWarning]
    assert any("unclosed transport" in t for t in texts), texts
    peers[0].close()


def test_fault_27_transport_closed_after_its_loop(loop_factory):
    loop = loop_factory()
    transport, protocol, peer = loop.run_until_complete(open_one(loop))
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for call in (transport.close, transport.abort, transport.pause_reading):
            try:
                call()
            except RuntimeError as e:
                assert "Event loop is closed" in str(e)
        del call
        assert "connection_lost" not in protocol.events
        protocol.transport = None
        del transport, protocol, loop
        support.collect()
    peer.close()


async def open_one(loop, factory=support.Recorder):
    a, b = support.tcp_pair()
    transport, protocol = await loop.create_connection(factory, sock=a)
    return transport, protocol, b


def test_fault_27_closed_in_every_state(loop_factory):
    """Transports that read, are paused, write, close, half-closed; a server that accepts."""

    async def main(loop):
        kept = []
        for state in ("read", "pause", "write", "close", "eof", "abort", "closing write"):
            transport, protocol, peer = await open_one(loop)
            if state == "pause":
                transport.pause_reading()
            elif state in ("write", "closing write"):
                transport.write(b"x" * 4_000_000)
            elif state == "eof":
                transport.write_eof()
            if state in ("close", "closing write"):
                transport.close()
            if state == "abort":
                transport.abort()
            kept.append((transport, protocol, peer))
        server = await loop.create_server(asyncio.Protocol, support.LOCALHOST, 0)
        return kept, server

    loop = loop_factory()
    kept, server = loop.run_until_complete(main(loop))
    waiting = socket.create_connection(server.sockets[0].getsockname())  # never accepted
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        loop.close()
        for _, _, peer in kept:
            peer.close()
        waiting.close()
        del peer, kept, loop, _, server
        support.collect()


def test_fault_43_the_socket_is_closed_under_the_transport(loop):
    async def main():
        for use in ("write", "close", "abort", "pause", "nothing", "write_eof"):
            a, b = support.tcp_pair()
            transport, protocol = await loop.create_connection(support.Recorder, sock=a)
            number = a.fileno()
            a.close()
            if use == "write":
                transport.write(b"x" * 100)
            elif use == "close":
                transport.close()
            elif use in ("pause", "write_eof"):
                try:  # what the selector says of it is asyncio's own business
                    getattr(transport, {"pause": "pause_reading"}.get(use, use))()
                except (OSError, KeyError):
                    pass
            await support.settle()
            transport.abort()
            await asyncio.sleep(0.005)
            b.close()
            assert protocol.count("connection_lost") == 1, use
            assert number >= 0

    loop.set_exception_handler(lambda loop, context: None)  # asyncio minds in some of the cases
    run(loop, main)


def test_fault_43_the_number_belongs_to_somebody_else(loop):
    async def main():
        a, b = support.tcp_pair()
        transport, protocol = await loop.create_connection(support.Recorder, sock=a)
        number = a.fileno()
        a.close()
        # the number is free now, or the transport keeps it; never both
        others = [socket.socketpair() for _ in range(2)]
        reused = number in [s.fileno() for pair in others for s in pair]
        assert reused or os.fstat(number)
        transport.abort()
        await asyncio.sleep(0.005)
        await support.settle()
        for x, y in others:  # nobody closed, shut down or read them
            x.send(b"alive")
            assert y.recv(10) == b"alive"
            x.close()
            y.close()
        b.close()

    run(loop, main)


def test_fault_44_collected_unclosed_transport(loop_factory):
    loop = loop_factory()
    transport, protocol, peer = loop.run_until_complete(open_one(loop))
    fd = transport.get_extra_info("socket").fileno()
    protocol.cycle = (protocol, transport, loop)
    loop.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del transport, protocol, loop
        support.collect()
    assert any("unclosed transport" in str(w.message) for w in caught)
    caught.clear()
    assert peer.recv(1) == b""
    peer.close()
    assert fd > 0


def test_fault_44_collected_unclosed_everything(loop_factory):
    """A loop, a server, a connection and handles, in a cycle, all dropped at once."""

    async def main(loop):
        server = await loop.create_server(support.Recorder, support.LOCALHOST, 0)
        transport, protocol = await loop.create_connection(
            support.Recorder, *server.sockets[0].getsockname()
        )
        await asyncio.sleep(0.005)
        handle = loop.call_later(1000, print, server, transport)
        protocol.everything = (loop, server, transport, handle)

    loop = loop_factory()
    loop.run_until_complete(main(loop))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del loop
        support.collect()
        support.collect()
    kinds = {str(w.message).split()[1] for w in caught if w.category is ResourceWarning}
    assert "event" in kinds or "transport" in kinds, [str(w.message) for w in caught]


def test_fault_44_collected_while_the_loop_runs(loop):
    """A transport nobody names is kept by the loop as long as it is open: it works on."""

    async def main():
        async def open_and_forget():
            a, b = support.tcp_pair()
            await loop.create_connection(lambda: support.Recorder(data_received=echo), sock=a)
            return b

        def echo(p):
            p.transport.write(bytes(p.data))
            p.data.clear()

        peer = await open_and_forget()
        gc.collect()
        peer.sendall(b"still there?")
        await asyncio.sleep(0.01)
        gc.collect()
        assert peer.recv(100) == b"still there?"
        peer.close()
        await asyncio.sleep(0.01)

    run(loop, main)


# -- many -------------------------------------------------------------------------------------


def test_connections_come_and_go(loop):
    """Descriptors and handles do not grow."""

    async def main():
        server = await loop.create_server(
            lambda: support.Recorder(data_received=lambda p: p.transport.close()),
            support.LOCALHOST,
            0,
        )
        address = server.sockets[0].getsockname()
        before = len(support.open_fds())
        for _ in range(200):
            transport, protocol = await loop.create_connection(support.Recorder, *address)
            transport.write(b"x")
            await protocol.gone()
        await support.settle(20)
        assert len(support.open_fds()) <= before + 2
        server.close()
        await server.wait_closed()

    run(loop, main)


def test_idle_connections_cost_no_cpu(loop):
    async def main():
        server = await loop.create_server(support.Recorder, support.LOCALHOST, 0, backlog=200)
        address = server.sockets[0].getsockname()
        made = [await loop.create_connection(support.Recorder, *address) for _ in range(100)]
        await asyncio.sleep(0.02)
        start = time.process_time()
        await asyncio.sleep(0.3)
        assert time.process_time() - start < 0.15 * support.SLOW
        for transport, _ in made:
            transport.abort()
        await asyncio.sleep(0.02)
        server.close()
        await server.wait_closed()

    run(loop, main)


def test_a_storm_of_resets(loop):
    async def main():
        accepted = []

        def factory():
            accepted.append(support.Recorder())
            return accepted[-1]

        server = await loop.create_server(factory, support.LOCALHOST, 0, backlog=200)
        address = server.sockets[0].getsockname()
        for _ in range(100):
            s = socket.create_connection(address)
            s.sendall(b"x" * 100)
            support.reset(s)
        await asyncio.sleep(0.1)
        for p in accepted:
            if p.transport is not None and not p.closed.done():
                p.transport.abort()
        await support.settle(10)
        assert all(p.count("connection_lost") <= 1 for p in accepted)
        server.close()
        await server.wait_closed()

    run(loop, main)
