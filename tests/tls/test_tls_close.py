"""How a TLS connection ends: close(), abort(), close_notify, the end of TCP, and time limits.

Rows 50 to 52 of the table of faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import ssl
import sys
import threading
import time

import pytest
import support
from support import Recorder, settle, until
from tls_support import Buffered, blocking, connected, pair, run

MB = 1 << 20


def test_close_says_so(loop, certs, role, version):
    """close() sends close_notify, waits for the peer's, and closes TCP."""

    async def main():
        async with connected(certs, role, version=version) as (transport, protocol, peer):
            assert transport.is_closing() is False
            transport.write(b"last words")
            transport.close()
            assert transport.is_closing() is True
            transport.close()  # again is fine
            assert await blocking(peer.recv) == b"last words"
            assert await blocking(peer.recv) == b""
            assert not peer.eof
            await settle()
            assert not protocol.closed.done()
            await blocking(peer.sock.sendall, peer.close_notify())
            await protocol.gone()
            assert protocol.lost is None
            assert await blocking(peer.read_raw_until_eof) == 0
            assert protocol.count("connection_lost") == 1
            assert transport.is_closing() is True

    run(loop, main)


def test_aborted_by_another_thread_as_the_end_comes(loop, certs, role):
    """The loop has left its poll, and waits for the GIL that abort() has."""
    libc = ctypes.PyDLL(None)  # its calls keep the GIL

    def act(transport, peer):
        assert libc.shutdown(peer.sock.fileno(), socket.SHUT_WR) == 0
        libc.usleep(20_000)
        transport.abort()

    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            thread = threading.Timer(0.05, act, (transport, peer))  # by then the loop sleeps
            thread.start()
            await asyncio.sleep(0.3)  # asyncio may sleep on otherwise
            await protocol.gone()
            thread.join()
            assert protocol.lost is None
            assert protocol.count("connection_lost") == 1
            assert protocol.count("eof_received") == 0

    interval = sys.getswitchinterval()
    sys.setswitchinterval(10)
    try:
        run(loop, main)
    finally:
        sys.setswitchinterval(interval)


def test_close_is_not_at_once(loop, certs, role):
    """connection_lost is not called from within close()."""

    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            peer.sock.sendall(peer.close_notify())
            transport.close()
            assert "connection_lost" not in protocol.events
            await protocol.gone()
            assert protocol.lost is None

    run(loop, main)


def test_close_flushes(loop, certs, role, version):
    """What was written before close() arrives, however much it is."""
    data = bytes(range(256)) * 4096 * 8

    async def main():
        async with connected(certs, role, version=version) as (transport, protocol, peer):
            for at in range(0, len(data), MB):
                transport.write(data[at : at + MB])
            transport.close()
            assert await blocking(peer.recv_exactly, len(data)) == data
            assert await blocking(peer.recv) == b""
            await blocking(peer.sock.sendall, peer.close_notify())
            await protocol.gone()
            assert protocol.lost is None

    run(loop, main)


def test_peer_closes(loop, certs, role, version):
    """The peer's close_notify: eof_received, ours is sent in turn, connection_lost(None)."""

    async def main():
        async with connected(certs, role, version=version) as (transport, protocol, peer):
            await blocking(peer.sock.sendall, peer.seal(b"bye") + peer.close_notify())
            await protocol.gone()
            assert protocol.data == b"bye"
            assert protocol.lost is None
            assert protocol.events == [
                "connection_made",
                "data_received",
                "eof_received",
                "connection_lost",
            ]
            assert transport.is_closing() is True
            await blocking(peer.do, peer.tls.unwrap)  # raises if there is no close_notify
            assert await blocking(peer.read_raw_until_eof) == 0

    run(loop, main)


def test_eof_received_cannot_keep_it_open(loop, certs, role, expect_log):
    """TLS has no half-open connection here; asyncio says so in the log."""

    async def main():
        make = lambda: Recorder(eof_received=lambda p: True)  # noqa: E731
        async with connected(certs, role, make) as (_, protocol, peer):
            await blocking(peer.sock.sendall, peer.close_notify())
            await protocol.gone()
            assert protocol.lost is None

    expect_log("returning true from eof_received.. has no effect when using ssl")
    run(loop, main)


def test_write_in_eof_received(loop, certs, role):
    """An answer to the peer's close_notify: the peer's write side is closed, its read side not."""

    async def main():
        make = lambda: Recorder(eof_received=lambda p: p.transport.write(b"answer"))  # noqa: E731
        async with connected(certs, role, make) as (_, protocol, peer):
            await blocking(peer.sock.sendall, peer.close_notify())
            await protocol.gone()
            assert protocol.lost is None

    run(loop, main)


@pytest.mark.parametrize("buffered", [False, True])
def test_fault_50_end_of_tcp_without_close_notify(loop, certs, role, version, buffered):
    """A truncated connection: what came is delivered, then eof_received and connection_lost(None),
    as on asyncio. A protocol that must tell the difference checks its own framing."""

    async def main():
        make = (lambda: Buffered(100_000)) if buffered else Recorder
        async with connected(certs, role, make, version=version) as (_, protocol, peer):
            await blocking(peer.sock.sendall, peer.seal(b"a" * 50_000))
            peer.sock.shutdown(socket.SHUT_WR)
            await protocol.gone()
            assert protocol.data == b"a" * 50_000
            told = [event for event in protocol.events if event != "get_buffer"]
            assert told[-2:] == ["eof_received", "connection_lost"]
            assert protocol.lost is None

    run(loop, main)


def test_fault_50_end_of_tcp_within_a_record(loop, certs, role, version):
    async def main():
        async with connected(certs, role, version=version) as (_, protocol, peer):
            whole, half = peer.seal(b"whole"), peer.seal(b"half")
            await blocking(peer.sock.sendall, whole + half[:-3])
            peer.sock.shutdown(socket.SHUT_WR)
            await protocol.gone()
            assert protocol.data == b"whole"
            assert protocol.events[-2:] == ["eof_received", "connection_lost"]

    run(loop, main)


def test_fault_50_end_of_tcp_while_paused(loop, certs, role):
    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            transport.pause_reading()
            await blocking(peer.sock.sendall, peer.seal(b"a" * 50_000))
            peer.sock.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0.03)
            assert protocol.data == b""
            transport.resume_reading()
            await protocol.gone()
            assert protocol.data == b"a" * 50_000

    run(loop, main)


def test_reset(loop, certs, role, version):
    async def main():
        async with connected(certs, role, version=version) as (_, protocol, peer):
            support.reset(peer.sock)
            await protocol.gone()
            assert isinstance(protocol.lost, ConnectionResetError)
            assert protocol.events == ["connection_made", "connection_lost"]

    run(loop, main)


def test_reset_in_the_middle_of_a_write(loop, certs, role, contexts):
    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            for _ in range(40):
                transport.write(b"x" * 200_000)
            support.reset(peer.sock)
            transport.write(b"x" * 200_000)
            await protocol.gone()
            assert isinstance(protocol.lost, (ConnectionResetError, BrokenPipeError))
            transport.write(b"x")
            assert protocol.count("connection_lost") == 1
        assert not contexts

    run(loop, main)


def test_fault_04_write_after_the_end(loop, certs, role, expect_log):
    """Ignored; a warning after five of them, every further one included."""

    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            support.reset(peer.sock)
            await protocol.gone()
            for _ in range(3):
                transport.write(b"x")
                transport.writelines([b"x"])
            transport.close()
            transport.abort()
            assert transport.is_closing() is True

    expect_log.allow("SSL connection is closed|socket.send")
    run(loop, main)


def test_write_after_close(loop, certs, role, expect_log):
    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            transport.write(b"before")
            transport.close()
            transport.write(b"after")
            transport.writelines([b"after"])
            assert await blocking(peer.recv) == b"before"
            assert await blocking(peer.recv) == b""
            await blocking(peer.sock.sendall, peer.close_notify())
            await protocol.gone()
            transport.write(b"later")
            assert protocol.lost is None

    run(loop, main)


def test_abort(loop, certs, role):
    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            for _ in range(40):
                transport.write(b"x" * 200_000)
            transport.abort()
            assert transport.is_closing() is True
            assert protocol.count("connection_lost") == 0
            await protocol.gone()
            assert protocol.lost is None
            assert protocol.count("connection_lost") == 1
            transport.abort()
            transport.close()
            received = await blocking(peer.read_raw_until_eof)
            assert received < 7 * MB
            await settle()
            assert protocol.count("connection_lost") == 1

    run(loop, main)


def test_abort_after_close(loop, certs, role):
    async def main():
        async with connected(certs, role) as (transport, protocol, _):
            transport.close()
            await settle()
            transport.abort()
            await protocol.gone()
            assert protocol.count("connection_lost") == 1
            assert protocol.lost is None

    run(loop, main)


@pytest.mark.parametrize("how", ["close", "abort"])
def test_fault_13_ended_in_data_received(loop, certs, role, how):
    """No further data_received, even if more records are here already."""

    def stop(protocol):
        getattr(protocol.transport, how)()

    async def main():
        make = lambda: Recorder(data_received=stop)  # noqa: E731
        async with connected(certs, role, make) as (transport, protocol, peer):
            await blocking(peer.sock.sendall, peer.seal(b"first"))
            await protocol.received(5)
            try:
                await blocking(peer.sock.sendall, peer.seal(b"second") + peer.close_notify())
            except ConnectionError:
                pass
            await protocol.gone()
            assert protocol.data == b"first"
            assert protocol.count("connection_lost") == 1

    run(loop, main)


@pytest.mark.parametrize(
    "role, how",
    [("client", "close"), ("server", "close"), ("server", "abort")],  # an aborted client's peer
    # may not have got its last handshake message
)
def test_ended_in_connection_made(loop, certs, role, how):
    def stop(protocol):
        getattr(protocol.transport, how)()

    async def main():
        make = lambda: Recorder(connection_made=stop)  # noqa: E731
        async with connected(certs, role, make, finish=False) as (_, protocol, peer):
            if how == "close":
                assert await blocking(peer.recv) == b""
                await blocking(peer.sock.sendall, peer.close_notify())
            else:
                await blocking(peer.read_raw_until_eof)
            await protocol.gone()
            assert protocol.events[0] == "connection_made"
            assert protocol.events[-1] == "connection_lost"
            assert protocol.lost is None

    run(loop, main)


@pytest.mark.parametrize("how", ["close", "abort"])
def test_ended_in_pause_writing(loop, certs, role, how):
    def stop(protocol):
        getattr(protocol.transport, how)()

    async def main():
        make = lambda: Recorder(pause_writing=stop)  # noqa: E731
        async with connected(certs, role, make) as (transport, protocol, peer):
            for _ in range(100):
                transport.write(b"x" * 200_000)
                if transport.is_closing():
                    break
            assert transport.is_closing()

            def rest():
                try:
                    peer.recv_all()
                    peer.sock.sendall(peer.close_notify())
                except (ssl.SSLError, OSError):
                    pass

            await blocking(rest)
            peer.close()
            await protocol.gone()
            assert protocol.count("connection_lost") == 1

    run(loop, main)


# -- a peer that does not end it --------------------------------------------------------------


def test_fault_51_no_answer_to_close_notify(loop, certs, role):
    """ssl_shutdown_timeout, then TimeoutError."""

    async def main():
        async with connected(certs, role, ssl_shutdown_timeout=0.2) as (tr, protocol, peer):
            start = time.monotonic()
            tr.close()
            assert await blocking(peer.recv) == b""
            await protocol.gone()
            assert 0.15 < time.monotonic() - start < 5 * support.SLOW
            assert isinstance(protocol.lost, TimeoutError | asyncio.TimeoutError)
            assert str(protocol.lost) == "SSL shutdown timed out"
            await blocking(peer.read_raw_until_eof)

    run(loop, main)


def test_fault_51_peer_does_not_read(loop, certs, role):
    """close() with data queued that the peer never takes: the same time limit."""

    async def main():
        async with connected(certs, role, ssl_shutdown_timeout=0.2) as (tr, protocol, peer):
            for _ in range(60):
                tr.write(b"x" * 200_000)
            tr.close()
            await protocol.gone()
            assert isinstance(protocol.lost, TimeoutError | asyncio.TimeoutError)

    run(loop, main)


def test_fault_51_peer_goes_on_sending(loop, certs, role, version):
    """close() does not go on downloading (uvloop #471): the connection is gone long before the
    peer has sent all it wanted to."""

    async def main():
        async with connected(certs, role, version=version) as (transport, protocol, peer):
            records = peer.seal(b"x" * (16 * MB))
            sent = 0

            def flood():
                nonlocal sent
                try:
                    for _ in range(8):
                        for at in range(0, len(records), 1 << 18):
                            peer.sock.sendall(memoryview(records)[at : at + (1 << 18)])
                            sent += 1 << 18
                except OSError:
                    pass

            flooding = asyncio.ensure_future(blocking(flood))
            await until(lambda: len(protocol.data) > MB)
            transport.close()
            received = len(protocol.data)
            start = time.monotonic()
            await protocol.gone()
            await flooding
            assert time.monotonic() - start < 5 * support.SLOW
            assert len(protocol.data) == received  # nothing is delivered after close()
            assert sent < 100 * MB

    run(loop, main)


def test_error_while_closing_in_debug_mode(loop, certs, role, version):
    """The timer of the shutdown is cancelled with the error in hand, and debug mode keeps its
    repr."""
    loop.set_debug(True)

    async def main():
        async with connected(certs, role, version=version) as (transport, protocol, peer):
            records = peer.seal(b"x" * MB)
            transport.close()
            with contextlib.suppress(OSError):
                await blocking(peer.sock.sendall, records)
            await protocol.gone()
            assert protocol.events == ["connection_made", "connection_lost"]

    run(loop, main)


def test_fault_51_close_while_paused(loop, certs, role, version):
    """close() on a paused transport with data waiting does not hang, nor deliver them."""

    async def main():
        async with connected(certs, role, version=version) as (transport, protocol, peer):
            transport.pause_reading()
            await blocking(peer.sock.sendall, peer.seal(b"x" * 100_000))
            await asyncio.sleep(0.02)
            transport.close()
            await blocking(peer.sock.sendall, peer.close_notify())
            await protocol.gone()
            assert protocol.data == b""

    run(loop, main)


def test_both_close_at_once(loop, certs):
    async def main():
        for _ in range(10):
            async with pair(certs) as (client, server):
                client.transport.close()
                server.transport.close()
                await client.gone()
                await server.gone()
                assert client.lost is None and server.lost is None

    run(loop, main)


def test_one_closes_the_other_writes(loop, certs):
    """Data under way when close() comes: the end may be an error of TLS, and is the end."""

    async def main():
        for _ in range(10):
            async with pair(certs) as (client, server):
                server.transport.write(b"x" * 100_000)
                client.transport.close()
                await client.gone()
                await server.gone()
                assert client.count("connection_lost") == server.count("connection_lost") == 1

    run(loop, main)


# -- odd records ------------------------------------------------------------------------------


def test_fault_52_data_after_close_notify(loop, certs, role, version, contexts):
    """What comes behind close_notify is not delivered."""

    async def main():
        async with connected(certs, role, version=version) as (_, protocol, peer):
            stray = peer.seal(b"stray")
            await blocking(peer.sock.sendall, peer.seal(b"data") + peer.close_notify() + stray)
            await protocol.gone()
            assert b"stray" not in protocol.data
            assert protocol.count("connection_lost") == 1
        assert not contexts

    run(loop, main)


@pytest.mark.parametrize(
    "garbage", [b"\x17\x03\x03\x00\x20" + b"g" * 32, b"GET / HTTP/1.1\r\n\r\n"]
)
def test_garbage(loop, certs, role, version, contexts, garbage):
    """Bytes that are no record of this connection end it with an SSLError."""

    async def main():
        async with connected(certs, role, version=version) as (_, protocol, peer):
            await blocking(peer.sock.sendall, peer.seal(b"good") + garbage)
            await protocol.gone()
            assert isinstance(protocol.lost, ssl.SSLError)
            assert protocol.lost.library == "SSL"
            assert protocol.events[-1] == "connection_lost"
        assert not contexts

    run(loop, main)


def test_a_changed_byte(loop, certs, role, version):
    async def main():
        async with connected(certs, role, version=version) as (_, protocol, peer):
            record = bytearray(peer.seal(b"hello"))
            record[-1] ^= 1
            await blocking(peer.sock.sendall, record)
            await protocol.gone()
            assert isinstance(protocol.lost, ssl.SSLError)
            assert "MAC" in protocol.lost.reason
            assert protocol.data == b""

    run(loop, main)


# -- what remains after the end ---------------------------------------------------------------


def test_attributes_after_the_end(loop, certs, role):
    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            context = transport.get_extra_info("sslcontext")
            await blocking(peer.sock.sendall, peer.close_notify())
            await protocol.gone()
            assert transport.is_closing() is True
            assert transport.get_extra_info("sslcontext") is context
            assert transport.get_extra_info("ssl_object").version().startswith("TLSv1")
            assert transport.get_extra_info("cipher")
            assert transport.get_extra_info("nothing", 1) == 1
            assert transport.get_write_buffer_size() == 0
            assert transport.can_write_eof() is False
            assert repr(transport)
            transport.pause_reading()
            transport.resume_reading()
            transport.set_write_buffer_limits(high=10)
            await settle()

    run(loop, main)


def test_descriptor_is_closed_when_connection_lost_has_run(loop, certs, role):
    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            fd = transport.get_extra_info("socket").fileno()
            assert fd in support.open_fds()
            await blocking(peer.sock.sendall, peer.close_notify())
            await protocol.gone()
            await settle()
            assert fd not in support.open_fds()

    run(loop, main)
