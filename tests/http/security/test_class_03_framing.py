"""Class 3, where a response ends: whatever a server sends, no byte of one response is ever taken
for the next. The rows of each framing, with their errors, are in test_faults_framing.py."""

from __future__ import annotations

import asyncio

import pytest
import support
from http_support import chunked, raw, response
from security_support import http, run

POISON = response(b"poison")


def head(*fields: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode("latin1")


# Whatever is made of them: the body ends in a second response.
FRAMINGS = {
    "length too short": head("Content-Length: 2") + b"ok" + POISON,
    "length 0": head("Content-Length: 0") + POISON,
    "two lengths": head("Content-Length: 2", "Content-Length: 40") + b"ok" + POISON,
    "two equal lengths": head("Content-Length: 2", "Content-Length: 2") + b"ok" + POISON,
    "a list of lengths": head("Content-Length: 2, 2") + b"ok" + POISON,
    "a folded length": head("Content-Length: 4", " 0") + b"ok" + POISON,
    "a length on the folded line": head("X: y", " Content-Length: 2") + b"ok" + POISON,
    "length with a plus": head("Content-Length: +2") + b"ok" + POISON,
    "length in other digits": head("Content-Length: \u0662".encode().decode("latin1")) + POISON,
    "length with an underscore": head("Content-Length: 0_2") + b"ok" + POISON,
    "space before the colon": head("Content-Length : 2") + b"ok" + POISON,
    "length and chunked": head("Content-Length: 2", "Transfer-Encoding: chunked")
    + chunked(b"ok")
    + POISON,
    "chunked and length": head("Transfer-Encoding: chunked", "Content-Length: 2")
    + chunked(b"ok")
    + POISON,
    "chunked twice": head("Transfer-Encoding: chunked, chunked") + chunked(b"ok") + POISON,
    "chunked, not last": head("Transfer-Encoding: chunked, gzip") + chunked(b"ok") + POISON,
    "xchunked": head("Transfer-Encoding: xchunked") + chunked(b"ok") + POISON,
    "chunked behind a CR": head("X: \rTransfer-Encoding: chunked") + chunked(b"ok") + POISON,
    "chunked behind a LF": head("X: \nTransfer-Encoding: chunked") + chunked(b"ok") + POISON,
    "chunked behind a NUL": head("X: \0\r\nTransfer-Encoding: chunked") + chunked(b"ok") + POISON,
    "chunks, the end": head("Transfer-Encoding: chunked") + chunked(b"ok") + POISON,
    "chunk of 0x": head("Transfer-Encoding: chunked") + b"0x2\r\nok\r\n0\r\n\r\n" + POISON,
    "chunk with a newline": head("Transfer-Encoding: chunked")
    + b"2;a\nX\r\nok\r\n0\r\n\r\n"
    + POISON,
    "chunk of 2 to the 64th": head("Transfer-Encoding: chunked")
    + b"10000000000000002\r\nok\r\n0\r\n\r\n"
    + POISON,
    "bytes behind a chunk": head("Transfer-Encoding: chunked") + b"2\r\nokXX\r\n0\r\n\r\n" + POISON,
    "trailers": head("Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\nX: y\r\n\r\n" + POISON,
    "a length in the trailers": head("Transfer-Encoding: chunked")
    + b"2\r\nok\r\n0\r\nContent-Length: 40\r\n\r\n"
    + POISON,
    "a bad trailer": head("Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\nbad\r\n\r\n" + POISON,
    "204": head("Content-Length: 40", status="204 No") + POISON,
    "304": head("Content-Length: 40", status="304 Not") + POISON,
    "100 without end": head(status="100 Continue") * 20 + POISON,
    "101 unasked": head("Upgrade: x", "Connection: upgrade", status="101 Switch") + POISON,
    "CR in the reason": head("Content-Length: 2", status="200 O\rK") + b"ok" + POISON,
    "to the end": head() + b"ok" + POISON,
}


def rest_of(data: bytes) -> list[list[bytes]]:
    """Whole, in two parts before the second response, and byte by byte."""
    at = data.index(POISON)
    return [[data], [data[:at], data[at:]], [data[n : n + 1] for n in range(len(data))]]


@pytest.mark.parametrize("way", ["whole", "two parts", "bytes"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("name", FRAMINGS)
def test_no_response_is_taken_for_the_next(name, method, way):
    pieces = rest_of(FRAMINGS[name])[["whole", "two parts", "bytes"].index(way)]
    count, all_sent = 0, []

    async def script(peer):
        nonlocal count
        while True:
            await peer.request()
            count += 1
            if count == 1:
                await peer.send_pieces(pieces)
                all_sent.append(True)
                if name == "to the end":
                    return
            else:
                peer.send(response(b"good"))

    async def main():
        async with raw(script) as server, http.ClientSession() as session:
            timeout = http.ClientTimeout(total=0.15)
            try:
                async with session.request(method, server.url, timeout=timeout) as answer:
                    await answer.read()
            except (http.ClientError, asyncio.TimeoutError):
                pass
            await support.until(lambda: all_sent)
            for _ in range(2):
                async with session.get(server.url) as answer:
                    assert await answer.read() == b"good"
                    assert answer.headers["content-length"] == "4"

    run(main)
