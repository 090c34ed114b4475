"""Payloads: what becomes a body, how long it is said to be, and when it can be sent again."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import io
import lzma
import os
import tempfile
import warnings
import zipfile

import pytest
import support
from forms_support import dechunk, post, post_all
from http_support import answers, raw, response

CONTENT = b"0123456789abcdef" * 40


def check(client, make, body=CONTENT, *, length=True, **request):
    """POST it; the body as it must be, with a length or in chunks."""
    asked = post(client, make, **request)
    assert dechunk(asked) == body
    assert ("content-length" in asked.headers) == length
    return asked


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("buffering", [-1, 0, 1024])
def test_files(client, tmp_path, buffering):
    path = tmp_path / "name.css"
    path.write_bytes(CONTENT)
    with path.open("rb", buffering=buffering) as file:
        asked = check(client, lambda http: file)
        assert asked.headers["content-type"] == "text/css"
        assert "content-disposition" not in asked.headers
        assert file.closed


def test_a_file_that_may_be_written(client, tmp_path):
    with (tmp_path / "file").open("wb+") as file:
        file.write(CONTENT)
        file.seek(3)
        check(client, lambda http: file, CONTENT[3:])


def test_a_raw_file(client, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    check(client, lambda http: io.FileIO(path))


def test_temporary_files(client):
    with tempfile.TemporaryFile() as file:
        file.write(CONTENT)
        file.seek(0)
        check(client, lambda http: file)


@pytest.mark.parametrize("size", [10, 10_000])
def test_spooled_files(client, size):
    """In memory or on a disk; aiohttp writes it to the disk to know its size."""
    with tempfile.SpooledTemporaryFile(max_size=size) as file:
        if not client.ours and not isinstance(file, io.IOBase):
            pytest.skip("aiohttp does not know it on this Python")
        file.write(CONTENT)
        file.seek(5)
        check(client, lambda http: file, CONTENT[5:])


def test_named_temporary_files(client):
    """aiohttp does not know them: tempfile's object is no io.IOBase."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(CONTENT)
        file.seek(0)
        if client.ours:
            asked = check(client, lambda http: file)
            assert asked.headers["content-type"] == "application/json"
        else:
            with pytest.raises(TypeError):
                check(client, lambda http: file)


@pytest.mark.parametrize("kind", ["gzip", "bz2", "lzma", "buffered gzip"])
def test_compressed_files_are_sent_as_they_are_read(client, tmp_path, kind):
    """Their size is not that of the file below. aiohttp says it is, and cuts what it sends."""
    module = {"gzip": gzip, "bz2": bz2, "lzma": lzma, "buffered gzip": gzip}[kind]
    path = tmp_path / "file"
    with module.open(path, "wb") as file:
        file.write(CONTENT)
    file = module.open(path)
    if kind.startswith("buffered"):
        file = io.BufferedReader(file)
    if client.ours:
        check(client, lambda http: file, length=False)
    else:
        asked = post(client, lambda http: file)
        assert len(asked.body) == path.stat().st_size < len(CONTENT)
    file.close()


def test_a_file_in_an_archive(client):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("name", CONTENT)
    with zipfile.ZipFile(archive) as read, read.open("name") as file:
        check(client, lambda http: file, length=False)


def test_pipes(client):
    """Read as they come; the size of one is not known."""
    reading, writing = os.pipe()
    os.write(writing, CONTENT)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        check(client, lambda http: file, length=False)


def test_a_pipe_cannot_be_sent_again(client):
    reading, writing = os.pipe()
    os.write(writing, CONTENT)
    os.close(writing)
    script = answers(response(b"", "307 Temporary Redirect", Location="/there"))
    with os.fdopen(reading, "rb") as file:
        with pytest.raises(client.http.ClientPayloadError, match="consumed request body"):
            post(client, lambda http: file, answer=script)


@pytest.mark.parametrize("text", ["plain\n" * 50, "ü\u20ac\n" * 50])
def test_text_files(client, tmp_path, text):
    path = tmp_path / "file"
    path.write_text(text, encoding="utf-8")
    with path.open(encoding="utf-8") as file:
        asked = check(client, lambda http: file, text.encode())
        assert asked.headers["content-type"] == "text/plain; charset=utf-8"


def test_a_text_file_in_another_charset(client, tmp_path):
    """It is sent in UTF-8, which is longer. aiohttp cuts it at the file's length."""
    path = tmp_path / "file"
    path.write_text("ü" * 50, encoding="latin-1")
    with path.open(encoding="latin-1") as file:
        if client.ours:
            check(client, lambda http: file, ("ü" * 50).encode(), length=False)
        else:
            assert len(post(client, lambda http: file).body) == 50


@pytest.mark.parametrize("status", ["307 Temporary Redirect", "308 Permanent Redirect"])
@pytest.mark.parametrize("kind", ["file", "BytesIO", "StringIO", "text file", "bytes"])
def test_sent_again_from_where_it_stood(client, tmp_path, kind, status):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    made = {
        "file": lambda: path.open("rb"),
        "BytesIO": lambda: io.BytesIO(CONTENT),
        "StringIO": lambda: io.StringIO(CONTENT.decode()),
        "text file": lambda: path.open(encoding="utf-8"),
        "bytes": lambda: CONTENT[7:],
    }[kind]()
    if kind != "bytes":
        made.seek(7)
    script = answers(response(b"", status, Location="/there"), response(b"ok"))
    first, second = post_all(client, lambda http: made, answer=script)
    assert first.body == second.body == CONTENT[7:]


def test_a_bytesio_may_be_used_again(client):
    """From where it stands then, which is its end: it is not closed, nor rewound."""
    file = io.BytesIO(CONTENT)
    first, second = post_all(client, lambda http: file, count=2)
    assert (first.body, second.body) == (CONTENT, b"")
    assert not file.closed


def test_an_empty_file(client, tmp_path):
    path = tmp_path / "file"
    path.touch()
    asked = check(client, lambda http: path.open("rb"), b"")
    assert asked.headers["content-length"] == "0"


# -- in memory, asynchronous ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [memoryview(CONTENT).cast("I"), memoryview(CONTENT)[::1], bytearray(CONTENT)], ids=str
)
def test_views(client, data):
    check(client, lambda http: data)


def test_large_bytes(client):
    """aiohttp warns that sending them may hold up the loop; here it does not."""
    content = bytes(3 << 20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if not client.ours else "error", ResourceWarning)
        check(client, lambda http: http.BytesPayload(content), content)


class Pieces:
    """An asynchronous iterable, as aiofiles' are."""

    def __init__(self, *pieces):
        self.pieces = list(pieces)

    def __aiter__(self):
        return self

    async def __anext__(self):
        await asyncio.sleep(0)
        if not self.pieces:
            raise StopAsyncIteration
        return self.pieces.pop(0)


def test_asynchronous_iterables(client):
    check(client, lambda http: Pieces(b"one", b"", b"two"), b"onetwo", length=False)


def test_the_body_of_a_response(client):
    """As it comes, from one server to another."""

    async def main():
        async with raw(answers(response(CONTENT))) as server, client.session() as http:
            async with http.get(server.url) as got, http.post(server.url, data=got.content) as sent:
                assert await sent.read() == CONTENT
            return server.asked[1]

    asked = client.run(main)
    assert dechunk(asked) == CONTENT


def test_a_streamer(client):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)

        @client.http.streamer
        async def send(writer, *words):
            for word in words or (b"none",):
                await writer.write(word)

    check(client, lambda http: send(b"one,", b"two"), b"one,two", length=False)
    check(client, lambda http: send, b"none", length=False)


# -- the registry ---------------------------------------------------------------------------------


@pytest.fixture
def registry(client, monkeypatch):
    """What a test registers is gone behind it."""
    found = client.http.PAYLOAD_REGISTRY
    for name in ("_first", "_normal", "_last", "_normal_lookup", "_types", "_exact"):
        if hasattr(found, name):
            old = getattr(found, name)
            monkeypatch.setattr(found, name, {
                key: list(value) if isinstance(value, list) else value for key, value in old.items()
            } if isinstance(old, dict) else list(old), raising=False)  # fmt: skip
    return found


def test_a_type_of_ones_own(client, registry):
    class Value:
        pass

    @client.http.payload_type(Value)
    class ValuePayload(client.http.Payload):
        _size = 4

        def decode(self, encoding="utf-8", errors="strict"):
            return "body"

        async def write(self, writer):
            await writer.write(b"bo")
            await writer.write(b"dy")

    asked = check(client, lambda http: Value(), b"body")
    assert asked.headers["content-type"] == "application/octet-stream"
    assert type(client.http.get_payload(Value())) is ValuePayload


def test_the_order_of_types(client, registry):
    module = __import__(client.http.__name__ + ".payload", fromlist=["Order"])

    class Special(client.http.BytesPayload):
        pass

    for order, expected in ((module.Order.try_last, client.http.BytesPayload),
                            (module.Order.try_first, Special)):  # fmt: skip
        registry.register(Special, bytes, order=order)
        assert type(registry.get(b"x")) is expected
    with pytest.raises(ValueError, match="Unsupported order"):
        registry.register(Special, bytes, order="no order")
    with pytest.raises(module.LookupError):
        registry.get(object())


def test_a_write_of_ones_own_is_called(client):
    """A subclass may send something else than its value."""

    class Loud(client.http.BytesPayload):
        async def write_with_length(self, writer, content_length):
            await writer.write(bytes(self._value).upper())

    check(client, lambda http: Loud(b"abc"), b"ABC")


def test_as_bytes(client, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)

    async def main():
        get = client.http.get_payload
        for value in (CONTENT, io.BytesIO(CONTENT), path.open("rb"), path.open(), Pieces(CONTENT)):
            payload = get(value)
            for _ in range(2):
                assert await payload.as_bytes() == CONTENT
                assert payload.decode() == CONTENT.decode()
            await payload.close()
            if hasattr(value, "closed") and not isinstance(value, io.BytesIO):
                await support.until(lambda v=value: v.closed)

    client.run(main)


def test_aiohttps_payloads_and_types_are_taken(uloop):
    """uvolt.install(aiohttp=True) leaves aiohttp's classes, and its registry, to the program."""
    import aiohttp
    import aiohttp.payload

    from uvolt.http.bodies import make_payload

    class Value:
        pass

    class ValuePayload(aiohttp.BytesPayload):
        def __init__(self, value, *args, **kwargs):
            super().__init__(b"value", *args, **kwargs)

    items = aiohttp.payload.PAYLOAD_REGISTRY._normal
    before = list(items)
    aiohttp.payload_type(Value)(ValuePayload)
    try:
        for data in (Value(), aiohttp.BytesPayload(b"value"), aiohttp.JsonPayload("value")):
            body = uloop.run_until_complete(make_payload(data).as_bytes())
            assert body in (b"value", b'"value"')
    finally:
        items[:] = before
        del aiohttp.payload.PAYLOAD_REGISTRY._normal_lookup[Value]
    with pytest.raises(TypeError):
        make_payload(Value())


# -- what was sent --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bytes", "file", "none"])
def test_output_size_and_upload_complete(client, tmp_path, kind):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)

    async def main():
        async with raw(answers(response(b"ok"))) as server, client.session() as http:
            data = path.open("rb") if kind == "file" else CONTENT if kind == "bytes" else None
            async with http.post(server.url, data=data) as got:
                with pytest.warns(DeprecationWarning, match="upload_complete is deprecated"):
                    done = got.upload_complete
                await asyncio.wait_for(done, 5)
                with pytest.warns(DeprecationWarning, match="output_size is deprecated"):
                    size = got.output_size
            asked = server.asked[0]
            assert size == len(asked.head) + len(asked.body)

    client.run(main)


@pytest.mark.parametrize("cancelled", [False, True])
def test_several_tasks_write_a_body(client, cancelled):
    """Each waits for room; that one does so no longer is nothing to the others (aiohttp's request
    fails then)."""
    if cancelled and not client.ours:
        return
    sizes = [4 << 20, 5 << 20, 6 << 20]

    class Gathered(client.http.Payload):
        def decode(self, encoding="utf-8", errors="strict"):
            return "body"

        async def write(self, writer):
            writing = [asyncio.ensure_future(writer.write(bytes(size))) for size in sizes]
            await asyncio.sleep(0)
            if cancelled:
                writing[1].cancel()
            await asyncio.gather(*writing, return_exceptions=cancelled)

        async def write_with_length(self, writer, content_length):
            await self.write(writer)

    async def script(peer):
        peer.transport.pause_reading()
        await asyncio.sleep(0.1)
        peer.transport.resume_reading()
        asked = await peer.request()
        assert len(asked.body) > sum(sizes)
        peer.send(response(b"ok"))

    async def main():
        async with raw(script) as server, client.session() as http:
            async with http.post(server.url, data=Gathered(None)) as answer:
                assert await answer.read() == b"ok"

    client.run(main)
