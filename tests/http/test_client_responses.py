"""What a response has to offer: its members, text and JSON, reading at once and in pieces."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest
from http_support import answers, chunked, pieces_then_close, raw, response
from multidict import CIMultiDictProxy
from yarl import URL


def fetch(client, data: bytes, use=None, *, path="/", session=None, **request):
    """A GET answered by these bytes; what `use` makes of the response."""

    async def main():
        async with raw(answers(data)) as server, client.session(**(session or {})) as http:
            async with http.get(server.url + path, **request) as answer:
                return await use(answer) if use else await answer.read()

    return client.run(main)


def test_members(client):
    head = (
        b"HTTP/1.1 201 Made it\r\nContent-Type: Text/Plain; Charset=ISO-8859-1\r\n"
        b"X-Twice: a\r\nx-twice: b\r\nContent-Length: 5\r\n"
        b'Content-Disposition: attachment; filename="a.txt"\r\n'
        b"Link: <https://example.org/next>; rel=next\r\nSet-Cookie: c=d; Path=/\r\n\r\nbody\xfc"
    )

    async def main():
        async with raw(answers(head)) as server, client.session() as http:
            url = URL(server.url + "/path?q=1")
            async with http.get(f"{url}#there") as answer:
                assert (answer.status, answer.reason, answer.ok) == (201, "Made it", True)
                assert answer.method == "GET"
                assert tuple(answer.version) == (1, 1)
                assert type(answer.url) is URL and answer.url == url
                assert answer.real_url == URL(f"{url}#there")
                assert answer.host == "127.0.0.1"
                assert type(answer.headers) is CIMultiDictProxy
                assert answer.headers.getall("X-TWICE") == ["a", "b"]
                assert answer.headers["content-length"] == "5"
                assert list(answer.headers)[1:3] == ["X-Twice", "x-twice"]
                assert answer.raw_headers[1] == (b"X-Twice", b"a")
                assert type(answer.raw_headers) is tuple and len(answer.raw_headers) == 7
                assert answer.content_type == "text/plain"
                assert answer.charset == "ISO-8859-1"
                assert answer.content_length == 5
                assert answer.content_disposition.type == "attachment"
                assert answer.content_disposition.filename == "a.txt"
                assert answer.links["next"]["url"] == URL("https://example.org/next")
                assert answer.cookies["c"].value == "d"
                assert answer.cookies["c"]["path"] == "/"
                assert answer.history == ()
                assert isinstance(answer, client.http.ClientResponse)
                info = answer.request_info
                assert isinstance(info, client.http.RequestInfo)
                assert (info.url, info.method) == (url, "GET")
                assert info.real_url == URL(f"{url}#there")
                assert info.headers["host"] == f"127.0.0.1:{server.port}"
                assert await answer.text() == "bodyü"
                assert "201" in repr(answer) and str(url) in repr(answer)

    client.run(main)


def test_members_that_are_missing(client):
    async def use(answer):
        assert answer.reason == ""
        assert answer.content_type == "application/octet-stream"
        assert answer.charset is None
        assert answer.content_length is None
        assert answer.content_disposition is None
        assert len(answer.links) == 0 and len(answer.cookies) == 0
        assert await answer.read() == b"abc"

    fetch(client, b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abc"), use)


@pytest.mark.parametrize("target", ["http://[", "http://a:99999/", "//[x"])
def test_a_link_that_is_no_url(client, target):
    """The others are there; aiohttp raises yarl's ValueError for all of them."""
    field = f"<{target}>; rel=bad, </next>; rel=next"

    async def main():
        async with raw(answers(response(b"", Link=field))) as server, client.session() as http:
            async with http.get(server.url) as got:
                if not client.ours:
                    with pytest.raises(ValueError):
                        got.links  # noqa: B018
                    return
                assert list(got.links) == ["next"]
                assert str(got.links["next"]["url"]) == server.url + "/next"

    client.run(main)


@pytest.mark.parametrize("status, ok", [(200, True), (399, True), (400, False), (599, False)])
def test_ok(client, status, ok):
    async def use(answer):
        return answer.ok

    assert fetch(client, response(status=f"{status} X"), use) is ok


def test_a_small_response_gives_its_connection_back_at_once(client):
    async def main():
        async with raw(answers(response(b"small"))) as server, client.session() as http:
            first = await http.get(server.url)
            assert first.closed and first.connection is None
            second = await http.get(server.url)
            assert await first.read() == await second.read() == b"small"
            assert len(server.peers) == 1

    client.run(main)


# -- text and JSON --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type, body, text",
    [
        ("text/html; charset=utf-8", "ü€".encode(), "ü€"),
        ("text/html; charset=latin-1", b"\xfc", "ü"),
        ("text/html; charset=windows-1251", "привет".encode("cp1251"), "привет"),
        ("text/html", "ü".encode(), "ü"),
        ("application/json", "ü".encode(), "ü"),
        ("text/html; charset=no-such-thing", "ü".encode(), "ü"),
        ("text/html; charset=\xfc", "ü".encode(), "ü"),
        ("text/html; charset=base64", "ü".encode(), "ü"),
        ("text/plain; charset=utf-16", "ab".encode("utf-16"), "ab"),
        ("text/html; charset=utf-8", b"", ""),
    ],
)
def test_row_43_text(client, content_type, body, text):
    """Charsets that are known, unknown, none at all, and codecs that are no charsets."""
    if "base64" in content_type and not client.ours:
        return  # aiohttp: LookupError
    data = response(body).replace(
        b"\r\n", b"\r\nContent-Type: " + content_type.encode("utf-8") + b"\r\n", 1
    )

    async def use(answer):
        return await answer.text()

    assert fetch(client, data, use) == text


def test_text_in_an_encoding_of_ones_own(client):
    async def use(answer):
        assert await answer.text("latin-1") == "Ã¼"
        with pytest.raises(UnicodeDecodeError):
            await answer.text("ascii")
        assert await answer.text(encoding="ascii", errors="replace") == "\ufffd\ufffd"
        assert answer.get_encoding() == "utf-8"
        return await answer.text()

    assert fetch(client, response("ü".encode()), use) == "ü"


def test_get_encoding_replaced_in_the_class(client, monkeypatch):
    monkeypatch.setattr(client.http.ClientResponse, "get_encoding", lambda self: "latin-1")

    async def use(answer):
        return await answer.text()

    assert fetch(client, response(b"\xfc", Content_Type="text/plain; charset=utf-8"), use) == "ü"


def test_a_fallback_for_charsets(client):
    async def use(answer):
        return await answer.text()

    session = {"fallback_charset_resolver": lambda answer, body: "latin-1"}
    assert fetch(client, response(b"\xfc"), use, session=session) == "ü"


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "application/problem+json"],
)
def test_json(client, content_type):
    async def use(answer):
        assert await answer.json() == {"a": ["ü", 1]}
        assert await answer.json(loads=lambda text: len(text)) == 15
        return await answer.text()

    data = response('{"a": ["ü", 1]}'.encode(), Content_Type=content_type)
    assert fetch(client, data, use) == '{"a": ["ü", 1]}'


def test_row_44_json_of_another_type(client):
    async def use(answer):
        with pytest.raises(client.http.ContentTypeError) as caught:
            await answer.json()
        error = caught.value
        assert error.status == 200 and "text/html" in error.message
        assert isinstance(error, client.http.ClientResponseError)
        assert error.headers["content-type"] == "text/html"
        assert error.request_info is answer.request_info or error.request_info.url == answer.url
        assert await answer.json(content_type=None) == 1
        assert await answer.json(content_type="text/html") == 1

    fetch(client, response(b"1", Content_Type="text/html"), use)


@pytest.mark.parametrize("body", [b"", b"  \r\n"])
def test_json_of_nothing(client, body):
    async def use(answer):
        return await answer.json()

    assert fetch(client, response(body, Content_Type="application/json"), use) is None


def test_json_that_is_none(client):
    async def use(answer):
        with pytest.raises(ValueError):
            await answer.json()

    fetch(client, response(b"{", Content_Type="application/json"), use)


def test_read_again(client):
    async def use(answer):
        body = await answer.read()
        assert type(body) is bytes and await answer.read() is body
        return body

    assert fetch(client, response(b"x" * 100_000), use) == b"x" * 100_000


def test_after_the_block(client):
    """What was read stays; the rest is gone."""

    async def main():
        async with raw(answers(response(b"x" * 10))) as server, client.session() as http:
            async with http.get(server.url) as answer:
                await answer.read()
            assert await answer.text() == "x" * 10
            assert answer.closed

    client.run(main)


def test_left_before_it_was_read(client):
    body = b"x" * (1 << 22)

    async def main():
        async with raw(answers(response(body))) as server, client.session() as http:
            async with http.get(server.url) as answer:
                assert answer.content_length == len(body)
            assert answer.closed
            with pytest.raises(client.http.ClientConnectionError):
                await answer.read()
            async with http.get(server.url) as answer:
                assert await answer.read() == body

    client.run(main)


# -- errors by status -----------------------------------------------------------------------------


def test_raise_for_status(client):
    async def main():
        data = response(b"gone", "404 Not Here", X_A="b")
        async with raw(answers(data)) as server, client.session() as http:
            answer = await http.get(server.url + "/x")
            with pytest.raises(client.http.ClientResponseError) as caught:
                answer.raise_for_status()
            error = caught.value
            assert (error.status, error.message) == (404, "Not Here")
            assert error.headers["x-a"] == "b"
            assert error.request_info.url == URL(server.url + "/x")
            assert error.history == ()
            assert str(error) == f"404, message='Not Here', url='{server.url}/x'"
            async with http.get(server.url) as answer:
                with pytest.raises(client.http.ClientResponseError):
                    answer.raise_for_status()
                assert await answer.text() == "gone"  # still to be had in the block

    client.run(main)


@pytest.mark.parametrize("where", ["session", "request"])
def test_raise_for_status_by_itself(client, where):
    async def main():
        async with raw(answers(response(b"no", "500 Oh"), response(b"yes"))) as server:
            options = {"raise_for_status": True} if where == "session" else {}
            more = {"raise_for_status": True} if where == "request" else {}
            async with client.session(**options) as http:
                with pytest.raises(client.http.ClientResponseError) as caught:
                    async with http.get(server.url, **more):
                        pass
                assert caught.value.status == 500
                async with http.get(server.url, **more) as answer:
                    assert await answer.read() == b"yes"
            assert len(server.peers) == 1

    client.run(main)


def test_raise_for_status_by_a_function(client):
    seen = []

    async def judge(answer):
        seen.append((answer.status, await answer.text()))
        if answer.status == 500:
            raise ZeroDivisionError

    async def main():
        async with raw(answers(response(b"no", "500 Oh"), response(b"no", "500 Oh"))) as server:
            async with client.session(raise_for_status=judge) as http:
                with pytest.raises(ZeroDivisionError):
                    await http.get(server.url)
                async with http.get(server.url, raise_for_status=False) as answer:
                    assert answer.status == 500

    client.run(main)
    assert seen == [(500, "no")]


# -- reading in pieces ----------------------------------------------------------------------------

LINES = b"one\ntwo\r\n\nlast"


def test_lines(client):
    async def use(answer):
        return [line async for line in answer.content]

    expected = [b"one\n", b"two\r\n", b"\n", b"last"]
    assert fetch(client, response(LINES), use) == expected


def test_readline_and_readuntil(client):
    async def use(answer):
        content = answer.content
        assert await content.readline() == b"one\n"
        assert await content.readuntil(b"\r\n") == b"two\r\n"
        assert await content.readuntil(b"s") == b"\nlas"
        assert await content.readline() == b"t"
        assert await content.readline() == b"" and content.at_eof()
        with pytest.raises(ValueError):
            await content.readuntil(b"")

    fetch(client, response(LINES), use)


def test_lines_that_are_too_long(client):
    async def use(answer):
        with pytest.raises(Exception) as caught:
            await answer.content.readline()
        assert type(caught.value).__name__ == "LineTooLong"

    data = response(b"x" * 1_000_000)
    fetch(client, data, use, read_bufsize=1 << 14)


def test_read_so_many(client):
    async def use(answer):
        content = answer.content
        assert await content.read(0) == b""
        assert await content.read(3) == b"one"
        assert await content.readexactly(4) == b"\ntwo"
        assert await content.read(-1) == b"\r\n\nlast"
        assert await content.read() == b"" and await content.read(5) == b""
        with pytest.raises(asyncio.IncompleteReadError) as caught:
            await content.readexactly(1)
        assert (caught.value.partial, caught.value.expected) == (b"", 1)

    fetch(client, response(LINES), use)


def test_readexactly_of_a_body_that_is_shorter(client):
    async def use(answer):
        with pytest.raises(asyncio.IncompleteReadError) as caught:
            await answer.content.readexactly(100)
        assert caught.value.partial == LINES

    fetch(client, response(LINES), use)


@pytest.mark.parametrize("size", [1, 3, 7, 1000, 1 << 20])
def test_iter_chunked(client, size):
    body = bytes(range(256)) * 40

    async def use(answer):
        parts = [part async for part in answer.content.iter_chunked(size)]
        assert all(0 < len(part) <= size for part in parts)
        return b"".join(parts)

    assert fetch(client, response(body), use) == body


def pieces(client, sent, use, **request):
    """A GET whose answer comes in these pieces, each read before the next is sent."""

    async def main():
        async with raw(pieces_then_close(sent)) as server, client.session() as http:
            async with http.get(server.url, **request) as answer:
                return await use(answer)

    return client.run(main)


CHUNKS = [
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"3\r\none\r\n",
    b"6\r\ntwo",
    b"two\r\n5\r\nthree\r\n",
    b"0\r\n\r\n",
]


def test_iter_any(client):
    async def use(answer):
        return [part async for part in answer.content.iter_any()]

    got = pieces(client, CHUNKS, use)
    assert b"".join(got) == b"onetwotwothree" and got[0] == b"one"


def test_iter_chunks(client):
    """Data and whether an HTTP chunk ends with it."""

    async def use(answer):
        return [part async for part in answer.content.iter_chunks()]

    got = pieces(client, CHUNKS, use)
    whole, part = [], b""
    for data, end in got:
        part += data
        if end:
            whole.append(part)
            part = b""
    assert [part for part in whole if part] == [b"one", b"twotwo", b"three"] and part == b""


def test_readany_and_readchunk(client):
    async def use(answer):
        assert await answer.content.readany() == b"one"
        while not (chunk := await answer.content.readchunk())[0]:
            assert chunk[1]  # the end of one that was read already
        assert b"two" in chunk[0]
        assert (await answer.content.read()).endswith(b"three")
        assert await answer.content.readany() == b""
        while await answer.content.readchunk() != (b"", False):
            pass

    pieces(client, CHUNKS, use)


def test_at_eof_and_wait_eof(client):
    async def use(answer):
        content = answer.content
        called = []
        assert not content.is_eof() and not content.at_eof()
        content.on_eof(lambda: called.append(1))
        await content.wait_eof()
        assert content.is_eof() and not content.at_eof() and called == [1]
        assert content.read_nowait(3) == b"one"
        assert content.read_nowait() == b"twotwothree"
        assert content.at_eof() and content.exception() is None
        assert content.total_bytes == 14

    pieces(client, CHUNKS, use)


def test_two_readers_at_a_time_are_refused(client):
    async def use(answer):
        first = asyncio.ensure_future(answer.content.read())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await answer.content.readany()
        return await first

    assert pieces(client, CHUNKS, use) == b"onetwotwothree"


def test_a_body_without_a_length(client):
    data = b"HTTP/1.1 200 OK\r\n\r\nuntil the end"
    assert pieces(client, [data[:25], data[25:]], lambda answer: answer.read()) == b"until the end"


def test_back_pressure(client):
    """A body that is not read is not taken from the socket: some buffers, not all of it."""
    total = 50 << 20
    sent = 0

    async def script(peer):
        nonlocal sent
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while sent < total:
            await peer.send_slowly(b"x" * 65536)
            sent += 65536
        await peer.gone()

    async def main():
        async with raw(script) as server, client.session(read_bufsize=1 << 16) as http:
            async with http.get(server.url) as answer:
                last = -1
                while sent != last:
                    last = sent
                    await asyncio.sleep(0.05)
                assert sent < 12 << 20
                got = 0
                async for part in answer.content.iter_any():
                    got += len(part)
                    assert len(part) <= 4 << 20
                assert got == total

    client.run(main)


# -- codings --------------------------------------------------------------------------------------

TEXT = b"".join(b"line %d of a text\n" % n for n in range(20_000))


def raw_deflate(data: bytes) -> bytes:
    compress = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compress.compress(data) + compress.flush()


CODED = {
    "gzip": ("gzip", gzip.compress(TEXT)),
    "mixed case": ("GZip", gzip.compress(TEXT)),
    "deflate": ("deflate", zlib.compress(TEXT)),
    "raw deflate": ("deflate", raw_deflate(TEXT)),
    "two members": ("gzip", gzip.compress(TEXT[:5000]) + gzip.compress(TEXT[5000:])),
    "identity": ("identity", TEXT),
    "row 42, unknown": ("snappy-framed", TEXT),
}


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("name", CODED)
def test_codings(client, name, framing):
    coding, data = CODED[name]
    if framing == "length":
        sent = response(data, Content_Encoding=coding)
    else:
        parts = [data[n : n + 1000] for n in range(0, len(data), 1000)]
        sent = response(
            chunked(*parts), length=False, Content_Encoding=coding, Transfer_Encoding="chunked"
        )

    async def use(answer):
        assert answer.headers["content-encoding"] == coding
        return await answer.read()

    assert fetch(client, sent, use) == TEXT


def test_codings_by_line(client):
    async def use(answer):
        return [line async for line in answer.content]

    sent = response(gzip.compress(TEXT), Content_Encoding="gzip")
    assert fetch(client, sent, use) == TEXT.splitlines(keepends=True)


@pytest.mark.parametrize("where", ["session", "request"])
def test_codings_left_alone(client, where):
    data = gzip.compress(TEXT)
    session = {"auto_decompress": False} if where == "session" else {}
    request = {"auto_decompress": False} if where == "request" else {}
    sent = response(data, Content_Encoding="gzip")
    assert fetch(client, sent, session=session, **request) == data


def test_a_long_body_in_pieces(client):
    """Each byte at its place, whatever the sizes of reads are."""
    body = b"".join(b"%08d" % n for n in range(500_000))

    async def main():
        async with raw(answers(response(body))) as server, client.session() as http:
            async with http.get(server.url) as answer:
                got, size = bytearray(), 1
                while part := await answer.content.read(size):
                    got += part
                    size = size * 3 % 200_003 + 1
                assert bytes(got) == body
            assert server.open == 1

    client.run(main)
