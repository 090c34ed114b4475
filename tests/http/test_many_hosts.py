"""More hosts than anything should be kept of: 100,000 in the suite, a million in the slow lane, by
UVOLT_MANY_HOSTS. What is kept is bounded: addresses, URLs, routes, connections (CVE-2026-34513).
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from typing import Any

import pytest
import support

import uvolt
from uvolt import _core
from uvolt.http import ClientSession, TCPConnector
from uvolt.http.abc import AbstractResolver

HOSTS = int(os.environ.get("UVOLT_MANY_HOSTS", "20000" if support.SANITIZED else "100000"))
CONNECTED = 2000  # hosts that are connected to by sockets
AT_A_TIME = 8
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Everywhere(AbstractResolver):
    """All hosts are this one."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[Any]:
        found = {"hostname": host, "host": "127.0.0.1", "port": port}
        return [{**found, "family": family, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


class Answering(asyncio.Transport):
    """A transport without a socket: what is written to it is answered at once."""

    def __init__(self, conn: Any) -> None:
        super().__init__()
        self.conn: Any = conn
        self.loop = asyncio.get_running_loop()

    def write(self, data: Any) -> None:
        self.loop.call_soon(self.conn.data_received, OK)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.conn is None

    def close(self) -> None:
        conn, self.conn = self.conn, None
        if conn is not None:
            self.loop.call_soon(conn.connection_lost, None)

    abort = close


class Connector(TCPConnector):
    """Names are looked up as ever; connections are Answering transports."""

    async def _connect(self, conn: Any, key: Any, limit: Any, *args: Any) -> None:
        await self._resolve_host(key.host, key.port)
        conn.connection_made(Answering(conn))


class Server(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(OK)


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def alive() -> Counter[str]:
    """How many there are of the types that exist per host, URL or connection."""
    names = {"HTTPRoute", "HTTPTarget", "HTTPConnection", "Answering", "ClientResponse"}
    found = Counter(type(thing).__name__ for thing in gc.get_objects())
    return Counter({name: found[name] for name in names})


async def ask(http: ClientSession, port: int, first: int, last: int) -> None:
    """One request to each of the hosts."""

    async def some(start: int) -> None:
        for i in range(start, last, AT_A_TIME):
            async with http.get(f"http://h{i}.example:{port}/path/{i}?q={i}") as answer:
                assert await answer.read() == b"ok"

    await asyncio.gather(*(some(first + i) for i in range(AT_A_TIME)))


def check(http: ClientSession) -> None:
    """What is kept is bounded."""
    connector: Any = http.connector
    pool = connector._pool
    assert pool.in_use == 0
    assert pool.idle <= pool.limit
    assert pool.waiting == 0
    assert len(connector._names._cache) <= 1000
    assert not connector._names._lookups
    count = alive()
    assert count["HTTPConnection"] <= pool.limit + AT_A_TIME
    assert count["HTTPTarget"] <= 1024  # TARGET_CACHE of URLs, and of origins
    assert count["HTTPRoute"] <= 2 * (
        1024 + pool.limit
    )  # those without a use go when they have doubled
    assert count["ClientResponse"] <= AT_A_TIME


@pytest.mark.timeout(60 + HOSTS // 500)
def test_hosts() -> None:
    async def main() -> None:
        async with ClientSession(connector=Connector(resolver=Everywhere(), limit=50)) as http:
            await ask(http, 80, 0, HOSTS // 5)  # caches are full now
            check(http)
            gc.collect()
            before = resident()
            for part in range(1, 5):
                await ask(http, 80, HOSTS * part // 5, HOSTS * (part + 1) // 5)
                check(http)
            gc.collect()
            grown = resident() - before
            assert support.SANITIZED or grown < 3 << 20, f"{grown:,} bytes for {HOSTS:,} hosts"

    uvolt.run(main())


def test_hosts_that_are_connected_to() -> None:
    """By real sockets; `limit` makes room for a host by closing the connection of another."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Server, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with ClientSession(connector=TCPConnector(resolver=Everywhere(), limit=9)) as http:
            for part in range(4):
                await ask(http, port, CONNECTED * part // 4, CONNECTED * (part + 1) // 4)
                check(http)
        server.close()
        await server.wait_closed()

    uvolt.run(main())


def test_routes_that_nobody_uses_go() -> None:
    """Those in use stay, and are found again by their key."""

    async def main() -> None:
        pool = _core.HTTPPool(asyncio.get_running_loop())
        kept = {i: pool.route(("kept", i)) for i in range(100)}
        for i in range(100_000):
            pool.route(("passing", i))
        assert alive()["HTTPRoute"] < 500
        assert all(pool.route(("kept", i)) is route for i, route in kept.items())
        del kept
        for i in range(1000):
            pool.route(("more", i))
        assert alive()["HTTPRoute"] < 250
        await pool.close()

    uvolt.run(main())
