"""HTTP clients: the process under test of the client cases.

    python benchmarks/clients.py WHAT --client NAME --url BASE [--concurrency N] [--n N]

WHAT is json, get, gzip, big, post, https or session. Each client does the same through its own
plain interface, with keep-alive and as many requests at a time as it is told to; the body is always
read whole, JSON always parsed, but for get. Speaks the same protocol as micro.py.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import micro, peers  # noqa: E402

PAYLOAD = {"name": "x" * 900, "values": list(range(20))}  # of a POST, about 1 KiB
BIG = 1 << 20
CLIENTS: dict[str, Callable[[], Client]] = {}


class Client:
    """One client library. `open` runs once on the running loop, then requests, then `close`.

    The server's certificate is self-signed: verification is turned off everywhere.
    """

    loop = "asyncio"

    async def open(self, concurrency: int) -> None:
        raise NotImplementedError

    async def json(self, url: str) -> Any:
        raise NotImplementedError

    async def read(self, url: str) -> bytes:
        raise NotImplementedError

    async def post(self, url: str, payload: Any) -> bytes:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class Aiohttp(Client):
    """aiohttp, and whatever has its interface."""

    def __init__(self, loop: str = "asyncio", module: str = "aiohttp") -> None:
        self.loop = loop
        self.module = module

    async def open(self, concurrency: int) -> None:
        if self.module == "aiohttp":
            import aiohttp as http
        else:
            from uvolt import http
        connector = http.TCPConnector(limit=concurrency, ssl=False)
        self.session = http.ClientSession(connector=connector)

    async def json(self, url: str) -> Any:
        async with self.session.get(url) as response:
            return await response.json()

    async def read(self, url: str) -> bytes:
        async with self.session.get(url) as response:
            return await response.read()

    async def post(self, url: str, payload: Any) -> bytes:
        async with self.session.post(url, json=payload) as response:
            return await response.read()

    async def close(self) -> None:
        await self.session.close()


class Httpx(Client):
    async def open(self, concurrency: int) -> None:
        import httpx

        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        self.client = httpx.AsyncClient(verify=False, limits=limits, timeout=60)

    async def json(self, url: str) -> Any:
        return (await self.client.get(url)).json()

    async def read(self, url: str) -> bytes:
        return (await self.client.get(url)).content

    async def post(self, url: str, payload: Any) -> bytes:
        return (await self.client.post(url, json=payload)).content

    async def close(self) -> None:
        await self.client.aclose()


class Pyreqwest(Client):
    async def open(self, concurrency: int) -> None:
        from pyreqwest.client import ClientBuilder

        builder = ClientBuilder().max_connections(concurrency).danger_accept_invalid_certs(True)
        self.client = builder.build()

    async def json(self, url: str) -> Any:
        return await (await self.client.get(url).build().send()).json()

    async def read(self, url: str) -> bytes:
        return bytes(await (await self.client.get(url).build().send()).bytes())

    async def post(self, url: str, payload: Any) -> bytes:
        request = self.client.post(url).body_json(payload).build()
        return bytes(await (await request.send()).bytes())

    async def close(self) -> None:
        await self.client.close()


class Wreq(Client):
    async def open(self, concurrency: int) -> None:
        import wreq

        self.client = wreq.Client(tls_verify=False, pool_max_size=concurrency, gzip=True)

    async def json(self, url: str) -> Any:
        return await (await self.client.get(url)).json()

    async def read(self, url: str) -> bytes:
        return bytes(await (await self.client.get(url)).bytes())

    async def post(self, url: str, payload: Any) -> bytes:
        return bytes(await (await self.client.post(url, json=payload)).bytes())

    async def close(self) -> None:
        self.client.close()


class Primp(Client):
    async def open(self, concurrency: int) -> None:
        import primp

        self.client = primp.AsyncClient(verify=False)

    async def json(self, url: str) -> Any:
        return (await self.client.get(url)).json()

    async def read(self, url: str) -> bytes:
        return bytes((await self.client.get(url)).content)

    async def post(self, url: str, payload: Any) -> bytes:
        return bytes((await self.client.post(url, json=payload)).content)

    async def close(self) -> None:
        del self.client


class CurlCffi(Client):
    async def open(self, concurrency: int) -> None:
        import curl_cffi

        self.session: Any = curl_cffi.AsyncSession(max_clients=concurrency, verify=False)

    async def json(self, url: str) -> Any:
        return (await self.session.get(url)).json()

    async def read(self, url: str) -> bytes:
        return (await self.session.get(url)).content

    async def post(self, url: str, payload: Any) -> bytes:
        return (await self.session.post(url, json=payload)).content

    async def close(self) -> None:
        await self.session.close()


class Niquests(Client):
    async def open(self, concurrency: int) -> None:
        import niquests

        self.session = niquests.AsyncSession(pool_connections=concurrency, pool_maxsize=concurrency)

    async def json(self, url: str) -> Any:
        return (await self.session.get(url, verify=False)).json()

    async def read(self, url: str) -> bytes:
        return (await self.session.get(url, verify=False)).content

    async def post(self, url: str, payload: Any) -> bytes:
        return (await self.session.post(url, json=payload, verify=False)).content

    async def close(self) -> None:
        await self.session.close()


class Aiosonic(Client):
    def __init__(self, loop: str = "asyncio") -> None:
        self.loop = loop

    async def open(self, concurrency: int) -> None:
        import aiosonic
        from aiosonic.connectors import TCPConnector
        from aiosonic.pools import PoolConfig

        pool = PoolConfig(size=concurrency, max_conn_requests=None)
        connector = TCPConnector(pool_configs={":default": pool})
        self.client = aiosonic.HTTPClient(connector, verify_ssl=False)

    async def json(self, url: str) -> Any:
        return await (await self.client.get(url)).json()

    async def read(self, url: str) -> bytes:
        return await (await self.client.get(url)).content()

    async def post(self, url: str, payload: Any) -> bytes:
        return await (await self.client.post(url, json=payload)).content()

    async def close(self) -> None:
        await self.client.aclose()


class Pycurl(Client):
    """libcurl's multi interface by itself: no asyncio, the way its own examples go."""

    def run(self, what: str, base: str, n: int, concurrency: int) -> None:
        import pycurl

        if not hasattr(self, "multi"):
            self.multi = pycurl.CurlMulti()
            self.free = [pycurl.Curl() for _ in range(concurrency)]
        body = json.dumps(PAYLOAD)
        left, busy = n, 0
        while left or busy:
            while left and self.free:
                curl = pycurl.Curl() if what == "session" else self.free.pop()
                curl.reset()
                curl.body = io.BytesIO()
                curl.setopt(pycurl.URL, base + PATHS[what])
                curl.setopt(pycurl.WRITEDATA, curl.body)
                curl.setopt(pycurl.SSL_VERIFYPEER, 0)
                curl.setopt(pycurl.SSL_VERIFYHOST, 0)
                if what == "gzip":
                    curl.setopt(pycurl.ACCEPT_ENCODING, "gzip")
                if what == "post":
                    curl.setopt(pycurl.POSTFIELDS, body)
                    curl.setopt(pycurl.HTTPHEADER, ["Content-Type: application/json", "Expect:"])
                if what == "session":
                    curl.perform()
                    check(what, json.loads(curl.body.getvalue()))
                    curl.close()
                    left -= 1
                    continue
                self.multi.add_handle(curl)
                left -= 1
                busy += 1
            if not busy:
                continue
            self.multi.perform()
            _, finished, failed = self.multi.info_read()
            if failed:
                raise RuntimeError(f"pycurl: {failed[0][2]}")
            for curl in finished:
                self.multi.remove_handle(curl)
                data = curl.body.getvalue()
                check(what, json.loads(data) if what in ("json", "gzip") else data)
                self.free.append(curl)
                busy -= 1
            if not finished:
                self.multi.select(1.0)


CLIENTS.update(
    {
        "uvolt": lambda: Aiohttp("uvolt", "uvolt.http"),
        "aiohttp": Aiohttp,
        "aiohttp+uvloop": lambda: Aiohttp("uvloop"),
        "aiohttp+uvolt": lambda: Aiohttp("uvolt"),
        "httpx": Httpx,
        "pyreqwest": Pyreqwest,
        "wreq": Wreq,
        "primp": Primp,
        "curl_cffi": CurlCffi,
        "niquests": Niquests,
        "aiosonic": Aiosonic,
        "aiosonic+uvloop": lambda: Aiosonic("uvloop"),
        "pycurl": Pycurl,
    }
)
DISTRIBUTIONS = (
    *("aiohttp", "httpx", "pyreqwest", "wreq", "primp", "curl_cffi", "niquests", "aiosonic"),
    "pycurl",
)
PATHS = {
    "json": "/json",
    "get": "/json",
    "gzip": "/gzip",
    "big": "/big",
    "post": "/post",
    "https": "/",
    "session": "/json",
}


def check(what: str, answer: Any) -> None:
    """Every answer is looked at: a client that fails fast is not a fast client."""
    if what in ("json", "gzip", "session"):
        good = isinstance(answer, dict) and answer.get("ok") is True
    elif what == "big":
        good = len(answer) == BIG
    else:
        good = len(answer) > 0
    if not good:
        raise RuntimeError(f"wrong answer to {what}: {str(answer)[:60]!r}")


async def one(client: Client, what: str, url: str) -> None:
    if what in ("json", "gzip"):
        check(what, await client.json(url))
    elif what == "post":
        check(what, await client.post(url, PAYLOAD))
    else:
        check(what, await client.read(url))


async def requests(client: Client, what: str, base: str, n: int, concurrency: int) -> None:
    url = base + PATHS[what]
    left = n

    async def work() -> None:
        nonlocal left
        while left:
            left -= 1
            await one(client, what, url)

    await asyncio.gather(*(work() for _ in range(min(n, concurrency))))


async def sessions(name: str, base: str, n: int) -> None:
    for _ in range(n):
        client = CLIENTS[name]()
        await client.open(1)
        check("session", await client.json(base + PATHS["session"]))
        await client.close()


def case(name: str, what: str, base: str, concurrency: int) -> tuple[str, micro.Case]:
    """The loop a client runs on, and a function that does n requests on it."""
    client = CLIENTS[name]()
    if isinstance(client, Pycurl):
        return client.loop, lambda loop, n: client.run(what, base, n, concurrency)
    if what == "session":
        return client.loop, lambda loop, n: loop.run_until_complete(sessions(name, base, n))
    opened = False

    async def run(n: int) -> None:
        nonlocal opened
        if not opened:
            await client.open(concurrency)
            opened = True
        await requests(client, what, base, n, concurrency)

    return client.loop, lambda loop, n: loop.run_until_complete(run(n))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=sorted(PATHS))
    parser.add_argument("--client", required=True, choices=sorted(CLIENTS))
    parser.add_argument("--url", required=True)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--n", type=int)
    args = parser.parse_args()
    name, run = case(args.client, args.what, args.url, args.concurrency)
    loop = peers.new_loop(name)
    asyncio.set_event_loop(loop)
    if args.n is not None:
        print(json.dumps(micro.measure(loop, run, args.n)), flush=True)
    else:
        print(json.dumps({"pid": os.getpid()}), flush=True)
        for line in sys.stdin:
            print(json.dumps(micro.measure(loop, run, int(line))), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
