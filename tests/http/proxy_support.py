"""Proxies on the loop of the test: they keep what they were sent, byte for byte."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import support
from http_support import READ, Asked

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Asked], Awaitable[None]]


def basic(login: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()


class Proxy:
    """One proxy. `asked` are the requests it was sent; `received` the bytes of the connections, as
    they came to it. `hosts`: where a name of an origin is, instead of where it says."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.received: list[bytearray] = []
        self.hosts: dict[str, tuple[str, int]] = {}
        self.open = 0
        self.errors: list[BaseException] = []
        self.port = 0
        self.url = ""
        self.socks: list[tuple[str, int, bytes]] = []  # host, port, kind of address
        self.credentials: list[tuple[bytes, bytes]] = []
        self.password: tuple[bytes, bytes] | None = None
        self.refused: dict[str, int] = {}  # hosts, and what SOCKS says of them
        self.answer: Answer | None = None

    def place(self, host: str, port: int) -> tuple[str, int]:
        return self.hosts.get(host, (support.LOCALHOST if host == "localhost" else host, port))

    async def gone(self) -> None:
        await support.until(lambda: self.open == 0)

    async def pump(self, reader: Any, writer: Any, seen: bytearray | None = None) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if seen is not None:
                    seen += data
                writer.write(data)
                await writer.drain()

    async def relay(self, reader: Any, writer: Any, place: tuple[str, int], first: bytes) -> None:
        seen = bytearray()
        self.received.append(seen)
        try:
            far_reader, far_writer = await asyncio.open_connection(*place)
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        try:
            if first:
                seen += first
                far_writer.write(first)
            pumps = [
                asyncio.ensure_future(self.pump(reader, far_writer, seen)),
                asyncio.ensure_future(self.pump(far_reader, writer)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.wait(pumps)
        finally:
            far_writer.close()

    async def serve_http(self, reader: Any, writer: Any) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked = Asked(head, b"")
        self.asked.append(asked)
        if self.answer is not None:
            await self.answer(reader, writer, asked)
            return
        if self.password is not None:
            wanted = basic(*(part.decode() for part in self.password))
            if asked.headers.get("proxy-authorization") != wanted:
                writer.write(
                    b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                    b'Proxy-Authenticate: Basic realm="proxy"\r\nContent-Length: 4\r\n\r\nwho?'
                )
                return
        if asked.method == "CONNECT":
            host, _, port = asked.target.rpartition(":")
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await self.relay(reader, writer, self.place(host.strip("[]"), int(port)), b"")
        else:
            host, _, port = asked.headers["host"].rpartition(":")
            await self.relay(reader, writer, self.place(host, int(port)), head)

    async def serve_socks(self, reader: Any, writer: Any) -> None:
        version, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        assert version == 5
        if self.answer is not None:
            await self.answer(reader, writer, Asked(bytes([version, count]) + methods, b""))
            return
        if self.password is not None:
            writer.write(bytes([5, 2 if 2 in methods else 255]))
            if 2 not in methods:
                return
            assert await reader.readexactly(1) == b"\1"
            login = await reader.readexactly((await reader.readexactly(1))[0])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            self.credentials.append((login, password))
            writer.write(b"\1\0" if (login, password) == self.password else b"\1\1")
            if (login, password) != self.password:
                return
        else:
            writer.write(b"\5\0")
        head = await reader.readexactly(4)
        assert head[:3] == b"\5\1\0"
        size = {1: 4, 4: 16}.get(head[3]) or (await reader.readexactly(1))[0]
        address = await reader.readexactly(size)
        port = int.from_bytes(await reader.readexactly(2), "big")
        host = (
            address.decode()
            if head[3] == 3
            else socket.inet_ntop(socket.AF_INET if head[3] == 1 else socket.AF_INET6, address)
        )
        self.socks.append((host, port, head[3:]))
        if host in self.refused:
            writer.write(bytes([5, self.refused[host], 0, 1]) + bytes(6))
            return
        writer.write(b"\5\0\0\1" + bytes(4) + b"\0\0")
        await self.relay(reader, writer, self.place(host, port), b"")

    async def serve(self, how: Any, reader: Any, writer: Any) -> None:
        self.open += 1
        try:
            await asyncio.wait_for(how(reader, writer), READ * support.SLOW)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except Exception as error:
            self.errors.append(error)
        finally:
            self.open -= 1
            with contextlib.suppress(ConnectionError):
                writer.close()


@contextlib.asynccontextmanager
async def proxy(
    scheme: str = "http",
    *,
    ssl: Any = None,
    password: tuple[bytes, bytes] | None = None,
    answer: Answer | None = None,
) -> AsyncIterator[Proxy]:
    """A proxy of a kind: http, https (with `ssl`), socks5, socks5h. `answer` serves connections
    instead, from the head of the first request on, or from the first message of SOCKS."""
    made = Proxy()
    made.password = password
    made.answer = answer
    how = made.serve_socks if scheme.startswith("socks") else made.serve_http
    tasks: set[Any] = set()

    async def connected(reader: Any, writer: Any) -> None:
        task = asyncio.ensure_future(made.serve(how, reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, support.LOCALHOST, 0, ssl=ssl)
    made.port = server.sockets[0].getsockname()[1]
    host = "localhost" if scheme == "https" else support.LOCALHOST
    made.url = f"{scheme}://{host}:{made.port}"
    try:
        yield made
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(list(tasks))
        await support.settle()
        assert not made.errors, made.errors


def says(data: bytes, *, close: bool = True, hears: bool = False) -> Answer:
    """A proxy that says this, whatever it is asked. hears: reads on before it closes: who
    closes with something unread resets the connection."""

    async def answer(reader: Any, writer: Any, asked: Asked) -> None:
        writer.write(data)
        await writer.drain()
        if hears:
            await reader.read(1)
        if not close:
            await reader.read()

    return answer
