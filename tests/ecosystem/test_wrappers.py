"""Libraries that wrap, subclass or replace parts of a session."""

from __future__ import annotations

from pathlib import Path

import pytest
from eco_support import both

pytestmark = pytest.mark.unsanitized


def test_aiohttp_retry(tmp_path: Path) -> None:
    program = """
from aiohttp_retry import ExponentialRetry, ListRetry, RetryClient

calls = []

async def flaky(request):
    calls.append(request.headers.get("x-a"))
    if len(calls) % 3:
        return web.Response(status=503)
    return web.json_response({"after": len(calls)})

async def main():
    async with serve(rest=flaky) as url:
        options = ExponentialRetry(attempts=4, start_timeout=0.01, statuses={503})
        async with RetryClient(retry_options=options, headers={"x-a": "b"}) as client:
            engine(client._client)
            async with client.get(url) as response:
                print(response.status, await response.json(), calls)
        async with aiohttp.ClientSession() as session:
            engine(session)
            client = RetryClient(client_session=session, retry_options=ListRetry([0.01, 0.01]),
                                 raise_for_status=True)
            async with client.post(url, json={}, retry_options=options) as response:
                print(response.status, len(calls))
            try:
                async with client.get(url, retry_options=ListRetry([0.01], statuses={503})):
                    pass
            except aiohttp.ClientResponseError as exc:
                print("gave up", exc.status, len(calls))
    options = ExponentialRetry(attempts=2, start_timeout=0.01,
                               exceptions={aiohttp.ClientConnectorError})
    async with RetryClient(retry_options=options) as client:
        try:
            async with client.get(url):
                pass
        except aiohttp.ClientConnectorError as exc:
            print(type(exc).__name__)

asyncio.run(main())
"""
    lines = both(program, tmp_path, "uvolt", "uvolt")
    assert lines[0] == "200 {'after': 3} ['b', 'b', 'b']"
    assert lines[-1] == "ClientConnectorError"


def test_aiohttp_client_cache(tmp_path: Path) -> None:
    program = """
from datetime import timedelta
from aiohttp_client_cache import CacheBackend, CachedSession

count = 0

async def hello(request):
    global count
    count += 1
    response = web.json_response({"count": count, "header": request.headers.get("x-a")})
    response.set_cookie("c", str(count))
    return response

async def moved(request):
    raise web.HTTPFound("/there")

async def main():
    cache = CacheBackend(expire_after=timedelta(hours=1), allowed_methods=("GET", "POST"))
    async with serve(rest=hello, moved=moved) as url:
        async with CachedSession(cache=cache, headers={"x-a": "y"}) as session:
            engine(session)
            print(isinstance(session, aiohttp.ClientSession))
            for path in ("/a", "/a", "/b", "/moved", "/moved"):
                async with session.get(url + path) as response:
                    print(path, response.from_cache, await response.json(), response.status,
                          response.url.path, [r.url.path for r in response.history],
                          {name: m.value for name, m in response.cookies.items()})
            for _ in range(2):
                async with session.post(url, json={"k": "v"}) as response:
                    print(response.from_cache, await response.text())
            async with session.disabled():
                async with session.get(url + "/a") as response:
                    print((await response.json())["count"])
            async with session.put(url, data=b"x") as response:
                print(response.from_cache, response.ok)

asyncio.run(main())
"""
    lines = both(program, tmp_path, "uvolt")
    assert "/a False" in lines[1] and "/a True" in lines[2]


def test_aiohttp_socks(tmp_path: Path) -> None:
    """Its connector opens the connections itself, by a private method: the session is aiohttp's."""
    program = """
from aiohttp_socks import ProxyConnector, ProxyConnectionError

asked = []

async def socks5(reader, writer):
    version, count = await reader.readexactly(2)
    methods = await reader.readexactly(count)
    writer.write(b"\\x05\\x02" if 2 in methods else b"\\x05\\x00")
    if 2 in methods:
        _, size = await reader.readexactly(2)
        user = await reader.readexactly(size)
        secret = await reader.readexactly((await reader.readexactly(1))[0])
        asked.append((user, secret))
        writer.write(b"\\x01\\x00")
    _, _, _, kind = await reader.readexactly(4)
    if kind == 3:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
    else:
        host = ".".join(map(str, await reader.readexactly(4)))
    port = int.from_bytes(await reader.readexactly(2), "big")
    asked.append(host)
    other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\\x05\\x00\\x00\\x01" + bytes(6))
    async def pump(source, target):
        try:
            while data := await source.read(65536):
                target.write(data)
        finally:
            target.close()
    await asyncio.gather(pump(reader, other_writer), pump(other_reader, writer))

async def hello(request):
    return web.json_response({"path": request.path_qs, "body": (await request.read()).decode()})

async def main():
    proxy = await asyncio.start_server(socks5, "127.0.0.1", 0)
    where = proxy.sockets[0].getsockname()[1]
    async with serve(rest=hello) as url:
        port = url.rpartition(":")[2]
        connector = ProxyConnector.from_url(f"socks5://me:secret@127.0.0.1:{where}", rdns=True)
        print(isinstance(connector, aiohttp.TCPConnector))
        async with aiohttp.ClientSession(connector=connector) as session:
            engine(session)
            async with session.get(f"http://nowhere.invalid:{port}/a?b=c") as response:
                print(await response.json())
            async with session.post(f"http://nowhere.invalid:{port}/", data=b"x") as response:
                print(await response.json())
        async with aiohttp.ClientSession() as session:
            engine(session)
            async with session.get(url) as response:
                print(response.status)
        print(asked)
        dead = ProxyConnector.from_url("socks5://127.0.0.1:1")
        async with aiohttp.ClientSession(connector=dead) as session:
            try:
                await session.get(url)
            except ProxyConnectionError as exc:
                print("no proxy")
    proxy.close()
    await asyncio.sleep(0.1)

asyncio.run(main())
"""
    lines = both(program, tmp_path, "aiohttp", "uvolt")
    assert "nowhere.invalid" in lines[-2] and lines[-1] == "no proxy"
