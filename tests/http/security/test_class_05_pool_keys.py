"""Class 5, what a connection is kept by: everything that makes two requests' peers differ."""

from __future__ import annotations

import contextlib
import hashlib
import ssl as ssl_module

import pytest
from http_support import answers, raw, response
from security_support import http, run


def other_context(certificates):
    context = certificates.client()
    context.check_hostname = False
    return context


@contextlib.contextmanager
def fingerprint(certificates):
    pem = certificates.certificate.read_text().split("-----END")[0] + "-----END CERTIFICATE-----\n"
    yield hashlib.sha256(ssl_module.PEM_cert_to_DER_cert(pem)).digest()


def variants(certificates):
    """Options of a request that ask for another kind of peer, each."""
    with fingerprint(certificates) as digest:
        good = certificates.client()
        return {
            "verified": {"ssl": good},
            "another context": {"ssl": other_context(certificates)},
            "not verified": {"ssl": False},
            "a fingerprint": {"ssl": http.Fingerprint(digest)},
            "another name": {"ssl": good, "server_hostname": "127.0.0.1"},
            "the name, said": {"ssl": good, "server_hostname": "localhost"},
        }


NAMES = (
    *("verified", "another context", "not verified", "a fingerprint", "another name"),
    "the name, said",
)


@pytest.mark.parametrize("second", NAMES)
@pytest.mark.parametrize("first", NAMES)
def test_tls_options(certificates, first, second):
    options = variants(certificates)

    async def main():
        async with raw(answers(response(b"ok")), ssl=certificates.server()) as server:
            async with http.ClientSession() as session:
                for name in (first, second, first):
                    async with session.get(server.url, **options[name]) as answer:
                        assert await answer.read() == b"ok"
            assert len(server.peers) == (1 if first == second else 2)

    run(main)


def test_not_verified_once_is_not_verified_for_ever(certificates):
    """The connection of ssl=False is not given to who wants to know whom it is talking to."""

    async def main():
        async with raw(answers(response(b"ok")), ssl=certificates.server()) as server:
            async with http.ClientSession() as session:
                async with session.get(server.url, ssl=False) as answer:
                    await answer.read()
                with pytest.raises(http.ClientConnectorCertificateError):
                    await session.get(server.url)  # the public CAs do not know this one
                with pytest.raises(http.ClientConnectorCertificateError):
                    await session.get(server.url, ssl=True)
                async with session.get(server.url, ssl=False) as answer:
                    await answer.read()
            assert len(server.asked) == 2

    run(main)


@pytest.mark.parametrize("name", ["example.com", "127.0.0.2", "localhost.evil"])
def test_a_name_that_the_certificate_does_not_have(certificates, name):
    """Also behind a request to the same place under the right name."""

    async def main():
        async with raw(answers(response(b"ok")), ssl=certificates.server()) as server:
            async with http.ClientSession() as session:
                ssl = certificates.client()
                async with session.get(server.url, ssl=ssl) as answer:
                    await answer.read()
                with pytest.raises(http.ClientConnectorCertificateError):
                    await session.get(server.url, ssl=ssl, server_hostname=name)
            assert len(server.asked) == 1

    run(main)


def test_schemes_and_hosts_and_ports(certificates):
    """http and https, two names of one address, two ports: no connection serves two of them."""

    async def main():
        sent = answers(response(b"ok"))
        async with raw(sent) as a, raw(sent) as b, http.ClientSession() as session:
            for url in (a.url, b.url, f"http://localhost:{a.port}", a.url, b.url):
                async with session.get(url) as answer:
                    await answer.read()
            assert (len(a.peers), len(b.peers)) == (2, 1)

    run(main)


def test_a_private_ca_alone(certificates, tmp_path):
    """A context of one CA takes no certificate of another."""
    import servers

    (tmp_path / "other").mkdir()
    others = servers.Certificates.make(tmp_path / "other")

    async def main():
        async with raw(answers(response(b"ok")), ssl=others.server()) as server:
            async with http.ClientSession() as session:
                with pytest.raises(http.ClientConnectorCertificateError):
                    await session.get(server.url, ssl=certificates.client())
                async with session.get(server.url, ssl=others.client()) as answer:
                    assert await answer.read() == b"ok"

    run(main)
