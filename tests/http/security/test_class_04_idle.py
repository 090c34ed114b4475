"""Class 4, bytes on an idle connection: they are never the answer to a later request."""

from __future__ import annotations

import asyncio

import pytest
import support
from http_support import raw, response
from security_support import http, run

BYTES = {
    "one byte": b"x",
    "a response": response(b"poison"),
    "the head of a response": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n",
    "the beginning of one": b"HTTP/1.1 200",
    "an interim response": b"HTTP/1.1 100 Continue\r\n\r\n",
    "a line end": b"\r\n",
    "a 408": response(b"", "408 Request Timeout", Connection="close"),
    "much": b"x" * 200_000,
}
WHEN = ("with the answer", "a turn later", "later", "a turn before the next")


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_nobody_asked_for(certificates, name, tls, when):
    first, sent = [], []

    async def script(peer):
        while True:
            await peer.request()
            if first:
                peer.send(response(b"good"))
                continue
            first.append(peer)
            if when == "with the answer":
                peer.send(response(b"first") + BYTES[name])
            else:
                peer.send(response(b"first"))
                if when == "a turn later":
                    await asyncio.sleep(0)
                elif when == "later":
                    await asyncio.sleep(0.02)
                if when != "a turn before the next":
                    peer.send(BYTES[name])
                    sent.append(True)

    async def main():
        ssl = certificates.server() if tls else None
        async with raw(script, ssl=ssl) as server, http.ClientSession() as session:
            options = {"ssl": certificates.client()} if tls else {}
            async with session.get(server.url, **options) as answer:
                assert await answer.read() == b"first"
            if when == "a turn before the next":
                first[0].send(BYTES[name])
            elif when != "with the answer":
                await support.until(lambda: sent)
            # What comes as the request goes cannot be told from its answer; a turn before, it can.
            await asyncio.sleep(0)
            for _ in range(2):
                async with session.get(server.url, **options) as answer:
                    assert await answer.read() == b"good"
            await support.until(lambda: first[0].ended)
            assert len(server.peers) == 2

    run(main)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 100 Continue\r\n\r\n", response(b"poison")])
def test_a_100_continue_that_is_cancelled(answer):
    """The connection waits for something still: it is closed, and what comes late is nobody's."""
    first = []

    async def script(peer):
        while True:
            asked = await peer.request(body=False)
            if "expect" in asked.headers:
                first.append(peer)
                await peer.gone()
                return
            peer.send(response(b"good"))

    async def main():
        async with raw(script) as server, http.ClientSession() as session:
            call = session.post(server.url, data=b"body", expect100=True)
            task = asyncio.ensure_future(call)
            await support.until(lambda: first)
            task.cancel()
            await asyncio.wait([task])
            first[0].send(answer)
            for _ in range(2):
                async with session.get(server.url) as got:
                    assert await got.read() == b"good"
            await support.until(lambda: first[0].ended)
            assert len(server.peers) == 2

    run(main)
