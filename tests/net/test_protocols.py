"""Protocols: the order of their callbacks, BufferedProtocol, set_protocol, and every callback
doing each thing that could hurt a transport that does not expect it."""

from __future__ import annotations

import array
import asyncio
import gc
import socket

import pytest
import support


def run(loop, main):
    return loop.run_until_complete(asyncio.wait_for(main(), 20 * support.SLOW))


# -- order ------------------------------------------------------------------------------------


def test_life_of_a_connection(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            peer.sendall(b"one")
            await protocol.received(3)
            peer.sendall(b"two")
            await protocol.received(6)
            peer.close()
            await protocol.gone()
            assert protocol.events == [
                "connection_made",
                "data_received",
                "data_received",
                "eof_received",
                "connection_lost",
            ]
            assert protocol.lost is None
            assert transport.is_closing()

    run(loop, main)


def test_fault_10_eof_received_false_closes(loop):
    async def main():
        for answer in (None, False, 0, ""):
            async with support.connected(
                lambda answer=answer: support.Recorder(eof_received=lambda p: answer)
            ) as (transport, protocol, peer):
                transport.write(b"last")
                peer.shutdown(socket.SHUT_WR)
                await protocol.gone()
                assert support.read_all(peer) == b"last"
                assert protocol.events[-1] == "connection_lost"

    run(loop, main)


def test_fault_10_eof_received_true_keeps_writing_open(loop):
    async def main():
        for answer in (True, 1, "yes"):
            async with support.connected(
                lambda answer=answer: support.Recorder(eof_received=lambda p: answer)
            ) as (transport, protocol, peer):
                peer.shutdown(socket.SHUT_WR)
                await protocol.eof
                await asyncio.sleep(0.01)
                assert protocol.count("eof_received") == 1
                assert not transport.is_closing()
                transport.write(b"after the end")
                await support.settle()
                assert peer.recv(100) == b"after the end"
                transport.close()
                await protocol.gone()
                assert protocol.lost is None
                assert protocol.count("connection_lost") == 1

    run(loop, main)


def test_half_open_does_not_spin(loop):
    import time

    async def main():
        async with support.connected(lambda: support.Recorder(eof_received=lambda p: True)) as (
            transport,
            protocol,
            peer,
        ):
            peer.shutdown(socket.SHUT_WR)
            await protocol.eof
            start = time.process_time()
            await asyncio.sleep(0.2)
            assert time.process_time() - start < 0.1 * support.SLOW

    run(loop, main)


def test_connection_lost_is_told_why(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            support.reset(peer)
            await protocol.gone()
            assert type(protocol.lost) is ConnectionResetError
            assert protocol.events == ["connection_made", "connection_lost"]

    run(loop, main)


def test_data_before_a_reset_is_delivered_or_lost_but_the_error_is_told(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            peer.sendall(b"x" * 1000)
            await protocol.received(1000)
            transport.write(b"unread by the peer")
            await support.settle()
            peer.close()  # with unread data: RST
            await protocol.gone()
            assert protocol.lost is None or isinstance(protocol.lost, ConnectionError)
            assert protocol.count("connection_lost") == 1

    run(loop, main)


# -- BufferedProtocol -------------------------------------------------------------------------


def test_buffered(loop):
    async def main():
        async with support.connected(support.BufferedRecorder) as (transport, protocol, peer):
            peer.sendall(b"hello")
            assert await protocol.received(5) == b"hello"
            peer.sendall(b"x" * 100_000)
            await protocol.received(100_005)
            peer.close()
            await protocol.gone()
            assert "data_received" not in protocol.events
            assert protocol.events[:3] == ["connection_made", "get_buffer", "buffer_updated"]
            assert protocol.events[-1] == "connection_lost"
            assert all(type(h) is int for h in protocol.hints)

    run(loop, main)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_buffered_tiny(loop, size):
    async def main():
        async with support.connected(lambda: support.BufferedRecorder(size)) as (
            transport,
            protocol,
            peer,
        ):
            data = bytes(range(256))
            peer.sendall(data)
            assert await protocol.received(256) == data
            assert protocol.count("buffer_updated") >= 256 // size

    run(loop, main)


@pytest.mark.parametrize(
    "buffer",
    [
        bytearray(10),
        memoryview(bytearray(10)),
        memoryview(bytearray(20))[5:15],
        array.array("B", bytes(10)),
    ],
    ids=["bytearray", "memoryview", "slice", "array"],
)
def test_buffered_kinds_of_buffers(loop, buffer):
    async def main():
        seen = []
        async with support.connected(
            lambda: support.BufferedRecorder(get_buffer=lambda p: buffer)
        ) as (transport, protocol, peer):
            protocol.on["buffer_updated"] = lambda p: seen.append(bytes(buffer)[:5])
            peer.sendall(b"hello")
            await support.until(lambda: seen)
            assert seen == [b"hello"]

    run(loop, main)


@pytest.mark.parametrize("buffer", [bytearray(), memoryview(b"")], ids=["empty", "emptyview"])
def test_fault_17_empty_buffer(loop, contexts, buffer):
    async def main():
        async with support.connected(
            lambda: support.BufferedRecorder(get_buffer=lambda p: buffer)
        ) as (transport, protocol, peer):
            peer.sendall(b"x")
            await protocol.gone()
            assert type(protocol.lost) is RuntimeError
            assert "get_buffer() returned an empty buffer" in str(protocol.lost)
            assert contexts[0]["exception"] is protocol.lost
            assert contexts[0]["message"] == ("Fatal error: protocol.get_buffer() call failed.")
            contexts.clear()

    run(loop, main)


@pytest.mark.parametrize(
    "buffer", ["text", 5, b"read only", object()], ids=["str", "int", "bytes", "object"]
)
def test_fault_17_not_a_buffer(loop, contexts, buffer):
    async def main():
        async with support.connected(
            lambda: support.BufferedRecorder(get_buffer=lambda p: buffer)
        ) as (transport, protocol, peer):
            peer.sendall(b"x")
            await protocol.gone()
            assert isinstance(protocol.lost, TypeError | BufferError)
            assert len(contexts) == 1
            contexts.clear()

    run(loop, main)


@pytest.mark.parametrize("event", ["get_buffer", "buffer_updated"])
def test_fault_16_buffered_raises(loop, contexts, event):
    def bad(protocol):
        raise ZeroDivisionError(event)

    async def main():
        async with support.connected(lambda: support.BufferedRecorder(**{event: bad})) as (
            transport,
            protocol,
            peer,
        ):
            peer.sendall(b"x")
            await protocol.gone()
            assert type(protocol.lost) is ZeroDivisionError
            assert [c["message"] for c in contexts] == [
                f"Fatal error: protocol.{event}() call failed."
            ]
            assert contexts[0]["transport"] is transport
            assert contexts[0]["protocol"] is protocol
            contexts.clear()

    run(loop, main)


def test_buffered_holds_no_buffer_between_reads(loop):
    """A bytearray can be resized when the transport does not use it."""

    async def main():
        async with support.connected(support.BufferedRecorder) as (transport, protocol, peer):
            peer.sendall(b"x")
            await protocol.received(1)
            protocol.buffer += b"more room"
            peer.sendall(b"y")
            await protocol.received(2)

    run(loop, main)


def test_buffered_pause_in_buffer_updated(loop):
    async def main():
        async with support.connected(
            lambda: support.BufferedRecorder(
                5, buffer_updated=lambda p: p.transport.pause_reading()
            )
        ) as (transport, protocol, peer):
            peer.sendall(b"0123456789")
            await protocol.received(5)
            await asyncio.sleep(0.01)
            assert bytes(protocol.data) == b"01234"
            transport.resume_reading()
            assert await protocol.received(10) == b"0123456789"

    run(loop, main)


# -- set_protocol -----------------------------------------------------------------------------


def test_get_and_set_protocol(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            assert transport.get_protocol() is protocol
            other = support.Recorder()
            transport.set_protocol(other)
            assert transport.get_protocol() is other
            peer.sendall(b"x")
            await other.received(1)
            assert protocol.data == b""
            assert other.events == ["data_received"]
            peer.close()
            await other.gone()
            assert "connection_lost" not in protocol.events

    run(loop, main)


def test_fault_15_set_protocol_in_data_received(loop):
    async def main():
        second = support.Recorder()

        def switch(p):
            p.transport.set_protocol(second)

        async with support.connected(lambda: support.Recorder(data_received=switch)) as (
            transport,
            first,
            peer,
        ):
            peer.sendall(b"first")
            await first.received(5)
            peer.sendall(b"second")
            assert await second.received(6) == b"second"
            assert bytes(first.data) == b"first"

    run(loop, main)


@pytest.mark.parametrize("before", ["plain", "streams"])
def test_no_protocol(loop, contexts, before):
    """After set_protocol(None) data are an error, and nothing is called that was set before."""

    async def main():
        a, b = socket.socketpair()
        protocol = support.Recorder()
        if before == "streams":
            reader = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.create_connection(lambda: protocol, sock=a)
        transport.set_protocol(None)
        assert transport.get_protocol() is None
        b.send(b"data")
        await support.settle()
        assert [type(c["exception"]) for c in contexts] == [AttributeError] * 2
        assert "'data_received'" in str(contexts[0]["exception"])
        assert "'connection_lost'" in str(contexts[1]["exception"])
        if before == "streams":
            assert reader._buffer == b""
        assert b.recv(1) == b""
        b.close()

    run(loop, main)


def test_fault_15_to_buffered_and_back(loop):
    async def main():
        async with support.connected() as (transport, plain, peer):
            buffered = support.BufferedRecorder()
            plain.on["data_received"] = lambda p: transport.set_protocol(buffered)
            buffered.on["buffer_updated"] = lambda p: transport.set_protocol(plain)
            for n in range(6):
                peer.sendall(b"%d" % n)
                await support.until(lambda n=n: len(plain.data) + len(buffered.data) == n + 1)
            assert bytes(plain.data) == b"024"
            assert bytes(buffered.data) == b"135"

    run(loop, main)


def test_set_protocol_while_paused(loop):
    async def main():
        async with support.connected() as (transport, first, peer):
            transport.pause_reading()
            peer.sendall(b"data")
            await asyncio.sleep(0.005)
            second = support.BufferedRecorder()
            transport.set_protocol(second)
            transport.resume_reading()
            assert await second.received(4) == b"data"
            assert first.data == b""

    run(loop, main)


def test_set_protocol_in_get_buffer(loop, loop_name):
    support.oracle_lacks(loop_name, True, "calls buffer_updated of the new one, which has none")

    async def main():
        async with support.connected(support.BufferedRecorder) as (transport, first, peer):
            second = support.Recorder()
            first.on["get_buffer"] = lambda p: transport.set_protocol(second)
            peer.sendall(b"first")
            await support.until(lambda: len(first.data) + len(second.data) == 5)
            peer.sendall(b"second")
            await support.until(lambda: len(second.data) >= 6)

    run(loop, main)


def test_protocol_without_base_class(loop):
    """Duck typing: only the methods count."""

    async def main():
        seen = []

        class Duck:
            def connection_made(self, transport):
                seen.append("made")

            def data_received(self, data):
                seen.append(data)

            def eof_received(self):
                seen.append("eof")

            def connection_lost(self, exc):
                seen.append("lost")

        async with support.connected(Duck) as (transport, protocol, peer):
            peer.sendall(b"quack")
            await support.until(lambda: b"quack" in seen)
            peer.close()
            await support.until(lambda: "lost" in seen)
            assert seen == ["made", b"quack", "eof", "lost"]

    run(loop, main)


def test_method_replaced_on_the_instance(loop):
    """The transport asks for the method each time or at set_protocol; either way the one that was
    there when the connection was made is called."""

    async def main():
        seen = []

        def factory():
            protocol = support.Recorder()
            protocol.data_received = seen.append
            return protocol

        async with support.connected(factory) as (transport, protocol, peer):
            peer.sendall(b"x")
            await support.until(lambda: seen)
            assert seen == [b"x"]

    run(loop, main)


# -- every callback does everything -----------------------------------------------------------

PLAIN = ["connection_made", "data_received", "eof_received", "connection_lost"]
FLOW = ["pause_writing", "resume_writing"]
BUFFERED = ["get_buffer", "buffer_updated"]
EXPECTED_MESSAGE = {
    "connection_made": "Exception in callback",
    "connection_lost": "Exception in callback",
    "data_received": "Fatal error: protocol.data_received() call failed.",
    "eof_received": "Fatal error: protocol.eof_received() call failed.",
    "get_buffer": "Fatal error: protocol.get_buffer() call failed.",
    "buffer_updated": "Fatal error: protocol.buffer_updated() call failed.",
    "pause_writing": "protocol.pause_writing() failed",
    "resume_writing": "protocol.resume_writing() failed",
}


def do_close(p):
    p.transport.close()


def do_abort(p):
    p.transport.abort()


def do_raise(p):
    raise ZeroDivisionError("on purpose")


def do_pause(p):
    p.transport.pause_reading()


def do_pause_and_resume(p):
    p.transport.pause_reading()
    p.transport.resume_reading()


def do_set_protocol(p):
    p.other = support.Recorder()
    p.other.transport = p.transport
    p.transport.set_protocol(p.other)


def do_write(p):
    p.transport.write(b"from a callback")
    p.transport.writelines([b"a", b"b"])


def do_write_much(p):
    p.on.pop("pause_writing", None)
    p.transport.write(b"x" * 3_000_000)


def do_write_eof(p):
    p.transport.write_eof()


def do_del(p):
    transport, p.transport = p.transport, None
    del transport
    gc.collect()


def do_close_and_raise(p):
    p.transport.close()
    raise ZeroDivisionError("on purpose")


def do_abort_twice_and_write(p):
    p.transport.abort()
    p.transport.close()
    p.transport.abort()
    p.transport.write(b"ignored")


def do_close_socket(p):
    """Shut the descriptor down under the transport."""
    sock = p.transport.get_extra_info("socket")
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def do_nested_loop_calls(p):
    loop = asyncio.get_running_loop()
    loop.call_soon(p.transport.close)
    loop.call_soon(p.transport.abort)


ACTIONS = [
    do_close,
    do_abort,
    do_raise,
    do_pause,
    do_pause_and_resume,
    do_set_protocol,
    do_write,
    do_write_much,
    do_write_eof,
    do_del,
    do_close_and_raise,
    do_abort_twice_and_write,
    do_close_socket,
    do_nested_loop_calls,
]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda f: f.__name__[3:])
@pytest.mark.parametrize("event", PLAIN + FLOW + BUFFERED)
def test_callback_matrix(loop, contexts, event, action, loop_name):
    writes = (do_write, do_write_much) if support.PY >= (3, 12) else ()
    ends = (do_close, do_abort, do_close_and_raise, do_abort_twice_and_write)
    support.oracle_lacks(
        loop_name,
        (event == "resume_writing" and action in ends)
        or (event == "connection_lost" and action in writes)
        or (event == "get_buffer" and action is do_set_protocol),
        "stumbles over it: AttributeError in its own callback",
    )
    kind = support.BufferedRecorder if event in BUFFERED else support.Recorder
    done = []

    def once(protocol):
        if not done:
            done.append(event)
            action(protocol)

    async def main():
        async with support.connected(lambda: kind(**{event: once})) as (
            transport,
            protocol,
            peer,
        ):
            if event in FLOW:
                transport.write(b"x" * 6_000_000)
                await loop.run_in_executor(None, drain, peer, event)
            elif event not in ("connection_made", "connection_lost"):
                peer.sendall(b"0123456789" * 10)
                if event == "eof_received":
                    peer.shutdown(socket.SHUT_WR)
            elif event == "connection_lost":
                transport.close()
            await support.until(lambda: done)
            await support.settle()
            # whatever happened, the connection can be ended and its end is told exactly once
            if protocol.closed.done():
                transport.close()
            else:
                transport.abort()
            last = getattr(protocol, "other", protocol)
            await support.until(lambda: last.closed.done() or protocol.closed.done(), timeout=10)
            await support.settle()
            ends = protocol.count("connection_lost")
            if last is not protocol:
                ends += last.count("connection_lost")
            assert ends == 1
            events = protocol.events
            assert events[0] == "connection_made"
            if "connection_lost" in events:
                assert events[-1] == "connection_lost", events
            raised = action in (do_raise, do_close_and_raise)
            if raised:
                assert [c["message"][: len(EXPECTED_MESSAGE[event])] for c in contexts] == [
                    EXPECTED_MESSAGE[event]
                ]
                assert type(contexts[0]["exception"]) is ZeroDivisionError
            else:
                assert [c for c in contexts if "exception" in c] == []
            contexts.clear()

    run(loop, main)


def drain(peer, event):
    """Take from the peer's side what lets the writer resume."""
    if event == "pause_writing":
        return
    peer.settimeout(0.1)
    try:
        while peer.recv(1 << 20):
            pass
    except OSError:
        pass


@pytest.mark.parametrize("action", [do_close, do_abort], ids=["close", "abort"])
@pytest.mark.parametrize("kind", [support.Recorder, support.BufferedRecorder])
def test_fault_13_no_data_after_close_in_a_callback(loop, kind, action):
    """More is waiting in the kernel and in the loop's own buffer than one callback takes."""
    event = "data_received" if kind is support.Recorder else "buffer_updated"

    async def main():
        async with support.connected(lambda: kind(**{event: action})) as (_, protocol, peer):
            peer.sendall(b"x" * 150_000)
            await protocol.gone()
            await support.settle()
            assert protocol.count(event) == 1
            assert protocol.count("connection_lost") == 1
            assert protocol.events[-2:] == [event, "connection_lost"]

    run(loop, main)


def test_fault_14_pause_in_data_received(loop):
    async def main():
        async with support.connected(
            lambda: support.Recorder(data_received=lambda p: p.transport.pause_reading())
        ) as (transport, protocol, peer):
            total = 0
            for _ in range(20):
                peer.sendall(b"x" * 20_000)
                total += 20_000
            for n in range(1, 100):
                await support.until(lambda n=n: protocol.count("data_received") == n)
                await support.settle()
                assert protocol.count("data_received") == n
                if len(protocol.data) == total:
                    break
                transport.resume_reading()
            assert len(protocol.data) == total

    run(loop, main)


def test_a_buffered_protocol_by_its_methods(loop, loop_name):
    """get_buffer() and no data_received(): buffered, whatever it derives from, as on uvloop."""
    if loop_name == "asyncio":
        pytest.skip("asyncio goes by the class alone, and fails when data comes")
    seen = bytearray()
    ended = loop.create_future()

    class Plain(asyncio.BaseProtocol):
        buffer = bytearray(4)

        def get_buffer(self, sizehint):
            return self.buffer

        def buffer_updated(self, nbytes):
            seen.extend(self.buffer[:nbytes])

        def eof_received(self):
            ended.set_result(None)

    async def main():
        a, b = socket.socketpair()
        with b:
            transport, _ = await loop.create_connection(Plain, sock=a)
            b.sendall(b"more than four")
            b.shutdown(socket.SHUT_WR)
            await ended
            transport.close()
        return bytes(seen)

    assert loop.run_until_complete(main()) == b"more than four"
