"""Bodies that change, end otherwise than they said, or are exchanged on the way."""

from __future__ import annotations

import asyncio
import io
import os
import time

import pytest
from forms_support import dechunk, post, post_all
from http_support import answers, raw, response

CONTENT = b"0123456789abcdef" * 40


async def is_closed(file) -> bool:
    """Files are closed in the executor: soon."""
    for _ in range(200):
        if file.closed:
            break
        await asyncio.sleep(0.01)
    return file.closed


# -- text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["alone", "form"])
def test_line_ends_that_get_shorter(ours, tmp_path, kind):
    """open() makes LF of CR LF: the file is longer than its text. aiohttp announces the file's
    length, and the server waits for the rest."""
    path = tmp_path / "table.csv"
    path.write_bytes(b"a,b\r\n" * 40)
    with path.open() as file:
        asked = post(ours, lambda http: file if kind == "alone" else {"field": file})
    assert "content-length" not in asked.headers
    assert b"a,b\n" * 40 in dechunk(asked) and b"\r\na,b" not in dechunk(asked)[200:]


@pytest.mark.parametrize(
    "content, newline",
    [(b"a,b\r\n" * 40, ""), (b"a,b\r\n" * 40, "\n"), (b"a,b\n" * 40, None), (b"a,b\r" * 9, None)],
)
def test_line_ends_that_stay_as_long_as_they_are(client, tmp_path, content, newline):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with path.open(newline=newline) as file:
        asked = post(client, lambda http: file)
    assert asked.body == (content if newline is not None else content.replace(b"\r", b"\n"))
    assert asked.headers["content-length"] == str(len(content))


@pytest.mark.parametrize("content", [b"line\n" * 40, b"line\r\n" * 40, "ü\n".encode() * 40])
@pytest.mark.parametrize("count", [3, 5, 199])
def test_a_text_that_was_read_in_part(ours, tmp_path, content, count):
    """What tell() says there need not be a number of bytes: aiohttp makes a length below zero of
    it, and raises ValueError."""
    path = tmp_path / "file"
    path.write_bytes(content)
    text = content.decode().replace("\r", "")
    with path.open(encoding="utf-8") as file:
        assert file.read(count) == text[:count]
        asked = post(ours, lambda http: file)
    assert dechunk(asked).decode() == text[count:]


@pytest.mark.parametrize("text", ["", "a", "\u20ac" * 300_000])
@pytest.mark.parametrize("charset", ["utf-16", "utf-8-sig", "iso2022_jp"])
def test_text_is_encoded_as_one(ours, tmp_path, text, charset):
    """The mark of UTF-16 stands at the beginning only: not before each piece, and not for ever
    behind the last. aiohttp writes one before each piece."""
    path = tmp_path / "file"
    text = text.replace("\u20ac", "\u3042")
    path.write_text(text, encoding="utf-8")
    with path.open(encoding="utf-8") as file:
        kind = f"text/plain; charset={charset}"
        asked = post(ours, lambda http: http.payload.TextIOPayload(file, content_type=kind))
    assert dechunk(asked) == (text.encode(charset) if text else b"")


# -- files that change ----------------------------------------------------------------------------


def grown(file, more: bytes):
    """A middleware during which the file gets longer: its length has been told by then."""

    async def middleware(request, handler):
        if isinstance(file, io.BytesIO):
            at = file.tell()
            file.seek(0, 2)
            file.write(more)
            file.seek(at)
        else:
            with open(file.name, "ab") as end:
                end.write(more)
        return await handler(request)

    return middleware


@pytest.mark.parametrize("size", [100, 300_000])
@pytest.mark.parametrize("kind", ["form", "alone"])
@pytest.mark.parametrize("memory", [False, True], ids=["file", "bytesio"])
def test_a_file_that_grows(client, tmp_path, memory, kind, size):
    """A log, say: what is appended while it is sent must not be what the server takes for the
    next request. aiohttp sends it in a form."""
    content, smuggled = b"x" * size, b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    path = tmp_path / "log"
    path.write_bytes(content)
    file = io.BytesIO(content) if memory else path.open("rb")

    async def main():
        async with raw(answers(response(b"ok"))) as server:
            async with client.session(middlewares=[grown(file, smuggled)]) as http:
                data = file if kind == "alone" else {"field": file}
                async with http.post(server.url, data=data) as got:
                    await got.read()
                await asyncio.sleep(0.02)
            return server.asked, bytes(server.received)

    asked, received = client.run(main)
    file.close()
    assert asked[0].body.count(b"x" * size) == 1
    if client.ours or kind == "alone":
        assert b"smuggled" not in received and len(asked) == 1
    else:
        assert b"smuggled" in received


def test_not_a_byte_more_than_was_announced(ours):
    """A payload of the program's own whose size is wrong."""

    class Payload(ours.http.payload.Payload):
        _autoclose = True
        size = 5

        def decode(self, encoding="utf-8", errors="strict"):
            raise NotImplementedError

        async def write(self, writer):
            await writer.write(b"01234")
            await writer.write(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")

    async def main():
        async with raw(answers(response(b"ok"))) as server, ours.session() as http:
            with pytest.raises(ours.http.ClientPayloadError, match="more bytes than its Content-L"):
                async with http.post(server.url, data=Payload(None)):
                    await asyncio.sleep(0.1)
                    raise AssertionError("answered")
            await asyncio.sleep(0.02)
            return bytes(server.received)

    assert b"smuggled" not in ours.run(main)


def test_a_file_that_stands_behind_its_end(ours, tmp_path):
    """There is nothing to send; aiohttp says "Content-Length: -4"."""
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        file.seek(7)
        asked = post(ours, lambda http: file)
    assert (asked.headers["content-length"], asked.body) == ("0", b"")


# -- files are closed -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["form", "alone"])
def test_pipes_are_closed(ours, kind):
    """They cannot be sent again, but they are open. aiohttp leaves them so."""
    reading, writing = os.pipe()
    os.write(writing, CONTENT)
    os.close(writing)
    pipe = os.fdopen(reading, "rb")

    async def main():
        async with raw(answers(response(b"ok"))) as server, ours.session() as http:
            data = pipe if kind == "alone" else {"field": pipe}
            async with http.post(server.url, data=data) as got:
                await got.read()
            assert CONTENT in bytes(server.received)
            assert await is_closed(pipe)

    ours.run(main)


def test_the_body_of_a_middleware_that_fails_is_closed(client, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    given, other = path.open("rb"), path.open("rb")

    async def middleware(request, handler):
        await request.update_body(other)
        raise ValueError("no")

    async def main():
        async with client.session(middlewares=[middleware]) as http:
            with pytest.raises(ValueError, match="no"):
                await http.post("http://127.0.0.1:1/", data=given)
            assert await is_closed(given)
            assert await is_closed(other)

    client.run(main)


def test_a_multipart_body_is_sent_twice(client):
    """The same object for two calls, as a program does that tries again by itself."""
    writer = client.http.MultipartWriter("mixed", boundary="b")
    writer.append("one")
    writer.append(io.BytesIO(b"two"))
    first, second = post_all(client, lambda http: writer, count=2)
    assert first.body == second.body and first.body.count(b"two") == 1


# -- files that are read while nobody waits any more ----------------------------------------------


class Slow(io.FileIO):
    """A file on a slow disk: a read that was given up goes on in its thread."""

    def __init__(self, path):
        super().__init__(path)
        self.reading = 0
        self.faults = []

    def read(self, size=-1):
        if self.reading:
            self.faults.append("two threads read it")
        self.reading += 1
        time.sleep(0.1)
        data = b"" if self.closed else super().read(min(size, 1000))
        self.reading -= 1
        return data

    def close(self):
        if self.reading:
            self.faults.append("closed while it is read")
        super().close()


def test_a_read_that_was_given_up_does_not_spoil_the_next(ours, tmp_path):
    """The server redirects before it has the body. With aiohttp the second request has less."""
    path = tmp_path / "file"
    content = bytes(range(250)) * 16
    path.write_bytes(content)

    async def script(peer):
        await peer.request(body=False)
        await asyncio.sleep(0.15)
        peer.send(response(b"", "307 Temporary Redirect", Location="/there", Connection="close"))
        await peer.gone()

    async def either(peer):
        if peer.number == 0:
            await script(peer)
        else:
            await peer.request()
            peer.send(response(b"ok"))

    async def main():
        async with raw(either) as server, ours.session() as http:
            file = Slow(path)
            async with http.post(server.url, data=file) as got:
                assert await got.read() == b"ok"
            assert server.asked[1].body == content
            assert await is_closed(file)
            assert not file.faults

    ours.run(main)


def test_a_file_is_not_closed_while_it_is_read(ours, tmp_path):
    """Its descriptor may be another file's by then."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT * 10)

    async def main():
        async with raw(lambda peer: peer.gone()) as server, ours.session() as http:
            for wait in (0.02, 0.15):
                file = Slow(path)
                task = asyncio.ensure_future(http.post(server.url, data=file))
                await asyncio.sleep(wait)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert await is_closed(file)
                assert not file.faults

    ours.run(main)


def test_a_bytesio_stays_open(ours):
    """Whatever becomes of the request: it is the program's."""
    file = io.BytesIO(CONTENT)

    async def middleware(request, handler):
        request.body = b"other"
        return await handler(request)

    async def main():
        async with raw(answers(response(b"ok"))) as server:
            async with ours.session(middlewares=[middleware]) as http:
                async with http.post(server.url, data=file) as got:
                    await got.read()
            assert server.asked[0].body == b"other"

    ours.run(main)
    assert file.getvalue() == CONTENT


# -- sent again by a middleware -------------------------------------------------------------------


async def pieces(*parts):
    for part in parts:
        yield part


def part_of(client, content):
    """A form with a part that comes once."""
    writer = client.http.MultipartWriter("mixed", boundary="b")
    writer.append(pieces(content))
    return writer


@pytest.mark.parametrize("kind", ["iterable", "part"])
def test_what_comes_once_is_not_sent_again_without_it(client, kind):
    """A middleware that tries again, as those of retries and of Digest do. aiohttp sends the
    request again without its body, or with what the first try has left of it."""

    async def middleware(request, handler):
        first = await handler(request)
        assert first.status == 401
        return await handler(request)

    async def main():
        script = answers(response(b"", "401 Unauthorized"), response(b"ok"))
        async with raw(script) as server, client.session(middlewares=[middleware]) as http:
            data = pieces(b"one", b"two") if kind == "iterable" else part_of(client, b"onetwo")
            if client.ours:
                with pytest.raises(client.http.ClientPayloadError, match="sent before"):
                    await http.post(server.url, data=data)
            else:
                async with http.post(server.url, data=data) as got:
                    assert await got.read() == b"ok"
            assert b"onetwo" in dechunk(server.asked[0])
            assert all(b"onetwo" not in dechunk(asked) for asked in server.asked[1:])

    client.run(main)


def test_what_came_once_is_sent_again_where_it_was_kept(client):
    async def middleware(request, handler):
        assert await request.body.as_bytes() == b"onetwo"
        await handler(request)
        return await handler(request)

    async def main():
        async with raw(answers(response(), response(b"ok"))) as server:
            async with client.session(middlewares=[middleware]) as http:
                await http.post(server.url, data=pieces(b"one", b"two"))
            assert [dechunk(asked) for asked in server.asked] == [b"onetwo"] * 2

    client.run(main)
