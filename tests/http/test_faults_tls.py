"""Bad servers behind TLS: some rows of sections 4.1 to 4.3 on both ways of the TLS engine."""

from __future__ import annotations

import pytest
import support
import test_faults_body
import test_faults_framing
import test_faults_head
from faults_support import GOOD, check
from http_support import raw, response

ROWS = {
    **{
        name: test_faults_head.ROWS[name]
        for name in (
            "row 1: garbage",
            "row 7: NUL in a value",
            "row 9: a long line",
            "row 10: headers without an end",
            "row 14: a 101 that nobody asked for",
        )
    },
    **{
        name: test_faults_framing.ROWS[name]
        for name in (
            "row 26: in a chunk",
            "row 27: one byte short",
            "row 28: nothing",
            "row 31: 204 with a body",
            "row 32: a second response",
            "until the end",
        )
    },
    **{name: test_faults_body.ROWS[name] for name in ("gzip in chunks", "row 40: plain text")},
}


@pytest.fixture(params=["direct", "memorybio"])
def engine(client, request, monkeypatch):
    """uvolt's way to OpenSSL; aiohttp on asyncio has one only."""
    if client.ours:
        monkeypatch.setenv("UVOLT_TLS", request.param)
    return request.param


@pytest.mark.parametrize("way", ["whole", "bytes"])
@pytest.mark.parametrize("name", ROWS)
def test_rows(client, engine, certificates, name, way):
    if not client.ours and engine == "memorybio":
        return
    check(client, ROWS[name], way, certificates)


def test_row_32_bytes_on_an_idle_connection(client, engine, certificates):
    """Records that nobody asked for: the connection is not used again."""
    if not client.ours:
        return

    async def script(peer):
        await peer.request()
        peer.send(response(b"first"))
        if peer.number == 0:
            await peer.send_pieces([b"", b""])
            peer.send(GOOD)
        await peer.gone()

    async def main():
        trust = certificates.client()
        async with raw(script, ssl=certificates.server()) as server, client.session() as http:
            for _ in range(2):
                async with http.get(server.url, ssl=trust) as answer:
                    assert await answer.read() == b"first"
                await support.settle(30)
            assert len(server.peers) == 2

    client.run(main)
