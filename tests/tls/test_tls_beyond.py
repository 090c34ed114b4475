"""Where asyncio's TLS loses data, leaks or hangs, and uvolt's does not: no oracle here."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest
import support
from support import LOCALHOST, BufferedRecorder, Recorder, settle, until
from tls_support import Buffered, Peer, Refuser, blocking, connected, end, only, run, sockets


@pytest.fixture(autouse=True)
def no_oracle(loop_name):
    support.oracle_lacks(loop_name, True, "does this wrongly")


@pytest.mark.parametrize("size", [1, 100, 4096, 100_000])
def test_buffer_that_is_no_memoryview(loop, certs, role, size):
    """get_buffer() may return a bytearray; asyncio fills slices of it, which are copies."""
    data = bytes(range(256)) * 200

    async def main():
        async with connected(certs, role, lambda: BufferedRecorder(size)) as (_, protocol, peer):
            await blocking(peer.send, data)
            await until(lambda: len(protocol.data) >= len(data))
            assert protocol.data == data

    run(loop, main)


@pytest.mark.parametrize("close_notify", [True, False])
@pytest.mark.parametrize("size", [1, 100, 4096])
def test_fault_50_small_buffers_get_all_of_it(loop, certs, role, size, close_notify):
    """The end of the connection comes with data that do not fit the protocol's buffer at once."""
    data = bytes(range(256)) * 150

    async def main():
        async with connected(certs, role, lambda: Buffered(size)) as (_, protocol, peer):
            records = peer.seal(data)
            if close_notify:
                records += peer.close_notify()
            await blocking(peer.sock.sendall, records)
            peer.sock.shutdown(socket.SHUT_WR)
            await protocol.gone()
            assert protocol.data == data
            assert protocol.lost is None

    run(loop, main)


def test_fault_17_empty_buffer(loop, certs, role, contexts):
    """get_buffer() that returns an empty buffer: RuntimeError, as without TLS."""
    armed = []

    def nothing(protocol):
        return bytearray() if armed else None

    async def main():
        make = lambda: BufferedRecorder(get_buffer=nothing)  # noqa: E731
        async with connected(certs, role, make) as (_, protocol, peer):
            armed.append(True)
            await blocking(peer.send, b"x")
            await protocol.gone()
            assert isinstance(protocol.lost, RuntimeError)
            assert "get_buffer() returned an empty buffer" in str(protocol.lost)
        assert len(contexts) == 1

    run(loop, main)


class Within(Peer):
    """A peer whose records travel in another one's connection."""

    def __init__(self, outer, context):
        super().__init__(outer.sock, context, server_side=True)
        self.outer = outer

    def flush(self):
        if records := self.pull():
            self.outer.send(records)

    def feed(self):
        self.incoming.write(self.outer.recv())


@pytest.mark.parametrize("end_of", ["both", "inner", "outer", "tcp"])
def test_tls_in_tls_ends_while_the_inner_is_paused(loop, certs, end_of):
    """The outer layer waits with its end until the program has what the inner one holds."""
    client, server = certs.contexts()
    data = b"x" * 100_000

    async def main():
        async with connected(certs, "client") as (transport, protocol, outer):
            inner = Within(outer, server)
            new, _ = await asyncio.gather(
                loop.start_tls(transport, protocol, client, server_hostname="localhost"),
                blocking(inner.handshake),
            )
            await blocking(inner.send, b"begin")
            await protocol.received(5)
            new.pause_reading()

            def finish():
                inner.send(data)
                if end_of in ("both", "inner"):
                    outer.send(inner.close_notify())
                if end_of in ("both", "outer"):
                    outer.sock.sendall(outer.close_notify())
                outer.sock.shutdown(socket.SHUT_WR)

            await blocking(finish)
            await until(lambda: new.get_read_buffer_size() > len(data))
            await asyncio.sleep(0.05)
            assert protocol.data == b"begin" and not protocol.closed.done()
            assert not new.is_closing()
            new.resume_reading()
            await protocol.gone()
            assert protocol.data == b"begin" + data
            assert protocol.lost is None and protocol.count("eof_received") == 1
            assert transport.is_closing()

    run(loop, main)


@pytest.mark.parametrize("how", ["close", "abort"])
def test_tls_in_tls_is_closed_with_the_inner_paused(loop, certs, how):
    """At the end of the peer, and not resumed before."""
    client, server = certs.contexts()

    async def main():
        async with connected(certs, "client") as (transport, protocol, outer):
            inner = Within(outer, server)
            new, _ = await asyncio.gather(
                loop.start_tls(transport, protocol, client, server_hostname="localhost"),
                blocking(inner.handshake),
            )
            await blocking(inner.send, b"begin")
            await protocol.received(5)
            new.pause_reading()
            await blocking(inner.send, b"dropped")
            await blocking(outer.sock.sendall, outer.close_notify())
            await until(lambda: new.get_read_buffer_size() > 7)
            await asyncio.sleep(0.05)
            assert not protocol.closed.done()
            getattr(new, how)()
            await protocol.gone()
            assert protocol.data == b"begin" and protocol.lost is None
            assert transport.is_closing()

    run(loop, main)


def test_start_tls_while_writing_is_paused(loop, certs, role, contexts):
    """uvloop #564 (an AssertionError there, one in the log on asyncio)."""
    client, server = certs.contexts()
    data = b"plain" * 1_000_000

    async def main():
        async with sockets() as (a, b):
            transport, protocol = await loop.create_connection(Recorder, sock=a)
            transport.write(data)
            assert protocol.events == ["connection_made", "pause_writing"]
            if role == "client":
                peer = Peer(b, server, server_side=True)
            else:
                peer = Peer(b, client, server_side=False, server_hostname="localhost")

            def work():
                got = 0
                while got < len(data):
                    got += len(b.recv(min(1 << 16, len(data) - got)))
                peer.handshake()
                return got

            kwargs = {"server_hostname": "localhost"} if role == "client" else {}
            new, got = await asyncio.gather(
                loop.start_tls(
                    transport,
                    protocol,
                    client if role == "client" else server,
                    server_side=role == "server",
                    **kwargs,
                ),
                blocking(work),
            )
            assert got == len(data)
            await until(lambda: protocol.count("resume_writing") == 1)
            new.write(b"secret")
            assert await blocking(peer.recv) == b"secret"
            await end(new, protocol)
        assert not contexts

    run(loop, main)


@pytest.mark.parametrize(("role", "version"), [("server", "1.3"), ("client", "1.2")])
@pytest.mark.parametrize("more", [b"", b"bye"])
def test_data_with_the_end_of_the_handshake(loop, certs, role, version, more):
    """Whoever has called start_tls() knows the new transport before the first data arrive: else a
    protocol would answer in the clear. The last bytes and the end may come with them."""
    client, server = certs.contexts(version)
    context = client if role == "client" else server

    async def main():
        def answer(protocol):
            protocol.transport.write(b"HELLO")

        async with sockets() as (a, b):
            transport, protocol = await loop.create_connection(
                lambda: Recorder(data_received=answer), sock=a
            )
            if role == "client":
                peer = Peer(b, server, server_side=True)
            else:
                peer = Peer(b, client, server_side=False, server_hostname="localhost")

            def shake_hands_and_talk():
                while True:
                    try:
                        peer.tls.do_handshake()
                    except ssl.SSLWantReadError:
                        peer.flush()
                        peer.feed()
                    else:
                        break
                peer.tls.write(b"hello")
                b.sendall(peer.pull() + (more and peer.seal(more) + peer.close_notify()))
                if more:
                    b.shutdown(socket.SHUT_WR)
                    return b"HELLO"
                return peer.recv()

            kwargs = {"server_hostname": "localhost"} if role == "client" else {}

            async def upgrade():
                protocol.transport = await loop.start_tls(
                    transport, protocol, context, server_side=role == "server", **kwargs
                )
                assert protocol.data == b""

            _, answered = await asyncio.gather(upgrade(), blocking(shake_hands_and_talk))
            assert answered == b"HELLO"
            if more:
                await protocol.gone()
                assert protocol.lost is None
            assert protocol.data == b"hello" + more
            await end(protocol.transport, protocol)

    run(loop, main)


def test_fault_53_hello_in_the_stream_reader(loop, certs):
    """A line of plain text and the ClientHello come in one read, as behind a proxy that speaks the
    PROXY protocol: what the StreamReader has belongs to TLS (gh-142352, uvloop #707)."""
    client, server = certs.contexts()

    async def main():
        async with sockets() as (a, b):
            reader, writer = await asyncio.open_connection(sock=a)
            peer = Peer(b, client, server_side=False, server_hostname="localhost")
            with pytest.raises(ssl.SSLWantReadError):
                peer.tls.do_handshake()
            b.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + peer.pull())
            assert (await reader.readline()).startswith(b"PROXY")
            transport = writer.transport
            new, _ = await asyncio.gather(
                loop.start_tls(transport, transport.get_protocol(), server, server_side=True),
                blocking(peer.handshake),
            )
            await blocking(peer.send, b"hello\n")
            assert await reader.readline() == b"hello\n"
            new.abort()
            await settle()

    run(loop, main)


def test_start_tls_on_a_closed_transport(loop, certs, role):
    """An error at once, and nothing left behind."""
    client, server = certs.contexts()

    async def main():
        async with sockets() as (a, _):
            transport, protocol = await loop.create_connection(Recorder, sock=a)
            transport.close()
            await protocol.gone()
            with pytest.raises((RuntimeError, OSError, asyncio.TimeoutError)):
                await loop.start_tls(
                    transport,
                    protocol,
                    client if role == "client" else server,
                    server_side=role == "server",
                    ssl_handshake_timeout=0.2,
                )
            await settle()

    run(loop, main)


def test_factory_of_a_server_raises(loop, certs, contexts):
    """The accepted connection is closed, and the server goes on."""

    def serve():
        raise ZeroDivisionError("factory")

    async def main():
        loop.set_debug(True)
        server = await loop.create_server(serve, LOCALHOST, 0, ssl=certs.server())
        with socket.create_connection(server.sockets[0].getsockname()) as sock:
            sock.settimeout(10 * support.SLOW)
            assert await blocking(sock.recv, 1) == b""
        server.close()
        await server.wait_closed()

    run(loop, main)
    assert [type(context["exception"]) for context in contexts] == [ZeroDivisionError]


def test_good_records_before_a_bad_one_are_delivered(loop, certs, role, version):
    async def main():
        async with connected(certs, role, version=version) as (_, protocol, peer):
            await blocking(
                peer.sock.sendall, peer.seal(b"good") + b"\x17\x03\x03\0\x20" + b"g" * 32
            )
            await protocol.gone()
            assert isinstance(protocol.lost, ssl.SSLError)
            assert protocol.data == b"good"

    run(loop, main)


def test_close_with_data_held(loop, certs, role, version):
    """What has come by the time of close() is not delivered and no error, and the peer's
    close_notify is awaited."""

    async def main():
        async with connected(certs, role, version=version) as (transport, protocol, peer):
            transport.pause_reading()
            await blocking(peer.send, b"x" * 100_000)
            await asyncio.sleep(0.02)
            transport.close()
            assert await blocking(peer.recv) == b""
            await asyncio.sleep(0.02)
            assert protocol.lost is None and protocol.count("connection_lost") == 0
            await blocking(peer.sock.sendall, peer.close_notify())
            await protocol.gone()
            assert protocol.lost is None and protocol.data == b""
            assert await blocking(peer.read_raw_until_eof) == 0

    run(loop, main)


def test_close_while_the_peer_sends(loop, certs, role, version, contexts):
    """Data under way when close() comes are no error, and what was written before it arrives;
    asyncio hands connection_lost() an SSLError and drops what it has not sent (bpo-39951)."""
    data = bytes(range(256)) * 8000

    async def main():
        async with connected(certs, role, version=version) as (transport, protocol, peer):
            transport.write(data)
            late = peer.seal(b"late")
            transport.close()
            await blocking(peer.sock.sendall, late)
            assert await blocking(peer.recv_exactly, len(data)) == data
            assert await blocking(peer.recv) == b""
            await protocol.gone()
            assert protocol.lost is None and protocol.data == b""

    run(loop, main)
    assert not contexts


def test_a_refused_peer_is_told_why(loop, certs, version):
    """A certificate that does not verify: the server gets TLS's alert, not just the end."""

    async def main():
        server = certs.server("other.test")
        only(server, version)
        async with sockets() as (a, b):
            peer = Peer(b, server, server_side=True)

            def serve():
                with pytest.raises(ssl.SSLError) as info:
                    peer.handshake()
                    peer.recv()
                return info.value.reason

            task = asyncio.ensure_future(blocking(serve))
            with pytest.raises(ssl.SSLCertVerificationError):
                await loop.create_connection(
                    Refuser, sock=a, ssl=certs.client(), server_hostname="localhost"
                )
            assert "ALERT" in await task

    run(loop, main)


IDLE = """
import gc, ssl, trustme

ca = trustme.CA()
server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
ca.issue_cert("localhost").configure_cert(server_context)
client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ca.configure_trust(client_context)


class Protocol(asyncio.Protocol):
    def connection_made(self, transport):
        transport.write(b"x" * 20_000)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Protocol, "127.0.0.1", 0, ssl=server_context)
    port = server.sockets[0].getsockname()[1]
    kept = []

    async def more(count):
        for _ in range(count):
            transport, _ = await loop.create_connection(
                Protocol, "127.0.0.1", port, ssl=client_context, server_hostname="localhost"
            )
            kept.append(transport)
        await asyncio.sleep(0.1)
        gc.collect()
        return resident()

    print((-await more(50) + await more(300)) // 600)
    for transport in kept:
        transport.abort()
    server.close()
    await asyncio.sleep(0.1)


loop = new_loop()
loop.run_until_complete(main())
loop.close()
"""


def test_idle_connections_are_small(loop_name):
    """What an end of an idle connection takes, OpenSSL's part included: asyncio 340 KB, uvolt 22 KB
    in the direct way and 72 KB over MemoryBIO."""
    limit = 480_000 if support.SANITIZED else 120_000
    assert int(support.script(loop_name, IDLE, timeout=50)) < limit
