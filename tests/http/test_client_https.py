"""HTTPS: what is verified, what is refused and how, and whom a connection may be reused for."""

from __future__ import annotations

import asyncio
import datetime
import ssl

import pytest
import support
import trustme
from http_support import OK, answers, get, raw, response


def server_of(issued, minimum=None, maximum=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    if maximum is not None:
        context.maximum_version = maximum
    if minimum is not None:
        context.minimum_version = minimum
    return context


@pytest.fixture(scope="module")
def ca():
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(ca):
    def make():
        context = ssl.create_default_context()
        ca.configure_trust(context)
        return context

    return make


def test_requests(client, certificates):
    async def main():
        async with raw(OK, ssl=certificates.server()) as server:
            connector = client.http.TCPConnector(ssl=certificates.client())
            async with client.session(connector=connector) as http:
                for _ in range(20):
                    assert await get(http, server.url) == b"ok"
                assert len(server.peers) == 1
                assert server.asked[0].headers["host"] == f"localhost:{server.port}"
                got = await asyncio.gather(*(get(http, server.url) for _ in range(20)))
                assert got == [b"ok"] * 20
            await server.closed_by_client()

    client.run(main)


def test_the_context_of_a_request_goes_before_the_connector_s(client, certificates):
    async def main():
        async with raw(OK, ssl=certificates.server()) as server:
            connector = client.http.TCPConnector(ssl=ssl.create_default_context())
            async with client.session(connector=connector) as http:
                with pytest.raises(client.http.ClientConnectorCertificateError):
                    await get(http, server.url)
                assert await get(http, server.url, ssl=certificates.client()) == b"ok"

    client.run(main)


def bodies(client, certificates, size):
    body = bytes(range(256)) * (size // 256)

    async def script(peer):
        while True:
            asked = await peer.request()
            assert len(asked.body) == size
            peer.send(response(asked.body))

    async def main():
        async with raw(script, ssl=certificates.server()) as server, client.session() as http:
            async with http.post(server.url, data=body, ssl=certificates.client()) as answer:
                assert await answer.read() == body

    client.run(main)


@pytest.mark.parametrize("size", [256, 65536, 1 << 20])
def test_bodies(client, certificates, size):
    bodies(client, certificates, size)


# -- row 68: what is refused ----------------------------------------------------------------------


def refused(client, context, error, **request):
    """A request to a server with that context fails so; nothing stays open."""

    async def main():
        async with raw(OK, ssl=context) as server, client.session() as http:
            url = request.pop("url", server.url).replace("PORT", str(server.port))
            with pytest.raises(getattr(client.http, error)) as caught:
                await http.get(url, **request)
            await server.closed_by_client()
            assert server.asked == []
            return caught.value

    return client.run(main)


def is_certificate_error(client, error):
    assert isinstance(error, client.http.ClientConnectorCertificateError)
    assert isinstance(error, client.http.ClientSSLError)
    assert isinstance(error, client.http.ClientConnectorError)
    assert isinstance(error, ssl.CertificateError)
    assert isinstance(error.certificate_error, ssl.SSLCertVerificationError)
    assert error.certificate_error.verify_code
    assert (error.host, error.ssl) == ("localhost", True)
    assert str(error.port) in str(error) and "localhost" in str(error)


def test_a_body_in_pieces(client, certificates):
    async def pieces():
        for size in (1, 100, 20_000, 100_000):
            yield b"x" * size

    async def main():
        async with raw(OK, ssl=certificates.server()) as server, client.session() as http:
            options = {"data": pieces(), "ssl": certificates.client()}
            async with http.post(server.url, **options) as answer:
                assert await answer.read() == b"ok"
            assert server.asked[0].body.count(b"x") == 120_101

    client.run(main)


def test_row_68_a_stranger_s_certificate(client, certificates):
    error = refused(client, certificates.server(), "ClientConnectorCertificateError")
    is_certificate_error(client, error)


def test_row_68_of_another_name(client, ca, trusting):
    server = server_of(ca.issue_cert("example.org"))
    error = refused(client, server, "ClientConnectorCertificateError", ssl=trusting())
    is_certificate_error(client, error)


def test_row_68_expired(client, ca, trusting):
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    server = server_of(ca.issue_cert("localhost", not_after=past))
    error = refused(client, server, "ClientConnectorCertificateError", ssl=trusting())
    is_certificate_error(client, error)


def test_row_68_an_incomplete_chain(client, ca, trusting):
    issued = ca.create_child_ca().issue_cert("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with issued.private_key_pem.tempfile() as key, issued.cert_chain_pems[0].tempfile() as leaf:
        context.load_cert_chain(leaf, key)
    error = refused(client, context, "ClientConnectorCertificateError", ssl=trusting())
    is_certificate_error(client, error)
    whole = server_of(issued)

    async def main():
        async with raw(OK, ssl=whole) as server, client.session() as http:
            assert await get(http, server.url, ssl=trusting()) == b"ok"

    client.run(main)


@pytest.mark.servers
def test_row_68_no_cipher_in_common(client, nginx):
    """nginx says so by an alert."""
    context = nginx.certificates.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA")  # for RSA; its key is another one

    async def main():
        async with client.session() as http:
            with pytest.raises(client.http.ClientConnectorSSLError) as caught:
                await http.get(f"https://localhost:{nginx.tls_port}/hello", ssl=context)
        assert isinstance(caught.value, ssl.SSLError)
        assert isinstance(caught.value, client.http.ClientSSLError)

    client.run(main)


def test_row_68_a_server_without_tls(client, certificates):
    async def main():
        async with raw(answers(response(b"ok"))) as server, client.session() as http:
            url = f"https://localhost:{server.port}/"

            async def script(peer):
                peer.send(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")

            server.script = script
            with pytest.raises(client.http.ClientConnectorSSLError):
                await http.get(url, ssl=certificates.client())

    client.run(main)


def test_row_68_a_fingerprint(client, certificates):
    import hashlib

    der = ssl.PEM_cert_to_DER_cert(
        certificates.certificate.read_text().split("-----END")[0] + "-----END CERTIFICATE-----\n"
    )
    pin = client.http.Fingerprint(hashlib.sha256(der).digest())

    async def main():
        async with raw(OK, ssl=certificates.server()) as server, client.session() as http:
            assert await get(http, server.url, ssl=pin) == b"ok"

    client.run(main)
    wrong = client.http.Fingerprint(b"\0" * 32)
    error = refused(client, certificates.server(), "ServerFingerprintMismatch", ssl=wrong)
    assert error.expected == b"\0" * 32 and error.got == hashlib.sha256(der).digest()
    with pytest.raises(ValueError):
        client.http.Fingerprint(b"short")


def test_row_49_closed_during_the_handshake(client, certificates):
    async def script(peer):
        await peer._more()  # the hello

    async def main():
        async with raw(script) as server, client.session() as http:
            with pytest.raises(client.http.ClientConnectionError):
                await http.get(f"https://localhost:{server.port}/", ssl=certificates.client())
            await server.closed_by_client()

    client.run(main)


def test_row_50_an_end_without_close_notify(client, certificates):
    """A body that ends with the connection is whole: aiohttp's choice too."""

    async def script(peer):
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nbody")
        await support.settle(10)
        sock = peer.transport.get_extra_info("socket")
        sock.shutdown(1)

    async def main():
        async with raw(script, ssl=certificates.server()) as server, client.session() as http:
            try:
                assert await get(http, server.url, ssl=certificates.client()) == b"body"
            except client.http.ClientPayloadError:
                assert client.ours  # the strict way

    client.run(main)


def test_row_51_a_server_that_goes_on_after_close(client, certificates):
    """close() ends the connection, however much comes, and does not read it all."""

    async def script(peer):
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.send_slowly(b"x" * 65536)
            await asyncio.sleep(0)

    async def main():
        async with raw(script, ssl=certificates.server()) as server:
            async with client.session() as http:
                answer = await http.get(server.url, ssl=certificates.client())
                await answer.content.readexactly(100_000)
                answer.close()
            await server.closed_by_client()

    client.run(main)


@pytest.mark.parametrize("names", [1000])
def test_row_55_a_large_certificate(client, ca, trusting, names):
    server = server_of(ca.issue_cert("localhost", *(f"n{n}.example.org" for n in range(names))))

    async def main():
        async with raw(OK, ssl=server) as server_, client.session() as http:
            assert await get(http, server_.url, ssl=trusting()) == b"ok"

    client.run(main)


# -- what is not verified -------------------------------------------------------------------------


def test_not_verified(client, certificates):
    async def main():
        async with raw(OK, ssl=certificates.server()) as server, client.session() as http:
            assert await get(http, server.url, ssl=False) == b"ok"
            # That connection is not for requests that verify.
            with pytest.raises(client.http.ClientConnectorCertificateError):
                await get(http, server.url)
            assert await get(http, server.url, ssl=False) == b"ok"
            assert len(server.asked) == 2

    client.run(main)


def test_not_verified_by_the_connector(client, certificates):
    async def main():
        async with raw(OK, ssl=certificates.server()) as server:
            connector = client.http.TCPConnector(ssl=False)
            async with client.session(connector=connector) as http:
                assert await get(http, server.url) == b"ok"

    client.run(main)


def test_ssl_of_another_type(client):
    async def main():
        async with client.session() as http:
            with pytest.raises(TypeError):
                await http.get("https://localhost/", ssl="yes")
        with pytest.raises(TypeError):
            client.http.TCPConnector(ssl="yes")

    client.run(main)


# -- identity -------------------------------------------------------------------------------------


def test_a_server_hostname(client, ca, trusting):
    """Verified and sent instead of the URL's; part of the pool's key."""
    context = server_of(ca.issue_cert("a.example", "localhost"))
    names = []
    context.sni_callback = lambda _, name, __: names.append(name)

    async def main():
        async with raw(OK, ssl=context) as server, client.session() as http:
            for name in ("a.example", None, "a.example", None):
                request = {"server_hostname": name} if name else {}
                assert await get(http, server.url, ssl=CONTEXT, **request) == b"ok"
            assert names == ["a.example", "localhost"] and len(server.peers) == 2
            with pytest.raises(client.http.ClientConnectorCertificateError):
                await get(http, server.url, ssl=CONTEXT, server_hostname="b.example")

    CONTEXT = trusting()
    client.run(main)


def test_an_address_as_host(client, ca, trusting):
    context = server_of(ca.issue_cert("127.0.0.1"))

    async def main():
        async with raw(OK, ssl=context) as server, client.session() as http:
            url = f"https://127.0.0.1:{server.port}/"
            assert await get(http, url, ssl=trusting()) == b"ok"
            with pytest.raises(client.http.ClientConnectorCertificateError):
                await get(http, server.url, ssl=trusting())

    client.run(main)


def test_client_certificates(client, ca, trusting):
    """Each context has its connections: one with a certificate is not for requests without."""
    context = server_of(ca.issue_cert("localhost"))
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    seen = []

    async def script(peer):
        while True:
            await peer.request()
            seen.append(bool(peer.transport.get_extra_info("peercert")))
            peer.send(response(b"ok"))

    with_certificate, without = trusting(), trusting()
    ca.issue_cert("somebody@example.org").configure_cert(with_certificate)

    async def main():
        async with raw(script, ssl=context) as server, client.session() as http:
            for use in (with_certificate, without, with_certificate, without):
                assert await get(http, server.url, ssl=use) == b"ok"
            assert len(server.peers) == 2

    client.run(main)
    assert seen == [True, False, True, False]


def test_a_client_certificate_that_is_missing(client, ca, trusting):
    """TLS 1.3 says so after the handshake, TLS 1.2 during it: a ClientError either way."""
    support.oracle_lacks(client.loop_name, support.PY < (3, 11), "its TLS hides the alert")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = server_of(ca.issue_cert("localhost"), maximum=version)
        ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED

        async def main(context=context):
            async with raw(OK, ssl=context) as server, client.session() as http:
                with pytest.raises(client.http.ClientError):
                    await get(http, server.url, ssl=trusting())
                assert server.asked == []

        client.run(main)


def test_many_sessions(client, certificates):
    """A session per call, each with a handshake of its own."""

    async def main():
        async with raw(OK, ssl=certificates.server()) as server:
            context = certificates.client()
            for _ in range(20):
                async with client.session() as http:
                    assert await get(http, server.url, ssl=context) == b"ok"
            await server.closed_by_client()

    client.run(main)
