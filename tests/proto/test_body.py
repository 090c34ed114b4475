"""Where a body ends, and chunked coding: every row of what bad servers send, however it is cut."""

from __future__ import annotations

import aiohttp_oracle
import pytest
from proto_support import (
    CUT,
    FRONT,
    NO_EOF,
    STRICT,
    TEXT,
    TO_CONNECT,
    TO_HEAD,
    Case,
    response,
    responses,
    run,
)

pytestmark = pytest.mark.once

NONE, LENGTH, CHUNKED, UNTIL_EOF = range(4)
OK = b"HTTP/1.1 200 OK\r\n"
TE = OK + b"Transfer-Encoding: chunked\r\n\r\n"
FIVE = OK + b"Content-Length: 5\r\n\r\n"
BAD_SIZE = "Invalid character in chunk size"
BAD_EXT = "Invalid character in chunk extensions"
NO_CRLF = "Expected LF after chunk data"
SHORT = "Not enough data to satisfy transfer length header."


@pytest.mark.parametrize(
    ("data", "flags", "framing", "body", "end"),
    [
        (FIVE + b"hello", 0, LENGTH, b"hello", "done"),
        (FIVE + b"hel", 0, LENGTH, b"hel", "short"),
        (FIVE + b"hel", NO_EOF, LENGTH, b"hel", "open"),
        (FIVE, TO_HEAD, NONE, b"", "done"),
        (OK + b"Content-Length: 0\r\n\r\n", 0, LENGTH, b"", "done"),
        (OK + b"\r\n", 0, UNTIL_EOF, b"", "eof"),
        (OK + b"\r\nhello", 0, UNTIL_EOF, b"hello", "eof"),
        (OK + b"Transfer-Encoding: xchunked\r\n\r\nhello", 0, UNTIL_EOF, b"hello", "eof"),
        (OK + b"Transfer-Encoding: chunked, gzip\r\n\r\nhello", 0, UNTIL_EOF, b"hello", "eof"),
        (TE, TO_HEAD, NONE, b"", "done"),
        (b"HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", 0, NONE, b"", "done"),
        (b"HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n", 0, NONE, b"", "done"),
        (b"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", 0, NONE, b"", "done"),
        (b"HTTP/1.1 304 x\r\n\r\n", 0, NONE, b"", "done"),
        (b"HTTP/1.1 205 x\r\n\r\n", 0, UNTIL_EOF, b"", "eof"),
        (b"HTTP/1.1 101 x\r\nContent-Length: 5\r\n\r\n", 0, NONE, b"", "done"),
        (OK + b"\r\n", TO_CONNECT, NONE, b"", "done"),
        (b"HTTP/1.1 407 x\r\nContent-Length: 1\r\n\r\nx", TO_CONNECT, LENGTH, b"x", "done"),
        (TE + b"5\r\nhello\r\n0\r\n\r\n", 0, CHUNKED, b"hello", "done"),
        (TE + b"0\r\n\r\n", 0, CHUNKED, b"", "done"),
        (TE + b"000000005\r\nhello\r\n00\r\n\r\n", 0, CHUNKED, b"hello", "done"),
        (
            TE + b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
            0,
            CHUNKED,
            b"0123456789" * 2,
            "done",
        ),
        (TE + b'5;a\r\nhello\r\n0;b=c;d="e \\" f"\r\n\r\n', 0, CHUNKED, b"hello", "done"),
        (TE + b"5\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n", 0, CHUNKED, b"hello", "done"),
        (
            OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            0,
            CHUNKED,
            b"x",
            "done",
        ),
        (TE + b"5\r\nhel", 0, CHUNKED, b"hel", "short"),
        (TE + b"5\r\nhello\r\n", 0, CHUNKED, b"hello", "short"),
        (TE + b"5\r\nhello\r\n0\r\n", 0, CHUNKED, b"hello", "short"),
        (TE + b"5\r\nhello\r\n0\r\n", NO_EOF, CHUNKED, b"hello", "open"),
    ],
)
def test_framing(
    data: bytes, flags: int, framing: int, body: bytes, end: str, flavour: str
) -> None:
    for front in (0, FRONT):
        outcome = response(data, CUT | flags | front, flavour=flavour)
        (message,) = outcome.messages
        assert (message.framing, message.body, message.end) == (framing, body, end)
        if end == "short" and framing == CHUNKED:
            assert (outcome.kind, outcome.error) == ("TransferEncodingError", SHORT)
        elif end == "short":
            text = "Not enough data to satisfy content length header (received 3 of 5 bytes)."
            outcome = response(data, TEXT)
            assert (outcome.kind, outcome.text) == ("ContentLengthError", text)
        else:
            assert outcome.error == ""


def test_chunks_are_told() -> None:
    assert response(TE + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n").message.chunks == [b"ab", b"c", b""]


def test_next_response_is_left_alone() -> None:
    data = FIVE + b"hello" + TE + b"1\r\nx\r\n0\r\nA: b\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n"
    assert [m.body for m in response(data).messages] == [b"hello", b"x", b""]
    assert response(OK + b"Connection: close\r\nContent-Length: 0\r\n\r\nextra").rest == 5
    assert response(b"HTTP/1.1 100 x\r\n\r\n" + FIVE + b"hello").messages[1].body == b"hello"


ERRORS = [
    # rows 20, 21
    (b"0x5\r\nhello\r\n", BAD_SIZE, BAD_SIZE),
    (b"+5\r\nhello\r\n", BAD_SIZE, BAD_SIZE),
    (b"-5\r\nhello\r\n", BAD_SIZE, BAD_SIZE),
    (b" 5\r\nhello\r\n", BAD_SIZE, BAD_SIZE),
    (b"5 \r\nhello\r\n0\r\n\r\n", "", BAD_SIZE),
    (b"5\t \r\nhello\r\n0\r\n\r\n", "", BAD_SIZE),
    (b"5 5\r\nhello\r\n", BAD_SIZE, BAD_SIZE),
    (b"0_2e\r\n", BAD_SIZE, BAD_SIZE),
    (b"\r\n", BAD_SIZE, BAD_SIZE),
    (b";a\r\n", BAD_SIZE, BAD_SIZE),
    ("٥\r\n".encode(), BAD_SIZE, BAD_SIZE),
    (b"5\r\r\nhello\r\n", "Expected LF after chunk size", "Expected LF after chunk size"),
    (b"10000000000000000\r\n", "Chunk size overflow", "Chunk size overflow"),
    (b"fffffffffffffffff\r\n", "Chunk size overflow", "Chunk size overflow"),
    # no bare LF in the chunked coding: CVE-2025-22871; in an extension: CVE-2024-52304
    *(
        (data, f"Missing expected CR after chunk {what}", f"Missing expected CR after chunk {what}")
        for data, what in (
            (b"5\nhello\r\n", "size"),
            (b"5;a\nhello\r\n", "extension name"),
            (b"5;a=b\nhello\r\n", "extension value"),
            (b'5;a="b"\nhello\r\n', "extension value"),
        )
    ),
    (b"5; a\r\nhello\r\n", BAD_EXT, BAD_EXT),
    (b"5;\r\nhello\r\n", BAD_EXT, BAD_EXT),
    (b"5;a b\r\nhello\r\n", BAD_EXT + " name", BAD_EXT + " name"),
    (b"5;a=b c\r\nhello\r\n", BAD_EXT + " value", BAD_EXT + " value"),
    (b'5;a="\x01"\r\nhello\r\n', BAD_EXT + " quoted value", BAD_EXT + " quoted value"),
    (b'5;a="b"c\r\nhello\r\n', BAD_EXT + " quote value", BAD_EXT + " quote value"),
    # row 25, CVE-2025-43859
    (b"5\r\nhelloXX0\r\n\r\n", NO_CRLF, NO_CRLF),
    (b"5\r\nhello\n0\r\n\r\n", NO_CRLF, NO_CRLF),
    (b"5\r\nhello\rX0\r\n\r\n", NO_CRLF, NO_CRLF),
    (b"3\r\nhello\r\n0\r\n\r\n", NO_CRLF, NO_CRLF),
    # row 30
    (b"0\r\nnocolon\r\n\r\n", "Invalid header token", "Invalid header token"),
    (b"0\r\n: x\r\n\r\n", "Invalid header token", "Invalid header token"),
    (b"0\r\nA : x\r\n\r\n", "Invalid header token", "Invalid header token"),
    (
        b"0\r\nA: b\rc\r\n\r\n",
        "Missing expected LF after header value",
        "Missing expected LF after header value",
    ),
    (b"0\r\nA: b\0c\r\n\r\n", "Invalid HTTP header", "Invalid HTTP header"),
    (b"0\r\nA: b\1c\r\n\r\n", "", "Invalid header value char"),
    (b"0\r\nA: b\r\n c\r\n\r\n", "", "Unexpected whitespace after header value"),
    (
        b"0\r\n A: b\r\n\r\n",
        "Unexpected whitespace after header value",
        "Unexpected whitespace after header value",
    ),
    (b"0\r\nA: b\n\n", "", "Missing expected CR after header value"),
    (b"0\r\n\rX", "Expected LF after headers", "Expected LF after headers"),
]


@pytest.mark.parametrize("front", [0, FRONT])
def test_errors(front: int, flavour: str) -> None:
    inputs = [TE + row[0] for row in ERRORS]
    for flags, column in ((0, 1), (STRICT, 2)):
        outcomes = responses(inputs, CUT | NO_EOF | front | flags, flavour=flavour)
        for row, outcome in zip(ERRORS, outcomes, strict=True):
            assert outcome.error == row[column], row


# Where aiohttp takes what we refuse.
UNLIKE = {
    b"5;a\nhello\r\n": "RFC 9112 7.1: a chunk's line ends in CRLF",
    b"5;a=b\nhello\r\n": "RFC 9112 7.1",
    b'5;a="b"\nhello\r\n': "RFC 9112 7.1",
    b"5\r\nhello\n0\r\n\r\n": "RFC 9112 7.1: chunk-data CRLF",
    b"0\r\nA: b\0c\r\n\r\n": "RFC 9110 5.5: a value with NUL is invalid and dangerous",
}


@pytest.mark.parametrize("data", [row[0] for row in ERRORS])
def test_verdict_is_aiohttps(data: bytes) -> None:
    ours, theirs = response(TE + data, NO_EOF), aiohttp_oracle.parse(TE + data)
    assert (ours.kind == theirs.kind) is (data not in UNLIKE), (ours, theirs)


# ---- limits ----


def test_chunk_line_is_limited(flavour: str) -> None:
    """Row 22, CVE-2024-22019: also when it comes in pieces, and with leading zeros."""
    limits = (30, 100, 3)
    assert (
        response(TE + b"1;" + b"a" * 28 + b"\r\nx\r\n0\r\n\r\n", CUT, limits, flavour).error == ""
    )
    for line in (b"1;" + b"a" * 29, b"0" * 31, b"1" + b" " * 30, b'1;a="' + b"b" * 99):
        outcome = response(TE + line, CUT, limits, flavour)
        assert (outcome.kind, outcome.error) == ("LineTooLong", "Chunk size line too long")


def test_overhead_is_limited() -> None:
    """Row 23, CVE-2023-39326: 4 KB of extension for each byte."""
    chunk = b"1;" + b"a" * 4000 + b"\r\nx\r\n"
    outcome = response(TE + chunk * 10, 0)
    assert outcome.error == "Chunked coding has too much overhead"
    assert len(outcome.messages[0].body) < 10
    # Small chunks and short extensions are what good servers send.
    chunk = b"1;a=b\r\nx\r\n"
    assert response(TE + chunk * 10000 + b"0\r\n\r\n", 0).message.end == "done"
    # So is a long extension of a long chunk.
    chunk = b"4000;" + b"a" * 4000 + b"\r\n" + b"x" * 0x4000 + b"\r\n"
    assert response(TE + chunk * 20 + b"0\r\n\r\n", 0).message.end == "done"


def test_a_hundred_thousand_chunks() -> None:
    """Row 24."""
    (answer,) = run([Case("r", TE + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n")])
    assert answer.count("|") == 100_000 and "done" in answer


@pytest.mark.parametrize(
    ("trailers", "error"),
    [
        (b"a: b\r\n" * 3 + b"\r\n", ""),
        (b"a: b\r\n" * 4, "Too many headers received"),
        (b"name: " + b"v" * 26 + b"\r\n\r\n", ""),
        (b"name: " + b"v" * 27, "Trailer too long"),
        (b"n" * 99, "Trailer too long"),
        (b"n: a" + b"\r\n b" * 99, "Trailer too long"),
        (b"n: a" + b"\r\n " * 99, "Trailer too long"),
    ],
)
def test_trailers_are_limited(trailers: bytes, error: str, flavour: str) -> None:
    """Row 30, CVE-2026-22815."""
    assert response(TE + b"0\r\n" + trailers, CUT | NO_EOF, (20, 30, 3), flavour).error == error
