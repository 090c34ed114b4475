"""HTTP requests of the demo: by aiohttp, or without it by a small client on asyncio's streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

try:
    import aiohttp
except ImportError:
    aiohttp = None  # type: ignore[assignment]

Get = Callable[[str], Awaitable[bytes]]


def description() -> str:
    """What makes the requests, for the report."""
    if aiohttp is None:
        return "a small client on asyncio streams (aiohttp is not installed)"
    return f"aiohttp {aiohttp.__version__}"


def connect(url: str) -> Any:
    """An asynchronous context manager whose value is get(path) -> body.

    Connections are opened as needed, as many as there are requests at a time, and reused.
    """
    return _with_streams(url) if aiohttp is None else _with_aiohttp(url)


@asynccontextmanager
async def _with_aiohttp(url: str) -> AsyncIterator[Get]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, connector=connector) as session:

        async def get(path: str) -> bytes:
            async with session.get(path) as response:
                response.raise_for_status()
                return await response.read()

        yield get


@asynccontextmanager
async def _with_streams(url: str) -> AsyncIterator[Get]:
    address = urlsplit(url)
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    writers: list[asyncio.StreamWriter] = []

    async def get(path: str) -> bytes:
        if idle:
            reader, writer = idle.pop()
        else:
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writers.append(writer)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
        status, *headers = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        if b" 200 " not in status:
            raise ConnectionError(f"{path}: {status.decode()}")
        lengths = [h.split(b":")[1] for h in headers if h.lower().startswith(b"content-length:")]
        body = await reader.readexactly(int(lengths[0]))
        idle.append((reader, writer))
        return body

    try:
        yield get
    finally:
        for writer in writers:
            writer.close()
        await asyncio.gather(*[writer.wait_closed() for writer in writers])
