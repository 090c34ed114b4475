"""What the tests of bad servers share: a response sent whole, byte by byte, and split at every
position of its head; and what must come of it each time."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import support
from http_support import Client, RawServer, raw, response

WAYS = ("whole", "bytes", "splits")
GOOD = response(b"good")


@dataclasses.dataclass
class Fault:
    """What a server sends, and what the client must make of it."""

    data: bytes
    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] | None = None
    reason: str | None = None
    error: str = ""  # the exception's class instead; with a status of 400 if it has one
    match: str = ""  # what the exception's text contains
    reading: bool = False  # the exception is raised by read(), not by get()
    # Whether the connection serves the next request; None: not looked at, but not after an error.
    # True after an error: it may, as the error is not one of framing.
    reused: bool | None = None
    close: bool = False  # the server closes after it
    method: str = "GET"
    oracle: bool = True  # aiohttp's outcome is that too
    extra: int = 0  # bytes behind the response; they come with its last byte or in time for it
    split: bytes = b"\r\n\r\n"  # the head, which is split at every position, ends so


def ways(fault: Fault, way: str) -> Iterator[Sequence[bytes]]:
    data = fault.data
    if way == "whole":
        yield [data]
    elif way == "bytes":
        step = max(1, len(data) // 1500)
        last = len(data) - fault.extra - 1 if fault.extra else len(data)
        yield [*(data[n : min(n + step, last)] for n in range(0, last, step)), data[last:]]
    else:
        end = data.find(fault.split)
        end = len(data) if end < 0 else end + len(fault.split)
        every = max(1, end // 200)
        for at in range(1, min(end + 1, len(data) - fault.extra), every):
            yield [data[:at], data[at:]]


def check(client: Client, fault: Fault, way: str, certificates: Any = None) -> None:
    """Send it in that way, look at the outcome, and that the session is whole afterwards. Over TLS
    with certificates."""
    tls = certificates and certificates.server()
    trust = certificates and certificates.client()
    if not client.ours and not fault.oracle:
        return
    sending: list[Sequence[bytes]] = []

    async def script(peer: Any) -> None:
        while True:
            await peer.request()
            if not sending:
                peer.send(GOOD)
                continue
            await peer.send_pieces(sending.pop())
            if fault.close:
                return

    async def main() -> None:
        async with raw(script, ssl=tls) as server:
            connector = client.http.TCPConnector(limit=1, ssl=trust or True)
            async with client.session(connector=connector) as http:
                for pieces in ways(fault, way):
                    sending.append(pieces)
                    await once(client, fault, http, server)

    client.run(main, 6)


async def good(http: Any, url: str) -> bytes:
    async with http.get(url) as answer:
        return await answer.read()


async def once(client: Client, fault: Fault, http: Any, server: RawServer) -> None:
    peers = len(server.peers)
    idle = server.open
    if fault.error:
        with pytest.raises(getattr(client.http, fault.error)) as caught:
            answer = await http.request(fault.method, server.url, allow_redirects=False)
            if fault.reading:
                await answer.read()
        error = caught.value
        if isinstance(error, client.http.ClientResponseError):
            assert error.status == fault.status == 400
            assert error.request_info.method == fault.method
        assert fault.match in str(error), error
    else:
        async with http.request(fault.method, server.url, allow_redirects=False) as answer:
            assert answer.status == fault.status
            for name, value in (fault.headers or {}).items():
                assert answer.headers[name] == value
            if fault.reason is not None:
                assert answer.reason == fault.reason
            if fault.body is not None:
                assert await answer.read() == fault.body
    used = server.peers[-1]
    # The slot is free, and the next request gets its own answer.
    assert await asyncio.wait_for(good(http, server.url), 5 * support.SLOW) == b"good"
    assert len(server.peers) <= peers + 2 - min(idle, 1)
    reused = server.peers[-1] is used
    if fault.error:
        assert not reused or fault.reused
    elif fault.reused is not None:
        assert reused == fault.reused
