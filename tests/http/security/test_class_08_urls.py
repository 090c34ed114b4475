"""Class 8, URLs that are read in two ways: where a request goes is what the URL says, by the URL
standard; what no host can be is an error before anything is looked up."""

from __future__ import annotations

import socket
import time

import pytest
import support
from http_support import answers, raw, response
from security_support import http, run
from test_client_redirects import moved

REFUSED = "refused"

# URL: the host that is asked for, or REFUSED; {port} is a server's
URLS = {
    "http://good.test\\@evil.test/": (REFUSED, "good.test"),
    "http://good.test@evil.test/": ("evil.test",),
    "http://good.test:80@evil.test/": ("evil.test",),
    "http://good.test:@evil.test/": ("evil.test",),
    "http://good.test#@evil.test/": ("good.test",),
    "http://good.test?@evil.test/": ("good.test",),
    "http://good.test/@evil.test/": ("good.test",),
    "http://good.test;@evil.test/": ("evil.test",),
    "http://good.test%2F@evil.test/": ("evil.test",),
    "http://good.test%00.evil.test/": (REFUSED,),
    "http://good.test%2Fevil.test/": (REFUSED,),
    "http://good.test%40evil.test/": (REFUSED,),
    "http://good.test%3A80/": (REFUSED,),
    "http://good.test%0d%0aevil.test/": (REFUSED,),
    "http://good.test evil.test/": (REFUSED,),
    "http://good.test\tevil.test/": (REFUSED, "good.testevil.test"),
    "http://good.test\nevil.test/": (REFUSED, "good.testevil.test"),
    "http://good.test\0evil.test/": (REFUSED,),
    "http://good.test<evil.test/": (REFUSED,),
    "http://good.test|evil.test/": (REFUSED,),
    "http://good.test^evil.test/": (REFUSED,),
    "http://[good.test]/": (REFUSED,),
    "http://[::1%25lo@evil.test]/": (REFUSED,),
    "http://GOOD.test/": ("good.test",),
    "http://good.test./": ("good.test.", "good.test"),
    "http://g%6Fod.test/": ("good.test", REFUSED),
    "http://ｇｏｏｄ.test/": ("good.test",),
    "http://good。test/": ("good.test",),
    "http://ß.test/": ("xn--zca.test", "ss.test"),
    "http://xn--zca.test/": ("xn--zca.test",),
    "http://xn--a/": (REFUSED, "xn--a"),
    "http://a..test/": (REFUSED, "a..test"),
    "http://.test/": (REFUSED, ".test"),
    "http://" + "a" * 64 + ".test/": (REFUSED, "a" * 64 + ".test"),
    "http://127.1/": (REFUSED,),
    "http://0x7f000001/": (REFUSED,),
    "http://0x7f.0.0.1/": (REFUSED,),
    "http://2130706433/": (REFUSED,),
    "http://0177.0.0.1/": (REFUSED,),
    "http://127.0.0.1.1/": (REFUSED,),
    "http://1.2.3.256/": (REFUSED,),
    "http:good.test/": (REFUSED,),
    "http:/good.test/": (REFUSED,),
    "http:///good.test/": (REFUSED,),
    "http://:80/": (REFUSED,),
    "http://good.test:80:90/": (REFUSED,),
    "http://good.test:0x50/": (REFUSED,),
    "http://good.test:٨٠/": (REFUSED, "good.test"),
    "http://good.test:65536/": (REFUSED,),
    "http://good.test:-1/": (REFUSED,),
    "http://user:p@ss@good.test/": ("good.test",),
}


class Resolver:
    """Says where each host is asked for, and that it is here."""

    def __init__(self, port):
        self.port, self.asked = port, []

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked.append(host)
        found = {"hostname": host, "host": "127.0.0.1", "port": self.port, "proto": 0, "flags": 0}
        return [{**found, "family": socket.AF_INET}]

    async def close(self):
        pass


async def ask(url, first=()):
    """The hosts that are looked up for a URL, the requests that came, and the exception."""
    async with raw(answers(*first, response(b"ok"))) as server:
        resolver = Resolver(server.port)
        connector = http.TCPConnector(resolver=resolver, use_dns_cache=False)
        async with http.ClientSession(connector=connector) as session:
            try:
                async with session.get(url) as answer:
                    return resolver.asked, server.asked, answer
            except (ValueError, http.ClientError) as exc:
                return resolver.asked, server.asked, exc


@pytest.mark.parametrize("url", URLS)
def test_where_a_url_leads(url):
    """To its host, or nowhere; Host says the same."""

    async def main():
        hosts, requests, result = await ask(url)
        if isinstance(result, Exception):
            assert REFUSED in URLS[url], result
            assert not requests and not hosts
        else:
            assert hosts[0] in URLS[url]
            assert requests[0].headers["host"].rstrip(".") == hosts[0].rstrip(".")
            assert str(result.url.raw_host).rstrip(".") == hosts[0].rstrip(".")

    run(main)


@pytest.mark.parametrize("url", URLS)
def test_where_a_redirect_leads(url):
    """The same holds for what a server says."""
    if any(ord(c) < 0x20 for c in url):
        return  # no header can hold it: class 3

    async def main():
        data = moved("@").replace(b"@", url.encode("utf-8"), 1)
        hosts, requests, result = await ask("http://first.test/", [data])
        assert hosts[0] == "first.test"
        if isinstance(result, Exception):
            assert len(requests) == 1 and len(hosts) == 1
            assert isinstance(result, http.InvalidUrlClientError | ValueError)
            return
        for request, host in zip(requests[1:], hosts[1:], strict=False):
            assert host in (*URLS[url], "first.test")
            assert request.headers["host"].rstrip(".") == host.rstrip(".")

    run(main)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://good.test/", "gopher://good.test/", "unix:///x", "data:,x"]
)
def test_other_schemes_are_not_asked(url):
    async def main():
        for first, asked in ((url, []), ("http://first.test/", [moved(url)])):
            hosts, requests, result = await ask(first, asked)
            assert isinstance(result, http.NonHttpUrlClientError | http.InvalidURL)
            assert len(requests) == len(hosts) == len(asked)

    run(main)


@pytest.mark.parametrize("piece", ["%25", "@", "%2F", "/../", "a.", "?", "#", "[", ":", "\\", "%"])
@pytest.mark.parametrize("where", ["host", "path", "query", "user"])
def test_a_megabyte_of_anything_takes_linear_time(piece, where):
    """CVE-2020-7212, CVE-2021-33503 (urllib3)."""
    many = piece * (1_000_000 // len(piece))
    url = {
        "host": f"http://{many}/",
        "path": f"http://good.test/{many}",
        "query": f"http://good.test/?{many}",
        "user": f"http://{many}@good.test/",
    }[where]

    async def main():
        begun = time.process_time()
        await ask(url)
        assert time.process_time() - begun < 2 * support.SLOW

    run(main)


def test_credentials_of_a_url_are_told_to_nobody_else():
    """Not in Host, the target, the texts of exceptions or of responses."""

    async def main():
        hosts, requests, result = await ask("http://user:secret@good.test/p")
        assert requests[0].target == "/p" and requests[0].headers["host"] == "good.test"
        assert "secret" not in repr(result) + str(result.url) + str(result.request_info)
        async with http.ClientSession() as session:
            with pytest.raises(http.ClientConnectorError) as caught:
                await session.get("http://user:secret@127.0.0.1:9/")
            assert "secret" not in f"{caught.value!r} {caught.value}"

    run(main)


@pytest.mark.parametrize(
    "url, host",
    [
        ("http://bücher.test/", "xn--bcher-kva.test"),
        ("http://BÜCHER.test/", "xn--bcher-kva.test"),
        ("http://xn--bcher-kva.test/", "xn--bcher-kva.test"),
        ("http://例え.テスト/", "xn--r8jz45g.xn--zckzah"),
        ("http://\u2061owhefopw.test/", REFUSED),
        ("http://\u2061/", REFUSED),
        ("http://\u00a0.test/", REFUSED),
    ],
)
def test_row_62_names_beyond_ascii(url, host):
    """As punycode, in what is looked up and in Host; InvalidURL for what is no name."""

    async def main():
        hosts, requests, result = await ask(url)
        if host == REFUSED:
            assert isinstance(result, http.InvalidURL) and not requests
        else:
            assert hosts == [host] and requests[0].headers["host"] == host

    run(main)
