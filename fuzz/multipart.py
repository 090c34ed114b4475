"""Multipart bodies that are damaged in any way, read by uvolt.http and by aiohttp.

    python fuzz/multipart.py [SECONDS [SEED]]

What must hold: whole, byte by byte and in random pieces one outcome; reading a part whole, in
chunks of any size and line by line gives the same bytes; no exception but those a caller is told
of; no more time than a body of its size may take; and where aiohttp reads a body to its end, ours
does and with the same parts. tests/http/test_multipart_fuzz.py runs some of it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import gzip
import random
import sys
import time
import warnings
import zlib
from typing import Any
from unittest import mock

import aiohttp
import aiohttp.multipart
import aiohttp.streams

import uvolt
import uvolt.http.multipart
from uvolt import http
from uvolt.http.exceptions import HttpProcessingError

# ValueError has binascii.Error and UnicodeError in it.
ALLOWED = (ValueError, RuntimeError, HttpProcessingError, zlib.error, EOFError)
NOT_BASE64 = bytes({*range(256)} - {*base64.b64encode(bytes(range(256)) * 3), *b"+/="})
SPICE = (b"\r\n", b"\n", b"--", b"--b", b"--b--", b"\r\n--b", b"\r\n--b--\r\n", b":", b"=", b"\0",
         b"\r\n\r\n", b"Content-Length: 3\r\n", b"--inner", b";", b'"', b"\xff", b" ")  # fmt: skip


# -- bodies ---------------------------------------------------------------------------------------


def some_bytes(rng: random.Random) -> bytes:
    size = rng.choice((0, 1, 5, 50, 300, 9000))
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(size)
    if kind == 1:
        return bytes(rng.choice(b"\r\n-b") for _ in range(size))
    return (b"some text\r\n--but no boundary\r\n" * (size // 20 + 1))[:size]


def a_part(rng: random.Random, depth: int) -> bytes:
    headers = []
    data = some_bytes(rng)
    kind = rng.randrange(8)
    if kind == 0 and depth < 3:
        headers.append(b"Content-Type: multipart/mixed; boundary=inner%d" % depth)
        data = a_body(rng, b"inner%d" % depth, depth + 1)
    elif kind == 1:
        headers.append(b"Content-Transfer-Encoding: base64")
        data = rng.choice((base64.b64encode, base64.encodebytes))(data)
    elif kind == 2:
        headers.append(b"Content-Transfer-Encoding: quoted-printable")
        data = binascii.b2a_qp(data)
    elif kind == 3:
        headers.append(b"Content-Encoding: gzip")
        data = gzip.compress(data)
    elif kind == 4:
        headers.append(b"Content-Encoding: deflate")
        stream = zlib.compressobj(wbits=-15)
        data = stream.compress(data) + stream.flush()
    if rng.random() < 0.2:
        headers.append(b"Content-Length: %d" % len(data))
    if rng.random() < 0.5:
        headers.append(b'Content-Disposition: form-data; name="n"; filename="f.txt"')
    if rng.random() < 0.1:
        headers.append(b"X-Long: " + b"x" * rng.choice((100, 8180, 9000)))
    if rng.random() < 0.02:
        headers += [b"X-Many: 1"] * 140
    return b"".join(line + b"\r\n" for line in headers) + b"\r\n" + data


def a_body(rng: random.Random, boundary: bytes, depth: int = 0) -> bytes:
    out = rng.choice((b"", b"", b"preamble\r\n", b"\r\n"))
    for _ in range(rng.randrange(4)):
        out += b"--" + boundary + b"\r\n" + a_part(rng, depth) + b"\r\n"
    return out + b"--" + boundary + b"--" + rng.choice((b"", b"\r\n", b"\r\nepilogue\r\n"))


def spoil(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((0, 0, 0, 1, 2, 5))):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            out[at:at] = rng.choice(SPICE)
        elif kind == 1:
            del out[at : at + rng.choice((1, 2, 5, 40))]
        elif kind == 2:
            out[at : at + 1] = bytes([rng.randrange(256)])
        else:
            out[at:at] = out[: rng.randrange(60)]
    if rng.random() < 0.1:
        del out[rng.randrange(len(out) + 1) :]
    return bytes(out)


def pieces(rng: random.Random, data: bytes, sizes: tuple[int, ...]) -> list[bytes]:
    out = []
    while data:
        size = rng.choice(sizes)
        out.append(data[:size])
        data = data[size:]
    return out


# -- readers --------------------------------------------------------------------------------------


async def read_part(part: Any, how: str, sizes: random.Random) -> bytes:
    # Chunks of base64 are cut where they can be decoded; what is none may come earlier for that.
    is_base64 = part.headers.get("Content-Transfer-Encoding", "").lower() == "base64"
    data = await read_bytes(part, how, sizes)
    return data.translate(None, NOT_BASE64) if is_base64 else data


async def read_bytes(part: Any, how: str, sizes: random.Random) -> bytes:
    if how == "whole":
        return bytes(await part.read())
    out = b""
    while not part.at_eof():
        if how == "lines":
            out += await part.readline()
        else:
            out += await part.read_chunk(sizes.choice((1, 3, 30, 200, 8192)))
    return out


async def read_all(reader: Any, how: str, sizes: random.Random) -> list[Any]:
    """Every part: its headers, its name, and its bytes or what they decode to."""
    out: list[Any] = []
    while (part := await reader.next()) is not None:
        if hasattr(part, "fetch_next_part"):
            out.append((list(part.headers.items()), await read_all(part, how, sizes)))
            continue
        about = (list(part.headers.items()), part.name, part.filename)
        if how == "skip":
            out.append(about)
        elif how == "decode":
            out.append((*about, bytes(await part.read(decode=True))))
        else:
            out.append((*about, await read_part(part, how, sizes)))
    return out


async def outcome(
    ours: bool, data: list[bytes], how: str, kind: str = "mixed", seed: int = 0
) -> Any:
    """What reading gives: the parts, or the class of the exception. The data comes piece by
    piece, as the reader waits for it."""
    module: Any = http.multipart if ours else aiohttp.multipart
    streams: Any = http if ours else aiohttp.streams
    stream = streams.StreamReader(mock.Mock(), 2**18, loop=asyncio.get_running_loop())
    reader = module.MultipartReader({"Content-Type": f"multipart/{kind}; boundary=b"}, stream)

    async def feed() -> None:
        for piece in data:
            stream.feed_data(piece)
            if len(data) > 1:
                await asyncio.sleep(0)
        stream.feed_eof()

    feeding = asyncio.ensure_future(feed())
    try:
        return await read_all(reader, how, random.Random(seed))
    except Exception as error:
        return error
    finally:
        await feeding


def comparable(data: bytes) -> bool:
    """Whether aiohttp's reader and ours are meant to say the same: of nested bodies it does not
    skip the epilogue, and it cannot read what follows a _charset_ field."""
    return b"multipart/" not in data.lower() and b"_charset_" not in data


def good(result: Any) -> bool:
    return not isinstance(result, BaseException)


async def one_case(seed: int) -> str:
    """Check one body; a word on what it was."""
    rng = random.Random(seed)
    kind = rng.choice(("mixed", "form-data"))
    data = spoil(rng, a_body(rng, b"b"))
    started = time.perf_counter()
    results: dict[str, Any] = {}
    for how in ("whole", "chunks", "lines", "decode", "skip"):
        results[how] = result = await outcome(True, [data], how, kind, seed)
        assert good(result) or isinstance(result, ALLOWED), repr(result)
        for sizes in ((1, 2, 7), (50, 8000)):
            if len(data) > 3000 and 1 in sizes:
                continue
            again = await outcome(True, pieces(rng, data, sizes), how, kind, seed)
            same = again == result if good(result) else type(again) is type(result)
            assert same, (how, result, again)
    assert time.perf_counter() - started < 20, "it takes too long"
    has_length = b"content-length" in data.lower()
    if good(results["whole"]):
        assert results["chunks"] == results["whole"]
        if not has_length:
            assert results["lines"] == results["whole"], (results["lines"], results["whole"])
    theirs = await outcome(False, [data], "whole", kind)
    if good(theirs) and comparable(data):
        assert results["whole"] == theirs, (results["whole"], theirs)
        decoded = await outcome(False, [data], "decode", kind)
        if good(decoded):
            assert results["decode"] == decoded, (results["decode"], decoded)
        return "read by both"
    return "ours only" if good(results["whole"]) else "refused"


def main(seconds: float, seed: int) -> None:
    counts: dict[str, int] = {}

    async def run() -> None:
        end, at = time.monotonic() + seconds, seed
        while time.monotonic() < end:
            try:
                word = await one_case(at)
            except BaseException:
                print(f"multipart: FOUND SOMETHING with seed {at}", file=sys.stderr)
                raise
            counts[word] = counts.get(word, 0) + 1
            at += 1

    warnings.simplefilter("ignore")  # Content-Disposition that is not valid
    uvolt.run(run())
    total = sum(counts.values())
    print(f"{'multipart':16} no finding: {total} runs from seed {seed}, {counts}")


if __name__ == "__main__":
    main(
        float(sys.argv[1]) if len(sys.argv) > 1 else 120,
        int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 40),
    )
