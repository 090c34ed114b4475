"""Responses that are right, nearly right, and wrong, from a seeded generator."""

from __future__ import annotations

import random

STATUS = [b"HTTP/1.1 200 OK"] * 12 + [
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 Not Modified",
    b"HTTP/1.1 100 Continue",
    b"HTTP/1.1 103 Early Hints",
    b"HTTP/1.1 404",
    b"HTTP/1.1 404 ",
    b"HTTP/1.1 999 \xe4\t!",
    b"HTTP/1.1 99 x",
    b"HTTP/1.1 1000 x",
    b"HTTP/1.2 200 OK",
    b"HTTP/2.0 200 OK",
    b"HTTP/1.1 2 0 OK",
    b"http/1.1 200 OK",
    b"HTTP/1.1  200 OK",
]
PLAIN = [
    b"Server: x",
    b"X-A:",
    b"X-B:  \t b c \t",
    b"X-C: \xc3\xa4\xff",
    b"x-d:e:f",
    b"Set-Cookie: a=b; c",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Connection: x, Upgrade",
    b"Upgrade: y",
    b"Content-Encoding: gzip",
    b"!#$%&'*+-.^_`|~: 1",
]
FRAMING = [b"Content-Length: 5"] * 4 + [b"Transfer-Encoding: chunked"] * 6 + [
    b"content-length:5",
    b"Content-Length: 0",
    b"Content-Length: 05",
    b"Content-Length:  5 ",
    b"Content-Length: 5, 5",
    b"Content-Length: 5 5",
    b"Content-Length: +5",
    b"Content-Length: 0x5",
    b"Content-Length:",
    b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: CHUNKED",
    b"Transfer-Encoding:chunked ",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, gzip",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunkedx",
    b"Transfer-Encoding: ,chunked",
    b"Transfer-Encoding: chunked,",
    b"Transfer-Encoding:",
    b"Transfer-Encoding: \"chunked\"",
    b"Content-Length : 5",
]  # fmt: skip
BROKEN = [
    b"no colon",
    b": no name",
    b"na me: x",
    b"name : x",
    b"X: a\rb",
    b"X: a\0b",
    b"X: a\x01b\x7f",
    b"X: a\r\n b",
    b"X:\r\n b",
    b" X: a",
    b"X\xe4: a",
]
CHUNKS = [b"5\r\nhello\r\n"] * 6 + [
    b"1\r\nx\r\n",
    b"a\r\n0123456789\r\n",
    b"A\r\n0123456789\r\n",
    b"0005\r\nhello\r\n",
    b"5;a=b\r\nhello\r\n",
    b'5;a;b="c \\" d"\r\nhello\r\n',
    b"5; a\r\nhello\r\n",
    b"5 \r\nhello\r\n",
    b"5\nhello\n",
    b"5;a\nhello\r\n",
    b"5\r\nhelloX",
    b"5\r\nhello\n",
    b"0x5\r\nhello\r\n",
    b"\r\n",
    b"ffffffffffffffffff\r\n",
]
LAST = [b"0\r\n\r\n"] * 6 + [
    b"",
    b"0\r\n",
    b"000\r\n\r\n",
    b"0;a=b\r\n\r\n",
    b"0\r\nA: b\r\n\r\n",
    b"0\r\nA: b\r\nC: d\r\n\r\n",
    b"0\r\nA b\r\n\r\n",
    b"0\r\nA: b\r\n c\r\n\r\n",
    b"0\r\n\n",
    b"0\n\n",
]
SPECIAL = [bytes([c]) for c in b'\0\1\t\n\r "%,:;=\\0159aAfZ~\x7f\x80\xff'] + [b"\r\n", b"\r\n "]


def mutate(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(out) + 1)
        out[at : at + rng.choice((0, 1, 1))] = rng.choice((*SPECIAL, b"", b""))
    return bytes(out)


def one(rng: random.Random) -> bytes:
    lines = [rng.choice(STATUS)]
    pools = (PLAIN,) * 4 + (FRAMING,) * 5 + (BROKEN,) * rng.choice((0, 0, 0, 1))
    lines += [rng.choice(rng.choice(pools)) for _ in range(rng.randint(0, 4))]
    end = rng.choice((b"\r\n",) * 20 + (b"\n",))
    head = end.join(lines) + end * 2
    if rng.random() < 0.03:
        head = rng.choice((b"\r\n", b"\n", b"\r", b" ")) + head
    if b"hunked" in head:
        body = b"".join(rng.choice(CHUNKS) for _ in range(rng.randint(0, 3))) + rng.choice(LAST)
    else:
        body = b"hello, world"[: rng.choice((0, 5, 5, 5, 5, 7))]
    data = head + body
    if rng.random() < 0.3:
        data = mutate(rng, data)
    if rng.random() < 0.1:
        data = data[: rng.randrange(len(data) + 1)]
    if rng.random() < 0.1:
        data += one(rng)
    return data


def many(count: int, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    return [one(rng) for _ in range(count)]
