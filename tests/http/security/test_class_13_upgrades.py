"""Class 13, what follows an upgrade. There is no websocket client in uvolt.http yet; but any
server may say 101, and any caller may send an Upgrade."""

from __future__ import annotations

import pytest
import support
from http_support import raw, response
from security_support import http, run

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n%b\r\n"
BEHIND = {
    "nothing": b"",
    "a response": response(b"poison"),
    "a frame": b"\x81\x05hello",
    "a frame of 2 to the 63rd": b"\x82\x7f" + b"\x7f" + b"\xff" * 7,
    "much": b"x" * 300_000,
}
FIELDS = {
    "none": b"",
    "a length": b"Content-Length: 6\r\n",
    "chunked": b"Transfer-Encoding: chunked\r\n",
}


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("name", BEHIND)
def test_bytes_behind_a_101_answer_nothing_else(name, fields, asked):
    first = []

    async def script(peer):
        await peer.request()
        if first:
            peer.send(response(b"good"))
            await peer.gone()
            return
        first.append(peer)
        peer.send(SWITCH % FIELDS[fields] + BEHIND[name])
        await peer.gone()

    async def main():
        async with raw(script) as server, http.ClientSession() as session:
            headers = {"Upgrade": "x", "Connection": "upgrade"} if asked else {}
            try:
                async with session.get(server.url, headers=headers) as answer:
                    assert answer.status == 101
            except http.ClientError:
                pass
            await support.settle(4)
            async with session.get(server.url) as answer:
                assert await answer.read() == b"good"
            assert server.peers[-1] is not first[0]

    run(main)


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "426 Upgrade Required"])
def test_an_upgrade_that_is_refused(status):
    """The answer is an answer, with its framing; the connection is HTTP still, or closed."""

    async def script(peer):
        while True:
            await peer.request()
            peer.send(response(b"no", status))

    async def main():
        async with raw(script) as server, http.ClientSession() as session:
            headers = {"Upgrade": "websocket", "Connection": "upgrade"}
            for _ in range(2):
                async with session.get(server.url, headers=headers) as answer:
                    assert await answer.read() == b"no"

    run(main)
