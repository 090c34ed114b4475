"""asyncio.open_connection and start_server with the stock stream classes."""

from __future__ import annotations

import asyncio
import os
import socket
import sys

import pytest
import support


def run(loop, main):
    return loop.run_until_complete(asyncio.wait_for(main(), 30 * support.SLOW))


class Stream:
    """open_connection with a plain socket as peer."""

    def __init__(self, **kwargs):
        self.kwargs = kwargs

    async def __aenter__(self):
        a, self.peer = support.tcp_pair()
        self.reader, self.writer = await asyncio.open_connection(sock=a, **self.kwargs)
        return self.reader, self.writer, self.peer

    async def __aexit__(self, *exc):
        self.writer.transport.abort()
        self.peer.close()
        await support.settle()


def test_read(loop):
    async def main():
        async with Stream() as (reader, writer, peer):
            peer.sendall(b"hello")
            assert await reader.read(100) == b"hello"
            peer.sendall(b"hello")
            assert await reader.readexactly(2) == b"he"
            assert await reader.read(2) == b"ll"
            assert await reader.read(0) == b""
            assert await reader.read(100) == b"o"
            assert not reader.at_eof()
            peer.close()
            assert await reader.read(100) == b""
            assert reader.at_eof()
            assert await reader.read() == b""
            assert await reader.readline() == b""

    run(loop, main)


def test_read_to_the_end(loop):
    data = os.urandom(2_000_000)

    async def main():
        async with Stream() as (reader, writer, peer):

            def send():
                peer.sendall(data)
                peer.shutdown(socket.SHUT_WR)

            sending = loop.run_in_executor(None, send)
            assert await reader.read() == data
            await sending

    run(loop, main)


def test_readline(loop):
    async def main():
        async with Stream() as (reader, writer, peer):
            peer.sendall(b"one\ntwo\nthr")
            assert await reader.readline() == b"one\n"
            assert await reader.readline() == b"two\n"
            task = loop.create_task(reader.readline())
            await support.settle()
            assert not task.done()
            peer.sendall(b"ee\n\nrest")
            assert await task == b"three\n"
            assert await reader.readline() == b"\n"
            peer.close()
            assert await reader.readline() == b"rest"
            assert await reader.readline() == b""

    run(loop, main)


def test_lines_of_a_megabyte(loop):
    lines = [bytes([65 + n]) * 1_000_000 + b"\n" for n in range(4)]

    async def main():
        async with Stream(limit=1 << 21) as (reader, writer, peer):
            sending = loop.run_in_executor(None, peer.sendall, b"".join(lines))
            for line in lines:
                assert await reader.readline() == line
            await sending

    run(loop, main)


def test_limit_overrun(loop):
    async def main():
        async with Stream(limit=100) as (reader, writer, peer):
            peer.sendall(b"x" * 500 + b"\nafter\n")
            with pytest.raises(ValueError, match="Separator is"):
                await reader.readline()

    run(loop, main)


def test_readuntil(loop):
    async def main():
        async with Stream(limit=1000) as (reader, writer, peer):
            peer.sendall(b"key: value\r\n\r\nbody")
            assert await reader.readuntil(b": ") == b"key: "
            assert await reader.readuntil(b"\r\n\r\n") == b"value\r\n\r\n"
            task = loop.create_task(reader.readuntil(b"END"))
            for part in (b"..E", b"N", b"D..."):
                await support.settle()
                assert not task.done()
                peer.sendall(part)
            assert await task == b"body..END"
            with pytest.raises(ValueError):
                await reader.readuntil(b"")
            peer.sendall(b"y" * 3000)
            with pytest.raises(asyncio.LimitOverrunError) as caught:
                await reader.readuntil(b"#")
            assert caught.value.consumed > 1000 - 3
            peer.close()

    run(loop, main)


def test_incomplete(loop):
    async def main():
        async with Stream() as (reader, writer, peer):
            peer.sendall(b"half")
            peer.close()
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await reader.readexactly(10)
            assert caught.value.partial == b"half"
            assert caught.value.expected == 10
        async with Stream() as (reader, writer, peer):
            peer.sendall(b"half")
            peer.close()
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await reader.readuntil(b"!")
            assert caught.value.partial == b"half"

    run(loop, main)


def test_async_iteration(loop):
    async def main():
        async with Stream() as (reader, writer, peer):
            peer.sendall(b"a\nb\nc")
            peer.close()
            assert [line async for line in reader] == [b"a\n", b"b\n", b"c"]

    run(loop, main)


def test_reading_is_paused_when_nobody_reads(loop):
    """Twice the limit is buffered, not all that a peer sends."""

    async def main():
        async with Stream(limit=10_000) as (reader, writer, peer):
            peer.setblocking(False)
            sent = 0
            for _ in range(400):
                try:
                    sent += peer.send(b"x" * 65536)
                except BlockingIOError:
                    await asyncio.sleep(0.001)
            assert len(reader._buffer) < 700_000
            peer.setblocking(True)
            peer.shutdown(socket.SHUT_WR)
            got = 0
            while chunk := await reader.read(65536):
                got += len(chunk)
            assert got == sent

    run(loop, main)


def test_two_readers_are_refused(loop):
    async def main():
        async with Stream() as (reader, writer, peer):
            task = loop.create_task(reader.read(10))
            await support.settle()
            with pytest.raises(RuntimeError, match="another coroutine is already waiting"):
                await reader.read(10)
            peer.sendall(b"x")
            assert await task == b"x"

    run(loop, main)


def test_cancelled_read_loses_nothing(loop):
    async def main():
        async with Stream() as (reader, writer, peer):
            task = loop.create_task(reader.readexactly(10))
            await support.settle()
            peer.sendall(b"01234")
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            peer.sendall(b"56789")
            assert await reader.readexactly(10) == b"0123456789"

    run(loop, main)


def test_feed_by_hand(loop):
    """A program may feed a reader itself, before and beside the transport."""

    async def main():
        async with Stream() as (reader, writer, peer):
            reader.feed_data(b"by hand ")
            peer.sendall(b"by wire\n")
            assert await reader.readline() == b"by hand by wire\n"
            reader.feed_eof()
            assert await reader.read() == b""

    run(loop, main)


def test_exception_set_on_the_reader(loop):
    async def main():
        async with Stream() as (reader, writer, peer):
            task = loop.create_task(reader.read(1))
            await support.settle()
            reader.set_exception(ZeroDivisionError("set"))
            with pytest.raises(ZeroDivisionError):
                await task
            with pytest.raises(ZeroDivisionError):
                await reader.read(1)
            assert type(reader.exception()) is ZeroDivisionError

    run(loop, main)


def test_reset_reaches_the_reader(loop):
    async def main():
        async with Stream() as (reader, writer, peer):
            task = loop.create_task(reader.read(1))
            await support.settle()
            support.reset(peer)
            with pytest.raises(ConnectionResetError):
                await task
            with pytest.raises(ConnectionResetError):
                writer.write(b"x")
                await writer.drain()
                await writer.drain()

    run(loop, main)


# -- writer -----------------------------------------------------------------------------------


def test_writer(loop):
    async def main():
        async with Stream() as (reader, writer, peer):
            writer.write(b"one ")
            writer.writelines([b"two ", b"three"])
            await writer.drain()
            assert peer.recv(100) == b"one two three"
            assert writer.can_write_eof()
            writer.write_eof()
            assert peer.recv(100) == b""
            assert writer.get_extra_info("peername") == peer.getsockname()
            assert isinstance(writer.transport, asyncio.Transport)
            assert not writer.is_closing()
            peer.sendall(b"answer")
            peer.close()
            assert await reader.read() == b"answer"
            writer.close()
            assert writer.is_closing()
            await writer.wait_closed()

    run(loop, main)


def test_drain_after_close(loop):
    async def main():
        async with Stream() as (reader, writer, peer):
            writer.write(b"x")
            writer.close()
            await writer.wait_closed()
            with pytest.raises(ConnectionResetError):
                await writer.drain()

    run(loop, main)


def test_several_drains_at_once(loop):
    async def main():
        async with Stream() as (reader, writer, peer):
            writer.write(b"x" * 10_000_000)
            drains = [loop.create_task(writer.drain()) for _ in range(5)]
            await asyncio.sleep(0.01)
            assert not any(d.done() for d in drains)

            def consume():
                got = 0
                while got < 10_000_000:
                    got += len(peer.recv(1 << 20))

            await loop.run_in_executor(None, consume)
            await asyncio.gather(*drains)

    run(loop, main)


# -- servers ----------------------------------------------------------------------------------


async def serve(handler, **kwargs):
    server = await asyncio.start_server(handler, support.LOCALHOST, 0, **kwargs)
    return server, server.sockets[0].getsockname()[1]


def test_echo_server(loop):
    async def main():
        async def handle(reader, writer):
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        server, port = await serve(handle)

        async def client(n):
            reader, writer = await asyncio.open_connection(support.LOCALHOST, port)
            for m in range(20):
                writer.write(b"line %d of %d\n" % (m, n))
                await writer.drain()
                assert await reader.readline() == b"LINE %d OF %d\n" % (m, n)
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

        await asyncio.gather(*(client(n) for n in range(30)))
        server.close()
        await server.wait_closed()
        await support.settle(20)

    run(loop, main)


def test_large_both_ways(loop):
    data = os.urandom(1 << 20) * 10

    async def main():
        async def handle(reader, writer):
            while chunk := await reader.read(100_000):
                writer.write(chunk)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        server, port = await serve(handle)
        reader, writer = await asyncio.open_connection(support.LOCALHOST, port)

        async def send():
            for at in range(0, len(data), 70_000):
                writer.write(data[at : at + 70_000])
                await writer.drain()
            writer.write_eof()

        sending = loop.create_task(send())
        assert await reader.read() == data
        await sending
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(loop, main)


def test_callback_that_is_not_a_coroutine(loop):
    async def main():
        made = []
        server, port = await serve(lambda r, w: made.append((r, w)))
        reader, writer = await asyncio.open_connection(support.LOCALHOST, port)
        writer.write(b"hi\n")
        await support.until(lambda: made)
        r, w = made[0]
        assert await r.readline() == b"hi\n"
        w.write(b"ho\n")
        assert await reader.readline() == b"ho\n"
        w.close()
        writer.close()
        await w.wait_closed()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(loop, main)


def test_client_connected_cb_raises(loop, contexts):
    async def main():
        async def handle(reader, writer):
            held.append(writer.transport)
            raise ZeroDivisionError("in the handler")

        held = []
        server, port = await serve(handle)
        reader, writer = await asyncio.open_connection(support.LOCALHOST, port)
        if sys.version_info >= (3, 12):
            assert await reader.read() == b""
        else:  # the connection stays open; only its task is gone
            await support.until(lambda: held)
            held[0].abort()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        await support.settle()

    run(loop, main)
    support.collect()
    loop.run_until_complete(support.settle())
    support.collect()
    assert [str(c["exception"]) for c in contexts if "exception" in c] == ["in the handler"]
    contexts.clear()


def test_plain_client_connected_cb_raises(loop, contexts):
    async def main():
        def handle(reader, writer):
            held.append(writer)
            raise ZeroDivisionError("in the handler")

        held = []
        server, port = await serve(handle)
        reader, writer = await asyncio.open_connection(support.LOCALHOST, port)
        await support.until(lambda: contexts)
        assert str(contexts[0]["exception"]) == "in the handler"
        contexts.clear()
        for w in held:
            w.transport.abort()
        writer.transport.abort()
        await support.settle()
        server.close()
        await server.wait_closed()

    run(loop, main)


def test_server_dropped_clients(loop):
    """Handlers that never finish are cancelled with the loop; nothing is left."""

    async def main():
        async def handle(reader, writer):
            try:
                await reader.read()
            finally:
                writer.transport.abort()

        server, port = await serve(handle)
        peers = [await asyncio.open_connection(support.LOCALHOST, port) for _ in range(5)]
        await asyncio.sleep(0.01)
        for _, writer in peers:
            writer.transport.abort()
        await asyncio.sleep(0.01)
        server.close()
        await server.wait_closed()

    run(loop, main)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="StreamWriter.start_tls came in 3.11")
def test_writer_has_start_tls(loop):
    async def main():
        async with Stream() as (_, writer, _peer):
            assert callable(writer.start_tls)

    run(loop, main)


def test_subclassed_reader(loop):
    """Not the stock class: its own feed_data is called."""

    class Reader(asyncio.StreamReader):
        def feed_data(self, data):
            fed.append(data)
            super().feed_data(data.upper())

    fed = []

    async def main():
        reader = Reader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        a, b = support.tcp_pair()
        transport, _ = await loop.create_connection(lambda: protocol, sock=a)
        b.sendall(b"quiet\n")
        assert await reader.readline() == b"QUIET\n"
        assert fed == [b"quiet\n"]
        transport.close()
        await support.settle()
        b.close()

    run(loop, main)


def test_subclassed_protocol(loop):
    class Protocol(asyncio.StreamReaderProtocol):
        def data_received(self, data):
            seen.append(data)
            super().data_received(data)

        def eof_received(self):
            seen.append("eof")
            return super().eof_received()

        def connection_lost(self, exc):
            seen.append("lost")
            super().connection_lost(exc)

    seen = []

    async def main():
        reader = asyncio.StreamReader(loop=loop)
        a, b = support.tcp_pair()
        transport, _ = await loop.create_connection(lambda: Protocol(reader, loop=loop), sock=a)
        b.sendall(b"x")
        b.close()
        assert await reader.read() == b"x"
        transport.close()
        await support.settle()
        assert seen == [b"x", "eof", "lost"]

    run(loop, main)


def test_patched_reader_instance(loop):
    """feed_data replaced on an instance, as test tools do."""

    async def main():
        async with Stream() as (reader, writer, peer):
            seen = []
            real = reader.feed_data
            reader.feed_data = lambda data: (seen.append(data), real(data))
            peer.sendall(b"x")
            assert await reader.read(1) == b"x"
            assert seen == [b"x"]

    run(loop, main)


def test_half_close_by_the_peer(loop):
    async def main():
        async with Stream() as (reader, writer, peer):
            peer.sendall(b"request")
            peer.shutdown(socket.SHUT_WR)
            assert await reader.read() == b"request"
            writer.write(b"response")
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            assert support.read_all(peer) == b"response"

    run(loop, main)


def test_open_connection_refused(loop):
    async def main():
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(support.LOCALHOST, support.free_port())

    run(loop, main)
