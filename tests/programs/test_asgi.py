"""uvicorn serving FastAPI, with httpx and websockets as clients."""

from __future__ import annotations

import asyncio
import contextlib
import warnings

import httpx
import pytest
import support
import uvicorn
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import websockets
    import websockets.asyncio.client
    import websockets.asyncio.server


def run(loop, main):
    async def body():
        await asyncio.wait_for(main(), 40 * support.SLOW)
        await support.settle(20)

    loop.run_until_complete(body())
    loop.run_until_complete(loop.shutdown_default_executor())


def make_app(log):
    @contextlib.asynccontextmanager
    async def lifespan(app):
        log.append("startup")
        yield
        log.append("shutdown")

    app = FastAPI(lifespan=lifespan)

    @app.get("/items/{number}")
    async def item(number: int, q: str = "none"):
        return {"number": number, "q": q}

    @app.get("/thread")
    def in_a_thread():
        import threading

        return {"main": threading.current_thread() is threading.main_thread()}

    @app.post("/echo")
    async def echo(request: Request):
        return {"size": len(await request.body())}

    @app.get("/stream")
    async def stream():
        async def parts():
            for n in range(50):
                yield f"part {n}\n"
                await asyncio.sleep(0)

        return StreamingResponse(parts())

    @app.websocket("/ws")
    async def ws(socket: WebSocket):
        await socket.accept()
        while (text := await socket.receive_text()) != "bye":
            await socket.send_text(text.upper())
        await socket.close()

    return app


@contextlib.asynccontextmanager
async def served(app):
    config = uvicorn.Config(
        app,
        host=support.LOCALHOST,
        port=0,
        log_level="error",
        log_config=None,  # its own closes the handlers of pytest
        lifespan="on",
        ws="websockets-sansio",
    )
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server.serve())
    await support.until(lambda: server.started or task.done())
    if task.done():
        task.result()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 10 * support.SLOW)


def test_uvicorn_fastapi(loop):
    log = []

    async def main():
        async with served(make_app(log)) as port:
            async with httpx.AsyncClient(base_url=f"http://{support.LOCALHOST}:{port}") as client:
                response = await client.get("/items/7", params={"q": "x"})
                assert response.json() == {"number": 7, "q": "x"}
                assert (await client.get("/items/seven")).status_code == 422
                assert (await client.get("/thread")).json() == {"main": False}
                assert (await client.post("/echo", content=b"x" * 500_000)).json() == {
                    "size": 500_000
                }
                text = (await client.get("/stream")).text
                assert text == "".join(f"part {n}\n" for n in range(50))

    run(loop, main)
    assert log == ["startup", "shutdown"]


def test_many_requests(loop):
    async def main():
        async with served(make_app([])) as port:
            limits = httpx.Limits(max_connections=20)
            async with httpx.AsyncClient(
                base_url=f"http://{support.LOCALHOST}:{port}", limits=limits, timeout=30
            ) as client:
                responses = await asyncio.gather(*(client.get(f"/items/{n}") for n in range(100)))
                assert [r.json()["number"] for r in responses] == list(range(100))

    run(loop, main)


def test_websocket_through_uvicorn(loop):
    async def main():
        async with served(make_app([])) as port:
            url = f"ws://{support.LOCALHOST}:{port}/ws"
            async with websockets.asyncio.client.connect(url) as ws:
                for n in range(50):
                    await ws.send(f"text {n}")
                    assert await ws.recv() == f"TEXT {n}"
                await ws.send("bye")
                with pytest.raises(websockets.ConnectionClosedOK):
                    await ws.recv()

    run(loop, main)


def test_httpx_streaming_and_errors(loop):
    async def main():
        async with served(make_app([])) as port:
            async with httpx.AsyncClient(base_url=f"http://{support.LOCALHOST}:{port}") as client:
                async with client.stream("GET", "/stream") as response:
                    lines = [line async for line in response.aiter_lines()]
                assert lines == [f"part {n}" for n in range(50)]
        async with httpx.AsyncClient(timeout=0.2) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(f"http://{support.LOCALHOST}:{support.free_port()}/")

    run(loop, main)


def test_websockets_client_and_server(loop):
    async def main():
        async def handler(ws):
            async for message in ws:
                await ws.send(message)

        async with websockets.asyncio.server.serve(handler, support.LOCALHOST, 0) as server:
            port = server.sockets[0].getsockname()[1]

            async def client(n):
                url = f"ws://{support.LOCALHOST}:{port}"
                async with websockets.asyncio.client.connect(url) as ws:
                    for m in range(20):
                        await ws.send(f"{n}.{m}")
                        assert await ws.recv() == f"{n}.{m}"
                    data = bytes([n]) * 300_000
                    await ws.send(data)
                    assert await ws.recv() == data
                    pong = await ws.ping()
                    await asyncio.wait_for(pong, 10)

            await asyncio.gather(*(client(n) for n in range(10)))

    run(loop, main)


def test_uvicorn_ends_by_sigint(loop_name):
    """uvicorn.run-like, in a process of its own: Ctrl-C ends it cleanly."""
    out = support.script(
        loop_name,
        """
        import os, signal, threading, time, uvicorn
        async def app(scope, receive, send):
            assert scope["type"] == "http"
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        loop = new_loop()
        def client():
            import urllib.request
            while not server.started:
                time.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            print(urllib.request.urlopen(f"http://127.0.0.1:{port}/").read().decode(), flush=True)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=client).start()
        try:
            loop.run_until_complete(server.serve())
        except KeyboardInterrupt:
            print("interrupted")
        loop.close()
        """,
        options=("-X", "faulthandler"),
    )
    assert out.split() == ["ok", "interrupted"]


LOOP_SETTINGS = {
    "asyncio": "asyncio",
    "uvolt": "uvolt:new_event_loop",
    "uvloop": "uvloop",
}


def test_uvicorn_run_with_a_loop_setting(loop_name):
    """uvicorn.run(app, loop="uvolt:new_event_loop"): how its users choose a loop."""
    out = support.script(
        loop_name,
        f"""
        import os, signal, threading, time, uvicorn
        async def app(scope, receive, send):
            name = type(asyncio.get_running_loop()).__module__.split(".")[0]
            await send({{"type": "http.response.start", "status": 200, "headers": []}})
            await send({{"type": "http.response.body", "body": name.encode()}})
        config = uvicorn.Config(
            app, host="127.0.0.1", port=0, log_level="error", lifespan="off",
            loop={LOOP_SETTINGS[loop_name]!r},
        )
        server = uvicorn.Server(config)
        def client():
            import urllib.request
            while not server.started:
                time.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            print(urllib.request.urlopen(f"http://127.0.0.1:{{port}}/").read().decode(), flush=True)
            os.kill(os.getpid(), signal.SIGTERM)
        threading.Thread(target=client).start()
        signal.signal(signal.SIGTERM, lambda *args: None)  # uvicorn raises it again at its end
        server.run()
        print("ended")
        """,
        options=("-X", "faulthandler"),
    )
    assert out.split() == [loop_name, "ended"]
