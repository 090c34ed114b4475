"""uvicorn over TLS, with each of its HTTP and websocket implementations, and ended by signals."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import warnings

import httpx
import pytest
import support
import uvicorn
from servers import run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import websockets
    import websockets.asyncio.client

# Its implementation on websockets' old interface is on its way out.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .websockets. implementation"),
]

HTTP = ("h11", "httptools")
WEBSOCKETS = ("websockets", "websockets-sansio", "wsproto")


async def app(scope, receive, send):
    await {"lifespan": lifespan, "http": http, "websocket": socket}[scope["type"]](
        scope, receive, send
    )


async def lifespan(scope, receive, send):
    scope["state"]["greeting"] = "hello"
    for name in ("startup", "shutdown"):
        assert (await receive())["type"] == f"lifespan.{name}"
        await send({"type": f"lifespan.{name}.complete"})


async def http(scope, receive, send):
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["path"] == "/echo":
        parts = [body]
    elif scope["path"] == "/parts":
        parts = [b"part %d\n" % n for n in range(200)]
    else:
        about = {name: scope[name] for name in ("scheme", "path", "http_version", "state")}
        parts = [json.dumps(about).encode()]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def socket(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "bye":
            await send({"type": "websocket.close", "code": 3001})
            return
        await send({**message, "type": "websocket.send"})


@contextlib.asynccontextmanager
async def served(certificates, **more):
    config = uvicorn.Config(
        app,
        host=support.LOCALHOST,
        port=0,
        log_level="error",
        log_config=None,
        ssl_certfile=certificates.certificate,
        ssl_keyfile=certificates.key,
        **more,
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


@pytest.mark.parametrize("implementation", HTTP)
def test_requests(loop, certificates, implementation):
    async def main():
        async with served(certificates, http=implementation) as port:
            url = f"https://{support.LOCALHOST}:{port}"
            context = certificates.client()
            async with httpx.AsyncClient(base_url=url, verify=context, timeout=30) as client:
                assert (await client.get("/where")).json() == {
                    "scheme": "https",
                    "path": "/where",
                    "http_version": "1.1",
                    "state": {"greeting": "hello"},
                }
                body = os.urandom(2_000_000)
                assert (await client.post("/echo", content=body)).content == body
                expected = b"".join(b"part %d\n" % n for n in range(200))
                answers = await asyncio.gather(*(client.get("/parts") for _ in range(30)))
                assert {answer.content for answer in answers} == {expected}

                async def slow():
                    for n in range(20):
                        yield b"%d" % n
                        await asyncio.sleep(0.001)

                answer = await client.post("/echo", content=slow())
                assert answer.content == b"".join(b"%d" % n for n in range(20))
            async with httpx.AsyncClient(base_url=url) as stranger:
                with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                    await stranger.get("/")

    run(loop, main)


@pytest.mark.parametrize("implementation", WEBSOCKETS)
def test_websockets(loop, certificates, implementation):
    async def main():
        async with served(certificates, ws=implementation) as port:
            url = f"wss://localhost:{port}/"
            connect = websockets.asyncio.client.connect

            async def client(n):
                async with connect(url, ssl=certificates.client()) as ws:
                    for m in range(20):
                        await ws.send(f"{n}.{m}")
                        assert await ws.recv() == f"{n}.{m}"
                    data = bytes([n]) * 300_000
                    await ws.send(data)
                    assert await ws.recv() == data
                    await asyncio.wait_for(await ws.ping(), 10 * support.SLOW)
                    await ws.send("bye")
                    with pytest.raises(websockets.ConnectionClosed) as closed:
                        await ws.recv()
                    assert closed.value.rcvd.code == 3001

            await asyncio.gather(*map(client, range(5)))

    run(loop, main)


# -- in processes of its own -------------------------------------------------------------------

APP = """
import asyncio, os, sys

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        print("startup", flush=True)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shutdown", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/slow":
        print("slow begins", flush=True)
        await send({"type": "http.response.body", "body": b"slow ", "more_body": True})
        await asyncio.sleep(0.3)
    name = type(asyncio.get_running_loop()).__module__.split(".")[0]
    await send({"type": "http.response.body", "body": f"{name} {os.getpid()}".encode()})
"""
LOOP_SETTINGS = {"asyncio": "asyncio", "uvolt": "uvolt:new_event_loop", "uvloop": "uvloop"}


@contextlib.contextmanager
def command(tmp_path, loop_name, *words):
    """uvicorn's command line in a process of its own; gives the process and its URL."""
    (tmp_path / "the_app.py").write_text(APP)
    port = support.free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "the_app:app", f"--port={port}", "--log-level=warning"]
        + [f"--loop={LOOP_SETTINGS[loop_name]}", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, f"http://{support.LOCALHOST}:{port}"
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def get(url, process):
    """The answer to a GET, once the server is there."""
    deadline = time.monotonic() + 20 * support.SLOW
    for pause in itertools.repeat(0.05):
        try:
            return httpx.get(url, timeout=20).text.split()
        except httpx.TransportError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(pause)


def ended(process):
    out, err = process.communicate(timeout=20 * support.SLOW)
    assert err == ""
    return out.split("\n")[:-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_by_a_signal_when_its_requests_are_done(tmp_path, loop_name, number):
    with command(tmp_path, loop_name) as (process, url):
        assert get(url, process) == [loop_name, str(process.pid)]
        with httpx.stream("GET", f"{url}/slow") as response:
            parts = response.iter_text()
            assert next(parts) == "slow "
            process.send_signal(number)
            assert "".join(parts).split() == [loop_name, str(process.pid)]
        assert ended(process) == ["startup", "slow begins", "shutdown"]
        assert process.returncode == -number or number == signal.SIGINT


def test_workers(tmp_path, loop_name):
    """Two processes that share a listener, each with a loop of its own."""
    with command(tmp_path, loop_name, "--workers=2") as (process, url):
        assert get(url, process)[0] == loop_name
        deadline = time.monotonic() + 20 * support.SLOW
        pids = set()
        while len(pids) < 2 and time.monotonic() < deadline:
            name, pid = get(url, process)
            assert name == loop_name
            pids.add(pid)
        assert len(pids) == 2 and str(process.pid) not in pids
        process.send_signal(signal.SIGTERM)
        assert sorted(ended(process)) == ["shutdown"] * 2 + ["startup"] * 2
