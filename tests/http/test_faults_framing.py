"""Bad servers, section 4.2: where a body ends, and whether its connection may be used again."""

from __future__ import annotations

import asyncio
import time

import pytest
import support
from faults_support import GOOD, WAYS, Fault, check
from http_support import answers, chunked, get, raw, response

BAD = {"status": 400, "error": "ClientResponseError"}
SHORT = {"error": "ClientPayloadError", "reading": True}
# aiohttp's get() raises ClientResponseError if the bad chunk came with the head, and some it takes.
BROKEN = {**SHORT, "oracle": False}
OURS = {"oracle": False}


def head(*lines: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"\r\n"])


def length(value: bytes, **outcome) -> Fault:
    return Fault(head(b"Content-Length: " + value) + b"ok", **outcome)


CHUNKED = head(b"Transfer-Encoding: chunked")


def coding(value: bytes, body: bytes = chunked(b"ok"), **outcome) -> Fault:
    return Fault(head(b"Transfer-Encoding: " + value) + body, **outcome)


def chunks(data: bytes, **outcome) -> Fault:
    """Split at every position of the chunks too."""
    return Fault(CHUNKED + data, split=data, **outcome)


ROWS = {
    "row 16: -1": length(b"-1", **BAD),
    "row 16: +5": length(b"+5", **BAD),
    "row 16: 1_0": length(b"1_0", **BAD),
    "row 16: abc": length(b"abc", **BAD),
    "row 16: 0x2": length(b"0x2", **BAD),
    "row 16: 2.0": length(b"2.0", **BAD),
    "row 16: 2 2": length(b"2 2", **BAD),
    "row 16: empty": length(b"", **BAD),
    "row 16: 30 digits": length(b"9" * 30, **BAD),
    "row 16: 2 to the 64th": length(b"18446744073709551616", **BAD),
    "row 16: digits of another script": length("٢".encode(), **BAD),
    "row 16: spaces around": length(b"  2  ", body=b"ok", reused=True),
    "row 16: zeros before": length(b"0002", body=b"ok", reused=True),
    "row 17: twice the same": Fault(
        head(b"Content-Length: 2", b"Content-Length: 2") + b"ok", **BAD
    ),
    "row 17: two lengths": Fault(head(b"Content-Length: 2", b"Content-Length: 3") + b"ok", **BAD),
    "row 17: in one line": length(b"2, 3", **BAD),
    "row 18: both framings": Fault(
        head(b"Content-Length: 2", b"Transfer-Encoding: chunked") + chunked(b"ok"), **BAD
    ),
    "row 18: both framings, turned": Fault(
        head(b"Transfer-Encoding: chunked", b"Content-Length: 2") + chunked(b"ok"), **BAD
    ),
    "row 19: CHUNKED": coding(b"CHUNKED", body=chunked(b"ok")),
    "row 19: chunked twice": coding(b"chunked, chunked", **BAD, **OURS),
    "row 19: chunked twice, in two lines": Fault(
        head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + chunked(b"ok"),
        **BAD,
        **OURS,
    ),
    "row 19: chunked is not the last": coding(
        b"chunked, gzip", close=True, reused=False, **OURS
    ),  # until the end, RFC 9112, 6.3
    "row 20: 0x5": chunks(b"0x5\r\nhello\r\n0\r\n\r\n", **BROKEN),
    "row 20: +5": chunks(b"+5\r\nhello\r\n0\r\n\r\n", **BROKEN),
    "row 20: -5": chunks(b"-5\r\nhello\r\n0\r\n\r\n", **BROKEN),
    "row 20: 0_5": chunks(b"0_5\r\nhello\r\n0\r\n\r\n", **BROKEN),
    "row 20: a space after it": chunks(b"5 \r\nhello\r\n0\r\n\r\n", body=b"hello"),
    "row 20: a space before it": chunks(b" 5\r\nhello\r\n0\r\n\r\n", **BROKEN),
    "row 20: none": chunks(b"\r\nhello\r\n0\r\n\r\n", **BROKEN),
    "row 20: letters": chunks(b"xyz\r\nhello\r\n0\r\n\r\n", **BROKEN),
    "row 20: capitals": chunks(b"A\r\n0123456789\r\n0\r\n\r\n", body=b"0123456789", reused=True),
    "row 20: zeros before": chunks(b"0005\r\nhello\r\n000\r\n\r\n", body=b"hello", reused=True),
    "row 21: more than 64 bits": chunks(b"10000000000000002\r\nok\r\n0\r\n\r\n", **BROKEN),
    "row 21: all of 64 bits": chunks(b"fffffffffffffffff\r\nok\r\n0\r\n\r\n", **BROKEN),
    "row 22: a long line": Fault(
        CHUNKED + b"5;" + b"x" * 9000 + b"\r\nhello\r\n0\r\n\r\n", **BROKEN
    ),
    "row 22: a long size": Fault(CHUNKED + b"0" * 9000 + b"5\r\nhello\r\n0\r\n\r\n", **BROKEN),
    "row 23: an extension": chunks(b"5;a=b\r\nhello\r\n0;c\r\n\r\n", body=b"hello", reused=True),
    "row 23: a line end in an extension": chunks(b"5;a\nX\r\nhello\r\n0\r\n\r\n", **BROKEN),
    "row 23: a carriage return in an extension": chunks(b"5;a\rX\r\nhello\r\n0\r\n\r\n", **BROKEN),
    "row 25: no line end": chunks(b"5\r\nhelloXX0\r\n\r\n", **BROKEN),
    "row 25: too much": chunks(b"5\r\nhello!\r\n0\r\n\r\n", **BROKEN),
    "row 25: too little": chunks(b"5\r\nhel\r\n0\r\n\r\n", **BROKEN),
    "row 26: in a chunk": chunks(b"5\r\nhel", close=True, **SHORT),
    "row 26: in a size": chunks(b"5", close=True, **SHORT),
    "row 26: after a chunk": chunks(b"5\r\nhello\r\n", close=True, **SHORT),
    "row 26: before the last line": chunks(b"5\r\nhello\r\n0\r\n", close=True, **SHORT),
    "row 26: at once": chunks(b"", close=True, **SHORT),
    "row 27: nothing of it": length(b"5000", close=True, match="not completed", **SHORT),
    "row 27: one byte short": length(b"3", close=True, match="not completed", **SHORT),
    "row 28: nothing": Fault(b"", close=True, error="ServerDisconnectedError", method="POST"),
    "row 28: half a head": Fault(
        b"HTTP/1.1 200 OK\r\nX-A: b\r\n", close=True, error="ServerDisconnectedError", method="POST"
    ),
    "row 30: trailers": chunks(
        b"2\r\nok\r\n0\r\nX-A: b\r\nX-B: c\r\n\r\n", body=b"ok", reused=True
    ),
    "row 30: a trailer that is too long": Fault(
        CHUNKED + b"2\r\nok\r\n0\r\nX-A: " + b"v" * 9000 + b"\r\n\r\n", **BROKEN
    ),
    "row 30: too many trailers": Fault(
        CHUNKED + b"2\r\nok\r\n0\r\n" + b"X-A: b\r\n" * 300 + b"\r\n", **BROKEN
    ),
    "row 30: trailers without an end": Fault(
        CHUNKED + b"2\r\nok\r\n0\r\n" + b"X-A: b\r\n" * 3000, **BROKEN
    ),
    "row 30: a trailer without a colon": chunks(b"2\r\nok\r\n0\r\nno colon\r\n\r\n", **BROKEN),
    "row 31: 204": Fault(b"HTTP/1.1 204 No\r\n\r\n", status=204, body=b"", reused=True),
    "row 31: 304": Fault(b"HTTP/1.1 304 No\r\n\r\n", status=304, body=b"", reused=True),
    "row 31: 304 with a length": Fault(
        b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", status=304, body=b"", reused=True
    ),
    "row 31: 204 with a body": Fault(
        b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nok",
        status=204,
        body=b"",
        reused=False,
        extra=2,
        **OURS,
    ),
    "row 31: 304 with a body": Fault(
        b"HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\nok",
        status=304,
        body=b"",
        reused=False,
        extra=2,
        **OURS,
    ),
    "row 31: HEAD": Fault(head(b"Content-Length: 5000"), method="HEAD", body=b"", reused=True),
    "row 31: HEAD of chunks": Fault(CHUNKED, method="HEAD", body=b"", reused=True),
    "row 31: HEAD with a body": Fault(
        head(b"Content-Length: 2") + b"ok", method="HEAD", body=b"", reused=False, extra=2, **OURS
    ),
    "row 32: a second response": Fault(
        response(b"ok") + response(b"BAD"),
        body=b"ok",
        reused=False,
        extra=len(response(b"BAD")),
        **OURS,
    ),
    "row 32: a second response, chunked": Fault(
        CHUNKED + chunked(b"ok") + response(b"BAD"),
        body=b"ok",
        reused=False,
        extra=len(response(b"BAD")),
        **OURS,
    ),
    "row 32: a byte too many": Fault(
        response(b"ok") + b"!", body=b"ok", reused=False, extra=1, **OURS
    ),
    "row 32: a line end too many": Fault(response(b"ok") + b"\r\n", body=b"ok"),
    "until the end": Fault(
        b"HTTP/1.1 200 OK\r\n\r\nthe end", body=b"the end", close=True, reused=False
    ),
    "until the end, nothing": Fault(head(), body=b"", close=True, reused=False),
    "until the end, HTTP/1.0": Fault(
        b"HTTP/1.0 200 OK\r\n\r\nthe end", body=b"the end", close=True, reused=False
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ROWS)
def test_rows(client, name, way):
    check(client, ROWS[name], way)


# -- row 13: interim responses --------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 3, 8])
def test_row_13_some_interim_responses(client, number):
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    data = (hint * (number - 1)) + b"HTTP/1.1 102 Processing\r\n\r\n" + GOOD
    check(client, Fault(data, body=b"good", reused=True), "whole")
    check(client, Fault(data, body=b"good", reused=True), "bytes")


def test_row_13_interim_responses_without_end(client):
    """Ours: not more than 8. aiohttp counts none."""
    if not client.ours:
        return
    data = b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + GOOD
    for way in WAYS:
        check(
            client, Fault(data, split=GOOD, **{"error": "ClientResponseError", "status": 400}), way
        )

    async def script(peer):
        await peer.request()
        while True:
            await peer.send_slowly(b"HTTP/1.1 100 Continue\r\n\r\n" * 10)
            await asyncio.sleep(0)

    async def main():
        async with raw(script) as server, client.session() as http:
            with pytest.raises(client.http.ClientResponseError):
                await http.get(server.url)
            await server.closed_by_client()

    client.run(main)


# -- rows 22 to 24: what costs time ---------------------------------------------------------------


def test_row_22_a_chunk_line_of_a_megabyte(client):
    fault = Fault(CHUNKED + b"5;" + b"x" * (1 << 20), **BROKEN)
    check(client, fault, "whole")


def test_row_23_large_extensions_on_small_chunks(client):
    """Ours: the overhead is bounded. aiohttp bounds each line only."""
    data = CHUNKED + (b"1;" + b"x" * 4000 + b"\r\ny\r\n") * 300 + b"0\r\n\r\n"
    if client.ours:
        check(client, Fault(data, **SHORT), "whole")
    else:
        check(client, Fault(data, body=b"y" * 300), "whole")


def test_row_24_a_million_small_chunks(client):
    """Time in proportion, and not much of it."""

    def seconds(number):
        data = CHUNKED + b"1\r\nx\r\n" * number + b"0\r\n\r\n"

        async def main():
            async with raw(answers(data)) as server, client.session() as http:
                started = time.process_time()
                assert len(await get(http, server.url)) == number
                return time.process_time() - started

        return client.run(main, 50)

    small = max(seconds(20_000), 0.002)
    large = seconds(200_000 if not client.ours else 1_000_000)
    assert large < small * (10 if not client.ours else 50) * 8


# -- row 29: resets -------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [head(b"Content-Length: 100"), CHUNKED, head()])
def test_row_29_a_reset_in_the_body(client, data):
    """The cause says that it was a reset; with aiohttp it may say that bytes are missing."""
    if not client.ours and data == head():
        return  # taken for the end of the body

    async def script(peer):
        await peer.request()
        peer.send(data)
        await support.settle(10)
        peer.reset()

    async def main():
        async with raw(script) as server, client.session() as http:
            answer = await http.get(server.url)
            with pytest.raises(client.http.ClientPayloadError) as caught:
                await answer.read()
            cause = caught.value.__cause__
            if client.ours:
                assert isinstance(cause, client.http.ClientOSError | ConnectionResetError), cause
            server.script = answers(GOOD)
            assert await get(http, server.url) == b"good"

    client.run(main)


def test_row_28_a_reset_before_the_head(client):
    async def script(peer):
        await peer.request()
        await support.settle(10)
        peer.reset()

    async def main():
        async with raw(script) as server, client.session() as http:
            with pytest.raises(client.http.ClientOSError) as caught:
                await http.post(server.url)
            assert caught.value.errno == 104
            assert len(server.peers) == 1

    client.run(main)


# -- rows 31 to 35: connections that are used again -----------------------------------------------


@pytest.mark.parametrize("extra", [GOOD, b"!", b"\r\n", b"HTTP/1.1 408 Timeout\r\n\r\n"])
def test_row_32_bytes_on_an_idle_connection(client, extra):
    """They never answer the next request; with aiohttp they may."""
    if not client.ours:
        return

    async def script(peer):
        await peer.request()
        peer.send(response(b"first"))
        if peer.number == 0:
            await support.settle(6)
            peer.send(extra)
        await peer.request()
        peer.send(response(b"second"))

    async def main():
        async with raw(script) as server, client.session() as http:
            assert await get(http, server.url) == b"first"
            await support.settle(20)
            assert await get(http, server.url) == b"first"  # of another connection
            assert len(server.peers) == 2

    client.run(main)


def test_row_32_bytes_that_come_as_the_next_request_goes(client):
    """Ours: looked at once more before it is used. aiohttp learns of it a turn too late."""
    if not client.ours:
        return

    async def script(peer):
        await peer.request()
        peer.send(response(b"first"))
        if peer.number == 0:
            await peer.gone()
        await peer.request()

    async def main():
        async with raw(script) as server, client.session() as http:
            assert await get(http, server.url) == b"first"
            await support.settle(4)
            # Behind the loop's back: the client has had no turn to see it.
            server.peers[0].transport.get_extra_info("socket")
            server.peers[0].send(GOOD)
            assert await get(http, server.url) == b"first"
            assert len(server.peers) == 2

    client.run(main)


def test_row_33_a_response_before_the_body_is_sent(client):
    """It is delivered, the upload stops, the connection is not used again."""
    produced = 0

    async def produce():
        nonlocal produced
        for _ in range(10_000):
            produced += 1
            yield b"x" * 1000
            await asyncio.sleep(0)

    async def script(peer):
        await peer.request(body=False)
        peer.send(response(b"enough", "413 Too Large"))
        await peer.gone()

    async def main():
        async with raw(script) as server, client.session() as http:
            async with http.post(server.url, data=produce()) as answer:
                assert (answer.status, await answer.read()) == (413, b"enough")
            await server.closed_by_client()
            assert produced < 10_000
            server.script = answers(GOOD)
            assert await get(http, server.url) == b"good"

    client.run(main)


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"])
def test_row_34_closed_as_we_send(client, how, method):
    """Once more on a new connection, if the method is idempotent and the body can be sent again."""

    async def script(peer):
        while True:
            await peer.request()
            if peer.number == 0 and len(peer.server.asked) == 2:
                getattr(peer, how)()
                return
            peer.send(response(b"") if method == "HEAD" else GOOD)

    async def main():
        async with raw(script) as server, client.session() as http:
            body = {"data": b"again"} if method in ("PUT", "POST") else {}
            await (await http.request(method, server.url, **body)).read()
            assert len(server.peers) == 1
            if method in ("POST", "PATCH"):
                with pytest.raises(
                    (client.http.ServerDisconnectedError, client.http.ClientOSError)
                ):
                    await http.request(method, server.url, **body)
                assert len(server.asked) == 2
            else:
                async with http.request(method, server.url, **body) as answer:
                    assert answer.status == 200
                assert len(server.asked) == 3 and len(server.peers) == 2
                assert server.asked[2].body == server.asked[0].body

    client.run(main)


def test_row_34_not_when_bytes_have_come(client):
    """Half a head is a response: not asked again."""

    async def script(peer):
        while True:
            await peer.request()
            if len(peer.server.asked) > 1:
                peer.send(b"HTTP/1.1 200 OK\r\n")
                await support.settle(6)
                return
            peer.send(GOOD)

    async def main():
        async with raw(script) as server, client.session() as http:
            await get(http, server.url)
            with pytest.raises(client.http.ServerDisconnectedError):
                await get(http, server.url)
            if client.ours:  # aiohttp asks again
                assert len(server.asked) == 2

    client.run(main)


def test_row_34_not_on_a_new_connection(client):
    """aiohttp asks again there too."""

    async def script(peer):
        await peer.request()

    async def main():
        async with raw(script) as server, client.session() as http:
            with pytest.raises(client.http.ServerDisconnectedError):
                await get(http, server.url)
            assert len(server.asked) == (1 if client.ours else 2)

    client.run(main)


def test_row_34_not_a_body_that_is_used_up(client):
    async def produce():
        yield b"once"

    async def script(peer):
        while True:
            await peer.request()
            if len(peer.server.asked) > 1:
                return
            peer.send(GOOD)

    async def main():
        async with raw(script) as server, client.session() as http:
            await get(http, server.url)
            with pytest.raises(client.http.ClientError):
                await http.put(server.url, data=produce())
            assert len(server.asked) == 2

    client.run(main)


def test_row_35_closed_at_once_after_a_response(client):
    """The end is noticed before the connection is used again."""

    async def script(peer):
        await peer.request()
        peer.send(GOOD)

    async def main():
        async with raw(script) as server, client.session() as http:
            for n in range(20):
                async with http.post(server.url, data=b"not to be repeated") as answer:
                    assert await answer.read() == b"good"
                await support.settle(n % 5 + 2 if client.ours else 8)
            assert len(server.asked) == 20

    client.run(main)


def test_row_66_slow_peers(client):
    """200 connections whose heads come byte by byte, and one request that goes on beside them."""

    async def script(peer):
        asked = await peer.request()
        if asked.target == "/fast":
            peer.send(GOOD)
            return
        for byte in b"HTTP/1.1 200 OK\r\n":
            await peer.send_slowly(bytes([byte]))
            await asyncio.sleep(0.01)
        peer.send(b"Content-Length: 0\r\n\r\n")
        await peer.gone()

    async def main():
        async with raw(script) as server:
            connector = client.http.TCPConnector(limit=0)
            async with client.session(connector=connector) as http:
                slow = [asyncio.ensure_future(get(http, server.url)) for _ in range(200)]
                await asyncio.sleep(0.05)
                assert await get(http, server.url + "/fast") == b"good"
                assert await asyncio.gather(*slow) == [b""] * 200

    client.run(main)
