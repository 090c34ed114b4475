"""Libraries that answer in the server's place: they patch ClientSession._request and build
ClientResponse objects by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from eco_support import both

pytestmark = pytest.mark.unsanitized


def test_aioresponses(tmp_path: Path) -> None:
    """Not beside the original: aioresponses 0.7.9 does not give its ClientResponse the argument
    stream_writer, which aiohttp requires from 3.14 on; here it may be left out."""
    program = """
from aioresponses import aioresponses, CallbackResult

async def hello(request):
    return web.json_response({"hello": request.method})

async def main():
    async with serve(rest=hello) as url, aiohttp.ClientSession() as session:
        engine(session)
        with aioresponses(passthrough=[url]) as mocked:
            mocked.get("http://example.com/a", payload={"a": 1}, headers={"X-A": "y"})
            mocked.post("http://example.com/b", status=500, repeat=True)
            mocked.get("http://example.com/c", exception=aiohttp.ClientConnectionError("boom"))
            mocked.get("http://example.com/d?q=1", callback=lambda url, **kw:
                       CallbackResult(body=json.dumps(sorted(kw.get("params", {})))))
            mocked.get("http://example.com/r", status=302, headers={"Location": "/a2"})
            mocked.get("http://example.com/a2", body=b"redirected")
            async with session.get("http://example.com/a") as response:
                print(response.status, await response.json(), response.headers["X-A"],
                      isinstance(response, aiohttp.ClientResponse), response.ok, response.url)
            response = await session.post("http://example.com/b", json={"x": 1})
            try:
                response.raise_for_status()
            except aiohttp.ClientResponseError as exc:
                print("raised", exc.status, str(exc))
            try:
                await session.get("http://example.com/c")
            except aiohttp.ClientError as exc:
                print(repr(exc))
            try:
                await session.get("http://example.com/nothing")
            except aiohttp.ClientConnectionError as exc:
                print(repr(exc))
            async with session.get("http://example.com/d", params={"q": "1"}) as response:
                print(await response.text())
            async with session.get("http://example.com/r") as response:
                print(await response.read(), len(response.history))
            async with session.get(url) as response:
                print(await response.json())
            mocked.assert_any_call("http://example.com/a", "GET")
            print(sorted((method, str(url)) for method, url in mocked.requests if "nothing" in
                         str(url) or "/b" in str(url)))
        async with session.get(url) as response:
            print("again", await response.json())

asyncio.run(main())
"""
    lines = both(program, tmp_path, "uvolt", oracle=False)
    assert lines[0] == "200 {'a': 1} y True True http://example.com/a"
    assert lines[-1] == "again {'hello': 'GET'}"


def test_vcrpy(tmp_path: Path) -> None:
    """Recorded from a server, then played without it."""
    program = """
import vcr

count = 0

async def hello(request):
    global count
    count += 1
    response = web.json_response({"count": count, "sent": (await request.read()).decode()})
    response.set_cookie("a", "b")
    return response

async def moved(request):
    raise web.HTTPFound("/there")

async def use(session, url, record):
    with record.use_cassette("cassette.yaml") as cassette:
        async with session.get(url + "/a", params={"x": "y"}) as response:
            print(response.status, await response.json(), response.cookies["a"].value,
                  isinstance(response, aiohttp.ClientResponse))
        async with session.post(url + "/b", json=[1, 2]) as response:
            print(await response.text(), response.content_type, response.method)
        async with session.get(url + "/moved") as response:
            print(response.url.path, len(response.history), await response.json())
        async with session.get(url + "/lines") as response:
            print([line async for line in response.content])
        print(len(cassette), cassette.play_count)

async def main():
    record = vcr.VCR(record_mode="once")
    async with aiohttp.ClientSession() as session:
        engine(session)
        async with serve(rest=hello, moved=moved) as url:
            await use(session, url, record)
        await use(session, url, record)  # the server is gone
        with record.use_cassette("cassette.yaml"):
            try:
                await session.get(url + "/other")
            except Exception as exc:
                print(type(exc).__name__)

asyncio.run(main())
"""
    lines = both(program, tmp_path, "uvolt")
    half = (len(lines) - 1) // 2
    assert lines[: half - 1] == lines[half : 2 * half - 1]
    assert lines[half - 1].endswith(" 0") and not lines[2 * half - 1].endswith(" 0")
    assert lines[-1] == "CannotOverwriteExistingCassetteException"
