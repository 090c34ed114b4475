"""The bytes of requests are those that aiohttp sends: one client after the other, same server.

Left out of the comparison: the values of User-Agent (each says who it is) and of the default
Accept-Encoding (each says what it can decode).
"""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

import http_support
import pytest
from http_support import Client, answers, raw, response
from multidict import CIMultiDict, MultiDict
from yarl import URL

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


async def produce():
    yield b"one"
    yield b"two" * 1000


def auth(client):
    return client.basic_auth("ünser", "pass:word")


# name: (method, path, request's options, session's options); what is callable is called first,
# with the client.
CASES: dict[str, tuple[Any, ...]] = {
    "get": ("GET", "/"),
    "no path": ("GET", ""),
    "query": ("GET", "/p?a=b&c"),
    "fragment": ("GET", "/p#f"),
    "quoting": ("GET", "/a b/ü/%2F%28?q=%2F%7E+x y"),
    "bytes that may not be in a url": ("GET", '/"<>^`{|}\\'),
    "encoded url": ("GET", "/", {}, {}, "/%28%7E"),
    "long url": ("GET", "/" + "x" * 20_000),
    "head": ("HEAD", "/"),
    "options": ("OPTIONS", "/"),
    "delete": ("DELETE", "/"),
    "post": ("POST", "/"),
    "put": ("PUT", "/"),
    "patch": ("PATCH", "/"),
    "a method of one's own": ("brew", "/"),
    "get with a body": ("GET", "/", {"data": b"x"}),
    "delete with json": ("DELETE", "/", {"json": {"a": 1}}),
    "params": ("GET", "/", {"params": {"a": "b c", "ü": "€", "x": 1}}),
    "params and query": ("GET", "/?z=1#f", {"params": [("a", "1"), ("a", "2")]}),
    "params as text": ("GET", "/", {"params": "a=b%20c&d"}),
    "params, multidict": ("GET", "/", {"params": MultiDict([("b", "1"), ("a", "2"), ("b", "3")])}),
    "headers": ("GET", "/", {"headers": {"X-B": "1", "x-a": "2"}}),
    "headers, list": ("GET", "/", {"headers": [("X-B", "1"), ("X-A", "2"), ("X-B", "3")]}),
    "headers, multidict": ("GET", "/", {"headers": CIMultiDict(a="1", B="2")}),
    "headers, utf-8": ("GET", "/", {"headers": {"X": "ü€"}}),
    "headers, empty": ("GET", "/", {"headers": {"X": ""}}),
    "headers, spaces": ("GET", "/", {"headers": {"X": "  a  "}}),
    "headers, tab": ("GET", "/", {"headers": {"X": "a\tb"}}),
    "headers instead of defaults": (
        "GET",
        "/",
        {"headers": {"accept": "a/b", "ACCEPT-ENCODING": "x", "host": "a.b", "user-agent": "me"}},
    ),
    "session headers": ("GET", "/", {"headers": {"b": "2"}}, {"headers": {"A": "1", "B": "1"}}),
    "session headers repeat": (
        "GET",
        "/",
        {"headers": [("A", "2"), ("A", "3")]},
        {"headers": [("A", "1"), ("C", "1")]},
    ),
    "skipped headers": ("GET", "/", {"skip_auto_headers": ["User-Agent", "accept"]}),
    "skipped content-type": ("POST", "/", {"data": b"x", "skip_auto_headers": ["Content-Type"]}),
    "skipped by the session": ("GET", "/", {}, {"skip_auto_headers": ["Accept-Encoding"]}),
    "connection: close": ("GET", "/", {"headers": {"Connection": "close"}}),
    "http/1.0": ("GET", "/", {}, lambda c: {"version": c.http.HttpVersion10}),
    "http/1.0 post": ("POST", "/", {"data": b"x"}, lambda c: {"version": c.http.HttpVersion10}),
    "json": ("POST", "/", {"json": {"a": [1, "ü", None]}}),
    "json null": ("POST", "/", {"json": None}),
    "json with a type": ("POST", "/", {"json": 1, "headers": {"content-type": "x/y"}}),
    "bytes": ("POST", "/", {"data": b"bytes"}),
    "empty bytes": ("POST", "/", {"data": b""}),
    "text": ("POST", "/", {"data": "ü text"}),
    "empty text": ("POST", "/", {"data": ""}),
    "form": ("POST", "/", {"data": {"a": "b c", "ü": "&="}}),
    "empty form": ("POST", "/", {"data": {}}),
    "form, list": ("POST", "/", {"data": [("a", "1"), ("a", "2")]}),
    "file": ("POST", "/", lambda c: {"data": io.BytesIO(b"file" * 1000)}),
    "text file": ("POST", "/", lambda c: {"data": io.StringIO("ü" * 1000)}),
    "generator": ("POST", "/", lambda c: {"data": produce()}),
    "generator with a length": (
        "POST",
        "/",
        lambda c: {"data": produce(), "headers": {"Content-Length": "3003"}},
    ),
    "chunked": ("POST", "/", {"data": b"x" * 100, "chunked": True}),
    "chunked without a body": ("POST", "/", {"chunked": True}),
    "compressed": ("POST", "/", {"data": b"x" * 1000, "compress": "gzip"}),
    "compress by header": (
        "POST",
        "/",
        {"data": b"x" * 10, "headers": {"Content-Encoding": "gzip"}},
    ),
    "content-length by header": ("POST", "/", {"data": b"xyz", "headers": {"content-length": "3"}}),
    "expect": ("POST", "/", {"data": b"x", "expect100": True}),
    "cookies": ("GET", "/", {"cookies": {"b": "1", "a": "x y", "c": 'q"'}}),
    "cookies in a header": ("GET", "/", {"headers": {"Cookie": "z=1"}, "cookies": {"a": "b"}}),
    "session cookies": ("GET", "/", {"cookies": {"b": "2"}}, {"cookies": {"a": "1"}}),
    "auth": ("GET", "/", lambda c: {"auth": auth(c)}),
    "session auth": ("GET", "/", {}, lambda c: {"auth": auth(c)}),
    "auth with a body": ("POST", "/", lambda c: {"auth": auth(c), "json": {}}),
    "many headers": ("GET", "/", {"headers": {f"X-{n}": str(n) for n in range(120)}}),
    "a long header": ("GET", "/", {"headers": {"X": "v" * 30_000}}),
    "a large body": ("POST", "/", {"data": b"x" * 300_000}),
}


async def script(peer):
    while True:
        asked = await peer.request(body=False)
        if "expect" in asked.head.decode().lower():
            peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        del peer.server.asked[-1]
        peer.buffer[:0] = asked.head  # and once more, with its body
        await peer.request()
        peer.send(response(b"" if asked.method == "HEAD" else b"ok"))


def sent(client: Client, case: tuple[Any, ...]) -> bytes:
    method, path, request, session, encoded = (*case, {}, {}, None)[:5] if len(case) < 5 else case
    request = request(client) if callable(request) else request
    session = session(client) if callable(session) else session

    async def main():
        async with raw(script) as server, client.session(**session) as http:
            url = URL(server.url + encoded, encoded=True) if encoded else server.url + path
            async with http.request(method, url, **request) as answer:
                await answer.read()
            assert len(server.asked) == 1
            return bytes(server.received).replace(b":%d" % server.port, b":PORT")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = client.run(main)
    data = re.sub(rb"(?m)^(User-Agent): .*\r$", rb"\1: *\r", data)
    return re.sub(rb"(?m)^(Accept-Encoding): gzip, .*\r$", rb"\1: *\r", data)


@pytest.mark.parametrize("name", CASES)
def test_the_bytes_sent(client, name):
    expected = sent(http_support.Client("aiohttp"), CASES[name])
    assert expected.startswith(CASES[name][0].upper().encode())
    assert sent(client, CASES[name]) == expected


def test_one_framing_only(client):
    """Transfer-Encoding as a header: ours sends chunks. aiohttp adds a Content-Length to it."""
    headers = {"Transfer-Encoding": "chunked"}
    data = sent(client, ("POST", "/", {"data": b"x" * 10, "headers": headers}))
    if client.ours:
        assert b"content-length" not in data.lower()
        assert data.endswith(b"\r\n\r\na\r\nxxxxxxxxxx\r\n0\r\n\r\n")


def test_a_connection_of_many_requests(client):
    """One after the other on one connection: nothing between them."""

    async def main(client):
        async with raw(answers(response(b"ok"))) as server, client.session() as http:
            for n in range(5):
                await (await http.get(f"{server.url}/{n}")).read()
                await (await http.post(f"{server.url}/{n}", json={"n": n})).read()
            assert len(server.peers) == 1
            data = bytes(server.received).replace(b":%d" % server.port, b":PORT")
            return re.sub(rb"(User-Agent|Accept-Encoding): [^\r]*", rb"\1: *", data)

    oracle = http_support.Client("aiohttp")
    assert client.run(lambda: main(client)) == oracle.run(lambda: main(oracle))
