"""Proxies that people run: tinyproxy, Dante and microsocks, each a process of the tests, before
nginx. tools/system.sh installs them."""

from __future__ import annotations

import asyncio
import socket

import pytest
import servers
import support

LARGE = 64 << 20

pytestmark = [
    pytest.mark.servers,
    pytest.mark.filterwarnings("ignore:The 'proxy_auth' parameter:DeprecationWarning"),
]


tinyproxy = servers.fixture(servers.tinyproxy, "module")
microsocks = servers.fixture(servers.microsocks, "module")
dante = servers.fixture(servers.dante, "module")


async def get(http, url, **request):
    async with http.get(url, **request) as answer:
        assert answer.status == 200
        return await answer.read()


async def work(client, nginx, by, certificates):
    """Requests of many kinds through a proxy, http and https."""
    connector = client.http.TCPConnector(ssl=certificates.client(), family=socket.AF_INET)
    places = [f"http://localhost:{nginx.port}", f"https://localhost:{nginx.tls_port}"]
    async with client.session(connector=connector, **by) as http:
        for place in places:
            small = await get(http, f"{place}/small.json")
            assert small == (nginx.directory / "files" / "small.json").read_bytes()
            text = await get(http, f"{place}/text.txt")
            assert text == (nginx.directory / "files" / "text.txt").read_bytes()
            urls = [f"{place}/small.json?{n}" for n in range(50)]
            assert await asyncio.gather(*(get(http, url) for url in urls)) == [small] * 50
            body = b"x" * (1 << 20)
            async with http.put(f"{place}/upload/{client}", data=body) as answer:
                assert answer.status in (201, 204)
            assert (nginx.directory / "files" / "upload" / str(client)).read_bytes() == body
            size = 0
            async with http.get(f"{place}/large") as answer:
                async for piece in answer.content.iter_any():
                    size += len(piece)
            assert size == LARGE
            async with http.get(f"{place}/nothing") as answer:
                assert answer.status == 404


def test_tinyproxy(client, nginx, tinyproxy, certificates):
    by = {
        "proxy": f"http://{support.LOCALHOST}:{tinyproxy.port}",
        "proxy_auth": client.basic_auth("user", "word"),
    }
    client.run(lambda: work(client, nginx, by, certificates), 60)


def test_tinyproxy_refuses(client, nginx, tinyproxy):
    async def main():
        by = f"http://user:wrong@{support.LOCALHOST}:{tinyproxy.port}"
        async with client.session(proxy=by) as http:
            async with http.get(f"http://localhost:{nginx.port}/small.json") as answer:
                assert answer.status in (401, 407)  # tinyproxy 1.11 says 401 to wrong ones
            with pytest.raises(client.http.ClientHttpProxyError) as caught:
                await http.get(f"https://localhost:{nginx.tls_port}/small.json")
            assert caught.value.status in (401, 407)
        good = f"http://user:word@{support.LOCALHOST}:{tinyproxy.port}"
        async with client.session(proxy=good) as http:
            async with http.get("http://127.0.0.1:1/") as answer:
                assert answer.status in (500, 502)
            with pytest.raises(client.http.ClientHttpProxyError) as caught:
                await http.get("https://127.0.0.1:1/")
            assert caught.value.status in (500, 502)

    client.run(main)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_microsocks(ours, nginx, microsocks, certificates, scheme):
    by = {"proxy": f"{scheme}://user:word@{support.LOCALHOST}:{microsocks.port}"}
    ours.run(lambda: work(ours, nginx, by, certificates), 60)


def test_microsocks_refuses(ours, nginx, microsocks):
    async def main():
        place = f"{support.LOCALHOST}:{microsocks.port}"
        url = f"http://localhost:{nginx.port}/small.json"
        async with ours.session() as http:
            for by in (f"socks5h://{place}", f"socks5h://user:wrong@{place}"):
                with pytest.raises(ours.http.ClientProxyConnectionError, match="SOCKS5 proxy"):
                    await http.get(url, proxy=by)
            by = f"socks5h://user:word@{place}"
            with pytest.raises(ours.http.ClientProxyConnectionError, match="refused") as caught:
                await http.get("http://127.0.0.1:1/", proxy=by)
            assert caught.value.host == "127.0.0.1"

    ours.run(main)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_dante(ours, nginx, dante, certificates, scheme):
    by = {"proxy": f"{scheme}://{support.LOCALHOST}:{dante.port}"}
    ours.run(lambda: work(ours, nginx, by, certificates), 60)


def test_dante_refuses(ours, dante):
    async def main():
        by = f"socks5://{support.LOCALHOST}:{dante.port}"
        async with ours.session(proxy=by) as http:
            with pytest.raises(ours.http.ClientProxyConnectionError, match="not allowed"):
                await http.get("http://127.0.0.2:1/")
            with pytest.raises(ours.http.ClientProxyConnectionError, match="refused"):
                await http.get("https://127.0.0.1:1/")

    ours.run(main)
