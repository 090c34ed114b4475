"""SOCKS5: the handshake alone, against bad proxies, and requests through it. aiohttp has none: what
is right comes from RFC 1928 and 1929, and from curl (socks5, socks5h)."""

from __future__ import annotations

import asyncio
import errno
import random
import socket

import pytest
import support
from http_support import answers, raw, response
from proxy_support import proxy, says

pytest.importorskip("uvolt.http")

from uvolt.http.socks import SocksError, handshake  # noqa: E402

OK = answers(response(b"ok"))
DONE = b"\5\0\0\1" + bytes(6)


async def get(http, url, **request):
    async with http.get(url, **request) as answer:
        return await answer.read()


# -- the handshake --------------------------------------------------------------------------------


def shake(answer: bytes, *request) -> bytes:
    """What is sent to a proxy that answers so. All of the answer must be read, and no more."""
    steps = handshake(*request)
    sent = b""
    data, size = next(steps)
    try:
        while True:
            assert 0 < size <= 257
            sent += data
            piece, answer = answer[:size], answer[size:]
            if len(piece) < size:
                raise EOFError(sent)
            data, size = steps.send(piece)
    except StopIteration:
        assert answer == b""
        return sent


@pytest.mark.parametrize(
    ("host", "packed"),
    [
        ("example.com", b"\3\x0bexample.com"),
        ("a" * 255, b"\3\xff" + b"a" * 255),
        ("192.0.2.1", b"\1\xc0\0\2\1"),
        ("2001:db8::1", b"\4" + socket.inet_pton(socket.AF_INET6, "2001:db8::1")),
    ],
)
def test_a_request(host, packed):
    assert shake(b"\5\0" + DONE, host, 443) == b"\5\1\0" + b"\5\1\0" + packed + b"\x01\xbb"


@pytest.mark.parametrize("bound", [b"\1" + bytes(4), b"\4" + bytes(16), b"\3\0", b"\3\4name"])
def test_the_address_of_the_answer_is_read(bound):
    assert shake(b"\5\0\5\0\0" + bound + b"\0\0", "a", 80)


def test_credentials():
    sent = shake(b"\5\2\1\0" + DONE, "a", 80, "us\xe9r", "")
    assert sent == b"\5\2\0\2" + b"\1\5us\xc3\xa9r\0" + b"\5\1\0\3\1a\0\x50"
    # Offered, and not wanted: they are not sent.
    assert shake(b"\5\0" + DONE, "a", 80, "u", "p") == b"\5\2\0\2" + b"\5\1\0\3\1a\0\x50"


@pytest.mark.parametrize(
    ("answer", "login", "number", "text"),
    [
        (b"\4\0", None, None, "version 4"),
        (b"HT", None, None, "not a SOCKS5 proxy"),
        (b"\5\xff", None, errno.EACCES, "wants credentials"),
        (b"\5\xff", "u", errno.EACCES, "takes no username"),
        (b"\5\2", None, None, "not offered: 2"),
        (b"\5\1", "u", None, "not offered: 1"),
        (b"\5\2\1\1", "u", errno.EACCES, "rejects the username"),
        (b"\5\2\7\0", "u", None, "with version 7"),
        (b"\5\0\4\0", None, None, "version 4"),
        (b"\5\0\5\1", None, None, "general failure"),
        (b"\5\0\5\2", None, errno.EACCES, "not allowed"),
        (b"\5\0\5\3", None, errno.ENETUNREACH, "network unreachable"),
        (b"\5\0\5\4", None, errno.EHOSTUNREACH, "host unreachable"),
        (b"\5\0\5\5", None, errno.ECONNREFUSED, "connection refused"),
        (b"\5\0\5\6", None, errno.ETIMEDOUT, "TTL"),
        (b"\5\0\5\7", None, errno.EOPNOTSUPP, "command"),
        (b"\5\0\5\x08", None, errno.EAFNOSUPPORT, "kind of address"),
        (b"\5\0\5\x99", None, None, "error 153"),
        (b"\5\0\5\0\0\2\0", None, None, "unknown kind 2"),
    ],
)
def test_refusals(answer, login, number, text):
    with pytest.raises(SocksError, match=text) as caught:
        shake(answer, "a", 80, login)
    assert caught.value.errno == number


@pytest.mark.parametrize(
    "request_",
    [
        ("a" * 256, 80),
        ("", 80),
        ("fe80::1%eth0", 80),
        ("a", 80, "u" * 256),
        ("a", 80, "u", "p" * 256),
    ],
)
def test_what_cannot_be_said(request_):
    with pytest.raises(ValueError):
        next(handshake(*request_))


@pytest.mark.parametrize("seed", range(20))
def test_any_answer(seed):
    """Fuzz: any bytes end in a connection, in a SocksError, or in want of more bytes; what is read
    at a time is bounded (shake() looks)."""
    rng = random.Random(seed)
    good = [b"\5\0", b"\5\2", b"\1\0", b"\5\0\0\1", b"\5\0\0\3", b"\5\0\0\4", b"\5\5", bytes(30)]
    outcomes = set()
    for _ in range(2000):
        parts = [rng.choice(good) if rng.random() < 0.8 else rng.randbytes(3) for _ in range(6)]
        answer = b"".join(parts)
        login = rng.choice([None, "user"])
        try:
            shake(answer + bytes(300), rng.choice(["a.b", "1.2.3.4", "::1"]), 80, login, "word")
            outcomes.add("over")
        except AssertionError as exc:  # bytes are left: they are the origin's
            assert "== b''" in str(exc) or not exc.args
            outcomes.add("over")
        except (SocksError, EOFError) as exc:
            outcomes.add(type(exc).__name__)
    assert {"over", "SocksError"} <= outcomes


class Fixed:
    """A resolver with the same answer for every name."""

    def __init__(self, addresses):
        self.addresses = addresses

    async def resolve(self, host, port=0, family=socket.AF_INET):
        assert self.addresses, f"{host} was looked up"
        flags = socket.AI_NUMERICHOST
        rest = {"hostname": host, "port": port, "family": family, "proto": 0, "flags": flags}
        return [{"host": address, **rest} for address in self.addresses]

    async def close(self):
        pass


# -- requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_requests(ours, certificates, scheme, tls):
    async def main():
        origin = raw(OK, ssl=certificates.server() if tls else None)
        async with origin as server, proxy(scheme) as by:
            connector = ours.http.TCPConnector(ssl=certificates.client(), family=socket.AF_INET)
            async with ours.session(connector=connector, proxy=by.url) as http:
                url = server.url.replace("127.0.0.1", "localhost")
                for _ in range(3):
                    assert await get(http, url) == b"ok"
                assert server.asked[0].line == "GET / HTTP/1.1"
                assert server.asked[0].headers["host"] == f"localhost:{server.port}"
                name = "localhost" if scheme == "socks5h" else support.LOCALHOST
                kind = b"\3" if scheme == "socks5h" else b"\1"
                assert by.socks == [(name, server.port, kind)]
                if tls:
                    assert by.received[0][:1] == b"\x16"
            await by.gone()

    ours.run(main)


def test_what_the_origin_says_first_is_the_origin_s(ours):
    """The bytes behind the proxy's answer, in one segment with it, are not lost."""

    async def answer(reader, writer, asked):
        writer.write(b"\5\0")
        await reader.readexactly(4 + 1 + len("origin.invalid") + 2)
        writer.write(DONE + response(b"early"))
        await reader.readuntil(b"\r\n\r\n")
        await reader.read()

    async def main():
        async with proxy("socks5h", answer=answer) as by, ours.session(proxy=by.url) as http:
            try:
                assert await get(http, "http://origin.invalid/") == b"early"
            except ours.http.ClientError:
                pass  # a response to no request: it may be refused, but nothing hangs
            assert not http.connector._pool.connections or by.open

    ours.run(main)


@pytest.mark.parametrize("how", ["url", "proxy_auth", "session"])
def test_a_username_and_password(ours, how):
    async def main():
        async with raw(OK) as server, proxy("socks5h", password=(b"us:er", b"p\xc3\xa9")) as by:
            auth = ours.http.BasicAuth._make_unchecked("us:er", "p\xe9")
            with_credentials = by.url.replace("//", "//us%3Aer:p%C3%A9@")
            session = {"proxy": by.url, "proxy_auth": auth} if how == "session" else {}
            request = {
                "url": {"proxy": with_credentials},
                "proxy_auth": {"proxy": by.url, "proxy_auth": auth},
                "session": {},
            }[how]
            async with ours.session(**session) as http:
                assert await get(http, server.url, **request) == b"ok"
                assert by.credentials == [(b"us:er", b"p\xc3\xa9")]
                assert not {"proxy-authorization", "authorization"} & set(server.asked[0].headers)
                wrong = by.url.replace("//", "//other:word@")
                with pytest.raises(ours.http.ClientProxyConnectionError, match="rejects"):
                    await get(http, server.url, proxy=wrong)
                if how != "session":
                    with pytest.raises(ours.http.ClientProxyConnectionError, match="credentials"):
                        await get(http, server.url, proxy=by.url)
            await by.gone()
            assert len(server.asked) == 1

    ours.run(main)


def test_credentials_and_origins_share_no_connection(ours):
    """Class 5 (CVE-2026-6734): the key has the proxy, its credentials and the origin."""

    async def main():
        async with raw(OK) as server, raw(OK) as other, proxy("socks5h") as by:
            by.hosts["one.invalid"] = by.hosts["two.invalid"] = (support.LOCALHOST, server.port)
            async with ours.session() as http:
                for _ in range(2):
                    for url, where in (
                        ("http://one.invalid/", by.url),
                        ("http://two.invalid/", by.url),
                        ("http://one.invalid/", by.url.replace("//", "//a:b@")),
                        ("http://one.invalid/", by.url.replace("//", "//a:c@")),
                        (other.url, by.url),
                    ):
                        assert await get(http, url, proxy=where) == b"ok"
                assert len(by.socks) == 5

    ours.run(main)


def test_tls_through_socks_is_verified(ours, certificates):
    """Class 10 (CVE-2026-9697): verification, its authorities and the name are the origin's."""

    async def main():
        async with raw(OK, ssl=certificates.server()) as server, proxy("socks5h") as by:
            by.hosts["other.invalid"] = (support.LOCALHOST, server.port)
            async with ours.session(proxy=by.url) as http:
                tls = certificates.client()
                with pytest.raises(ours.http.ClientConnectorCertificateError):
                    await get(http, server.url)
                with pytest.raises(ours.http.ClientConnectorCertificateError):
                    await get(http, "https://other.invalid/", ssl=tls)
                with pytest.raises(ours.http.ServerFingerprintMismatch):
                    await get(http, server.url, ssl=ours.http.Fingerprint(bytes(32)))
                assert server.asked == []
                assert await get(http, server.url, ssl=tls) == b"ok"
                request = {"ssl": tls, "server_hostname": "localhost"}
                assert await get(http, "https://other.invalid/", **request) == b"ok"
            await by.gone()

    ours.run(main)


def test_names_are_the_proxy_s_to_look_up_with_socks5h(ours):
    async def main():
        async with raw(OK) as server, proxy("socks5h") as by:
            by.hosts["origin.invalid"] = (support.LOCALHOST, server.port)
            connector = ours.http.TCPConnector(resolver=Fixed([]))
            async with ours.session(connector=connector, proxy=by.url) as http:
                assert await get(http, "http://origin.invalid/") == b"ok"
                assert by.socks == [("origin.invalid", 80, b"\3")]
                with pytest.raises(ours.http.InvalidUrlClientError):
                    await get(http, "http://127.1/")

    ours.run(main)


def test_with_socks5_the_next_address_is_tried(ours):
    async def main():
        async with raw(OK) as server, proxy("socks5") as by:
            by.hosts["192.0.2.3"] = (support.LOCALHOST, server.port)
            by.refused = {"192.0.2.1": 4, "192.0.2.2": 3}
            addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
            connector = ours.http.TCPConnector(resolver=Fixed(addresses), use_dns_cache=False)
            async with ours.session(connector=connector, proxy=by.url) as http:
                assert await get(http, "http://origin.invalid/") == b"ok"
                assert [host for host, _, _ in by.socks] == addresses
            # What another address does not change is not tried again.
            by.refused = {"192.0.2.1": 2}
            connector = ours.http.TCPConnector(resolver=Fixed(addresses))
            async with ours.session(connector=connector, proxy=by.url) as http:
                with pytest.raises(ours.http.ClientProxyConnectionError, match="not allowed"):
                    await get(http, "http://origin.invalid/")
                assert len(by.socks) == 4

    ours.run(main)


BAD = {
    "closes": (b"", None, "closed the connection"),
    "closes later": (b"\5\0\5", None, "closed the connection"),
    "http": (b"HTTP/1.1 400 Bad Request\r\n\r\n", None, "not a SOCKS5 proxy"),
    "refused": (b"\5\0\5\5", errno.ECONNREFUSED, "connection refused"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_proxies(ours, name):
    data, number, text = BAD[name]

    async def main():
        answer = says(data, hears=bool(data))
        async with proxy("socks5h", answer=answer) as by, ours.session(proxy=by.url) as http:
            for url in ("http://origin.invalid/", "https://origin.invalid/"):
                with pytest.raises(ours.http.ClientProxyConnectionError, match=text) as caught:
                    await http.get(url)
                error = caught.value
                assert error.host == "origin.invalid"
                assert error.os_error.errno == error.errno == number
            await by.gone()
            assert not http.connector._pool.connections

    ours.run(main)


def test_slow_answers_are_read_to_the_byte(ours):
    async def answer(reader, writer, asked):
        for byte in b"\5\0":
            writer.write(bytes([byte]))
            await asyncio.sleep(0.001)
        await reader.readexactly(4 + 1 + len("origin.invalid") + 2)
        for byte in b"\5\0\0\3\4name\0\0":
            writer.write(bytes([byte]))
            await asyncio.sleep(0.001)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response(b"ok"))
        await reader.read()

    async def main():
        async with proxy("socks5h", answer=answer) as by, ours.session(proxy=by.url) as http:
            assert await get(http, "http://origin.invalid/") == b"ok"

    ours.run(main)


def test_redirects_to_tls_go_by_the_proxy_too(ours, certificates):
    async def main():
        async with raw(OK, ssl=certificates.server()) as target, proxy("socks5h") as by:
            to = answers(response(status="302 Found", Location=target.url))
            async with raw(to) as server, ours.session(proxy=by.url) as http:
                assert await get(http, server.url, ssl=certificates.client()) == b"ok"
                assert [port for _, port, _ in by.socks] == [server.port, target.port]

    ours.run(main)
