"""create_server(ssl=...), connect_accepted_socket(ssl=...), and TLS over Unix sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys

import pytest
import support
from support import LOCALHOST, Recorder, settle, until
from tls_support import Peer, Refuser, blocking, connected, end, only, run, sockets


@contextlib.asynccontextmanager
async def serving(make, context, **kwargs):
    """A TLS server on the running loop, and its port."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, LOCALHOST, 0, ssl=context, **kwargs)
    try:
        yield server, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        await settle()


@contextlib.contextmanager
def dialled(port):
    with socket.create_connection((LOCALHOST, port), 10 * support.SLOW) as sock:
        yield sock


def client_of(port, context, name="localhost"):
    sock = socket.create_connection((LOCALHOST, port), 10 * support.SLOW)
    peer = Peer(sock, context, server_side=False, server_hostname=name)
    try:
        peer.handshake()
    except BaseException:
        sock.close()
        raise
    return peer


def test_echo(loop, certs, version):
    async def main():
        async with connected(certs, "server", version=version) as (transport, protocol, peer):
            await blocking(peer.send, b"ping")
            assert await protocol.received(4) == b"ping"
            transport.write(b"pong")
            assert await blocking(peer.recv) == b"pong"
            await blocking(peer.sock.sendall, peer.close_notify())
            await protocol.gone()
            assert protocol.lost is None
            assert protocol.events == [
                "connection_made",
                "data_received",
                "eof_received",
                "connection_lost",
            ]

    run(loop, main)


def test_extra_info(loop, certs, version):
    async def main():
        client, server = certs.contexts(version)
        async with connected(certs, "server", contexts=(client, server)) as (tr, _, peer):
            info = tr.get_extra_info
            assert info("sslcontext") is server
            assert not info("peercert")
            assert info("cipher") == peer.tls.cipher()
            assert info("compression") is None
            assert info("peername") == peer.sock.getsockname()
            assert info("sockname") == peer.sock.getpeername()
            assert info("socket").family == socket.AF_INET
            tls = info("ssl_object")
            assert tls.server_side is True
            assert tls.server_hostname is None
            assert tls.context is server
            assert tls.getpeercert() is None
            assert tls.version() == peer.tls.version()
            assert tls.cipher() in tls.shared_ciphers()
            binding = tls.get_channel_binding("tls-unique")
            assert binding == peer.tls.get_channel_binding("tls-unique")

    run(loop, main)


def test_several_clients(loop, certs):
    client = certs.client()
    protocols = []

    def serve():
        protocols.append(Recorder(data_received=lambda p: p.transport.write(bytes(p.data))))
        return protocols[-1]

    async def main():
        async with serving(serve, certs.server()) as (_, port):
            peers = [await blocking(client_of, port, client) for _ in range(5)]
            for number, peer in enumerate(peers):
                await blocking(peer.send, b"hello %d" % number)
            for number, peer in enumerate(peers):
                assert await blocking(peer.recv) == b"hello %d" % number
                await blocking(peer.sock.sendall, peer.close_notify())
            await until(lambda: all(p.closed.done() for p in protocols))
            for peer in peers:
                peer.close()
        assert len(protocols) == 5
        assert all(p.lost is None for p in protocols)

    run(loop, main)


def test_connection_made_only_after_the_handshake(loop, certs):
    protocols = []

    def serve():
        protocols.append(Recorder())
        return protocols[-1]

    async def main():
        async with serving(serve, certs.server()) as (_, port):
            with dialled(port) as sock:
                peer = Peer(sock, certs.client(), server_side=False, server_hostname="localhost")
                with pytest.raises(ssl.SSLWantReadError):
                    peer.tls.do_handshake()
                hello = peer.pull()
                for at in range(0, len(hello), 100):
                    sock.sendall(hello[at : at + 100])
                    await asyncio.sleep(0.002)
                assert [p.events for p in protocols] == [[]]  # the protocol is made when accepted
                await blocking(peer.handshake)
                await until(lambda: protocols[0].events)
                assert protocols[0].events == ["connection_made"]
                await end(protocols[0].transport, protocols[0])

    run(loop, main)


def test_handshake_byte_by_byte(loop, certs, role, version):
    """Records that arrive in pieces of one byte."""

    class Dribbler(Peer):
        def flush(self):
            for byte in self.pull():
                self.sock.sendall(bytes([byte]))

    client, server = certs.contexts(version)

    async def main():
        async with sockets() as (a, b):
            other = server if role == "client" else client
            name = None if role == "client" else "localhost"
            peer = Dribbler(b, other, server_side=role == "client", server_hostname=name)

            def work():
                peer.handshake()
                peer.send(b"hello")

            if role == "client":
                connecting = loop.create_connection(
                    Recorder, sock=a, ssl=client, server_hostname="localhost"
                )
            else:
                connecting = loop.connect_accepted_socket(Recorder, a, ssl=server)
            (transport, protocol), _ = await asyncio.gather(connecting, blocking(work))
            assert await protocol.received(5) == b"hello"
            await end(transport, protocol)

    run(loop, main)


# -- clients that fail ------------------------------------------------------------------------


HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("data", [HTTP, b"\0" * 500, b"\x16\x03\x01\xff\xff" + b"x" * 100, b"\x15"])
@pytest.mark.parametrize("debug", [False, True])
def test_a_client_that_speaks_no_tls(loop, certs, contexts, expect_log, data, debug):
    """It is hung up on; the program hears of it in debug mode only, and others are served."""
    loop.set_debug(debug)
    expect_log.allow(".*")
    client = certs.client()

    async def main():
        protocols = []

        def serve():
            protocols.append(Recorder())
            return protocols[-1]

        async with serving(serve, certs.server()) as (_, port):
            with dialled(port) as sock:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                await blocking(support.read_all, sock)
            peer = await blocking(client_of, port, client)
            await blocking(peer.send, b"hello")
            await until(lambda: len(protocols) == 2 and protocols[1].data == b"hello")
            await until(lambda: not debug or contexts)
            await end(protocols[1].transport, protocols[1])
            peer.close()
            assert protocols[0].events == []

    run(loop, main)
    messages = [context["message"] for context in contexts]
    assert messages == (["Error on transport creation for incoming connection"] if debug else [])


def test_a_client_that_refuses_our_certificate(loop, certs, contexts, version):
    async def main():
        async with serving(Refuser, only(certs.server("other.test"), version)) as (_, port):
            with pytest.raises(ssl.SSLCertVerificationError):
                await blocking(client_of, port, certs.client())
            await settle(20)
        assert not contexts

    run(loop, main)


def test_a_client_that_leaves_at_once(loop, certs, contexts):
    async def main():
        async with serving(Refuser, certs.server()) as (server, port):
            for how in ("close", "reset", "close"):
                with dialled(port) as sock:
                    if how == "reset":
                        support.reset(sock)
                await asyncio.sleep(0.01)
        assert not contexts

    run(loop, main)


def test_a_silent_client(loop, certs, contexts):
    """ssl_handshake_timeout ends it."""

    async def main():
        async with serving(Refuser, certs.server(), ssl_handshake_timeout=0.1) as (_, port):
            with dialled(port) as sock:
                assert await blocking(sock.recv, 1) == b""
        assert not contexts

    run(loop, main)


def test_close_with_a_handshake_under_way(loop, certs):
    async def main():
        server = await loop.create_server(Refuser, LOCALHOST, 0, ssl=certs.server())
        with dialled(server.sockets[0].getsockname()[1]) as sock:
            await settle(20)
            server.close()
            sock.close()
            await server.wait_closed()

    run(loop, main)


def test_loop_closed_with_a_handshake_under_way(loop_factory, certs):
    loop = loop_factory()

    async def main():
        server = await loop.create_server(Refuser, LOCALHOST, 0, ssl=certs.server())
        sock = socket.create_connection(server.sockets[0].getsockname())
        await asyncio.sleep(0.02)
        server.close()
        sock.close()
        await settle(20)

    loop.run_until_complete(main())
    support.finish(loop)


@pytest.mark.parametrize("context", [True, False])
def test_a_server_needs_a_context(loop, context):
    async def main():
        with pytest.raises(TypeError, match="ssl argument must be an SSLContext or None"):
            await loop.create_server(Refuser, LOCALHOST, 0, ssl=context)

    run(loop, main)


def test_connect_accepted_socket_needs_a_context(loop):
    async def main():
        async with sockets() as (a, _):
            with pytest.raises(ValueError, match="Server side SSL needs a valid SSLContext"):
                await loop.connect_accepted_socket(Refuser, a, ssl=True)

    run(loop, main)


@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
def test_timeouts_without_tls(loop, name):
    async def main():
        with pytest.raises(ValueError, match=f"{name} is only meaningful with ssl"):
            await loop.create_server(Refuser, LOCALHOST, 0, **{name: 1})
        async with sockets() as (a, _):
            with pytest.raises(ValueError, match=f"{name} is only meaningful with ssl"):
                await loop.connect_accepted_socket(Refuser, a, **{name: 1})

    run(loop, main)


def test_server_without_a_certificate(loop, certs, contexts):
    """A context that has none: the client is refused."""

    async def main():
        async with serving(Refuser, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)) as (_, port):
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await blocking(client_of, port, certs.client())
            await settle(20)
        assert not contexts

    run(loop, main)


# -- SNI --------------------------------------------------------------------------------------


def test_sni_callback_switches_the_context(loop, certs):
    first = certs.server("localhost")
    second = certs.server("second.test")
    seen = []

    def choose(tls, name, context):
        seen.append((type(tls), name, context))
        if name == "second.test":
            tls.context = second

    first.sni_callback = choose

    async def main():
        protocols = []

        def serve():
            protocols.append(Recorder())
            return protocols[-1]

        async with serving(serve, first) as (_, port):
            for name in ("localhost", "second.test"):
                peer = await blocking(client_of, port, certs.client(), name)
                assert ("DNS", name) in peer.tls.getpeercert()["subjectAltName"]
                await until(lambda: protocols and protocols[-1].events)
                ssl_object = protocols[-1].transport.get_extra_info("ssl_object")
                assert ssl_object.context is (first if name == "localhost" else second)
                await end(protocols[-1].transport, protocols.pop())
                peer.close()
        assert seen == [
            (ssl.SSLObject, "localhost", first),
            (ssl.SSLObject, "second.test", first),
        ]

    run(loop, main)


def test_sni_callback_refuses(loop, certs, version):
    context = only(certs.server(), version)
    context.sni_callback = lambda *args: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    async def main():
        async with serving(Refuser, context) as (_, port):
            with pytest.raises((ssl.SSLError, ConnectionResetError)) as info:
                await blocking(client_of, port, certs.client())
            if isinstance(info.value, ssl.SSLError):
                assert "UNRECOGNIZED_NAME" in info.value.reason or "EOF" in info.value.reason

    run(loop, main)


@pytest.mark.parametrize("outcome", [ZeroDivisionError, "a string"])
def test_sni_callback_fails(loop, certs, monkeypatch, outcome):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: unraisable.append(args.exc_type))

    def choose(*args):
        if outcome is ZeroDivisionError:
            raise ZeroDivisionError
        return outcome

    context = certs.server()
    context.sni_callback = choose

    async def main():
        async with serving(Refuser, context) as (_, port):
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await blocking(client_of, port, certs.client())
            await settle(20)

    run(loop, main)
    assert unraisable == [ZeroDivisionError if outcome is ZeroDivisionError else TypeError]


def test_no_name_sent(loop, certs):
    names = []
    context = certs.server()
    context.sni_callback = lambda tls, name, ctx: names.append(name)
    client = certs.client()
    client.check_hostname = False

    async def main():
        protocol = None

        def serve():
            nonlocal protocol
            protocol = Recorder()
            return protocol

        async with serving(serve, context) as (_, port):
            peer = await blocking(client_of, port, client, None)
            await until(lambda: protocol.events)
            await end(protocol.transport, protocol)
            peer.close()

    run(loop, main)
    assert names == [None]


# -- other ways to be a server ----------------------------------------------------------------


def test_connect_accepted_socket(loop, certs):
    async def main():
        with socket.create_server((LOCALHOST, 0)) as listener:
            port = listener.getsockname()[1]
            client = loop.run_in_executor(None, client_of, port, certs.client())
            listener.setblocking(False)
            conn, _ = await loop.sock_accept(listener)
            transport, protocol = await loop.connect_accepted_socket(
                Recorder, conn, ssl=certs.server()
            )
            peer = await client
            assert protocol.events == ["connection_made"]
            transport.write(b"hello")
            assert await blocking(peer.recv) == b"hello"
            await end(transport, protocol)
            peer.close()

    run(loop, main)


def test_unix(loop, certs, tmp_path):
    client, server = certs.contexts()
    path = str(tmp_path / "socket")

    async def main():
        accepted = []

        def serve():
            accepted.append(Recorder())
            return accepted[-1]

        listener = await loop.create_unix_server(serve, path, ssl=server)
        transport, protocol = await loop.create_unix_connection(
            Recorder, path, ssl=client, server_hostname="localhost"
        )
        assert transport.get_extra_info("peername") == path
        assert transport.get_extra_info("ssl_object").version() == "TLSv1.3"
        assert transport.get_extra_info("socket").family == socket.AF_UNIX
        transport.write(b"x" * 300_000)
        await until(lambda: accepted and len(accepted[0].data) == 300_000)
        accepted[0].transport.write(b"y")
        assert await protocol.received(1) == b"y"
        transport.close()
        await protocol.gone()
        await accepted[0].gone()
        assert protocol.lost is None and accepted[0].lost is None
        listener.close()
        await listener.wait_closed()

    run(loop, main)


def test_unix_rules(loop, certs, tmp_path):
    async def main():
        path = str(tmp_path / "socket")
        with pytest.raises(ValueError, match="you have to pass server_hostname when using ssl"):
            await loop.create_unix_connection(Refuser, path, ssl=certs.client())
        with pytest.raises(ValueError, match="server_hostname is only meaningful with ssl"):
            await loop.create_unix_connection(Refuser, path, server_hostname="localhost")
        with pytest.raises(ValueError, match="ssl_handshake_timeout is only meaningful with ssl"):
            await loop.create_unix_connection(Refuser, path, ssl_handshake_timeout=1)
        with pytest.raises(TypeError, match="ssl argument must be an SSLContext or None"):
            await loop.create_unix_server(Refuser, path, ssl=True)

    run(loop, main)


def test_unix_socket_given(loop, certs):
    client, server = certs.contexts()

    async def main():
        a, b = socket.socketpair()
        a.setblocking(False)
        b.settimeout(10 * support.SLOW)
        peer = Peer(b, server, server_side=True)
        (transport, protocol), _ = await asyncio.gather(
            loop.create_unix_connection(Recorder, sock=a, ssl=client, server_hostname="localhost"),
            blocking(peer.handshake),
        )
        transport.write(b"hello")
        assert await blocking(peer.recv) == b"hello"
        await end(transport, protocol)
        b.close()

    run(loop, main)


def test_close_clients(loop, loop_name, certs):
    support.oracle_lacks(loop_name, support.PY < (3, 13), "no Server.close_clients()")

    async def main():
        protocols = []

        def serve():
            protocols.append(Recorder())
            return protocols[-1]

        async with serving(serve, certs.server()) as (server, port):
            peer = await blocking(client_of, port, certs.client())
            await until(lambda: protocols and protocols[0].events)
            server.close()
            server.close_clients()
            with contextlib.suppress(ssl.SSLEOFError):
                assert await blocking(peer.recv) == b""
            await protocols[0].gone()
            peer.close()

    run(loop, main)


def test_abort_clients(loop, loop_name, certs):
    support.oracle_lacks(loop_name, support.PY < (3, 13), "no Server.abort_clients()")

    async def main():
        protocols = []

        def serve():
            protocols.append(Recorder())
            return protocols[-1]

        async with serving(serve, certs.server()) as (server, port):
            peer = await blocking(client_of, port, certs.client())
            await until(lambda: protocols and protocols[0].events)
            server.close()
            server.abort_clients()
            await blocking(peer.read_raw_until_eof)
            await protocols[0].gone()
            peer.close()

    run(loop, main)
