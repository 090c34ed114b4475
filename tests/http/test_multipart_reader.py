"""MultipartReader: bodies of parts that servers send."""

from __future__ import annotations

import asyncio
import base64
import gc
import gzip
import io
import math
import quopri
import time
import warnings
import zlib

import pytest
from http_support import answers, pieces_then_close, raw, response

B = b"\r\n--b\r\n"
END = b"\r\n--b--\r\n"


def body_of(*parts, end=END):
    """A body of parts, each with its own head."""
    return (b"".join(B + part for part in parts) + end)[2:]


def plain(*bodies):
    return body_of(*(b"\r\n" + one for one in bodies))


def answer(body, kind="multipart/mixed; boundary=b"):
    return answers(response(body, Content_Type=kind))


def read(client, body, use, *, kind="multipart/mixed; boundary=b", pieces=None, **session):
    """What use(reader) gives, for a response with this body."""

    async def main():
        script = answer(body, kind)
        if pieces:
            whole = response(body, Content_Type=kind)
            script = pieces_then_close(
                [whole[at : at + pieces] for at in range(0, len(whole), pieces)]
            )
        async with raw(script) as server, client.session(**session) as http:
            async with http.get(server.url) as got:
                return await use(client.http.MultipartReader.from_response(got))

    return client.run(main)


async def all_parts(reader):
    return [bytes(await part.read()) async for part in reader]


# -- parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [None, 1, 7])
@pytest.mark.parametrize(
    "body, parts",
    [
        (plain(b"one", b"two"), [b"one", b"two"]),
        (plain(b""), [b""]),
        (plain(b"", b"", b"x"), [b"", b"", b"x"]),
        (b"--b\r\n\r\n--b--\r\n", [b""]),
        (b"--b--\r\n", []),
        (b"preamble\r\n--not it\r\n\r\n" + plain(b"x"), [b"x"]),
        (plain(b"x") + b"epilogue\r\n", [b"x"]),
        (plain(b"x")[:-2], [b"x"]),
        (plain(b"a\r\n", b"\r\nb", b"--", b"\r\n-"), [b"a\r\n", b"\r\nb", b"--", b"\r\n-"]),
        (plain(b"\n--b\r\n"), [b"\n--b\r\n"]),
        (plain(b"\r\n--c--\r\n--"), [b"\r\n--c--\r\n--"]),
        (plain(bytes(range(256)) * 400), [bytes(range(256)) * 400]),
        (b"--b  \r\n\r\nx\r\n--b--\t\r\n", [b"x"]),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_parts(client, body, parts, pieces):
    if pieces == 1 and len(body) > 2000:
        pieces = 1000
    assert read(client, body, all_parts, pieces=pieces) == parts


def test_headers(client):
    """Names and values without what is around them; bytes beyond UTF-8 stay."""

    async def use(reader):
        part = await reader.next()
        return list(part.headers.items()), await part.text()

    head = b"Content-Type:text/plain \r\nX-One: a\r\nx-one:\t b\xfc \r\nX-None:\r\n\r\nbody"
    headers, text = read(client, body_of(head), use)
    assert headers == [
        ("Content-Type", "text/plain"),
        ("X-One", "a"),
        ("x-one", "b\udcfc"),
        ("X-None", ""),
    ]
    assert text == "body"


@pytest.mark.parametrize(
    "disposition, name, filename",
    [
        (b'form-data; name="a"; filename="b.txt"', "a", "b.txt"),
        (b"attachment; filename=b.txt", None, "b.txt"),
        (b"attachment; filename*=UTF-8''%e2%82%ac.txt", None, "\u20ac.txt"),
        (b"form-data; name*0=a; name*1=b", "ab", None),
        (b'form-data; name="a;b"', "a;b", None),
        (b"inline", None, None),
        (b"not valid;;; =", None, None),
        (b"attachment; filename*=none''%ff", None, None),
        (None, None, None),
    ],
)
def test_names(client, disposition, name, filename):
    async def use(reader):
        part = await reader.next()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return part.name, part.filename

    head = b"" if disposition is None else b"Content-Disposition: " + disposition + b"\r\n"
    assert read(client, body_of(head + b"\r\n"), use) == (name, filename)


def test_a_part_that_is_not_read_is_skipped(client):
    async def use(reader):
        first = await reader.next()
        second = await reader.next()
        assert first.at_eof() and not second.at_eof()
        await second.release()
        assert second.at_eof()
        third = await reader.next()
        return bytes(await third.read()), await reader.next(), await reader.next()

    assert read(client, plain(b"a" * 100_000, b"b", b"c"), use) == (b"c", None, None)


def test_the_connection_is_free_behind_the_last_part(client):
    """An epilogue is read, too: aiohttp reads two lines of it."""

    async def main():
        body = plain(b"x") + b"epilogue\r\n"
        async with raw(answer(body)) as server, client.session() as http:
            for _ in range(3):
                got = await http.get(server.url)
                reader = client.http.MultipartReader.from_response(got)
                assert await all_parts(reader) == [b"x"]
                assert reader.at_eof()
            assert len(server.peers) == 1

    client.run(main)


def test_release(client):
    async def use(reader):
        await reader.stream.release()
        return await reader.next(), reader.stream.at_eof()

    assert read(client, plain(b"x", b"y" * 10_000), use) == (None, True)


def test_it_is_read_as_it_comes(client):
    """A part is there before the next one was sent."""
    if not client.ours:
        pytest.skip("aiohttp waits for some bytes of what follows")
    gate = []

    async def script(peer):
        await peer.request()
        body = plain(b"one", b"two")
        at = body.index(b"two")
        peer.send(response(body, Content_Type="multipart/mixed; boundary=b")[: -len(body) + at])
        while not gate:
            await asyncio.sleep(0.001)
        peer.send(body[at:])
        await peer.gone()

    async def main():
        async with raw(script) as server, client.session() as http:
            async with http.get(server.url) as got:
                reader = client.http.MultipartReader.from_response(got)
                assert await (await reader.next()).read() == b"one"
                gate.append(1)
                assert await (await reader.next()).read() == b"two"

    client.run(main)


# -- ways to read a part --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 100, 8192])
@pytest.mark.parametrize("length", [True, False])
def test_read_chunk(client, size, length):
    content = b"0123456789\r\n" * 500
    head = b"Content-Length: %d\r\n\r\n" % len(content) if length else b"\r\n"

    async def use(reader):
        part = await reader.next()
        chunks = []
        while not part.at_eof():
            chunks.append(await part.read_chunk(size))
            assert chunks[-1], "a chunk of nothing would be taken for the end"
        assert await part.read_chunk() == await part.read() == b""
        assert all(len(chunk) <= size for chunk in chunks)
        return b"".join(chunks), bytes(await (await reader.next()).read())

    assert read(client, body_of(head + content, b"\r\nnext"), use) == (content, b"next")


def test_readline(client):
    async def use(reader):
        part = await reader.next()
        lines = []
        while line := await part.readline():
            lines.append(line)
        assert part.at_eof() and await part.readline() == b""
        return lines, bytes(await (await reader.next()).read())

    body = plain(b"one\r\ntwo\n\r\n--other\r\nlast", b"next")
    assert read(client, body, use) == (
        [b"one\r\n", b"two\n", b"\r\n", b"--other\r\n", b"last"],
        b"next",
    )


def test_a_part_is_its_own_iterator(client):
    async def use(reader):
        return [bytes(data) async for data in await reader.next()]

    assert read(client, plain(b"one", b"two"), use) == [b"one"]


@pytest.mark.parametrize("method", ["text", "json", "form"])
def test_decoded_ways(client, method):
    async def use(reader):
        part = await reader.next()
        found = await getattr(part, method)()
        return found, await getattr(part, method)()

    contents = {
        "text": (b"text \xc3\xbc", "text ü", ""),
        "json": (b'{"a": [1]}', {"a": [1]}, None),
        "form": (b"a=1&b=+%C3%BC&c=\r\n", [("a", "1"), ("b", " ü"), ("c", "")], []),
    }
    body, found, empty = contents[method]
    assert read(client, plain(body), use) == (found, empty)


@pytest.mark.parametrize("method", ["text", "json", "form"])
@pytest.mark.parametrize("how", ["header", "argument"])
def test_charsets(client, method, how):
    async def use(reader):
        part = await reader.next()
        if how == "header":
            return await getattr(part, method)()
        return await getattr(part, method)(encoding="cp1251")

    body = {"text": "я", "json": '"я"', "form": "a=я"}[method].encode("cp1251")
    head = b"Content-Type: text/plain; charset=cp1251\r\n\r\n" if how == "header" else b"\r\n"
    found = {"text": "я", "json": "я", "form": [("a", "я")]}[method]
    assert read(client, body_of(head + body), use) == found


def test_text_in_no_charset(client):
    async def text(reader):
        return await (await reader.next()).text()

    with pytest.raises(UnicodeDecodeError):
        read(client, plain(b"\xff"), text)
    with pytest.raises(LookupError):
        read(client, body_of(b"Content-Type: text/x; charset=none\r\n\r\nx"), text)

    async def form(reader):
        return await (await reader.next()).form()

    with pytest.raises(ValueError, match="data cannot be decoded with utf-8 encoding"):
        read(client, plain(b"a=\xff"), form)


def raw_deflate(data):
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


CODED = {
    ("Content-Transfer-Encoding", "base64"): base64.b64encode,
    ("Content-Transfer-Encoding", "BASE64"): base64.encodebytes,
    ("Content-Transfer-Encoding", "quoted-printable"): quopri.encodestring,
    ("Content-Transfer-Encoding", "binary"): bytes,
    ("Content-Transfer-Encoding", "8bit"): bytes,
    ("Content-Encoding", "gzip"): gzip.compress,
    ("Content-Encoding", "deflate"): raw_deflate,
    ("Content-Encoding", "identity"): bytes,
}


@pytest.mark.parametrize("size", [0, 1, 50, 200_000])
@pytest.mark.parametrize("coding", CODED, ids=lambda coding: ":".join(coding))
def test_decoding(client, coding, size):
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    if coding[1] == "quoted-printable":
        content = ("ü=\r\n" * (size // 5 + 1)).encode()[: size // 5 * 5]
    coded = CODED[coding](content)

    async def use(reader):
        raw, done = await reader.next(), await reader.next()
        whole = bytes(await done.read(decode=True)) if raw.at_eof() else b""
        third = await reader.next()
        data = bytes(await third.read())
        pieces = [bytes(piece) async for piece in third.decode_iter(data)]
        assert data == coded
        return whole, b"".join(pieces)

    part = f"{coding[0]}: {coding[1]}\r\n\r\n".encode() + coded
    assert read(client, body_of(part, part, part), use) == (content, content)


def test_a_form_has_no_content_encoding(client):
    """RFC 7578, 4.8: and no Content-Length."""

    async def use(reader):
        return bytes(await (await reader.next()).read(decode=True))

    part = b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nplain"
    kind = "multipart/form-data; boundary=b"
    assert read(client, body_of(part), use, kind=kind) == b"plain"


@pytest.mark.parametrize("name", ["Content-Encoding", "Content-Transfer-Encoding"])
def test_codings_that_are_not_known(client, name):
    async def use(reader):
        return await (await reader.next()).read(decode=True)

    with pytest.raises(RuntimeError, match="unknown content"):
        read(client, body_of(name.encode() + b": x-other\r\n\r\nx"), use)


def test_chunks_of_base64_can_be_decoded_one_by_one(client):
    content = bytes(range(256)) * 50

    async def use(reader):
        part = await reader.next()
        out = b""
        while not part.at_eof():
            out += part.decode(await part.read_chunk(101))
        return out

    coded = base64.encodebytes(content).replace(b"\n", b"\r\n")
    part = b"Content-Transfer-Encoding: base64\r\n\r\n" + coded
    assert read(client, body_of(part), use) == content


def test_parts_that_are_sent_on(client):
    """From one response to another request: decoded, and by a body part's own names."""
    part = (
        b'Content-Disposition: form-data; name="n"; filename="f"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n"
    ) + base64.b64encode(b"content" * 1000)

    async def main():
        async with raw(answer(body_of(part))) as server, client.session() as http:
            async with http.get(server.url) as got:
                reader = client.http.MultipartReader.from_response(got)
                with client.http.MultipartWriter("mixed", boundary="c") as writer:
                    writer.append(await reader.next())
                async with http.post(server.url, data=writer):
                    assert writer.consumed
            return server.asked[1]

    asked = client.run(main)
    assert asked.headers["transfer-encoding"] == "chunked"
    assert b'Content-Disposition: attachment; name="n"; filename="f"' in asked.body
    assert b"contentcontent" in asked.body


# -- multipart in multipart -----------------------------------------------------------------------


INNER = b"Content-Type: multipart/related; boundary=inner\r\n\r\n--inner\r\n\r\none\r\n--inner--"


def test_a_body_in_a_body(client):
    async def use(reader):
        out = []
        async for part in reader:
            if isinstance(part, client.http.MultipartReader):
                out.append(await all_parts(part))
            else:
                out.append(bytes(await part.read()))
        return out

    body = body_of(b"\r\nzero", INNER + b"\r\n", b"\r\ntwo")
    assert read(client, body, use) == [b"zero", [b"one"], b"two"]
    if client.ours:
        # RFC 2046, 5.1.1: what follows the last boundary is to be ignored.
        for epilogue in (b"", b"\r\nepilogue\r\nof some\r\nlines"):
            body = body_of(b"\r\nzero", INNER + epilogue, b"\r\ntwo")
            assert read(client, body, use) == [b"zero", [b"one"], b"two"]


def test_a_body_in_a_body_that_is_not_read(client):
    async def use(reader):
        await reader.next()
        return bytes(await (await reader.next()).read())

    assert read(client, body_of(INNER + b"\r\n", b"\r\ntwo"), use) == b"two"


def test_classes_of_ones_own(client):
    class Part(client.http.BodyPartReader):
        pass

    class Inner(client.http.MultipartReader):
        pass

    class Outer(client.http.MultipartReader):
        part_reader_cls = Part
        multipart_reader_cls = Inner

    async def main():
        async with raw(answer(body_of(b"\r\nx", INNER))) as server, client.session() as http:
            async with http.get(server.url) as got:
                return [type(part) async for part in Outer.from_response(got)]

    assert client.run(main) == [Part, Inner]


# -- what is wrong --------------------------------------------------------------------------------


def broken(client, body, match=None, **options):
    async def use(reader):
        return await all_parts(reader)

    errors = (ValueError, client.http.ClientPayloadError)
    with pytest.raises(errors, match=match) as caught:
        read(client, body, use, **options)
    return caught.value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        b"--b\r\n\r\nno end",
        b"--b\r\n\r\nx\r\n--b",
        b"--b\r\n\r\nx\r\n--bad\r\n",
        b"--b\r\nContent-Length: 10\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\nContent-Length: 1\r\n\r\nxyz\r\n--b--\r\n",
    ],
)
def test_bodies_that_end_early(client, body):
    if body == b"--b\r\n\r\nx\r\n--b" and not client.ours:
        pytest.skip("aiohttp makes another part of it")
    broken(client, body)


@pytest.mark.parametrize("value", ["-1", "+1", "1_0", "0x1", "1, 1", "٣"])
def test_lengths_that_are_none(client, value):
    head = f"Content-Length: {value}\r\n\r\nx".encode()
    broken(client, body_of(head), match="invalid Content-Length")


@pytest.mark.parametrize(
    "head",
    [b"no colon", b": no name", b"A B: x", b"A : x", b" A: x", b"A: \x01", b"A: a\rb", b"\xfc: x",
     b"Content-Type: a/b\r\nContent-Type: c/d"],
)  # fmt: skip
def test_heads_that_are_none(client, head):
    async def use(reader):
        return await reader.next()

    with pytest.raises(Exception, match="Invalid|Duplicate|400") as caught:
        read(client, body_of(head + b"\r\n\r\nx"), use)
    assert type(caught.value).__name__ in ("InvalidHeader", "BadHttpMessage")


def test_a_head_of_too_many_fields(client):
    """CVE-2026-34516."""

    async def use(reader):
        return await reader.next()

    head = b"X: y\r\n" * 128 + b"\r\nx"
    assert len(read(client, body_of(head), use).headers) == 128
    with pytest.raises(Exception, match="Too many headers") as caught:
        read(client, body_of(b"X: y\r\n" + head), use)
    assert type(caught.value).__name__ == "BadHttpMessage"


def test_a_field_that_is_too_long(client):
    """CVE-2026-34516: also one of which the end never comes."""

    async def use(reader):
        return await reader.next()

    assert read(client, body_of(b"X: " + b"y" * 8180 + b"\r\n\r\n"), use)
    for field in (b"X: " + b"y" * 8200 + b"\r\n\r\n", b"y" * 300_000):
        with pytest.raises(Exception, match="8190") as caught:
            read(client, body_of(field), use)
        assert type(caught.value).__name__ == "LineTooLong"


@pytest.mark.parametrize(
    "kind", ["text/plain; boundary=b", "multipart/mixed", "multipart/mixed; boundary=" + "b" * 71]
)
def test_types_that_are_none(client, kind):
    async def use(reader):
        return reader

    with pytest.raises((ValueError, AssertionError)):
        read(client, plain(b"x"), use, kind=kind)


def test_a_limit_of_size(client):
    class TooLarge(Exception):
        pass

    async def main():
        content = gzip.compress(bytes(100_000))
        part = b"Content-Encoding: gzip\r\n\r\n" + content
        async with raw(answer(body_of(part, part))) as server, client.session() as http:
            async with http.get(server.url) as got:
                reader = client.http.MultipartReader(
                    got.headers, got.content, client_max_size=1000, max_size_error_cls=TooLarge
                )
                part = await reader.next()
                assert len(await part.read()) == len(content)
                part = await reader.next()
                with pytest.raises(TooLarge) as caught:
                    await part.read(decode=True)
                assert caught.value.args == (1000,)

    client.run(main)


# -- ours -----------------------------------------------------------------------------------------


def test_the_charset_of_a_form(client):
    """RFC 7578, 4.6. aiohttp takes the boundary behind that field for a header."""
    if not client.ours:
        pytest.skip("aiohttp cannot read what follows")

    async def use(reader):
        return [(part.name, await part.text()) async for part in reader]

    charset = b'Content-Disposition: form-data; name="_charset_"\r\n\r\ncp1251'
    field = b'Content-Disposition: form-data; name="a"\r\n\r\n' + "я".encode("cp1251")
    kind = "multipart/form-data; boundary=b"
    assert read(client, body_of(charset, field), use, kind=kind) == [("a", "я")]
    assert read(client, body_of(charset), use, kind=kind) == []
    with pytest.raises(RuntimeError, match="Invalid default charset"):
        read(client, body_of(charset + b"x" * 40, field), use, kind=kind)


def nested(depth):
    part = b"\r\nx"
    for number in reversed(range(depth)):
        boundary = b"n%d" % number
        kind = b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n" % boundary
        part = kind + b"--%b\r\n%b\r\n--%b--" % (boundary, part, boundary)
    return body_of(part)


def test_bodies_in_one_another_without_end(client):
    """Each would be some frames of the stack: an error instead."""
    if not client.ours:
        pytest.skip("aiohttp has no such limit")

    async def use(reader):
        part = await reader.next()
        while hasattr(part, "fetch_next_part"):
            part = await part.next()
        return bytes(await part.read())

    assert read(client, nested(31), use) == b"x"
    with pytest.raises(ValueError, match="32 multipart bodies in one another"):
        read(client, nested(32), use)

    async def skip(reader):
        await reader.stream.release()

    with pytest.raises(ValueError, match="32 multipart bodies in one another"):
        read(client, nested(2000), skip)


@pytest.mark.once
@pytest.mark.parametrize("what", ["preamble", "parts", "lines", "epilogue", "noise"])
def test_much_of_it_takes_time_in_proportion(client, what):
    if not client.ours:
        pytest.skip("it is our reader's promise")

    def body(size):
        return {
            "preamble": lambda: b"\n" * size + plain(b"x"),
            "parts": lambda: plain(*[b""] * (size // 10)),
            "lines": lambda: plain(b"\r\n--" * (size // 4)),
            "epilogue": lambda: plain(b"x") + b"\n" * size,
            "noise": lambda: body_of(
                b"Content-Transfer-Encoding: base64\r\n\r\n" + (b"A" + b" " * 50) * (size // 51)
            ),
        }[what]()

    async def chunks(reader):
        async for part in reader:
            while not part.at_eof():
                await part.read_chunk(100)

    def seconds(size):
        """The least of three runs, without the collector: its time is that of all objects."""
        least = math.inf
        for _ in range(3):
            gc.collect()
            gc.disable()
            try:
                started = time.process_time()
                read(client, body(size), chunks)
                least = min(least, time.process_time() - started)
            finally:
                gc.enable()
        return least

    seconds(1000)
    small, large = seconds(20_000), seconds(200_000)  # quadratic would be a hundred times
    assert large < 50 * max(small, 0.01), (small, large)


def test_memory_of_a_file_object_is_not_needed(client):
    """A stream that is none of ours: BytesIO-like with async methods."""

    class Stream:
        def __init__(self, data):
            self.file = io.BytesIO(data)

        async def read(self, size=-1):
            return self.file.read(size)

        async def readline(self, *, max_line_length=None):
            return self.file.readline()

        def at_eof(self):
            return self.file.tell() == len(self.file.getbuffer())

        def unread_data(self, data):
            self.file = io.BytesIO(data + self.file.read())

    async def main():
        headers = {"Content-Type": "multipart/mixed; boundary=b"}
        reader = client.http.MultipartReader(headers, Stream(plain(b"one", b"two")))
        return await all_parts(reader)

    assert client.run(main) == [b"one", b"two"]
