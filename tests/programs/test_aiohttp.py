"""aiohttp's client and server on the loop, as programs use them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket

import aiohttp
import pytest
import support
from aiohttp import web


def run(loop, main):
    async def body():
        await asyncio.wait_for(main(), 40 * support.SLOW)
        await support.settle(20)

    loop.run_until_complete(body())
    loop.run_until_complete(loop.shutdown_default_executor())


@contextlib.asynccontextmanager
async def served(*routes, **kwargs):
    """An application on a free port; gives its URL."""
    app = web.Application(**kwargs)
    app.add_routes(routes)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, support.LOCALHOST, 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    try:
        yield f"http://{support.LOCALHOST}:{port}"
    finally:
        await runner.cleanup()


async def hello(request):
    return web.Response(text=f"hello {request.match_info.get('name', 'world')}")


async def echo(request):
    return web.Response(body=await request.read(), content_type="application/octet-stream")


async def send_json(request):
    return web.json_response({"query": dict(request.query), "method": request.method})


def test_get(loop):
    async def main():
        async with served(web.get("/{name}", hello)) as url, aiohttp.ClientSession() as session:
            async with session.get(f"{url}/ada") as response:
                assert response.status == 200
                assert await response.text() == "hello ada"
            async with session.get(f"{url}/a/b") as response:
                assert response.status == 404

    run(loop, main)


def test_methods_and_json(loop):
    async def main():
        async with (
            served(web.route("*", "/json", send_json)) as url,
            aiohttp.ClientSession() as session,
        ):
            for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
                async with session.request(method, f"{url}/json", params={"n": "1"}) as response:
                    assert await response.json() == {"query": {"n": "1"}, "method": method}

    run(loop, main)


def test_500_concurrent_requests(loop):
    async def main():
        async with served(web.get("/{name}", hello)) as url:
            connector = aiohttp.TCPConnector(limit=50)
            async with aiohttp.ClientSession(connector=connector) as session:

                async def fetch(n):
                    async with session.get(f"{url}/{n}") as response:
                        return await response.text()

                texts = await asyncio.gather(*(fetch(n) for n in range(500)))
                assert texts == [f"hello {n}" for n in range(500)]

    run(loop, main)


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_003])
def test_bodies(loop, size):
    data = os.urandom(size)

    async def main():
        async with (
            served(web.post("/", echo), client_max_size=1 << 24) as url,
            aiohttp.ClientSession() as session,
        ):
            async with session.post(url, data=data) as response:
                assert await response.read() == data

    run(loop, main)


def test_streaming_both_ways(loop):
    async def main():
        async def upper(request):
            response = web.StreamResponse()
            await response.prepare(request)
            async for chunk in request.content.iter_any():
                await response.write(chunk.upper())
            await response.write_eof()
            return response

        async def produce():
            for n in range(200):
                yield b"chunk %d;" % n
                if n % 20 == 0:
                    await asyncio.sleep(0)

        async with served(web.post("/", upper)) as url, aiohttp.ClientSession() as session:
            async with session.post(url, data=produce()) as response:
                expected = b"".join(b"CHUNK %d;" % n for n in range(200))
                assert await response.read() == expected

    run(loop, main)


def test_large_download_read_slowly(loop):
    data = os.urandom(1 << 20) * 8

    async def main():
        async def download(request):
            return web.Response(body=data)

        async with served(web.get("/", download)) as url, aiohttp.ClientSession() as session:
            async with session.get(url) as response:
                got = bytearray()
                async for chunk in response.content.iter_chunked(100_000):
                    got += chunk
                    if len(got) % 7 == 0:
                        await asyncio.sleep(0.001)
                assert got == data

    run(loop, main)


def test_file_and_form(loop, tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(os.urandom(300_000))

    async def main():
        async def upload(request):
            form = await request.post()
            content = form["file"].file.read()
            form["file"].file.close()
            return web.json_response({"name": form["name"], "size": len(content)})

        async def send(request):
            return web.FileResponse(path)

        async with (
            served(web.post("/", upload), web.get("/", send), client_max_size=1 << 22) as url,
            aiohttp.ClientSession() as session,
        ):
            with path.open("rb") as f:
                form = aiohttp.FormData()
                form.add_field("name", "value")
                form.add_field("file", f, filename="file.bin")
                async with session.post(url, data=form) as response:
                    assert await response.json() == {"name": "value", "size": 300_000}
            async with session.get(url) as response:
                assert await response.read() == path.read_bytes()

    run(loop, main)


def test_websocket(loop):
    async def main():
        async def chat(request):
            ws = web.WebSocketResponse()
            await ws.prepare(request)
            async for message in ws:
                if message.type is aiohttp.WSMsgType.TEXT:
                    if message.data == "close":
                        await ws.close()
                    else:
                        await ws.send_str(message.data.upper())
                elif message.type is aiohttp.WSMsgType.BINARY:
                    await ws.send_bytes(message.data[::-1])
            return ws

        async with served(web.get("/", chat)) as url, aiohttp.ClientSession() as session:
            async with session.ws_connect(url) as ws:
                for n in range(50):
                    await ws.send_str(f"text {n}")
                    assert await ws.receive_str() == f"TEXT {n}"
                await ws.send_bytes(b"x" * 200_000 + b"y")
                assert await ws.receive_bytes() == b"y" + b"x" * 200_000
                await ws.ping()
                await ws.send_str("close")
                assert (await ws.receive()).type in (
                    aiohttp.WSMsgType.CLOSE,
                    aiohttp.WSMsgType.CLOSED,
                )

    run(loop, main)


def test_timeouts(loop):
    async def main():
        async def slow(request):
            await asyncio.sleep(30)

        async with served(web.get("/", slow)) as url:
            timeout = aiohttp.ClientTimeout(total=0.1)
            async with aiohttp.ClientSession(timeout=timeout) as session:
                with pytest.raises(asyncio.TimeoutError):
                    async with session.get(url):
                        pass

    run(loop, main)


def test_cancelled_requests(loop):
    async def main():
        async def slow(request):
            await asyncio.sleep(30)

        async with served(web.get("/", slow)) as url, aiohttp.ClientSession() as session:
            tasks = [asyncio.ensure_future(session.get(url)) for _ in range(10)]
            await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(r, asyncio.CancelledError) for r in results)

    run(loop, main)


def test_errors(loop):
    async def main():
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(f"http://{support.LOCALHOST}:{support.free_port()}/")
            with socket.create_server((support.LOCALHOST, 0)) as s:
                task = asyncio.ensure_future(
                    session.post(f"http://{support.LOCALHOST}:{s.getsockname()[1]}/")
                )
                peer, _ = await loop.run_in_executor(None, s.accept)
                await loop.run_in_executor(None, peer.recv, 65536)
                peer.close()
                with pytest.raises(aiohttp.ServerDisconnectedError):
                    await task

    run(loop, main)


def test_keep_alive_connections_are_reused(loop):
    async def main():
        peers = set()

        async def who(request):
            peers.add(request.transport.get_extra_info("peername"))
            return web.Response(text="ok")

        async with served(web.get("/", who)) as url, aiohttp.ClientSession() as session:
            for _ in range(20):
                async with session.get(url) as response:
                    await response.read()
        assert len(peers) == 1

    run(loop, main)


def test_startup_cleanup_and_background_task(loop):
    async def main():
        steps = []

        async def context(app):
            steps.append("start")
            task = asyncio.ensure_future(asyncio.sleep(1000))
            yield
            task.cancel()
            steps.append("cleanup")

        app = web.Application()
        app.cleanup_ctx.append(context)
        app.router.add_get("/", hello)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, support.LOCALHOST, 0)
        await site.start()
        await runner.cleanup()
        assert steps == ["start", "cleanup"]

    run(loop, main)


def test_run_app(loop_name):
    """web.run_app makes everything itself and ends by SIGTERM."""
    port = support.free_port()
    out = support.script(
        loop_name,
        f"""
        import os, signal, threading, time, urllib.request
        from aiohttp import web
        async def hello(request):
            return web.json_response({{"n": 1}})
        app = web.Application()
        app.router.add_get("/", hello)
        def client():
            for _ in range(100):
                try:
                    print(urllib.request.urlopen("http://127.0.0.1:{port}/").read().decode())
                    break
                except OSError:
                    time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGTERM)
        threading.Thread(target=client).start()
        web.run_app(app, host="127.0.0.1", port={port}, print=None, loop=new_loop())
        """,
        options=("-X", "faulthandler"),
    )
    assert json.loads(out) == {"n": 1}
