"""Bad proxies, proxies that are not there, and what stops on the way (faults.md row 71)."""

from __future__ import annotations

import asyncio
import re
import socket
import sys

import pytest
import support
from http_support import answers, black_hole, raw, response
from proxy_support import proxy, says

# aiohttp 3.14 warns of proxy_auth=; it stays here.
pytestmark = pytest.mark.filterwarnings("ignore:The 'proxy_auth' parameter:DeprecationWarning")

OK = answers(response(b"ok"))
URL = "https://origin.invalid/x"


async def get(http, url, **request):
    async with http.get(url, **request) as answer:
        return await answer.read()


def asked(client, answer, error, *, url=URL, scheme="http", **request):
    """A request by a proxy that answers so fails so, and no connection stays open."""

    async def main():
        async with proxy(scheme, answer=answer) as by, client.session() as http:
            with pytest.raises(getattr(client.http, error)) as caught:
                await http.get(url, proxy=by.url, **request)
            await by.gone()
            assert not http.connector._pool.connections if client.ours else True
            return caught.value

    return client.run(main)


# -- row 71: answers to CONNECT -------------------------------------------------------------------

REFUSED = {
    "407": (
        b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n"
        b"Content-Length: 4\r\n\r\nwho?",
        407,
        "Proxy Authentication Required",
    ),
    "403": (b"HTTP/1.0 403 Filtered\r\nConnection: close\r\n\r\n<html>", 403, "Filtered"),
    "no reason": (b"HTTP/1.1 503\r\nA: b\r\n\r\n", 503, ""),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: http://evil.invalid/\r\n\r\n", 302, "Found"),
    "created": (b"HTTP/1.1 201 Created\r\n\r\n", 201, "Created"),
    "after continue": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 Bad\r\n\r\n", 502, "Bad"),
    "endless": (b"HTTP/1.1 404 Not Found\r\n\r\n" + b"x" * 100_000, 404, "Not Found"),
}


@pytest.mark.parametrize("close", [True, False])
@pytest.mark.parametrize("name", REFUSED)
def test_row_71_connect_is_refused(client, name, close):
    data, status, message = REFUSED[name]
    error = asked(client, says(data, close=close), "ClientHttpProxyError")
    assert (error.status, error.message) == (status, message)
    assert error.request_info.method == "CONNECT"
    assert str(error.request_info.url) == URL
    assert str(error.request_info.real_url).startswith("http://127.0.0.1:")
    assert error.history == ()
    if name == "407":
        assert error.headers["proxy-authenticate"] == "Basic realm=x"


MALFORMED = {
    "no http": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "http 2": b"HTTP/2.0 200 OK\r\n\r\n",
    "status": b"HTTP/1.1 20 OK\r\n\r\n",
    "status 0": b"HTTP/1.1 000 OK\r\n\r\n",
    "field": b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
    "nul": b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
    "bare cr": b"HTTP/1.1 200 OK\r\nX: a\rY: b\r\n\r\n",
    "bytes behind": b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    "a body": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "another protocol": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
    "huge field": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"X: yyyyyyyyyyyyyyyyyyyy\r\n" * 1000 + b"\r\n",
    "endless field": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000,
    "endless interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_row_71_what_is_no_answer(ours, name):
    """aiohttp has a ClientResponseError, or hands what is behind the head to TLS."""
    error = asked(ours, says(MALFORMED[name], close=False), "ClientHttpProxyError")
    assert error.status == 400
    assert error.message
    assert error.headers is None
    assert isinstance(error, ours.http.ClientResponseError)


def test_row_71_the_limit_is_16_kib(ours):
    head = b"HTTP/1.1 403 No\r\nX: "
    most = head + b"y" * (16 * 1024 - len(head)) + b"\r\n\r\n"
    assert asked(ours, says(most), "ClientHttpProxyError").status == 403
    more = most.replace(b"yy", b"yyy", 1)
    assert asked(ours, says(more), "ClientHttpProxyError").status == 400


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\nX: y\r\n"])
def test_row_71_the_proxy_goes_without_an_answer(client, data):
    asked(client, says(data), "ServerDisconnectedError")


def test_row_71_the_proxy_resets(client):
    async def reset(reader, writer, asked):
        linger = b"\1\0\0\0\0\0\0\0"
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    asked(client, reset, "ClientOSError")


@pytest.mark.parametrize("data", [b"", b"\x15\x03\x03\x00\x02\x02\x28", b"no TLS at all"])
def test_the_tunnel_ends_where_tls_begins(client, data):
    async def answer(reader, writer, asked):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        assert (await reader.read(1)) == b"\x16"
        writer.write(data)

    expected = "ClientConnectorSSLError" if data else "ClientConnectorError"
    error = asked(client, answer, expected)
    assert (error.host, error.port) == ("origin.invalid", 443)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_answers_in_pieces(client, certificates, size):
    async def answer(reader, writer, asked):
        data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\nZ:\r\n\r\n"
        for at in range(0, len(data), size):
            writer.write(data[at : at + size])
            await writer.drain()
            await asyncio.sleep(0)
        host, _, port = asked.target.rpartition(":")
        await by.relay(reader, writer, by.place(host, int(port)), b"")

    by = None

    async def main():
        nonlocal by
        async with raw(OK, ssl=certificates.server()) as server, proxy(answer=answer) as by:
            async with client.session(proxy=by.url) as http:
                assert await get(http, server.url, ssl=certificates.client()) == b"ok"

    client.run(main)


# -- no proxy there -------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["http://origin.invalid/", "https://origin.invalid/"])
def test_nobody_listens(client, url):
    async def main():
        async with client.session() as http:
            place = f"http://{support.LOCALHOST}:1"
            with pytest.raises(client.http.ClientProxyConnectionError) as caught:
                await http.get(url, proxy=place)
            assert (caught.value.host, caught.value.port) == (support.LOCALHOST, 1)
            assert isinstance(caught.value.os_error, ConnectionRefusedError)
            with pytest.raises(client.http.ClientConnectorDNSError) as caught:
                await http.get(url, proxy="http://proxy.invalid:3128")
            assert (caught.value.host, caught.value.port) == ("proxy.invalid", 3128)

    client.run(main)


WRONG = ["127.0.0.1:3128", "localhost:3128", "/path"]


@pytest.mark.parametrize("where", WRONG)
def test_what_is_no_proxy(client, where):
    async def main():
        async with client.session() as http:
            with pytest.raises((client.http.InvalidURL, ValueError)):
                await http.get("http://origin.invalid/", proxy=where)

    client.run(main)


@pytest.mark.parametrize(
    "where",
    [
        "socks4://host:1",
        "ftp://us:secret@host",
        "http://u:secret@h:x/",
        "//host",
        "http://u:secret@]",
    ],
)
def test_no_other_proxies(ours, where):
    async def main():
        async with ours.session() as http:
            with pytest.raises(ours.http.InvalidURL) as caught:
                await http.get("http://origin.invalid/", proxy=where)
            assert "secret" not in str(caught.value) + repr(caught.value)

    ours.run(main)


def test_proxy_auth_of_another_kind(client):
    async def main():
        async with client.session() as http:
            with pytest.raises(ValueError, match=re.escape("BasicAuth() tuple")):
                await http.get(URL, proxy="http://127.0.0.1:1", proxy_auth=("a", "b"))

    client.run(main)


@pytest.mark.parametrize("name", ["X\r\nY", "X Y", ""])
@pytest.mark.parametrize("url", ["http://origin.invalid/", URL])
def test_no_more_lines_for_the_proxy(ours, name, url):
    """Class 2: what is sent to a proxy is checked as what is sent to an origin."""

    async def main():
        async with proxy(answer=says(b"HTTP/1.1 200 OK\r\n\r\n")) as by, ours.session() as http:
            with pytest.raises(ValueError):
                await http.get(URL, proxy=by.url, proxy_headers={name: "y"})
            for value in ("a\r\nb: c", "a\nb", "a\0"):
                with pytest.raises(ValueError):
                    await http.get(URL, proxy=by.url, proxy_headers={"X": value})
                with pytest.raises(ValueError):
                    given = {"Proxy-Authorization": value}
                    await http.get(url, proxy=by.url, proxy_headers=given)
            await by.gone()
            assert by.asked == []

    ours.run(main)


# -- time -----------------------------------------------------------------------------------------

SHORT = 0.05
STAGES = ["http", "socks5h"]


async def silent(reader, writer, asked):
    await reader.read()


@pytest.mark.parametrize("scheme", STAGES)
@pytest.mark.parametrize("name", ["connect", "sock_connect", "total"])
def test_time_is_up_while_the_proxy_thinks(ours, scheme, name):
    timeout = ours.http.ClientTimeout(**{name: SHORT})
    expected = "TimeoutError" if name == "total" else "ConnectionTimeoutError"
    module = asyncio if name == "total" else ours.http

    async def main():
        async with proxy(scheme, answer=silent) as by, ours.session() as http:
            with pytest.raises(getattr(module, expected)) as caught:
                await http.get(URL, proxy=by.url, timeout=timeout)
            if name == "total":
                assert not isinstance(caught.value, ours.http.ClientError)
            await by.gone()
            assert not http.connector._pool.connections

    ours.run(main)


@pytest.mark.parametrize("name", ["connect", "total"])
def test_time_is_up_while_the_proxy_thinks_as_in_aiohttp(client, name):
    timeout = client.http.ClientTimeout(**{name: SHORT})

    async def main():
        async with proxy(answer=silent) as by, client.session() as http:
            with pytest.raises(asyncio.TimeoutError):
                await http.get(URL, proxy=by.url, timeout=timeout)
            await by.gone()

    client.run(main)


@pytest.mark.parametrize("scheme", ["http", "https", "socks5h"])
def test_time_is_up_on_the_way_to_the_proxy(client, scheme):
    if scheme == "socks5h" and not client.ours:
        pytest.skip("aiohttp has no SOCKS")

    async def main():
        with black_hole() as port:
            timeout = client.http.ClientTimeout(sock_connect=SHORT)
            async with client.session(timeout=timeout) as http:
                for url in ("http://origin.invalid/", URL):
                    if scheme == "https" and sys.version_info < (3, 11) and not client.ours:
                        continue
                    with pytest.raises(client.http.ConnectionTimeoutError):
                        await http.get(url, proxy=f"{scheme}://{support.LOCALHOST}:{port}")

    client.run(main)


# -- cancelled at every wait ----------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h"])
@pytest.mark.parametrize("tls", [False, True])
def test_cancelled_at_every_turn(ours, certificates, scheme, tls):
    """After so many turns of the loop the request is cancelled: nothing is left, and the session
    works."""
    proxy_tls = certificates.server() if scheme == "https" else None

    async def main():
        origin = raw(OK, ssl=certificates.server() if tls else None)
        async with origin as server, proxy(scheme, ssl=proxy_tls) as by:
            connector = ours.http.TCPConnector(ssl=certificates.client(), limit=1)
            pool = connector._pool
            async with ours.session(connector=connector, proxy=by.url) as http:
                for turns in range(200):
                    task = asyncio.ensure_future(get(http, server.url))
                    await support.settle(turns)
                    if task.done():
                        break
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                    await support.until(lambda: not by.open or " idle " in str(pool.connections))
                    if pool.connections:  # the whole response had come
                        break
                assert turns > 5
                assert await get(http, server.url) == b"ok"
            await by.gone()
        assert server.errors == []

    ours.run(main, 60)


@pytest.mark.parametrize("scheme", ["http", "https", "socks5h"])
def test_the_connector_closes_meanwhile(ours, certificates, scheme):
    proxy_tls = certificates.server() if scheme == "https" else None

    async def main():
        async with raw(OK, ssl=certificates.server()) as server, proxy(scheme, ssl=proxy_tls) as by:
            for turns in range(3, 60, 3):
                connector = ours.http.TCPConnector(ssl=certificates.client())
                async with ours.session(connector=connector, proxy=by.url) as http:
                    task = asyncio.ensure_future(get(http, server.url))
                    await support.settle(turns)
                    await connector.close()
                    with pytest.raises((ours.http.ClientError, asyncio.CancelledError)):
                        if await task == b"ok":
                            raise asyncio.CancelledError
                await by.gone()

    ours.run(main, 60)
