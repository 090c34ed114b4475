"""HTTP servers on the loop named by --loop: the process under test of the http cases.

plain    a protocol that answers each request with one write
split    the same, head and body as two writes
tls      plain over TLS
aiohttp  aiohttp.web with one handler
uvicorn  an ASGI application under uvicorn

Prints {"port": ..., "pid": ...} when it listens, and runs until a signal ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from benchmarks import peers  # noqa: E402
from benchmarks.servers import listen  # noqa: E402


def head(size: int) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Server: bench\r\nContent-Length: %d\r\n\r\n" % size
    )


def body(size: int) -> bytes:
    return (b"Hello, World!" * (size // 13 + 1))[:size]


class Responder(asyncio.Protocol):
    """Requests without a body, pipelined or not, each answered with the same bytes."""

    def __init__(self, parts: tuple[bytes, ...]) -> None:
        self.parts = parts
        self.held = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.held:
            data = self.held + data
            self.held = b""
        count = data.count(b"\r\n\r\n")
        if not data.endswith(b"\r\n\r\n"):
            self.held = data[data.rfind(b"\r\n\r\n") + 4 :] if count else data
        write = self.transport.write
        for _ in range(count):
            for part in self.parts:
                write(part)


def server_context(certificate: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def serve_responder(args: argparse.Namespace, listener: socket.socket) -> Any:
    whole = (head(args.size), body(args.size))
    parts = whole if args.mode == "split" else (b"".join(whole),)
    context = server_context(args.certificate) if args.mode == "tls" else None
    return await asyncio.get_running_loop().create_server(
        lambda: Responder(parts), sock=listener, backlog=4096, ssl=context
    )


async def serve_aiohttp(args: argparse.Namespace, listener: socket.socket) -> Any:
    from aiohttp import web

    text = body(args.size)

    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=text, content_type="text/plain")

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=4096).start()
    return runner


async def serve_uvicorn(args: argparse.Namespace, listener: socket.socket) -> Any:
    import uvicorn

    text = body(args.size)
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % args.size)]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    config = uvicorn.Config(
        app, loop="none", lifespan="off", log_config=None, access_log=False, backlog=4096
    )
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            task.result()
            raise RuntimeError("uvicorn ended")
        await asyncio.sleep(0.01)
    return task


async def serve(args: argparse.Namespace) -> None:
    listener, port = listen.tcp()
    starts = {"aiohttp": serve_aiohttp, "uvicorn": serve_uvicorn}
    running = await starts.get(args.mode, serve_responder)(args, listener)
    print(json.dumps({"port": port, "pid": os.getpid()}), flush=True)
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        del running


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--loop", default="uvolt", choices=sorted(peers.LOOPS))
    parser.add_argument(
        "--mode", default="plain", choices=["plain", "split", "tls", "aiohttp", "uvicorn"]
    )
    parser.add_argument("--size", type=int, default=13, help="bytes of the body")
    parser.add_argument("--certificate", default="", help="PEM file with key and certificate")
    args = parser.parse_args()
    loop = peers.new_loop(args.loop)
    asyncio.set_event_loop(loop)
    loop.run_until_complete(serve(args))


if __name__ == "__main__":
    main()
