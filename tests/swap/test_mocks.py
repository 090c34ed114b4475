"""What tests of programs do with aiohttp's classes: mocks of their form, methods replaced."""

from __future__ import annotations

import abc
import asyncio
import copy
import inspect
import pickle
from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar
from unittest import mock

import aiohttp
import pytest
from swap_support import run, server

T = TypeVar("T")
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")


@pytest.fixture(params=["aiohttp", "uvolt"])
def names(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The module aiohttp, with its own names and with ours."""
    yield aiohttp if request.param == "aiohttp" else request.getfixturevalue("swapped")


SESSION = "request get options head post put patch delete ws_connect close __init__"
RESPONSE = "read text json release close wait_for_close raise_for_status __aenter__ __aexit__"


@pytest.mark.parametrize(
    "owner, methods", [("ClientSession", SESSION), ("ClientResponse", RESPONSE)]
)
def test_methods_look_like_aiohttps(owner: str, methods: str, original: Any, swapped: Any) -> None:
    theirs_class, ours_class = getattr(original, owner), getattr(swapped, owner)
    for name in methods.split():
        theirs, ours = getattr(theirs_class, name), getattr(ours_class, name)
        assert inspect.isfunction(ours), name
        assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs), name
        assert asyncio.iscoroutinefunction(ours) == asyncio.iscoroutinefunction(theirs), name
        assert list(inspect.signature(ours).parameters) == list(
            inspect.signature(theirs).parameters
        )
        assert ours.__name__ == name and callable(ours)
        if name != "raise_for_status":
            assert (ours.__qualname__, ours.__module__) == (theirs.__qualname__, theirs.__module__)
            assert ours.__doc__ == theirs.__doc__ and copy.deepcopy(ours) is ours
    assert pickle.loads(pickle.dumps(swapped.ClientResponse.json)) is swapped.ClientResponse.json


def test_bound_methods_look_like_aiohttps(names: Any) -> None:
    async def main() -> None:
        async with server() as url, names.ClientSession() as session:
            get = session.get
            assert inspect.ismethod(get) and get.__self__ is session
            assert not inspect.iscoroutinefunction(get) and get.__name__ == "get"
            async with get(url) as response:
                read = response.json
                assert inspect.iscoroutinefunction(read) and read.__self__ is response
                assert (await read())["method"] == "GET"
                assert (await names.ClientResponse.json(response))["method"] == "GET"
            response = await names.ClientSession.post(session, url, data=b"x")
            assert (await type(response).json.__get__(response)())["body"] == "x"
            with pytest.raises((TypeError, AttributeError)):
                names.ClientSession.get(1, url)  # what is no session is refused
            with pytest.raises(TypeError):
                await response.read(1)

    run(main)


@pytest.mark.parametrize("kind", [mock.MagicMock, mock.AsyncMock, mock.Mock])
def test_mocks_with_a_spec(kind: Any, names: Any) -> None:
    async def main() -> None:
        response = kind(spec=names.ClientResponse)
        response.json.return_value = {"a": 1}
        response.status = 200
        assert await response.json() == {"a": 1}
        assert not inspect.iscoroutinefunction(response.raise_for_status)
        assert isinstance(response, names.ClientResponse)
        session = kind(spec=names.ClientSession)
        await session.close()
        session.close.assert_awaited_once_with()

    run(main)


def test_autospec(names: Any) -> None:
    async def main() -> None:
        response = mock.create_autospec(names.ClientResponse, instance=True)
        response.json.return_value = {"a": 1}
        session = mock.create_autospec(names.ClientSession, instance=True)
        session.get.return_value.__aenter__.return_value = response
        async with session.get("http://x/") as got:
            assert await got.json() == {"a": 1}
        with pytest.raises(TypeError):
            session.get()
        with mock.patch.object(names.ClientSession, "get", autospec=True) as get:
            async with names.ClientSession() as session:
                session.get("http://x/")
                get.assert_called_once_with(session, "http://x/")

    run(main)


def test_methods_of_responses_replaced(names: Any) -> None:
    async def main() -> None:
        async with server() as url, names.ClientSession() as session:
            json = mock.patch.object(names.ClientResponse, "json", mock.AsyncMock(return_value=7))
            with json, mock.patch("aiohttp.ClientResponse.text", side_effect=ValueError) as text:
                async with session.get(url) as response:
                    assert await response.json() == 7
                    with pytest.raises(ValueError):
                        await response.text()
                    text.assert_awaited_once()
            async with session.get(url) as response:
                assert (await response.json())["method"] == "GET"

    run(main)


class Abstract(abc.ABC):
    @abc.abstractmethod
    def answer(self) -> int: ...


class HasAnswer(Protocol):
    def answer(self) -> int: ...


@pytest.mark.parametrize("other", [Abstract, HasAnswer, Generic[T]])
def test_sessions_with_abstract_bases(other: Any, names: Any) -> None:
    async def main() -> None:
        class Base(other, names.ClientSession):  # type: ignore[misc]
            pass

        class Session(Base):
            def answer(self) -> int:
                return 42

        async with server() as url, Session() as session:
            assert isinstance(session, Base) and isinstance(session, names.ClientSession)
            assert issubclass(Session, names.ClientSession) and session.answer() == 42
            assert not isinstance(names.ClientSession, Base)
            async with names.ClientSession() as plain:
                assert not isinstance(plain, Base)
            async with session.get(url) as response:
                assert response.status == 200
        if other is Abstract:
            with pytest.raises(TypeError, match="abstract class Base"):
                Base()

    run(main)


def test_a_watched_session_and_a_watched_connector(names: Any) -> None:
    """ddtrace wraps _request() of the session and connect() of the connector: each is called."""
    calls: list[str] = []

    def watched(owner: Any, name: str) -> Any:
        wrapped = getattr(owner, name)

        async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return await wrapped(self, *args, **kwargs)

        return mock.patch.object(owner, name, wrapper)

    async def main() -> None:
        async with server() as url:
            for order in (1, -1):
                owners = [(names.ClientSession, "_request"), (names.TCPConnector, "connect")][
                    ::order
                ]
                calls.clear()
                async with names.ClientSession() as before:
                    with watched(*owners[0]), watched(*owners[1]):
                        async with names.ClientSession() as session, session.get(url) as response:
                            assert response.status == 200
                        async with before.get(url) as response:
                            assert response.status == 200
                    assert calls == ["_request", "connect"] * 2
                    async with before.get(url) as response:
                        assert (await response.json())["method"] == "GET"
                assert len(calls) == 4

    run(main)
