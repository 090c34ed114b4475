"""Bad servers, section 4.3: codings, charsets and bodies that are too large or too slow."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
import zlib

import pytest
import support
from faults_support import WAYS, Fault, check
from http_support import answers, chunked, get, raw, response

SHORT = {"error": "ClientPayloadError", "reading": True, "reused": True}
TEXT = b"".join(b"line %d\n" % n for n in range(300))
PACKED = gzip.compress(TEXT)


def coded(packed: bytes, coding: str = "gzip", **outcome) -> Fault:
    return Fault(response(packed, Content_Encoding=coding), **outcome)


def in_chunks(packed: bytes, coding: str = "gzip", **outcome) -> Fault:
    data = response(
        chunked(*(packed[n : n + 100] for n in range(0, len(packed), 100))),
        length=False,
        Transfer_Encoding="chunked",
        Content_Encoding=coding,
    )
    return Fault(data, **outcome)


def layers(number: int) -> bytes:
    data = TEXT
    for _ in range(number):
        data = gzip.compress(data)
    return data


ROWS = {
    "gzip": coded(PACKED, body=TEXT, reused=True),
    "gzip in chunks": in_chunks(PACKED, body=TEXT, reused=True),
    "deflate": coded(zlib.compress(TEXT), "deflate", body=TEXT, reused=True),
    "row 37: two layers": coded(layers(2), "gzip, gzip", body=TEXT, oracle=False),
    "row 37: five layers": coded(layers(5), ", ".join(["gzip"] * 5), body=TEXT, oracle=False),
    "row 37: six layers": coded(layers(6), ", ".join(["gzip"] * 6), oracle=False, **SHORT),
    "row 37: a thousand layers": coded(PACKED, ", ".join(["gzip"] * 1000), oracle=False, **SHORT),
    "row 38: two members": coded(gzip.compress(TEXT) + gzip.compress(b"more"), body=TEXT + b"more"),
    "row 38: 1000 empty members": coded(gzip.compress(b"") * 1000 + PACKED, body=TEXT),
    "row 38: 20,000 empty members": coded(gzip.compress(b"") * 20_000, oracle=False, **SHORT),
    "row 40: cut": coded(PACKED[:-10], oracle=False, **SHORT),
    "row 40: cut, in chunks": in_chunks(PACKED[:-10], oracle=False, **SHORT),
    "row 40: plain text": coded(b"this is no gzip", **SHORT),
    "row 40: plain text as deflate": coded(b"\xff\xffthis is no deflate", "deflate", **SHORT),
    "row 40: a wrong sum": coded(PACKED[:-8] + b"\0" * 8, **SHORT),
    "row 40: cut by the connection": Fault(
        response(PACKED, Content_Encoding="gzip")[:-10],
        close=True,
        error="ClientPayloadError",
        reading=True,
    ),
    "row 41: 204": Fault(
        b"HTTP/1.1 204 No\r\nContent-Encoding: gzip\r\n\r\n", status=204, body=b"", reused=True
    ),
    "row 41: HEAD": Fault(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 500\r\n\r\n",
        method="HEAD",
        body=b"",
        reused=True,
    ),
    "row 41: no bytes": coded(b"", body=b"", reused=True),
    "row 42: unknown": coded(b"as it is", "lzma-like", body=b"as it is", reused=True),
    "row 42: an empty coding": coded(b"as it is", "", body=b"as it is", reused=True),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ROWS)
def test_rows(client, name, way):
    check(client, ROWS[name], way)


# -- rows 36, 39, 46: memory ----------------------------------------------------------------------

SCRIPT = """
import asyncio, json, sys
from importlib import import_module

client, url, what = sys.argv[1:4]
http = import_module({"aiohttp": "aiohttp", "uvolt": "uvolt.http"}[client])

def peak():
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

async def main():
    async with http.ClientSession() as session:
        async with session.get(url + "/small") as response:
            await response.read()
        before = peak()
        if what == "redirect":
            async with session.get(url + "/redirect") as response:
                assert await response.read() == b"small", response
        elif what == "released":
            async with session.get(url + "/bomb") as response:
                assert await response.content.read(10) == b"\\\\0" * 10
        else:
            size = 0
            async with session.get(url + "/bomb") as response:
                async for part in response.content.iter_chunked(65536):
                    size += len(part)
                    if size > 50 << 20:
                        break
        print(json.dumps(peak() - before))

asyncio.set_event_loop(loop := new_loop())
loop.run_until_complete(main())
loop.close()
"""


@pytest.mark.once
@pytest.mark.skipif(support.SANITIZED, reason="a sanitizer keeps what was freed")
@pytest.mark.parametrize("what", ["row 36: pieces", "row 36: released", "row 39: redirect"])
def test_memory_of_a_bomb(client, what):
    """200 MiB in 200 KiB. Read in pieces, left after ten bytes, as the body of a redirect."""
    compress = zlib.compressobj(wbits=31)
    bomb = b"".join([compress.compress(bytes(1 << 20)) for _ in range(200)]) + compress.flush()

    async def script(peer):
        while True:
            asked = await peer.request()
            if asked.target == "/small":
                peer.send(response(b"small"))
            elif asked.target == "/bomb":
                peer.send(response(bomb, Content_Encoding="gzip"))
            else:
                peer.send(response(bomb, "302 Moved", Content_Encoding="gzip", Location="/small"))

    async def main():
        async with raw(script) as server:
            source = support.factory_code(client.loop_name) + SCRIPT.replace("\\\\", "\\")
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", source, client.name, server.url, what.split()[-1]),
                stdout=subprocess.PIPE,
            )
            out, _ = await child.communicate()
            assert child.returncode == 0
            return json.loads(out)

    grown = asyncio.run(asyncio.wait_for(main(), 50 * support.SLOW))
    assert grown < (12 << 20 if client.ours else 64 << 20)


def test_row_46_a_body_without_end(client):
    """Reading pauses: what is held of it stays within some buffers."""
    sent = 0

    async def script(peer):
        nonlocal sent
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await peer.send_slowly(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent += 65536

    async def main():
        async with raw(script) as server, client.session() as http:
            async with http.get(server.url) as answer:
                await answer.content.readexactly(1 << 20)
                last = -1
                while sent != last:
                    last = sent
                    await asyncio.sleep(0.05)
                assert sent < 16 << 20
            await server.closed_by_client()

    client.run(main)


def test_row_36_read_with_a_bound(client):
    """read(n) gives no more than n, however much one byte of the body makes."""
    bomb = gzip.compress(bytes(20 << 20))

    async def main():
        async with raw(answers(response(bomb, Content_Encoding="gzip"))) as server:
            async with client.session() as http, http.get(server.url) as answer:
                for size in (1, 10, 1000, 100_000):
                    assert 0 < len(await answer.content.read(size)) <= size
                rest = await answer.content.read()
                assert len(rest) > 19 << 20 and not any(rest[:1000])

    client.run(main)


@pytest.mark.once
@pytest.mark.parametrize("number", [100, 20_000])
def test_row_38_members_in_linear_time(client, number):
    """Ours counts the empty ones only."""
    if not client.ours and number > 1000:
        return
    data = gzip.compress(b"x") * number

    async def main():
        async with raw(answers(response(data, Content_Encoding="gzip"))) as server:
            async with client.session() as http:
                assert await get(http, server.url) == b"x" * number

    client.run(main, 20)


@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_codings_that_are_asked_for_are_undone(client, coding):
    """What Accept-Encoding names the client decodes."""

    async def main():
        asked = None
        async with raw(answers(response(b"not really", Content_Encoding=coding))) as server:
            async with client.session() as http:
                try:
                    got = await get(http, server.url)
                except client.http.ClientPayloadError:
                    got = None
                asked = server.asked[0].headers["accept-encoding"].replace(" ", "").split(",")
        if coding in asked:
            assert got is None  # it tried
        elif client.ours:
            assert got == b"not really"

    client.run(main)
