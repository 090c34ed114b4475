"""Sanic on its own server: HTTP, streams, websockets, TLS, in the loop given and by app.run()."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import warnings

import httpx
import pytest
import support
from servers import run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import sanic
    import sanic.response
    import websockets.asyncio.client

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
numbers = itertools.count()


def make_app(log):
    sanic.Sanic.test_mode = True
    app = sanic.Sanic(f"app_{next(numbers)}", configure_logging=False)

    @app.before_server_start
    async def before(app):
        log.append("startup")

    @app.after_server_stop
    async def after(app):
        log.append("shutdown")

    @app.get("/items/<number:int>")
    async def item(request, number):
        return sanic.response.json({"number": number, "query": request.args.get("q")})

    @app.post("/echo")
    async def echo(request):
        return sanic.response.raw(request.body)

    @app.post("/sizes", stream=True)
    async def sizes(request):
        total = 0
        while (body := await request.stream.read()) is not None:
            total += len(body)
        return sanic.response.text(str(total))

    @app.get("/parts")
    async def parts(request):
        response = await request.respond(content_type="text/plain")
        for n in range(100):
            await response.send(f"part {n}\n")
            await asyncio.sleep(0)
        await response.eof()

    @app.websocket("/ws")
    async def ws(request, socket):
        async for message in socket:
            await socket.send(message)

    return app


@contextlib.asynccontextmanager
async def served(app, **more):
    sock = socket.create_server((support.LOCALHOST, 0))  # for port=0 Sanic takes its default, 8000
    server = await app.create_server(
        sock=sock, return_asyncio_server=True, access_log=False, **more
    )
    await server.startup()
    await server.before_start()
    await server.after_start()
    await server.start_serving()
    try:
        yield server.server.sockets[0].getsockname()[1]
    finally:
        await server.before_stop()
        server.close()
        for connection in list(server.connections):
            connection.close()
        await support.until(lambda: not server.connections)
        await server.after_stop()


@pytest.mark.parametrize("tls", [False, True])
def test_requests(loop, certificates, tls):
    log = []

    async def main():
        more = {"ssl": certificates.server()} if tls else {}
        async with served(make_app(log), **more) as port:
            url = f"http{'s' * tls}://localhost:{port}"
            context = certificates.client()
            async with httpx.AsyncClient(base_url=url, verify=context, timeout=30) as client:
                answer = await client.get("/items/7", params={"q": "x"})
                assert answer.json() == {"number": 7, "query": "x"}
                assert (await client.get("/items/seven")).status_code == 404
                body = os.urandom(1_000_000)
                assert (await client.post("/echo", content=body)).content == body
                assert (await client.post("/sizes", content=body)).text == "1000000"
                expected = "".join(f"part {n}\n" for n in range(100))
                answers = await asyncio.gather(*(client.get("/parts") for _ in range(40)))
                assert {answer.text for answer in answers} == {expected}

    run(loop, main)
    assert log == ["startup", "shutdown"]


def test_websockets(loop):
    async def main():
        async with served(make_app([])) as port:

            async def client(n):
                url = f"ws://localhost:{port}/ws"
                async with websockets.asyncio.client.connect(url) as ws:
                    for m in range(20):
                        await ws.send(f"{n}.{m}")
                        assert await ws.recv() == f"{n}.{m}"
                    await ws.send(bytes([n]) * 200_000)
                    assert await ws.recv() == bytes([n]) * 200_000

            await asyncio.gather(*map(client, range(5)))

    run(loop, main)


def test_app_run(loop_name):
    """In a process of its own: the policy chooses the loop, SIGTERM ends it cleanly."""
    out = support.script(
        loop_name,
        """
        import os, signal, threading, time, urllib.request
        import sanic, sanic.response
        class Policy(asyncio.DefaultEventLoopPolicy):
            def new_event_loop(self):
                return new_loop()
        asyncio.set_event_loop_policy(Policy())
        app = sanic.Sanic("app", configure_logging=False)
        app.config.USE_UVLOOP = False
        port = None
        @app.get("/")
        async def index(request):
            return sanic.response.text(type(asyncio.get_running_loop()).__module__.split(".")[0])
        @app.after_server_start
        async def started(app):
            print("started", flush=True)
            threading.Thread(target=client).start()
        @app.after_server_stop
        async def stopped(app):
            print("stopped", flush=True)
        def client():
            url = f"http://127.0.0.1:{port}/"
            print(urllib.request.urlopen(url).read().decode(), flush=True)
            os.kill(os.getpid(), signal.SIGTERM)
        import socket
        with socket.create_server(("127.0.0.1", 0)) as sock:
            port = sock.getsockname()[1]
            app.run(sock=sock, single_process=True, access_log=False, motd=False)
        print("ended")
        """,
        options=("-X", "faulthandler"),
    )
    assert out.split() == ["started", loop_name, "stopped", "ended"]
