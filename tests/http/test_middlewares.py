"""Middlewares: what is around each request, on aiohttp and on uvolt.http."""

from __future__ import annotations

import asyncio
import io
import json

import pytest
import support
from http_support import Client, answers, raw, response
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL


def noting(log, name):
    async def middleware(request, handler):
        log.append(f"{name} begins")
        answer = await handler(request)
        log.append(f"{name} ends")
        return answer

    return middleware


def run(client, middlewares, *responses, method="GET", per_request=False, session=None, **request):
    """The requests that came of one with these middlewares, and its response's status and body."""

    async def main():
        script = answers(*(responses or (response(b"ok"),)))
        mine = {"middlewares": middlewares}
        options = {**(session or {}), **({} if per_request else mine)}
        async with raw(script) as server, client.session(**options) as http:
            kwargs = {**request, **(mine if per_request else {})}
            async with http.request(method, server.url + "/a?b=c#d", **kwargs) as answer:
                return server, answer.status, await answer.read()

    return client.run(main)


@pytest.mark.parametrize("per_request", [False, True])
def test_the_first_is_the_outermost(client, per_request):
    log: list[str] = []
    names = ["one", "two", "three"]
    run(client, [noting(log, name) for name in names], per_request=per_request)
    assert log == [f"{n} begins" for n in names] + [f"{n} ends" for n in reversed(names)]


@pytest.mark.parametrize("own", [(), ["other"]], ids=["none", "another"])
def test_those_of_a_request_replace_the_sessions(client, own):
    log: list[str] = []
    run(
        client,
        [noting(log, name) for name in own],
        per_request=True,
        session={"middlewares": [noting(log, "session")]},
    )
    assert log == [f"{name} {what}" for name in own for what in ("begins", "ends")]


def test_what_a_request_is(client):
    seen = {}

    async def middleware(request, handler):
        assert type(request) is client.http.ClientRequest
        for name in (
            "method", "url", "original_url", "version", "chunked", "compress", "ssl", "proxy",
            "proxy_auth", "proxy_headers", "server_hostname", "host", "response_class", "auth",
            "loop",
        ):  # fmt: skip
            seen[name] = getattr(request, name)
        seen["headers"] = [k for k in request.headers]
        seen["kind"] = type(request.headers)
        seen["port"] = request.port == request.url.port
        seen["skip"] = list(request.skip_auto_headers)
        seen["key"] = tuple(request.connection_key)
        seen["body"] = type(request.body).__name__, await request.body.as_bytes()
        info = request.request_info
        seen["info"] = (info.url, info.method, info.real_url, type(info.headers))
        assert not request.is_ssl()
        assert request.session.__class__ is client.http.ClientSession
        return await handler(request)

    server, *_ = run(
        client,
        [middleware],
        method="POST",
        data=b"abc",
        headers={"X": "1"},
        skip_auto_headers=["User-Agent"],
    )
    url = URL(server.url + "/a?b=c")
    key = (support.LOCALHOST, server.port, False, True, None, None, None, None)
    assert seen.pop("loop") is not None
    assert seen.pop("response_class") is client.http.ClientResponse
    assert seen == {
        "method": "POST",
        "url": url,
        "original_url": url.with_fragment("d"),
        "version": (1, 1),
        "chunked": None,
        "compress": None,
        "ssl": True,
        "proxy": None,
        "proxy_auth": None,
        "proxy_headers": None,
        "server_hostname": None,
        "auth": None,
        "host": support.LOCALHOST,
        "port": True,
        "skip": ["User-Agent"],
        "key": key,
        "headers": ["Host", "X", "Accept", "Accept-Encoding", "Content-Length", "Content-Type"],
        "kind": CIMultiDict,
        "body": ("BytesPayload", b"abc"),
        "info": (url, "POST", url.with_fragment("d"), CIMultiDictProxy),
    }


def test_what_is_changed_is_sent(client):
    async def middleware(request, handler):
        request.headers["X-New"] = "1"
        request.headers.popall("Accept")
        request.method = "PUT"
        request.url = request.url.with_path("/other").with_query(x="y")
        return await handler(request)

    server, *_ = run(client, [middleware])
    (asked,) = server.asked
    assert asked.line == "PUT /other?x=y HTTP/1.1"
    assert asked.headers["x-new"] == "1" and "accept" not in asked.headers


def test_another_host(client):
    """The URL says where the request goes, the Host field what the server is told."""

    async def main():
        async with raw(answers(response(b"one"))) as one, raw(answers(response(b"two"))) as two:

            async def middleware(request, handler):
                request.url = URL(two.url + "/there")
                return await handler(request)

            async with client.session(middlewares=[middleware]) as http:
                async with http.get(one.url) as r:
                    assert await r.read() == b"two"
                    assert r.url == URL(one.url)  # what was asked for
            assert not one.asked
            assert two.asked[0].headers["host"] == f"{support.LOCALHOST}:{one.port}"

    client.run(main)


@pytest.mark.parametrize(
    "body",
    [b"other", "text ä", {"a": "1"}, lambda: io.BytesIO(b"file"), b"", None],
    ids=["bytes", "text", "form", "file", "empty", "none"],
)
@pytest.mark.parametrize("first", [None, b"first", {"form": "1"}], ids=["none", "bytes", "form"])
def test_another_body(client, body, first):
    async def middleware(request, handler):
        await request.update_body(body() if callable(body) else body)
        return await handler(request)

    server, *_ = run(client, [middleware], method="POST", data=first)
    (asked,) = server.asked
    seen = {k: v for k, v in asked.headers.items() if k not in ("host", "user-agent")}
    if client.ours:
        assert (seen, asked.body) == run_on_aiohttp(body, first)


def run_on_aiohttp(body, first):
    async def middleware(request, handler):
        await request.update_body(body() if callable(body) else body)
        return await handler(request)

    server, *_ = run(Client("aiohttp"), [middleware], method="POST", data=first)
    (asked,) = server.asked
    seen = {k: v for k, v in asked.headers.items() if k not in ("host", "user-agent")}
    return seen, asked.body


def test_a_body_in_chunks_is_replaced(client):
    async def pieces():
        yield b"never"

    async def middleware(request, handler):
        assert request.chunked
        await request.update_body(b"other")
        return await handler(request)

    server, *_ = run(client, [middleware], method="POST", data=pieces())
    (asked,) = server.asked
    assert asked.body == b"5\r\nother\r\n0\r\n\r\n"
    assert "content-length" not in asked.headers


def test_a_body_that_is_assigned_closes_the_old_one(client, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")

    async def middleware(request, handler):
        with pytest.warns(ResourceWarning, match="unclosed resources"):
            request.body = b"other"
        return await handler(request)

    with open(path, "rb") as file:
        server, *_ = run(client, [middleware], method="POST", data=file)
    assert server.asked[0].body == b"other"


def test_trying_again(client):
    """A middleware may call the handler as often as it likes."""
    statuses = []

    async def middleware(request, handler):
        for _ in range(3):
            answer = await handler(request)
            statuses.append(answer.status)
            if answer.status == 200:
                return answer
            answer.release()
        raise AssertionError

    server, status, body = run(
        client,
        [middleware],
        response(b"", "503 Later"),
        response(b"", "503 Later"),
        response(b"ok"),
        method="POST",
        data=io.BytesIO(b"a file is read again"),
    )
    assert (statuses, status, body) == ([503, 503, 200], 200, b"ok")
    assert [a.body for a in server.asked] == [b"a file is read again"] * 3
    assert len(server.peers) == 1


def test_an_answer_that_is_dropped_gives_its_connection_up():
    """aiohttp's waits for the garbage collector, and the request for a slot."""
    client = Client("uvolt")

    async def middleware(request, handler):
        await handler(request)  # with its body unread
        return await handler(request)

    async def main():
        async def script(peer):
            await peer.request()
            data = response(b"x" * 1000)
            peer.send(data[:500] if peer.number == 0 else data)
            await peer.gone()

        connector = client.http.TCPConnector(limit=1)
        async with raw(script) as server:
            async with client.session(connector=connector, middlewares=[middleware]) as http:
                async with http.get(server.url) as r:
                    assert len(await r.read()) == 1000

    client.run(main)


def test_a_request_of_its_own(client):
    """The session of a request may be used, with other middlewares or none."""

    async def token(request, handler):
        async with request.session.get(request.url.with_path("/token"), middlewares=()) as r:
            request.headers["X-Token"] = (await r.read()).decode()
        return await handler(request)

    server, *_ = run(client, [token], response(b"secret"), response(b"ok"))
    assert [a.target for a in server.asked] == ["/token", "/a?b=c"]
    assert server.asked[1].headers["x-token"] == "secret"


def test_what_it_raises(client):
    async def middleware(request, handler):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(client, [middleware])

    async def after(request, handler):
        await handler(request)
        raise KeyError("after")

    with pytest.raises(KeyError):
        run(client, [after])


def test_an_oserror_it_raises_is_the_clients(client):
    async def middleware(request, handler):
        raise OSError(5, "broken")

    with pytest.raises(client.http.ClientOSError) as caught:
        run(client, [middleware])
    assert caught.value.errno == 5


def test_what_the_request_raises(client):
    caught = []

    async def middleware(request, handler):
        try:
            return await handler(request.__class__ and request)
        except client.http.ClientConnectorError as exc:
            caught.append(type(exc).__name__)
            raise

    async def main():
        async with client.session(middlewares=[middleware]) as http:
            with pytest.raises(client.http.ClientConnectorError):
                await http.get("http://127.0.0.1:1/")

    client.run(main)
    assert caught == ["ClientConnectorError"]


@pytest.mark.parametrize("where", ["before", "after"])
def test_the_total_timeout_ends_a_middleware(client, where):
    async def middleware(request, handler):
        if where == "before":
            await asyncio.sleep(20)
        answer = await handler(request)
        await asyncio.sleep(20)
        return answer

    with pytest.raises(asyncio.TimeoutError):
        run(client, [middleware], timeout=client.http.ClientTimeout(total=0.1))


def test_each_hop_of_a_redirect(client):
    seen = []

    async def middleware(request, handler):
        seen.append((request.method, request.url.path))
        request.headers["X-Hop"] = str(len(seen))
        return await handler(request)

    server, status, _ = run(
        client,
        [middleware],
        response(b"", "307 There", Location="/2"),
        response(b"", "303 There", Location="/3"),
        response(b"ok"),
        method="POST",
        data=b"abc",
    )
    assert seen == [("POST", "/a"), ("POST", "/2"), ("GET", "/3")]
    assert [a.headers["x-hop"] for a in server.asked] == ["1", "2", "3"]
    assert status == 200


def test_cookies_of_the_answer_are_kept(client):
    async def middleware(request, handler):
        first = await handler(request)  # whose cookies are not: only the last one's
        first.release()
        return await handler(request)

    async def main():
        script = answers(
            response(b"", Set_Cookie="a=1"), response(b"", Set_Cookie="b=2"), response(b"")
        )
        jar = client.http.CookieJar(unsafe=True)
        async with raw(script) as server, client.session(cookie_jar=jar) as http:
            await http.get(server.url, middlewares=[middleware])
            assert sorted(cookie.key for cookie in jar) == ["b"]

    client.run(main)


def test_another_answer(client):
    """A response of the middleware's own: from a cache."""
    cache: dict = {}

    async def middleware(request, handler):
        if request.url not in cache:
            cache[request.url] = await handler(request)
            await cache[request.url].read()
        return cache[request.url]

    async def main():
        script = answers(response(b"[1]", Content_Type="application/json"))
        async with raw(script) as server, client.session(middlewares=[middleware]) as http:
            for _ in range(3):
                r = await http.get(server.url)
                assert json.loads(await r.text()) == [1]
            assert len(server.asked) == 1

    client.run(main)


@pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")
def test_request_class(client):
    class Signed(client.http.ClientRequest):
        def update_headers(self, headers):
            super().update_headers(headers)
            self.headers["X-Signed"] = f"{self.method} {self.url.path}"

    async def main():
        async with raw(answers(response())) as server, client.session(request_class=Signed) as http:
            await http.post(server.url + "/path", data=b"abc")
            assert server.asked[0].headers["x-signed"] == "POST /path"

    client.run(main)


def test_many_requests_at_a_time(client):
    async def middleware(request, handler):
        request.headers["X-Path"] = request.url.path
        await asyncio.sleep(0)
        return await handler(request)

    async def main():
        async def script(peer):
            while True:
                asked = await peer.request()
                assert asked.headers["x-path"] == asked.target
                peer.send(response(asked.target.encode()))

        async with raw(script) as server, client.session(middlewares=[middleware]) as http:

            async def one(n):
                async with http.get(f"{server.url}/{n}") as r:
                    return await r.text()

            assert await asyncio.gather(*map(one, range(30))) == [f"/{n}" for n in range(30)]

    client.run(main)
