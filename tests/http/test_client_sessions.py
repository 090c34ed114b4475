"""Sessions: what get() returns, closing, cancellation."""

from __future__ import annotations

import asyncio
import collections.abc
import contextlib
import gc
import inspect
import io
import warnings

import pytest
import support
from http_support import OK, gate, get, raw, resolver_to, response, silent

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


@pytest.mark.parametrize("reuse", [True, False])
def test_closed_with_waiters_of_a_connector_that_lives_on(ours, reuse):
    """A request that has begun needs the session no more; with aiohttp: AttributeError."""

    async def script(peer):
        while True:
            await peer.request()
            await asyncio.sleep(0.05)
            peer.send(response(b"ok"))

    async def main():
        connector = ours.http.TCPConnector(limit=1, force_close=not reuse)
        async with raw(script) as server:
            async with ours.session(connector=connector, connector_owner=False) as http:
                tasks = [asyncio.ensure_future(get(http, server.url)) for _ in range(3)]
                await asyncio.sleep(0.02)
            assert await asyncio.gather(*tasks) == [b"ok"] * 3
            await connector.close()

    ours.run(main)


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
