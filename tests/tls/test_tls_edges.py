"""Corners of the TLS transport: what a callback may do, what comes while nobody listens, what a
collected or closed transport still answers."""

from __future__ import annotations

import asyncio
import os
import socket
import time

import pytest
import support
from support import Recorder, until
from tls_support import Buffered, Peer, begin, blocking, connected, end, run, sockets


@pytest.mark.parametrize("close_notify", [True, False])
@pytest.mark.parametrize("make", [Recorder, Buffered])
def test_eof_right_after_resume_reading(loop, loop_name, certs, role, make, close_notify):
    """The end of the connection is seen by the poll that follows resume_reading(), before what was
    held is delivered: nothing is lost."""
    support.oracle_lacks(loop_name, make is not Recorder, "loses data")
    data = os.urandom(50_000)

    async def main():
        async with connected(certs, role, make) as (transport, protocol, peer):
            transport.pause_reading()
            records = peer.seal(data)
            await blocking(peer.sock.sendall, records)
            await asyncio.sleep(0.05)  # held by now
            if close_notify:
                await blocking(peer.sock.sendall, peer.close_notify())
            peer.sock.shutdown(socket.SHUT_WR)
            time.sleep(0.02)
            transport.resume_reading()
            await protocol.gone()
            assert len(protocol.data) == len(data)
            assert protocol.data == data
            assert protocol.count("eof_received") == 1

    run(loop, main)


@pytest.mark.parametrize("make", [Recorder, lambda: Buffered(1000)])
def test_pause_in_data_received_at_the_end(loop, loop_name, certs, role, make):
    """Held data are delivered after the end of TCP, and the protocol pauses with every piece."""
    support.oracle_lacks(loop_name, make is not Recorder, "loses data")
    data = os.urandom(100_000)

    async def main():
        async with connected(certs, role, make) as (transport, protocol, peer):

            def pause(_):
                transport.pause_reading()
                loop.call_later(0.0005, transport.resume_reading)

            protocol.on = {"data_received": pause, "buffer_updated": pause}
            transport.pause_reading()
            await blocking(peer.sock.sendall, peer.seal(data))
            peer.sock.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0.05)
            transport.resume_reading()
            await protocol.gone()
            assert protocol.data == data

    run(loop, main)


@pytest.mark.parametrize("high", [0, 1, 10_000, 100_000])
def test_low_write_limits_resume(loop, loop_name, certs, role, high):
    """What pauses the program's writing resumes it, also below the limits of the socket."""
    support.oracle_lacks(loop_name, high == 0, "pauses for ever")

    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            transport.set_write_buffer_limits(high=high)
            sent = 0
            while not protocol.count("pause_writing"):
                transport.write(bytes(1000))
                sent += 1000
            got = await blocking(peer.recv_exactly, sent)
            assert len(got) == sent
            await until(lambda: protocol.count("resume_writing") == 1)

    run(loop, main)


def test_start_tls_over_a_transport_with_high_limits(loop, loop_name, certs, role):
    support.oracle_lacks(loop_name, True, "never pauses")
    client, server = certs.contexts()

    async def main():
        async with sockets() as (a, b):
            transport, protocol = await loop.create_connection(Recorder, sock=a)
            transport.set_write_buffer_limits(high=1 << 26)
            ours, theirs = (client, server) if role == "client" else (server, client)
            name = "localhost"
            peer = Peer(
                b,
                theirs,
                server_side=role == "client",
                server_hostname=None if role == "client" else name,
            )
            new, _ = await asyncio.gather(
                loop.start_tls(
                    transport,
                    protocol,
                    ours,
                    server_side=role == "server",
                    server_hostname=name if role == "client" else None,
                ),
                blocking(peer.handshake),
            )
            sent = 0
            while not protocol.count("pause_writing"):
                new.write(bytes(100_000))
                sent += 100_000
                assert sent < 1 << 25
            await blocking(peer.recv_exactly, sent)
            await until(lambda: protocol.count("resume_writing") == 1)
            await end(new, protocol)

    run(loop, main)


@pytest.mark.parametrize("size", [10, 1 << 20])
def test_close_with_unread_data(loop, loop_name, certs, role, size):
    """Reading is paused, data are held, the program closes: the peer's close_notify is found behind
    data that nobody reads."""
    support.oracle_lacks(loop_name, True, "waits 30 seconds")

    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            transport.pause_reading()
            await blocking(peer.sock.sendall, peer.seal(bytes(size)))
            await asyncio.sleep(0.02)
            transport.close()
            await blocking(peer.sock.sendall, peer.close_notify())
            await asyncio.wait_for(protocol.gone(), 5)
            assert not protocol.data and protocol.lost is None

    run(loop, main)


@pytest.mark.parametrize("close_notify", [True, False])
def test_close_while_paused_after_the_end(loop, loop_name, certs, role, close_notify):
    """The peer has gone, what it sent is held, the program closes without reading it."""
    support.oracle_lacks(loop_name, True, "never closes")

    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            transport.pause_reading()
            await blocking(peer.send, bytes(1000))
            if close_notify:
                await blocking(peer.sock.sendall, peer.close_notify())
            peer.sock.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0.05)
            transport.close()
            await protocol.gone()
            assert not protocol.data

    run(loop, main)


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_close_after_the_loop_is_closed(loop_factory, loop_name, certs, clean):
    """As without TLS: nothing to be done, nothing to complain of."""
    support.oracle_lacks(loop_name, True, "RuntimeError: Event loop is closed")
    loop = loop_factory()
    kept = []

    async def main():
        a, b = support.tcp_pair()
        client, server = certs.contexts()
        peer = Peer(b, server, server_side=True)
        (transport, protocol), _ = await asyncio.gather(
            begin("client", a, client), blocking(peer.handshake)
        )
        kept.extend([transport, protocol, peer])

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    transport, _, peer = kept
    transport.write(b"x")
    transport.pause_reading()
    transport.close()
    transport.close()
    transport.abort()
    assert transport.is_closing()
    peer.close()


def test_extra_info_after_an_error(loop, certs, role):
    """A broken record ends the session, and asking for the certificate then does not raise."""

    async def main():
        async with connected(certs, role) as (transport, protocol, peer):
            await blocking(peer.sock.sendall, b"\x17\x03\x03\x00\x20" + bytes(32))
            await protocol.gone()
            assert protocol.lost is not None
            for name in ("peercert", "cipher", "compression"):
                transport.get_extra_info(name)

    run(loop, main)


def test_patched_context_class(loop_name):
    """Somebody has put a class of his own in place of ssl.SSLContext (truststore, gevent)."""
    support.oracle_lacks(loop_name, True, "has no engine")
    if os.environ["UVOLT_TLS"] != "direct":
        return
    support.script(
        loop_name,
        """
        import ssl, uvolt._core as core
        class Context(ssl.SSLContext):
            def __new__(cls, protocol=None):
                return super().__new__(cls, protocol)
            def __init__(self, protocol=None):
                self._ctx = stock(protocol)
            def wrap_bio(self, *args, **kwargs):
                return self._ctx.wrap_bio(*args, **kwargs)
        stock = ssl.SSLContext
        ssl.SSLContext = Context
        loop = new_loop()
        context = stock(ssl.PROTOCOL_TLS_CLIENT)
        t = core.make_tls(loop, asyncio.Protocol(), context, None, False, "a", 60, 30, True, None)
        assert t._engine == "direct"
        t.abort()
        loop.close()
        """,
    )


def test_the_bio_that_all_share_is_let_go(loop_name):
    """OpenSSL counts the references to a BIO with an int: one left behind by each connection would
    free it under the others after 2**31 of them."""
    support.oracle_lacks(loop_name, True, "has no engine")
    if os.environ["UVOLT_TLS"] != "direct":
        return
    support.script(
        loop_name,
        """
        import ctypes, ssl, struct, uvolt._core as core, uvolt._tls as tls
        shared = []
        def specimen(made=tls.specimen()):
            shared.extend(made[3:])
            return made
        tls.specimen = specimen
        def bios():  # {PyObject_HEAD, BIO *}; all of a BIO but its last member, whatever they are
            where = [ctypes.c_void_p.from_address(id(bio) + 16).value for bio in shared]
            return [struct.unpack("24i", ctypes.string_at(bio, 96)) for bio in where]
        loop = new_loop()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        def make(count):
            for _ in range(count):
                t = core.make_tls(
                    loop, asyncio.Protocol(), context, None, False, "a", 60, 30, True, None
                )
                assert t._engine == "direct"
                t.abort()
        make(10)
        before = bios()
        make(100)
        assert len(before) == 2 and bios() == before
        loop.close()
        """,
    )
