"""trust_env=True: proxies of the environment, whom they are passed by for, and ~/.netrc."""

from __future__ import annotations

import logging
import os
import random

import pytest
from http_support import answers, raw, response
from proxy_support import basic, proxy
from yarl import URL

OK = answers(response(b"ok"))
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ws_proxy", "request_method")


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """An environment that names nothing, and no ~/.netrc."""
    for name in (*VARIABLES, *map(str.upper, VARIABLES), "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


async def get(http, url, **request):
    async with http.get(url, **request) as answer:
        return await answer.read()


# -- which proxy ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
def test_http(client, environment, name):
    async def main():
        async with raw(OK) as server, proxy() as by, client.session(trust_env=True) as http:
            environment.setenv(name, by.url.replace("//", "//us%65r:word@"))
            assert await get(http, server.url) == b"ok"
            assert by.asked[0].target == server.url
            assert by.asked[0].headers["proxy-authorization"] == basic("user", "word")
            async with client.session() as other:
                assert await get(other, server.url) == b"ok"
            assert len(by.asked) == 1

    client.run(main)


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
def test_https(client, certificates, environment, name):
    async def main():
        async with raw(OK, ssl=certificates.server()) as server, proxy() as by:
            environment.setenv(name, by.url)
            async with client.session(trust_env=True) as http:
                assert await get(http, server.url, ssl=certificates.client()) == b"ok"
                assert [asked.method for asked in by.asked] == ["CONNECT"]

    client.run(main)


def test_the_lower_case_goes_first(client, environment):
    async def main():
        async with raw(OK) as server, proxy() as by, client.session(trust_env=True) as http:
            environment.setenv("HTTP_PROXY", "http://127.0.0.1:1")
            environment.setenv("http_proxy", by.url)
            assert await get(http, server.url) == b"ok"
            assert len(by.asked) == 1

    client.run(main)


def test_httpoxy(client, environment):
    """In a CGI program HTTP_PROXY is the field Proxy of a request (CVE-2016-1000110)."""

    async def main():
        async with raw(OK) as server, proxy() as by, client.session(trust_env=True) as http:
            environment.setenv("REQUEST_METHOD", "GET")
            environment.setenv("HTTP_PROXY", "http://127.0.0.1:1")
            assert await get(http, server.url) == b"ok"
            environment.setenv("http_proxy", by.url)
            assert await get(http, server.url) == b"ok"
            assert len(by.asked) == 1

    client.run(main)


@pytest.mark.parametrize("given", ["request", "session", "none"])
def test_a_proxy_that_is_given_goes_first(client, environment, given):
    async def main():
        async with raw(OK) as server, proxy() as by:
            environment.setenv("http_proxy", "http://127.0.0.1:1")
            environment.setenv("no_proxy", "*" if given != "none" else "")
            session = {"proxy": by.url} if given == "session" else {}
            request = {"request": {"proxy": by.url}, "none": {"proxy": ""}}.get(given, {})
            async with client.session(trust_env=True, **session) as http:
                assert await get(http, server.url, **request) == b"ok"
            assert len(by.asked) == (given != "none")

    client.run(main)


@pytest.mark.parametrize("scheme", ["https", "socks5", "socks5h"])
def test_other_kinds_of_proxies(ours, certificates, environment, scheme):
    """aiohttp ignores https proxies of the environment, with a warning, and knows no SOCKS."""

    async def main():
        tls = certificates.server() if scheme == "https" else None
        async with raw(OK) as server, proxy(scheme, ssl=tls) as by:
            environment.setenv("http_proxy", by.url)
            connector = ours.http.TCPConnector(ssl=certificates.client())
            async with ours.session(trust_env=True, connector=connector) as http:
                assert await get(http, server.url) == b"ok"
            assert len(by.asked) + len(by.socks) == 1

    ours.run(main)


def test_all_proxy(ours, environment, caplog):
    """As curl has it; aiohttp does not look at it."""

    async def main():
        async with raw(OK) as server, proxy() as by, proxy("socks5h") as socks:
            async with ours.session(trust_env=True) as http:
                environment.setenv("ALL_PROXY", socks.url)
                assert await get(http, server.url) == b"ok"
                assert len(socks.socks) == 1
                environment.setenv("http_proxy", by.url)
                assert await get(http, server.url) == b"ok"
                assert (len(socks.socks), len(by.asked)) == (1, 1)
                environment.delenv("http_proxy")
                environment.setenv("NO_PROXY", "127.0.0.0/8")
                assert await get(http, server.url) == b"ok"
                assert len(socks.socks) == 1
                environment.delenv("NO_PROXY")
                environment.setenv("ALL_PROXY", "socks4://127.0.0.1:1")
                assert caplog.records == []
                assert await get(http, server.url) == b"ok"
                assert "SOCKS4" in caplog.text

    ours.run(main)


def test_a_proxy_without_a_scheme_is_one_of_http(ours, environment):
    async def main():
        async with raw(OK) as server, proxy() as by, ours.session(trust_env=True) as http:
            environment.setenv("http_proxy", by.url.partition("//")[2])
            assert await get(http, server.url) == b"ok"
            assert len(by.asked) == 1

    ours.run(main)


@pytest.mark.parametrize("value", ["socks4://h:1", "http://u:secret@h:x", "http://u:secret@", "["])
def test_nothing_goes_past_a_proxy_that_cannot_be_used(ours, environment, value):
    async def main():
        async with raw(OK) as server, ours.session(trust_env=True) as http:
            environment.setenv("http_proxy", value)
            with pytest.raises(ours.http.InvalidURL) as caught:
                await get(http, server.url)
            assert "secret" not in str(caught.value)
            assert server.peers == []
            environment.setenv("no_proxy", "127.0.0.1")
            assert await get(http, server.url) == b"ok"

    ours.run(main)


def test_every_hop_asks_again(client, certificates, environment):
    """A redirect to where no proxy is to be used goes there itself, and the other way round."""

    async def main():
        async with raw(OK) as target, proxy() as by, client.session(trust_env=True) as http:
            to = response(status="302 Found", Location=target.url.replace("127.0.0.1", "localhost"))
            async with raw(answers(to)) as server:
                environment.setenv("http_proxy", by.url.replace("//", "//a:b@"))
                environment.setenv("no_proxy", "localhost")
                assert await get(http, server.url) == b"ok"
                assert [asked.target for asked in by.asked] == [server.url]
                assert target.asked[0].line == "GET / HTTP/1.1"
                assert "proxy-authorization" not in target.asked[0].headers
                environment.setenv("no_proxy", "127.0.0.1")
                assert await get(http, server.url) == b"ok"
                assert len(by.asked) == 2
                assert by.asked[1].target == f"http://localhost:{target.port}"

    client.run(main)


def test_unix_sockets_have_no_proxy(ours, environment, tmp_path):
    """A program that speaks to a daemon's socket must not send it to a proxy."""

    async def main():
        path = str(tmp_path / "s")
        async with raw(OK, path=path) as server:
            environment.setenv("http_proxy", "http://127.0.0.1:1")
            connector = ours.http.UnixConnector(path)
            async with ours.session(trust_env=True, connector=connector) as http:
                assert await get(http, "http://localhost/") == b"ok"
                assert server.asked[0].line == "GET / HTTP/1.1"
                with pytest.raises(ValueError, match="UnixConnector"):
                    await get(http, "http://localhost/", proxy="http://127.0.0.1:1")

    ours.run(main)


# -- NO_PROXY -------------------------------------------------------------------------------------

BYPASSED = [
    ("*", "http://example.com/", True),
    ("", "http://example.com/", False),
    ("example.com", "http://example.com/", True),
    ("example.com", "http://EXAMPLE.com/", True),
    ("EXAMPLE.COM", "http://example.com/", True),
    ("example.com", "http://www.example.com:8080/", True),
    (".example.com", "http://www.example.com/", True),
    (".example.com", "http://example.com/", True),
    ("example.com", "http://badexample.com/", False),
    ("example.com", "http://example.com.evil.org/", False),
    ("example.com", "http://example.org/", False),
    ("a.org, example.com ,b.org", "http://example.com/", True),
    ("127.0.0.1", "http://127.0.0.1:80/", True),
    ("127.0.0.1", "http://127.0.0.11/", False),
    ("localhost", "http://localhost:1/", True),
    ("localhost", "http://127.0.0.1/", False),
]
# urllib, and so aiohttp, has no rule for these.
OURS = [
    ("example.com:8080", "http://example.com:8080/", True),
    ("example.com:8080", "http://example.com/", False),
    ("example.com:443", "https://example.com/", True),
    ("example.com", "http://example.com./", True),
    ("*.example.com", "http://www.example.com/", True),
    ("*.example.com", "http://wwwexample.com/", False),
    ("10.0.0.0/8", "http://10.1.2.3/", True),
    ("10.0.0.0/8", "http://11.1.2.3/", False),
    ("10.1.2.3/8", "http://10.9.9.9/", True),
    ("10.0.0.0/8", "http://10.0.0.0.example.com/", False),
    ("10.0.0.0/99", "http://10.0.0.0/", False),
    ("::1", "http://[::1]:8080/", True),
    ("[::1]", "http://[::1]/", True),
    ("fd00::/8", "http://[fd12::1]/", True),
    ("fd00::/8", "http://[fe12::1]/", False),
    ("fe80::/10", "http://[fe80::1%25eth0]/", True),
    ("0:0:0:0:0:0:0:1", "http://[::1]/", True),
    ("::ffff:0:0/96", "http://10.0.0.1/", False),
    ("a/b,//,[,:,%,1.2.3", "http://10.0.0.1/", False),
]


@pytest.mark.parametrize(("no_proxy", "url", "expected"), BYPASSED)
def test_no_proxy(client, environment, no_proxy, url, expected):
    environment.setenv("http_proxy", "http://proxy.invalid:3128")
    environment.setenv("no_proxy", no_proxy)
    if client.ours:
        from uvolt.http.env import is_bypassed

        assert is_bypassed(URL(url), no_proxy) is expected
        return
    from aiohttp.helpers import get_env_proxy_for_url

    try:
        assert get_env_proxy_for_url(URL(url))[0] == URL("http://proxy.invalid:3128")
        assert not expected
    except LookupError:
        assert expected


@pytest.mark.parametrize(("no_proxy", "url", "expected"), OURS)
def test_no_proxy_as_users_write_it(ours, environment, no_proxy, url, expected):
    from uvolt.http.env import is_bypassed

    environment.setenv("NO_PROXY", no_proxy)
    assert is_bypassed(URL(url), no_proxy) is expected


@pytest.mark.once
def test_any_no_proxy(ours, environment):
    """Fuzz: no value fails, and none passes by a proxy for a name it does not contain."""
    from uvolt.http.env import is_bypassed

    rng = random.Random(1)
    letters = "ab.:/*[]%,0123456789 -_\t\N{SNOWMAN}"
    for _ in range(3_000):
        text = "".join(rng.choice(letters) for _ in range(rng.randrange(24)))
        environment.setenv("no_proxy", text)
        for url in ("http://origin.test/", "http://[2001:db8::1]:8/", "http://192.0.2.7/"):
            if is_bypassed(URL(url), text):
                assert "*" in text or any(c.isdigit() or c == ":" for c in text), text
                assert "origin" not in url or text.strip() == "*", text


# -- netrc ----------------------------------------------------------------------------------------


def write(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


NETRC = [
    ("machine 127.0.0.1 login user password word", ("user", "word")),
    ("machine 127.0.0.1 login user account acc password word", ("user", "word")),
    ("machine 127.0.0.1 account acc password word", ("acc", "word")),
    ("machine other login a password b\ndefault login user password word", ("user", "word")),
    ("machine other login user password word", None),
    ("", None),
]


@pytest.mark.parametrize("where", ["NETRC", "home"])
@pytest.mark.parametrize(("text", "expected"), NETRC)
def test_netrc(client, environment, tmp_path, text, expected, where):
    async def main():
        async with raw(OK) as server, client.session(trust_env=True) as http:
            name = "other" if where == "NETRC" else ".netrc"
            file = write(tmp_path / name, text + "\n")
            if where == "NETRC":
                environment.setenv("NETRC", file)
            assert await get(http, server.url) == b"ok"
            got = server.asked[0].headers.get("authorization")
            assert got == (expected and basic(*expected))

    client.run(main)


def test_netrc_for_a_proxy(client, environment, tmp_path):
    async def main():
        async with raw(OK) as server, proxy() as by, client.session(trust_env=True) as http:
            write(tmp_path / ".netrc", "machine localhost login user password word\n")
            environment.setenv("http_proxy", by.url.replace("127.0.0.1", "localhost"))
            assert await get(http, server.url) == b"ok"
            assert by.asked[0].headers["proxy-authorization"] == basic("user", "word")
            assert "authorization" not in by.asked[0].headers
            environment.setenv("http_proxy", by.url.replace("//127.0.0.1", "//a:b@localhost"))
            assert await get(http, server.url) == b"ok"
            assert by.asked[1].headers["proxy-authorization"] == basic("a", "b")

    client.run(main)


def test_netrc_goes_by_the_host_of_the_url(client, environment, tmp_path):
    """Class 9 (CVE-2024-47081): not by what stands before an @."""

    async def main():
        async with raw(OK) as server, client.session(trust_env=True) as http:
            write(tmp_path / ".netrc", "machine example.com login user password word\n")
            url = server.url.replace("//", "//example.com:@")
            assert await get(http, url) == b"ok"
            assert server.asked[0].headers["authorization"] == basic("example.com", "")

    client.run(main)


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
def test_netrc_is_not_asked_beside_a_field_of_ones_own(client, environment, tmp_path, name):
    """A token for a host that the file has a line for, as git wants it. aiohttp raises."""

    async def main():
        async with raw(OK) as server, client.session(trust_env=True) as http:
            write(tmp_path / ".netrc", "machine 127.0.0.1 login user password word\n")
            headers = {name: "Bearer token"}
            if client.ours:
                assert await get(http, server.url, headers=headers) == b"ok"
                assert server.asked[0].headers["authorization"] == "Bearer token"
            else:
                with pytest.raises(ValueError, match="Cannot combine AUTHORIZATION header"):
                    await get(http, server.url, headers=headers)

    client.run(main)


def test_netrc_does_not_follow_a_redirect(client, environment, tmp_path):
    async def main():
        async with raw(OK) as target, client.session(trust_env=True) as http:
            where = target.url.replace("127.0.0.1", "localhost")
            to = answers(response(status="302 Found", Location=where))
            async with raw(to) as server:
                write(tmp_path / ".netrc", "machine 127.0.0.1 login user password word\n")
                assert await get(http, server.url) == b"ok"
                assert server.asked[0].headers["authorization"] == basic("user", "word")
                assert "authorization" not in target.asked[0].headers

    client.run(main)


@pytest.mark.parametrize("how", ["syntax", "missing", "directory", "bytes"])
def test_a_bad_netrc_is_a_warning(client, environment, tmp_path, caplog, how):
    path = tmp_path / "file"
    if how == "syntax":
        path.write_text("machine 127.0.0.1 login\nfoo bar\n")
    elif how == "directory":
        path.mkdir()
    elif how == "bytes":
        path.write_bytes(b"machine \xff\xfe\0 login")
    environment.setenv("NETRC", str(path))

    async def main():
        async with raw(OK) as server, client.session(trust_env=True) as http:
            if how == "bytes" and not client.ours:
                return  # whether it is text depends on its locale, and is an error there
            with caplog.at_level(logging.WARNING):
                assert await get(http, server.url) == b"ok"
            assert ".netrc" in caplog.text or how == "bytes"
            assert "authorization" not in server.asked[0].headers

    client.run(main)


def test_the_home_may_be_unknown(client, environment, tmp_path):
    environment.delenv("HOME")
    environment.setattr(os.path, "expanduser", lambda path: path)

    async def main():
        async with raw(OK) as server, client.session(trust_env=True) as http:
            assert await get(http, server.url) == b"ok"

    client.run(main)


def test_any_netrc(ours, environment, tmp_path):
    """Fuzz: the standard library's netrc parses it; whatever there is, the request goes out, and
    what is sent is one line."""
    words = ["machine", "127.0.0.1", "login", "password", "default", "account", "macdef", "a\nb"]
    words += ['"', "\\", "#", "\r", "\n\n", "\0", "\N{SNOWMAN}", "user", "word", "localhost"]
    rng = random.Random(2)
    path = tmp_path / "netrc"
    environment.setenv("NETRC", str(path))

    async def main():
        async with raw(OK) as server, ours.session(trust_env=True) as http:
            for _ in range(150):
                text = " ".join(rng.choice(words) for _ in range(rng.randrange(12)))
                path.write_text(text, encoding="utf-8")
                try:
                    assert await get(http, server.url) == b"ok"
                except ValueError:
                    pass  # credentials that cannot be sent: not sent, and said
            for asked in server.asked:
                assert set(asked.headers) <= {
                    "host",
                    "accept",
                    "accept-encoding",
                    "user-agent",
                    "authorization",
                }

    ours.run(main, 60)
