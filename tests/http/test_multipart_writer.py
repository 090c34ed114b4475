"""MultipartWriter: what it looks like on the wire."""

from __future__ import annotations

import asyncio
import base64
import io
import quopri
import zlib

import pytest
from forms_support import dechunk, post, post_all
from http_support import answers, response

TEXT = "Content-Type: text/plain; charset=utf-8"


def whole(*parts, boundary="b"):
    """A body of parts that are (lines of the head, bytes)."""
    out = b""
    for *lines, body in parts:
        out += "\r\n".join([f"--{boundary}", *lines, "", ""]).encode() + body + b"\r\n"
    return out + f"--{boundary}--\r\n".encode()


def build(*values, subtype="mixed", boundary="b"):
    def make(http):
        writer = http.MultipartWriter(subtype, boundary=boundary)
        for value in values:
            writer.append(*value if isinstance(value, tuple) else (value,))
        return writer

    return make


def sent(client, make, subtype="mixed"):
    """The body of a request, which must have a length."""
    asked = post(client, make)
    assert asked.headers["content-type"] == f"multipart/{subtype}; boundary=b"
    assert asked.headers["content-length"] == str(len(asked.body))
    return asked.body


# -- parts ----------------------------------------------------------------------------------------


def test_parts_of_every_kind(client, tmp_path):
    path = tmp_path / "data.json"
    path.write_bytes(b"{}")
    values = ("text ü", b"bytes", bytearray(b"array"), io.BytesIO(b"bytesio"), io.StringIO("s"))
    octets = "Content-Type: application/octet-stream"
    with path.open("rb") as file:
        body = sent(client, build(*values, file))
    assert body == whole(
        (TEXT, "Content-Length: 7", "text ü".encode()),
        (octets, "Content-Length: 5", b"bytes"),
        (octets, "Content-Length: 5", b"array"),
        (octets, "Content-Length: 7", b"bytesio"),
        (TEXT, "Content-Length: 1", b"s"),
        (
            "Content-Type: application/json",
            'Content-Disposition: attachment; filename="data.json"',
            "Content-Length: 2",
            b"{}",
        ),
    )


def test_no_parts(client):
    assert sent(client, build()) == b"--b--\r\n"


def test_headers_of_parts(client):
    headers = {"Content-Type": "text/x", "X-One": "1", "Content-Disposition": "inline"}
    assert sent(client, build(("a", headers))) == whole(
        (
            "Content-Type: text/x",
            "X-One: 1",
            "Content-Disposition: inline",
            "Content-Length: 1",
            b"a",
        )
    )


def test_json_and_forms(client):
    def make(http):
        writer = http.MultipartWriter("mixed", boundary="b")
        writer.append_json({"ü": [1, None]})
        writer.append_json(1, {"Content-Type": "application/x+json"})
        writer.append_form({"a": "1 2", "b": ["x", "y"]})
        writer.append_form([("a", "ü")], {"X-One": "1"})
        return writer

    kind = "Content-Type: application/x-www-form-urlencoded"
    assert sent(client, make) == whole(
        ("Content-Type: application/json", "Content-Length: 21", b'{"\\u00fc": [1, null]}'),
        ("Content-Type: application/x+json", "Content-Length: 1", b"1"),
        (kind, "Content-Length: 13", b"a=1+2&b=x&b=y"),
        (kind, "X-One: 1", "Content-Length: 8", b"a=%C3%BC"),
    )  # fmt: skip


def test_a_part_in_a_part(client):
    def make(http):
        outer = build("one")(http)
        inner = http.MultipartWriter("related", boundary="inner")
        inner.append("two", {"X-One": "1"})
        outer.append(inner)
        return outer

    inner = whole((TEXT, "X-One: 1", "Content-Length: 3", b"two"), boundary="inner")
    kind = "Content-Type: multipart/related; boundary=inner"
    assert sent(client, make) == whole(
        (TEXT, "Content-Length: 3", b"one"), (kind, f"Content-Length: {len(inner)}", inner)
    )


def test_a_payload_as_a_part(client):
    def make(http):
        payload = http.StringPayload("a", content_type="text/html")
        payload.set_content_disposition("attachment", filename="ü.html")
        writer = build()(http)
        assert writer.append(payload, {"X-One": "1"}) is payload
        assert list(writer) == [(payload, None, None)] or list(writer) == [(payload, "", "")]
        assert len(writer) == 1 and writer
        return writer

    assert sent(client, make) == whole(
        (
            "Content-Type: text/html",
            'Content-Disposition: attachment; filename="%C3%BC.html"',
            "X-One: 1",
            "Content-Length: 1",
            b"a",
        )
    )


@pytest.mark.parametrize("value", [None, 5, 2.5, object(), {"a": 1}, ["a"]], ids=repr)
def test_what_is_no_part(client, value):
    writer = client.http.MultipartWriter()
    with pytest.raises(TypeError, match="Cannot create payload from"):
        writer.append(value)
    assert len(writer) == 0


def test_form_data(client):
    """Each part has a name; there is no length of a part (RFC 7578)."""

    def make(http):
        writer = build("x", "y", subtype="form-data")(http)
        part = writer.append("z")
        part.set_content_disposition("form-data", name="last")
        return writer

    assert sent(client, make, "form-data") == whole(
        (TEXT, 'Content-Disposition: form-data; name="section-0"', b"x"),
        (TEXT, 'Content-Disposition: form-data; name="section-1"', b"y"),
        (TEXT, 'Content-Disposition: form-data; name="last"', b"z"),
    )


@pytest.mark.parametrize(
    "name", ["Content-Encoding", "Content-Length", "Content-Transfer-Encoding"]
)
def test_what_a_part_of_a_form_cannot_have(client, name):
    writer = client.http.MultipartWriter("form-data")
    with pytest.raises((ValueError, AssertionError)):
        writer.append("x", {name: "gzip"})


# -- codings --------------------------------------------------------------------------------------


def encoded(client, text, **headers):
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    asked = post(client, build((text, fields)))
    assert asked.headers["transfer-encoding"] == "chunked"
    head, _, rest = dechunk(asked).partition(b"\r\n\r\n")
    assert b"Content-Length" not in head
    assert rest.endswith(b"\r\n--b--\r\n")
    return rest[: -len(b"\r\n--b--\r\n")]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1000, 200_000])
def test_content_encodings(client, size):
    text = b"0123456789"[:size] if size < 10 else b"0123456789" * (size // 10)
    assert zlib.decompress(encoded(client, text, Content_Encoding="gzip"), 31) == text
    assert zlib.decompress(encoded(client, text, Content_Encoding="DEFLATE"), -15) == text


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 1000, 300_000])
def test_base64(client, size):
    text = bytes(range(256)) * (size // 256 + 1)
    body = encoded(client, text[:size], Content_Transfer_Encoding="base64")
    assert body == base64.b64encode(text[:size])


@pytest.mark.parametrize("text", [b"", b"a=b", "ü ".encode(), b"x" * 200, b"a\r\nb\r\n"])
def test_quoted_printable(client, text):
    body = encoded(client, text, Content_Transfer_Encoding="quoted-printable")
    assert quopri.decodestring(body) == text
    assert all(32 <= byte < 127 or byte in b"\r\n\t" for byte in body)


def test_both_codings(client):
    body = encoded(
        client, b"text" * 100, Content_Encoding="gzip", Content_Transfer_Encoding="base64"
    )
    assert zlib.decompress(base64.b64decode(body), 31) == b"text" * 100


@pytest.mark.parametrize(
    "headers", [{"Content-Encoding": "identity"}, {"Content-Transfer-Encoding": "Binary"}]
)
def test_codings_that_are_none(client, headers):
    field = ": ".join(*headers.items())
    assert sent(client, build(("a", headers))) == whole((TEXT, field, "Content-Length: 1", b"a"))


@pytest.mark.parametrize("name", ["Content-Encoding", "Content-Transfer-Encoding"])
def test_codings_that_are_not_known(client, name):
    with pytest.raises(RuntimeError, match="unknown content"):
        build(("a", {name: "br"}))(client.http)


# -- boundaries -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "boundary, parameter",
    [
        ("simple", "simple"),
        ("!#$%&'*+-.^_`|~aZ09", "!#$%&'*+-.^_`|~aZ09"),
        ("two words", '"two words"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("a:b(c)/d,e=f?g", '"a:b(c)/d,e=f?g"'),
        ("", '""'),
    ],
)
def test_boundaries(client, boundary, parameter):
    asked = post(client, build("a", boundary=boundary))
    assert asked.headers["content-type"] == f"multipart/mixed; boundary={parameter}"
    assert asked.body == whole((TEXT, "Content-Length: 1", b"a"), boundary=boundary)
    assert build(boundary=boundary)(client.http).boundary == boundary


def test_a_boundary_is_random(client):
    boundaries = {client.http.MultipartWriter().boundary for _ in range(100)}
    assert len(boundaries) == 100
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in boundaries)


@pytest.mark.parametrize("boundary", ["a\r\nb", "a\nb", "a\0", "a\x7f", "ü", "a\n"])
def test_boundaries_that_are_refused(client, boundary):
    with pytest.raises(ValueError, match="boundary"):
        client.http.MultipartWriter(boundary=boundary)


@pytest.mark.parametrize("control", [chr(code) for code in (*range(9), *range(10, 32), 127)])
def test_control_characters_in_heads_of_parts(client, control):
    """CVE-2026-34514, CVE-2026-50269. Nothing of the request is sent."""
    evil = f"a{control}X-Evil: 1"

    async def main():
        async with client.session() as http:
            for headers in ({"X-One": evil}, {evil: "1"}, {"Content-Type": evil}):
                with pytest.raises(ValueError, match="Forbidden control character"):
                    await http.post("http://127.0.0.1:1/", data=build(("a", headers))(client.http))

    client.run(main)


# -- as it is sent --------------------------------------------------------------------------------


def test_a_part_of_which_the_size_is_not_known(client):
    async def produce():
        yield b"one,"
        await asyncio.sleep(0)
        yield b"two"

    asked = post(client, build(produce()))
    assert "content-length" not in asked.headers
    assert asked.headers["transfer-encoding"] == "chunked"
    octets = "Content-Type: application/octet-stream"
    assert dechunk(asked) == whole((octets, b"one,two"))


def test_large_parts_are_streamed(client, tmp_path):
    path = tmp_path / "large.bin"
    content = bytes(range(256)) * 8192
    path.write_bytes(content)
    with path.open("rb") as one, path.open("rb") as two:
        body = sent(client, build(one, io.BytesIO(content), two))
    assert body.count(content) == 3
    assert body.endswith(content + b"\r\n--b--\r\n")


def test_files_are_closed_behind_it(client, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    files = [path.open("rb"), io.BytesIO(b"content")]

    async def main():
        async with client.session() as http:
            with pytest.raises(client.http.ClientConnectorError):
                await http.post("http://127.0.0.1:1/", data=build(*files)(client.http))
            for _ in range(100):
                if files[0].closed:
                    break
                await asyncio.sleep(0.01)

    post(client, build(*files))
    assert files[0].closed and not files[1].closed
    files = [path.open("rb"), io.BytesIO(b"content")]
    client.run(main)
    files[0].close()


def test_it_is_sent_again_after_a_redirect(client):
    moved = response(b"", "307 Temporary Redirect", Location="/there")
    script = answers(moved, response(b"ok"))
    first, second = post_all(client, build("one", io.BytesIO(b"two")), answer=script)
    assert first.body == second.body
    assert second.body.count(b"two") == 1


def test_what_cannot_be_sent_again_is_not(client):
    async def produce():
        yield b"once"

    script = answers(response(b"", "307 Temporary Redirect", Location="/there"))
    with pytest.raises(client.http.ClientPayloadError, match="consumed request body"):
        post(client, build(produce()), answer=script)


def test_as_text_and_as_bytes(client):
    """Both are the whole: aiohttp's decode() has no line ends behind the parts, and no end."""
    writer = build("ü", io.BytesIO(b"two"))(client.http)
    body = asyncio.run(writer.as_bytes())
    assert body == whole(
        (TEXT, "Content-Length: 2", "ü".encode()),
        ("Content-Type: application/octet-stream", "Content-Length: 3", b"two"),
    )
    assert writer.size == len(body)
    if client.ours:
        assert writer.decode() == body.decode()


def test_with(client):
    with client.http.MultipartWriter("mixed", boundary="b") as writer:
        writer.append("a")
    assert sent(client, lambda http: writer).count(b"--b\r\n") == 1
