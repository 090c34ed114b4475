"""loop.start_tls(): a connection that turns to TLS, on either side, while anything goes on."""

from __future__ import annotations

import asyncio
import ssl
import time

import pytest
import support
from support import LOCALHOST, Recorder, settle, until
from tls_support import Buffered, Peer, blocking, end, run, sockets

MB = 1 << 20


async def plain(sock, make=Recorder):
    loop = asyncio.get_running_loop()
    return await loop.create_connection(make, sock=sock)


async def upgrade(role, transport, protocol, context, **kwargs):
    loop = asyncio.get_running_loop()
    if role == "client":
        kwargs.setdefault("server_hostname", "localhost")
    return await loop.start_tls(
        transport, protocol, context, server_side=role == "server", **kwargs
    )


def peer_for(role, sock, contexts):
    client, server = contexts
    if role == "client":
        return Peer(sock, server, server_side=True)
    return Peer(sock, client, server_side=False, server_hostname="localhost")


def ours(role, contexts):
    return contexts[role == "server"]


def test_upgrade(loop, certs, role, version):
    """Plain text, then TLS on the same connection, with a new transport and the same protocol."""
    both = certs.contexts(version)

    async def main():
        async with sockets() as (a, b):
            transport, protocol = await plain(a)
            transport.write(b"STARTTLS\n")
            assert await blocking(b.recv, 100) == b"STARTTLS\n"
            await blocking(b.sendall, b"go ahead\n")
            await protocol.received(9)
            peer = peer_for(role, b, both)
            new, _ = await asyncio.gather(
                upgrade(role, transport, protocol, ours(role, both)), blocking(peer.handshake)
            )
            assert new is not transport
            assert new.get_protocol() is protocol
            assert isinstance(new, asyncio.Transport)
            assert protocol.count("connection_made") == 1  # not told of the new transport
            assert protocol.transport is transport
            assert new.get_extra_info("ssl_object").version() == peer.tls.version()
            assert new.get_extra_info("sslcontext") is ours(role, both)
            assert new.get_extra_info("cipher") == peer.tls.cipher()
            assert new.get_extra_info("peername") == b.getsockname()
            assert new.get_extra_info("sockname") == b.getpeername()
            assert new.get_extra_info("socket").fileno() != -1
            new.write(b"secret")
            assert await blocking(peer.recv) == b"secret"
            await blocking(peer.send, b"answer")
            assert await protocol.received(15) == b"go ahead\nanswer"
            new.close()
            assert await blocking(peer.recv) == b""
            await blocking(peer.sock.sendall, peer.close_notify())
            await protocol.gone()
            assert protocol.lost is None
            assert protocol.count("connection_lost") == 1

    run(loop, main)


def test_another_protocol(loop, certs, role):
    both = certs.contexts()

    async def main():
        async with sockets() as (a, b):
            transport, first = await plain(a)
            peer = peer_for(role, b, both)
            second = Buffered()
            new, _ = await asyncio.gather(
                upgrade(role, transport, second, ours(role, both)), blocking(peer.handshake)
            )
            assert new.get_protocol() is second
            await blocking(peer.send, b"hello")
            await until(lambda: second.data == b"hello")
            await blocking(peer.sock.sendall, peer.close_notify())
            await second.gone()
            assert second.count("connection_made") == 0
            assert first.events == ["connection_made"]
            assert transport.is_closing()

    run(loop, main)


def test_both_ends_on_one_loop(loop, certs):
    client_context, server_context = certs.contexts()

    async def main():
        upgraded = loop.create_future()

        class Server(Recorder):
            def data_received(self, data):
                super().data_received(data)
                if data == b"STARTTLS":
                    self.transport.write(b"OK")
                    task = loop.create_task(
                        loop.start_tls(self.transport, self, server_context, server_side=True)
                    )
                    task.add_done_callback(lambda t: upgraded.set_result(t.result()))

        server = await loop.create_server(Server, LOCALHOST, 0)
        port = server.sockets[0].getsockname()[1]
        transport, protocol = await loop.create_connection(Recorder, LOCALHOST, port)
        transport.write(b"STARTTLS")
        await protocol.received(2)
        new = await loop.start_tls(transport, protocol, client_context, server_hostname="localhost")
        other = await upgraded
        behind = other.get_protocol()
        data = b"x" * (2 * MB)
        new.write(data)
        await behind.received(8 + len(data))
        other.write(data)
        await protocol.received(2 + len(data))
        new.close()
        await protocol.gone()
        await behind.gone()
        server.close()
        await server.wait_closed()

    run(loop, main)


def test_upgrade_within_data_received(loop, certs, role):
    """start_tls() as a task begun in data_received, as SMTP and PostgreSQL servers do."""
    both = certs.contexts()

    async def main():
        tasks = []

        def begin(protocol):
            if len(tasks) == 0:
                tasks.append(
                    loop.create_task(upgrade(role, protocol.transport, protocol, ours(role, both)))
                )

        async with sockets() as (a, b):
            _, protocol = await plain(a, lambda: Recorder(data_received=begin))
            await blocking(b.sendall, b"S")
            peer = peer_for(role, b, both)
            await blocking(peer.handshake)
            new = await tasks[0]
            await blocking(peer.send, b"hello")
            assert await protocol.received(6) == b"Shello"
            await end(new, protocol)

    run(loop, main)


def test_fault_53_hello_already_there(loop, certs):
    """The peer's first TLS bytes arrive before start_tls() is called on a paused transport: they
    are still TLS's."""
    role, both = "server", certs.contexts()

    async def main():
        async with sockets() as (a, b):
            transport, protocol = await plain(a)
            transport.pause_reading()
            peer = peer_for(role, b, both)
            handshake = asyncio.ensure_future(blocking(peer.handshake))
            await asyncio.sleep(0.03)
            new = await upgrade(role, transport, protocol, ours(role, both))
            await handshake
            await blocking(peer.send, b"hello")
            assert await protocol.received(5) == b"hello"
            await end(new, protocol)

    run(loop, main)


def test_fault_53_stream_with_bytes_buffered(loop, certs):
    """What the reader had before the upgrade stays readable; what comes after is TLS."""
    client_context, server_context = certs.contexts()

    async def main():
        async with sockets() as (a, b):
            reader, writer = await asyncio.open_connection(sock=a)
            await blocking(b.sendall, b"line one\nline two\n")
            assert await reader.readline() == b"line one\n"
            peer = Peer(b, server_context, server_side=True)
            transport, _ = await asyncio.gather(
                loop.start_tls(
                    writer.transport,
                    writer.transport.get_protocol(),
                    client_context,
                    server_hostname="localhost",
                ),
                blocking(peer.handshake),
            )
            assert await reader.readline() == b"line two\n"
            await blocking(peer.send, b"line three\n")
            assert await reader.readline() == b"line three\n"
            transport.abort()
            await settle()

    run(loop, main)


def test_writes_before_the_upgrade_go_out_first(loop, certs, role):
    both = certs.contexts()
    data = b"plain" * 10_000

    async def main():
        async with sockets() as (a, b):
            transport, protocol = await plain(a)
            transport.write(data)
            peer = peer_for(role, b, both)

            def work():
                got = 0
                while got < len(data):
                    got += len(b.recv(min(1 << 16, len(data) - got)))
                peer.handshake()
                return got

            new, got = await asyncio.gather(
                upgrade(role, transport, protocol, ours(role, both)), blocking(work)
            )
            assert got == len(data)
            new.write(b"secret")
            assert await blocking(peer.recv) == b"secret"
            await end(new, protocol)

    run(loop, main)


def test_paused_transport(loop, certs, role):
    """A transport with reading paused is read again by TLS."""
    both = certs.contexts()

    async def main():
        async with sockets() as (a, b):
            transport, protocol = await plain(a)
            transport.pause_reading()
            peer = peer_for(role, b, both)
            new, _ = await asyncio.gather(
                upgrade(role, transport, protocol, ours(role, both)), blocking(peer.handshake)
            )
            assert new.is_reading()
            await blocking(peer.send, b"hello")
            assert await protocol.received(5) == b"hello"
            await end(new, protocol)

    run(loop, main)


def test_tls_in_tls(loop, certs, role):
    """As for an https proxy: a second layer within the first."""
    both, inner_contexts = certs.contexts(), certs.contexts()

    async def main():
        async with sockets() as (a, b):
            transport, protocol = await plain(a)
            peer = peer_for(role, b, both)
            outer, _ = await asyncio.gather(
                upgrade(role, transport, protocol, ours(role, both)), blocking(peer.handshake)
            )

            class Inner(Peer):
                """Its records travel in the outer connection's."""

                def flush(self):
                    if records := self.pull():
                        peer.send(records)

                def feed(self):
                    self.incoming.write(peer.recv())

            client, server = inner_contexts
            if role == "client":
                within = Inner(b, server, server_side=True)
            else:
                within = Inner(b, client, server_side=False, server_hostname="localhost")
            inner, _ = await asyncio.gather(
                upgrade(role, outer, protocol, ours(role, inner_contexts)),
                blocking(within.handshake),
            )
            assert inner is not outer
            assert inner.get_extra_info("sslcontext") is ours(role, inner_contexts)
            assert inner.get_extra_info("peername") == b.getsockname()
            data = b"deep" * 200_000
            inner.write(data)
            assert await blocking(within.recv_exactly, len(data)) == data
            await blocking(within.send, data)
            await protocol.received(len(data))
            assert protocol.data == data
            inner.close()
            assert await blocking(within.recv) == b""
            within.close_notify_ = within.close_notify()
            await blocking(peer.send, within.close_notify_)

            def outer_end():
                while peer.recv():
                    pass
                peer.sock.sendall(peer.close_notify())

            await blocking(outer_end)
            await protocol.gone()
            assert protocol.lost is None

    run(loop, main)


def test_tls_in_tls_from_create_connection(loop, certs):
    """The outer layer by create_connection(ssl=), both ends on the loop."""
    client_context, server_context = certs.contexts()

    async def main():
        upgraded = loop.create_future()

        class Server(Recorder):
            def data_received(self, data):
                super().data_received(data)
                if not upgraded.done() and self.data == b"CONNECT":
                    self.transport.write(b"OK")
                    task = loop.create_task(
                        loop.start_tls(self.transport, self, server_context, server_side=True)
                    )
                    task.add_done_callback(lambda t: upgraded.set_result(t.result()))

        server = await loop.create_server(Server, LOCALHOST, 0, ssl=server_context)
        port = server.sockets[0].getsockname()[1]
        transport, protocol = await loop.create_connection(
            Recorder, LOCALHOST, port, ssl=client_context, server_hostname="localhost"
        )
        transport.write(b"CONNECT")
        await protocol.received(2)
        new = await loop.start_tls(transport, protocol, client_context, server_hostname="localhost")
        other = await upgraded
        behind = other.get_protocol()
        data = b"x" * MB
        new.write(data)
        await behind.received(7 + len(data))
        other.write(data)
        await protocol.received(2 + len(data))
        new.close()
        await protocol.gone()
        await behind.gone()
        server.close()
        await server.wait_closed()

    run(loop, main)


# -- failures ---------------------------------------------------------------------------------


def test_verification_fails(loop, certs):
    client_context, _ = certs.contexts()

    async def main():
        async with sockets() as (a, b):
            transport, protocol = await plain(a)
            peer = Peer(b, certs.server("other.test"), server_side=True)

            def serve():
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    peer.handshake()
                    peer.recv()

            task = asyncio.ensure_future(blocking(serve))
            with pytest.raises(ssl.SSLCertVerificationError):
                await upgrade("client", transport, protocol, client_context)
            await task
            await settle()
            assert transport.is_closing()

    run(loop, main)


def test_peer_closes_during_the_handshake(loop, certs, role):
    async def main():
        async with sockets() as (a, b):
            transport, protocol = await plain(a)
            b.close()
            with pytest.raises(ConnectionResetError):
                await upgrade(role, transport, protocol, ours(role, certs.contexts()))
            await settle()
            assert transport.is_closing()

    run(loop, main)


@pytest.mark.parametrize("when", ["before", "during"])
@pytest.mark.parametrize("how", ["close", "abort"])
def test_program_closes_before_the_end(loop, certs, role, how, when):
    """Not an error: there is no transport to use, and None tells so."""

    async def main():
        async with sockets() as (a, _):
            transport, protocol = await plain(a)
            if when == "before":
                getattr(transport, how)()
            else:
                loop.call_later(0.05, getattr(transport, how))
            context = ours(role, certs.contexts())
            assert await upgrade(role, transport, protocol, context) is None
            assert transport.is_closing()

    run(loop, main)


def test_handshake_timeout(loop, certs, role):
    async def main():
        async with sockets() as (a, _):
            transport, protocol = await plain(a)
            start = time.monotonic()
            text = "SSL handshake is taking longer than 0.1 seconds: aborting the connection"
            with pytest.raises(ConnectionAbortedError, match=text):
                await upgrade(
                    role,
                    transport,
                    protocol,
                    ours(role, certs.contexts()),
                    ssl_handshake_timeout=0.1,
                )
            assert time.monotonic() - start < 5 * support.SLOW
            await settle()
            assert transport.is_closing()

    run(loop, main)


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5])
def test_fault_40_cancelled(loop, certs, role, turns):
    async def main():
        async with sockets() as (a, b):
            transport, protocol = await plain(a)
            task = loop.create_task(
                upgrade(role, transport, protocol, ours(role, certs.contexts()))
            )
            await settle(turns)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            if turns == 0:
                transport.abort()  # it never began
            await settle()
            assert transport.is_closing()
            await blocking(support.read_all, b)

    run(loop, main)


@pytest.mark.parametrize("context", [None, True, "context", ssl.SSLContext])
def test_not_a_context(loop, context):
    async def main():
        async with sockets() as (a, _):
            transport, protocol = await plain(a)
            with pytest.raises(TypeError, match="sslcontext is expected to be an instance of"):
                await loop.start_tls(transport, protocol, context)
            await end(transport, protocol)

    run(loop, main)


def test_not_a_transport_for_it(loop, certs):
    async def main():
        for wrong in (asyncio.Transport(), object(), None):
            with pytest.raises(TypeError, match=r"transport .* is not supported by start_tls\(\)"):
                await loop.start_tls(wrong, Recorder(), certs.client())

    run(loop, main)


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
@pytest.mark.parametrize("timeout", [0, -1])
def test_timeouts_are_positive(loop, certs, role, name, timeout):
    async def main():
        async with sockets() as (a, _):
            transport, protocol = await plain(a)
            with pytest.raises(ValueError, match=f"{name} should be a positive number, got"):
                await upgrade(
                    role, transport, protocol, ours(role, certs.contexts()), **{name: timeout}
                )
            # and the connection is as it was
            assert not transport.is_closing()
            assert transport.get_protocol() is protocol
            transport.write(b"x")
            await end(transport, protocol)

    run(loop, main)
