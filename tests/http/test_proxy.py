"""Requests by proxies: what a proxy and an origin are sent, and whose connections are shared."""

from __future__ import annotations

import asyncio
import hashlib
import pickle
import ssl
import sys

import pytest
import support
import trustme
from http_support import answers, raw, response
from proxy_support import basic, proxy

# aiohttp 3.14 warns of proxy_auth=; it stays here.
pytestmark = pytest.mark.filterwarnings("ignore:The 'proxy_auth' parameter:DeprecationWarning")

OK = answers(response(b"ok"))
needs_tls_in_tls = pytest.mark.parametrize("scheme", ["http", "https"])


@pytest.fixture(autouse=True)
def tls_in_tls(request):
    """aiohttp on asyncio of 3.10 is no oracle for TLS in TLS, which that asyncio lacks."""
    params = getattr(request.node, "callspec", None) and request.node.callspec.params
    if params and params.get("scheme") == "https" and params.get("client") == "aiohttp":
        support.oracle_lacks("asyncio", sys.version_info < (3, 11), "no TLS in TLS")


async def get(http, url, **request):
    async with http.get(url, **request) as answer:
        return await answer.read()


# -- http:// through a proxy: it is sent the request itself ---------------------------------------


def forwarded(client, call, **options):
    """The head that a proxy gets for a call, and that the origin gets it."""

    async def main():
        async with raw(OK) as server, proxy() as by, client.session(**options) as http:
            by.hosts["example.com"] = (support.LOCALHOST, server.port)
            assert await call(client, http, by, server) == b"ok"
            assert server.asked[0].head == by.asked[0].head
            return by.asked[0]

    return client.run(main)


def test_the_target_is_the_whole_url(client):
    async def call(client, http, by, server):
        return await get(http, f"{server.url}/a b?q=1&r=a+b#f", proxy=by.url)

    asked = forwarded(client, call)
    port = asked.headers["host"].rpartition(":")[2]
    assert asked.line == f"GET http://127.0.0.1:{port}/a%20b?q=1&r=a+b HTTP/1.1"
    assert "proxy-authorization" not in asked.headers


def test_the_order_of_the_fields(client):
    async def call(client, http, by, server):
        auth = client.basic_auth("user", "pass word")
        url = f"http://login:word@localhost:{server.port}/"
        async with http.post(
            url,
            proxy=by.url,
            proxy_auth=auth,
            data=b"ab",
            headers={"X": "y"},
            cookies={"c": "d"},
        ) as answer:
            assert answer.request_info.headers["Proxy-Authorization"] == auth.encode()
            return await answer.read()

    asked = forwarded(client, call)
    names = [name for name, _ in asked.fields]
    assert names == [
        "Host",
        "X",
        "Accept",
        "Accept-Encoding",
        "User-Agent",
        "Cookie",
        "Authorization",
        "Content-Length",
        "Content-Type",
        "Proxy-Authorization",
    ]
    assert asked.headers["authorization"] == basic("login", "word")


@pytest.mark.parametrize("where", ["request", "session"])
@pytest.mark.parametrize("how", ["proxy_auth", "url"])
def test_credentials(client, where, how):
    async def main():
        async with raw(OK) as server, proxy(password=(b"us:er", b"p@ss")) as by:
            given = {"proxy": by.url.replace("//", "//us%65r:p%40ss@")}
            by.password = (b"user", b"p@ss")
            if how == "proxy_auth":
                given = {"proxy": by.url, "proxy_auth": client.basic_auth("user", "p@ss")}
            session, request = (given, {}) if where == "session" else ({}, given)
            async with client.session(**session) as http:
                assert await get(http, server.url, **request) == b"ok"
                # The same connection is used again, and says it again.
                assert await get(http, server.url, **request) == b"ok"
            assert len(by.asked) == 1
            heads = bytes(by.received[0]).count(b"Proxy-Authorization: ")
            assert heads == 2

    client.run(main)


def test_proxy_auth_goes_before_credentials_of_the_url(client):
    async def call(client, http, by, server):
        url = by.url.replace("//", "//a:b@")
        return await get(http, server.url, proxy=url, proxy_auth=client.basic_auth("c", "d"))

    assert forwarded(client, call).headers["proxy-authorization"] == basic("c", "d")


def test_authorization_among_the_proxy_s_headers_is_the_proxy_s(client):
    async def call(client, http, by, server):
        return await get(http, server.url, proxy=by.url, proxy_headers={"Authorization": "Basic x"})

    asked = forwarded(client, call)
    assert asked.headers["proxy-authorization"] == "Basic x"
    assert "authorization" not in asked.headers


def test_proxy_authorization_among_the_proxy_s_headers(client):
    """aiohttp, whose documentation has it instead of proxy_auth, sends it in CONNECT only."""

    async def call(client, http, by, server):
        given = {"Proxy-Authorization": "Basic x", "X": "y"}
        return await get(http, server.url, proxy=by.url, proxy_headers=given)

    asked = forwarded(client, call)
    assert asked.headers.get("proxy-authorization") == ("Basic x" if client.ours else None)
    assert "x" not in asked.headers  # a proxy would hand it on


def test_a_proxy_s_refusal_of_a_request_is_its_answer(client):
    async def main():
        async with raw(OK) as server, proxy(password=(b"a", b"b")) as by, client.session() as http:
            async with http.get(server.url, proxy=by.url) as answer:
                assert answer.status == 407
                assert answer.headers["Proxy-Authenticate"] == 'Basic realm="proxy"'
                assert await answer.read() == b"who?"
            assert server.asked == []

    client.run(main)


def test_the_empty_proxy_is_none(client):
    async def main():
        async with raw(OK) as server, client.session(proxy="http://127.0.0.1:1") as http:
            with pytest.raises(client.http.ClientProxyConnectionError):
                await get(http, server.url)
            assert await get(http, server.url, proxy="") == b"ok"
            assert server.asked[0].line == "GET / HTTP/1.1"

    client.run(main)


def test_plain_requests_and_proxied_ones_share_no_connection(client):
    async def main():
        async with raw(OK) as server, proxy() as by, client.session() as http:
            for _ in range(2):
                assert await get(http, server.url) == b"ok"
                assert await get(http, server.url, proxy=by.url) == b"ok"
            targets = [asked.target for asked in server.asked]
            assert targets == ["/", server.url, "/", server.url]
            assert len(server.peers) == 2

    client.run(main)


# -- https:// through a proxy: a tunnel -----------------------------------------------------------


def tunnelled(client, certificates, call, scheme="http", **options):
    """The CONNECT that a proxy gets for a call, and what the origin gets in the tunnel."""

    async def main():
        tls = certificates.server() if scheme == "https" else None
        async with raw(OK, ssl=certificates.server()) as server, proxy(scheme, ssl=tls) as by:
            connector = client.http.TCPConnector(ssl=certificates.client())
            async with client.session(connector=connector, **options) as http:
                assert await call(client, http, by, server) == b"ok"
            await by.gone()
            return by, server

    return client.run(main)


@needs_tls_in_tls
def test_connect(client, certificates, scheme):
    async def call(client, http, by, server):
        return await get(http, f"{server.url}/a?b", proxy=by.url, headers={"X": "y"})

    by, server = tunnelled(client, certificates, call, scheme)
    asked = by.asked[0]
    assert asked.line == f"CONNECT localhost:{server.port} HTTP/1.1"
    names = [name for name, _ in asked.fields]
    assert names == ["Host", "Accept", "Accept-Encoding", "User-Agent"]
    assert asked.headers["host"] == f"localhost:{server.port}"
    assert server.asked[0].target == "/a?b"
    assert by.received[0][:1] == b"\x16"  # TLS, and nothing else
    assert b"localhost" in by.received[0][:400]  # the server's name
    assert b"GET" not in by.received[0]


@needs_tls_in_tls
def test_a_tunnel_serves_many_requests(client, certificates, scheme):
    async def call(client, http, by, server):
        for _ in range(20):
            assert await get(http, server.url, proxy=by.url) == b"ok"
        got = await asyncio.gather(*(get(http, server.url, proxy=by.url) for _ in range(20)))
        assert got == [b"ok"] * 20
        return b"ok"

    by, server = tunnelled(client, certificates, call, scheme)
    assert len(by.asked) == len(server.peers) <= 20
    assert len(server.asked) == 40


@needs_tls_in_tls
@pytest.mark.parametrize("size", [1 << 10, 1 << 20])
def test_bodies_in_a_tunnel(client, certificates, scheme, size):
    body = bytes(range(256)) * (size // 256)

    async def echo(peer):
        while True:
            asked = await peer.request()
            peer.send(response(asked.body))

    async def main():
        tls = certificates.server() if scheme == "https" else None
        async with raw(echo, ssl=certificates.server()) as server, proxy(scheme, ssl=tls) as by:
            async with client.session(proxy=by.url) as http:
                for _ in range(2):
                    async with http.post(
                        server.url, data=body, ssl=certificates.client()
                    ) as answer:
                        assert await answer.read() == body

    client.run(main, 60)


@needs_tls_in_tls
def test_credentials_of_a_tunnel_stay_outside(client, certificates, scheme):
    async def call(client, http, by, server):
        by.password = (b"user", b"word")
        auth = client.basic_auth("user", "word")
        return await get(http, server.url, proxy=by.url, proxy_auth=auth)

    by, server = tunnelled(client, certificates, call, scheme)
    assert by.asked[0].headers["proxy-authorization"] == basic("user", "word")
    assert "authorization" not in by.asked[0].headers
    assert "proxy-authorization" not in server.asked[0].headers


def test_headers_for_the_proxy(client, certificates):
    async def call(client, http, by, server):
        given = {"Proxy-Authorization": "Basic x", "X": "y"}
        return await get(http, server.url, proxy=by.url, proxy_headers=given)

    by, server = tunnelled(client, certificates, call)
    assert by.asked[0].headers["proxy-authorization"] == "Basic x"
    assert by.asked[0].headers["x"] == "y"
    assert [name for name, _ in by.asked[0].fields][:3] == ["Host", "Proxy-Authorization", "X"]
    assert not {"proxy-authorization", "x"} & set(server.asked[0].headers)


def test_headers_of_a_session_are_not_for_the_proxy(client, certificates):
    """aiohttp sends them, and makes the session's Authorization the proxy's."""

    async def call(client, http, by, server):
        return await get(http, server.url, proxy=by.url, headers={"Y": "z"})

    given = {"Authorization": "Bearer secret", "X": "y", "User-Agent": "me"}
    by, server = tunnelled(client, certificates, call, headers=given)
    assert by.asked[0].headers["user-agent"] == "me"
    assert "y" not in by.asked[0].headers
    assert server.asked[0].headers["authorization"] == "Bearer secret"
    if client.ours:
        assert not {"authorization", "proxy-authorization", "x"} & set(by.asked[0].headers)
    else:
        assert by.asked[0].headers["proxy-authorization"] == "Bearer secret"


def test_a_field_for_proxies_does_not_reach_an_origin_in_a_tunnel(client, certificates):
    """CVE-2023-32681, by a header of the request. aiohttp sends it to the origin."""

    async def call(client, http, by, server):
        given = {"Proxy-Authorization": "Basic secret"}
        return await get(http, server.url, proxy=by.url, headers=given)

    _, server = tunnelled(client, certificates, call)
    assert ("proxy-authorization" in server.asked[0].headers) is not client.ours


def test_a_name_and_an_address_of_ipv6(client, certificates):
    async def main():
        async with proxy() as by, client.session() as http:
            with pytest.raises(client.http.ClientConnectorError):
                await http.get("https://[::1]:1/", proxy=by.url)
            with pytest.raises(client.http.ClientConnectorError):
                await http.get("https://bücher.invalid/", proxy=by.url)
            assert [(a.target, a.headers["host"]) for a in by.asked] == [
                ("[::1]:1", "[::1]:1"),
                ("xn--bcher-kva.invalid:443", "xn--bcher-kva.invalid"),
            ]

    client.run(main)


# -- TLS: whose certificate is looked at, by which context ----------------------------------------


@pytest.fixture(scope="module")
def authorities():
    return trustme.CA(), trustme.CA()


def context_of(ca, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    return context


def trust(*authorities):
    context = ssl.create_default_context()
    for ca in authorities:
        ca.configure_trust(context)
    return context


def refused_at_the_proxy(client, proxy_context, error, **session):
    """With a proxy of this context a request fails so, and the proxy is told nothing."""

    async def main():
        async with proxy("https", ssl=proxy_context) as by, client.session() as http:
            for url in ("http://localhost:1/", "https://localhost:1/"):
                with pytest.raises(getattr(client.http, error)) as caught:
                    await http.get(url, proxy=by.url, **session)
                assert (caught.value.host, caught.value.port) == ("localhost", by.port)
            await by.gone()
            assert by.asked == []

    client.run(main)


def test_a_proxy_of_another_name_is_refused(client, authorities):
    ca, _ = authorities
    context = context_of(ca, "proxy.invalid")
    refused_at_the_proxy(client, context, "ClientConnectorCertificateError", ssl=trust(ca))


def test_a_proxy_of_another_authority_is_refused(client, authorities):
    ca, other = authorities
    context = context_of(ca, "localhost")
    refused_at_the_proxy(client, context, "ClientConnectorCertificateError", ssl=trust(other))
    refused_at_the_proxy(client, context, "ClientConnectorCertificateError")


def test_an_origin_behind_a_proxy_is_verified(client, authorities):
    ca, other = authorities

    async def main():
        async with raw(OK, ssl=context_of(other, "localhost")) as server, proxy() as by:
            async with client.session(proxy=by.url) as http:
                with pytest.raises(client.http.ClientConnectorCertificateError) as caught:
                    await http.get(server.url, ssl=trust(ca))
                assert (caught.value.host, caught.value.port) == ("localhost", server.port)
                with pytest.raises(client.http.ClientConnectorCertificateError):
                    await http.get(server.url.replace("localhost", "127.0.0.1"), ssl=trust(other))
                assert await get(http, server.url, ssl=trust(other)) == b"ok"
                assert await get(http, server.url, ssl=False) == b"ok"
            await by.gone()

    client.run(main)


def test_server_hostname_is_the_origin_s(client, authorities):
    ca, _ = authorities

    async def main():
        async with raw(OK, ssl=context_of(ca, "origin.invalid")) as server, proxy() as by:
            async with client.session(proxy=by.url) as http:
                request = {"ssl": trust(ca), "server_hostname": "origin.invalid"}
                assert await get(http, server.url, **request) == b"ok"
                with pytest.raises(client.http.ClientConnectorCertificateError):
                    await http.get(server.url, ssl=request["ssl"])

    client.run(main)


@pytest.mark.parametrize("where", ["request", "connector"])
def test_a_fingerprint_is_the_origin_s(client, certificates, where):
    end = "-----END CERTIFICATE-----\n"
    first = certificates.certificate.read_text().partition(end)[0] + end
    good = client.http.Fingerprint(hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).digest())
    bad = client.http.Fingerprint(bytes(32))

    async def main():
        async with raw(OK, ssl=certificates.server()) as server, proxy() as by:
            for pin in (bad, good):
                session, request = {}, {}
                if where == "request":
                    request["ssl"] = pin
                else:
                    session["connector"] = client.http.TCPConnector(ssl=pin)
                async with client.session(proxy=by.url, **session) as http:
                    if pin is good:
                        assert await get(http, server.url, **request) == b"ok"
                        continue
                    with pytest.raises(client.http.ServerFingerprintMismatch):
                        await http.get(server.url, **request)
                    assert server.asked == []
            await by.gone()

    client.run(main)


# -- keys: who shares a tunnel --------------------------------------------------------------------


def test_what_differs_in_its_proxy_shares_no_tunnel(client, certificates):
    async def main():
        async with raw(OK, ssl=certificates.server()) as server, proxy() as by, proxy() as other:
            tls = certificates.client()
            connector = client.http.TCPConnector(ssl=tls)
            async with client.session(connector=connector) as http:
                ways = [
                    {},
                    {"proxy": by.url},
                    {"proxy": other.url},
                    {"proxy": by.url, "proxy_auth": client.basic_auth("a", "b")},
                    {"proxy": by.url, "proxy_auth": client.basic_auth("a", "c")},
                    {"proxy": by.url, "proxy_headers": {"X": "1"}},
                    {"proxy": by.url, "proxy_headers": {"X": "2"}},
                    {"proxy": by.url, "server_hostname": "localhost"},
                    {"proxy": by.url, "ssl": certificates.client()},
                    {"proxy": by.url, "ssl": False},
                ]
                for _ in range(3):
                    for way in ways:
                        assert await get(http, server.url, **way) == b"ok"
                assert len(server.peers) == len(ways)
                assert len(by.asked) == len(ways) - 2
                assert len(other.asked) == 1

    client.run(main)


def test_credentials_in_the_url_and_proxy_auth_are_one_key(client, certificates):
    async def main():
        async with raw(OK, ssl=certificates.server()) as server, proxy() as by:
            async with client.session() as http:
                tls = certificates.client()
                url = by.url.replace("//", "//a:b@")
                ways = [
                    {"proxy": url},
                    {"proxy": by.url, "proxy_auth": client.basic_auth("a", "b")},
                ]
                for way in ways:
                    assert await get(http, server.url, ssl=tls, **way) == b"ok"
                assert len(by.asked) == (1 if client.ours else 2)

    client.run(main)


# -- redirects ------------------------------------------------------------------------------------


def test_redirects_stay_with_the_proxy(client, certificates):
    async def main():
        async with raw(OK, ssl=certificates.server()) as target, proxy(password=(b"a", b"b")) as by:
            to = response(status="302 Found", Location=f"{target.url}/there")
            async with raw(answers(to)) as server, client.session() as http:
                auth = client.basic_auth("a", "b")
                got = await get(
                    http, server.url, proxy=by.url, proxy_auth=auth, ssl=certificates.client()
                )
                assert got == b"ok"
                assert [asked.method for asked in by.asked] == ["GET", "CONNECT"]
                assert all("proxy-authorization" in asked.headers for asked in by.asked)
                assert "proxy-authorization" not in target.asked[0].headers

    client.run(main)


def test_a_redirect_drops_proxy_authorization_of_a_request(client):
    async def main():
        async with raw(OK) as target, proxy() as by:
            to = response(status="302 Found", Location=target.url)
            async with raw(answers(to)) as server, client.session() as http:
                given = {"Proxy-Authorization": "Basic x"}
                assert await get(http, server.url, proxy=by.url, headers=given) == b"ok"
                assert "proxy-authorization" in by.asked[0].headers
                assert "proxy-authorization" not in by.asked[1].headers

    client.run(main)


# -- what is uvolt.http's own ---------------------------------------------------------------------


def test_credentials_of_a_session_are_its_own_proxy_s(client):
    async def main():
        async with raw(OK) as server, proxy() as by, proxy() as other:
            auth = client.basic_auth("a", "b")
            async with client.session(proxy=by.url, proxy_auth=auth) as http:
                assert await get(http, server.url) == b"ok"
                assert await get(http, server.url, proxy=other.url) == b"ok"
            async with client.session(proxy_auth=auth) as http:
                assert await get(http, server.url, proxy=by.url) == b"ok"
            assert all("proxy-authorization" in asked.headers for asked in by.asked)
            assert len(by.asked) == 2
            assert ("proxy-authorization" in other.asked[0].headers) is not client.ours

    client.run(main)


def test_keys_are_equal_only_if_their_headers_are(ours):
    from yarl import URL

    from uvolt.http.proxy import Proxy, ProxyKey
    from uvolt.http.reqrep import ConnectionKey

    key = ConnectionKey("a", 443, True, True)
    url = URL("http://proxy:3128")
    one = ProxyKey.make(key, Proxy(url, None, (("X", "1"),)))
    same = ProxyKey.make(key, Proxy(url, None, (("X", "1"),)))
    assert one == same and hash(one) == hash(same) and not one != same
    other = ProxyKey(*one)  # the same hash of headers, and no such headers
    other.proxy_headers = (("X", "2"),)
    assert one != other and hash(one) == hash(other)
    assert one != key and key != one
    assert ProxyKey.make(key, Proxy(url)) == ConnectionKey("a", 443, True, True, url)


def test_no_password_is_shown(ours):
    """Neither by errors nor by connections and sessions that are dropped."""

    async def main():
        async with raw(OK) as server, proxy() as by, ours.session() as http:
            given = by.url.replace("//", "//user:secret@")
            assert await get(http, server.url, proxy=given) == b"ok"
            assert "user" in repr(http.connector._pool.connections)
            shown = [repr(http.connector._pool.connections), repr(http.connector._conns)]
            for where in ("http://user:secret@127.0.0.1:1", "socks5h://user:secret@127.0.0.1:1"):
                with pytest.raises(ours.http.ClientProxyConnectionError) as caught:
                    await get(http, server.url, proxy=where)
                shown += [str(caught.value), repr(caught.value)]
                again = pickle.loads(pickle.dumps(caught.value))
                assert str(again) == str(caught.value)
            assert "secret" not in "".join(shown)

    ours.run(main)


def test_a_fingerprint_does_not_stand_for_a_proxy_with_tls(ours, certificates, authorities):
    """Pinning the origin does not switch off what the proxy is verified by (class 10)."""
    ca, other = authorities
    end = "-----END CERTIFICATE-----\n"
    first = certificates.certificate.read_text().partition(end)[0] + end
    pin = ours.http.Fingerprint(hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).digest())

    async def main():
        tls = context_of(ca, "localhost")
        async with raw(OK, ssl=certificates.server()) as server, proxy("https", ssl=tls) as by:
            for trusted, error in (
                (None, "ClientConnectorCertificateError"),
                (trust(other), "ClientConnectorCertificateError"),
                (ours.http.Fingerprint(bytes(32)), "ServerFingerprintMismatch"),
                (trust(ca), None),
                (False, None),
            ):
                for where in ("request", "connector"):
                    given = {"ssl": pin}
                    options = given if where == "connector" else {}
                    connector = ours.http.TCPConnector(proxy_ssl=trusted, **options)
                    request = given if where == "request" else {}
                    async with ours.session(connector=connector, proxy=by.url) as http:
                        if error is None:
                            assert await get(http, server.url, **request) == b"ok"
                            continue
                        with pytest.raises(getattr(ours.http, error)):
                            await get(http, server.url, **request)
                        assert server.asked == by.asked == []
            with pytest.raises(TypeError, match="ssl should be"):
                ours.http.TCPConnector(proxy_ssl="yes")

    ours.run(main)


def test_a_client_certificate_for_the_proxy_alone(ours, certificates, authorities):
    ca, other = authorities
    tls = context_of(ca, "localhost")
    other.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    mine = trust(ca)
    other.issue_cert("me@client.invalid").configure_cert(mine)

    async def main():
        async with raw(OK, ssl=certificates.server()) as server, proxy("https", ssl=tls) as by:
            for url in (server.url, "http://localhost:1/"):
                connector = ours.http.TCPConnector(ssl=certificates.client(), proxy_ssl=mine)
                async with ours.session(connector=connector, proxy=by.url) as http:
                    async with http.get(url) as answer:
                        assert answer.status == (200 if url is server.url else 502)
            assert len(by.asked) == 2
            without = ours.http.TCPConnector(ssl=certificates.client(), proxy_ssl=trust(ca))
            async with ours.session(connector=without, proxy=by.url) as http:
                with pytest.raises(ours.http.ClientError):
                    await get(http, server.url)
            await by.gone()
            assert len(by.asked) == 2

    ours.run(main)


def test_aiohttp_s_fingerprint_is_as_good(ours, certificates):
    import aiohttp

    async def main():
        async with raw(OK, ssl=certificates.server()) as server, ours.session() as http:
            with pytest.raises(ours.http.ServerFingerprintMismatch):
                await get(http, server.url, ssl=aiohttp.Fingerprint(bytes(32)))

    ours.run(main)
