"""Connections that C makes: as those that connector._open() makes, whose errors are the measure."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import nomemory_support
import pytest
import support
from http_support import RawServer, answers, black_hole, raw, response

from uvolt import http
from uvolt.http import exceptions as errors
from uvolt.http.abc import AbstractResolver, ResolveResult
from uvolt.http.connector import TCPConnector

pytestmark = pytest.mark.skipif("uvolt" not in support.LOOPS, reason="of uvolt alone")

OK = answers(response(b"ok"))
CLOSING = answers(response(b"ok", Connection="close"), close=True)


def run(main: Callable[[], Awaitable[Any]], seconds: float = 20) -> Any:
    """Run main() on a uvolt loop; nothing may reach its exception handler."""
    loop = support.factory("uvolt")()
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))

    async def body() -> Any:
        result = await asyncio.wait_for(main(), seconds * support.SLOW)
        await support.settle()
        return result

    try:
        return loop.run_until_complete(body())
    finally:
        support.finish(loop)
        assert not contexts, contexts


@pytest.fixture
def by_python(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that connector._open() has connected to."""
    hosts: list[str] = []
    reach = TCPConnector._reach

    def counted(self: Any, key: Any, *args: Any, **kwargs: Any) -> Any:
        hosts.append(key.host)
        return reach(self, key, *args, **kwargs)

    monkeypatch.setattr(TCPConnector, "_reach", counted)
    return hosts


async def get(session: Any, url: str, **request: Any) -> bytes:
    async with session.get(url, **request) as answer:
        return bytes(await answer.read())


def described(error: BaseException | None) -> Any:
    """What a program sees of an error and of its causes."""
    if error is None:
        return None
    names = ("errno", "strerror", "host", "port", "ssl", "os_error", "filename")
    seen = {name: repr(getattr(error, name, None)) for name in names}
    return type(error), str(error), repr(error.args[1:]), seen, described(error.__cause__)


async def error_of(url: str, direct: bool, timeout: Any = None) -> BaseException:
    connector = TCPConnector()
    connector._direct = direct
    fds = support.open_fds()
    async with http.ClientSession(connector=connector) as session:
        with pytest.raises((errors.ClientError, asyncio.TimeoutError)) as caught:
            await get(session, url, timeout=timeout or http.ClientTimeout())
        assert connector._pool is not None
        assert connector._pool.in_use == 0
        assert support.open_fds() == fds
    return caught.value


async def compared(url: str, timeout: Any = None) -> BaseException:
    """The error of both ways, which is the same."""
    ours, measure = await error_of(url, True, timeout), await error_of(url, False, timeout)
    assert described(ours) == described(measure)
    return ours


# ---- it works -----------------------------------------------------------------------------------


def test_a_literal_address_is_connected_to_by_c(by_python: list[str]) -> None:
    async def main() -> None:
        async with raw(CLOSING) as server, http.ClientSession() as session:
            for _ in range(3):
                assert await get(session, server.url) == b"ok"
            assert len(server.peers) == 3
            name = f"http://localhost:{server.port}/"
            assert await get(session, name) == b"ok"

    run(main)
    assert by_python == ["localhost"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_its_transport(host: str, by_python: list[str]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(support.Recorder, host, 0)
        port = listener.sockets[0].getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        async with http.ClientSession() as session:
            asking = asyncio.ensure_future(get(session, f"http://{name}:{port}/"))
            connector: Any = session.connector
            await support.until(lambda: any(c.transport for c in connector._pool.connections))
            (conn,) = connector._pool.connections
            transport = conn.transport
            sock = transport.get_extra_info("socket")
            assert transport.get_extra_info("peername") == sock.getpeername()
            assert transport.get_extra_info("sockname") == sock.getsockname()
            assert sock.getpeername()[:2] == (host, port)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not sock.get_inheritable()
            assert set(transport._extra) >= {"socket", "sockname", "peername"}
            asking.cancel()
            await asyncio.wait([asking])
        listener.close()

    run(main)
    assert by_python == []


def test_the_address_of_any_interface(by_python: list[str]) -> None:
    async def main() -> None:
        async with raw(OK) as server, http.ClientSession() as session:
            assert await get(session, f"http://0.0.0.0:{server.port}/") == b"ok"
            connector: Any = session.connector
            (conn,) = connector._pool.connections
            assert conn.transport.get_extra_info("peername") == ("127.0.0.1", server.port)
            assert conn.transport.get_extra_info("sockname")[0] == "127.0.0.1"

    run(main)
    assert by_python == []


def test_many_at_a_time(by_python: list[str]) -> None:
    async def main() -> None:
        async with raw(OK) as server, http.ClientSession() as session:
            got = await asyncio.gather(*(get(session, server.url) for _ in range(50)))
            assert got == [b"ok"] * 50
            assert len(server.peers) == 50

    run(main)
    assert by_python == []


class Resolver(AbstractResolver):
    def __init__(self, *hosts: str, port: int = 0) -> None:
        self.hosts = hosts
        self.port = port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host=one, port=self.port or port, family=family, proto=0, flags=0
            )
            for one in self.hosts
        ]

    async def close(self) -> None:
        pass


def names_of_python(resolver: Resolver, by_python: list[str], **options: Any) -> int:
    """How many of four new connections to a name were not made by C."""
    by_python.clear()

    async def main() -> None:
        async with raw(CLOSING) as server:
            if resolver.port:
                resolver.port = server.port
            connector = TCPConnector(resolver=resolver, **options)
            async with http.ClientSession(connector=connector) as session:
                for _ in range(4):
                    port = 1 if resolver.port else server.port
                    assert await get(session, f"http://name:{port}/") == b"ok"

    run(main)
    return len(by_python)


def test_a_name_that_is_in_the_cache(by_python: list[str]) -> None:
    one = Resolver("127.0.0.1")
    assert names_of_python(one, by_python) == 1
    assert names_of_python(one, by_python, use_dns_cache=False) == 4
    assert names_of_python(one, by_python, ttl_dns_cache=0) == 4
    assert names_of_python(one, by_python, family=socket.AF_INET) == 4
    assert names_of_python(Resolver("127.0.0.1", "127.0.0.1"), by_python) == 4
    assert names_of_python(Resolver("127.0.0.1", port=1), by_python) == 4


# ---- whose work it is ---------------------------------------------------------------------------


class Hooked(TCPConnector):
    called: Any = None


def hooked(name: str, connector: Any = None) -> Any:
    """A connector one of whose methods is replaced, by its class or by hand."""
    kind = Hooked if connector is None else type(connector)
    stock = getattr(TCPConnector, name)

    async def hook(self: Any, *args: Any) -> Any:
        kind.called.append(name)
        return await stock(self, *args)

    if connector is None:
        return type("Hooked", (Hooked,), {name: hook})()
    setattr(connector, name, hook.__get__(connector))
    return connector


@pytest.mark.parametrize("name", ["_open", "_connect", "_resolve_host"])
@pytest.mark.parametrize("how", ["class", "instance"])
def test_methods_of_the_connector_that_were_replaced(name: str, how: str) -> None:
    Hooked.called = []

    async def main() -> None:
        async with raw(CLOSING) as server:
            connector = hooked(name, None if how == "class" else Hooked())
            async with http.ClientSession(connector=connector) as session:
                for _ in range(2):
                    assert await get(session, server.url) == b"ok"

    run(main)
    assert Hooked.called == [name] * 2


def test_what_python_must_do(by_python: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def factory(info: Any) -> socket.socket:
        made.append(info)
        return socket.socket(*info[:3])

    class Sock(socket.socket):
        pass

    async def main() -> None:
        async with raw(CLOSING) as server:
            for options in (
                {"socket_factory": factory},
                {"local_addr": ("127.0.0.2", 0)},
                {"family": socket.AF_INET},
            ):
                connector = TCPConnector(**options)  # type: ignore[arg-type]
                async with http.ClientSession(connector=connector) as session:
                    assert await get(session, server.url) == b"ok"
            assert len(made) == 1
            assert len(by_python) == 3
            async with http.ClientSession() as session:
                with monkeypatch.context() as patch:
                    patch.setattr(socket, "socket", Sock)
                    assert await get(session, server.url) == b"ok"
            assert len(by_python) == 4
            asyncio.get_running_loop().set_debug(True)
            async with http.ClientSession() as session:
                assert await get(session, server.url) == b"ok"
            assert len(by_python) == 5
            asyncio.get_running_loop().set_debug(False)
            async with http.ClientSession() as session:
                assert await get(session, server.url) == b"ok"
            assert len(by_python) == 5

    run(main)


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "127.0.0.01"])
def test_addresses_that_are_none(host: str) -> None:
    async def main() -> None:
        async with raw(OK) as server, http.ClientSession() as session:
            with pytest.raises(errors.ClientError):
                await get(session, f"http://{host}:{server.port}/")
            assert not server.peers

    run(main)


# ---- it fails -----------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_refused(host: str) -> None:
    error: Any = run(lambda: compared(f"http://{host}:{support.free_port()}/"))
    assert type(error) is errors.ClientConnectorError
    assert isinstance(error.__cause__, ConnectionRefusedError)
    assert error.__cause__ is error.os_error


def test_out_of_reach() -> None:
    error: Any = run(lambda: compared("http://255.255.255.255:80/"))
    assert type(error) is errors.ClientConnectorError


def test_a_name_that_is_in_the_cache_and_refuses(by_python: list[str]) -> None:
    async def main() -> None:
        connector = TCPConnector(resolver=Resolver("127.0.0.1"))
        url = f"http://name:{support.free_port()}/"
        async with http.ClientSession(connector=connector) as session:
            seen = []
            for _ in range(2):
                with pytest.raises(errors.ClientConnectorError) as caught:
                    await get(session, url)
                seen.append(described(caught.value))
            assert seen[0] == seen[1]
            assert len(by_python) == 1

    run(main)


def test_the_server_closes_at_once() -> None:
    async def script(peer: Any) -> None:
        peer.close()

    async def main() -> None:
        async with raw(script) as server, http.ClientSession() as session:
            with pytest.raises(errors.ClientConnectionError):
                await get(session, server.url)
            server.script = OK
            assert await get(session, server.url) == b"ok"

    run(main)


@contextlib.contextmanager
def few_descriptors() -> Iterator[None]:
    """No descriptor can be had."""
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(support.open_fds()), old[1]))
    held: list[socket.socket] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(socket.socket())
        yield
    finally:
        for sock in held:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, old)


def test_no_descriptor_is_left() -> None:
    async def main() -> None:
        async with raw(OK) as server:
            seen = []
            for direct in (True, False):
                connector = TCPConnector()
                connector._direct = direct
                async with http.ClientSession(connector=connector) as session:
                    with few_descriptors():
                        with pytest.raises(errors.ClientConnectorError) as caught:
                            await get(session, server.url)
                    assert await get(session, server.url) == b"ok"
                seen.append(described(caught.value))
            assert seen[0] == seen[1]
            assert "Too many open files" in seen[0][1]

    run(main)


# ---- it takes time ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "timeout",
    [{"sock_connect": 0.1}, {"connect": 0.1}, {"total": 0.1}, {"sock_connect": 5, "connect": 0.1}],
)
def test_timeouts(timeout: dict[str, float]) -> None:
    async def main() -> None:
        with black_hole() as port:
            limit = http.ClientTimeout(**timeout)
            url = f"http://127.0.0.1:{port}/"
            ours, measure = await error_of(url, True, limit), await error_of(url, False, limit)
            assert type(ours) is type(measure)
            assert str(ours) == str(measure)
            assert isinstance(ours, errors.ConnectionTimeoutError) == ("total" not in timeout)

    run(main)


def test_a_number_of_seconds_is_the_total() -> None:
    async def main() -> None:
        with black_hole() as port:
            error = await error_of(f"http://127.0.0.1:{port}/", True, 0.1)
            assert type(error) is asyncio.TimeoutError

    run(main)


@contextlib.asynccontextmanager
async def connecting(**options: Any) -> Any:
    """A session, and its request, which is not connected yet."""
    with black_hole() as port:
        connector = TCPConnector(**options)
        async with http.ClientSession(connector=connector) as session:
            asking = asyncio.ensure_future(get(session, f"http://127.0.0.1:{port}/"))
            pool: Any = connector._pool
            await support.until(lambda: pool.in_use == 1)
            await support.settle()
            yield session, pool, asking
            assert asking.done()


def test_cancelled(by_python: list[str]) -> None:
    async def main() -> None:
        async with connecting(limit=1) as (session, pool, asking), raw(OK) as server:
            fds = support.open_fds()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert len(support.open_fds()) == len(fds) - 1
            assert pool.in_use == 0
            assert await get(session, server.url) == b"ok"

    run(main)
    assert by_python == []


def test_one_that_waits_for_its_slot(by_python: list[str]) -> None:
    async def main() -> None:
        async with connecting(limit=1) as (session, _, asking), raw(OK) as server:
            second = asyncio.ensure_future(get(session, server.url))
            await support.settle()
            asking.cancel()
            assert await second == b"ok"

    run(main)
    assert by_python == []


@pytest.mark.parametrize("what", ["session", "connector"])
def test_closed_meanwhile(what: str) -> None:
    async def main() -> None:
        async with connecting() as (session, pool, asking):
            fds = support.open_fds()
            await (session if what == "session" else session.connector).close()
            assert len(support.open_fds()) == len(fds) - 1
            with pytest.raises(errors.ClientConnectionError, match="Connector is closed"):
                await asking
            assert pool.in_use == 0

    run(main)


def test_the_connection_is_closed_meanwhile() -> None:
    async def main() -> None:
        async with connecting() as (_, pool, asking):
            pool.connections[0].close()
            with pytest.raises(errors.ClientConnectionError):
                await asking
            assert pool.in_use == 0

    run(main)


def test_cancelled_and_closed_at_once() -> None:
    async def main() -> None:
        async with connecting() as (session, _, asking):
            asking.cancel()
            await session.close()
            with pytest.raises((asyncio.CancelledError, errors.ClientConnectionError)):
                await asking

    run(main)


def test_the_loop_is_closed_meanwhile() -> None:
    fds = support.open_fds()
    with black_hole() as port:
        loop = support.factory("uvolt")()

        async def main() -> Any:
            session = http.ClientSession()
            asking = asyncio.ensure_future(get(session, f"http://127.0.0.1:{port}/"))
            await support.settle()
            return session, asking

        session, asking = loop.run_until_complete(main())
        loop.close()
        asking._log_destroy_pending = False
        with pytest.raises(RuntimeError, match="closed"):
            session.connector._loop.call_soon(print)
        session._connector = None
        del session, asking
        for _ in range(3):
            gc.collect()
    assert support.open_fds() == fds


class Late:
    """A port where nothing can connect until open() or shut() is called."""

    def __init__(self) -> None:
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.fillers = []
        for _ in range(8):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(self.listener.getsockname())
            self.fillers.append(sock)

    def drop_fillers(self) -> None:
        for sock in self.fillers:
            sock.close()

    def shut(self) -> None:
        self.drop_fillers()
        self.listener.close()

    async def serve(self, script: Any) -> Any:
        loop = asyncio.get_running_loop()
        self.drop_fillers()
        self.listener.listen(100)
        from http_support import Peer

        server = RawServer(script)
        return server, await loop.create_server(lambda: Peer(server), sock=self.listener)


def test_connected_later(by_python: list[str]) -> None:
    async def main() -> None:
        late = Late()
        async with http.ClientSession() as session:
            asking = asyncio.ensure_future(get(session, f"http://127.0.0.1:{late.port}/"))
            await asyncio.sleep(0.05)
            server, listener = await late.serve(OK)
            assert await asking == b"ok"
        listener.close()
        await server.closed_by_client()
        for peer in server.peers:
            peer.transport.abort()
            peer.task.cancel()
            await asyncio.wait([peer.task])

    run(main)
    assert by_python == []


def test_refused_later(by_python: list[str]) -> None:
    async def main() -> None:
        seen = []
        for direct in (True, False):
            late = Late()
            connector = TCPConnector()
            connector._direct = direct
            async with http.ClientSession(connector=connector) as session:
                asking = asyncio.ensure_future(get(session, f"http://127.0.0.1:{late.port}/"))
                await asyncio.sleep(0.05)
                late.shut()
                with pytest.raises(errors.ClientConnectorError) as caught:
                    await asking
            seen.append(described(caught.value))
            seen[-1] = repr(seen[-1]).replace(str(late.port), "PORT")
        assert seen[0] == seen[1]

    run(main)
    assert len(by_python) == 1


# ---- memory -------------------------------------------------------------------------------------

SCRIPT = (
    nomemory_support.COMMON
    + """
from uvolt import _core, http
from uvolt.http import _support, exceptions

address, child = answering(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
url = "http://127.0.0.1:%d/" % address[1]


async def work(session, number):
    try:
        fail_at(number)
        async with session.get(url) as response:
            assert await response.read() == b"ok"
    finally:
        _testcapi.remove_mem_hooks()


def attempt(number):
    loop = new_loop()

    async def make():
        return http.ClientSession()

    session = loop.run_until_complete(make())
    pool = session.connector._pool
    errors = exceptions.ClientError, OSError
    outcome, told = ending(loop, work(session, number), number, errors)
    if outcome != "told":
        assert pool.in_use == 0, (number, outcome, told, pool.connections)
    loop.run_until_complete(asyncio.wait_for(session.close(), 10))
    loop.close()
    return outcome


try:
    for _ in range(3):
        assert attempt(None) == "done"
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    gc.disable()  # collected is after each, and not while memory is short
    outcomes = []
    for number in range(int(sys.argv[1])):
        outcomes.append(attempt(number))
        gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before
    assert attempt(None) == "done"
    gc.collect()
    assert _core.counters()["http_connections_alive"] == 0, _core.counters()
    print(count(outcomes))
finally:
    os.kill(child, 9)
    os.waitpid(child, 0)
"""
)


def test_an_allocation_fails() -> None:
    pytest.importorskip("_testcapi", reason="this Python comes without the hook of its own tests")
    out = support.script(
        "uvolt",
        SCRIPT,
        args=("90",),
        stderr=None,
        timeout=50,
        options=("-X", "faulthandler"),
    )
    assert "'raised'" in out
    assert "'done'" in out
