"""What comes behind a chunked body; responses that do not say how long they are."""

from __future__ import annotations

import pytest
from http_support import answers, pieces_then_close, raw, response

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = b"5\r\nhello\r\n0\r\n"


def trailers_of(client, trailers, pieces=None, **request):
    """The trailers once the body was read, as pairs; the connection must be good behind them."""

    async def main():
        data = HEAD + BODY + trailers + b"\r\n"
        script = answers(data)
        if pieces:
            cut = [data[at : at + pieces] for at in range(0, len(data), pieces)]
            script = pieces_then_close(cut, close=False)
        async with raw(script) as server, client.session() as http:
            async with http.get(server.url, **request) as got:
                assert await got.read() == b"hello"
                assert "x-sum" not in got.headers
                found = list(got.trailers.items())
                assert got.trailers == got.trailers
            if not pieces:
                async with http.get(server.url, **request) as got:
                    assert await got.text() == "hello"
                assert len(server.peers) == 1
            return found

    return client.run(main)


@pytest.fixture
def ours(client):
    if not client.ours:
        pytest.skip("aiohttp drops trailers")
    return client


@pytest.mark.parametrize("pieces", [None, 1, 3, 60])
@pytest.mark.parametrize(
    "trailers, found",
    [
        (b"", []),
        (b"X-Sum: 1\r\n", [("X-Sum", "1")]),
        (b"X-Sum:1\r\nx-sum:  2 \r\nY:\r\n", [("X-Sum", "1"), ("x-sum", "2"), ("Y", "")]),
        (b"X-Sum: a: b\r\n", [("X-Sum", "a: b")]),
        (b"X-Sum: \xff\xc3\xbc\r\n", [("X-Sum", "\udcff\u00fc")]),
        (b"X-Sum: one\r\n two\r\n\tthree\r\nY: z\r\n", [("X-Sum", "one two\tthree"), ("Y", "z")]),
        (b"Content-Length: 3\r\nA: b\r\n", [("Content-Length", "3"), ("A", "b")]),
    ],
)  # fmt: skip
def test_trailers(ours, trailers, found, pieces):
    assert trailers_of(ours, trailers, pieces) == found


def test_they_are_not_there_before_the_body_was_read(ours):
    async def main():
        pieces = [HEAD, BODY[:10], BODY[10:], b"X-Sum: 1\r", b"\n\r\n"]
        async with raw(pieces_then_close(pieces)) as server, ours.session() as http:
            async with http.get(server.url) as got:
                assert not got.trailers
                assert await got.content.readany() == b"hello"
                assert not got.trailers
                assert await got.read() == b""
                assert got.trailers.getall("x-sum") == ["1"]
                with pytest.raises(AttributeError):
                    got.trailers.add("a", "b")

    ours.run(main)


def test_no_cookie_comes_by_a_trailer(client):
    async def main():
        data = HEAD + BODY + b"Set-Cookie: a=b\r\n\r\n"
        async with raw(answers(data)) as server, client.session() as http:
            async with http.get(server.url) as got:
                await got.read()
                assert not got.cookies and not list(http.cookie_jar)

    client.run(main)


@pytest.mark.parametrize("pieces", [None, 1000])
def test_their_limits(ours, pieces):
    """CVE-2026-22815: as many and as long as headers may be. The whole response fails."""
    many, long = b"X: y\r\n" * 130, b"X: " + b"y" * 9000 + b"\r\n"
    endless = b"X: " + b"y" * 500_000

    async def main(trailers):
        data = HEAD + BODY + trailers + b"\r\n"
        cut = [
            data[at : at + (pieces or len(data))] for at in range(0, len(data), pieces or len(data))
        ]
        async with raw(pieces_then_close(cut)) as server, ours.session() as http:
            async with http.get(server.url) as got:
                await got.read()

    for trailers in (many, long, endless):
        with pytest.raises((ours.http.ClientPayloadError, ours.http.ClientResponseError)):
            ours.run(lambda t=trailers: main(t))
    assert len(trailers_of(ours, b"X: y\r\n" * 128)) == 128


def test_a_limit_of_ones_own(ours):
    with pytest.raises(ours.http.ClientPayloadError):
        trailers_of(ours, b"X: y\r\n" * 4, max_headers=3)
    assert len(trailers_of(ours, b"X: y\r\n" * 3, max_headers=3)) == 3


def test_a_response_without_any(ours):
    async def main():
        async with raw(answers(response(b"x"))) as server, ours.session() as http:
            async with http.get(server.url) as got:
                assert not got.trailers
                await got.read()
                assert not got.trailers
            async with http.head(server.url) as got:
                assert not got.trailers

    ours.run(main)


# -- read_until_eof -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_body_without_a_length_is_none_if_so_asked(client, method):
    """The connection is not used again: nobody knows what the bytes behind the head are."""

    async def script(peer):
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nX-One: 1\r\n\r\nbody")
        await peer.gone()

    async def main():
        async with raw(script) as server, client.session() as http:
            for number in (1, 2):
                async with http.request(method, server.url, read_until_eof=False) as got:
                    assert (got.status, got.headers["X-One"]) == (200, "1")
                    assert await got.read() == b""
                    assert await got.content.read() == b""
                assert len(server.peers) == number
            await server.closed_by_client()

    client.run(main)


@pytest.mark.parametrize("data", [response(b"body"), HEAD + b"4\r\nbody\r\n0\r\n\r\n"])
def test_a_body_that_says_how_long_it_is(client, data):
    async def main():
        async with raw(answers(data)) as server, client.session() as http:
            for _ in range(2):
                async with http.get(server.url, read_until_eof=False) as got:
                    assert await got.read() == b"body"
            assert len(server.peers) == 1

    client.run(main)


def test_a_redirect_keeps_it(client):
    async def script(peer):
        asked = await peer.request()
        if asked.target == "/":
            peer.send(response(b"", "302 Found", Location="/there"))
            asked = await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        await peer.gone()

    async def main():
        async with raw(script) as server, client.session() as http:
            async with http.get(server.url, read_until_eof=False) as got:
                assert (got.url.path, await got.read()) == ("/there", b"")

    client.run(main)
