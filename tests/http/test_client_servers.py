"""Real servers: nginx, uvicorn, aiohttp.web; and what a long run leaves in memory."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
import time

import pytest
import support
from aiohttp import web
from http_support import served

pytestmark = pytest.mark.servers


async def get(http, url, **request):
    async with http.get(url, **request) as answer:
        assert answer.status == 200
        return await answer.read()


# -- nginx ----------------------------------------------------------------------------------------


@pytest.fixture
def files(nginx):
    return nginx.directory / "files"


def base(nginx, tls=False):
    return f"https://localhost:{nginx.tls_port}" if tls else f"http://127.0.0.1:{nginx.port}"


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_nginx_keep_alive(client, nginx, tls):
    async def main():
        connector = client.http.TCPConnector(ssl=nginx.certificates.client())
        async with client.session(connector=connector) as http:
            seen = [await get(http, base(nginx, tls) + "/connection") for _ in range(10)]
        number = seen[0].split()[0]
        assert seen == [b"%b %d" % (number, n) for n in range(1, 11)]

    client.run(main)


def test_nginx_closes(client, nginx):
    async def main():
        async with client.session() as http:
            for _ in range(10):
                assert await get(http, base(nginx) + "/close") == b"bye\n"

    client.run(main)


def test_nginx_tls(client, nginx):
    async def main():
        context = nginx.certificates.client()
        async with client.session() as http:
            said = await get(http, base(nginx, True) + "/tls", ssl=context)
            assert said.startswith(b"TLSv1.")

    client.run(main)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_nginx_200_at_a_time(client, nginx, tls):
    async def main():
        connector = client.http.TCPConnector(ssl=nginx.certificates.client(), limit=50)
        async with client.session(connector=connector, base_url=base(nginx, tls)) as http:
            got = await asyncio.gather(*(get(http, "/hello") for _ in range(200)))
            assert got == [b"hello\n"] * 200

    client.run(main)


def test_nginx_gzip(client, nginx, files):
    async def main():
        async with client.session(base_url=base(nginx)) as http:
            async with http.get("/text.txt") as answer:  # text/plain is not in gzip_types
                assert "content-encoding" not in answer.headers
            async with http.get("/small.json") as answer:
                assert answer.headers["content-encoding"] == "gzip"
                assert answer.headers["transfer-encoding"] == "chunked"
                assert (await answer.json())["ok"] is True
            async with http.get("/small.json", headers={"Accept-Encoding": "identity"}) as answer:
                assert "content-encoding" not in answer.headers
                assert await answer.read() == (files / "small.json").read_bytes()

    client.run(main)


def test_nginx_ranges(client, nginx, files):
    content = (files / "text.txt").read_bytes()

    async def main():
        async with client.session(base_url=base(nginx)) as http:
            async with http.get("/text.txt", headers={"Range": "bytes=1000-1999"}) as answer:
                assert answer.status == 206
                assert answer.headers["content-range"] == f"bytes 1000-1999/{len(content)}"
                assert await answer.read() == content[1000:2000]
            async with http.get("/text.txt", headers={"Range": "bytes=9999999-"}) as answer:
                assert answer.status == 416
            async with http.get("/text.txt") as answer:
                tag = answer.headers["etag"]
            async with http.get("/text.txt", headers={"If-None-Match": tag}) as answer:
                assert answer.status == 304 and await answer.read() == b""
            async with http.head("/text.txt") as answer:
                assert answer.content_length == len(content) and await answer.read() == b""
            assert await get(http, "/connection")

    client.run(main)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_nginx_64_mib(client, nginx, files, tls):
    expected = hashlib.sha1((files / "large").read_bytes()).hexdigest()

    async def main():
        async with client.session() as http:
            digest, size = hashlib.sha1(), 0
            url = base(nginx, tls) + "/large"
            async with http.get(url, ssl=nginx.certificates.client()) as answer:
                async for part in answer.content.iter_chunked(1 << 18):
                    digest.update(part)
                    size += len(part)
            assert size == answer.content_length == 64 << 20
            assert digest.hexdigest() == expected

    client.run(main)


def test_nginx_slow(client, nginx, files):
    """1 MiB at 700 KiB/s."""

    async def main():
        async with client.session() as http:
            started = time.monotonic()
            async with http.get(base(nginx) + "/slow/text.txt") as answer:
                parts = [part async for part in answer.content.iter_any()]
            assert b"".join(parts) == (files / "text.txt").read_bytes()
            assert len(parts) > 2 and time.monotonic() - started > 0.2

    client.run(main)


def test_nginx_rate_limited(client, nginx):
    async def main():
        async with client.session() as http:
            statuses = []
            for _ in range(5):
                async with http.get(base(nginx) + "/limited") as answer:
                    statuses.append(answer.status)
                    await answer.read()
            assert 429 in statuses and set(statuses) <= {200, 429}

    client.run(main)


def test_nginx_redirect_empty_and_missing(client, nginx):
    async def main():
        async with client.session(base_url=base(nginx)) as http:
            async with http.get("/moved") as answer:
                assert await answer.text() == "hello\n"
                assert answer.history[0].status == 302
            async with http.get("/empty") as answer:
                assert (answer.status, await answer.read()) == (204, b"")
            async with http.get("/none") as answer:
                assert answer.status == 404 and "nginx" in await answer.text()

    client.run(main)


@pytest.mark.parametrize("kind", ["bytes", "file", "generator"])
def test_nginx_upload(client, nginx, files, kind, tmp_path):
    content = os.urandom(1 << 20) * 3
    (tmp_path / "f").write_bytes(content)

    async def produce():
        for n in range(0, len(content), 100_000):
            yield content[n : n + 100_000]

    async def main():
        async with client.session(base_url=base(nginx)) as http:
            with (tmp_path / "f").open("rb") as file:
                data = {"bytes": content[: 1 << 20], "file": file, "generator": produce()}[kind]
                name = f"/upload/{client.name}-{kind}"
                async with http.put(name, data=data) as answer:
                    assert answer.status == 201
            assert (files / name[1:]).read_bytes() == content[
                : None if kind != "bytes" else 1 << 20
            ]
            async with http.delete(name) as answer:
                assert answer.status == 204

    client.run(main)


def test_nginx_on_a_unix_socket(client, nginx):
    async def main():
        connector = client.http.UnixConnector(path=str(nginx.directory / "nginx.sock"))
        async with client.session(connector=connector) as http:
            for _ in range(3):
                assert await get(http, "http://localhost/hello") == b"hello\n"

    client.run(main)


# -- uvicorn --------------------------------------------------------------------------------------


def test_uvicorn(client, uvicorn):
    async def main():
        async with client.session(base_url=f"http://127.0.0.1:{uvicorn.port}") as http:
            async with http.get("/a%20b", params={"q": "1"}, headers={"X-A": "b"}) as answer:
                asked = await answer.json()
                assert (asked["method"], asked["path"], asked["query"]) == ("GET", "/a b", "q=1")
                assert ["x-a", "b"] in asked["headers"]
            async with http.get("/stream") as answer:
                assert answer.headers["transfer-encoding"] == "chunked"
                expected = b"".join(b"part %d;" % n for n in range(50))
                assert await answer.read() == expected
            for size in (0, 1, 70_000, 3_000_000):
                body = os.urandom(size)
                async with http.post(
                    "/echo", data=body if size < 1 << 20 else parts(body)
                ) as answer:
                    assert await answer.read() == body

    client.run(main)


async def parts(body):
    for n in range(0, len(body), 50_000):
        yield body[n : n + 50_000]


# -- aiohttp.web ----------------------------------------------------------------------------------


def test_aiohttp_web(client):
    async def echo(request):
        return web.json_response(
            {"method": request.method, "query": dict(request.query), "text": await request.text()}
        )

    async def form(request):
        return web.json_response(dict(await request.post()))

    async def upper(request):
        response = web.StreamResponse()
        response.enable_compression()
        await response.prepare(request)
        async for chunk in request.content.iter_any():
            await response.write(chunk.upper())
        return response

    async def main():
        routes = [web.route("*", "/echo", echo), web.post("/form", form), web.post("/up", upper)]
        async with served(*routes) as url, client.session(base_url=url) as http:
            for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
                async with http.request(method, "/echo", params={"a": "b"}, data="text") as answer:
                    got = await answer.json()
                assert got == {"method": method, "query": {"a": "b"}, "text": "text"}
            async with http.post("/form", data={"a": "ü", "b": "c d"}) as answer:
                assert await answer.json() == {"a": "ü", "b": "c d"}
            data = b"some text, " * 50_000
            async with http.post("/up", data=parts(data)) as answer:
                assert answer.headers["content-encoding"] in ("gzip", "deflate")
                assert await answer.read() == data.upper()

    client.run(main)


# -- memory ---------------------------------------------------------------------------------------

MEMORY = """
import asyncio, gc, json, sys
from importlib import import_module

what, client, url, number = sys.argv[1:5]
http = import_module({"aiohttp": "aiohttp", "uvolt": "uvolt.http"}[client])

def rss():
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024

async def requests(session, n):
    left = n
    async def work():
        nonlocal left
        while left > 0:
            left -= 1
            async with session.get(url) as response:
                await response.read()
    await asyncio.gather(*(work() for _ in range(16)))

async def download(session):
    most = 0
    async with session.get(url) as response:
        size = n = 0
        async for part in response.content.iter_chunked(65536):
            size += len(part)
            n += 1
            if n % 16 == 0:
                most = max(most, rss())
    assert size == 64 << 20
    return most

async def main():
    async with http.ClientSession() as session:
        if what == "requests":
            await requests(session, int(number) // 4)
            gc.collect()
            before = rss()
            await requests(session, int(number))
            gc.collect()
            return rss() - before
        async with session.get(url.replace("large", "hello")) as response:
            await response.read()
        before = rss()
        return await download(session) - before

asyncio.set_event_loop(loop := new_loop())
print(json.dumps(loop.run_until_complete(main())))
loop.close()
"""


def growth(client, what, url, number=0):
    source = support.factory_code(client.loop_name) + MEMORY
    done = subprocess.run(
        [sys.executable, "-c", source, what, client.name, url, str(number)],
        capture_output=True,
        text=True,
        timeout=60 * support.SLOW,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(support.SANITIZED, reason="a sanitizer keeps what was freed")
def test_memory_of_10_000_requests(client, nginx):
    assert growth(client, "requests", base(nginx) + "/hello", 10_000) < 1 << 20


@pytest.mark.skipif(support.SANITIZED, reason="a sanitizer keeps what was freed")
def test_memory_of_a_download_of_64_mib(client, nginx):
    grown = growth(client, "download", base(nginx) + "/large")
    assert grown < (4 << 20 if client.ours else 16 << 20)
