"""The fast way of a plain request and the general one send the same bytes, which are aiohttp's."""

from __future__ import annotations

import asyncio
import gc
import re
from typing import Any
from unittest import mock

import aiohttp
import pytest
import support
from http_support import RawServer, raw, response
from multidict import CIMultiDict, MultiDict
from yarl import URL

import uvolt.http
from uvolt import _core


async def ok(peer: Any) -> None:
    while True:
        asked = await peer.request()
        whole = response(b"ok")
        peer.send(whole[:-2] if asked.method == "HEAD" else whole)


GENERAL = {"max_redirects": 10}  # the fast way does not know it


def run(main: Any, seconds: float = 30) -> Any:
    loop = support.factory("uvolt")()
    try:
        return loop.run_until_complete(asyncio.wait_for(main(), seconds * support.SLOW))
    finally:
        support.finish(loop)


async def sent(http: Any, server: RawServer, request: dict[str, Any]) -> bytes:
    """What one request put on the wire, with the names that differ by design left out."""
    options = dict(request)
    method, path = options.pop("method", "GET"), options.pop("path", "/")
    server.received.clear()
    async with http.request(method, server.url + path, **options) as answer:
        assert await answer.read() == (b"" if method == "HEAD" else b"ok")
    wire = bytes(server.received).replace(b":%d" % server.port, b":PORT")
    return re.sub(rb"(?i)(\r\nuser-agent: python/)[^\r]*", rb"\1", wire)


HEADERS: list[Any] = [
    None,
    {},
    {"X-A": "1", "x-b": "zwei ü"},
    {"Accept": "text/html", "user-agent": "mine"},
    {"accept-encoding": "identity", "X-A": "1"},
    {"Host": "example.org", "X-A": "1"},
    {"X-A": "1", "host": "example.org"},
    {"Cookie": "a=b"},
    {"Content-Type": "text/x-mine"},
    {"Authorization": "Basic eDp5"},
    MultiDict([("X-A", "1"), ("X-B", "2"), ("X-A", "3")]),
    CIMultiDict([("X-A", "1"), ("x-a", "2")]),
    [("X-A", "1"), ("X-A", "2")],
    {"X-A": ""},
    {"Connection": "close"},
    {"Expect": "100-nothing"},
    {"Content-Encoding": "x-mine"},
]
REQUESTS: list[dict[str, Any]] = [
    *({"headers": headers} for headers in HEADERS),
    *(
        {"method": method}
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    ),
    *({"method": "POST", "data": data} for data in (b"", b"bytes", "", "text ü", bytearray(b"ba"))),
    {"method": "POST", "data": b"x", "headers": {"Content-Type": "a/b", "X-Y": "z"}},
    {"method": "POST", "data": b"x", "headers": {"Content-Length": "1"}},
    {"method": "POST", "json": {"a": [1, "ü"]}},
    {"method": "POST", "json": []},
    {"method": "PUT", "json": "x", "headers": {"content-type": "application/vnd.mine+json"}},
    {"method": "DELETE", "data": b"gone"},
    {"method": "GET", "data": b"odd"},
    {"method": "get"},
    {"method": "purge"},
    {"path": "/a?b=c&d=%20#there"},
    {"path": "/ü/%7euser/(x) y"},
    {"path": ""},
    {"path": "?q"},
    {"path": "/a/../b/./c"},
    {"path": "/%zz"},
    {"timeout": 5},
    {"allow_redirects": False},
    {"raise_for_status": True},
]
SESSIONS: list[dict[str, Any]] = [
    {},
    {"headers": {"X-A": "session", "X-S": "s", "accept": "a/b"}},
    {"cookies": {"k": "v"}, "cookie_jar": "unsafe"},
]


@pytest.mark.parametrize("session", SESSIONS, ids=["plain", "headers", "cookies"])
@pytest.mark.parametrize("loop_of", ["uvolt"])
def test_three_ways_send_the_same(session: dict[str, Any], loop_of: str) -> None:
    def options(module: Any) -> dict[str, Any]:
        made = dict(session)
        if "cookie_jar" in made:
            made["cookie_jar"] = module.CookieJar(unsafe=True)
        return made

    async def main() -> None:
        async with (
            raw(ok) as server,
            aiohttp.ClientSession(**options(aiohttp)) as oracle,
            uvolt.http.ClientSession(**options(uvolt.http)) as ours,
        ):
            for request in REQUESTS:
                fast = await sent(ours, server, request)
                general = await sent(ours, server, request | GENERAL)
                assert fast == general, request
                assert fast == await sent(oracle, server, request), request

    run(main)


@pytest.mark.parametrize(
    "request_, error",
    [
        ({"headers": {"X": "a\r\nY: b"}}, ValueError),
        ({"headers": {"X\n": "a"}}, ValueError),
        ({"headers": {"X": 1}}, TypeError),
        ({"headers": {1: "x"}}, TypeError),
        ({"headers": {"X": "\0"}}, ValueError),
        ({"json": object()}, TypeError),
        ({"data": object()}, (TypeError, LookupError)),
        ({"data": b"", "json": 1}, ValueError),
        ({"unknown": 1}, TypeError),
        ({"timeout": object()}, Exception),
        ({"method": "G T"}, ValueError),
        ({"path": "/\n"}, None),
    ],
)
def test_what_cannot_be_sent(request_: dict[str, Any], error: Any) -> None:
    """The same from both ways, nothing sent, and the pool is whole."""

    async def main() -> None:
        async with raw(ok) as server, uvolt.http.ClientSession() as http:
            if error is None:
                await sent(http, server, request_)
                return
            for more in ({}, GENERAL):
                with pytest.raises(error):
                    await sent(http, server, request_ | more)
            assert not server.received
            assert http.connector._pool.in_use == 0
            assert await sent(http, server, {})

    run(main)


def test_a_changed_session_is_seen() -> None:
    async def main() -> None:
        async with raw(ok) as server, uvolt.http.ClientSession() as http:
            assert b"X-New" not in await sent(http, server, {})
            http.headers["X-New"] = "1"
            assert b"\r\nX-New: 1\r\n" in await sent(http, server, {})
            http.headers["X-New"] = "2"
            assert b"\r\nX-New: 2\r\n" in await sent(http, server, {})
            del http.headers["X-New"]
            assert b"X-New" not in await sent(http, server, {})
            http.cookie_jar.update_cookies({"a": "b"})
            assert b"\r\nCookie: a=b\r\n" in await sent(http, server, {})
            http.cookie_jar.clear()
            assert b"Cookie" not in await sent(http, server, {})

    run(main)


def test_a_patched_request_is_called() -> None:
    """What mocking libraries do: on the class, and on one session."""

    async def patched(self: Any, method: str, url: Any, **kwargs: Any) -> Any:
        seen.append((method, str(url), kwargs))
        return "patched"

    seen: list[Any] = []

    async def main() -> None:
        async with uvolt.http.ClientSession() as http:
            with mock.patch.object(uvolt.http.ClientSession, "_request", patched):
                assert await http.get("http://nowhere.invalid/", headers={"a": "b"}) == "patched"
                assert await http.head("http://nowhere.invalid/") == "patched"
            http._request = patched.__get__(http)  # type: ignore[method-assign]
            assert await http.post("http://nowhere.invalid/", data=b"1") == "patched"

    run(main)
    url = "http://nowhere.invalid/"
    assert seen[0] == ("GET", url, {"headers": {"a": "b"}, "allow_redirects": True})
    assert seen[1] == ("HEAD", url, {"allow_redirects": False})
    assert seen[2] == ("POST", url, {"data": b"1"})


def test_urls_as_objects_and_by_name() -> None:
    async def main() -> None:
        async with raw(ok) as server, uvolt.http.ClientSession() as http:
            for url in (
                server.url + "/x",
                URL(server.url + "/x"),
                URL(server.url + "/%2Fx", encoded=True),
            ) * 2:
                async with http.get(url=url) as answer:
                    assert await answer.read() == b"ok"
                    assert answer.url == URL(url)
            with pytest.raises(TypeError):
                http.get()
            with pytest.raises(TypeError):
                http.get("a", "b")
            with pytest.raises(TypeError):
                http.request()
        assert [asked.target for asked in server.asked] == ["/x", "/x", "/%2Fx"] * 2

    run(main)


def test_many_urls() -> None:
    """More than the session keeps, of more origins than it keeps."""

    async def main() -> None:
        async with raw(ok) as server, uvolt.http.ClientSession() as http:
            for n in range(1200):
                async with http.get(f"{server.url}/{n}") as answer:
                    assert answer.url.path == f"/{n}"
            for n in (0, 1199, 600):
                async with http.get(f"{server.url}/{n}#f") as answer:
                    assert str(answer.real_url) == f"{server.url}/{n}#f"
            async with http.get(f"{server.url}/{'x' * 5000}") as answer:
                assert answer.status == 200
        assert [asked.target for asked in server.asked[:1200]] == [f"/{n}" for n in range(1200)]

    run(main)


# ---- sent again


async def drop(peer: Any) -> None:
    """The first request of a connection is answered, the second is not."""
    await peer.request()
    peer.send(response(b"ok"))
    await peer.request()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "POST", "PATCH"])
@pytest.mark.parametrize("way", [{}, GENERAL], ids=["fast", "general"])
def test_a_kept_connection_that_fails(method: str, way: dict[str, Any]) -> None:
    async def main() -> None:
        async with raw(drop) as server, uvolt.http.ClientSession() as http:
            async with http.get(server.url) as answer:
                await answer.read()
            if method in ("POST", "PATCH"):
                with pytest.raises(uvolt.http.ServerDisconnectedError):
                    await http.request(method, server.url, **way)
                assert len(server.peers) == 1
                return
            async with http.request(method, server.url, **way) as answer:
                assert answer.status == 200
            assert [asked.method for asked in server.asked] == ["GET", method, method]

    run(main)


def test_sent_again_once_only() -> None:
    count = 0

    async def script(peer: Any) -> None:
        nonlocal count
        await peer.request()
        count += 1
        if count == 1:
            peer.send(response(b"ok"))
            await peer.request()
            count += 1

    async def main() -> None:
        async with raw(script) as server, uvolt.http.ClientSession() as http:
            async with http.get(server.url) as answer:
                await answer.read()
            with pytest.raises(uvolt.http.ServerDisconnectedError):
                await http.get(server.url)
            assert count == 3
            assert http.connector._pool.in_use == 0

    run(main)


def test_not_sent_again_after_a_byte() -> None:
    async def script(peer: Any) -> None:
        await peer.request()
        peer.send(response(b"ok"))
        await peer.request()
        peer.send(b"HTTP/1.1 2")

    async def main() -> None:
        async with raw(script) as server, uvolt.http.ClientSession() as http:
            async with http.get(server.url) as answer:
                await answer.read()
            with pytest.raises(uvolt.http.ClientError):
                await http.get(server.url)
            assert len(server.asked) == 2

    run(main)


# ---- what get() returns


def test_never_awaited() -> None:
    async def main() -> None:
        async with uvolt.http.ClientSession() as http:
            for way in ({}, GENERAL):
                with pytest.warns(RuntimeWarning) as seen:
                    http.get("http://localhost/", **way)
                    gc.collect()
                [warning] = seen
                assert "coroutine 'ClientSession._request' was never awaited" in str(
                    warning.message
                )

    run(main)


def test_its_type() -> None:
    async def main() -> None:
        async with raw(ok) as server, uvolt.http.ClientSession() as http:
            asking = http.get(server.url)
            assert type(asking) is _core.RequestContextManager
            assert asyncio.iscoroutine(asking)
            assert (await asking).status == 200
            with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
                await asking
            entered = http.get(server.url)
            async with entered as answer:
                assert answer._in_context
            assert not answer._in_context
            with pytest.raises(ZeroDivisionError):
                async with http.get(server.url) as answer:
                    raise ZeroDivisionError
            assert answer.closed

    run(main)


def test_outside_the_loop() -> None:
    """A session of a loop that does not run says in one sentence what to do."""
    holder: list[Any] = []

    async def make() -> None:
        holder.append(uvolt.http.ClientSession())

    loop = support.factory("uvolt")()
    try:
        loop.run_until_complete(make())
        asking = holder[0].get("http://localhost/")
        with pytest.raises(RuntimeError, match="does not run"):
            asking.send(None)
        loop.run_until_complete(holder[0].close())
    finally:
        support.finish(loop)


def test_a_session_that_python_never_filled() -> None:
    bare = _core.ClientSession()
    with pytest.raises(RuntimeError, match=r"uvolt\.run"):
        bare.get("http://localhost/")
    with pytest.raises(TypeError):
        bare._exchange("GET", None, None, b"", None)  # type: ignore[arg-type]
