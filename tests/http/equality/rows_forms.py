"""Rows of forms and multipart bodies; boundaries that a client makes up are taken for equal."""

from __future__ import annotations

import base64
import io
import itertools
from typing import Any

from http_support import response
from table import Row, Side, aiter_of

EMPTY = response()


def fields(*added: dict[str, Any], **options: Any) -> Any:
    """data= of a form with these fields, each the keywords of add_field()."""

    def request(side: Side) -> dict[str, Any]:
        form = side.http.FormData(**options)
        for words in added:
            words = {key: value() if callable(value) else value for key, value in words.items()}
            form.add_field(words.pop("name", "n"), words.pop("value", "v"), **words)
        return {"data": form}

    return request


def file(data: bytes = b"of a file", name: str | None = None) -> Any:
    def make() -> Any:
        made = io.BytesIO(data)
        if name is not None:
            made.name = name  # type: ignore[attr-defined]
        return made

    return make


NAMES = [
    "plain",
    "a b",
    'qu"ote',
    "ü",
    "a%b",
    "a;b",
    "a\\b",
    "a=b",
    "",
    "€😀",
    "a'b",
    "ab[]",
    "a/b",
]
FORMS: dict[str, Any] = {
    **{f"name {name!r}": fields({"name": name, "filename": "f"}) for name in NAMES},
    **{f"filename {name!r}": fields({"filename": name, "value": b"x"}) for name in NAMES},
    **{
        f"filename {name!r}, not quoted": fields({"filename": name}, quote_fields=False)
        for name in NAMES
    },
    "bytes": fields({"value": b"bytes"}),
    "bytes and text": fields({"value": b"bytes"}, {"value": "text"}),
    "number": fields({"value": 1}),
    "None": fields({"value": None}),
    "text, content_type": fields({"content_type": "text/x"}),
    "text, content_type and charset": fields(
        {"content_type": "text/x; charset=latin1", "value": "ü"}
    ),
    "text, a type that is none": fields({"content_type": 5}),
    "a filename that is none": fields({"filename": 5}),
    "a name that is none": fields({"name": 5}),
    "content_transfer_encoding": fields({"content_transfer_encoding": "base64", "value": "v"}),
    "content_transfer_encoding, none": fields({"content_transfer_encoding": 5}),
    "CR in content_type": fields({"content_type": "a/b\rX: y"}),
    "LF in the name": fields({"name": "a\nX: y", "filename": "f"}),
    "CRLF in the filename": fields({"filename": "a\r\nX: y"}),
    "CRLF in the filename, not quoted": fields({"filename": "a\r\nX: y"}, quote_fields=False),
    "file": fields({"value": file()}),
    "file with a name": fields({"value": file(name="/tmp/dir/a.txt")}),
    "file with a name in utf-8": fields({"value": file(name="/tmp/ü b.bin")}),
    "file with another name": fields({"value": file(name="/tmp/a.txt"), "filename": "b.png"}),
    "file with a type": fields({"value": file(), "content_type": "image/png"}),
    "two files": fields({"value": file()}, {"value": file(b"second"), "name": "m"}),
    "a large file": fields({"value": file(b"x" * 200_000)}),
    "an empty file": fields({"value": file(b"")}),
    "text file": fields({"value": lambda: io.StringIO("ü text")}),
    "a generator": fields({"value": lambda: aiter_of(b"one", b"two"), "filename": "g"}),
    "several": fields({}, {"name": "a", "value": "1"}, {"name": "n", "filename": "x"}),
    "default_to_multipart": fields({}, default_to_multipart=True),
    "default_to_multipart, empty": fields(default_to_multipart=True),
    "charset": fields({"value": "ü"}, charset="latin-1"),
    "charset, multipart": fields({"value": "ü", "filename": "f"}, charset="latin-1"),
    "same name": fields({"value": "1"}, {"value": "2"}),
}
FORM_ROWS = [
    Row(f"form: {name}", "POST", request=request, answers=[EMPTY])
    for name, request in FORMS.items()
]
GIVEN: dict[str, Any] = {
    "dict with a file": lambda s: {"a": "b", "f": io.BytesIO(b"file")},
    "dict with bytes": lambda s: {"a": b"bytes"},
    "dict with a text file": lambda s: {"f": io.StringIO("text")},
    "list with a file": lambda s: [("f", io.BytesIO(b"1")), ("f", io.BytesIO(b"2"))],
    "a list of one file": lambda s: [io.BytesIO(b"alone")],
    "a tuple of a name and a file": lambda s: [("n", io.BytesIO(b"x"))],
    "FormData of a list": lambda s: s.http.FormData([("a", "b"), ("c", io.BytesIO(b"d"))]),
    "FormData of a file": lambda s: s.http.FormData(io.BytesIO(b"d")),
    "FormData of a number": lambda s: s.http.FormData(5),
    "FormData of a text": lambda s: s.http.FormData("text"),
    "FormData of pairs that are none": lambda s: s.http.FormData([("a",)]),
    "FormData of a name that is none": lambda s: s.http.FormData([(1, "a")]),
    "FormData twice": lambda s: used(s.http.FormData({"a": "b"})),
    "FormData with a file twice": lambda s: used(s.http.FormData({"a": io.BytesIO(b"b")})),
}


def used(form: Any) -> Any:
    form()
    return form


FORM_ROWS += [
    Row(f"form of {name}", "POST", request=lambda s, make=make: {"data": make(s)}, answers=[EMPTY])
    for name, make in GIVEN.items()
]
for (_name, _request), (_what, _more) in itertools.product(
    (("one file", fields({"value": file()})), ("text", fields({"filename": "t"}))),
    (
        ("chunked", {"chunked": True}),
        ("gzip", {"compress": "gzip"}),
        ("expect100", {"expect100": True}),
        ("Content-Type", {"headers": {"Content-Type": "multipart/form-data"}}),
        ("skipped Content-Type", {"skip_auto_headers": ["Content-Type"]}),
    ),
):
    FORM_ROWS.append(
        Row(
            f"form of {_name}, {_what}",
            "POST",
            request=lambda s, r=_request, more=_more: {**r(s), **more},
            answers=[EMPTY],
        )
    )


# ---- MultipartWriter -----------------------------------------------------------------------------


def parts(subtype: str, boundary: str | None, *added: Any) -> Any:
    """data= of a multipart body; `added`: functions of the side and the writer."""

    def request(side: Side) -> dict[str, Any]:
        writer = side.http.MultipartWriter(subtype, *([boundary] if boundary is not None else []))
        for add in added:
            add(side, writer)
        return {"data": writer}

    return request


def append(value: Any, headers: Any = None) -> Any:
    return lambda s, w: w.append(value() if callable(value) else value, headers)


def nested(side: Side, writer: Any) -> None:
    inner = side.http.MultipartWriter("alternative", "inner")
    inner.append("a")
    inner.append(b"b")
    writer.append(inner)


def disposition(side: Side, writer: Any) -> None:
    part = writer.append("x")
    part.set_content_disposition("attachment", filename='ü "q".txt', name="n")


BODIES: dict[str, Any] = {
    "no part": parts("mixed", None),
    "text": parts("mixed", None, append("ü")),
    "bytes": parts("mixed", None, append(b"b")),
    "file": parts("mixed", None, append(file())),
    "generator": parts("mixed", None, append(lambda: aiter_of(b"g"))),
    "several": parts("related", None, append("a"), append(b"b"), append("c")),
    "boundary": parts("mixed", "my-boundary", append("x")),
    "boundary, quoted": parts("mixed", "with space", append("x")),
    "boundary, bad": parts("mixed", "ü", append("x")),
    "boundary, too long": parts("mixed", "b" * 71, append("x")),
    "boundary, empty": parts("mixed", "", append("x")),
    "boundary, a line end": parts("mixed", "a\r\nX: y", append("x")),
    "headers": parts("mixed", None, append("x", {"X-Part": "1", "content-type": "a/b"})),
    "headers with CRLF": parts("mixed", None, append("x", {"X-Part": "1\r\nX: y"})),
    "gzip": parts("mixed", None, append("x" * 100, {"Content-Encoding": "gzip"})),
    "deflate": parts("mixed", None, append("x" * 100, {"Content-Encoding": "deflate"})),
    "unknown coding": parts("mixed", None, append("x", {"Content-Encoding": "rot13"})),
    "base64": parts("mixed", None, append("x" * 100, {"Content-Transfer-Encoding": "base64"})),
    "quoted-printable": parts(
        "mixed", None, append("ü=x", {"Content-Transfer-Encoding": "quoted-printable"})
    ),
    "unknown transfer encoding": parts(
        "mixed", None, append("x", {"Content-Transfer-Encoding": "y"})
    ),
    "json": parts("mixed", None, lambda s, w: w.append_json({"a": 1})),
    "form": parts("mixed", None, lambda s, w: w.append_form([("a", "b"), ("c", "d")])),
    "payload": parts("mixed", None, lambda s, w: w.append_payload(s.http.StringPayload("p"))),
    "nested": parts("mixed", None, nested),
    "disposition": parts("mixed", None, disposition),
    "form-data": parts("form-data", None, disposition),
    "a number": parts("mixed", None, append(5)),
}
BODY_ROWS = [
    Row(f"multipart: {name}", "POST", request=request, answers=[EMPTY])
    for name, request in BODIES.items()
]

# ---- MultipartReader -----------------------------------------------------------------------------


def answer(body: bytes, kind: str = "multipart/mixed; boundary=:") -> bytes:
    return response(body, Content_Type=kind)


async def read_parts(side: Side, r: Any) -> Any:
    reader = side.http.MultipartReader.from_response(r)
    found: list[Any] = []
    async for part in reader:
        if hasattr(part, "next") and not hasattr(part, "read"):
            found.append([await inner.read() async for inner in part])
            continue
        found.append(
            [dict(part.headers), part.name, part.filename, bytes(await part.read(decode=True))]
        )
    return [found, reader.at_eof()]


def part(body: bytes, *headers: bytes) -> bytes:
    return b"--:\r\n" + b"".join(h + b"\r\n" for h in headers) + b"\r\n" + body + b"\r\n"


END = b"--:--\r\n"
READ: dict[str, bytes] = {
    "two parts": answer(part(b"a", b"X: y") + part(b"b") + END),
    "no part": answer(END),
    "empty": answer(b""),
    "preamble and epilogue": answer(b"before\r\n" + part(b"a") + END + b"after"),
    "name and filename": answer(
        part(b"a", b'Content-Disposition: form-data; name="n"; filename="f.txt"') + END
    ),
    "base64": answer(part(base64.b64encode(b"text"), b"Content-Transfer-Encoding: base64") + END),
    "quoted-printable": answer(
        part(b"=C3=BC", b"Content-Transfer-Encoding: quoted-printable") + END
    ),
    "unknown transfer encoding": answer(part(b"x", b"Content-Transfer-Encoding: y") + END),
    "length": answer(part(b"abc", b"Content-Length: 3") + END),
    "no end": answer(part(b"a")),
    "cut in a head": answer(b"--:\r\nX: "),
    "bare LF": answer(b"--:\n\na\n--:--\n"),
    "another boundary": answer(part(b"a") + END, "multipart/mixed; boundary=other"),
    "no boundary": answer(part(b"a") + END, "multipart/mixed"),
    "no multipart": answer(part(b"a") + END, "text/plain"),
    "nested": answer(
        part(b"--i\r\n\r\nin\r\n--i--", b"Content-Type: multipart/mixed; boundary=i") + END
    ),
    "boundary in quotes": answer(part(b"a") + END, 'multipart/mixed; boundary=":"'),
    "empty part": answer(part(b"") + END),
    "lines": answer(part(b"a\r\nb\nc\r\n") + END),
}
READ_ROWS = [
    Row(f"parts read: {name}", answers=[data], read=read_parts) for name, data in READ.items()
]

ROWS = [*FORM_ROWS, *BODY_ROWS, *READ_ROWS]
