"""What the public names give to mypy --strict: a program that is read by it and run by nobody.

tests/lint/test_typing.py. A `type: ignore` here is a mistake that must be found: strict reports one
that is not needed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from typing import Any

from multidict import CIMultiDictProxy
from typing_extensions import assert_type
from yarl import URL

import uvolt
from uvolt import http


async def requests(session: http.ClientSession) -> str:
    timeout = http.ClientTimeout(total=10, sock_read=2, pool=3)
    async with session.get("/", params={"page": 1}, timeout=timeout) as response:
        assert_type(response, http.ClientResponse)
    response = await session.post("/", json={"a": 1}, headers={"A": "b"}, allow_redirects=False)
    assert_type(await session.request("GET", URL("/"), data=b"", retry=False), http.ClientResponse)
    task = asyncio.create_task(session.delete("/"))
    assert_type(task, "asyncio.Task[http.ClientResponse]")
    assert_type(await asyncio.wait_for(session.put("/", data=b""), 1), http.ClientResponse)
    both = await asyncio.gather(session.head("/"), session.options("/"))
    assert_type(both, tuple[http.ClientResponse, http.ClientResponse])
    async with http.request("PATCH", "http://x/", chunked=True) as response:
        assert_type(response, http.ClientResponse)
    await session.get("/", jsn={})  # type: ignore[call-arg]
    await session.get("/", timeout="5")  # type: ignore[arg-type]
    await session.get(b"/")  # type: ignore[arg-type]
    async with response as same:
        assert_type(same, http.ClientResponse)
    return await response.text()


async def responses(response: http.ClientResponse) -> None:
    assert_type(response.status, int)
    assert_type(response.reason, str | None)
    assert_type(response.url, URL)
    assert_type(response.headers, CIMultiDictProxy[str])
    assert_type(response.headers.get("A"), str | None)
    assert_type(response.raw_headers, tuple[tuple[bytes, bytes], ...])
    assert_type(response.version, http.HttpVersion | None)
    assert_type(response.cookies, SimpleCookie)
    assert_type(response.history, tuple[http.ClientResponse, ...])
    assert_type(response.request_info, http.RequestInfo)
    assert_type(response.timings, http.ResponseTimings | None)
    assert_type(await response.read(), bytes)
    assert_type(await response.text(), str)
    assert_type(await response.json(loads=json.loads), Any)
    await response.release()


async def streams(content: http.StreamReader) -> None:
    async for line in content:
        assert_type(line, bytes)
    async for chunk in content.iter_chunked(1024):
        assert_type(chunk, bytes)
    async for piece in content.iter_any():
        assert_type(piece, bytes)
    async for data, end in content.iter_chunks():
        assert_type(data, bytes)
        assert_type(end, bool)
    assert_type(await content.readline(), bytes)
    assert_type(await content.readchunk(), tuple[bytes, bool])


async def body() -> AsyncIterator[bytes]:
    yield b""


async def middleware(
    request: http.ClientRequest, handler: http.ClientHandlerType
) -> http.ClientResponse:
    request.headers["A"] = "b"
    return await handler(request)


class Session(http.ClientSession):
    async def text(self, url: str) -> str:
        async with self.get(url) as response:
            return await response.text()


async def main() -> int:
    async with http.TCPConnector(limit=10) as connector:
        assert_type(connector, http.TCPConnector)
        assert_type(connector.stats, http.ConnectorStats)
    async with Session("http://x/", connector=connector, middlewares=[middleware]) as session:
        assert_type(session, Session)
        await session.post("/", data=body())
        try:
            assert_type(await session.text("/"), str)
        except http.ClientResponseError as error:
            assert_type(error.status, int)
    return 0


class Client(asyncio.Protocol):
    pass


async def connections(loop: uvolt.Loop) -> None:
    transport, protocol = await loop.create_connection(Client, "x", 1, happy_eyeballs_delay=0.2)
    assert_type(transport, asyncio.Transport)
    assert_type(protocol, Client)
    server = await loop.create_server(Client, "x", 1, keep_alive=True)
    server.abort_clients()


assert_type(uvolt.run(main()), int)
assert_type(uvolt.new_event_loop(), uvolt.Loop)
assert_type(uvolt.new_event_loop().run_until_complete(main()), int)
assert_type(uvolt.new_event_loop().call_later(1, print), asyncio.TimerHandle)
policy: asyncio.AbstractEventLoopPolicy = uvolt.EventLoopPolicy()
