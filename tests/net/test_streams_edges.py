"""The stock stream classes in corners where feeding them from C could show."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import socket
import weakref

import pytest
import support


def run(loop, main):
    return loop.run_until_complete(asyncio.wait_for(main(), 30 * support.SLOW))


async def opened(**kwargs):
    a, peer = support.tcp_pair()
    reader, writer = await asyncio.open_connection(sock=a, **kwargs)
    return reader, writer, peer


async def ended(writer, peer):
    writer.transport.abort()
    peer.close()
    await support.settle()


@pytest.mark.parametrize("seed", range(10))
def test_random_reads(loop, seed):
    """Whatever mixture of reads and sizes: the bytes come out in order and none is missing."""
    rng = random.Random(seed)
    data = bytes(rng.choice(b"abcdefgh\n") for _ in range(60_000))

    async def main():
        reader, writer, peer = await opened(limit=rng.choice([64, 1000, 1 << 16]))

        async def send():
            at = 0
            while at < len(data):
                size = rng.choice([1, 3, 50, 700, 5000])
                peer.sendall(data[at : at + size])
                at += size
                if rng.random() < 0.4:
                    await asyncio.sleep(0)
            peer.shutdown(socket.SHUT_WR)

        sending = loop.create_task(send())
        got = bytearray()
        while not reader.at_eof():
            what = rng.randrange(5)
            try:
                if what == 0:
                    got += await reader.read(rng.randrange(1, 5000))
                elif what == 1:
                    got += await reader.readline()
                elif what == 2:
                    got += await reader.readexactly(rng.randrange(1, 2000))
                elif what == 3:
                    got += await reader.readuntil(b"ab")
                else:
                    try:
                        got += await asyncio.wait_for(reader.read(10), 0.001)
                    except asyncio.TimeoutError:
                        pass
            except asyncio.IncompleteReadError as e:
                got += e.partial
            except asyncio.LimitOverrunError as e:
                got += await reader.readexactly(e.consumed)
            except ValueError:  # readline over the limit drops the chunk, as documented
                got = None
                break
        await sending
        if got is not None:
            assert bytes(got) == data
        await ended(writer, peer)

    run(loop, main)


def test_exact_limits(loop):
    """The transport is paused once more than twice the limit is held, and not before."""

    async def main():
        reader, writer, peer = await opened(limit=1000)
        peer.sendall(b"x" * 2000)
        await asyncio.sleep(0.01)
        assert reader._paused is False
        assert writer.transport.is_reading()
        peer.sendall(b"x")
        await asyncio.sleep(0.01)
        assert reader._paused is True
        assert not writer.transport.is_reading()
        assert len(await reader.read(1000)) == 1000  # 1001 left: more than the limit
        assert reader._paused is True
        await reader.read(1)
        assert reader._paused is False
        assert writer.transport.is_reading()
        await ended(writer, peer)

    run(loop, main)


def test_the_waiter_wakes_in_the_turn_of_the_data(loop):
    async def main():
        reader, writer, peer = await opened()
        order = []

        async def read():
            await reader.read(1)
            order.append("read")

        task = loop.create_task(read())
        await support.settle()
        peer.sendall(b"x")
        await task
        assert order == ["read"]
        assert reader._waiter is None
        await ended(writer, peer)

    run(loop, main)


def test_waiter_cancelled_just_before_the_data(loop):
    async def main():
        reader, writer, peer = await opened()
        for _ in range(20):
            task = loop.create_task(reader.readexactly(1))
            await support.settle(2)
            task.cancel()
            peer.sendall(b"x")
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await reader.readexactly(1) == b"x"
        await ended(writer, peer)

    run(loop, main)


def test_reader_patched_on_the_class(loop, monkeypatch):
    seen = []
    real = asyncio.StreamReader.feed_data

    def feed_data(self, data):
        seen.append(data)
        real(self, data)

    async def main():
        reader, writer, peer = await opened()
        peer.sendall(b"before")
        assert await reader.read(100) == b"before"
        monkeypatch.setattr(asyncio.StreamReader, "feed_data", feed_data)
        peer.sendall(b"after")
        assert await reader.read(100) == b"after"
        assert seen == [b"after"]
        await ended(writer, peer)

    run(loop, main)


def test_buffer_replaced_on_the_reader(loop):
    async def main():
        reader, writer, peer = await opened()
        peer.sendall(b"one")
        await asyncio.sleep(0.005)
        reader._buffer = bytearray(b"zero ") + reader._buffer
        peer.sendall(b" two")
        await asyncio.sleep(0.005)
        assert await reader.read(100) == b"zero one two"
        await ended(writer, peer)

    run(loop, main)


def test_buffer_exported_while_data_comes(loop, contexts):
    """A memoryview of the reader's buffer makes growing it fail: the connection ends with that
    error; nothing is corrupted."""

    async def main():
        reader, writer, peer = await opened()
        peer.sendall(b"one")
        await asyncio.sleep(0.005)
        view = memoryview(reader._buffer)
        peer.sendall(b"two")
        await asyncio.sleep(0.01)
        assert bytes(view) == b"one"
        view.release()
        assert bytes(reader._buffer) in (b"one", b"onetwo")
        await ended(writer, peer)

    run(loop, main)
    contexts.clear()


def test_data_after_feed_eof_by_hand(loop, contexts):
    """asyncio asserts: 'feed_data after feed_eof'. The connection ends; nothing else suffers."""

    async def main():
        reader, writer, peer = await opened()
        reader.feed_eof()
        peer.sendall(b"late")
        await asyncio.sleep(0.01)
        with pytest.raises(AssertionError):
            await reader.read()
        await ended(writer, peer)

    run(loop, main)
    assert [type(c["exception"]) for c in contexts] == [AssertionError]
    contexts.clear()


def test_dropped_reader(loop):
    """Nobody holds the reader any more; data comes; the writer works on."""

    async def main():
        reader, writer, peer = await opened()
        ref = weakref.ref(reader)
        writer._reader = None
        del reader
        gc.collect()
        peer.sendall(b"unheard")
        await asyncio.sleep(0.01)
        writer.write(b"still here")
        await support.settle()
        assert peer.recv(100) == b"still here"
        await ended(writer, peer)
        del writer
        gc.collect()
        assert ref() is None

    # 3.10 and 3.11 tell the writer's protocol that its reader went away: it may close the transport
    run(loop, main)


def test_set_protocol_away_from_the_stock_one(loop):
    async def main():
        reader, writer, peer = await opened()
        peer.sendall(b"stream")
        assert await reader.readexactly(6) == b"stream"
        other = support.Recorder()
        stock = writer.transport.get_protocol()
        writer.transport.set_protocol(other)
        peer.sendall(b"protocol")
        assert await other.received(8) == b"protocol"
        writer.transport.set_protocol(stock)
        peer.sendall(b"again")
        assert await reader.readexactly(5) == b"again"
        assert reader._buffer == b""
        await ended(writer, peer)

    run(loop, main)


def test_stock_protocol_set_on_a_plain_transport(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            reader = asyncio.StreamReader(loop=loop)
            stock = asyncio.StreamReaderProtocol(reader, loop=loop)
            transport.set_protocol(stock)
            stock.connection_made(transport)
            writer = asyncio.StreamWriter(transport, stock, reader, loop)
            peer.sendall(b"hello\n")
            assert await reader.readline() == b"hello\n"
            writer.write(b"answer")
            await writer.drain()
            assert peer.recv(10) == b"answer"
            writer.close()
            await writer.wait_closed()
            protocol.closed.set_result(None)

    run(loop, main)


def test_reader_set_exception_then_data(loop):
    async def main():
        reader, writer, peer = await opened()
        reader.set_exception(ZeroDivisionError())
        peer.sendall(b"x")
        await asyncio.sleep(0.005)
        with pytest.raises(ZeroDivisionError):
            await reader.read(1)
        assert bytes(reader._buffer) == b"x"
        await ended(writer, peer)

    run(loop, main)


def test_readers_of_many_connections_at_once(loop):
    """One receive buffer serves all of them."""
    blocks = [os.urandom(30_000) for _ in range(30)]

    async def main():
        async def handle(reader, writer):
            data = await reader.readexactly(30_000)
            writer.write(data[::-1])
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(handle, support.LOCALHOST, 0)
        address = server.sockets[0].getsockname()

        async def client(block):
            reader, writer = await asyncio.open_connection(*address)
            for at in range(0, 30_000, 7_000):
                writer.write(block[at : at + 7_000])
                await asyncio.sleep(0)
            assert await reader.read() == block[::-1]
            writer.close()
            await writer.wait_closed()

        await asyncio.gather(*(client(b) for b in blocks))
        server.close()
        await server.wait_closed()
        await support.settle(10)

    run(loop, main)


# -- bytes objects handed to data_received ----------------------------------------------------


def test_received_bytes_stay_what_they_were(loop):
    """They may be kept, hashed, used as keys, viewed: a later read never changes one."""
    rng = random.Random(5)

    async def main():
        async with support.connected() as (transport, protocol, peer):
            kept, hashes, views = [], [], []

            def got(data):
                what = len(hashes) % 4
                hashes.append(hash(data))
                assert hash(data) == hash(bytes(bytearray(data)))
                if what == 0:
                    kept.append((data, bytes(bytearray(data))))
                elif what == 1:
                    views.append((memoryview(data), bytes(bytearray(data))))
                elif what == 2:
                    assert {data: 1}[bytes(bytearray(data))] == 1

            protocol.data_received = got
            transport.set_protocol(protocol)
            for size in (1, 2, 100, 511, 512, 513, 1024, 2000, 5000):
                for _ in range(12):
                    before = len(hashes)
                    peer.sendall(rng.randbytes(size))
                    await support.until(lambda before=before: len(hashes) > before)
            for thing, copy in kept + views:
                assert bytes(thing) == copy
                assert hash(bytes(thing)) == hash(copy)

    run(loop, main)


def test_same_size_again_and_again(loop):
    """Equal sizes invite reuse of a buffer; equal content must not be a condition for it."""

    async def main():
        async with support.connected() as (transport, protocol, peer):
            for n in range(300):
                data = bytes([n % 256]) * 1024
                protocol.data.clear()
                peer.sendall(data)
                assert await protocol.received(1024) == data

    run(loop, main)


def test_flow_control_from_within(loop):
    """Limits changed and data written inside pause_writing and resume_writing."""

    async def main():
        def paused(p):
            p.transport.set_write_buffer_limits(high=10_000_000, low=0)
            p.transport.write(b"p" * 1000)

        def resumed(p):
            p.transport.set_write_buffer_limits()
            p.transport.write(b"r" * 1000)

        async with support.connected(
            lambda: support.Recorder(pause_writing=paused, resume_writing=resumed)
        ) as (transport, protocol, peer):
            transport.write(b"x" * 6_000_000)

            def consume():
                got = bytearray()
                while len(got) < 6_002_000:
                    got += peer.recv(1 << 20)
                return got

            got = await loop.run_in_executor(None, consume)
            assert bytes(got) == b"x" * 6_000_000 + b"p" * 1000 + b"r" * 1000
            assert protocol.count("pause_writing") == protocol.count("resume_writing") == 1

    run(loop, main)
