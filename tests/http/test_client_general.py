"""What a session does in Python: files sent again, jars of one's own, credentials from outside."""

from __future__ import annotations

import asyncio
import base64
import io
import stat
from http.cookies import SimpleCookie
from pathlib import Path

import aiohttp
import aiohttp.payload
import pytest
import support
from http_support import Asked, Client, answers, raw, response
from yarl import URL

pytestmark = pytest.mark.filterwarnings(
    "ignore:The 'auth' parameter:DeprecationWarning",
    "ignore:BasicAuth:DeprecationWarning",
)


@pytest.fixture
def ours() -> Client:
    """For what aiohttp does not do, or means to do otherwise."""
    if "uvolt" not in support.LOOPS:
        pytest.skip("uvolt is not to be tested")
    return Client("uvolt")


def basic(login: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()


def test_a_file_is_sent_again_from_where_it_stood(client, tmp_path: Path):
    """The connection dies once, then there is a redirect: every time the whole is sent."""
    file = tmp_path / "file"
    file.write_bytes(b"0123456789" * 30_000)

    async def main():
        count = 0

        async def script(peer):
            nonlocal count
            while True:
                await peer.request()
                count += 1
                if count == 1:
                    return
                if count == 2:
                    peer.send(response(b"", "307 Temporary Redirect", Location="/there"))
                else:
                    peer.send(response(b"ok"))

        async with raw(script) as server, client.session() as http:
            source = open(file, "rb")
            source.seek(7)
            async with http.put(server.url, data=source) as answer:
                assert await answer.read() == b"ok"
            assert [len(asked.body) for asked in server.asked] == [299_993] * 3
            assert [asked.target for asked in server.asked] == ["/", "/", "/there"]
            for _ in range(100):
                if source.closed:
                    break
                await asyncio.sleep(0.01)
            assert source.closed

    client.run(main)


def test_a_body_that_cannot_be_read_twice_is_not_sent_twice(client):
    async def pieces():
        yield b"abc"

    async def main():
        async def script(peer):
            await peer.request()

        async with raw(script) as server, client.session() as http:
            with pytest.raises(client.http.ServerDisconnectedError):
                await http.put(server.url, data=pieces())
            assert len(server.asked) == 1

    client.run(main)


@pytest.mark.parametrize("kind", ["payload", "form", "file in a form"])
def test_aiohttps_own_bodies_are_good(ours, kind: str):
    async def main():
        async with raw(answers(response(b"ok"))) as server, ours.session() as http:
            data: object = aiohttp.payload.StringPayload("text")
            if kind == "form":
                data = aiohttp.FormData({"a": "1"})
            elif kind == "file in a form":
                data = aiohttp.FormData({"a": io.BytesIO(b"content")})
            async with http.post(server.url, data=data) as answer:
                assert answer.status == 200
            asked = server.asked[0]
            expected = {"payload": b"text", "form": b"a=1", "file in a form": b"content"}[kind]
            assert expected in asked.body
            assert {
                "payload": "text/plain",
                "form": "application/x-www",
                "file in a form": "multi",
            }[kind] in asked.headers["content-type"]

    ours.run(main)


@pytest.mark.parametrize("hops", [["other"], ["other", "first"], ["path", "other"]])
def test_credentials_of_the_session_stay_at_home(ours, hops: list[str]):
    """They are dropped on the way to another origin, and do not come back."""

    async def main():
        async with raw(answers(response())) as first, raw(answers(response())) as other:
            targets = {"first": first.url + "/back", "other": other.url + "/x", "path": "/path"}
            replies = [response(b"", "302 Found", Location=targets[hop]) for hop in hops]
            script = iter([*replies, response(b"ok")])

            async def follow(peer):
                while True:
                    await peer.request()
                    peer.send(next(script))

            first.script = other.script = follow
            auth = ours.basic_auth("user", "pass")
            async with ours.session(auth=auth, cookies={"a": "1"}) as http:
                async with http.get(first.url) as answer:
                    assert answer.status == 200
            sent = [asked.headers.get("authorization") for asked in first.asked]
            assert sent[0] == basic("user", "pass")
            if hops[0] == "path":
                assert sent[1] == sent[0]
            assert [asked.headers.get("authorization") for asked in other.asked] == [None]
            if hops[-1] == "first":
                assert sent[1] is None

    ours.run(main)


def test_netrc(client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login user password secret\n")
    file.chmod(stat.S_IRUSR)
    monkeypatch.setenv("NETRC", str(file))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    async def main():
        async with raw(answers(response())) as server:
            for trust in (True, False):
                async with client.session(trust_env=trust) as http:
                    await http.get(server.url)
            async with client.session(trust_env=True) as http:
                await http.get(server.url, headers={"X": "1"}, auth=client.basic_auth("a", "b"))
            assert [asked.headers.get("authorization") for asked in server.asked] == [
                basic("user", "secret"),
                None,
                basic("a", "b"),
            ]

    client.run(main)


def test_a_jar_of_ones_own(client):
    async def main():
        class Jar(client.http.CookieJar):
            def filter_cookies(self, request_url: URL):
                return SimpleCookie("own=1")

            def update_cookies_from_headers(self, headers, response_url: URL) -> None:
                seen.append((list(headers), str(response_url)))

        seen: list[tuple[list[str], str]] = []
        reply = (
            b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"
        )
        async with raw(answers(reply)) as server:
            async with client.session(cookie_jar=Jar()) as http:
                for _ in range(2):
                    async with http.get(server.url + "/x") as answer:
                        assert sorted(answer.cookies) == ["a", "b"]
            assert [asked.headers["cookie"] for asked in server.asked] == ["own=1"] * 2
            assert seen == [(["a=1", "b=2"], server.url + "/x")] * 2
            async with client.session(cookie_jar=client.http.DummyCookieJar()) as http:
                for _ in range(2):
                    await http.get(server.url)
            assert "cookie" not in server.asked[-1].headers

    client.run(main)


def cookies_of(asked: list[Asked]) -> list[str | None]:
    return [one.headers.get("cookie") for one in asked]


def test_cookies_come_and_go(client):
    async def main():
        replies = [
            b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 302 Found\r\nLocation: /next\r\nSet-Cookie: b=2; Path=/\r\n"
            b"Content-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nSet-Cookie: a=0; Path=/; Max-Age=0\r\nContent-Length: 0\r\n\r\n",
            response(),
        ]
        async with raw(answers(*replies)) as server:
            jar = client.http.CookieJar(unsafe=True)
            async with client.session(cookie_jar=jar) as http:
                for _ in range(3):
                    async with http.get(server.url):
                        pass
                assert http.cookie_jar is jar
                assert [morsel.key for morsel in jar] == ["b"]
                jar.clear()
                async with http.get(server.url, cookies={"own": "x y"}):
                    pass
            assert cookies_of(server.asked) == [None, "a=1", "a=1; b=2", "b=2", 'own="x y"']

    client.run(main)


def test_hosts_that_no_host_has(ours):
    async def main():
        async with ours.session() as http:
            for url in ("http://a%2Fb/", "http://a%00b/", "http://0x7f000001/", "http://127.1/"):
                for kwargs in ({}, {"params": {"a": "1"}}):
                    with pytest.raises(ours.http.InvalidUrlClientError):
                        await http.get(url, **kwargs)

    ours.run(main)
