"""aiohttp's client and server over TLS: requests, streams, websockets, proxies, closing."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os

import aiohttp
import pytest
import support
from aiohttp import web
from servers import run


@contextlib.asynccontextmanager
async def served(certificates, *routes, ssl=True):
    app = web.Application(client_max_size=10_000_000)
    app.add_routes(routes)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    context = certificates.server() if ssl else None
    site = web.TCPSite(runner, support.LOCALHOST, 0, ssl_context=context)
    await site.start()
    try:
        yield f"http{'s' * ssl}://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def session(certificates, **more):
    connector = aiohttp.TCPConnector(ssl=certificates.client(), **more)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session
    await asyncio.sleep(0.01)  # aiohttp's own advice: connections over TLS close in the background


async def echo(request):
    assert request.secure
    return web.Response(body=await request.read())


async def about(request):
    transport = request.transport
    return web.json_response(
        {
            "cipher": transport.get_extra_info("cipher")[0],
            "version": transport.get_extra_info("ssl_object").version(),
        }
    )


async def parts(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for n in range(200):
        await response.write(b"part %d\n" % n)
    await response.write_eof()
    return response


async def endless(request):
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * 65536)
        await asyncio.sleep(0)


async def ws(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            await socket.send_str(message.data.upper())
        else:
            await socket.send_bytes(message.data[::-1])
    return socket


def test_requests(loop, certificates):
    async def main():
        routes = [web.post("/echo", echo), web.get("/about", about), web.get("/parts", parts)]
        async with served(certificates, *routes) as url, session(certificates) as http:
            async with http.get(f"{url}/about") as response:
                answer = await response.json()
                assert answer["version"].startswith("TLSv1.") and answer["cipher"]
            body = os.urandom(5_000_000)
            async with http.post(f"{url}/echo", data=io.BytesIO(body)) as response:
                assert await response.read() == body
            expected = b"".join(b"part %d\n" % n for n in range(200))

            async def get():
                async with http.get(f"{url}/parts") as response:
                    assert await response.read() == expected

            await asyncio.gather(*(get() for _ in range(100)))

            async def slow():
                for n in range(50):
                    yield b"%d " % n
                    await asyncio.sleep(0)

            async with http.post(f"{url}/echo", data=slow()) as response:
                assert await response.read() == b"".join(b"%d " % n for n in range(50))

    run(loop, main)


def test_who_is_trusted(loop, certificates):
    async def main():
        async with served(certificates, web.get("/about", about)) as url:
            async with aiohttp.ClientSession() as stranger:
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    await stranger.get(f"{url}/about")
                async with stranger.get(f"{url}/about", ssl=False) as response:
                    assert response.status == 200
                with pytest.raises(aiohttp.ServerDisconnectedError):
                    await stranger.get(url.replace("https", "http"))
            await asyncio.sleep(0.01)
            async with session(certificates) as http:
                with pytest.raises(aiohttp.ClientConnectorCertificateError):
                    await http.get(f"{url}/about", server_hostname="example.org")
        async with served(certificates, web.get("/", parts), ssl=False) as url:
            async with session(certificates) as http:
                with pytest.raises(aiohttp.ClientConnectorSSLError):
                    await http.get(url.replace("http", "https"))

    run(loop, main)


def test_left_in_the_middle(loop, certificates, caplog):
    """close() does not go on downloading, and a cancelled request leaves nothing behind."""
    caplog.set_level(logging.CRITICAL, "aiohttp.server")  # of the clients that left

    async def main():
        async with served(certificates, web.get("/endless", endless)) as url:
            async with session(certificates) as http:
                async with http.get(f"{url}/endless") as response:
                    assert await response.content.readexactly(1_000_000) == b"x" * 1_000_000

                async def read(**more):
                    async with http.get(f"{url}/endless", **more) as response:
                        async for _ in response.content.iter_any():
                            pass

                tasks = [asyncio.ensure_future(read()) for _ in range(5)]
                await asyncio.sleep(0.05)
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                with pytest.raises(asyncio.TimeoutError):
                    await read(timeout=aiohttp.ClientTimeout(total=0.05))

    run(loop, main)


def test_websockets(loop, certificates):
    async def main():
        async with served(certificates, web.get("/ws", ws)) as url, session(certificates) as http:

            async def client(n):
                async with http.ws_connect(f"{url}/ws", max_msg_size=0) as socket:
                    for m in range(30):
                        await socket.send_str(f"text {n}.{m}")
                        assert await socket.receive_str() == f"TEXT {n}.{m}"
                    data = os.urandom(500_000)
                    await socket.send_bytes(data)
                    assert await socket.receive_bytes() == data[::-1]
                    await socket.close()

            await asyncio.gather(*map(client, range(8)))

    run(loop, main)


@pytest.mark.parametrize("tls_proxy", [False, True])
def test_through_a_proxy(loop, loop_name, certificates, tls_proxy):
    """CONNECT, then TLS on the same connection: start_tls(), in TLS when the proxy is over TLS."""
    support.oracle_lacks(loop_name, tls_proxy and support.PY < (3, 11), "no TLS in TLS")
    asked = []

    async def pump(reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def relay(reader, writer):
        line, *_ = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        asked.append(line.split()[0])
        host, port = line.split()[1].decode().split(":")
        onward, other = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, other), pump(onward, writer))

    async def main():
        context = certificates.server() if tls_proxy else None
        proxy = await asyncio.start_server(relay, support.LOCALHOST, 0, ssl=context)
        port = proxy.sockets[0].getsockname()[1]
        address = f"http{'s' * tls_proxy}://localhost:{port}"
        async with served(certificates, web.post("/echo", echo)) as url:
            async with session(certificates) as http:
                for _ in range(3):
                    body = os.urandom(1_000_000)
                    async with http.post(f"{url}/echo", data=body, proxy=address) as response:
                        assert await response.read() == body
            await asyncio.sleep(0.05)
        proxy.close()
        await proxy.wait_closed()
        assert asked == [b"CONNECT"]

    run(loop, main)
