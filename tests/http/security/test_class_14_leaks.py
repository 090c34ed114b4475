"""Class 14, memory on the paths of errors. Each test ends with the check of tests/conftest.py: no
descriptor, handle, transport or connection is left. CI runs all of tests/http under ASan and UBSan;
the parsers, the connection and a whole session have fuzz targets (docs/fuzzing.md)."""

from __future__ import annotations

import asyncio
import gc

import pytest
import support
from http_support import answers, chunked, raw, response
from security_support import http, rss, run

ROUNDS = 300

FAILURES = {
    "no certificate that is known": None,
    "a bad status line": b"bad\x00\x01\xff line\r\n\r\n",
    "a bad field": b"HTTP/1.1 200 OK\r\n" + b"x" * 5000 + b"\r\n\r\n",
    "a field too long": b"HTTP/1.1 200 OK\r\nX: " + b"v" * 20_000 + b"\r\n\r\n",
    "a bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a short body": b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + b"x" * 20_000,
    "a bad code": response(b"no gzip" * 1000, Content_Encoding="gzip"),
    "a bad Location": response(status="302 Moved", Location="http://[bad/"),
    "a status that is raised": response(b"x" * 5000, "500 No"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_leave_nothing(certificates, name):
    """After many rounds there is no more memory than after some."""
    data = FAILURES[name]

    async def fail(session, url):
        with pytest.raises(http.ClientError):
            async with session.get(url, raise_for_status=True) as answer:
                await answer.read()

    async def main():
        ssl = certificates.server() if data is None else None
        script = answers(data or b"", close=True)
        async with raw(script, ssl=ssl) as server, http.ClientSession() as session:
            rounds = ROUNDS // 3 if ssl else ROUNDS
            for _ in range(rounds):
                await fail(session, server.url)
            server.peers.clear()
            server.asked.clear()
            server.received.clear()
            gc.collect()
            before, objects = rss(), len(gc.get_objects())
            for _ in range(rounds):
                await fail(session, server.url)
            server.peers.clear()
            server.asked.clear()
            server.received.clear()
            gc.collect()
            assert len(gc.get_objects()) - objects < 300
            # A sanitizer keeps what was freed; it looks for leaks in a way of its own.
            assert support.SANITIZED or rss() - before < 4 << 20

    run(main, 60)


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("coded", [False, True])
def test_cancelled_at_each_turn(turns, coded):
    """Whatever it was about to do; and the next request is served."""
    body = chunked(*[b"x" * 1000] * 20)
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    if coded:
        data = data.replace(b"\r\n", b"\r\nContent-Encoding: gzip\r\n", 1)

    async def read(session, url):
        async with session.get(url) as answer:
            await answer.read()

    async def main():
        async with raw(answers(data)) as server:
            connector = http.TCPConnector(limit=1)
            async with http.ClientSession(connector=connector) as session:
                task = asyncio.ensure_future(read(session, server.url))
                await support.settle(turns)
                task.cancel()
                await asyncio.wait([task])
                async with session.get(server.url) as answer:
                    assert answer.status == 200

    run(main)


def test_the_text_of_an_error_is_a_copy_with_a_bound():
    """CVE-2026-69244: it showed bytes behind the buffer."""

    async def main():
        for size in (1, 2, 99, 100, 101, 4095, 4096, 4097, 8189, 8190, 8191, 60_000):
            line = b"X" * size + b"\r\n\r\n"
            async with raw(answers(line, close=True)) as server, http.ClientSession() as session:
                with pytest.raises(http.ClientError) as caught:
                    await session.get(server.url)
                assert len(str(caught.value)) < 20_000
                assert set(str(caught.value.__cause__ or "X")) - {"\ufffd"}

    run(main)
