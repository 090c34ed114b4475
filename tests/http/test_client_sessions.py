"""Sessions and connections: keep-alive and limits, closing, what get() returns, cancellation."""

from __future__ import annotations

import asyncio
import collections.abc
import contextlib
import gc
import inspect
import io
import socket
import time
import warnings

import pytest
import support
from http_support import answers, black_hole, raw, response

OK = answers(response(b"ok"))


async def silent(peer):
    """Never answers."""
    await peer.request()
    await peer.gone()


async def get(http, url, **request):
    async with http.get(url, **request) as answer:
        return await answer.read()


# -- what get() returns ---------------------------------------------------------------------------


def test_awaited_and_entered(client):
    async def main():
        async with raw(OK) as server, client.session() as http:
            answer = await http.get(server.url)
            assert await answer.read() == b"ok"
            async with http.get(server.url) as answer:
                assert await answer.read() == b"ok"
            async with await http.get(server.url) as answer:
                assert await answer.read() == b"ok"

    client.run(main)


def test_in_tasks(client):
    async def main():
        async with raw(OK) as server, client.session() as http:
            task = asyncio.create_task(http.get(server.url), name="fetch")
            assert (await task).status == 200
            got = await asyncio.gather(*(http.get(server.url) for _ in range(20)))
            assert [answer.status for answer in got] == [200] * 20
            assert (await asyncio.wait_for(http.get(server.url), 10)).status == 200
            assert (await asyncio.ensure_future(http.get(server.url))).status == 200
            done, _ = await asyncio.wait([asyncio.ensure_future(http.get(server.url))])
            assert done.pop().result().status == 200
            for next_ in asyncio.as_completed([http.get(server.url)]):
                assert (await next_).status == 200

    client.run(main)


def test_a_coroutine_by_its_interface(client):
    async def main():
        async with raw(OK) as server, client.session() as http:
            request = http.get(server.url)
            assert isinstance(request, collections.abc.Coroutine)
            assert inspect.isawaitable(request) and asyncio.iscoroutine(request)
            request.close()
            if client.ours:  # aiohttp's timer does not bear this
                request = http.get(server.url)
                assert asyncio.isfuture(request.send(None))
                request.close()
            assert server.asked == []
            request = http.get(server.url)
            with pytest.raises(ZeroDivisionError):
                request.throw(ZeroDivisionError())
            assert (await http.get(server.url)).status == 200

    client.run(main)


def test_awaited_twice(client):
    async def main():
        async with raw(OK) as server, client.session() as http:
            request = http.get(server.url)
            await request
            with pytest.raises(RuntimeError):
                await request

    client.run(main)


def test_never_awaited(client):
    """A warning, and no request."""

    async def main():
        async with raw(OK) as server, client.session() as http:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                http.get(server.url)
                gc.collect()
            assert any("never awaited" in str(w.message) for w in caught), caught
            assert server.peers == []

    client.run(main)


def test_contexts_are_nested(client):
    async def main():
        async with raw(OK) as server, client.session() as http:
            async with http.get(server.url) as one, http.get(server.url) as two:
                assert await two.read() == await one.read() == b"ok"

    client.run(main)


def test_an_error_in_the_block_is_the_error(client):
    async def main():
        async with raw(OK) as server, client.session() as http:
            with pytest.raises(ZeroDivisionError):
                async with http.get(server.url):
                    raise ZeroDivisionError
            assert await get(http, server.url) == b"ok"

    client.run(main)


# -- keep-alive and limits ------------------------------------------------------------------------


def test_one_connection_for_many_requests(client):
    async def main():
        async with raw(OK) as server, client.session() as http:
            for _ in range(100):
                assert await get(http, server.url) == b"ok"
            assert len(server.peers) == 1

    client.run(main)


def gate(hold: list):
    """Answers when the future that it puts in the list is done."""

    async def script(peer):
        while True:
            await peer.request()
            future = asyncio.get_running_loop().create_future()
            hold.append(future)
            await future
            peer.send(response(b"ok"))

    return script


@pytest.mark.parametrize("option", ["limit", "limit_per_host"])
def test_limits(client, option):
    """So many at a time, the others in their turn."""

    async def main():
        hold: list = []
        async with raw(gate(hold)) as server:
            connector = client.http.TCPConnector(**{option: 3})
            assert getattr(connector, option) == 3
            async with client.session(connector=connector) as http:
                tasks = [asyncio.ensure_future(get(http, f"{server.url}/{n}")) for n in range(10)]
                for n in range(10):
                    await support.until(lambda n=n: len(hold) > n)
                    await support.settle()
                    assert len(hold) <= n + 3 and server.open <= 3
                    hold[n].set_result(None)
                assert await asyncio.gather(*tasks) == [b"ok"] * 10
            assert len(server.peers) == 3
            order = [asked.target for asked in server.asked]
            assert sorted(order[:3]) == ["/0", "/1", "/2"]
            assert order[3:] == [f"/{n}" for n in range(3, 10)]  # first come, first served

    client.run(main)


def test_limit_per_host_counts_by_host(client):
    async def main():
        hold: list = []
        async with raw(gate(hold)) as a, raw(gate(hold)) as b:
            connector = client.http.TCPConnector(limit_per_host=1)
            async with client.session(connector=connector) as http:
                tasks = [asyncio.ensure_future(get(http, server.url)) for server in (a, b, a, b)]
                await support.until(lambda: len(hold) == 2)
                await support.settle()
                assert (len(a.asked), len(b.asked)) == (1, 1)
                for n in range(4):
                    await support.until(lambda n=n: len(hold) > n)
                    hold[n].set_result(None)
                await asyncio.gather(*tasks)

    client.run(main)


def test_idle_connections_make_room_for_other_hosts(client):
    """The limit is of connections in use and in the pool: an idle one is given up."""

    async def main():
        async with raw(OK) as a, raw(OK) as b:
            connector = client.http.TCPConnector(limit=1)
            async with client.session(connector=connector) as http:
                for server in (a, b, a, b):
                    assert await get(http, server.url) == b"ok"

    client.run(main)


def test_no_limit(client):
    async def main():
        hold: list = []
        async with raw(gate(hold)) as server:
            connector = client.http.TCPConnector(limit=0)
            async with client.session(connector=connector) as http:
                tasks = [asyncio.ensure_future(get(http, server.url)) for _ in range(150)]
                await support.until(lambda: len(hold) == 150)
                for future in hold:
                    future.set_result(None)
                await asyncio.gather(*tasks)

    client.run(main)


def test_the_default_limit_is_100(client):
    async def main():
        connector = client.http.TCPConnector()
        assert (connector.limit, connector.limit_per_host) == (100, 0)
        assert not connector.force_close and not connector.closed
        await connector.close()
        assert connector.closed

    client.run(main)


def test_the_keep_alive_time_is_over(client):
    async def main():
        async with raw(OK) as server:
            connector = client.http.TCPConnector(keepalive_timeout=0.1)
            async with client.session(connector=connector) as http:
                await get(http, server.url)
                await get(http, server.url)
                assert len(server.peers) == 1
                await server.closed_by_client()
                await get(http, server.url)
                assert len(server.peers) == 2

    client.run(main)


def test_force_close(client):
    async def main():
        async with raw(OK) as server:
            connector = client.http.TCPConnector(force_close=True)
            async with client.session(connector=connector) as http:
                for _ in range(3):
                    await get(http, server.url)
                await server.closed_by_client()
            assert len(server.peers) == 3

    client.run(main)


@pytest.mark.parametrize(
    "data, reused",
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\nConnection: x, close\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 204 No\r\n\r\n", True),
        (b"HTTP/1.1 304 No\r\n\r\n", True),
    ],
)
def test_which_connections_are_kept(client, data, reused):
    async def main():
        async with raw(answers(data)) as server, client.session() as http:
            for _ in range(2):
                await get(http, server.url)
            assert (len(server.peers) == 1) == reused
            if not reused:
                await server.closed_by_client()

    client.run(main)


def test_a_released_response_that_was_not_read(client):
    """Its connection is closed, not read to the end, unless the end is there already."""

    async def script(peer):
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nsome")
        await peer.gone()

    async def main():
        async with raw(script) as server, client.session() as http:
            answer = await http.get(server.url)
            answer.release()
            assert answer.closed
            await server.closed_by_client()
            answer = await http.get(server.url)
            answer.close()
            assert answer.closed
            await server.closed_by_client()

    client.run(main)


def test_a_shared_connector(client):
    async def main():
        async with raw(OK) as server:
            connector = client.http.TCPConnector()
            for _ in range(2):
                async with client.session(connector=connector, connector_owner=False) as http:
                    assert not http.connector_owner
                    await get(http, server.url)
            assert len(server.peers) == 1 and not connector.closed
            await connector.close()
            await server.closed_by_client()

    client.run(main)


def test_local_addr(client):
    async def main():
        seen = []

        async def script(peer):
            seen.append(peer.transport.get_extra_info("peername")[0])
            await OK(peer)

        async with raw(script) as server:
            connector = client.http.TCPConnector(local_addr=("127.0.0.2", 0))
            async with client.session(connector=connector) as http:
                await get(http, server.url)
        assert seen == ["127.0.0.2"]

    client.run(main)


def test_a_unix_socket(client, tmp_path):
    async def main():
        path = str(tmp_path / "s")
        async with raw(OK, path=path) as server:
            connector = client.http.UnixConnector(path=path)
            assert connector.path == path
            async with client.session(connector=connector) as http:
                for _ in range(3):
                    assert await get(http, "http://a.name/x") == b"ok"
                assert len(server.peers) == 1
                assert server.asked[0].headers["host"] == "a.name"

    client.run(main)


def test_a_unix_socket_that_is_not_there(client, tmp_path):
    async def main():
        connector = client.http.UnixConnector(path=str(tmp_path / "none"))
        async with client.session(connector=connector) as http:
            with pytest.raises(client.http.ClientConnectorError) as caught:
                await http.get("http://localhost/")
            assert type(caught.value).__name__ == "UnixClientConnectorError"
            assert caught.value.path == str(tmp_path / "none")

    client.run(main)


# -- resolvers ------------------------------------------------------------------------------------


def resolver_to(client, port_of, asked, family=socket.AF_INET, wait=None):
    import aiohttp.abc

    base = getattr(client.http, "abc", aiohttp.abc).AbstractResolver

    class Resolver(base):
        async def resolve(self, host, port=0, family=socket.AF_INET):
            asked.append((host, port))
            if wait is not None:
                await wait
            if host == "unknown":
                raise OSError("no such host")
            return [
                {
                    "hostname": host,
                    "host": support.LOCALHOST,
                    "port": port,
                    "family": socket.AF_INET,
                    "proto": 0,
                    "flags": socket.AI_NUMERICHOST,
                }
            ]

        async def close(self):
            asked.append("closed")

    return Resolver()


def test_a_resolver_of_ones_own(client):
    async def main():
        asked: list = []
        async with raw(OK) as server:
            connector = client.http.TCPConnector(resolver=resolver_to(client, server, asked))
            async with client.session(connector=connector) as http:
                url = f"http://a.name:{server.port}/"
                await get(http, url)
                await get(http, url, headers={"Connection": "close"})
                assert server.asked[0].headers["host"] == f"a.name:{server.port}"
                with pytest.raises(client.http.ClientConnectorDNSError) as caught:
                    await http.get("http://unknown/")
                assert (caught.value.host, caught.value.port) == ("unknown", 80)
            assert asked[:2] == [("a.name", server.port), ("unknown", 80)]

    client.run(main)


def test_row_69_a_name_that_does_not_exist(client):
    async def main():
        async with client.session() as http:
            with pytest.raises(client.http.ClientConnectorDNSError) as caught:
                await http.get("http://does-not-exist.invalid/")
            assert isinstance(caught.value, client.http.ClientConnectorError)
            assert isinstance(caught.value.os_error, OSError)

    client.run(main, 40)


@pytest.mark.parametrize("cached", [True, False])
def test_row_67_the_dns_cache(client, cached):
    """Names are asked for once, and no more of them kept than is said."""

    async def main():
        asked: list = []
        async with raw(OK) as server:
            connector = client.http.TCPConnector(
                resolver=resolver_to(client, server, asked),
                use_dns_cache=cached,
                force_close=True,
                ttl_dns_cache=100,
                dns_cache_max_size=3,
            )
            async with client.session(connector=connector) as http:
                for _ in range(3):
                    await get(http, f"http://a.name:{server.port}/")
                assert len(asked) == (1 if cached else 3)
                for n in range(20):
                    await get(http, f"http://name{n}:{server.port}/")
                asked.clear()
                await get(http, f"http://name19:{server.port}/")
                assert len(asked) == (0 if cached else 1)
                asked.clear()
                await get(http, f"http://a.name:{server.port}/")  # long gone from the cache
                assert len(asked) == 1
                connector.clear_dns_cache("a.name", server.port)
                await get(http, f"http://a.name:{server.port}/")
                assert len(asked) == 2
                connector.clear_dns_cache()

    client.run(main)


def test_lookups_in_flight_are_merged(client):
    async def main():
        asked: list = []
        wait = asyncio.get_running_loop().create_future()
        async with raw(OK) as server:
            resolver = resolver_to(client, server, asked, wait=wait)
            async with client.session(
                connector=client.http.TCPConnector(resolver=resolver)
            ) as http:
                url = f"http://a.name:{server.port}/"
                tasks = [asyncio.ensure_future(get(http, url)) for _ in range(5)]
                await support.settle()
                tasks[0].cancel()  # the one that asked: the others still get the answer
                await support.settle()
                wait.set_result(None)
                got = await asyncio.gather(*tasks, return_exceptions=True)
                assert isinstance(got[0], asyncio.CancelledError)
                assert got[1:] == [b"ok"] * 4
            assert len([a for a in asked if a != "closed"]) == 1

    client.run(main)


def test_row_70_happy_eyeballs(client):
    """The first address does not answer: the second is tried beside it, the loser closed."""

    async def main():
        async with raw(OK) as server:
            resolver = resolver_to(client, server, [])

            async def two(host, port=0, family=socket.AF_INET):
                entry = {"hostname": host, "family": socket.AF_INET, "proto": 0, "flags": 0}
                return [{**entry, "host": h, "port": port} for h in ("127.0.0.2", "127.0.0.1")]

            resolver.resolve = two
            connector = client.http.TCPConnector(resolver=resolver, happy_eyeballs_delay=0.05)
            with black_hole("127.0.0.2", server.port):
                async with client.session(connector=connector) as http:
                    started = time.monotonic()
                    assert await get(http, f"http://two:{server.port}/") == b"ok"
                    assert time.monotonic() - started < 1 * support.SLOW

    client.run(main)


def test_row_70_an_address_that_refuses(client):
    """The next one is tried at once."""

    async def main():
        async with raw(OK) as server:
            resolver = resolver_to(client, server, [])

            async def two(host, port=0, family=socket.AF_INET):
                entry = {"hostname": host, "family": socket.AF_INET, "proto": 0, "flags": 0}
                return [{**entry, "host": h, "port": port} for h in ("127.0.0.2", "127.0.0.1")]

            resolver.resolve = two
            async with client.session(
                connector=client.http.TCPConnector(resolver=resolver)
            ) as http:
                assert await get(http, f"http://two:{server.port}/") == b"ok"

    client.run(main)


# -- closing --------------------------------------------------------------------------------------


def sockets():
    return sum(what.startswith("socket") for what in support.open_fds().values())


def test_close_waits_for_the_sockets(client):
    """No sleep is needed after close(): the descriptors are closed when it returns."""

    async def main():
        async with raw(OK) as server:
            before = sockets()
            http = client.session()
            await asyncio.gather(*(get(http, server.url) for _ in range(10)))
            await http.close()
            assert http.closed
            assert sockets() == before + 10  # the server's ends
            await server.closed_by_client()

    client.run(main)


def test_a_closed_session(client):
    async def main():
        async with raw(OK) as server:
            http = client.session()
            assert not http.closed
            await http.close()
            await http.close()
            assert http.closed and http.connector is None
            with pytest.raises(RuntimeError, match="Session is closed"):
                await http.get(server.url)

    client.run(main)


def test_closed_with_requests_under_way(client):
    async def main():
        async with raw(silent) as server:
            http = client.session()
            tasks = [asyncio.ensure_future(http.get(server.url)) for _ in range(3)]
            await support.until(lambda: len(server.asked) == 3)
            await http.close()
            got = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(g, client.http.ClientConnectionError) for g in got), got
            await server.closed_by_client()

    client.run(main)


def test_closed_with_waiters(client):
    """They fail; aiohttp lets them wait for ever."""
    if not client.ours:
        return

    async def main():
        async with raw(silent) as server:
            http = client.session(connector=client.http.TCPConnector(limit=1))
            tasks = [asyncio.ensure_future(http.get(server.url)) for _ in range(3)]
            await support.until(lambda: len(server.asked) == 1)
            await http.close()
            done, pending = await asyncio.wait(tasks, timeout=5 * support.SLOW)
            assert not pending
            assert all(task.exception() for task in done)

    client.run(main)


def test_row_70_closed_during_the_lookup(client):
    async def main():
        wait = asyncio.get_running_loop().create_future()
        asked: list = []
        resolver = resolver_to(client, None, asked, wait=wait)
        http = client.session(connector=client.http.TCPConnector(resolver=resolver))
        task = asyncio.ensure_future(http.get("http://a.name:1/"))
        await support.until(lambda: asked)
        await http.close()
        with contextlib.suppress(asyncio.InvalidStateError):
            wait.set_result(None)
        with pytest.raises((client.http.ClientConnectionError, asyncio.CancelledError)):
            await asyncio.wait_for(task, 5 * support.SLOW)

    client.run(main)


def test_detach(client):
    async def main():
        http = client.session()
        connector = http.connector
        http.detach()
        assert http.closed and not connector.closed
        await connector.close()

    client.run(main)


def test_an_unclosed_session_warns(client):
    loop = support.factory(client.loop_name)()
    seen: list = []
    loop.set_exception_handler(lambda _, context: seen.append(context["message"]))

    async def main():
        async with raw(OK) as server:
            http = client.session()
            await get(http, server.url)
            with pytest.warns(ResourceWarning, match="Unclosed client session"):
                del http
                gc.collect()
            await support.settle()

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # of the connector
            loop.run_until_complete(main())
            gc.collect()
    finally:
        support.finish(loop)
    assert any("Unclosed client session" in message for message in seen), seen


def test_outside_a_loop(client):
    with pytest.raises(RuntimeError) as caught:
        client.session()
    assert "loop" in str(caught.value)


def test_on_another_kind_of_loop(client):
    """uvolt.http on asyncio's loop: one sentence says what to do."""
    if not client.ours:
        return  # aiohttp runs on any loop

    async def main():
        with pytest.raises(RuntimeError, match="uvolt") as caught:
            client.session()
        assert "\n" not in str(caught.value)

    asyncio.new_event_loop().close()
    loop = asyncio.SelectorEventLoop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_with_is_async(client):
    async def main():
        async with client.session() as http:
            with pytest.raises(TypeError), http:
                pass

    client.run(main)


def test_properties(client):
    async def main():
        connector = client.http.TCPConnector()
        timeout = client.http.ClientTimeout(total=5)
        async with client.session(
            connector=connector, headers={"A": "b"}, timeout=timeout, trust_env=True
        ) as http:
            assert http.connector is connector
            assert http.headers["a"] == "b"
            assert http.timeout == timeout and http.timeout.total == 5
            assert http.trust_env and http.auto_decompress and not http.raise_for_status
            assert http.connector_owner and tuple(http.version) == (1, 1)
            assert http.auth is None and http.skip_auto_headers == frozenset()
            assert len(http.cookie_jar) == 0
            assert http.requote_redirect_url and http.trace_configs == []

    client.run(main)


def test_the_default_timeout(client):
    async def main():
        async with client.session() as http:
            assert (http.timeout.total, http.timeout.sock_connect) == (300, 30)
        nothing = client.http.ClientTimeout()
        assert nothing.total is nothing.connect is nothing.sock_read is nothing.sock_connect is None

    client.run(main)


# -- cancellation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", range(0, 14))
def test_cancelled_after_so_many_turns(client, turns):
    """Wherever a request is cancelled, the pool is whole: its one slot serves the next request."""

    async def main():
        async with raw(OK) as server:
            connector = client.http.TCPConnector(limit=1)
            async with client.session(connector=connector) as http:
                for fresh in (True, False):
                    task = asyncio.ensure_future(get(http, f"{server.url}/{fresh}"))
                    await support.settle(turns)
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
                    assert await asyncio.wait_for(get(http, server.url), 5 * support.SLOW) == b"ok"
            await server.closed_by_client()

    client.run(main)


def test_cancelled_while_waiting_for_an_answer(client):
    async def main():
        async with raw(silent) as server:
            connector = client.http.TCPConnector(limit=2)
            async with client.session(connector=connector) as http:
                tasks = [asyncio.ensure_future(http.get(server.url)) for _ in range(2)]
                await support.until(lambda: len(server.asked) == 2)
                for task in tasks:
                    task.cancel()
                assert all(
                    isinstance(e, asyncio.CancelledError)
                    for e in await asyncio.gather(*tasks, return_exceptions=True)
                )
                await server.closed_by_client()
                server.script = OK
                assert await get(http, server.url) == b"ok"

    client.run(main)


def test_cancelled_in_the_queue(client):
    async def main():
        hold: list = []
        async with raw(gate(hold)) as server:
            connector = client.http.TCPConnector(limit=1)
            async with client.session(connector=connector) as http:
                tasks = [asyncio.ensure_future(get(http, server.url)) for _ in range(5)]
                await support.until(lambda: len(hold) == 1)
                for task in tasks[1:4]:
                    task.cancel()
                await support.settle()
                hold[0].set_result(None)
                await support.until(lambda: len(hold) == 2)
                hold[1].set_result(None)
                got = await asyncio.gather(*tasks, return_exceptions=True)
                assert [g == b"ok" for g in got] == [True, False, False, False, True]

    client.run(main)


def test_cancelled_as_the_slot_is_given(client):
    """A waiter that is cancelled in the turn in which it gets its connection hands it on."""

    async def main():
        async with raw(OK) as server:
            connector = client.http.TCPConnector(limit=1)
            async with client.session(connector=connector) as http:
                for n in range(1, 8):
                    first = await http.get(server.url)
                    waiting = [asyncio.ensure_future(get(http, server.url)) for _ in range(3)]
                    await support.settle()
                    await first.read()
                    first.release()
                    await support.settle(n % 4)
                    waiting[0].cancel()
                    got = await asyncio.wait_for(
                        asyncio.gather(*waiting, return_exceptions=True), 5 * support.SLOW
                    )
                    assert got[1:] == [b"ok"] * 2

    client.run(main)


def test_cancelled_while_reading(client):
    async def script(peer):
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
        await peer.gone()

    async def main():
        async with raw(script) as server:
            connector = client.http.TCPConnector(limit=1)
            async with client.session(connector=connector) as http:
                task = asyncio.ensure_future(get(http, server.url))
                await support.until(lambda: len(server.asked) == 1)
                await support.settle(10)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await server.closed_by_client()
                server.script = OK
                assert await get(http, server.url) == b"ok"

    client.run(main)


def test_cancelled_while_sending(client):
    async def script(peer):
        await peer.request(body=False)
        peer.transport.pause_reading()
        await asyncio.sleep(60)

    async def main():
        async with raw(script) as server:
            connector = client.http.TCPConnector(limit=1)
            async with client.session(connector=connector) as http:
                data = io.BytesIO(b"x" * (64 << 20))
                task = asyncio.ensure_future(http.post(server.url, data=data))
                await support.until(lambda: len(server.asked) == 1)
                await support.settle(10)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                server.peers[0].transport.resume_reading()
                await server.closed_by_client()
                server.script = OK
                assert await get(http, server.url) == b"ok"

    client.run(main, 50)


def test_wait_for_that_is_over(client):
    async def main():
        async with raw(silent) as server, client.session() as http:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(http.get(server.url), 0.1)
            await server.closed_by_client()

    client.run(main)


def test_500_at_a_time_half_of_them_cancelled(client):
    async def main():
        async with raw(OK) as server:
            connector = client.http.TCPConnector(limit=20)
            async with client.session(connector=connector) as http:
                tasks = [asyncio.ensure_future(get(http, server.url)) for _ in range(500)]
                for n, task in enumerate(tasks):
                    if n % 2:
                        task.cancel()
                    if n % 50 == 0:
                        await asyncio.sleep(0)
                got = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(g == b"ok" for g in got[::2])
                assert await get(http, server.url) == b"ok"

    client.run(main)
