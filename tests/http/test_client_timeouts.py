"""Timeouts of every kind, and that none of them leaves anything behind."""

from __future__ import annotations

import asyncio
import io
import time

import pytest
import support
from http_support import OK, black_hole, get, raw, silent
from servers import Certificates

SHORT = 0.1  # seconds


async def timed_out(client, http, url, timeout, error, **request):
    started = time.monotonic()
    with pytest.raises(asyncio.TimeoutError) as caught:
        await get(http, url, timeout=timeout, **request)
    assert SHORT * 0.8 <= time.monotonic() - started < 2 * support.SLOW
    assert not error or isinstance(caught.value, getattr(client.http, error))
    return caught.value


@pytest.mark.parametrize("form", ["ClientTimeout", "seconds", "session"])
def test_total(client, form):
    async def main():
        total = client.http.ClientTimeout(total=SHORT)
        session = {"timeout": total} if form == "session" else {}
        async with raw(silent) as server, client.session(**session) as http:
            request = {"ClientTimeout": {"timeout": total}, "seconds": {"timeout": SHORT}}
            with pytest.raises(asyncio.TimeoutError) as caught:
                await get(http, server.url, **request.get(form, {}))
            assert not isinstance(caught.value, client.http.ServerTimeoutError) or client.ours
            await server.closed_by_client()
            server.script = OK
            assert await get(http, server.url) == b"ok"

    client.run(main)


def test_total_that_ended_while_a_callback_ran(client):
    """Nothing else is going to happen: the loop must not sleep over it."""

    async def main():
        async with raw(silent) as server, client.session() as http:
            timeout = client.http.ClientTimeout(total=SHORT)
            request = asyncio.ensure_future(get(http, server.url, timeout=timeout))
            await support.until(lambda: server.peers)
            await support.settle()
            time.sleep(2 * SHORT)
            ended = time.monotonic()
            with pytest.raises(asyncio.TimeoutError):
                await request
            assert time.monotonic() - ended < support.SLOW

    client.run(main)


def test_total_is_of_the_body_too(client):
    async def script(peer):
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await peer.send_slowly(b"x")
            await asyncio.sleep(0.02)

    async def main():
        async with raw(script) as server, client.session() as http:
            timeout = client.http.ClientTimeout(total=SHORT)
            async with http.get(server.url, timeout=timeout) as answer:
                with pytest.raises(asyncio.TimeoutError):
                    await answer.read()
            await server.closed_by_client()

    client.run(main)


def test_total_is_of_the_wait_for_a_connection_too(client):
    async def main():
        async with raw(silent) as server:
            connector = client.http.TCPConnector(limit=1)
            async with client.session(connector=connector) as http:
                first = asyncio.ensure_future(get(http, server.url))
                await support.until(lambda: server.asked)
                timeout = client.http.ClientTimeout(total=SHORT)
                await timed_out(client, http, server.url, timeout, "")
                first.cancel()
                await asyncio.wait([first])
                server.script = OK
                assert await get(http, server.url) == b"ok"

    client.run(main)


def test_connect_is_of_the_wait_for_a_connection_too(client):
    async def main():
        async with raw(silent) as server:
            connector = client.http.TCPConnector(limit=1)
            async with client.session(connector=connector) as http:
                first = asyncio.ensure_future(get(http, server.url))
                await support.until(lambda: server.asked)
                timeout = client.http.ClientTimeout(connect=SHORT)
                await timed_out(client, http, server.url, timeout, "ConnectionTimeoutError")
                first.cancel()
                await asyncio.wait([first])
                server.script = OK
                assert await get(http, server.url) == b"ok"

    client.run(main)


@pytest.mark.parametrize("name", ["connect", "sock_connect"])
def test_row_69_connecting_takes_too_long(client, name):
    async def main():
        timeout = client.http.ClientTimeout(**{name: SHORT})
        with black_hole() as port:
            async with client.session() as http:
                url = f"http://127.0.0.1:{port}/"
                error = await timed_out(client, http, url, timeout, "ConnectionTimeoutError")
            assert isinstance(error, client.http.ServerTimeoutError)
            assert url in str(error)

    client.run(main)


def test_row_48_a_handshake_that_takes_too_long(client, certificates: Certificates):
    async def script(peer):
        await asyncio.sleep(30)

    async def main():
        async with raw(script) as server, client.session() as http:
            timeout = client.http.ClientTimeout(sock_connect=SHORT)
            url = server.url.replace("http", "https")
            await timed_out(
                client, http, url, timeout, "ConnectionTimeoutError", ssl=certificates.client()
            )
            await server.closed_by_client()

    client.run(main)


def test_row_45_sock_read_before_the_head(client):
    async def main():
        async with raw(silent) as server, client.session() as http:
            timeout = client.http.ClientTimeout(sock_read=SHORT)
            error = await timed_out(client, http, server.url, timeout, "SocketTimeoutError")
            assert isinstance(error, client.http.ServerTimeoutError)
            assert isinstance(error, client.http.ClientConnectionError)
            await server.closed_by_client()

    client.run(main)


def test_row_45_sock_read_in_the_body(client):
    async def script(peer):
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(25):
            await peer.send_slowly(b"x")
            await asyncio.sleep(0.05)  # each byte begins the time anew
        await peer.gone()

    async def main():
        async with raw(script) as server, client.session() as http:
            timeout = client.http.ClientTimeout(sock_read=1)
            async with http.get(server.url, timeout=timeout) as answer:
                assert await answer.content.readexactly(25) == b"x" * 25
                with pytest.raises(client.http.SocketTimeoutError):
                    await answer.read()
            await server.closed_by_client()

    client.run(main)


def test_row_45_a_byte_at_a_time_is_ended_by_total(client):
    async def script(peer):
        await peer.request()
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000:
            await peer.send_slowly(bytes([byte]))
            await asyncio.sleep(0.01)

    async def main():
        async with raw(script) as server, client.session() as http:
            timeout = client.http.ClientTimeout(sock_read=0.2, total=0.4)
            started = time.monotonic()
            with pytest.raises(asyncio.TimeoutError):
                await get(http, server.url, timeout=timeout)
            assert 0.3 < time.monotonic() - started < 2 * support.SLOW

    client.run(main)


def test_sock_read_does_not_run_on_an_idle_connection(client):
    async def main():
        async with raw(OK) as server, client.session() as http:
            timeout = client.http.ClientTimeout(sock_read=0.05)
            await get(http, server.url, timeout=timeout)
            await asyncio.sleep(0.15)
            await get(http, server.url, timeout=timeout)
            assert len(server.peers) == 1

    client.run(main)


def test_sock_read_does_not_run_during_an_upload(client):
    """Ours: it begins when the request is out. aiohttp's runs, and ends the request."""
    if not client.ours:
        return

    async def produce():
        for _ in range(6):
            yield b"part"
            await asyncio.sleep(0.05)

    async def main():
        async with raw(OK) as server, client.session() as http:
            timeout = client.http.ClientTimeout(sock_read=0.15)
            async with http.post(server.url, data=produce(), timeout=timeout) as answer:
                assert await answer.read() == b"ok"

    client.run(main)


def test_a_pool_timeout(client):
    """Ours alone: of the wait for a connection that is free."""
    if not client.ours:
        return

    async def main():
        async with raw(silent) as server:
            connector = client.http.TCPConnector(limit=1)
            async with client.session(connector=connector) as http:
                first = asyncio.ensure_future(get(http, server.url))
                await support.until(lambda: server.asked)
                timeout = client.http.ClientTimeout(pool=SHORT)
                await timed_out(client, http, server.url, timeout, "ConnectionTimeoutError")
                first.cancel()
                await asyncio.wait([first])
                server.script = OK
                assert await get(http, server.url, timeout=timeout) == b"ok"

    client.run(main)


def test_a_write_timeout(client):
    """Ours alone: of a body that the server does not take."""
    if not client.ours:
        return

    async def script(peer):
        await peer.request(body=False)
        peer.transport.pause_reading()
        await asyncio.sleep(30)

    async def main():
        async with raw(script) as server, client.session() as http:
            timeout = client.http.ClientTimeout(write=SHORT)
            for data in (b"x" * (32 << 20), io.BytesIO(b"x" * (32 << 20))):
                with pytest.raises(asyncio.TimeoutError):
                    async with http.post(server.url, data=data, timeout=timeout):
                        pass
            for peer in server.peers:
                peer.transport.resume_reading()
            # What the kernel has taken it still sends, after a pause of seconds where it had found
            # no window before.
            await server.closed_by_client(20)

    client.run(main)


def test_no_timeout(client):
    async def main():
        async with raw(OK) as server, client.session() as http:
            assert await get(http, server.url, timeout=None) == b"ok"
            nothing = client.http.ClientTimeout(total=0)
            assert await get(http, server.url, timeout=nothing) == b"ok"

    client.run(main)


def test_a_timeout_in_a_task_is_not_a_cancellation(client):
    async def main():
        async with raw(silent) as server, client.session() as http:
            task = asyncio.ensure_future(get(http, server.url, timeout=SHORT))
            done, _ = await asyncio.wait([task])
            assert not task.cancelled()
            assert isinstance(task.exception(), asyncio.TimeoutError)

    client.run(main)


def test_100_timeouts_at_a_time(client):
    async def main():
        async with raw(silent) as server:
            connector = client.http.TCPConnector(limit=10)
            async with client.session(connector=connector) as http:
                tasks = [get(http, server.url, timeout=SHORT) for _ in range(100)]
                got = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(g, asyncio.TimeoutError) for g in got)
                server.script = OK
                assert await get(http, server.url) == b"ok"

    client.run(main)


def test_a_timeout_of_another_kind(client):
    async def main():
        async with raw(OK) as server, client.session() as http:
            with pytest.raises((TypeError, ValueError, AttributeError)):
                await http.get(server.url, timeout="soon")

    client.run(main)
