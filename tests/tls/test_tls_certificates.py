"""Names and certificates: whom a client asks for, what it refuses, what it shows of itself."""

from __future__ import annotations

import asyncio
import ssl

import pytest
import support
from support import LOCALHOST, Recorder
from tls_support import (
    Peer,
    Refuser,
    blocking,
    connected,
    end,
    only,
    run,
    sockets,
)

# -- the server's name ------------------------------------------------------------------------


def asked_for(loop, certs, names, **kwargs):
    """The name that the server was asked for, by a client with these arguments."""
    server_context = certs.server(*names)
    asked = []
    server_context.sni_callback = lambda tls, name, context: asked.append(name)

    async def main():
        server = await loop.create_server(Recorder, LOCALHOST, 0, ssl=server_context)
        port = server.sockets[0].getsockname()[1]
        try:
            transport, protocol = await loop.create_connection(
                Recorder, LOCALHOST, port, **{"ssl": certs.client(), **kwargs}
            )
            name = transport.get_extra_info("ssl_object").server_hostname
            await end(transport, protocol)
            await support.settle()
            return name
        finally:
            server.close()
            await server.wait_closed()

    name = run(loop, main)
    assert len(asked) == 1
    return name, asked[0]


def test_server_hostname(loop, certs):
    assert asked_for(loop, certs, ["localhost"], server_hostname="localhost") == (
        "localhost",
        "localhost",
    )


def test_the_host_is_the_name_by_default(loop, certs):
    # an address is no name: nothing is asked for, but the certificate must be for it
    assert asked_for(loop, certs, ["127.0.0.1"]) == ("127.0.0.1", None)


def test_wildcard(loop, certs):
    name = "any.wild.test"
    assert asked_for(loop, certs, ["*.wild.test"], server_hostname=name) == (name, name)


def test_international_name(loop, certs):
    name, asked = asked_for(loop, certs, ["xn--bcher-kva.test"], server_hostname="bücher.test")
    assert asked == "xn--bcher-kva.test"
    assert name in ("bücher.test", "xn--bcher-kva.test")


def test_empty_name_asks_for_nothing(loop, certs):
    context = certs.client()
    context.check_hostname = False
    assert asked_for(loop, certs, ["localhost"], server_hostname="", ssl=context) == (None, None)


def test_empty_name_is_not_checked(loop, certs):
    """As documented for asyncio: the certificate is verified, its name is not."""
    assert asked_for(loop, certs, ["other.test"], server_hostname="") == (None, None)


@pytest.mark.parametrize("name", ["a\0b", ".localhost", "x" * 300])
def test_bad_names(loop, certs, name):
    async def main():
        async with sockets() as (a, _):
            with pytest.raises((ValueError, TypeError)):
                await loop.create_connection(
                    Refuser, sock=a, ssl=certs.client(), server_hostname=name
                )

    run(loop, main)


# -- certificates -----------------------------------------------------------------------------


def refused(loop, certs, server, version, **kwargs):
    """The exception of a client that does not like the server's certificate."""

    async def main():
        async with sockets() as (a, b):
            peer = Peer(b, only(server, version), server_side=True)

            def serve():
                with pytest.raises(ssl.SSLError) as info:
                    peer.handshake()
                    peer.recv()  # TLS 1.3: the alert comes after the server's handshake
                return info.value

            task = asyncio.ensure_future(blocking(serve))
            kwargs.setdefault("server_hostname", "localhost")
            fd = a.fileno()
            with pytest.raises(ssl.SSLCertVerificationError) as info:
                await loop.create_connection(Refuser, sock=a, ssl=certs.client(), **kwargs)
            # told why, or (asyncio) just hung up on
            assert "ALERT" in (reason := (await task).reason) or "EOF" in reason
            await support.settle()
            assert a.fileno() == -1 or fd not in support.open_fds()
            return info.value

    return run(loop, main)


def test_fault_54_wrong_host(loop, certs, version):
    error = refused(loop, certs, certs.server("other.test"), version)
    assert error.verify_code == 62
    assert "Hostname mismatch" in error.verify_message
    assert "localhost" in error.verify_message
    assert error.reason == "CERTIFICATE_VERIFY_FAILED"
    assert error.library == "SSL"


def test_fault_54_wrong_address(loop, certs, version):
    error = refused(loop, certs, certs.server("localhost"), version, server_hostname="127.0.0.1")
    assert error.verify_code == 64
    assert "IP address mismatch" in error.verify_message


def test_fault_54_expired(loop, certs, version):
    error = refused(loop, certs, certs.server("localhost", expired=True), version)
    assert error.verify_code == 10
    assert error.verify_message == "certificate has expired"


def test_fault_54_unknown_authority(loop, certs, version):
    error = refused(loop, certs, certs.server("localhost", trusted=False), version)
    assert error.verify_code == 20
    assert error.verify_message == "unable to get local issuer certificate"


def test_fault_54_self_signed(loop, certs, version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key, cert = certs.folder / "self.key", certs.folder / "self.pem"
    certs.stranger.private_key_pem.write_to_path(key)
    certs.stranger.cert_pem.write_to_path(cert)
    context.load_cert_chain(cert, key)
    error = refused(loop, certs, context, version)
    assert error.verify_code in (18, 19)
    assert "self" in error.verify_message


def test_fault_54_wildcard_is_one_label(loop, certs, version):
    server = certs.server("*.wild.test")
    error = refused(loop, certs, server, version, server_hostname="a.b.wild.test")
    assert error.verify_code == 62


def test_the_same_context_again_after_a_failure(loop, certs):
    client = certs.client()

    async def main():
        for names in [("other.test",), ("localhost",), ("other.test",), ("localhost",)]:
            server = await loop.create_server(
                support.Recorder, LOCALHOST, 0, ssl=certs.server(*names)
            )
            port = server.sockets[0].getsockname()[1]
            connecting = loop.create_connection(
                Recorder, LOCALHOST, port, ssl=client, server_hostname="localhost"
            )
            if names == ("localhost",):
                await end(*await connecting)
            else:
                with pytest.raises(ssl.SSLCertVerificationError):
                    await connecting
            server.close()
            await server.wait_closed()
            await support.settle()

    run(loop, main)


# -- client certificates ----------------------------------------------------------------------


def with_client_certificates(certs, version, mode, send):
    client, server = certs.contexts(version)
    server.verify_mode = mode
    certs.ca.configure_trust(server)
    if send is not None:
        certs.cert("user@mail.test", trusted=send).configure_cert(client)
    return client, server


@pytest.mark.parametrize("mode", [ssl.CERT_OPTIONAL, ssl.CERT_REQUIRED])
def test_client_certificate(loop, certs, role, version, mode):
    async def main():
        contexts = with_client_certificates(certs, version, mode, True)
        async with connected(certs, role, contexts=contexts) as (transport, protocol, peer):
            await blocking(peer.send, b"x")
            assert await protocol.received(1) == b"x"
            if role == "server":
                cert = transport.get_extra_info("peercert")
            else:
                cert = peer.tls.getpeercert()
            assert ("email", "user@mail.test") in cert["subjectAltName"]

    run(loop, main)


def test_client_certificate_is_optional(loop, certs, role, version):
    async def main():
        contexts = with_client_certificates(certs, version, ssl.CERT_OPTIONAL, None)
        async with connected(certs, role, contexts=contexts) as (transport, protocol, peer):
            await blocking(peer.send, b"x")
            assert await protocol.received(1) == b"x"
            if role == "server":
                # None on asyncio and {} where the peer was asked: falsy is all that is promised
                assert not transport.get_extra_info("peercert")

    run(loop, main)


@pytest.mark.parametrize("send", [None, False, True])
def test_certificate_asked_for_later(loop, certs, send):
    """TLS 1.3: the server asks after the handshake; what it gets is checked while it reads."""

    async def main():
        client, server = with_client_certificates(certs, "1.3", ssl.CERT_REQUIRED, send)
        client.post_handshake_auth = server.post_handshake_auth = True
        async with connected(certs, "server", contexts=(client, server)) as (_, protocol, peer):
            tls = protocol.transport.get_extra_info("ssl_object")
            assert not tls.getpeercert()
            tls.verify_client_post_handshake()
            protocol.transport.write(b"who?")
            assert await blocking(peer.recv) == b"who?"
            await blocking(peer.send, b"me")
            if send:
                assert await protocol.received(2) == b"me"
                assert ("email", "user@mail.test") in tls.getpeercert()["subjectAltName"]
                return
            await protocol.gone()
            assert protocol.data == b""
            if send is None:
                assert protocol.lost.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
            else:
                assert isinstance(protocol.lost, ssl.SSLCertVerificationError)
                assert protocol.lost.verify_code == 20
                assert protocol.lost.verify_message in str(protocol.lost)

    run(loop, main)


@pytest.mark.parametrize("send", [None, False])
def test_server_refuses_the_client(loop, certs, version, send):
    """The loop's server wants a certificate that the client has not, or trusts another one."""

    async def main():
        contexts = with_client_certificates(certs, version, ssl.CERT_REQUIRED, send)
        async with sockets() as (a, b):
            peer = Peer(b, contexts[0], server_side=False, server_hostname="localhost")

            def client():
                with pytest.raises(ssl.SSLError) as info:
                    peer.handshake()
                    peer.recv()
                return info.value

            task = asyncio.ensure_future(blocking(client))
            with pytest.raises(ssl.SSLError) as info:
                await loop.connect_accepted_socket(Refuser, a, ssl=contexts[1])
            if send is None:
                assert info.value.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
            else:
                assert isinstance(info.value, ssl.SSLCertVerificationError)
                assert info.value.verify_code == 20
            # told why, or (asyncio) just hung up on
            assert "ALERT" in (reason := (await task).reason) or "EOF" in reason

    run(loop, main)


@pytest.mark.parametrize("send", [None, False])
def test_client_is_refused(loop, certs, version, contexts, send):
    """With TLS 1.2 the handshake fails; with 1.3 the client learns of it afterwards."""

    async def main():
        both = with_client_certificates(certs, version, ssl.CERT_REQUIRED, send)
        async with sockets() as (a, b):
            peer = Peer(b, both[1], server_side=True)

            def server():
                with pytest.raises(ssl.SSLError):
                    peer.handshake()

            task = asyncio.ensure_future(blocking(server))
            connecting = loop.create_connection(
                Recorder, sock=a, ssl=both[0], server_hostname="localhost"
            )
            if version == "1.2":
                with pytest.raises(ssl.SSLError):
                    await connecting
                await task
            else:
                _, protocol = await connecting
                await task
                await protocol.gone()
                assert isinstance(protocol.lost, ssl.SSLError)
                assert "ALERT" in protocol.lost.reason
                assert protocol.events == ["connection_made", "connection_lost"]
        assert not contexts  # an SSLError is an OSError: of interest in debug mode only

    run(loop, main)
