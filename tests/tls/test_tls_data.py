"""Bytes over TLS: in full, in order, at the pace of whoever is slower."""

from __future__ import annotations

import array
import asyncio
import hashlib
import random
import ssl

import pytest
from support import Recorder, settle, until
from tls_support import Buffered, Peer, blocking, connected, pair, run, sockets

MB = 1 << 20
SIZES = [1, 2, 1000, 16383, 16384, 16385, 65536, 100_000, 300_001, 3 * MB]


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("size", SIZES)
def test_receive(loop, certs, role, version, size):
    data = noise(size)

    async def main():
        async with connected(certs, role, version=version) as (_, protocol, peer):
            sending = asyncio.ensure_future(blocking(peer.send, data))
            assert await protocol.received(size) == data
            await sending
            assert protocol.count("eof_received") == 0

    run(loop, main)


@pytest.mark.parametrize("size", SIZES)
def test_send(loop, certs, role, version, size):
    data = noise(size)

    async def main():
        async with connected(certs, role, version=version) as (transport, _, peer):
            receiving = asyncio.ensure_future(blocking(peer.recv_exactly, size))
            transport.write(data)
            assert await receiving == data

    run(loop, main)


@pytest.mark.parametrize("seed", range(4))
def test_odd_chunks_both_ways(loop, certs, role, version, seed):
    """Random sizes of writes at both ends, at once; records cut anywhere."""
    rng = random.Random(seed)
    ours, theirs = noise(700_000, seed), noise(700_000, seed + 100)

    def pieces(data):
        at = 0
        while at < len(data):
            size = rng.choice([1, 7, 100, 5000, 16384, 17000, 70_000])
            yield data[at : at + size]
            at += size

    async def main():
        async with connected(certs, role, version=version) as (transport, protocol, peer):
            chunks = list(pieces(theirs))

            # one thread at a time may use the peer's TLS object: its records are made first
            records = b"".join(peer.seal(chunk) for chunk in chunks)
            cuts = list(pieces(records))

            def send():
                for piece in cuts:
                    peer.sock.sendall(piece)

            sending = asyncio.ensure_future(blocking(send))
            receiving = asyncio.ensure_future(blocking(peer.recv_exactly, len(ours)))
            for piece in pieces(ours):
                transport.write(piece)
                if rng.random() < 0.3:
                    await asyncio.sleep(0)
            assert await receiving == ours
            await sending
            assert await protocol.received(len(theirs)) == theirs

    run(loop, main)


@pytest.mark.parametrize("buffered", [False, True])
def test_twenty_megabytes(loop, certs, buffered):
    make = (lambda: Buffered(100_000)) if buffered else Recorder
    data = noise(20 * MB)

    async def main():
        async with pair(certs, make, make) as (client, server):
            for one, other in ((client, server), (server, client)):
                one.transport.write(data)
                await until(lambda: len(other.data) >= len(data), 30)  # noqa: B023
                assert hashlib.sha1(other.data).digest() == hashlib.sha1(data).digest()
                other.data.clear()

    run(loop, main, 60)


def test_many_small_writes(loop, certs, role):
    async def main():
        async with connected(certs, role) as (transport, _, peer):
            for number in range(5000):
                transport.write(b"%06d" % number)
            got = await blocking(peer.recv_exactly, 30_000)
            assert got == b"".join(b"%06d" % number for number in range(5000))

    run(loop, main)


def test_ping_pong(loop, certs):
    async def main():
        def echo(protocol):
            data = bytes(protocol.data)
            protocol.data.clear()
            protocol.transport.write(data)

        async with pair(certs, server=lambda: Recorder(data_received=echo)) as (client, _):
            for number in range(300):
                client.transport.write(b"%04d" % number)
                assert await client.received(4) == b"%04d" % number
                client.data.clear()

    run(loop, main)


# -- what may be written ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        bytearray(b"hello"),
        memoryview(b"hello"),
        memoryview(bytearray(b"xhellox"))[1:6],
    ],
)
def test_kinds_of_bytes(loop, certs, role, data):
    async def main():
        async with connected(certs, role) as (transport, _, peer):
            transport.write(data)
            assert await blocking(peer.recv_exactly, 5) == b"hello"

    run(loop, main)


@pytest.mark.parametrize("data", ["text", 1, None, [b"a"], array.array("b", b"x")])
def test_not_bytes(loop, certs, role, data):
    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            kind = type(data).__name__
            with pytest.raises(
                TypeError, match=f"data: expecting a bytes-like instance, got {kind}"
            ):
                transport.write(data)
            transport.write(b"fine")
            assert await blocking(peer.recv) == b"fine"
            assert not protocol.closed.done()

    run(loop, main)


def test_a_buffer_may_change_after_write(loop, certs, role):
    async def main():
        async with connected(certs, role) as (transport, _, peer):
            size = 200_000
            data = bytearray(b"a" * size)
            transport.write(data)
            data[:] = b"b" * size
            data.clear()  # and is not locked
            assert await blocking(peer.recv_exactly, size) == b"a" * size

    run(loop, main)


def test_nothing(loop, certs, role):
    async def main():
        async with connected(certs, role) as (transport, _, peer):
            for empty in (b"", bytearray(), memoryview(b"")):
                transport.write(empty)
            transport.writelines([])
            transport.writelines([b"", b"x", b""])
            transport.writelines([b""])
            transport.write(b"y")
            assert await blocking(peer.recv_exactly, 2) == b"xy"

    run(loop, main)


def test_writelines(loop, certs, role, version):
    async def main():
        async with connected(certs, role, version=version) as (transport, _, peer):
            transport.writelines([b"a", bytearray(b"bc"), memoryview(b"def")])
            assert await blocking(peer.recv_exactly, 6) == b"abcdef"
            transport.writelines(iter([b"x" * 50_000, b"y" * 100_000]))
            got = await blocking(peer.recv_exactly, 150_000)
            assert got == b"x" * 50_000 + b"y" * 100_000
            transport.writelines(str(n).encode() for n in range(1000))
            text = b"".join(str(n).encode() for n in range(1000))
            assert await blocking(peer.recv_exactly, len(text)) == text

    run(loop, main)


def test_fault_56_no_half_close(loop, certs, role):
    async def main():
        async with connected(certs, role) as (transport, _, peer):
            assert transport.can_write_eof() is False
            with pytest.raises(NotImplementedError):
                transport.write_eof()
            transport.write(b"x")
            assert await blocking(peer.recv) == b"x"

    run(loop, main)


def test_write_in_connection_made(loop, certs, role):
    def made(protocol):
        protocol.transport.write(b"first ")
        protocol.transport.writelines([b"second ", b"third"])

    async def main():
        make = lambda: Recorder(connection_made=made)  # noqa: E731
        async with connected(certs, role, make) as (_, _, peer):
            assert await blocking(peer.recv_exactly, 18) == b"first second third"

    run(loop, main)


def test_data_with_the_end_of_the_handshake(loop, certs, version):
    """The client's first data come in one segment with its last handshake message."""

    async def main():
        client, server = certs.contexts(version)

        def made(protocol):
            assert not protocol.data

        make = lambda: Recorder(connection_made=made)  # noqa: E731
        async with sockets() as (a, b):
            peer = Peer(b, client, server_side=False, server_hostname="localhost")
            accepting = asyncio.ensure_future(loop.connect_accepted_socket(make, a, ssl=server))

            def work():
                if version == "1.2":
                    peer.handshake()
                    peer.send(b"hello")
                    return
                while True:
                    try:
                        peer.tls.do_handshake()
                    except ssl.SSLWantReadError:
                        peer.flush()
                        peer.feed()
                    else:
                        break
                peer.tls.write(b"hello")
                peer.flush()

            await blocking(work)
            transport, protocol = await accepting
            assert await protocol.received(5) == b"hello"
            assert protocol.events == ["connection_made", "data_received"]
            transport.abort()
            await settle()

    run(loop, main)


def test_order_of_connection_made_and_the_awaited_result(loop, certs):
    """Data that arrive with the handshake reach the protocol before or after create_connection()
    returns, never before connection_made."""

    async def main():
        greet = lambda p: p.transport.write(b"220 hello\r\n")  # noqa: E731
        for _ in range(20):
            async with pair(certs, server=lambda: Recorder(connection_made=greet)) as (client, _):
                assert await client.received(11) == b"220 hello\r\n"
                assert client.events[0] == "connection_made"

    run(loop, main)


# -- flow control: writing --------------------------------------------------------------------


def test_default_limits(loop, certs, role):
    async def main():
        async with connected(certs, role) as (transport, _, _):
            assert transport.get_write_buffer_limits() == (512 * 1024 // 4, 512 * 1024)
            assert transport.get_write_buffer_size() == 0

    run(loop, main)


def test_set_limits(loop, certs, role):
    async def main():
        async with connected(certs, role) as (transport, _, _):
            limits = transport.get_write_buffer_limits
            transport.set_write_buffer_limits(high=1000)
            assert limits() == (250, 1000)
            transport.set_write_buffer_limits(low=100)
            assert limits() == (100, 400)
            transport.set_write_buffer_limits(high=10, low=5)
            assert limits() == (5, 10)
            transport.set_write_buffer_limits(high=0)
            assert limits() == (0, 0)
            for wrong in ({"high": 1, "low": 2}, {"high": -1}, {"low": -1}, {"high": 5, "low": -1}):
                with pytest.raises(
                    ValueError, match=r"high \(.*\) must be >= low \(.*\) must be >= 0"
                ):
                    transport.set_write_buffer_limits(**wrong)
            assert limits() == (0, 0)

    run(loop, main)


def fill(transport, protocol):
    """Write until told to pause; the number of bytes written."""
    chunk = noise(200_000)
    written = 0
    while "pause_writing" not in protocol.events:
        assert written < 30 * MB, "never told to pause"
        transport.write(chunk)
        written += len(chunk)
    return written


def test_fault_06_pause_and_resume(loop, certs, role, version):
    """A peer that does not read: pause_writing once, resume_writing once it reads."""

    async def main():
        async with connected(certs, role, version=version) as (transport, protocol, peer):
            written = fill(transport, protocol)
            assert transport.get_write_buffer_size() > transport.get_write_buffer_limits()[1] / 2
            transport.write(b"more")
            await settle(20)
            assert protocol.events == ["connection_made", "pause_writing"]
            got = await blocking(peer.recv_exactly, written + 4)
            assert got == noise(200_000) * (written // 200_000) + b"more"
            await until(lambda: protocol.events[-1] == "resume_writing")
            assert protocol.events == ["connection_made", "pause_writing", "resume_writing"]
            await until(lambda: transport.get_write_buffer_size() == 0)

    run(loop, main)


def test_many_rounds_of_pause_and_resume(loop, certs, role):
    """A writer that minds the limits, against a slow reader: its buffer stays bounded."""
    total = 8 * MB
    chunk = noise(60_000)

    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            transport.set_write_buffer_limits(high=100_000)
            peak = sent = 0

            def slow():
                got = 0
                while got < total:
                    got += len(peer.recv(200_000))
                return got

            reading = asyncio.ensure_future(blocking(slow))
            while sent < total:
                transport.write(chunk)
                sent += len(chunk)
                peak = max(peak, transport.get_write_buffer_size())
                paused = protocol.count("pause_writing")
                if paused > protocol.count("resume_writing"):
                    await until(lambda: protocol.count("resume_writing") == paused)  # noqa: B023
            assert await reading >= total
            assert protocol.count("pause_writing") - protocol.count("resume_writing") in (0, 1)
            assert peak < 4 * MB

    run(loop, main)


def test_fault_07_pause_or_resume_raises(loop, certs, role, contexts):
    def fail(protocol):
        raise ZeroDivisionError(protocol.events[-1])

    async def main():
        make = lambda: Recorder(pause_writing=fail, resume_writing=fail)  # noqa: E731
        async with connected(certs, role, make) as (transport, protocol, peer):
            written = fill(transport, protocol)
            await blocking(peer.recv_exactly, written)
            await until(lambda: protocol.events[-1] == "resume_writing")
            await settle()
            assert not protocol.closed.done()
            messages = [context["message"] for context in contexts]
            assert messages == [
                "protocol.pause_writing() failed",
                "protocol.resume_writing() failed",
            ]
            transport.write(b"alive")
            assert await blocking(peer.recv_exactly, 5) == b"alive"

    run(loop, main)


def test_write_in_resume_writing(loop, certs, role):
    more = [noise(100_000, number) for number in range(60)]

    def resume(protocol):
        while more and protocol.count("pause_writing") == protocol.count("resume_writing"):
            protocol.transport.write(more.pop(0))

    async def main():
        expected = b"".join(more)
        make = lambda: Recorder(resume_writing=resume)  # noqa: E731
        async with connected(certs, role, make) as (transport, protocol, peer):
            written = fill(transport, protocol)
            got = await blocking(peer.recv_exactly, written + len(expected))
            assert got == noise(200_000) * (written // 200_000) + expected

    run(loop, main)


# -- flow control: reading --------------------------------------------------------------------


def test_pause_reading(loop, certs, role):
    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            assert transport.is_reading() is True
            transport.pause_reading()
            assert transport.is_reading() is False
            transport.pause_reading()  # twice is fine
            await blocking(peer.send, b"hello")
            await until(lambda: transport.get_read_buffer_size() > 5)  # a record
            assert protocol.data == b""
            transport.resume_reading()
            assert transport.is_reading() is True
            transport.resume_reading()
            assert await protocol.received(5) == b"hello"
            await blocking(peer.send, b" again")
            assert await protocol.received(11) == b"hello again"

    run(loop, main)


def test_fault_14_pause_in_data_received(loop, certs, role, version):
    """Records that came with the one being delivered, and may be decrypted, wait as well."""
    seen = []

    def pause(protocol):
        seen.append(bytes(protocol.data))
        protocol.transport.pause_reading()

    async def main():
        make = lambda: Recorder(data_received=pause)  # noqa: E731
        async with connected(certs, role, make, version=version) as (transport, protocol, peer):
            records = b"".join(peer.seal(bytes([65 + n]) * 10) for n in range(10))
            await blocking(peer.sock.sendall, records)
            await until(lambda: seen)
            got = seen[0]
            for _ in range(12):
                await asyncio.sleep(0.005)
                assert seen[-1] == got  # nothing came while paused
                if len(got) == 100:
                    break
                transport.resume_reading()
                await until(lambda: len(seen[-1]) > len(got))  # noqa: B023
                got = seen[-1]
            assert got == b"".join(bytes([65 + n]) * 10 for n in range(10))

    run(loop, main)


def test_fault_14_pause_with_much_on_the_way(loop, certs, role):
    """A paused transport stops reading from the network: the peer's sending comes to rest."""
    data = noise(30 * MB)

    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            transport.pause_reading()
            records = peer.seal(data)
            peer.sock.setblocking(False)
            sent = 0

            def push():
                nonlocal sent
                try:
                    while sent < len(records):
                        sent += peer.sock.send(memoryview(records)[sent : sent + 200_000])
                except BlockingIOError:
                    pass

            still = 0
            while still < 5:
                before = sent
                push()
                await asyncio.sleep(0.01)
                still = still + 1 if sent == before else 0
            assert sent < len(records) - 10 * MB
            assert protocol.data == b""
            transport.resume_reading()
            while sent < len(records):
                push()
                await asyncio.sleep(0.001)
            await protocol.received(len(data))
            assert protocol.data == data

    run(loop, main)


def test_fault_14_end_while_paused(loop, certs, role):
    """Data and close_notify arrive while paused: first the data, once resumed, then the end."""

    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            transport.pause_reading()
            records = peer.seal(b"a" * 50_000) + peer.close_notify()
            await blocking(peer.sock.sendall, records)
            await asyncio.sleep(0.03)
            assert protocol.events == ["connection_made"]
            transport.resume_reading()
            await protocol.gone()
            assert protocol.data == b"a" * 50_000
            assert protocol.events[-2:] == ["eof_received", "connection_lost"]
            assert protocol.lost is None

    run(loop, main)


def test_fault_14_resume_in_the_same_callback(loop, certs, role):
    def both(protocol):
        protocol.transport.pause_reading()
        protocol.transport.resume_reading()

    async def main():
        make = lambda: Recorder(data_received=both)  # noqa: E731
        async with connected(certs, role, make) as (_, protocol, peer):
            data = noise(200_000)
            await blocking(peer.send, data)
            assert await protocol.received(len(data)) == data

    run(loop, main)


def test_writing_while_reading_is_paused(loop, certs, role):
    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            transport.pause_reading()
            transport.write(b"x" * 100_000)
            assert await blocking(peer.recv_exactly, 100_000) == b"x" * 100_000
            transport.resume_reading()
            await blocking(peer.send, b"y")
            assert await protocol.received(1) == b"y"

    run(loop, main)


# -- protocols --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 5, 100, 4096, 16384, 100_000, MB])
def test_buffered_protocol(loop, certs, role, size):
    data = noise(min(200_000, size * 2000))

    async def main():
        async with connected(certs, role, lambda: Buffered(size)) as (_, protocol, peer):
            await blocking(peer.send, data)
            await until(lambda: len(protocol.data) >= len(data))
            assert protocol.data == data
            assert protocol.count("buffer_updated") >= len(data) / size
            assert all(isinstance(hint, int) for hint in protocol.hints)

    run(loop, main)


def test_buffered_protocol_ends(loop, certs, role):
    async def main():
        async with connected(certs, role, Buffered) as (_, protocol, peer):
            records = peer.seal(b"a" * 10_000) + peer.close_notify()
            await blocking(peer.sock.sendall, records)
            await protocol.gone()
            assert protocol.data == b"a" * 10_000
            told = [event for event in protocol.events if event != "get_buffer"]
            assert told[-2:] == ["eof_received", "connection_lost"]
            assert protocol.lost is None

    run(loop, main)


def test_buffered_protocol_pauses(loop, certs, role):
    def pause(protocol):
        protocol.transport.pause_reading()

    async def main():
        make = lambda: Buffered(1000, buffer_updated=pause)  # noqa: E731
        async with connected(certs, role, make) as (transport, protocol, peer):
            data = noise(9500)
            await blocking(peer.send, data)
            for number in range(1, 11):
                await until(lambda: protocol.count("buffer_updated") == number)  # noqa: B023
                await settle(3)
                assert protocol.count("buffer_updated") == number
                transport.resume_reading()
            assert await protocol.received(9500) == data

    run(loop, main)


def test_set_protocol(loop, certs, role):
    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            assert transport.get_protocol() is protocol
            await blocking(peer.send, b"one")
            await protocol.received(3)
            second = Recorder()
            transport.set_protocol(second)
            assert transport.get_protocol() is second
            await blocking(peer.send, b"two")
            assert await second.received(3) == b"two"
            assert protocol.data == b"one"
            third = Buffered()
            transport.set_protocol(third)
            await blocking(peer.send, b"three")
            await until(lambda: len(third.data) == 5)
            transport.set_protocol(protocol)
            await blocking(peer.send, b"four")
            assert await protocol.received(7) == b"onefour"
            await blocking(peer.sock.sendall, peer.close_notify())
            await protocol.gone()
            assert second.events == ["data_received"]
            assert "connection_lost" not in third.events

    run(loop, main)


def test_fault_15_set_protocol_in_data_received(loop, certs, role):
    """What comes in a later read goes to the new protocol."""

    async def main():
        second = Recorder()

        def switch(protocol):
            protocol.transport.set_protocol(second)

        make = lambda: Recorder(data_received=switch)  # noqa: E731
        async with connected(certs, role, make) as (_, protocol, peer):
            await blocking(peer.send, b"one")
            await protocol.received(3)
            await blocking(peer.send, b"two")
            assert await second.received(3) == b"two"
            assert protocol.data == b"one"

    run(loop, main)


def test_method_replaced_on_the_instance(loop, certs, role):
    """Programs and tests put their own function where a method was."""

    async def main():
        async with connected(certs, role) as (transport, _, peer):
            written = []
            original = transport.write

            def write(data):
                written.append(bytes(data))
                original(data)

            transport.write = write
            transport.write(b"x")
            assert await blocking(peer.recv) == b"x"
            assert written == [b"x"]
            del transport.write

    run(loop, main)


def test_protocol_without_base_class(loop, certs, role):
    class Plain:
        def __init__(self):
            self.events = []
            self.closed = asyncio.get_running_loop().create_future()

        def connection_made(self, transport):
            self.events.append("made")

        def data_received(self, data):
            self.events.append(data)

        def eof_received(self):
            self.events.append("eof")

        def connection_lost(self, exc):
            self.events.append("lost")
            self.closed.set_result(exc)

    async def main():
        async with connected(certs, role, Plain) as (_, protocol, peer):
            await blocking(peer.send, b"x")
            await until(lambda: b"x" in protocol.events)
            await blocking(peer.sock.sendall, peer.close_notify())
            assert await protocol.closed is None
            assert protocol.events == ["made", b"x", "eof", "lost"]

    run(loop, main)
