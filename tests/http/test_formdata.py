"""FormData: what a form looks like on the wire."""

from __future__ import annotations

import asyncio
import io
import tempfile
import warnings

import pytest
from forms_support import BOUNDARY, dechunk, form, part, post, post_all
from http_support import answers, response
from multidict import CIMultiDict, MultiDict, MultiDictProxy

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
TEXT = "Content-Type: text/plain; charset=utf-8"
OCTETS = "Content-Type: application/octet-stream"


def disposition(name, filename=None):
    text = f'Content-Disposition: form-data; name="{name}"'
    return text if filename is None else f'{text}; filename="{filename}"'


def named(name, content=b"content"):
    file = io.BytesIO(content)
    file.name = name
    return file


# -- urlencoded -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields, body",
    [
        ((), b""),
        ({"a": "1", "b": "two words & more=ü"}, b"a=1&b=two+words+%26+more%3D%C3%BC"),
        ([("a", "1"), ("a", "2")], b"a=1&a=2"),
        ((("a", "1"), ["b", "2"]), b"a=1&b=2"),
        (MultiDict([("a", "1"), ("a", "2")]), b"a=1&a=2"),
        (MultiDictProxy(MultiDict(a="1")), b"a=1"),
        ([MultiDict(a="1"), ("b", "2")], b"b=2&a=1"),
        ([CIMultiDict(A="1")], b"A=1"),
        ({"a": ["1", "2"]}, b"a=1&a=2"),
        ({"n": 1, "f": 2.5, "none": None, "true": True}, b"n=1&f=2.5&none=None&true=True"),
        ({"": ""}, b"="),
    ],
    ids=repr,
)
def test_fields(client, fields, body):
    asked = post(client, lambda http: http.FormData(fields))
    assert asked.body == body
    assert asked.headers["content-type"] == URLENCODED
    assert asked.headers["content-length"] == str(len(body))


@pytest.mark.parametrize("charset", ["utf-8", "latin-1", "koi8-r"])
def test_charset(client, charset):
    text = "я" if charset == "koi8-r" else "ü"
    asked = post(client, lambda http: http.FormData({"a": text}, charset=charset))
    encoded = "".join(f"%{byte:02X}" for byte in text.encode(charset))
    assert asked.body == f"a={encoded}".encode()
    kind = URLENCODED if charset == "utf-8" else f"{URLENCODED}; charset={charset}"
    assert asked.headers["content-type"] == kind


def test_it_may_be_used_again(client):
    asked = post_all(client, lambda http: http.FormData({"a": "1"}), count=3)
    assert [one.body for one in asked] == [b"a=1"] * 3


@pytest.mark.parametrize(
    "fields", ["as", b"as", ["as"], [("a", "1", "2")], 5, [5], {"a", "b"}, object()], ids=str
)
def test_what_is_no_field(client, fields):
    with pytest.raises(TypeError, match=r"Only io.IOBase, multidict and \(name, file\) pairs"):
        client.http.FormData(fields)


# -- multipart/form-data --------------------------------------------------------------------------


def multipart(client, make):
    """The body of a form, which must be a multipart one with a length."""
    asked = post(client, make)
    assert asked.headers["content-type"] == MULTIPART
    assert asked.headers["content-length"] == str(len(asked.body))
    return asked.body


def build(*fields, **options):
    """A function that makes a form: each field is (name, value, keywords)."""

    def make(http):
        data = http.FormData(**options)
        for name, value, *keywords in fields:
            data.add_field(name, value, **(keywords[0] if keywords else {}))
        return data

    return make


def test_multipart_by_default(client, boundary):
    body = multipart(client, build(("a", "1"), ("b", "ü"), default_to_multipart=True))
    assert body == form(
        part(TEXT, disposition("a"), body=b"1"), part(TEXT, disposition("b"), body="ü".encode())
    )


def test_a_name_beyond_ascii(client, boundary):
    """aiohttp makes such a field, and then refuses to send it."""
    made = build(("ü", "1"), default_to_multipart=True)
    if not client.ours:
        with pytest.raises(client.http.ClientConnectionError, match="AssertionError"):
            multipart(client, made)
        return
    name = "Content-Disposition: form-data; name*=utf-8''%C3%BC"
    assert multipart(client, made) == form(part(TEXT, name, body=b"1"))


def test_no_fields(client, boundary):
    body = multipart(client, build(default_to_multipart=True))
    assert body == f"--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize(
    "keywords, lines",
    [
        ({"filename": "x.txt"}, (TEXT, disposition("f", "x.txt"))),
        ({"content_type": "text/css"}, ("Content-Type: text/css", disposition("f"))),
        (
            {"content_type": "a/b; charset=latin-1", "filename": "x"},
            ("Content-Type: a/b; charset=latin-1", disposition("f", "x")),
        ),
        ({"filename": 'a"ü\\.txt'}, (TEXT, disposition("f", "a%22%C3%BC%5C.txt"))),
        ({"filename": ""}, (TEXT, disposition("f", ""))),
    ],
    ids=str,
)
def test_what_makes_it_multipart(client, boundary, keywords, lines):
    made = build(("f", "value", keywords))
    assert made(client.http).is_multipart
    assert not build(("f", "value"))(client.http).is_multipart
    assert multipart(client, made) == form(part(*lines, body=b"value"))


def test_names_that_are_not_quoted(client, boundary):
    field = ('n"ä\\', "v", {"filename": 'f"ü\\'})
    body = multipart(client, build(field, quote_fields=False))
    assert body == form(part(TEXT, disposition('n\\"ä\\\\', 'f\\"ü\\\\'), body=b"v"))
    body = multipart(client, build(field))
    name = "Content-Disposition: form-data; name*=utf-8''n%22%C3%A4%5C; filename=\"f%22%C3%BC%5C\""
    assert body == form(part(TEXT, name, body=b"v"))
    body = multipart(client, build(('n"\\', "v", {"filename": "f"})))
    assert body == form(part(TEXT, disposition('n\\"\\\\', "f"), body=b"v"))


def test_the_charset_of_parts(client, boundary):
    body = multipart(client, build(("a", "ü", {"filename": "x"}), charset="latin-1"))
    lines = ("Content-Type: text/plain; charset=latin-1", disposition("a", "x"))
    assert body == form(part(*lines, body=b"\xfc"))


@pytest.mark.parametrize("kind", ["BytesIO", "StringIO", "file", "text file", "temporary"])
def test_files(client, boundary, kind, tmp_path):
    path = tmp_path / "report.pdf"
    path.write_bytes(b"content")
    with tempfile.TemporaryFile() as temporary:
        temporary.write(b"content")

        def open_one(http):
            temporary.seek(0)
            return {
                "BytesIO": lambda: io.BytesIO(b"content"),
                "StringIO": lambda: io.StringIO("content"),
                "file": lambda: path.open("rb"),
                "text file": lambda: path.open(encoding="utf-8"),
                "temporary": lambda: temporary,
            }[kind]()

        body = multipart(client, lambda http: http.FormData({"doc": open_one(http)}))
    lines = {
        "BytesIO": (OCTETS, disposition("doc", "doc")),
        "StringIO": (TEXT, disposition("doc", "doc")),
        "file": ("Content-Type: application/pdf", disposition("doc", "report.pdf")),
        "text file": (TEXT, disposition("doc", "report.pdf")),
        "temporary": (OCTETS, disposition("doc", "doc")),
    }[kind]
    assert body == form(part(*lines, body=b"content"))


def test_files_without_a_name(client, boundary):
    body = multipart(client, lambda http: http.FormData([named("/tmp/x.json"), io.BytesIO(b"c")]))
    assert body == form(
        part(
            "Content-Type: application/json", disposition("x.json", "x.json"), body=b"content"
        ),
        part(OCTETS, disposition("unknown", "unknown"), body=b"c"),
    )  # fmt: skip


def test_a_file_alone(client, boundary):
    body = multipart(client, lambda http: http.FormData(io.BytesIO(b"c")))
    assert body == form(part(OCTETS, disposition("unknown", "unknown"), body=b"c"))


@pytest.mark.parametrize("data", ["dict", "list", "MultiDict"])
def test_data_with_a_file_in_it(client, boundary, data):
    pairs = [("a", "1"), ("f", io.BytesIO(b"content"))]
    made = {"dict": dict, "list": list, "MultiDict": MultiDict}[data](pairs)
    assert multipart(client, lambda http: made) == form(
        part(TEXT, disposition("a"), body=b"1"),
        part(OCTETS, disposition("f", "f"), body=b"content"),
    )


@pytest.mark.parametrize("value", [b"x", bytearray(b"x"), memoryview(b"x")], ids=repr)
def test_bytes(client, boundary, value):
    """They are a file, which aiohttp 4 will change."""

    def make(http):
        with pytest.warns(DeprecationWarning, match="bytes"):
            return http.FormData({"a": value})

    assert multipart(client, make) == form(part(OCTETS, disposition("a", "a"), body=b"x"))
    body = multipart(client, build(("a", value, {"filename": "f"})))
    assert body == form(part(OCTETS, disposition("a", "f"), body=b"x"))


def test_a_transfer_encoding_makes_it_multipart_and_nothing_else(client, boundary):
    def make(http):
        data = http.FormData()
        with pytest.warns(DeprecationWarning, match="content_transfer_encoding"):
            data.add_field("a", "1", content_transfer_encoding="base64")
        return data

    assert multipart(client, make) == form(part(TEXT, disposition("a"), body=b"1"))


def test_a_payload_as_a_value(client, boundary):
    def make(http):
        return http.FormData([("a", http.JsonPayload({"x": 1}))], default_to_multipart=True)

    lines = ("Content-Type: application/json", disposition("a"))
    assert multipart(client, make) == form(part(*lines, body=b'{"x": 1}'))


def test_a_multipart_body_as_a_value(client, boundary):
    def make(http):
        inner = http.MultipartWriter("mixed", boundary="inner")
        inner.append("text")
        return http.FormData([("a", inner)], default_to_multipart=True)

    lines = ("Content-Type: multipart/mixed; boundary=inner", disposition("a"))
    inner = f"--inner\r\n{TEXT}\r\nContent-Length: 4\r\n\r\ntext\r\n--inner--\r\n"
    assert multipart(client, make) == form(part(*lines, body=inner.encode()))


def test_what_has_no_length_goes_in_chunks(client, boundary):
    async def produce():
        yield b"one,"
        await asyncio.sleep(0)
        yield b"two"

    asked = post(client, build(("f", produce(), {"filename": "x.txt"})))
    assert asked.headers["content-type"] == MULTIPART
    assert asked.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in asked.headers
    assert dechunk(asked) == form(part(OCTETS, disposition("f", "x.txt"), body=b"one,two"))


def test_a_large_file(client, boundary, tmp_path):
    path = tmp_path / "large.bin"
    content = bytes(range(256)) * 8192
    path.write_bytes(content)
    body = multipart(client, lambda http: {"f": path.open("rb"), "a": "1"})
    assert body == form(
        part(OCTETS, disposition("f", "large.bin"), body=content),
        part(TEXT, disposition("a"), body=b"1"),
    )


# -- once more ------------------------------------------------------------------------------------


def test_a_form_is_sent_again(client, boundary):
    """With what was added meanwhile."""
    forms = []

    def make(http):
        forms.append(http.FormData({"f": io.BytesIO(b"content")}))
        return forms[0]

    first, second = post_all(client, make, count=2)
    assert first.body == second.body
    assert first.body == form(part(OCTETS, disposition("f", "f"), body=b"content"))
    if not client.ours:
        return
    forms[0].add_field("late", "1")
    late = part(TEXT, disposition("late"), body=b"1")
    expected = form(part(OCTETS, disposition("f", "f"), body=b"content"), late)
    assert asyncio.run(forms[0]().as_bytes()) == expected


@pytest.mark.parametrize("status", ["307 Temporary Redirect", "308 Permanent Redirect"])
def test_a_redirect_sends_it_again(client, boundary, tmp_path, status):
    """The file is read from where it stood at first."""
    path = tmp_path / "file.txt"
    path.write_bytes(b"--content")

    def make(http):
        file = path.open("rb")
        file.seek(2)
        return {"a": "1", "f": file}

    script = answers(response(b"", status, Location="/there"), response(b"ok"))
    first, second = post_all(client, make, answer=script)
    assert first.body == second.body == form(
        part(TEXT, disposition("a"), body=b"1"),
        part("Content-Type: text/plain", disposition("f", "file.txt"), body=b"content"),
    )  # fmt: skip
    assert (first.target, second.target) == ("/", "/there")


# -- what may not be sent -------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["filename", "content_type", "content_transfer_encoding"])
@pytest.mark.parametrize("value", [b"x", 5, object()])
def test_types_of_keywords(client, key, value):
    data = client.http.FormData()
    with pytest.raises(TypeError, match=f"{key} must be an instance of"):
        data.add_field("a", "1", **{key: value})
    assert not data.is_multipart and not data._fields


CONTROLS = [chr(code) for code in (*range(9), *range(10, 32), 127)]


@pytest.mark.parametrize("quote_fields", [True, False])
@pytest.mark.parametrize("where", ["name", "filename", "content_type"])
def test_control_characters_are_refused(client, where, quote_fields):
    """CVE-2026-34514, CVE-2026-50269: they would be header fields of their own."""
    for control in CONTROLS:
        text = f"a{control}X-Evil: 1"
        data = client.http.FormData(quote_fields=quote_fields)
        with pytest.raises(ValueError, match="Forbidden control character"):
            if where == "name":
                data.add_field(text, "1")
            else:
                data.add_field("a", "1", **{where: text})
        assert not data._fields


def test_values_that_cannot_be_parts(client, boundary):
    for value in (5, 2.5, None, object(), {"x": 1}):
        data = client.http.FormData([("a", value)], default_to_multipart=True)
        with pytest.raises(TypeError, match="Can not serialize value type"):
            data()


def test_a_form_that_cannot_be_sent_sends_nothing(client):
    async def main():
        async with client.session() as http:
            data = client.http.FormData([("a", 5)], default_to_multipart=True)
            with pytest.raises(TypeError):
                await http.post("http://127.0.0.1:1/", data=data)

    client.run(main)


def test_aiohttps_form_is_taken_too(uloop, boundary):
    """uvolt.install(aiohttp=True) leaves aiohttp's own classes in the program."""
    import aiohttp

    from uvolt.http.bodies import make_payload

    data = aiohttp.FormData({"f": io.BytesIO(b"content")})
    payload = make_payload(data)
    body = uloop.run_until_complete(payload.as_bytes())
    assert body == form(part(OCTETS, disposition("f", "f"), body=b"content"))


def test_nothing_is_warned_of_without_reason(client):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = client.http.FormData({"a": "1"}, default_to_multipart=True)
        data.add_field("b", b"1", filename="x")
        assert data.is_multipart


def test_warnings_are_at_the_programs_line(ours):
    """However the form is made; Python does not show those of other modules."""
    makes = [
        lambda: ours.http.FormData({"name": b"bytes"}),
        lambda: ours.http.FormData([("name", b"bytes")]),
        lambda: ours.http.FormData().add_field("name", b"bytes"),
    ]
    for make in makes:
        with pytest.warns(DeprecationWarning, match="bytes without a filename") as seen:
            make()
        assert [warning.filename for warning in seen] == [__file__]
