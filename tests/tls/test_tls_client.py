"""create_connection(ssl=...) and what a client sees of its TLS connection."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading

import pytest
import support
from support import LOCALHOST, Recorder, until
from tls_support import (
    Refuser,
    blocking,
    connected,
    end,
    only,
    pair,
    run,
    sockets,
)


def test_echo(loop, certs, version):
    async def main():
        async with connected(certs, "client", version=version) as (transport, protocol, peer):
            assert isinstance(transport, asyncio.Transport)
            assert protocol.transport is transport
            assert protocol.events == ["connection_made"]
            transport.write(b"ping")
            assert await blocking(peer.recv) == b"ping"
            await blocking(peer.send, b"pong")
            assert await protocol.received(4) == b"pong"
            transport.close()
            assert await blocking(peer.recv) == b""
            await blocking(peer.sock.sendall, peer.close_notify())
            await protocol.gone()
            assert protocol.lost is None
            told = [event for event in protocol.events if event != "eof_received"]
            assert told == ["connection_made", "data_received", "connection_lost"]

    run(loop, main)


def test_by_name_and_port(loop, certs):
    async def main():
        server = await loop.create_server(Recorder, "localhost", 0, ssl=certs.server())
        port = server.sockets[0].getsockname()[1]
        transport, protocol = await loop.create_connection(
            Recorder, "localhost", port, ssl=certs.client(), family=server.sockets[0].family
        )
        ssl_object = transport.get_extra_info("ssl_object")
        assert ssl_object.server_hostname == "localhost"
        await end(transport, protocol)
        server.close()
        await server.wait_closed()

    run(loop, main)


@pytest.mark.parametrize("trusted", [True, False])
def test_ssl_true_is_the_default_context(loop, certs, monkeypatch, trusted):
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certs.ca_file))

    async def main():
        server = await loop.create_server(Recorder, LOCALHOST, 0, ssl=certs.server())
        port = server.sockets[0].getsockname()[1]
        try:
            transport, protocol = await loop.create_connection(
                Recorder, LOCALHOST, port, ssl=True, server_hostname="localhost"
            )
            context = transport.get_extra_info("sslcontext")
            assert context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname
            await end(transport, protocol)
        finally:
            server.close()
            await server.wait_closed()

    if trusted:
        run(loop, main)
    else:
        with pytest.raises(ssl.SSLCertVerificationError):
            run(loop, main)


def test_extra_info(loop, certs, version):
    async def main():
        client, server = certs.contexts(version)
        server.set_alpn_protocols(["h2", "http/1.1"])
        client.set_alpn_protocols(["http/1.1"])
        async with connected(certs, "client", contexts=(client, server)) as (tr, protocol, peer):
            info = tr.get_extra_info
            assert info("sslcontext") is client
            names = {value for _, value in info("peercert")["subjectAltName"]}
            assert {"localhost", "127.0.0.1", "*.wild.test"} <= names
            assert info("cipher") == peer.tls.cipher()
            assert info("compression") is None
            assert info("peername") == peer.sock.getsockname()
            assert info("sockname") == peer.sock.getpeername()
            assert info("socket").getsockname() == peer.sock.getpeername()
            assert info("socket").family == socket.AF_INET
            assert info("nothing") is None
            assert info("nothing", "default") == "default"
            tls = info("ssl_object")
            assert isinstance(tls, ssl.SSLObject)
            assert info("ssl_object") is tls
            assert tls.context is client
            assert tls.getpeercert() == info("peercert")
            assert ssl.DER_cert_to_PEM_cert(tls.getpeercert(True)).startswith("-----BEGIN")
            assert tls.version() == {"1.2": "TLSv1.2", "1.3": "TLSv1.3"}[version]
            assert tls.cipher() == peer.tls.cipher()
            assert tls.compression() is None
            assert tls.selected_alpn_protocol() == "http/1.1"
            assert tls.server_side is False
            assert tls.server_hostname == "localhost"
            assert tls.session_reused is False
            assert tls.pending() == 0
            assert tls.shared_ciphers() is None
            assert tls.get_channel_binding("tls-unique") == peer.tls.get_channel_binding(
                "tls-unique"
            )
            with pytest.raises(ValueError):
                tls.get_channel_binding("unknown")
            if version == "1.2":
                assert tls.session.id
                assert tls.session.timeout > 0

    run(loop, main)


def test_connection_made_sees_the_extra_info(loop, certs):
    seen = []

    def made(protocol):
        info = protocol.transport.get_extra_info
        seen.append((info("ssl_object").version(), info("cipher"), info("peercert")))

    async def main():
        async with connected(certs, "client", lambda: Recorder(connection_made=made)):
            [(version, cipher, peercert)] = seen
            assert version == "TLSv1.3" and cipher and peercert

    run(loop, main)


def test_unverified_peer_has_an_empty_certificate(loop, certs):
    client = certs.client()
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE

    async def main():
        contexts = client, certs.server("other.test", trusted=False)
        async with connected(certs, "client", contexts=contexts) as (transport, _, _):
            assert transport.get_extra_info("peercert") == {}
            assert transport.get_extra_info("ssl_object").getpeercert(True)

    run(loop, main)


# -- versions, ciphers, ALPN ------------------------------------------------------------------


@pytest.mark.parametrize("ours, theirs", [("1.2", "1.3"), ("1.3", "1.2")])
def test_no_common_version(loop, certs, role, ours, theirs):
    client, server = certs.contexts()
    mine, other = (client, server) if role == "client" else (server, client)
    only(mine, ours)
    only(other, theirs)

    async def main():
        with pytest.raises(ssl.SSLError) as info:
            async with connected(certs, role, Refuser, contexts=(client, server)):
                pass
        assert not isinstance(info.value, ssl.SSLCertVerificationError)
        assert isinstance(info.value, OSError)
        assert info.value.library == "SSL"

    run(loop, main)


def test_no_common_cipher(loop, certs, role):
    client, server = certs.contexts("1.2")
    client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    server.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")

    async def main():
        with pytest.raises(ssl.SSLError):
            async with connected(certs, role, Refuser, contexts=(client, server)):
                pass

    run(loop, main)


@pytest.mark.parametrize(
    "ours, theirs, chosen",
    [
        (["h2", "http/1.1"], ["http/1.1", "h2"], True),
        (["h2"], ["http/1.1"], False),
        ([], ["http/1.1"], False),
        (["h2"], [], False),
    ],
)
def test_alpn(loop, certs, role, version, ours, theirs, chosen):
    client, server = certs.contexts(version)
    for context, names in ((client, ours), (server, theirs)):
        if names:
            context.set_alpn_protocols(names)

    async def main():
        async with connected(certs, role, contexts=(client, server)) as (transport, _, peer):
            got = transport.get_extra_info("ssl_object").selected_alpn_protocol()
            assert got == peer.tls.selected_alpn_protocol()
            assert got == ("http/1.1" if chosen else None)

    run(loop, main)


# -- contexts of the user's own ---------------------------------------------------------------


def test_subclass_of_the_context(loop, certs, role):
    class Context(ssl.SSLContext):
        pass

    client = certs.client(Context)
    server = certs.server(make=Context)

    async def main():
        async with connected(certs, role, contexts=(client, server)) as (transport, protocol, peer):
            context = client if role == "client" else server
            assert transport.get_extra_info("sslcontext") is context
            assert transport.get_extra_info("ssl_object").context is context
            transport.write(b"x" * 100_000)
            assert await blocking(peer.recv_exactly, 100_000) == b"x" * 100_000
            await blocking(peer.send, b"y")
            assert await protocol.received(1) == b"y"

    run(loop, main)


def test_subclass_with_its_own_wrap_bio(loop, certs, role):
    """A context that makes its TLS objects itself is asked for them (truststore does this)."""
    calls = []

    class Context(ssl.SSLContext):
        def wrap_bio(self, incoming, outgoing, server_side=False, server_hostname=None, **kwargs):
            calls.append((server_side, server_hostname))
            return super().wrap_bio(incoming, outgoing, server_side, server_hostname, **kwargs)

    client, server = certs.contexts()
    if role == "client":
        client = certs.client(Context)
    else:
        server = certs.server(make=Context)

    async def main():
        async with connected(certs, role, contexts=(client, server)) as (transport, _, peer):
            transport.write(b"x")
            assert await blocking(peer.recv) == b"x"
        assert calls == [(role == "server", "localhost" if role == "client" else None)]

    run(loop, main)


def test_context_that_stands_for_another(loop, certs):
    """As truststore's: an ssl.SSLContext by class, whose TLS objects are those of an inner one."""
    inner = certs.client()

    class Context(ssl.SSLContext):
        def wrap_bio(self, *args, **kwargs):
            return inner.wrap_bio(*args, **kwargs)

    outer = Context(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody

    async def main():
        async with connected(certs, "client", contexts=(outer, certs.server())) as (tr, _, peer):
            assert tr.get_extra_info("sslcontext") is outer
            assert tr.get_extra_info("ssl_object").context is inner
            tr.write(b"x")
            assert await blocking(peer.recv) == b"x"

    run(loop, main)


def test_class_of_the_ssl_object(loop, certs, role):
    class Mine(ssl.SSLObject):
        pass

    client, server = certs.contexts()
    (client if role == "client" else server).sslobject_class = Mine

    async def main():
        async with connected(certs, role, contexts=(client, server)) as (transport, _, peer):
            assert type(transport.get_extra_info("ssl_object")) is Mine
            transport.write(b"x")
            assert await blocking(peer.recv) == b"x"

    run(loop, main)


def test_verify_callback_by_overridden_do_handshake(loop, certs):
    """What an own class of TLS object does in do_handshake() counts: here, a pinned certificate."""

    class Pinned(ssl.SSLObject):
        def do_handshake(self):
            super().do_handshake()
            raise ssl.SSLCertVerificationError("not the pinned certificate")

    client, server = certs.contexts()
    client.sslobject_class = Pinned

    async def main():
        with pytest.raises(ssl.SSLCertVerificationError, match="pinned"):
            async with connected(certs, "client", Refuser, contexts=(client, server)):
                pass

    run(loop, main)


def test_session_reuse(loop, certs, version):
    """asyncio has no argument for it; a context that adds the session to wrap_bio() is the way."""

    class Context(ssl.SSLContext):
        kept = None

        def wrap_bio(self, incoming, outgoing, server_side=False, server_hostname=None):
            return super().wrap_bio(
                incoming, outgoing, server_side, server_hostname, session=self.kept
            )

    client = only(certs.client(Context), version)
    server = only(certs.server(), version)

    async def main():
        for again in (False, True):
            async with connected(certs, "client", contexts=(client, server)) as (tr, p, peer):
                await blocking(peer.send, b"x")  # behind the ticket of TLS 1.3
                await p.received(1)
                tls = tr.get_extra_info("ssl_object")
                assert tls.session_reused is again
                assert peer.tls.session_reused is again
                assert tls.session.has_ticket
                client.kept = tls.session

    run(loop, main)


def test_keylog(loop, certs, role, version, tmp_path):
    client, server = certs.contexts(version)
    path = tmp_path / "keys"
    (client if role == "client" else server).keylog_filename = str(path)

    async def main():
        async with connected(certs, role, contexts=(client, server)) as (transport, _, peer):
            transport.write(b"x")
            assert await blocking(peer.recv) == b"x"
        lines = path.read_text().splitlines()
        labels = {line.split()[0] for line in lines if not line.startswith("#")}
        if version == "1.2":
            assert labels == {"CLIENT_RANDOM"}
        else:
            assert {"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"} <= labels

    run(loop, main)


def test_one_context_in_several_threads(loop_factory, certs):
    """A context may serve many loops at once."""
    client, server = certs.contexts()
    problems = []

    def work():
        loop = loop_factory()

        async def main():
            for _ in range(5):
                async with pair(certs, contexts=(client, server)) as (one, other):
                    one.transport.write(b"hello")
                    await other.received(5)

        try:
            run(loop, main)
        except BaseException as error:
            problems.append(error)
        finally:
            support.finish(loop)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30 * support.SLOW)
    assert not problems


# -- arguments --------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, -1])
@pytest.mark.parametrize("name", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
def test_timeouts_are_positive(loop, certs, role, name, timeout):
    async def main():
        async with sockets() as (a, _):
            with pytest.raises(ValueError, match=f"{name} should be a positive number, got"):
                if role == "client":
                    await loop.create_connection(
                        Refuser,
                        sock=a,
                        ssl=certs.client(),
                        server_hostname="localhost",
                        **{name: timeout},
                    )
                else:
                    await loop.connect_accepted_socket(
                        Refuser, a, ssl=certs.server(), **{name: timeout}
                    )

    run(loop, main)


def test_not_a_context(loop):
    async def main():
        async with sockets() as (a, _):
            with pytest.raises((TypeError, AttributeError)):
                await loop.create_connection(
                    Refuser, sock=a, ssl="yes, please", server_hostname="localhost"
                )

    run(loop, main)


def test_tls_socket_is_refused(loop, certs):
    async def main():
        async with sockets() as (a, _):
            with certs.client().wrap_socket(
                a, server_hostname="localhost", do_handshake_on_connect=False
            ) as wrapped:
                with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
                    await loop.create_connection(
                        Refuser, sock=wrapped, ssl=certs.client(), server_hostname="localhost"
                    )

    run(loop, main)


def test_context_of_the_wrong_side(loop, certs, role):
    """A server's context for a client, and the other way round."""

    async def main():
        async with sockets() as (a, _):
            with pytest.raises(ssl.SSLError):
                if role == "client":
                    await loop.create_connection(
                        Refuser, sock=a, ssl=certs.server(), server_hostname="localhost"
                    )
                else:
                    await loop.connect_accepted_socket(Refuser, a, ssl=certs.client())

    run(loop, main)


def test_general_context(loop, certs, role):
    """PROTOCOL_TLS fits both sides (deprecated, and in wide use)."""
    with pytest.warns(DeprecationWarning):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS)
    certs.cert("localhost").configure_cert(context)
    client, server = certs.contexts()

    async def main():
        contexts = (context, server) if role == "client" else (client, context)
        async with connected(certs, role, contexts=contexts) as (transport, _, peer):
            transport.write(b"x")
            assert await blocking(peer.recv) == b"x"

    run(loop, main)


def test_ipv6(loop, certs):
    async def main():
        server = await loop.create_server(Recorder, "::1", 0, ssl=certs.server("::1"))
        port = server.sockets[0].getsockname()[1]
        transport, protocol = await loop.create_connection(
            Recorder, "::1", port, ssl=certs.client()
        )
        await end(transport, protocol)
        server.close()
        await server.wait_closed()

    run(loop, main)


def test_happy_eyeballs(loop, certs):
    async def main():
        server = await loop.create_server(Recorder, LOCALHOST, 0, ssl=certs.server())
        port = server.sockets[0].getsockname()[1]
        transport, protocol = await loop.create_connection(
            Recorder, "localhost", port, ssl=certs.client(), happy_eyeballs_delay=0.1
        )
        await end(transport, protocol)
        server.close()
        await server.wait_closed()

    run(loop, main)


def test_many_at_once(loop, certs):
    client, server = certs.contexts()

    async def main():
        accepted = []

        def serve():
            accepted.append(Recorder(data_received=lambda p: p.transport.write(bytes(p.data[-4:]))))
            return accepted[-1]

        listener = await loop.create_server(serve, LOCALHOST, 0, ssl=server, backlog=200)
        port = listener.sockets[0].getsockname()[1]

        async def one(number):
            transport, protocol = await loop.create_connection(
                Recorder, LOCALHOST, port, ssl=client, server_hostname="localhost"
            )
            transport.write(b"%04d" % number)
            assert await protocol.received(4) == b"%04d" % number
            transport.close()
            await protocol.gone()
            assert protocol.lost is None

        await asyncio.gather(*(one(number) for number in range(100)))
        await until(lambda: all(protocol.closed.done() for protocol in accepted))
        assert len(accepted) == 100
        listener.close()
        await listener.wait_closed()

    run(loop, main)
