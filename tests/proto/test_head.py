"""Response heads: every row of what bad servers send, strict and lenient, however it is cut.

The expectation is the error's text, or "" where the head is accepted. aiohttp's own parser is the
oracle of the lenient mode; where we differ, the row says why.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import aiohttp_oracle
import pytest
from proto_support import (
    CUT,
    FRONT,
    LIMITS,
    NO_MEMORY,
    STRICT,
    TEXT,
    Case,
    response,
    responses,
    run,
)

pytestmark = pytest.mark.once

OK = b"HTTP/1.1 200 OK\r\n"
NO_VERSION = "Invalid HTTP version"
NO_STATUS = "Invalid status code"
NO_TOKEN = "Invalid header token"
NO_HTTP = "Expected HTTP/, RTSP/ or ICE/"
NO_LF = "Missing expected LF after header value"
NO_CR = "Missing expected CR after header value"
NO_DIGIT = "Invalid character in Content-Length"
TOO_LONG = "Header too long"
BAD_TE = "Invalid `Transfer-Encoding` header value"
CL_TE = "Transfer-Encoding can't be present with Content-Length"
TE_CL = "Content-Length can't be present with Transfer-Encoding"


@dataclass
class Row:
    name: str
    data: bytes
    lenient: str
    strict: str
    unlike: str = ""  # why aiohttp's verdict is another one
    unlike_text: str = ""  # why its words are others


def both(name: str, data: bytes, error: str = "", unlike: str = "", text: str = "") -> Row:
    return Row(name, data, error, error, unlike, text)


def field(line: bytes) -> bytes:
    return OK + line + b"\r\n\r\n"


ROWS = [
    # 4.1, rows 1 to 3: the status line
    both("version-short", b"HT/11 200 OK\r\n\r\n", NO_HTTP),
    both("version-long", b"HTTP/12.3 200 OK\r\n\r\n", "Expected dot"),
    both("version-1.2", b"HTTP/1.2 200 OK\r\n\r\n", NO_VERSION),
    both("version-3.0", b"HTTP/3.0 200 OK\r\n\r\n", NO_VERSION),
    both("version-lower", b"http/1.1 200 OK\r\n\r\n", NO_HTTP),
    both("version-two-spaces", b"HTTP/1.1  200 OK\r\n\r\n", NO_STATUS),
    both("version-1.0", b"HTTP/1.0 200 OK\r\n\r\n"),
    both("version-0.9", b"HTTP/0.9 200 OK\r\n\r\n"),
    both("version-2.0", b"HTTP/2.0 200 OK\r\n\r\n"),
    both("rtsp", b"RTSP/1.0 200 OK\r\n\r\n", NO_HTTP, "RFC 9112 2.3: HTTP-name is HTTP"),
    both("status-99", b"HTTP/1.1 99 test\r\n\r\n", NO_STATUS),
    both("status-1000", b"HTTP/1.1 1000 test\r\n\r\n", "Invalid response status"),
    both("status-099", b"HTTP/1.1 099 x\r\n\r\n", NO_STATUS, "RFC 9110 15: 100 to 599"),
    both("status-text", b"HTTP/1.1 ttt test\r\n\r\n", NO_STATUS),
    both("status-unicode", "HTTP/1.1 ٢٠٠ OK\r\n\r\n".encode(), NO_STATUS),
    both("status-999", b"HTTP/1.1 999 x\r\n\r\n"),
    both("no-reason", b"HTTP/1.1 200\r\n\r\n"),
    both("no-reason-space", b"HTTP/1.1 200 \r\n\r\n"),
    both("reason-bytes", b"HTTP/1.1 200 O\xd0\xba  \r\n\r\n"),
    both("reason-cr", b"HTTP/1.1 200 O\rK\r\n\r\n", "Expected LF after CR"),
    both(
        "reason-nul",
        b"HTTP/1.1 200 O\0K\r\n\r\n",
        "Invalid response status",
        "RFC 9112 4: reason-phrase is HTAB, SP, VCHAR, obs-text",
    ),
    Row("reason-control", b"HTTP/1.1 200 O\1K\r\n\r\n", "", "Invalid response status"),
    # rows 4 to 8, 10 to 12: fields
    both("no-colon", field(b"nocolon"), NO_TOKEN),
    both("empty-name", field(b": value"), NO_TOKEN),
    both("space-before-colon", field(b"Name : value"), NO_TOKEN),
    both("tab-before-colon", field(b"Name\t: value"), NO_TOKEN),
    both(
        "space-before-colon-length",
        field(b"Content-Length : 0"),
        NO_TOKEN,
        "RFC 9112 5.1: no whitespace is allowed between the field name and colon",
    ),
    both("name-nul", field(b"Na\0me: value"), NO_TOKEN),
    both("name-utf8", field(b"N\xc3\xa4me: value"), NO_TOKEN),
    both("name-all-tchars", field(b"!#$%&'*+-.^_`|~09azAZ: value")),
    both("value-empty", field(b"X:")),
    both("value-spaces", field(b"X:  \t a b \t ")),
    both("value-latin1", field(b"X: \xe4\xf6\xfc")),
    Row("fold", field(b"T: line\r\n continue"), "", "Unexpected whitespace after header value"),
    Row(
        "fold-thrice",
        field(b"T: a\r\n b\r\n c\r\n d"),
        "",
        "Unexpected whitespace after header value",
    ),
    Row("fold-first", field(b"T:\r\n a"), "", "Unexpected whitespace after header value"),
    both(
        "fold-of-nothing",
        field(b" X: y"),
        "Unexpected space after start line",
        "RFC 9112 2.2: MUST either reject the message as invalid or consume the line unprocessed",
    ),
    Row("bare-lf", b"HTTP/1.1 200 OK\nX: y\n\n", "", "Missing expected CR after response line"),
    Row("bare-lf-field", OK + b"X: y\nZ: z\r\n\r\n", "", NO_CR),
    Row("bare-lf-end", OK + b"X: y\r\n\n", "", NO_CR),
    both("cr-in-value", field(b"X: a\rb"), NO_LF),
    both("cr-before-crlf", field(b"X: a\r"), NO_LF),
    both("cr-smuggles", field(b"X: \rTransfer-Encoding: chunked"), NO_LF, "RFC 9112 2.2: bare CR"),
    both("cr-at-end", OK + b"X: y\r\n\rz\n\r\n\r\n", "Expected LF after headers"),
    both("nul-in-value", field(b"X: a\0b"), "Invalid HTTP header"),
    both("nul-is-value", field(b"X: \0"), "Invalid HTTP header"),
    *(
        Row(f"control-{c:02x}", field(b"X: a%cb" % c), "", "Invalid header value char")
        for c in [*range(1, 9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F]
    ),
    both("headers-128", OK + b"a: b\r\n" * 128 + b"\r\n"),
    both("headers-129", OK + b"a: b\r\n" * 129 + b"\r\n", "Too many headers received"),
    *(
        Row(
            f"twice-{name.lower()}",
            field(b"%b: a\r\n%b: b" % ((name.encode(),) * 2)),
            "",
            f"Duplicate '{name}' header found.",
        )
        for name in ("Content-Type", "Server", "Etag", "Content-Range")
    ),
    both("twice-cookie", field(b"Set-Cookie: a=b\r\nSet-Cookie: c=d")),
    # row 15
    both("http-0.9", b"<html>hello</html>", NO_HTTP),
    both("tls-alert", b"\x15\x03\x01\x00\x02\x02\x16", NO_HTTP),
    both("empty-lines-first", b"\r\n\r\n" + OK + b"\r\n"),
    both("cr-first", b"\r" + OK + b"\r\n", "Expected LF after CR", "RFC 9112 2.2: bare CR"),
    # 4.2, rows 16 to 19: framing
    *(
        both(f"length-{name}", field(b"Content-Length: " + value), NO_DIGIT)
        for name, value in {
            "minus": b"-1",
            "plus": b"+5",
            "underscore": b"1_0",
            "letters": b"abc",
            "hex": b"0x5",
            "list": b"5, 5",
            "unicode": "٥".encode(),
            "fraction": b"5.0",
        }.items()
    ),
    both("length-space", field(b"Content-Length: 1 2"), NO_DIGIT, text="its place is the 2"),
    Row(
        "length-fold",
        field(b"Content-Length: 1\r\n 2"),
        NO_DIGIT,
        "Unexpected whitespace after header value",
        unlike_text="it sees the second line as a second length",
    ),
    both(
        "length-30-digits",
        field(b"Content-Length: " + b"9" * 30),
        "Content-Length overflow",
        text="its place is a byte or two further on",
    ),
    both(
        "length-2**63",
        field(b"Content-Length: 9223372036854775808"),
        "Content-Length overflow",
        "2**63 bytes cannot come; aiohttp counts to 2**64",
    ),
    both(
        "length-empty",
        field(b"Content-Length:"),
        "Empty Content-Length",
        text="its place is behind the line",
    ),
    both("length-zeros", field(b"Content-Length: 000")),
    both(
        "length-twice-same",
        field(b"Content-Length: 0\r\nContent-Length: 0"),
        "Duplicate Content-Length",
    ),
    both(
        "length-twice", field(b"Content-Length: 5\r\nContent-Length: 6"), "Duplicate Content-Length"
    ),
    both("length-and-te", field(b"Content-Length: 5\r\nTransfer-Encoding: chunked"), CL_TE),
    both("te-and-length", field(b"Transfer-Encoding: chunked\r\nContent-Length: 5"), TE_CL),
    both(
        "te-chunked-twice",
        field(b"Transfer-Encoding: chunked, chunked"),
        BAD_TE,
        "RFC 9112 6.1: MUST NOT apply the chunked transfer coding more than once",
    ),
    Row(
        "te-two-fields-chunked",
        field(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        BAD_TE,
        BAD_TE,
        "RFC 9112 6.1: MUST NOT apply the chunked transfer coding more than once",
    ),
    both(
        "te-empty",
        field(b"Transfer-Encoding: "),
        "Empty Transfer-Encoding",
        "RFC 9112 6.1: the field lists the codings; none is a fault of framing",
    ),
    both("te-unknown", field(b"Transfer-Encoding: xchunked")),
    both("te-gzip-chunked", field(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n"),
]
IDS = [row.name for row in ROWS]


@functools.cache
def errors(flavour: str, flags: int) -> dict[str, str]:
    """What each row ends in, whole and cut."""
    outcomes = responses([row.data for row in ROWS], CUT | flags, flavour=flavour)
    return {row.name: outcome.error for row, outcome in zip(ROWS, outcomes, strict=True)}


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_lenient(row: Row, flavour: str) -> None:
    assert errors(flavour, 0)[row.name] == errors(flavour, FRONT)[row.name] == row.lenient


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_strict(row: Row, flavour: str) -> None:
    got = errors(flavour, STRICT)[row.name]
    assert got == errors(flavour, STRICT | FRONT)[row.name] == row.strict


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_as_aiohttp(row: Row) -> None:
    """The lenient verdict, what is in the head, and the words of the error."""
    ours, theirs = response(row.data, TEXT), aiohttp_oracle.parse(row.data)
    if row.unlike:
        same = ours.kind == theirs.kind and bool(ours.messages) == bool(theirs.messages)
        assert not same or ours.text != theirs.error, "no difference any more"
        return
    assert ours.kind == theirs.kind
    if ours.error:
        assert (ours.text == theirs.error) is not bool(row.unlike_text)
        return
    code, reason, fields, _ = theirs.messages[0]
    message = ours.messages[0]
    assert message.status == code
    assert message.reason.decode("utf-8", "surrogateescape") == reason
    assert tuple(message.fields) == fields


def test_values() -> None:
    head = OK + b"A:b\r\nC: \t d e \t\r\nF: g\r\n\t h \r\n  i\r\nJ:\r\n \r\nK: l\xff\r\n\r\n"
    assert response(head).message.fields == [
        (b"A", b"b"),
        (b"C", b"d e"),
        (b"F", b"g h i"),
        (b"J", b""),
        (b"K", b"l\xff"),
    ]


@pytest.mark.parametrize(
    ("version", "connection", "keep"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"Connection: x, CLOSE\r\n", False),
        (b"1.1", b"Connection: keep-alive\r\nConnection: close\r\n", False),
        (b"1.1", b"Connection: closed\r\n", True),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: Keep-Alive\r\n", True),
        (b"1.0", b"Connection: keep-alive, close\r\n", False),
        (b"0.9", b"", False),
        (b"2.0", b"", False),
        (b"1.0", b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n", False),
    ],
)
def test_keep_alive(version: bytes, connection: bytes, keep: bool) -> None:
    outcome = response(b"HTTP/" + version + b" 204 x\r\n" + connection + b"\r\n")
    assert ("keep" in outcome.message.facts) is keep


def test_facts() -> None:
    head = (
        b"HTTP/1.1 301 Moved\r\nLOCATION: /x\r\nSet-Cookie: a=b\r\nContent-Encoding: br\r\n"
        b"content-encoding: gzip\r\nContent-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 0"
        b"\r\n\r\n"
    )
    facts = response(head).message.facts
    gzip, kind = b"gzip".hex(), b"a/b".hex()
    assert facts == ["cl=0", "keep", "location", "cookie", f"ce=2{gzip}", f"ct={kind}"]


def test_upgrade() -> None:
    head = b"HTTP/1.1 101 x\r\nUpgrade: a\r\nConnection: Upgrade\r\n\r\nother"
    outcome = response(head)
    assert "upgrade" in outcome.message.facts and outcome.rest == 5
    assert "upgrade" not in response(head.replace(b"Connection", b"Conn")).message.facts


# ---- limits: rows 9, 10; CVE-2026-54277: over many reads too ----

SMALL = (20, 30, 3)


@pytest.mark.parametrize("flags", [0, STRICT], ids=["lenient", "strict"])
@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"HTTP/1.1 200 " + b"a" * 20 + b"\r\n\r\n", ""),
        (b"HTTP/1.1 200 " + b"a" * 21 + b"\r\n\r\n", "Status line too long"),
        (b"HTTP/1.1 200 " + b"a" * 99, "Status line too long"),
        (OK + b"name: " + b"a" * 26 + b"\r\n\r\n", ""),
        (OK + b"name:" + b"a" * 26 + b"\r\n\r\n", ""),
        (OK + b"name: " + b"a" * 27 + b"\r\n\r\n", TOO_LONG),
        (OK + b"name:" + b"a" * 27 + b"\r\n\r\n", TOO_LONG),
        (OK + b"name: " + b"a" * 99, TOO_LONG),
        (OK + b"name:" + b" " * 99, TOO_LONG),
        (OK + b"n" * 99, TOO_LONG),
        (OK + b"a: b\r\n" * 3 + b"\r\n", ""),
        (OK + b"a: b\r\n" * 4, "Too many headers received"),
        (b"\r\n" * 99, "Too many empty lines"),
    ],
)
def test_limits(data: bytes, error: str, flags: int, flavour: str) -> None:
    assert response(data, CUT | flags, SMALL, flavour).error == error


@pytest.mark.parametrize(
    "data", [b"name: a" + b"\r\n b" * 99, b"name: a" + b"\r\n " * 99, b"name:" + b"\r\n " * 99]
)
def test_folds_are_limited(data: bytes) -> None:
    assert response(OK + data + b"\r\n\r\n", CUT, SMALL).error == TOO_LONG


def test_aiohttp_limits() -> None:
    """8190 bytes of name and value are accepted, one more is not, and the words are aiohttp's."""
    for length in (8189, 8190, 8191):
        data = field(b"T: " + b"a" * (length - 1))
        ours, theirs = response(data, TEXT), aiohttp_oracle.parse(data)
        assert (ours.kind, ours.text) == (theirs.kind, theirs.error)
        assert (ours.kind == "LineTooLong") is (length == 8191)


# ---- what does the work ----


def test_all_line_functions_agree() -> None:
    """Byte by byte, 16 and 32 at a time: the same fields, wherever a byte of each kind stands."""
    inputs = []
    for length in range(0, 70):
        inputs += [b"n" * length + b": v\r\n\r\n", b"n: " + b"v" * length + b"\r\nA: b\r\n\r\n"]
        inputs += [
            b"n:" + b" " * length + b"\r\n\r\n",
            b"n: " + b"v" * length + b"\r\n",
            b"n" * length,
        ]
    for byte in range(256):
        for at in (0, 1, 15, 16, 17, 31, 32, 33, 40):
            name, value = bytearray(b"n" * 41), bytearray(b"v" * 41)
            name[at] = value[at] = byte
            inputs += [bytes(name) + b": v\r\n\r\n", b"n: " + bytes(value) + b"\r\n\r\n"]
    answers = run([Case("s", data, front) for data in inputs for front in (0, FRONT)])
    for answer in answers:
        assert len(set(answer.splitlines())) == 1, answer
    assert max(len(answer.splitlines()) for answer in answers) >= 1


def test_without_vector_code() -> None:
    """As on other processors."""
    for flags in (0, STRICT):
        assert errors("scalar", flags) == errors("plain", flags)


def test_out_of_memory(flavour: str) -> None:
    outcome = response(field(b"A: b"), NO_MEMORY, flavour=flavour)
    assert (outcome.code, outcome.error) == (-10, "Out of memory")


def test_time_is_linear() -> None:
    """A head of 128 long lines, byte by byte: each byte is looked at a fixed number of times."""
    data = OK + b"".join(b"name-%03d: %b\r\n" % (i, b"v" * 8000) for i in range(128)) + b"\r\n"
    assert len(data) > 1_000_000
    (answer,) = run([Case("r", data, 0, LIMITS)])
    assert answer.count("field ") == 128
