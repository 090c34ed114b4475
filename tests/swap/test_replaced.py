"""Programs that replace what is inside a connector, of an object or of a class, as tests do: the
same test on aiohttp with asyncio and on the swapped names with uvolt."""

from __future__ import annotations

import asyncio
import gc
from typing import Any
from unittest import mock

import aiohttp
import pytest
from swap_support import run, server

from uvolt import http


def is_by_engine(response: Any) -> bool:
    return http.ClientResponse in type(response).__mro__


def test_connect_of_an_object(kind: str) -> None:
    async def main() -> None:
        async with server() as url, aiohttp.ClientSession() as session:
            await session.get(url)
            connector: Any = session.connector
            with mock.patch.object(connector, "connect", side_effect=asyncio.TimeoutError) as fake:
                assert connector.connect is fake
                with pytest.raises(aiohttp.ConnectionTimeoutError, match="Connection timeout to"):
                    await session.get(url)
                with pytest.raises(aiohttp.ConnectionTimeoutError):
                    await session.get(url, params={"a": "b"})
            assert fake.call_count == 2
            response = await session.get(url)
            assert is_by_engine(response) is (kind == "uvolt")

    run(main, kind)


@pytest.mark.parametrize("place", ["aiohttp.TCPConnector", "aiohttp.connector.BaseConnector"])
def test_connect_of_a_class(kind: str, place: str) -> None:
    error = aiohttp.ClientConnectionError("not today")

    async def main() -> None:
        async with server() as url, aiohttp.ClientSession() as before:
            await before.get(url)
            with mock.patch(f"{place}.connect", side_effect=error) as fake:
                async with aiohttp.ClientSession() as session:
                    for one in (before, session):
                        with pytest.raises(aiohttp.ClientConnectionError, match="not today"):
                            await one.get(url)
                with pytest.raises(aiohttp.ClientConnectionError, match="not today"):
                    await before.ws_connect(url + "/chat")
            assert fake.call_count == 3
            for one in (before, aiohttp.ClientSession()):
                response = await one.get(url)
                assert is_by_engine(response) is (kind == "uvolt")
                async with one.ws_connect(url + "/chat") as socket:
                    await socket.receive()
                await one.close()
        assert "connect" not in vars(aiohttp.TCPConnector.__mro__[0]) or kind == "uvolt"

    run(main, kind)


def test_connect_that_is_wrapped(kind: str) -> None:
    asked: list[str] = []

    async def main() -> None:
        async with server() as url, aiohttp.ClientSession() as session:
            connector: Any = session.connector
            stock = connector.connect

            async def connect(request: Any, *args: Any, **kwargs: Any) -> Any:
                asked.append(str(request.url))
                return await stock(request, *args, **kwargs)

            connector.connect = connect
            async with session.get(url + "/") as response:
                assert (await response.json())["path"] == "/"
            async with session.ws_connect(url + "/chat") as socket:
                await socket.receive()
            assert asked == [url + "/", url + "/chat"]
            del connector.connect
            async with session.get(url + "/") as response:
                assert is_by_engine(response) is (kind == "uvolt")
            assert len(asked) == 2

    run(main, kind)


def test_private_method_of_an_object(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    async def main() -> None:
        async with server() as url, aiohttp.ClientSession() as session:
            connector: Any = session.connector
            stock = connector._create_connection

            async def create(request: Any, *args: Any) -> Any:
                made.append(request.host)
                return await stock(request, *args)

            with monkeypatch.context() as patch:
                patch.setattr(connector, "_create_connection", create)
                async with session.get(url) as response:
                    assert (await response.json())["method"] == "GET"
            assert made == ["127.0.0.1"]
            async with session.get(url + "/?a") as response:
                assert is_by_engine(response) is (kind == "uvolt")
            assert len(made) == 1

    run(main, kind)


def test_private_method_of_a_class(kind: str) -> None:
    made: list[str] = []
    stock = aiohttp.TCPConnector._create_connection

    async def create(self: Any, request: Any, *args: Any) -> Any:
        assert isinstance(self, aiohttp.TCPConnector)
        made.append(request.host)
        return await stock(self, request, *args)

    async def main() -> None:
        async with server() as url:
            with mock.patch.object(aiohttp.TCPConnector, "_create_connection", create):
                async with aiohttp.ClientSession() as session, session.get(url) as response:
                    assert (await response.json())["method"] == "GET"
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                assert is_by_engine(response) is (kind == "uvolt")
        assert made == ["127.0.0.1"]
        assert aiohttp.TCPConnector._create_connection is stock

    run(main, kind)


def test_resolving_of_an_object(kind: str) -> None:
    """It is used by the engine, and by aiohttp's client for WebSockets."""
    asked: list[str] = []

    async def resolve(host: str, port: int, traces: Any = None) -> list[dict[str, Any]]:
        asked.append(host)
        return [dict(hostname=host, host="127.0.0.1", port=port, family=2, proto=0, flags=0)]

    async def main() -> None:
        async with server() as url, aiohttp.ClientSession() as session:
            url = url.replace("127.0.0.1", "some.invalid")
            connector: Any = session.connector
            with mock.patch.object(connector, "_resolve_host", resolve):
                async with session.get(url) as response:
                    assert is_by_engine(response) is (kind == "uvolt")
                    assert response.status == 200
                async with session.ws_connect(url + "/chat") as socket:
                    await socket.receive()
            assert set(asked) == {"some.invalid"}
            with pytest.raises(aiohttp.ClientConnectorDNSError):
                await session.get("http://other.invalid/")

    run(main, kind)


def test_methods_of_requests(kind: str) -> None:
    """As newrelic wraps send(): sessions that are made then are aiohttp's own."""
    sent: list[str] = []
    stock = aiohttp.ClientRequest.send

    async def send(self: Any, conn: Any) -> Any:
        sent.append(self.method)
        self.headers["x-trace"] = "1"
        return await stock(self, conn)

    async def main() -> None:
        async with server() as url:
            with mock.patch.object(aiohttp.ClientRequest, "send", send):
                async with aiohttp.ClientSession() as session, session.get(url) as response:
                    assert (await response.json())["headers"]["x-trace"] == "1"
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                assert is_by_engine(response) is (kind == "uvolt")
        assert sent == ["GET"]

    run(main, kind)


def test_autospec(kind: str) -> None:
    async def main() -> None:
        fake = mock.create_autospec(aiohttp.TCPConnector, instance=True)
        await fake.connect(mock.Mock(), [], aiohttp.ClientTimeout())
        fake._release(mock.Mock(), mock.Mock())
        with pytest.raises(TypeError):
            fake._release()
        async with aiohttp.TCPConnector() as connector:
            fake = mock.create_autospec(connector)
            await fake.connect(mock.Mock(), [], aiohttp.ClientTimeout())

    run(main, kind)


@pytest.mark.parametrize("name", ["connect", "_resolve_host", "_create_connection"])
def test_a_class_with_autospec(kind: str, name: str) -> None:
    async def main() -> None:
        async with server() as url:
            kwargs: Any = {"autospec": True, "side_effect": OSError("no")}
            with mock.patch.object(aiohttp.TCPConnector, name, **kwargs) as fake:
                async with aiohttp.ClientSession() as session:
                    with pytest.raises(OSError):
                        await session.get(url)
                assert fake.call_count
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                assert is_by_engine(response) is (kind == "uvolt")

    run(main, kind)


def test_traces_name_the_session_of_the_program(kind: str) -> None:
    """Also of what aiohttp's own client does for it."""
    told: list[Any] = []

    async def receive(session: Any, context: Any, params: Any) -> None:
        told.append(session)

    async def main() -> None:
        config = aiohttp.TraceConfig()
        config.on_request_start.append(receive)
        config.on_request_exception.append(receive)
        async with server() as url, aiohttp.ClientSession(trace_configs=[config]) as session:
            async with session.ws_connect(url + "/chat") as socket:
                await socket.receive()
            with mock.patch.object(session.connector, "connect", side_effect=ValueError):
                with pytest.raises(ValueError):
                    await session.get(url)
            assert len(told) == 3
            assert all(one is session for one in told)
            told.clear()

    run(main, kind)


def test_the_companion_holds_no_session(swapped: Any) -> None:
    """A session with traces that was dropped says so at once."""

    async def main() -> None:
        async with server() as url:
            session = swapped.ClientSession(trace_configs=[swapped.TraceConfig()])
            async with session.ws_connect(url + "/chat") as socket:
                await socket.receive()
            gc.collect()
            gc.disable()
            try:
                asyncio.get_running_loop().set_exception_handler(lambda *args: None)
                with pytest.warns(ResourceWarning, match="Unclosed client session"):
                    connector = session.connector
                    del session
                await connector.close()
            finally:
                gc.enable()

    run(main)


@pytest.mark.parametrize("name", ["_resolve_host", "_create_connection", "connect"])
def test_put_back_by_assignment(kind: str, name: str) -> None:
    """aresponses does so with _resolve_host()."""
    refuse = mock.AsyncMock(side_effect=OSError(111, "not today"))
    own: Any = aiohttp.connector.__dict__["TCPConnector"]
    before = dict(vars(own))

    async def main() -> None:
        async with server() as url, aiohttp.ClientSession() as session:
            names: Any = aiohttp.TCPConnector
            url = url.replace("127.0.0.1", "localhost")
            was = getattr(names, name)
            for _ in range(2):
                setattr(names, name, refuse)
                async with aiohttp.ClientSession() as other:
                    with pytest.raises(OSError, match="not today"):
                        await other.get(url)
                setattr(names, name, was)
                async with aiohttp.ClientSession() as other, other.get(url) as response:
                    assert is_by_engine(response) is (kind == "uvolt")
                async with session.get(url) as response:
                    assert response.status == 200

    run(main, kind)
    if kind == "uvolt":
        assert dict(vars(own)) == before
    elif name not in before:
        delattr(own, name)
