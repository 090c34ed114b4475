"""Sessions of the swapped names: the engine, WebSockets beside it, subclasses, test utilities."""

from __future__ import annotations

import asyncio
import threading
import warnings
from typing import Any

import aiohttp
import pytest
import support
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from swap_support import chat, echo, run, server

from uvolt import http

subclassing = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")


def test_plain_requests_stay_plain(swapped, fallbacks):
    """A session of the swapped names takes the same way in C as one of uvolt.http."""

    async def main():
        async with server() as url, swapped.ClientSession(headers={"a": "b"}) as session:
            assert session._plain
            jar = swapped.CookieJar(unsafe=True)
            async with session.post(url, json=[1]) as response:
                got = await response.json()
            assert (got["body"], got["headers"]["a"]) == ("[1]", "b")
            async with swapped.ClientSession(cookie_jar=jar) as other:
                assert other._cookies_kept is jar._cookies
                await other.get(url)
                async with other.get(url) as response:
                    assert (await response.json())["cookies"] == {"seen": "yes"}
        async with server() as url, swapped.request("PUT", url, data=b"x") as response:
            assert (await response.json())["method"] == "PUT"
            assert isinstance(response, http.ClientResponse)

    run(main)
    assert fallbacks == []


def test_texts_stay_plain(swapped, monkeypatch):
    """That the class is another does not make C ask Python for the encoding of each text."""
    asked: list[str] = []
    monkeypatch.setattr("uvolt.http.response.parse_mimetype", asked.append)

    async def main():
        async with server() as url, swapped.ClientSession() as session:
            async with session.get(url) as response:
                assert (await response.json())["method"] == "GET"
            async with session.get(url) as response:
                assert "GET" in await response.text()

    run(main)
    assert asked == []


def test_what_stays_aiohttps_own_is_taken(swapped, fallbacks):
    """Forms, payloads, timeouts, credentials, versions of aiohttp's own."""

    async def main():
        form = swapped.FormData({"a": "b"})
        payload = swapped.StringPayload("text")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            auth = swapped.BasicAuth("me", "secret")
            session = swapped.ClientSession(auth=auth, version=swapped.HttpVersion11)
        async with server() as url, session:
            async with session.post(url, data=form, timeout=swapped.ClientTimeout(5)) as response:
                got = await response.json()
            assert got["body"] == "a=b"
            assert got["headers"]["authorization"].startswith("Basic ")
            async with session.post(url, data=payload) as response:
                assert (await response.json())["body"] == "text"

    run(main)
    assert fallbacks == []


def test_websockets_are_aiohttps(swapped, fallbacks):
    """With the session's cookies, headers and settings; both kinds of requests share the jar."""

    async def main():
        jar = swapped.CookieJar(unsafe=True)
        async with (
            server() as url,
            swapped.ClientSession(headers={"x-a": "1"}, cookies={"c": "d"}, cookie_jar=jar) as http,
        ):
            await http.get(url)
            http.headers["x-b"] = "2"
            async with http.ws_connect(url + "/chat", protocols=("p",)) as socket:
                assert isinstance(socket, swapped.ClientWebSocketResponse)
                first = await socket.receive_json()
                assert first["cookies"] == {"c": "d", "seen": "yes"}
                assert (first["headers"]["x-a"], first["headers"]["x-b"]) == ("1", "2")
                await socket.send_str("abc")
                assert (await socket.receive_str()) == "cba"
            socket = await http.ws_connect(url + "/chat")
            await socket.receive()
            await socket.close()
            with pytest.raises(swapped.WSServerHandshakeError):
                await http.ws_connect(url + "/nothing")
        with pytest.raises(RuntimeError, match="Session is closed"):
            await http.ws_connect(url + "/chat")

    run(main)
    assert all("WebSockets" in line for line in fallbacks)


def test_websockets_through_the_connectors_tls_and_path(swapped, tmp_path, certificates):
    async def main():
        connector = swapped.TCPConnector(ssl=certificates.client())
        outside = certificates.server()
        async with server(ssl=outside) as url, swapped.ClientSession(connector=connector) as http:
            async with http.get(url) as response:
                assert response.status == 200
            async with http.ws_connect(url + "/chat") as socket:
                assert (await socket.receive_json())["headers"]
        connector = swapped.UnixConnector(path=str(tmp_path / "socket"))
        path = str(tmp_path / "socket")
        async with server(path=path) as url, swapped.ClientSession(connector=connector) as http:
            async with http.get(url) as response:
                assert response.status == 200
            async with http.ws_connect(url + "/chat") as socket:
                assert (await socket.receive_json())["headers"]
            assert isinstance(connector, swapped.UnixConnector)

    run(main)


@subclassing
def test_subclasses(swapped, fallbacks):
    """With _request() of their own, attributes, and super()."""

    class Counting(swapped.ClientSession):
        ATTRS = swapped.ClientSession.ATTRS | {"count"}

        def __init__(self, *args: Any, count: int = 0, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.count = count

        async def _request(self, method: str, url: Any, **kwargs: Any) -> Any:
            self.count += 1
            return await super()._request(method, url, **kwargs)

    async def main():
        async with server() as url, Counting(url + "/", count=5) as session:
            async with session.get("a") as response:
                assert (await response.json())["path"] == "/a"
            assert (await session.post("b", data=b"c")).status == 200
            assert session.count == 7
            assert isinstance(response, http.ClientResponse)

    with pytest.warns(DeprecationWarning, match="discouraged") as caught:

        class Another(swapped.ClientSession):
            pass

    assert caught[0].filename == __file__
    run(main)
    assert fallbacks == []


@subclassing
def test_a_subclass_from_before(original, swapped):
    """It is aiohttp's own, takes our connector, and is an aiohttp.ClientSession."""

    class Before(original.ClientSession):
        pass

    async def main():
        connector = swapped.TCPConnector(limit=3)
        async with server() as url, Before(connector=connector) as session:
            assert isinstance(session, swapped.ClientSession)
            async with session.get(url) as response:
                assert response.status == 200
        assert connector.closed

    run(main)


def test_test_utilities(swapped):
    """TestClient and TestServer are aiohttp's, their session is ours."""

    async def main():
        app = web.Application()
        app.router.add_get("/", echo)
        app.router.add_get("/chat", chat)
        async with TestClient(TestServer(app)) as client:
            assert isinstance(client.session, http.ClientSession)
            response = await client.get("/", params={"a": "b"})
            assert (await response.json())["path"] == "/?a=b"
            async with client.ws_connect("/chat") as socket:
                await socket.receive()
                await socket.send_str("12")
                assert await socket.receive_str() == "21"

    run(main)


def test_loops_and_threads(swapped):
    """A session for each loop; one that is used from another loop says so."""
    results: list[Any] = []

    async def main():
        async with server() as url, swapped.ClientSession() as session:
            async with session.get(url) as response:
                results.append(response.status)

    threads = [threading.Thread(target=run, args=(main,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [200, 200, 200]

    made = support.factory("uvolt")()
    kept: list[Any] = []

    async def make():
        kept.append(swapped.ClientSession())

    async def use():
        with pytest.raises(RuntimeError):
            await kept[0].get(f"http://{support.LOCALHOST}:1/")

    made.run_until_complete(make())
    run(use)
    made.run_until_complete(kept[0].close())
    support.finish(made)


def test_no_loop(swapped):
    with pytest.raises(RuntimeError, match="no running event loop"):
        swapped.ClientSession()
    with pytest.raises(RuntimeError, match="no running event loop"):
        swapped.TCPConnector()


def test_a_session_dropped_open_warns_once(swapped):
    async def main():
        loop = asyncio.get_running_loop()
        told: list[Any] = []
        loop.set_exception_handler(lambda _, context: told.append(context["message"]))
        async with server() as url:
            session = swapped.ClientSession()
            async with session.ws_connect(url + "/chat") as socket:
                await socket.receive()
            connector = session.connector
            with pytest.warns(ResourceWarning, match="Unclosed client session"):
                del session
                support.collect()
            assert told == ["Unclosed client session"]
            await connector.close()

    run(main)


@subclassing
def test_what_request_is_given(original, swapped):
    """Whoever replaces _request() gets the same arguments as from aiohttp."""

    def seen(module: Any) -> list[Any]:
        calls: list[Any] = []

        class Mine(module.ClientSession):
            async def _request(self, *args: Any, **kwargs: Any) -> Any:
                calls.append((args, kwargs))

        async def main():
            async with Mine() as session:
                for name in ("get", "options", "head", "post", "put", "patch", "delete"):
                    await getattr(session, name)("http://a/", headers={"a": "b"})
                await session.get("http://a/", allow_redirects=False, params={"a": "b"})
                await session.head("http://a/", allow_redirects=True)
                await session.post("http://a/", data=b"x")
                await session.request("get", "http://a/", json={})
                await session.request("PURGE", "http://a/")

        run(main)
        return calls

    theirs = seen(original)
    ours = seen(swapped)
    assert [(args[0].upper(), args[1:], kwargs) for args, kwargs in theirs] == [
        (args[0].upper(), args[1:], kwargs) for args, kwargs in ours
    ]


def test_timeouts_of_old_arguments(original, swapped):
    async def main():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            for options in ({}, {"timeout": None}, {"conn_timeout": 3}, {"read_timeout": 4}):
                ours = swapped.ClientSession(**options)
                theirs = original.ClientSession(**options)
                assert ours.timeout == theirs.timeout and type(ours.timeout) is type(theirs.timeout)
                await ours.close()
                await theirs.close()

    run(main)


def test_traces_of_aiohttp_are_told_in_its_classes(original, swapped):
    told: list[str] = []

    async def receive(session: Any, context: Any, params: Any) -> None:
        assert isinstance(session, swapped.ClientSession)
        told.append(f"{type(params).__module__}.{type(params).__name__}")

    async def main():
        config = swapped.TraceConfig()
        for name in ("request_start", "request_end", "connection_create_start", "dns_cache_miss"):
            getattr(config, f"on_{name}").append(receive)
        async with server() as url, swapped.ClientSession(trace_configs=[config]) as session:
            assert isinstance(session, http.ClientSession)
            async with session.get(url) as response:
                assert response.status == 200

    run(main)
    assert told == [
        "aiohttp.tracing.TraceRequestStartParams",
        "aiohttp.tracing.TraceConnectionCreateStartParams",
        "aiohttp.tracing.TraceRequestEndParams",
    ]


@pytest.mark.parametrize("which", ["original", "swapped"])
@pytest.mark.parametrize(
    "call",
    [
        lambda names: names.TCPConnector(verify_ssl=False),
        lambda names: names.TCPConnector(ssl_shutdown_timeout=0),
        lambda names: names.ClientSession(read_timeout=1),
        lambda names: names.ClientSession(conn_timeout=1),
        lambda names: names.ClientSession(ssl_shutdown_timeout=0),
        lambda names: type("Mine", (names.ClientSession,), {})(conn_timeout=1),
    ],
)
def test_warnings_are_of_the_programs_own_line(call, which, request):
    """Python shows a DeprecationWarning of __main__, and none of a library."""
    names = request.getfixturevalue(which)

    async def main():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            await call(names).close()
        lines = {
            (each.filename, each.lineno) for each in caught if "discour" not in str(each.message)
        }
        assert (__file__, call.__code__.co_firstlineno) in lines

    run(main)


def test_a_session_of_a_loop_that_is_closed(kind):
    """asyncio.run() twice with one session: the error says what is wrong, on both."""
    made = support.factory(kind)
    sessions = []

    async def make():
        sessions.append(aiohttp.ClientSession())

    async def use():
        for _ in range(2):
            with pytest.raises(RuntimeError, match="Event loop is closed"):
                await sessions[0].get("http://127.0.0.1:1/")
        sessions[0].detach()

    for main in (make, use):
        loop = made()
        loop.run_until_complete(main())
        loop.close()


def test_a_session_of_a_loop_that_does_not_run(kind):
    made = support.factory(kind)
    loop, other = made(), made()

    async def make():
        return aiohttp.ClientSession()

    async def use():
        with pytest.raises(RuntimeError, match="event loop|inside a task"):
            await session.get("http://127.0.0.1:1/")

    session = loop.run_until_complete(make())
    other.run_until_complete(use())
    loop.run_until_complete(session.close())
    loop.close()
    other.close()
