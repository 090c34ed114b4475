"""Class 1, credentials behind a redirect: those that test_client_redirects.py's row 52 leaves out
(there: headers in any case, cookies=, auth=, the URL's, the session's headers)."""

from __future__ import annotations

import contextlib
import gzip

import pytest
from http_support import answers, raw, response
from security_support import http, run
from test_client_redirects import ENCODED, moved, tells
from yarl import URL

pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth:DeprecationWarning")

CHANGES = ("host", "port", "scheme", "nothing")


@contextlib.asynccontextmanager
async def origins(certificates, change, status=302):
    """A server whose /start redirects to an other origin's /other, and that back to /back."""
    where: dict[str, str] = {}

    async def hop(peer):
        while True:
            asked = await peer.request()
            location = where.get(asked.target)
            peer.send(moved(location, status) if location else response(b"ok"))

    async with raw(hop) as a, raw(hop) as b, raw(hop, ssl=certificates.server()) as tls:
        other = {"host": f"http://localhost:{a.port}", "port": b.url, "scheme": tls.url}
        where["/start"] = f"{other.get(change, a.url)}/other"
        where["/other"] = f"{a.url}/back"
        yield a.url, lambda: {x.target: x for x in [*a.asked, *b.asked, *tls.asked]}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("kind", ["session auth", "netrc", "everything"])
def test_credentials_of_the_session_and_netrc(
    certificates, tmp_path, monkeypatch, change, status, method, kind
):
    """They go to the origin that they are for, and come back to none behind a redirect away."""
    if kind == "netrc":
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    options = {
        "session auth": {"auth": http.BasicAuth("user", "secret")},
        "netrc": {"trust_env": True},
        "everything": {
            "headers": {"Authorization": "Bearer secret", "Proxy-Authorization": "secret"},
            "cookies": None,
        },
    }[kind]

    async def main():
        async with origins(certificates, change, status) as (url, asked):
            async with http.ClientSession(**options) as session:
                ssl = certificates.client()
                async with session.request(method, url + "/start", data=b"", ssl=ssl) as answer:
                    assert answer.status == 200
            seen = asked()
            assert tells(seen["/start"])
            assert tells(seen["/other"]) == (change == "nothing")
            assert tells(seen["/back"]) == (change == "nothing")

    run(main)


def test_a_url_s_credentials_do_not_go_along():
    """Neither in a header nor in Host, Referer or the target."""

    async def main():
        async with raw(answers(moved("/1"), response())) as other:
            first = answers(moved(f"http://localhost:{other.port}/0"))
            async with raw(first) as server, http.ClientSession() as session:
                url = URL(server.url).with_user("user").with_password("secret")
                async with session.get(url) as answer:
                    assert "secret" not in str(answer.url)
                    assert "secret" not in repr(answer) + str(answer.request_info)
                assert ENCODED in server.asked[0].head.decode()
                assert not any(tells(asked) for asked in other.asked)

    run(main)


@pytest.mark.parametrize("of", ["session", "request"])
def test_a_host_of_ones_own_does_not_go_to_another_origin(of):
    """It names the first one: the other would answer for a site that it has not been asked for.
    On the first origin it stays. curl and Go do the same; aiohttp sends it."""

    async def main():
        own = {"Host": "virtual.example"}
        async with raw(answers(moved("/1"), response())) as other:
            first = answers(moved("/0"), moved(f"http://localhost:{other.port}/0"))
            options = {"headers": own} if of == "session" else {}
            async with raw(first) as server, http.ClientSession(**options) as session:
                async with session.get(server.url, headers=None if options else own):
                    pass
                assert [a.headers["host"] for a in server.asked] == ["virtual.example"] * 2
                expected = f"localhost:{other.port}"
                assert [a.headers["host"] for a in other.asked] == [expected] * 2

    run(main)


@pytest.mark.parametrize("name", ["Cookie", "cookie", "Authorization", "authorization"])
def test_no_header_comes_back_by_another_way(name):
    """A custom header stays; a credential that was dropped is in no later hop."""

    async def main():
        async with raw(answers(moved("/1"), moved("/2"), response())) as other:
            first = answers(moved(f"http://localhost:{other.port}/0"))
            async with raw(first) as server, http.ClientSession(headers={name: "secret"}) as s:
                async with s.get(server.url, headers={"X-Other": "kept"}):
                    pass
                assert [asked.headers["x-other"] for asked in other.asked] == ["kept"] * 3
                assert not any(tells(asked) for asked in other.asked)

    run(main)


@pytest.mark.parametrize("status", [301, 302, 303])
@pytest.mark.parametrize("how", ["bytes", "chunked", "json", "gzip"])
def test_a_body_is_not_kept_where_the_method_changes(status, how):
    options = {
        "bytes": {"data": b"secret"},
        "chunked": {"data": b"secret", "chunked": True},
        "json": {"json": "secret"},
        "gzip": {"data": gzip.compress(b"x"), "headers": {"Content-Encoding": "gzip"}},
    }[how]

    async def main():
        async with raw(answers(moved("/1", status), response())) as server:
            async with http.ClientSession() as session:
                async with session.post(server.url, **options) as answer:
                    assert answer.method == "GET"
            second = server.asked[1]
            assert second.method == "GET" and second.body == b""
            assert not {"content-length", "transfer-encoding"} & set(second.headers)

    run(main)


@pytest.mark.parametrize("where", ["get", "request", "session.request with params", "post"])
def test_redirects_are_not_followed_where_nobody_wants_it(where):
    async def main():
        async with raw(answers(moved("http://localhost:9/secret"))) as server:
            async with http.ClientSession() as session:
                calls = {
                    "get": lambda: session.get(server.url, allow_redirects=False),
                    "request": lambda: http.request("GET", server.url, allow_redirects=False),
                    "session.request with params": lambda: session.request(
                        "GET", server.url, params={"a": "b"}, allow_redirects=False
                    ),
                    "post": lambda: session.post(server.url, json=1, allow_redirects=False),
                }
                async with calls[where]() as answer:
                    assert answer.status == 302
            assert len(server.asked) == 1

    run(main)
