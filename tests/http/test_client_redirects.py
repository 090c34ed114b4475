"""Redirects: which method and body, which credentials go along, where they end."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json

import pytest
from http_support import Asked, answers, raw, response
from yarl import URL

pytestmark = pytest.mark.filterwarnings(
    "ignore:The 'auth' parameter:DeprecationWarning",
    "ignore:BasicAuth:DeprecationWarning",
)


def moved(location: str, status: int = 302, body: bytes = b"") -> bytes:
    return response(body, f"{status} Moved", Location=location)


def follow(client, *responses: bytes, method="GET", path="/", **request):
    """The requests that one request led to, and the last response's status."""

    async def main():
        async with raw(answers(*responses)) as server, client.session() as http:
            async with http.request(method, server.url + path, **request) as answer:
                await answer.read()
                return server.asked, answer

    return client.run(main)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_statuses(client, status):
    asked, answer = follow(client, moved("/there?x=1", status), response(b"ok"))
    assert [a.target for a in asked] == ["/", "/there?x=1"]
    assert answer.status == 200
    assert answer.url.path_qs == "/there?x=1"
    assert [r.status for r in answer.history] == [status]
    assert answer.history[0].url.path == "/"


@pytest.mark.parametrize("status", [300, 304, 305, 306])
def test_statuses_that_are_no_redirects(client, status):
    asked, answer = follow(client, moved("/there", status))
    assert (len(asked), answer.status) == (1, status)


SAME, GET = "the same", "GET"


@pytest.mark.parametrize(
    "method, status, becomes",
    [
        *[("POST", status, GET) for status in (301, 302, 303)],
        *[("PUT", status, SAME) for status in (301, 302, 307, 308)],
        *[("PUT", 303, GET), ("DELETE", 303, GET), ("PATCH", 303, GET)],
        *[("POST", status, SAME) for status in (307, 308)],
        *[("DELETE", 302, SAME), ("PATCH", 301, SAME)],
    ],
)
@pytest.mark.parametrize("kind", ["bytes", "json", "file"])
def test_row_55_method_and_body(client, method, status, becomes, kind):
    request = {
        "bytes": {"data": b"body"},
        "json": {"json": {"a": 1}},
        "file": {"data": io.BytesIO(b"file")},
    }[kind]
    asked, _ = follow(client, moved("/there", status), response(), method=method, **request)
    first, second = asked
    assert first.method == method and first.body
    if becomes == GET:
        assert second.method == "GET" and second.body == b""
        assert not {"content-length", "content-type", "transfer-encoding"} & set(second.headers)
    else:
        assert second.method == method and second.body == first.body
        assert second.headers["content-length"] == first.headers["content-length"]
        assert second.headers["content-type"] == first.headers["content-type"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_row_55_head_stays_head(client, status):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    asked, _ = follow(client, moved("/there", status), head, method="HEAD", allow_redirects=True)
    assert [a.method for a in asked] == ["HEAD", "HEAD"]


def test_row_55_a_body_that_is_used_up(client):
    async def produce():
        yield b"once"

    with pytest.raises(client.http.ClientPayloadError):
        follow(client, moved("/there", 307), response(), method="POST", data=produce())


def test_not_followed(client):
    asked, answer = follow(client, moved("/there", body=b"see"), allow_redirects=False)
    assert (len(asked), answer.status, answer.headers["location"]) == (1, 302, "/there")


def test_head_is_not_followed_by_default(client):
    async def main():
        async with raw(answers(moved("/there"))) as server, client.session() as http:
            async with http.head(server.url) as answer:
                assert answer.status == 302

    client.run(main)


def test_connections_are_reused(client):
    """The body of a redirect is read to its end."""

    async def main():
        sent = answers(moved("/1", body=b"x" * 5000), moved("/2"), response(b"ok"))
        async with raw(sent) as server, client.session() as http:
            async with http.get(server.url) as answer:
                assert await answer.read() == b"ok"
                assert [r.url.path for r in answer.history] == ["/", "/1"]
            assert len(server.peers) == 1

    client.run(main)


@pytest.mark.parametrize(
    "location, target",
    [
        ("next", "/a/next"),
        ("/next", "/next"),
        ("?q=1", "/a/b?q=1"),
        ("../up", "/up"),
        ("/two words", "/two%20words"),
        ("/%C3%BC", "/%C3%BC"),
        ("/p?a=b%26c", "/p?a=b%26c"),
        ("/p#part", "/p"),
    ],
)
def test_locations(client, location, target):
    asked, _ = follow(client, moved(location), response(), path="/a/b")
    assert asked[1].target == target


def test_a_location_in_utf8(client):
    data = moved("/X").replace(b"/X", "/ü".encode())
    asked, _ = follow(client, data, response())
    assert asked[1].target == "/%C3%BC"


def test_params_are_not_repeated(client):
    asked, _ = follow(client, moved("/there"), response(), params={"a": "b"})
    assert [a.target for a in asked] == ["/?a=b", "/there"]


def test_uri_is_taken_where_there_is_no_location(client):
    asked, _ = follow(client, response(status="302 Moved", URI="/there"), response())
    assert asked[1].target == "/there"


# -- rows 48 to 51 --------------------------------------------------------------------------------


def test_row_48_a_loop(client):
    async def main():
        async with raw(answers(moved("/"))) as server, client.session() as http:
            with pytest.raises(client.http.TooManyRedirects) as caught:
                await http.get(server.url)
            assert len(server.asked) == 10 and len(caught.value.history) == 10
            assert isinstance(caught.value, client.http.ClientResponseError)
            with pytest.raises(client.http.TooManyRedirects):
                await http.get(server.url, max_redirects=2)
            assert len(server.asked) == 12

    client.run(main)


def test_row_49_no_location(client):
    asked, answer = follow(client, response(b"where", "302 Moved"))
    assert (len(asked), answer.status) == (1, 302)


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://localhost/", "mailto:a@b", "javascript:1"]
)
def test_row_50_other_schemes(client, location):
    with pytest.raises(client.http.NonHttpUrlRedirectClientError) as caught:
        follow(client, moved(location), response())
    assert isinstance(caught.value, client.http.RedirectClientError)


@pytest.mark.parametrize(
    "location", ["http://[::1", "http://", "http://:80/", "http:///x", "http://localhost:99999/"]
)
def test_row_51_locations_that_can_not_be_parsed(client, location):
    with pytest.raises(client.http.InvalidUrlRedirectClientError) as caught:
        follow(client, moved(location), response())
    assert isinstance(caught.value, client.http.InvalidUrlClientError)
    assert isinstance(caught.value, client.http.RedirectClientError)


@pytest.mark.parametrize("location", ["http://a:99999/", "http://a:b/", "//a:-1/"])
def test_row_51_a_port_that_is_none_and_nothing_requoted(client, location):
    """aiohttp hands yarl's ValueError on, which is no ClientError."""
    errors = (client.http.InvalidUrlRedirectClientError, *([] if client.ours else [ValueError]))

    async def main():
        async with raw(answers(moved(location), response())) as server:
            async with client.session(requote_redirect_url=False) as http:
                await http.get(server.url)

    with pytest.raises(errors):
        client.run(main)


def test_row_51_a_location_that_yarl_trips_over(client):
    """yarl raises an IndexError for it, which aiohttp hands on."""
    errors = (client.http.InvalidUrlRedirectClientError, *([] if client.ours else [IndexError]))
    with pytest.raises(errors):
        follow(client, moved("http://user@]/"), response())

    async def main():
        async with client.session() as http:
            await http.get("http://user@]/")

    with pytest.raises((*errors, client.http.InvalidUrlClientError)):
        client.run(main)


def test_row_50_the_connection_is_whole_afterwards(client):
    async def main():
        async with raw(answers(moved("file:///x"), response(b"ok"))) as server:
            connector = client.http.TCPConnector(limit=1)
            async with client.session(connector=connector) as http:
                with pytest.raises(client.http.NonHttpUrlRedirectClientError):
                    await http.get(server.url)
                async with http.get(server.url) as answer:
                    assert await answer.read() == b"ok"

    client.run(main)


# -- rows 52 to 54: credentials -------------------------------------------------------------------

SECRETS = {
    "Authorization": {"headers": {"Authorization": "Bearer secret"}},
    "authorization": {"headers": {"aUTHORIZATION": "Bearer secret"}},
    "Authorization twice": {
        "headers": [("Authorization", "a secret"), ("Authorization", "secret")]
    },
    "Cookie": {"headers": {"Cookie": "a=secret"}},
    "cookie": {"headers": {"cOOKIE": "a=secret"}},
    "Proxy-Authorization": {"headers": {"Proxy-Authorization": "Basic secret"}},
    "cookies=": {"cookies": {"a": "secret"}},
    "auth=": {"auth": ("user", "secret")},
    "in the URL": {"userinfo": "user:secret@"},
    "session Authorization": {"session": {"headers": {"Authorization": "Bearer secret"}}},
    "session Cookie": {"session": {"headers": {"Cookie": "a=secret"}}},
    "session Proxy-Authorization": {"session": {"headers": {"Proxy-Authorization": "secret"}}},
}
ENCODED = "dXNlcjpzZWNyZXQ="  # user:secret


def tells(asked: Asked) -> bool:
    text = asked.head.decode()
    return "secret" in text or ENCODED in text


@contextlib.asynccontextmanager
async def secret_session(client, secret):
    secret = {**secret}
    session = secret.pop("session", {})
    userinfo = secret.pop("userinfo", "")
    if "auth" in secret:
        secret["auth"] = client.basic_auth(*secret["auth"])
    async with client.session(**session) as http:
        yield http, userinfo, secret


@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("change", ["host", "port", "scheme", "nothing"])
def test_row_52_another_origin_gets_no_credentials(client, certificates, change, name, status):
    """And rows 53, back again, and 54's first half: what was dropped is not restored."""

    async def main():
        where: dict[str, str] = {}

        async def hop(peer):
            while True:
                asked = await peer.request()
                location = where.get(asked.target)
                peer.send(moved(location, status) if location else response(b"ok"))

        async with raw(hop) as a, raw(hop) as b, raw(hop, ssl=certificates.server()) as tls:
            other = {
                "host": f"http://localhost:{a.port}",
                "port": f"http://127.0.0.1:{b.port}",
                "scheme": tls.url,
                "nothing": a.url,
            }[change]
            where["/start"] = f"{other}/other"
            where["/other"] = f"{a.url}/back"
            async with secret_session(client, SECRETS[name]) as (http, userinfo, request):
                url = f"http://{userinfo}127.0.0.1:{a.port}/start"
                async with http.get(url, ssl=certificates.client(), **request) as answer:
                    assert answer.status == 200 and len(answer.history) == 2
            by_target = {x.target: x for x in [*a.asked, *b.asked, *tls.asked]}
            assert tells(by_target["/start"])
            if change != "nothing":
                assert not tells(by_target["/other"])
                assert not tells(by_target["/back"])
            elif name != "in the URL":
                assert tells(by_target["/other"]) and tells(by_target["/back"])

    client.run(main)


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "cookies=", "auth="])
def test_row_52_from_https_to_http_on_the_same_host(client, certificates, name):
    async def main():
        async with raw(answers(response(b"ok"))) as plain:
            target = f"http://localhost:{plain.port}/"
            async with raw(answers(moved(target)), ssl=certificates.server()) as tls:
                async with secret_session(client, SECRETS[name]) as (http, _, request):
                    async with http.get(tls.url, ssl=certificates.client(), **request) as answer:
                        assert answer.status == 200
                assert tells(tls.asked[0]) and not tells(plain.asked[0])

    client.run(main)


def test_row_52_cookies_of_the_jar_go_by_host(client):
    """A cookie that a server set on the way goes to that host, and to no other."""

    async def main():
        first = response(status="302 Moved", Location="/next", Set_Cookie="a=secret")
        async with raw(answers(response())) as other:
            leave = moved(f"http://127.0.0.1:{other.port}/")
            async with raw(answers(first, leave)) as server, client.session() as http:
                async with http.get(f"http://localhost:{server.port}/") as answer:
                    assert answer.status == 200
                assert server.asked[1].headers["cookie"] == "a=secret"
                assert not tells(other.asked[0])

    client.run(main)


def test_credentials_in_a_location(client):
    """The URL of a redirect may bring its own."""
    where = []

    async def script(peer):
        asked = await peer.request()
        peer.send(moved(where[0]) if asked.target == "/" else response(b"ok"))
        await script(peer)

    async def main():
        async with raw(script) as server, client.session() as http:
            where.append(f"http://user:secret@127.0.0.1:{server.port}/in")
            async with http.get(server.url) as answer:
                assert answer.url == URL(f"{server.url}/in")
            assert server.asked[1].headers["authorization"] == "Basic " + ENCODED

    client.run(main)


def test_raise_for_status_looks_at_the_last_response(client):
    async def main():
        async with raw(answers(moved("/1"), response(b"", "404 No"))) as server:
            async with client.session(raise_for_status=True) as http:
                with pytest.raises(client.http.ClientResponseError) as caught:
                    await http.get(server.url)
                assert caught.value.status == 404

    client.run(main)


def test_the_total_time_is_of_all_hops(client):
    async def script(peer):
        while True:
            await peer.request()
            await asyncio.sleep(0.1)
            peer.send(moved("/"))

    async def main():
        async with raw(script) as server, client.session() as http:
            with pytest.raises(asyncio.TimeoutError):
                await http.get(server.url, timeout=client.http.ClientTimeout(total=0.35))
            assert 2 <= len(server.asked) <= 5

    client.run(main)


def test_a_redirect_that_another_server_would_answer(client):
    """From one real server to another, JSON at the end."""

    async def main():
        data = response(json.dumps([1]).encode(), Content_Type="application/json")
        async with raw(answers(data)) as b, raw(answers(moved(b.url + "/x"))) as a:
            async with client.session() as http, http.get(a.url) as answer:
                assert await answer.json() == [1]
                assert answer.history[0].headers["location"] == b.url + "/x"

    client.run(main)


def test_credentials_in_a_location_and_a_field_of_ones_own(client):
    """On the same origin the field stays, and is what counts; the server can not make the call
    raise ValueError, as it can aiohttp's."""

    async def main():
        async def script(peer):
            await peer.request()
            there = server.url.replace("//", "//user:word@") + "/there"
            peer.send(response(b"", "302 Found", Location=there))
            await peer.request()
            peer.send(response(b"ok"))

        async with raw(script) as server, client.session() as http:
            headers = {"Authorization": "Bearer token"}
            if not client.ours:
                with pytest.raises(ValueError, match="Cannot combine AUTHORIZATION header"):
                    await http.get(server.url, headers=headers)
                return
            async with http.get(server.url, headers=headers) as got:
                assert await got.read() == b"ok"
            assert [a.headers["authorization"] for a in server.asked] == ["Bearer token"] * 2

    client.run(main)
