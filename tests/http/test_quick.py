"""Sessions and connectors that C fills without __init__(): as if it had run, where it may."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import nomemory_support
import pytest
import support
from http_support import answers, raw, response
from yarl import URL

from uvolt import _core, http
from uvolt.http import client as client_module
from uvolt.http import exceptions as errors
from uvolt.http.client import ClientSession
from uvolt.http.connector import TCPConnector

pytestmark = pytest.mark.skipif("uvolt" not in support.LOOPS, reason="of uvolt alone")

OK = answers(response(b"ok"))


def run(main: Callable[[], Awaitable[Any]], debug: bool = False) -> Any:
    loop = support.factory("uvolt")()
    loop.set_debug(debug)

    async def body() -> Any:
        result = await asyncio.wait_for(main(), 20 * support.SLOW)
        await support.settle()
        return result

    try:
        return loop.run_until_complete(body())
    finally:
        support.finish(loop)


async def get(session: Any, url: Any) -> bytes:
    async with session.get(url) as answer:
        return bytes(await answer.read())


def state(made: Any) -> dict[str, Any]:
    """What an object has but its methods; of what each has one of its own, the type."""
    found = {}
    for name in dir(type(made)) + list(vars(made)):
        if name.startswith("__") or name in ("loop", "_abc_impl"):
            continue
        value = getattr(made, name, "missing")
        if inspect.isroutine(value):
            continue
        own = isinstance(value, (http.CookieJar, TCPConnector, _core.HTTPPool, _core.Loop))
        is_plain = isinstance(value, (list, dict, bool, int, float, str, tuple, frozenset))
        found[name] = value if is_plain or not own and value is None else type(value)
    return found


# ---- as if __init__() had run -------------------------------------------------------------------


def by_python(cls: Any, **options: Any) -> Any:
    """One that its __init__() has filled."""
    made = cls.__new__(cls)
    cls.__init__(made, **options)
    return made


def test_a_session_has_what_init_sets() -> None:
    async def main() -> None:
        async with ClientSession() as ours, by_python(ClientSession) as measure:
            assert not vars(ours)
            assert vars(measure)
            assert state(ours) == state(measure)
            for name in ("_timeout", "_json_serialize", "_response_class"):
                assert getattr(ours, name) is getattr(measure, name)
            assert ours._loop is measure._loop is ours.connector._loop

    run(main)


def test_a_connector_has_what_init_sets() -> None:
    async def main() -> None:
        async with TCPConnector() as ours, by_python(TCPConnector) as measure:
            assert not vars(ours)
            assert vars(measure)
            assert state(ours) == state(measure)
            ours.clear_dns_cache()
            assert ours._names is ours._names
            assert ours._resolver is ours._resolver

    run(main)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": http.ClientTimeout(total=1)},
        {"headers": {"a": "b"}, "raise_for_status": True},
        {"headers": None, "raise_for_status": False},
        {"json_serialize": repr, "connector_owner": True},
    ],
)
def test_a_session_with_some_arguments(options: dict[str, Any]) -> None:
    async def main() -> None:
        async with ClientSession(**options) as ours, by_python(ClientSession, **options) as measure:
            assert not vars(ours)
            assert state(ours) == state(measure)
            assert ours.headers == measure.headers
            assert ours.timeout is measure.timeout
            assert ours.json_serialize is measure.json_serialize
            assert ours.raise_for_status is measure.raise_for_status

    run(main)


@pytest.mark.parametrize(
    "options",
    [{"limit": 3}, {"limit": 0, "limit_per_host": 2}, {"ssl": False}, {"ssl": True, "limit": 1}],
)
def test_a_connector_with_some_arguments(options: dict[str, Any]) -> None:
    async def main() -> None:
        async with TCPConnector(**options) as ours, by_python(TCPConnector, **options) as measure:
            assert "_use_dns_cache" not in vars(ours)
            assert state(ours) == state(measure)
            assert ours._ssl is measure._ssl
            async with ClientSession(connector=ours) as session:
                assert session.connector is ours
                assert session._loop is ours._loop

    run(main)


def test_wrong_arguments() -> None:
    async def main() -> None:
        with pytest.raises(TypeError):
            TCPConnector(limit="1")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            TCPConnector(ssl="no")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            ClientSession(headers=1)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="timeout"):
            ClientSession(timeout="x")  # type: ignore[arg-type]
        for limit in (-1, 2**70):
            with contextlib.suppress(OverflowError):
                assert TCPConnector(limit=limit).limit == 0
        connector = TCPConnector()
        await connector.close()
        async with ClientSession(connector=connector) as session:
            assert session.closed

    run(main)


def test_its_signature() -> None:
    assert "base_url" in inspect.signature(ClientSession).parameters
    assert "happy_eyeballs_delay" in inspect.signature(TCPConnector).parameters


def test_headers_and_cookies_are_made_when_asked_for() -> None:
    cookie = answers(response(b"ok", Set_Cookie="a=b"))

    async def main() -> None:
        async with raw(cookie) as server, ClientSession() as session:
            url = URL(server.url).with_host("localhost")
            assert await get(session, url) == b"ok"
            assert await get(session, url) == b"ok"
            assert server.asked[-1].headers["cookie"] == "a=b"
            assert session.cookie_jar is session.cookie_jar
            assert len(session.cookie_jar) == 1
            session.headers["X-One"] = "1"
            assert await get(session, url) == b"ok"
            assert server.asked[-1].headers["x-one"] == "1"

    run(main)


def test_cookies_that_are_put_into_the_jar() -> None:
    async def main() -> None:
        async with raw(OK) as server, ClientSession() as session:
            url = URL(server.url).with_host("localhost")
            assert await get(session, url) == b"ok"
            session.cookie_jar.update_cookies({"a": "b"}, url)
            assert await get(session, url) == b"ok"
            assert server.asked[-1].headers["cookie"] == "a=b"

    run(main)


def test_in_debug_mode() -> None:
    async def main() -> None:
        session = ClientSession()
        assert session._source_traceback is not None
        assert session._source_traceback[-1].name == "main"
        await session.close()
        connector = TCPConnector()
        assert connector._source_traceback is not None
        assert "main" in [frame.name for frame in connector._source_traceback]
        await connector.close()

    run(main, debug=True)


def test_without_a_loop() -> None:
    for kind in (ClientSession, TCPConnector):
        with pytest.raises(RuntimeError, match="no running event loop"):
            kind()


def test_not_a_class_for_it() -> None:
    for wrong in (int, 1, _core.ClientSession, _core.HTTPConnector):
        with pytest.raises(TypeError):
            _core.http_quicken(wrong)  # type: ignore[arg-type]


def test_nothing_stays_behind() -> None:
    async def main() -> None:
        async with raw(OK) as server:

            async def once() -> None:
                async with ClientSession() as session:
                    assert await get(session, server.url) == b"ok"

            for _ in range(5):
                await once()
            gc.collect()
            gc.disable()
            try:
                before = _core.counters()
                for _ in range(20):
                    await once()
                await support.settle()
                after = _core.counters()
            finally:
                gc.enable()
            name = "http_connections_alive"
            assert after[name] == before[name]
            assert gc.collect() < 20

    run(main)


# ---- where __init__() is another one -----------------------------------------------------------


@pytest.mark.parametrize("kind", [ClientSession, TCPConnector])
def test_init_that_was_wrapped(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    init = kind.__init__

    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        called.append(kwargs)
        init(self, *args, **kwargs)

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(kind, "__init__", wrapped)
            async with ClientSession(), TCPConnector():
                assert len(called) == 1 if kind is ClientSession else 2
        async with ClientSession(), TCPConnector():
            pass
        assert len(called) == (1 if kind is ClientSession else 2)

    run(main)


def test_init_of_a_subclass() -> None:
    class Session(ClientSession):
        def __init__(self) -> None:
            super().__init__(headers={"X-One": "1"})
            self.mine = 1

    class Connector(TCPConnector):
        def __init__(self) -> None:
            super().__init__()
            self.mine = 1

    async def main() -> None:
        async with raw(OK) as server, Session() as session, Connector() as connector:
            assert session.mine == connector.mine == 1
            await get(session, server.url)
            assert server.asked[-1].headers["x-one"] == "1"

    run(main)


def test_arguments() -> None:
    async def main() -> None:
        async with ClientSession(headers={"a": "b"}, connector=TCPConnector(limit=7)) as session:
            assert session.headers["A"] == "b"
            assert session.connector is not None
            assert session.connector.limit == 7
        with pytest.raises(TypeError, match="unexpected keyword"):
            ClientSession(nonsense=1)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="positional"):
            ClientSession(None, None)  # type: ignore[misc]

    run(main)


# ---- URLs that another session has seen ---------------------------------------------------------


def test_sessions_share_no_connections() -> None:
    async def main() -> None:
        async with raw(OK) as server:
            for i in range(3):
                async with ClientSession() as session, ClientSession() as other:
                    for _ in range(2):
                        assert await get(session, server.url + "/a") == b"ok"
                        assert await get(other, server.url + "/b?c") == b"ok"
                    assert len(server.peers) == 2 * i + 2
                    host = f"127.0.0.1:{server.port}"
                    assert server.asked[-1].headers["host"] == host
                    assert [asked.target for asked in server.asked[-2:]] == ["/a", "/b?c"]

    run(main)


def test_a_session_with_a_way_of_its_own_to_look_at_urls() -> None:
    class Session(ClientSession):
        def _build_url(self, str_or_url: Any) -> URL:
            return super()._build_url(str_or_url).with_path("/mine")

    async def main() -> None:
        async with raw(OK) as server:
            async with ClientSession() as session:
                await get(session, server.url + "/theirs")
            async with Session() as session:
                await get(session, server.url + "/theirs")
            async with ClientSession() as session:
                await get(session, server.url + "/theirs")
            assert [asked.target for asked in server.asked] == ["/theirs", "/mine", "/theirs"]

    run(main)


# ---- the end ------------------------------------------------------------------------------------


def test_async_with_closes() -> None:
    async def main() -> None:
        async with raw(OK) as server:
            with pytest.raises(ZeroDivisionError):
                async with ClientSession() as session:
                    assert await get(session, server.url) == b"ok"
                    connector = session.connector
                    raise ZeroDivisionError
            assert session.closed
            assert connector is not None
            assert connector.closed
            assert session.connector is None
            await server.closed_by_client()
            async with session:
                pass
            with pytest.raises(RuntimeError, match="Session is closed"):
                await session.get(server.url)

    run(main)


@pytest.mark.parametrize("how", ["class", "instance"])
def test_a_close_that_was_replaced(how: str) -> None:
    called: list[Any] = []

    class Session(ClientSession):
        async def close(self) -> None:
            called.append(self)
            await super().close()

    class Connector(TCPConnector):
        async def close(self, *, abort_ssl: bool = False) -> None:
            called.append(self)
            await super().close(abort_ssl=abort_ssl)

    async def main() -> None:
        if how == "class":
            async with Session(connector=Connector()) as session:
                pass
        else:
            async with ClientSession() as session:
                close = session.close

                async def mine() -> None:
                    called.append(session)
                    called.append(session)
                    await close()

                session.close = mine  # type: ignore[method-assign]
        assert session.closed
        assert len(called) == 2

    run(main)


def test_a_close_that_fails() -> None:
    class Session(ClientSession):
        async def close(self) -> None:
            await super().close()
            raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with Session():
                pass

    run(main)


def test_a_connector_of_others_stays_open() -> None:
    async def main() -> None:
        async with TCPConnector() as connector:
            async with ClientSession(connector=connector, connector_owner=False) as session:
                pass
            assert session.closed
            assert not connector.closed
            async with ClientSession() as session:
                session._connector_owner = False
                other: Any = session.connector
            assert not other.closed
            await other.close()

    run(main)


def test_with_a_request_under_way() -> None:
    async def silent(peer: Any) -> None:
        await peer.request()
        await peer.gone()

    async def main() -> None:
        async with raw(silent) as server:
            async with ClientSession() as session:
                asking = asyncio.ensure_future(get(session, server.url))
                await support.until(lambda: server.asked)
                pool: Any = session.connector._pool  # type: ignore[union-attr]
                fds = len(support.open_fds())
            assert pool.connections == []
            assert len(support.open_fds()) == fds - 1
            with pytest.raises(errors.ClientConnectionError):
                await asking

    run(main)


def test_cancelled_while_it_closes() -> None:
    gate: Any = None

    class Connector(TCPConnector):
        async def close(self, *, abort_ssl: bool = False) -> None:
            await gate.wait()
            await super().close()

    async def main() -> None:
        nonlocal gate
        gate = asyncio.Event()
        connector = Connector()

        async def work() -> None:
            async with ClientSession(connector=connector):
                pass

        task = asyncio.ensure_future(work())
        await support.settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()
        await connector.close()

    run(main)


def test_names_after_the_end() -> None:
    async def main() -> None:
        connector = TCPConnector()
        await connector.close()
        with pytest.raises(errors.ClientConnectionError):
            await connector._resolve_host("name", 80)

    run(main)


def test_a_session_that_is_not_closed() -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        session = ClientSession()
        connector = session.connector
        with pytest.warns(ResourceWarning, match="Unclosed client session"):
            del session
        assert connector is not None
        await connector.close()
        assert client_module.ClientSession is ClientSession

    run(main)


# ---- memory -------------------------------------------------------------------------------------

SCRIPT = (
    nomemory_support.COMMON
    + """
from uvolt import _core, http

timeout = http.ClientTimeout(total=1)


async def bare():
    async with http.ClientSession():
        pass


async def given():
    session = http.ClientSession(
        connector=http.TCPConnector(limit=1, ssl=False), timeout=timeout, headers={"a": "b"}
    )
    session.headers["c"] = "d"
    await session.close()


def attempt(work, number):
    loop = new_loop()
    loop.set_exception_handler(lambda *_: None)
    coro = work()

    async def short():
        try:
            fail_at(number)
            return await coro
        finally:
            _testcapi.remove_mem_hooks()

    try:
        loop.run_until_complete(short())
        return "done"
    except MemoryError:
        return "raised"
    finally:
        loop.close()


for work in bare, given:
    assert attempt(work, None) == "done"
    outcomes = [attempt(work, number) for number in range(int(sys.argv[1]))]
    assert attempt(work, None) == "done"
    print(count(outcomes))
    gc.collect()
"""
)


def test_an_allocation_fails() -> None:
    pytest.importorskip("_testcapi", reason="this Python comes without the hook of its own tests")
    out = support.script(
        "uvolt",
        SCRIPT,
        args=("40",),
        stderr=None,
        timeout=50,
        options=("-X", "faulthandler"),
    )
    assert out.count("'raised'") == out.count("'done'") == 2
