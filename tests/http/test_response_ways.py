"""Responses: text and JSON by C are what aiohttp makes of them; made by hand; let go of."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from typing import Any
from unittest import mock

import aiohttp
import pytest
from http_support import chunked, raw, response
from multidict import CIMultiDict, CIMultiDictProxy
from test_request_fast import ok, run
from yarl import URL

import uvolt.http

TYPES = [
    None,
    "",
    "text/plain",
    "text/html; charset=utf-8",
    "TEXT/HTML;CHARSET=UTF-8",
    'text/html; charset="utf8"',
    "text/html; charset=iso-8859-1",
    "text/html; charset=latin-1",
    "text/html; charset=us-ascii",
    "text/html; charset=cp1252",
    "text/html; charset=utf-16-le",
    "text/html; charset=no-such-thing",
    "text/html; boundary=x; charset=latin-1",
    "text/html; charset=latin-1; boundary=x",
    "text/html; charset = latin-1",
    "text/html; charset=",
    "text/html;",
    "application/json",
    "Application/JSON; charset=utf-8",
    "application/json; charset=cp1252",
    "application/vnd.api+json",
    "application/vnd.api+json; charset=latin-1",
    "application/problem+json;x=y",
    "application/jsonp",
    "application/x+y+json",
    "application/+json",
    "application/x json",
    "application/rdap",
    "text/json",
    "x/application/json",
    "\u00fc/json",
]
BODIES = [
    b"",
    b" \r\n\t ",
    b"plain",
    "ü €".encode(),
    b"\xfc\x80",
    b'{"a": [1, 2.5, null, true, "\\u00fc"]}',
    b'  {"a": "\xc3\xbc"}\n',
    b"[1, 2] x",
    b"{",
    b'"\x01"',
    b"NaN",
    b"\xef\xbb\xbf[]",
    b"\x0b1\x0c",
    b"[" * 3000 + b"]" * 3000,
]


async def outcome(reading: Any) -> Any:
    try:
        return await reading
    except Exception as error:
        assert type(error).__str__(error) is not None
        return type(error).__name__, str(error).replace("uvolt", "")


def same(a: Any, b: Any) -> bool:
    return a == b or repr(a) == repr(b)  # NaN


def test_text_and_json_are_aiohttps() -> None:
    current: list[Any] = [None, b""]

    async def script(peer: Any) -> None:
        while True:
            await peer.request()
            content_type, body = current
            head = f"Content-Type: {content_type}\r\n".encode() if content_type is not None else b""
            peer.send(
                b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
            )

    async def look(http: Any, url: str) -> list[Any]:
        async with http.get(url) as answer:
            return [
                await outcome(answer.text()),
                await outcome(answer.json()),
                await outcome(answer.json(content_type=None)),
                await outcome(answer.json(content_type="text/html")),
                await outcome(answer.json(content_type="application/json")),
                await outcome(answer.json(content_type=None, loads=len)),
                await outcome(answer.json(content_type=None, encoding="latin-1", loads=repr)),
                await outcome(answer.text("cp1252", "replace")),
                await outcome(answer.text(errors="ignore")),
                await answer.read(),
                answer.content_type,
                answer.charset,
            ]

    async def main() -> None:
        async with (
            raw(script) as server,
            aiohttp.ClientSession() as oracle,
            uvolt.http.ClientSession() as ours,
        ):
            for content_type in TYPES:
                for body in BODIES:
                    current[:] = content_type, body
                    expected, seen = await look(oracle, server.url), await look(ours, server.url)
                    for n, (one, other) in enumerate(zip(expected, seen, strict=True)):
                        assert same(one, other), (content_type, body, n)

    run(main, 60)


@pytest.mark.parametrize("data", [response(b"x" * 300), chunked(b"x" * 100, b"x" * 200)])
@pytest.mark.parametrize("early", [False, True])
def test_the_stream_is_made_when_it_is_asked_for(data: bytes, early: bool) -> None:
    head = (
        b""
        if data.startswith(b"HTTP")
        else b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    data = head + data

    async def script(peer: Any) -> None:
        for cut in (len(data), 150, len(data) - 3):
            await peer.request()
            await peer.send_pieces([data[:cut], data[cut:]])

    async def main() -> None:
        async with raw(script) as server, uvolt.http.ClientSession() as http:
            for _ in range(3):
                async with http.get(server.url) as answer:
                    if early:
                        assert answer.content is answer.content
                    assert await answer.content.read(10) == b"x" * 10
                    assert await answer.read() == b"x" * 290
                    assert await answer.read() == b"x" * 290
                    assert answer.content.at_eof()

    run(main)


def test_chunks_keep_their_ends() -> None:
    parts = chunked(b"one", b"two"), chunked(b"three")
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def script(peer: Any) -> None:
        for part in parts:
            await peer.request()
            peer.send(head + part)

    async def main() -> None:
        async with raw(script) as server, uvolt.http.ClientSession() as http:
            got = []
            for _ in parts:
                async with http.get(server.url) as answer:
                    got.append([pair async for pair in answer.content.iter_chunks()])
            assert got == [[(b"one", True), (b"two", True)], [(b"three", True)]]

    run(main)


# ---- made by hand, as mocks and caches do


def made(loop: Any, info: Any = mock.sentinel.info, **members: Any) -> Any:
    answer = uvolt.http.ClientResponse(
        "GET",
        URL("http://example.org/a#b"),
        request_info=info,
        writer=None,
        continue100=None,
        timer=None,
        traces=[],
        loop=loop,
        session=None,
        stream_writer=mock.Mock(),
    )
    for name, value in members.items():
        setattr(answer, name, value)
    return answer


def test_made_by_hand() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        headers = CIMultiDictProxy(CIMultiDict({"Content-Type": "text/plain; charset=latin-1"}))
        answer = made(loop, status=404, reason="No", _headers=headers, _body=b"\xfc")
        assert (answer.status, answer.reason, answer.ok, answer.method) == (404, "No", False, "GET")
        assert answer.url == URL("http://example.org/a")
        assert answer.real_url == URL("http://example.org/a#b")
        assert answer.headers is headers
        assert await answer.text() == "ü"
        assert await answer.read() == b"\xfc"
        assert answer.closed
        with pytest.raises(uvolt.http.ClientResponseError):
            answer.raise_for_status()
        with pytest.raises(uvolt.http.ContentTypeError):
            await answer.json()
        answer._history = (answer,)
        assert answer.history == (answer,)
        answer._history = ()

    run(main)


def test_made_by_hand_of_no_request() -> None:
    async def main() -> None:
        info = made(asyncio.get_running_loop(), None).request_info
        assert (info.url, info.method) == (URL("http://example.org/a"), "GET")
        assert not info.headers

    run(main)


def test_content_set_by_hand() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        stream = uvolt.http.StreamReader(mock.Mock(), 2**16, loop=loop)
        headers = CIMultiDictProxy(CIMultiDict({"Content-Type": "application/json"}))
        answer = made(loop, status=200, reason="OK", _headers=headers, content=stream)
        assert answer.content is stream
        loop.call_soon(stream.feed_data, b'{"a": 1}')
        loop.call_soon(stream.feed_eof)
        assert await answer.json() == {"a": 1}
        assert json.loads(await answer.read()) == {"a": 1}

    run(main)


# ---- let go of


async def unfinished(peer: Any) -> None:
    await peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun")
    await peer.gone()


@pytest.mark.parametrize("looked_at", [False, True])
def test_dropped_unread(looked_at: bool) -> None:
    """The connection is given up with the response, and with its body, if somebody reads that."""

    async def main() -> None:
        async with raw(unfinished) as server, uvolt.http.ClientSession() as http:
            answer = await http.get(server.url)
            stream = answer.content if looked_at else None
            assert http.connector._pool.in_use == 1
            del answer
            gc.collect()
            if stream is not None:
                assert await stream.readexactly(5) == b"begun"
                assert http.connector._pool.in_use == 1
                del stream
                gc.collect()
            await server.closed_by_client()
            assert http.connector._pool.in_use == 0

    run(main)


def test_dropped_unread_is_told_in_debug_mode() -> None:
    told: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        loop.set_exception_handler(lambda _, context: told.append(context["message"]))
        async with raw(unfinished) as server, uvolt.http.ClientSession() as http:
            answer = await http.get(server.url)
            with pytest.warns(ResourceWarning, match="Unclosed response"):
                del answer
                gc.collect()
            await server.closed_by_client()

    run(main)
    assert told == ["Unclosed response"]


def test_in_a_cycle() -> None:
    async def main() -> None:
        async with raw(unfinished) as server, uvolt.http.ClientSession() as http:
            answer = await http.get(server.url)
            answer.itself = answer
            answer.reading = answer.content.iter_any()
            del answer
            gc.collect()
            await server.closed_by_client()
            assert http.connector._pool.in_use == 0

    run(main)


def test_after_release() -> None:
    async def main() -> None:
        async with raw(unfinished) as server, uvolt.http.ClientSession() as http:
            for end in ("release", "close"):
                answer = await http.get(server.url)
                getattr(answer, end)()
                assert answer.closed and answer.connection is None
                for reading in (answer.read, answer.text, answer.json, answer.content.read):
                    with pytest.raises(uvolt.http.ClientConnectionError, match="Connection closed"):
                        await reading()
                await answer.release()
                await answer.wait_for_close()
            await server.closed_by_client()

    run(main)


def test_memory_is_flat() -> None:
    async def main() -> None:
        async with raw(ok) as server, uvolt.http.ClientSession() as http:

            async def some(n: int) -> None:
                for _ in range(n):
                    async with http.get(server.url) as answer:
                        assert await answer.text() == "ok"
                        assert answer.headers["Content-Length"] == "2"
                del server.asked[:]
                server.received.clear()

            await some(300)
            gc.collect()
            before = sys.getallocatedblocks()
            await some(1000)
            gc.collect()
            assert sys.getallocatedblocks() - before < 200

    run(main)
