"""What a request sends: methods, params, bodies of every kind, headers, cookies, auth."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import urllib.parse
import zlib

import pytest
import support
from http_support import answers, raw, response
from multidict import CIMultiDict, MultiDict
from yarl import URL

OK = answers(response(b'{"ok": true}', Content_Type="application/json"))


def ask(client, *, session=None, method="GET", path="/", **request):
    """Make one request; what the server got and what the client says of it."""

    async def main():
        async with raw(OK) as server, client.session(**(session or {})) as http:
            async with http.request(method, server.url + path, **request) as answer:
                assert answer.status == 200
                assert await answer.json() == {"ok": True}
            return server.asked[0]

    return client.run(main)


@pytest.mark.parametrize("method", ["get", "options", "head", "post", "put", "patch", "delete"])
def test_each_method(client, method):
    async def main():
        body = b"" if method == "head" else b'{"ok": true}'
        async with raw(answers(response(body))) as server, client.session() as http:
            async with getattr(http, method)(server.url + "/a?b=c") as answer:
                assert (answer.status, answer.method) == (200, method.upper())
                assert await answer.read() == body
            assert server.asked[0].line == f"{method.upper()} /a?b=c HTTP/1.1"
            assert server.asked[0].headers["host"] == f"127.0.0.1:{server.port}"

    client.run(main)


def test_a_method_of_ones_own(client):
    assert ask(client, method="purge").line == "PURGE / HTTP/1.1"


@pytest.mark.parametrize(
    "params, query",
    [
        ({"a": "1"}, "a=1"),
        ({"a": 1, "b": 2.5}, "a=1&b=2.5"),
        ([("a", "1"), ("a", "2")], "a=1&a=2"),
        (MultiDict([("k", "1"), ("x", "y"), ("k", "2")]), "k=1&x=y&k=2"),
        ({"a": ["1", "2"]}, "a=1&a=2"),
        ({"q": "two words & more=ü/?"}, "q=two+words+%26+more%3D%C3%BC/?"),
        ("raw=1&x=%2F", "raw=1&x=%252F"),
        ({}, ""),
        (None, ""),
    ],
)
def test_params(client, params, query):
    asked = ask(client, params=params)
    assert asked.target == ("/?" + query if query else "/")


def test_params_are_added_to_the_query_of_the_url(client):
    assert ask(client, path="/p?x=1", params={"y": "2"}).target == "/p?x=1&y=2"


@pytest.mark.parametrize("value", [True, None, object()])
def test_params_that_are_not_text(client, value):
    with pytest.raises(TypeError):
        ask(client, params={"a": value})


@pytest.mark.parametrize(
    "path, target",
    [
        ("", "/"),
        ("?x=1", "/?x=1"),
        ("/a b", "/a%20b"),
        ("/ü", "/%C3%BC"),
        ("/%2F%28%7E", "/%2F(~"),
        ("/?a=%2F%2B+c", "/?a=/%2B+c"),
        ("/p#fragment", "/p"),
        ("/a/../b/./c", "/b/c"),
        ("//double", "//double"),
    ],
)
def test_urls_are_quoted_as_yarl_quotes_them(client, path, target):
    assert ask(client, path=path).target == target


def test_a_url_that_is_encoded_already(client):
    async def main():
        async with raw(OK) as server, client.session() as http:
            url = URL(f"{server.url}/%28%7E?a=%2F", encoded=True)
            async with http.get(url) as answer:
                assert answer.url == url
            assert server.asked[0].target == "/%28%7E?a=%2F"

    client.run(main)


def test_host_names_in_other_letters(client):
    """The host is lower-cased, the port of the scheme left out."""

    async def main():
        async with raw(OK) as server, client.session() as http:
            async with http.get(f"http://LOCALHOST:{server.port}/") as answer:
                assert answer.url.host == "localhost"
            assert server.asked[0].headers["host"] == f"localhost:{server.port}"

    client.run(main)


# -- bodies ---------------------------------------------------------------------------------------


def test_json(client):
    value = {"text": "ü\n", "list": [1, 2.5, None, True]}
    asked = ask(client, method="POST", json=value)
    assert asked.body == json.dumps(value).encode()
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["content-length"] == str(len(asked.body))


def test_json_by_a_serializer_of_ones_own(client):
    session = {"json_serialize": lambda value: f"<{value}>"}
    assert ask(client, session=session, method="POST", json=1).body == b"<1>"


def test_data_and_json_do_not_go_together(client):
    with pytest.raises(ValueError):
        ask(client, method="POST", json={}, data=b"")


def test_json_that_can_not_be_serialized(client):
    with pytest.raises(TypeError):
        ask(client, method="POST", json=object())


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "data, body, content_type",
    [
        (b"bytes", b"bytes", "application/octet-stream"),
        (bytearray(b"bytearray"), b"bytearray", "application/octet-stream"),
        (memoryview(b"view"), b"view", "application/octet-stream"),
        ("text ü", "text ü".encode(), "text/plain; charset=utf-8"),
        ({"a": "1", "b": "two words"}, b"a=1&b=two+words", FORM),
        ([("a", "1"), ("a", "ü")], b"a=1&a=%C3%BC", FORM),
        (MultiDict(a="1", b="2"), b"a=1&b=2", FORM),
        (b"", b"", "application/octet-stream"),
        ("", b"", "text/plain; charset=utf-8"),
    ],
    ids=repr,
)
def test_data(client, data, body, content_type):
    asked = ask(client, method="POST", data=data)
    assert asked.body == body
    assert asked.headers["content-type"] == content_type
    assert asked.headers["content-length"] == str(len(body))


@pytest.mark.parametrize("kind", ["BytesIO", "StringIO", "file", "text file", "part of a file"])
def test_file_objects(client, kind, tmp_path):
    content = b"file content\n" * 10_000
    path = tmp_path / "data.json"
    path.write_bytes(content)
    file = {
        "BytesIO": lambda: io.BytesIO(content),
        "StringIO": lambda: io.StringIO(content.decode()),
        "file": lambda: path.open("rb"),
        "text file": lambda: path.open(encoding="utf-8"),
        "part of a file": lambda: path.open("rb"),
    }[kind]()
    if kind == "part of a file":
        file.seek(1000)
    with file:
        asked = ask(client, method="POST", data=file)
    expected = content[1000:] if kind == "part of a file" else content
    assert asked.body == expected
    assert asked.headers["content-length"] == str(len(expected))


def dechunk(data: bytes) -> bytes:
    out = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        out += data[: int(size, 16)]
        assert data[int(size, 16) :][:2] == b"\r\n"
        data = data[int(size, 16) + 2 :]
    return out


async def produce(*parts: bytes):
    for part in parts:
        await asyncio.sleep(0)
        yield part


def test_an_async_generator_goes_in_chunks(client):
    asked = ask(client, method="POST", data=produce(b"one,", b"", b"two,", b"x" * 100_000))
    assert asked.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in asked.headers
    assert dechunk(asked.body) == b"one,two," + b"x" * 100_000


def test_an_async_generator_with_a_length(client):
    asked = ask(
        client, method="POST", data=produce(b"one,", b"two"), headers={"Content-Length": "7"}
    )
    assert "transfer-encoding" not in asked.headers
    assert asked.body == b"one,two"


def test_an_async_generator_that_raises(client):
    """The request fails, and its connection is not used again."""

    async def bad():
        yield b"one"
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async def main():
        async with raw(OK) as server, client.session() as http:
            with pytest.raises((client.http.ClientError, ZeroDivisionError)):
                await http.post(server.url, data=bad())
            async with http.get(server.url) as answer:
                assert answer.status == 200
            assert len(server.peers) == 2

    client.run(main)


def test_chunked_bytes(client):
    asked = ask(client, method="POST", data=b"x" * 1000, chunked=True)
    assert asked.headers["transfer-encoding"] == "chunked"
    assert dechunk(asked.body) == b"x" * 1000


@pytest.mark.parametrize("coding", [True, "deflate", "gzip"])
def test_compress(client, coding):
    asked = ask(client, method="POST", data=b"text " * 1000, compress=coding)
    assert asked.headers["content-encoding"] == ("deflate" if coding is True else coding)
    assert asked.headers["transfer-encoding"] == "chunked"
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    assert inflater.decompress(dechunk(asked.body)) == b"text " * 1000


def test_both_framings_are_refused(client):
    with pytest.raises(ValueError):
        ask(client, method="POST", data=b"x", headers={"Content-Length": "1"}, chunked=True)
    with pytest.raises(ValueError):
        ask(client, method="POST", data=b"x", headers={"Transfer-Encoding": "chunked"},
            chunked=True)  # fmt: skip


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_methods_that_want_a_length_get_one(client, method):
    assert ask(client, method=method).headers["content-length"] == "0"


def test_expect_100(client):
    """The body waits for 100 Continue."""
    order = []

    async def script(peer):
        asked = await peer.request(body=False)
        assert asked.headers["expect"] == "100-continue"
        await support.settle(10)
        order.append(bytes(peer.buffer))
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        order.append(await peer.exactly(4))
        peer.send(response(b"done"))
        await peer.gone()

    async def main():
        async with raw(script) as server, client.session() as http:
            async with http.post(server.url, data=b"body", expect100=True) as answer:
                assert await answer.read() == b"done"

    client.run(main)
    assert order == [b"", b"body"]


def test_expect_100_that_is_refused(client):
    """No body is sent, and the connection not used again: the server might wait for the body."""
    left = []

    async def script(peer):
        await peer.request(body=False)
        peer.send(response(b"no", "417 Expectation Failed"))
        await peer.gone()
        left.append(bytes(peer.buffer))

    async def main():
        async with raw(script) as server, client.session() as http:
            async with http.post(server.url, data=b"body", expect100=True) as answer:
                assert (answer.status, await answer.read()) == (417, b"no")
            await server.closed_by_client()

    client.run(main)
    assert left == [b""]


# -- headers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"X-One": "1", "x-tWo": "zwei"},
        [("X-One", "1"), ("x-tWo", "zwei")],
        CIMultiDict([("X-One", "1"), ("x-tWo", "zwei")]),
    ],
    ids=["dict", "list", "CIMultiDict"],
)
def test_headers(client, headers):
    fields = ask(client, headers=headers).fields
    assert ("X-One", "1") in fields and ("x-tWo", "zwei") in fields  # in the case as given
    assert fields[0][0] == "Host"


def test_headers_that_repeat(client):
    fields = ask(client, headers=[("X-A", "1"), ("X-A", "2")]).fields
    assert [value for name, value in fields if name == "X-A"] == ["1", "2"]


def test_headers_of_the_session(client):
    session = {"headers": {"X-Session": "s", "X-Both": "s", "User-Agent": "mine"}}
    asked = ask(client, session=session, headers={"x-both": "r"})
    assert asked.headers["x-session"] == "s"
    assert asked.headers["x-both"] == "r"
    assert asked.headers["user-agent"] == "mine"


def test_default_headers(client):
    headers = ask(client).headers
    assert headers["accept"] == "*/*"
    assert headers["accept-encoding"].startswith("gzip, deflate")
    assert headers["user-agent"]
    assert "connection" not in headers


def test_default_headers_are_replaced(client):
    asked = ask(
        client, headers={"accept": "text/html", "HOST": "example.org", "Accept-Encoding": ""}
    )
    assert asked.headers["accept"] == "text/html"
    assert asked.headers["host"] == "example.org"
    assert asked.headers["accept-encoding"] == ""


def test_headers_that_are_left_out(client):
    asked = ask(
        client,
        session={"skip_auto_headers": ["User-Agent"]},
        skip_auto_headers=["accept-encoding"],
    )
    assert "user-agent" not in asked.headers and "accept-encoding" not in asked.headers


def test_content_type_of_ones_own(client):
    asked = ask(client, method="POST", json={}, headers={"content-type": "application/x+json"})
    assert asked.headers["content-type"] == "application/x+json"


@pytest.mark.parametrize(
    "request_",
    [
        {"headers": {"X-A": "a\r\nB: c"}},
        {"headers": {"X-A": "a\nb"}},
        {"headers": {"X-A": "a\0b"}},
        {"headers": {"X-A\r\nB": "c"}},
        {"method": "GET / HTTP/1.1\r\nX:"},
        {"method": "GET\0"},
        {"method": "G ET"},
        {"headers": {"Host": "a\r\nb"}},
        {"session": {"headers": {"X-A": "a\r\nB: c"}}},
    ],
    ids=repr,
)
def test_row_66_injection_is_refused_before_a_byte_is_sent(client, request_):
    request = dict(request_)
    session = request.pop("session", {})
    method = request.pop("method", "GET")

    async def main():
        async with raw(OK) as server, client.session(**session) as http:
            with pytest.raises(ValueError):
                await http.request(method, server.url, **request)
            assert server.received == b""
            async with (
                http.get(server.url, headers={"X-A": "b"})
                if not session
                else http.get(server.url, headers={"X-A": "good"}) as answer
            ):
                assert answer.status == 200

    client.run(main)


def test_row_66_injection_by_the_url(client):
    """Line ends and NUL in a URL are quoted, or it is refused."""

    async def main():
        async with raw(OK) as server, client.session() as http:
            for bad in ("/a\r\nX: y", "/a?b=c\r\nX: y", "/\0"):
                try:
                    async with http.get(server.url + bad):
                        pass
                except ValueError:
                    continue
                assert "x" not in server.asked[-1].headers
                assert "\0" not in server.asked[-1].target

    client.run(main)


@pytest.mark.parametrize("cookies", [{"a": "b\r\nSet: c"}, {"a": "b\0"}])
def test_row_66_injection_by_a_cookie(client, cookies):
    """Quoted, or refused: never on the wire as they are."""

    async def main():
        async with raw(OK) as server, client.session() as http:
            try:
                async with http.get(server.url, cookies=cookies):
                    pass
            except Exception:
                assert server.received == b""
            else:
                assert "set" not in server.asked[0].headers
                assert b"\0" not in server.asked[0].head

    client.run(main)


@pytest.mark.parametrize("value", [1, None, b"bytes"])
def test_header_values_are_text(client, value):
    with pytest.raises(TypeError):
        ask(client, headers={"X-A": value})


# -- cookies --------------------------------------------------------------------------------------


def test_cookies(client):
    asked = ask(client, cookies={"a": "b", "c": "d e"})
    assert asked.headers["cookie"] == 'a=b; c="d e"'


def test_cookies_of_the_session(client):
    asked = ask(client, session={"cookies": {"a": "1"}}, cookies={"b": "2"})
    assert set(asked.headers["cookie"].split("; ")) == {"a=1", "b=2"}


def test_cookies_of_a_request_do_not_stay(client):
    async def main():
        async with raw(OK) as server, client.session() as http:
            await (await http.get(server.url, cookies={"a": "1"})).read()
            await (await http.get(server.url)).read()
            assert "cookie" not in server.asked[1].headers

    client.run(main)


def test_cookies_that_a_server_sets(client):
    """They come back to that server, by host name, path and lifetime; never to an IP address."""

    async def main():
        set_them = (
            b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: p=2; Path=/p\r\n"
            b"Set-Cookie: s=3; Secure\r\nContent-Length: 0\r\n\r\n"
        )
        clear = response(Set_Cookie="a=; Max-Age=0")
        async with raw(answers(set_them, response(), response(), clear, response())) as server:
            url = f"http://localhost:{server.port}"
            async with client.session() as http:
                async with http.get(url) as answer:
                    assert {name: m.value for name, m in answer.cookies.items()} == {
                        "a": "1", "p": "2", "s": "3",
                    }  # fmt: skip
                for path in ("/", "/p", "/", "/"):
                    await (await http.get(url + path)).read()
                sent = [asked.headers.get("cookie") for asked in server.asked]
                assert sent[:2] == [None, "a=1"]
                assert set(sent[2].split("; ")) == {"a=1", "p=2"}
                assert sent[3:] == ["a=1", None]
                # A Secure cookie that comes without TLS: row 57.
                kept = {"p"} if client.ours else {"p", "s"}
                assert {m.key for m in http.cookie_jar} == kept

    client.run(main)


@pytest.mark.parametrize("unsafe", [False, True])
def test_cookies_of_an_ip_address(client, unsafe):
    async def main():
        async with raw(answers(response(Set_Cookie="a=1"))) as server:
            jar = client.http.CookieJar(unsafe=unsafe)
            async with client.session(cookie_jar=jar) as http:
                for _ in range(2):
                    await (await http.get(server.url)).read()
            assert server.asked[1].headers.get("cookie") == ("a=1" if unsafe else None)

    client.run(main)


def test_a_jar_that_keeps_nothing(client):
    async def main():
        async with raw(answers(response(Set_Cookie="a=1"))) as server:
            async with client.session(cookie_jar=client.http.DummyCookieJar()) as http:
                for _ in range(2):
                    await (await http.get(f"http://localhost:{server.port}/")).read()
            assert "cookie" not in server.asked[1].headers

    client.run(main)


# -- auth -----------------------------------------------------------------------------------------

pytestmark = pytest.mark.filterwarnings(
    "ignore:The 'auth' parameter:DeprecationWarning",
    "ignore:BasicAuth:DeprecationWarning",
)
USER_SECRET = "Basic dXNlcjpzZWNyZXQ="


def test_basic_auth(client):
    auth = client.basic_auth("user", "secret")
    assert ask(client, auth=auth).headers["authorization"] == USER_SECRET


def test_basic_auth_of_the_session(client):
    session = {"auth": client.basic_auth("user", "secret")}
    assert ask(client, session=session).headers["authorization"] == USER_SECRET


def test_credentials_in_the_url(client):
    async def main():
        async with raw(OK) as server, client.session() as http:
            async with http.get(f"http://user:secret@127.0.0.1:{server.port}/") as answer:
                assert answer.url.user is None and answer.url.password is None
                assert "secret" not in repr(answer)
            asked = server.asked[0]
            assert asked.headers["authorization"] == USER_SECRET
            assert asked.headers["host"] == f"127.0.0.1:{server.port}"
            assert asked.target == "/"

    client.run(main)


def test_row_65_credentials_twice(client):
    async def main():
        async with raw(OK) as server, client.session() as http:
            url = f"http://user:secret@127.0.0.1:{server.port}/"
            with pytest.raises(ValueError):
                await http.get(url, headers={"Authorization": "Basic x"})
            with pytest.raises(ValueError):
                await http.get(url, auth=client.basic_auth("a", "b"))
            with pytest.raises(ValueError):
                await http.get(
                    server.url,
                    headers={"Authorization": "Basic x"},
                    auth=client.basic_auth("a", "b"),
                )
            assert server.received == b""

    client.run(main)


# -- URLs and sessions ----------------------------------------------------------------------------


def test_base_url(client):
    async def main():
        async with raw(OK) as server:
            for base in (server.url, URL(server.url + "/")):
                async with client.session(base_url=base) as http:
                    await (await http.get("/a?b=c")).read()
                    await (await http.get("a")).read()
            async with client.session(base_url=server.url + "/v1/") as http:
                for path in ("a", "/a", f"{server.url}/other"):
                    await (await http.get(path)).read()
            targets = [asked.target for asked in server.asked]
            assert targets == ["/a?b=c", "/a", "/a?b=c", "/a", "/v1/a", "/a", "/other"]

    client.run(main)


def test_base_url_without_its_slash(client):
    async def main():
        with pytest.raises(ValueError):
            client.session(base_url="http://localhost/v1")

    client.run(main)


@pytest.mark.parametrize(
    "url, error",
    [
        ("http://", "InvalidUrlClientError"),
        ("http:///path", "InvalidUrlClientError"),
        ("http://[::1", "InvalidUrlClientError"),
        ("http://127.1/", "InvalidUrlClientError"),
        ("http://0x7f000001/", "InvalidUrlClientError if ours"),
        ("http://2130706433/", "InvalidUrlClientError"),
        ("http://a%2Fb/", "InvalidURL if ours"),
        ("http://localhost:99999/", "InvalidUrlClientError"),
        ("ftp://localhost/", "NonHttpUrlClientError"),
        ("file:///etc/passwd", "NonHttpUrlClientError"),
        ("mailto:a@b", "NonHttpUrlClientError"),
    ],
)
def test_urls_that_are_refused(client, url, error):
    """Rows 63 and 64: aiohttp asks the system for two of them, and fails in its own way."""
    error, _, if_ours = error.partition(" ")
    if if_ours and not client.ours:
        error = "ClientConnectorError"

    async def main():
        async with client.session() as http:
            with pytest.raises(getattr(client.http, error)) as caught:
                await http.get(url)
            if error.startswith("Invalid"):
                assert isinstance(caught.value, client.http.InvalidURL)
                assert isinstance(caught.value, ValueError)

    client.run(main)


def test_a_url_that_is_no_url(client):
    async def main():
        async with client.session() as http:
            for bad in (None, 1, b"http://localhost/"):
                with pytest.raises(TypeError):
                    await http.get(bad)

    client.run(main)


def test_the_module_s_request(client):
    async def main():
        async with raw(OK) as server:
            async with client.http.request("GET", server.url + "/x", params={"a": "b"}) as answer:
                assert await answer.json() == {"ok": True}
            assert server.asked[0].target == "/x?a=b"
            await server.closed_by_client()

    client.run(main)


def test_version_1_0(client):
    asked = ask(client, session={"version": client.http.HttpVersion10})
    assert asked.line == "GET / HTTP/1.0"
    assert asked.headers["connection"] == "keep-alive"


def test_connection_close_is_kept(client):
    async def main():
        async with raw(answers(response(Connection="close"))) as server, client.session() as http:
            for _ in range(2):
                await (await http.get(server.url, headers={"Connection": "close"})).read()
            assert server.asked[0].headers["connection"] == "close"
            assert len(server.peers) == 2

    client.run(main)


def test_many_fields(client):
    headers = {f"X-{n}": "v" * 100 for n in range(500)}
    assert len([f for f in ask(client, headers=headers).fields if f[0].startswith("X-")]) == 500


def test_a_long_url(client):
    path = "/" + "p" * 60_000 + "?" + urllib.parse.urlencode({"q": "v" * 5000})
    assert ask(client, path=path).target == path


def test_method_and_url_by_name(client):
    async def main():
        async with raw(answers(response(b"ok"))) as server, client.session() as http:
            async with http.request(method="get", url=server.url, headers={"a": "b"}) as answer:
                assert await answer.read() == b"ok"
            await http.request(params={"c": "d"}, url=server.url, method="PUT")
            await http.get(url=server.url)
            with pytest.raises(TypeError, match="method"):
                http.request(url=server.url)
            assert [asked.line for asked in server.asked] == [
                "GET / HTTP/1.1",
                "PUT /?c=d HTTP/1.1",
                "GET / HTTP/1.1",
            ]
            assert server.asked[0].headers["a"] == "b"

    client.run(main)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks are not eager before Python 3.12")
@pytest.mark.parametrize("waits", [False, True])
def test_a_body_sent_by_eager_tasks(client, waits):
    """The task that sends it begins while it is made, and is done then if it never waits."""

    async def pieces():
        for piece in (b"one", b"two"):
            if waits:
                await asyncio.sleep(0)
            yield piece

    async def main():
        loop = asyncio.get_running_loop()
        async with raw(OK) as server, client.session() as http:
            loop.set_task_factory(asyncio.eager_task_factory)
            for _ in range(2):
                async with http.post(server.url, data=pieces()) as answer:
                    assert await answer.json() == {"ok": True}
            bodies = [asked.body for asked in server.asked]
            assert bodies == [b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"] * 2

    client.run(main)
