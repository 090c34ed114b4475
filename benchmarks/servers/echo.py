"""An echo server on the loop named by --loop: the process under test of the echo cases.

Prints {"port": ..., "pid": ...} when it listens, and runs until a signal ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from benchmarks import peers  # noqa: E402
from benchmarks.servers import listen  # noqa: E402

LIMIT = 1 << 20  # of a StreamReader: a line of 100 KiB must fit


class Echo(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class BufferedEcho(asyncio.BufferedProtocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.view = memoryview(bytearray(256 * 1024))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.view

    def buffer_updated(self, nbytes: int) -> None:
        self.transport.write(self.view[:nbytes])


async def echo_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


async def echo_socket(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    with sock:
        while data := await loop.sock_recv(sock, 256 * 1024):
            await loop.sock_sendall(sock, data)


async def accept_sockets(loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
    tasks = set()
    while True:
        sock, _ = await loop.sock_accept(listener)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = loop.create_task(echo_socket(loop, sock))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def serve(args: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    listener, port = listen.tcp()
    background: Any
    if args.mode == "sock":
        background = loop.create_task(accept_sockets(loop, listener))
    elif args.mode == "streams":
        background = await asyncio.start_server(
            echo_lines, sock=listener, backlog=4096, limit=LIMIT
        )
    else:
        factory = Echo if args.mode == "protocol" else BufferedEcho
        background = await loop.create_server(factory, sock=listener, backlog=4096)
    print(json.dumps({"port": port, "pid": os.getpid()}), flush=True)
    try:
        await loop.create_future()
    finally:
        del background


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loop", default="uvolt", choices=sorted(peers.LOOPS))
    parser.add_argument(
        "--mode", default="protocol", choices=["protocol", "buffered", "streams", "sock"]
    )
    args = parser.parse_args()
    loop = peers.new_loop(args.loop)
    asyncio.set_event_loop(loop)
    loop.run_until_complete(serve(args))


if __name__ == "__main__":
    main()
