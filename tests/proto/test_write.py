"""Request heads: what is written, and that nothing is which could end a line or begin another."""

from __future__ import annotations

import random
import re

import pytest
from proto_support import FRONT, NO_MEMORY, Case, run

pytestmark = pytest.mark.once

NOMEM, FULL, METHOD, TARGET, NAME, VALUE = -1, -2, -3, -4, -5, -6
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
NO_CONTROLS = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
NO_SPACES = re.compile(rb"[^\x00-\x20\x7f]+")


def write(
    *pairs: tuple[bytes, bytes], ceiling: int = 1 << 20, front: int = 0, flavour: str = "plain"
) -> bytes | int:
    """The head, or the error. The harness takes pairs of the same lengths: they are padded."""
    first = max(len(a) for a, _ in pairs)
    second = max(len(b) for _, b in pairs)
    data = b"".join(a.ljust(first, b"x") + b.ljust(second, b"x") for a, b in pairs)
    (answer,) = run([Case("w", data, front, (ceiling, first, second))], flavour)
    if answer.startswith("error"):
        return int(answer.split()[1])
    return bytes.fromhex(answer)


def test_head(flavour: str) -> None:
    head = write((b"GET", b"/index.html"), (b"Hst", b"example.org"), flavour=flavour)
    assert head == b"GET /index.html HTTP/1.1\r\nHst: example.org\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "target", "error"),
    [
        (b"G T", b"/", METHOD),
        (b"GET\r\n", b"/", METHOD),
        (b"GET / HTTP/1.1\r\nX:", b"/", METHOD),
        (b"G\xc3\x84T", b"/", METHOD),
        (b"", b"/", METHOD),
        (b"GET", b"", TARGET),
        (b"GET", b"/a b", TARGET),
        (b"GET", b"/a\tb", TARGET),
        (b"GET", b"/a\r\nX: y", TARGET),
        (b"GET", b"/a\0", TARGET),
        (b"GET", b"/a\x7f", TARGET),
    ],
)
def test_request_line_is_refused(method: bytes, target: bytes, error: int, flavour: str) -> None:
    """CVE-2023-49082, CVE-2020-26116, row 66."""
    for front in (0, FRONT):
        assert write((method, target), front=front, flavour=flavour) == error


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        (b"A B", b"c", NAME),
        (b"A:", b"c", NAME),
        (b"A\r\n", b"c", NAME),
        (b"A\n", b"c", NAME),
        (b"\xc3\x84", b"c", NAME),
        (b"A", b"b\rc", VALUE),
        (b"A", b"b\nc", VALUE),
        (b"A", b"b\0c", VALUE),
        (b"A", b"b\x1bc", VALUE),
        (b"A", b"b\x7fc", VALUE),
    ],
)
def test_field_is_refused(name: bytes, value: bytes, error: int, flavour: str) -> None:
    for front in (0, FRONT):
        line = (b"G" * len(name), b"/" * len(value))
        assert write(line, (name, value), front=front, flavour=flavour) == error


def test_values_that_are_accepted() -> None:
    head = write((b"G", b"/x"), (b"A", b"\xc3\xa4"), (b"B", b"\tb"), (b"C", b" c"))
    assert head == b"G /x HTTP/1.1\r\nA: \xc3\xa4\r\nB: \tb\r\nC:  c\r\n\r\n"


def test_ceiling() -> None:
    pairs = [(b"GET", b"/abc"), (b"Hdr", b"abcd")]
    head = b"GET /abc HTTP/1.1\r\nHdr: abcd\r\n\r\n"
    assert write(*pairs, ceiling=len(head)) == head
    for ceiling in range(len(head)):
        assert write(*pairs, ceiling=ceiling) == FULL
    many = [(b"GET", b"/abc"), *[(b"Hdr", b"v" * 4)] * 5000]
    assert (
        write(*many, ceiling=20 * 5000)
        == b"GET /abc HTTP/1.1\r\n" + b"Hdr: vvvv\r\n" * 5000 + b"\r\n"
    )


def test_out_of_memory(flavour: str) -> None:
    assert write((b"GET", b"/"), front=NO_MEMORY, flavour=flavour) == NOMEM


def test_every_byte() -> None:
    """What is refused is exactly what the grammar refuses, and aiohttp."""
    cases, expected = [], []
    rng = random.Random(1)
    for byte in range(256):
        for at in (0, 3):
            first, second = bytearray(b"abcd"), bytearray(b"efgh")
            target = rng.random() < 0.5
            (second if target else first)[at] = byte
            for line in (False, True):
                a, b = bytes(first), bytes(second)
                ok = bool(TOKEN.fullmatch(a)) and bool(
                    (NO_SPACES if line else NO_CONTROLS).fullmatch(b)
                )
                cases.append(Case("w", (b"" if line else b"GETX/abc") + a + b, 0, (1 << 20, 4, 4)))
                expected.append(ok)
    for case, answer, ok in zip(cases, run(cases), expected, strict=True):
        assert (not answer.startswith("error")) is ok, case
        if ok:
            assert bytes.fromhex(answer).count(b"\r\n") == len(case.data) // 8 + 1


@pytest.mark.parametrize("n", [1, 9, 15, 16, 255, 256, 65535, 65536, 2**32, 2**63, 2**64 - 1])
def test_chunk_head(n: int, flavour: str) -> None:
    (answer,) = run([Case("c", b"", 0, (n >> 32, n & 0xFFFFFFFF, 0))], flavour)
    assert answer == f"{n:x}\r\n"
