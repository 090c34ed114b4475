"""Quart on hypercorn: HTTP/1.1, HTTP/2 over TLS with httpx, websockets, streams, shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import os
import warnings

import httpx
import pytest
import quart
import support
from hypercorn.asyncio import serve
from hypercorn.config import Config
from servers import run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import websockets.asyncio.client

# Python 3.10 wants every TLS transport closed by the program, the ones that the peer closed, too.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed transport <asyncio.sslproto")


def make_app(log):
    app = quart.Quart(__name__)

    @app.before_serving
    async def before():
        log.append("startup")

    @app.after_serving
    async def after():
        log.append("shutdown")

    @app.get("/items/<int:number>")
    async def item(number):
        return {"number": number, "query": quart.request.args.get("q")}

    @app.post("/echo")
    async def echo():
        return await quart.request.get_data()

    @app.get("/thread")
    def thread():  # Quart calls what is not a coroutine function in a thread
        return {"name": quart.request.path}

    @app.get("/parts")
    async def parts():
        async def generate():
            for n in range(100):
                yield f"part {n}\n".encode()
                await asyncio.sleep(0)

        return generate(), 200, {"X-Loop": "yes"}

    @app.get("/background")
    async def background():
        async def later():
            await asyncio.sleep(0.02)
            log.append("later")

        quart.current_app.add_background_task(later)
        return "soon"

    @app.websocket("/ws")
    async def ws():
        while True:
            await quart.websocket.send(await quart.websocket.receive())

    return app


@contextlib.asynccontextmanager
async def served(app, certificates=None):
    config = Config()
    config.errorlog = config.accesslog = None
    config.shutdown_timeout = config.graceful_timeout = 5
    if certificates is not None:
        config.certfile = str(certificates.certificate)
        config.keyfile = str(certificates.key)
    config.bind = [f"{support.LOCALHOST}:0"]
    sockets = config.create_sockets()
    config.create_sockets = lambda: sockets
    (sock,) = sockets.secure_sockets or sockets.insecure_sockets
    sock.listen()  # who comes before it has started waits
    end = asyncio.Event()
    task = asyncio.ensure_future(serve(app, config, shutdown_trigger=end.wait))
    try:
        yield sock.getsockname()[1]
    finally:
        end.set()
        await asyncio.wait_for(task, 20 * support.SLOW)


@pytest.mark.parametrize("http2", [False, True])
def test_requests(loop, certificates, http2):
    log = []

    async def main():
        async with served(make_app(log), certificates) as port:
            context = certificates.client()
            client = httpx.AsyncClient(
                base_url=f"https://localhost:{port}", verify=context, http2=http2, timeout=30
            )
            async with client:
                answer = await client.get("/items/7", params={"q": "x"})
                assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
                assert answer.json() == {"number": 7, "query": "x"}
                assert (await client.get("/items/seven")).status_code == 404
                assert (await client.get("/thread")).json() == {"name": "/thread"}
                body = os.urandom(2_000_000)
                assert (await client.post("/echo", content=body)).content == body
                expected = "".join(f"part {n}\n" for n in range(100))
                answers = await asyncio.gather(*(client.get("/parts") for _ in range(40)))
                assert {answer.text for answer in answers} == {expected}
                async with client.stream("GET", "/parts") as half:  # left in the middle
                    async for _ in half.aiter_bytes():
                        break
                assert (await client.get("/background")).text == "soon"
                await support.until(lambda: "later" in log)

    run(loop, main)
    assert log == ["startup", "later", "shutdown"]


def test_websockets(loop, certificates):
    async def main():
        async with served(make_app([]), certificates) as port:

            async def client(n):
                async with websockets.asyncio.client.connect(
                    f"wss://localhost:{port}/ws", ssl=certificates.client()
                ) as ws:
                    for m in range(20):
                        await ws.send(f"{n}.{m}")
                        assert await ws.recv() == f"{n}.{m}"
                    await ws.send(bytes([n]) * 200_000)
                    assert await ws.recv() == bytes([n]) * 200_000

            await asyncio.gather(*map(client, range(5)))

    run(loop, main)


def test_without_tls(loop):
    async def main():
        async with served(make_app([])) as port:
            async with httpx.AsyncClient(base_url=f"http://localhost:{port}") as client:
                answers = await asyncio.gather(*(client.get(f"/items/{n}") for n in range(50)))
                assert [answer.json()["number"] for answer in answers] == list(range(50))

    run(loop, main)
