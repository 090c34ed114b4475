"""Where the engine cannot do what is asked for, aiohttp itself does it, and the log says why."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest import mock

import pytest
from swap_support import run, server

from uvolt import http


async def works(session: Any, url: str, by_aiohttp: bool = True) -> None:
    """It is aiohttp's own client that does it."""
    async with session.post(url, data=b"x") as response:
        assert not by_aiohttp or http.ClientResponse not in type(response).__mro__
        assert (await response.json())["body"] == "x"


@pytest.mark.parametrize("kind", ["request_class", "response_class", "old_response_class"])
def test_classes(kind, original, swapped, fallbacks):
    class Request(swapped.ClientRequest):
        pass

    class Response(swapped.ClientResponse):
        used = 0

        async def start(self, connection: Any) -> Any:
            type(self).used += 1
            return await super().start(connection)

    class OldResponse(original.ClientResponse):
        pass

    assert not issubclass(Response, http.ClientResponse)
    assert issubclass(Response, swapped.ClientResponse)
    options = {
        "request_class": {"request_class": Request},
        "response_class": {"response_class": Response},
        "old_response_class": {"response_class": OldResponse},
    }[kind]

    async def main():
        async with server() as url, swapped.ClientSession(**options) as session:
            assert isinstance(session, swapped.ClientSession)
            await works(session, url)
        assert Response.used == (kind == "response_class")

    run(main)
    assert any(kind.removeprefix("old_") in line for line in fallbacks), fallbacks


@pytest.mark.parametrize("which", ["request_class", "response_class"])
def test_stock_classes_are_no_reason(which, original, swapped, fallbacks):
    name = {"request_class": "ClientRequest", "response_class": "ClientResponse"}[which]

    async def main():
        for module in (original, swapped):
            options = {which: getattr(module, name)}
            async with server() as url, swapped.ClientSession(**options) as session:
                await session.post(url, data=b"x")
                assert isinstance(session, http.ClientSession)

    run(main)
    assert fallbacks == []


def test_connector_with_private_methods(swapped, fallbacks):
    """As aiohttp-socks has them: the class is one of aiohttp's, so is the session."""

    class Mine(swapped.TCPConnector):
        called = 0

        async def _wrap_create_connection(self, *args: Any, **kwargs: Any) -> Any:
            self.called += 1
            return await super()._wrap_create_connection(*args, **kwargs)

    async def main():
        connector = Mine(limit=2)
        async with server() as url, swapped.ClientSession(connector=connector) as session:
            await works(session, url)
            assert session.connector is connector
        assert connector.called == 1

    run(main)
    assert any("private _wrap_create_connection" in line for line in fallbacks)
    assert any("its connector is a Mine" in line for line in fallbacks)


def test_connector_of_before(original, swapped, fallbacks):
    async def main():
        connector = original.TCPConnector()
        async with server() as url, swapped.ClientSession(connector=connector) as session:
            await works(session, url)
        assert connector.closed

    run(main)
    assert fallbacks == [
        "aiohttp.ClientSession falls back to aiohttp's own: its connector is a TCPConnector"
    ]


def test_connector_without_private_methods_is_ours(swapped, fallbacks):
    class Mine(swapped.TCPConnector):
        async def close(self, **kwargs: Any) -> None:
            self.said = True
            await super().close(**kwargs)

    async def main():
        connector = Mine(limit=2)
        async with server() as url, swapped.ClientSession(connector=connector) as session:
            async with session.get(url) as response:
                assert isinstance(response, http.ClientResponse)
        assert connector.said and connector.closed

    run(main)
    assert fallbacks == []


@pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")
def test_session_with_private_methods(swapped, fallbacks):
    class Mine(swapped.ClientSession):
        def _prepare_headers(self, headers: Any) -> Any:
            prepared = super()._prepare_headers(headers)
            prepared["x-mine"] = "1"
            return prepared

    async def main():
        async with server() as url, Mine() as session:
            async with session.get(url) as response:
                assert (await response.json())["headers"]["x-mine"] == "1"
            assert isinstance(session, swapped.ClientSession)

    run(main)
    assert any("private _prepare_headers" in line for line in fallbacks)


def test_another_loop(swapped, fallbacks):
    async def main():
        async with server() as url, swapped.ClientSession() as session:
            await works(session, url)
        connector = swapped.TCPConnector(limit=1)
        async with server() as url, swapped.ClientSession(connector=connector) as session:
            await works(session, url)
        async with server() as url, swapped.request("GET", url) as response:
            assert response.status == 200

    run(main, "asyncio")
    assert all("no loop of uvolt" in line or "connector" in line for line in fallbacks)
    assert len(fallbacks) >= 3


@pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")
def test_subclasses_on_another_loop(swapped, fallbacks):
    """They are what they are, and have a session of aiohttp's own do the work."""

    class Session(swapped.ClientSession):
        async def _request(self, method: str, url: Any, **kwargs: Any) -> Any:
            return await super()._request(method, url + "/mine", **kwargs)

    class Connector(swapped.TCPConnector):
        pass

    async def main():
        async with server() as url, Session(connector=Connector(), headers={"a": "b"}) as session:
            assert type(session) is Session
            async with session.get(url, params={"c": "d"}) as response:
                got = await response.json()
            assert (got["path"], got["headers"]["a"]) == ("/mine?c=d", "b")
            async with await session.post(url) as response:
                assert response.status == 200
            async with session.ws_connect(url + "/chat") as socket:
                assert (await socket.receive_json())["headers"]["a"] == "b"
            assert not session.closed
        assert session.closed and session._arguments[1]["connector"].closed

    run(main, "asyncio")
    assert any("Session falls back" in line for line in fallbacks)


def test_mocks_of_request_reach_all_sessions(original, swapped):
    """As aioresponses has it: patched in the class, by the name of before or after."""

    async def main():
        before = original.ClientSession()
        ours = swapped.ClientSession()
        theirs = swapped.ClientSession(connector=original.TCPConnector())
        answer = mock.AsyncMock(return_value="mocked")
        kept = original.ClientSession._request
        with mock.patch("aiohttp.client.ClientSession._request", answer):
            for session in (before, ours, theirs):
                assert await session.get("http://nowhere.invalid/") == "mocked"
        assert answer.await_count == 3
        assert original.ClientSession._request is kept
        assert "_request" not in vars(swapped.ClientSession)
        async with server() as url:
            for session in (before, ours, theirs):
                async with session.get(url) as response:
                    assert response.status == 200
                await session.close()
        await asyncio.sleep(0)

    run(main)


def test_wrappers_of_request_reach_all_sessions(original, swapped):
    """As tracers have it: what replaces the method calls it, whoever the session is."""
    calls = []
    inner = swapped.ClientSession._request
    kept = original.ClientSession._request

    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return await inner(self, *args, **kwargs)

    with pytest.warns(DeprecationWarning, match="discouraged"):

        class Mine(swapped.ClientSession):
            pass

    def make():
        return (
            original.ClientSession(),
            swapped.ClientSession(),
            swapped.ClientSession(connector=original.TCPConnector()),
            Mine(connector=original.TCPConnector()),
        )

    async def main():
        async with server() as url:
            sessions = make()
            try:
                swapped.ClientSession._request = wrapper
                sessions += make()
                for n, session in enumerate(sessions, 1):
                    await works(session, url, by_aiohttp=False)
                    assert len(calls) == n
            finally:
                swapped.ClientSession._request = inner
            for session in sessions:
                await works(session, url, by_aiohttp=False)
                await session.close()
        assert len(calls) == len(sessions)
        assert original.ClientSession._request is kept
        assert "_request" not in vars(swapped.ClientSession)
        assert not hasattr(original.ClientSession, "_instead")

    run(main)


def test_a_request_replaced_by_the_name_of_before(original, swapped, fallbacks):
    """Then aiohttp's own sessions are what the program has in mind."""

    async def main():
        answer = mock.AsyncMock(return_value="mocked")
        with mock.patch.object(original.ClientSession, "_request", answer):
            async with swapped.ClientSession() as session:
                assert await session.get("http://nowhere.invalid/") == "mocked"
        async with server() as url, swapped.ClientSession() as session:
            await works(session, url, by_aiohttp=False)

    run(main)
    assert any("_request" in line for line in fallbacks), fallbacks


def test_a_mixin_with_private_methods(swapped, fallbacks):
    class Mixin:
        async def _resolve_host(self, *args: Any, **kwargs: Any) -> Any:
            self.asked = True
            return await super()._resolve_host(*args, **kwargs)

    class Mine(Mixin, swapped.TCPConnector):
        pass

    async def main():
        connector = Mine()
        async with server() as url, swapped.ClientSession(connector=connector) as session:
            await works(session, url)
        assert connector.asked

    run(main)
    assert any("private _resolve_host" in line for line in fallbacks)


def test_payload_types_of_aiohttps_registry(swapped, fallbacks):
    """What a program has registered with aiohttp is sent, streamers (deprecated) too."""

    class Point:
        pass

    class PointPayload(swapped.BytesPayload):
        def __init__(self, value: Point, *args: Any, **kwargs: Any) -> None:
            super().__init__(b"a point", content_type="x/point")

    swapped.payload_type(Point)(PointPayload)

    async def main():
        async with server() as url, swapped.ClientSession() as session:
            async with session.post(url, data=Point()) as response:
                got = await response.json()
            assert (got["body"], got["headers"]["content-type"]) == ("a point", "x/point")

    run(main)
    assert fallbacks == []


@pytest.mark.parametrize("owner", [True, False])
@pytest.mark.parametrize("of", ["itself", "subclass"])
def test_a_session_that_falls_back_has_the_connector_it_was_given(of, owner, swapped, fallbacks):
    class Response(swapped.ClientResponse):
        pass

    with pytest.warns(DeprecationWarning, match="discouraged"):

        class Session(swapped.ClientSession):
            pass

    kind = {"itself": swapped.ClientSession, "subclass": Session}[of]

    async def main():
        connector = swapped.TCPConnector()
        options = {"connector": connector, "connector_owner": owner, "response_class": Response}
        async with server() as url, kind(**options) as session:
            await works(session, url)
            assert session.connector is connector
        assert session.closed
        assert connector.closed is owner
        await connector.close()
        assert connector.closed

    run(main)
    assert any("response_class" in line for line in fallbacks), fallbacks


@pytest.mark.parametrize("loop", ["uvolt", "asyncio"])
def test_arguments_by_position(loop, tmp_path, swapped):
    path = str(tmp_path / "socket")

    async def main():
        given = (path, False, 15.0, 10, 0, asyncio.get_running_loop())
        connector = swapped.UnixConnector(*given)
        assert connector.limit == 10
        async with server(path=path) as url, swapped.ClientSession(connector=connector) as session:
            async with session.post(url, data=b"x") as response:
                assert (await response.json())["body"] == "x"
            async with session.ws_connect(f"{url}/chat") as socket:
                assert "headers" in await socket.receive_json()
        with pytest.raises(TypeError):
            swapped.UnixConnector(*given, 1)

    run(main, loop)


PROPERTIES = (
    *("auth", "auto_decompress", "closed", "connector", "connector_owner", "headers"),
    *("json_serialize", "raise_for_status", "requote_redirect_url", "skip_auto_headers"),
    *("timeout", "trace_configs", "trust_env", "version"),
)


@pytest.mark.parametrize("falls_back", [False, True])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_a_subclass_tells_of_itself(falls_back, original, swapped):
    class Response(swapped.ClientResponse):
        pass

    class Session(swapped.ClientSession):
        pass

    async def main():
        connector = swapped.TCPConnector()
        options = {
            "auth": swapped.BasicAuth("login", "word"),
            "auto_decompress": False,
            "connector": connector,
            "connector_owner": False,
            "headers": {"X-One": "1"},
            "json_serialize": str,
            "raise_for_status": True,
            "requote_redirect_url": False,
            "skip_auto_headers": ["User-Agent"],
            "timeout": swapped.ClientTimeout(total=7),
            "trace_configs": [swapped.TraceConfig()],
            "trust_env": True,
            "version": swapped.HttpVersion10,
        }
        more = {"response_class": Response} if falls_back else {}
        async with original.ClientSession(**options) as theirs:
            async with Session(**options, **more) as session:
                for name in PROPERTIES:
                    assert getattr(session, name) == getattr(theirs, name), name
        assert not connector.closed
        await connector.close()

    run(main)


def test_websockets_beside_keywords_of_ours_alone(swapped):
    async def main():
        async with server() as url, swapped.ClientSession(timings=True, retry=False) as session:
            async with session.get(url) as response:
                assert response.timings.start
            async with session.ws_connect(f"{url}/chat") as socket:
                assert "headers" in await socket.receive_json()

    run(main)
