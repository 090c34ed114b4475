"""isinstance and except, for names taken before the swap and after it."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import socket
from typing import Any

import aiohttp
import pytest
import support
from swap_support import run, server

from uvolt import http
from uvolt.http import exceptions

KINDS = ["ClientSession", "BaseConnector", "TCPConnector", "CookieJar", "DummyCookieJar"]


def test_names(original, swapped):
    """Those that the engine stands in are new, wherever one looks; all others are as they were."""
    changed = {n for n in swapped.__all__[1:-2] if getattr(swapped, n) is not getattr(original, n)}
    assert changed == {
        "BaseConnector",
        "ClientResponse",
        "ClientSession",
        "CookieJar",
        "DummyCookieJar",
        "TCPConnector",
        "UnixConnector",
        "request",
    }
    for name in changed:
        assert (getattr(swapped, name)).__module__ == getattr(original, name).__module__
    assert aiohttp.client.ClientSession is aiohttp.ClientSession
    assert aiohttp.client.TCPConnector is aiohttp.connector.TCPConnector is aiohttp.TCPConnector
    assert aiohttp.client_reqrep.ClientResponse is aiohttp.ClientResponse
    assert aiohttp.cookiejar.CookieJar is aiohttp.CookieJar
    assert aiohttp.test_utils.ClientSession is aiohttp.ClientSession
    assert issubclass(aiohttp.ClientSession, http.ClientSession)


def test_signatures(original, swapped):
    for name in ("ClientSession", "TCPConnector", "UnixConnector", "CookieJar", "ClientResponse"):
        ours, theirs = getattr(swapped, name), getattr(original, name)
        assert inspect.signature(ours) == inspect.signature(theirs)

    class Mine(swapped.TCPConnector):
        def __init__(self, mine: int) -> None:
            super().__init__()

    assert inspect.signature(Mine) != inspect.signature(original.TCPConnector)


def test_new_objects_are_of_both(original, swapped):
    async def main():
        async with server() as url, swapped.ClientSession() as session:
            async with session.get(url) as response:
                for module in (original, swapped):
                    assert isinstance(session, module.ClientSession)
                    assert isinstance(session.connector, module.TCPConnector)
                    assert isinstance(session.connector, module.BaseConnector)
                    assert isinstance(session.cookie_jar, module.CookieJar)
                    assert isinstance(session.timeout, module.ClientTimeout)
                    assert isinstance(response, module.ClientResponse)
                    assert isinstance(response.request_info, module.RequestInfo)
                    assert issubclass(type(session), module.ClientSession)
                assert isinstance(response, http.ClientResponse)
                assert await response.json()
        assert not isinstance(response, swapped.ClientSession)

    run(main)


def test_old_objects_are_of_the_new_names(original, swapped):
    """A session of before goes on, by aiohttp's own client, and is an aiohttp.ClientSession."""

    async def main():
        async with server() as url, original.ClientSession() as session:
            assert not isinstance(session, http.ClientSession)
            assert isinstance(session, swapped.ClientSession)
            assert isinstance(session.connector, swapped.TCPConnector)
            assert isinstance(session.connector, swapped.BaseConnector)
            assert not isinstance(session.connector, swapped.UnixConnector)
            async with session.get(url) as response:
                assert isinstance(response, swapped.ClientResponse)
                assert (await response.json())["headers"]["user-agent"].find("aiohttp") > 0
        assert issubclass(original.ClientSession, swapped.ClientSession)

    run(main)


def test_a_class_of_aiohttp_is_no_subclass_by_chance(original, swapped):
    class Mine(swapped.TCPConnector):
        pass

    async def main():
        mine, other = Mine(), swapped.TCPConnector()
        try:
            assert isinstance(mine, Mine) and isinstance(mine, swapped.TCPConnector)
            assert not isinstance(other, Mine)
            assert issubclass(Mine, swapped.BaseConnector)
            assert not issubclass(swapped.TCPConnector, Mine)
        finally:
            await mine.close()
            await other.close()

    run(main)


@pytest.mark.parametrize("name", exceptions.__all__)
def test_every_exception_is_of_both(name, original, swapped):
    """What the engine raises is caught by either name, and by the names of all bases."""
    kind = getattr(exceptions, name)
    theirs = getattr(aiohttp.client_exceptions, name)
    assert getattr(original, name, theirs) is theirs
    error = kind(*arguments(name))
    assert isinstance(error, kind) and isinstance(error, theirs)
    assert set(kind.__mro__) | set(theirs.__mro__) < set(type(error).__mro__)
    assert type(error).__name__ == name and type(error).__module__ == theirs.__module__
    same = theirs(*arguments(name))
    assert str(error) == str(same) and repr(error) == repr(same)
    for found in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(found) is theirs and str(found) == str(error)
        assert found.__dict__.keys() == error.__dict__.keys()


def arguments(name: str) -> tuple[Any, ...]:
    key = http.ConnectionKey("host", 80, False, True)
    reason = OSError(5, "why")
    info = http.RequestInfo("http://a/", "GET", {}, "http://a/")
    kind = getattr(exceptions, name)
    if name == "UnixClientConnectorError":
        return "/path", key, reason
    if name == "ServerFingerprintMismatch":
        return b"a", b"b", "host", 443
    if issubclass(kind, exceptions.ClientConnectorError):
        return key, reason
    if issubclass(kind, exceptions.ClientResponseError):
        return info, ()
    return ("text",)


def test_exceptions_are_plain_again_afterwards():
    assert type(http.ClientError("x")) is http.ClientError
    assert not isinstance(http.ClientError("x"), aiohttp.ClientError)


def test_a_subclass_of_an_exception_is_itself(swapped):
    class Mine(http.ClientError):
        pass

    assert type(Mine("x")) is Mine


def test_except(original, swapped):
    """By the names of before and after, what the engine raises from C and from Python."""

    async def main():
        async with server() as url, swapped.ClientSession() as session:
            for module in (original, swapped, http):
                with pytest.raises(module.ClientConnectorError) as refused:
                    await session.get(f"http://{support.LOCALHOST}:{support.free_port()}/")
                assert refused.value.os_error.errno == refused.value.errno
                with pytest.raises(module.ClientResponseError):
                    await session.get(url + "/?status=404", raise_for_status=True)
                with pytest.raises(module.InvalidURL):
                    await session.get("http:///")
                with pytest.raises(module.NonHttpUrlClientError):
                    await session.get("ftp://a/")
                with pytest.raises(module.ServerTimeoutError), silent() as silence:
                    timeout = swapped.ClientTimeout(sock_read=0.05)
                    await session.get(silence, timeout=timeout)
                with pytest.raises(asyncio.TimeoutError), silent() as silence:
                    await session.get(silence, timeout=swapped.ClientTimeout(total=0.05))

    run(main)


class silent:
    """A server that does not answer."""

    def __enter__(self) -> str:
        self.socket = socket.create_server((support.LOCALHOST, 0))
        return f"http://{support.LOCALHOST}:{self.socket.getsockname()[1]}/"

    def __exit__(self, *exc: object) -> None:
        self.socket.close()


def test_put_back(original, swapped):
    """uninstall() leaves nothing behind; what was made before it goes on."""
    from uvolt import swap

    async def main():
        async with server() as url, swapped.ClientSession() as session:
            swap.swap_out()
            for name in aiohttp.__all__[1:-2]:
                assert getattr(aiohttp, name) is getattr(original, name)
            assert aiohttp.client.ClientSession is original.ClientSession
            assert type(aiohttp.client) is type(aiohttp.connector) is type(socket)
            assert aiohttp.test_utils.ClientSession is original.ClientSession
            async with session.get(url) as response:
                assert response.status == 200
            again = type(session)
            swap.swap_in()
            assert aiohttp.ClientSession is again

    run(main)


def test_who_sets_a_name_sets_it(original, swapped, monkeypatch):
    """mock.patch("aiohttp.client.ClientSession") and its like reach whoever looks."""
    with monkeypatch.context() as patch:
        patch.setattr("aiohttp.client.ClientSession", "mine")
        assert aiohttp.client.ClientSession == aiohttp.client.__dict__["ClientSession"] == "mine"
    assert aiohttp.client.ClientSession is swapped.ClientSession
    assert aiohttp.client.__dict__["ClientSession"] is original.ClientSession
