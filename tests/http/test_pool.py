"""HTTPPool: who gets which connection, limits, order, what becomes of idle connections, the end."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import socket
import time
from typing import Any

import pytest
import support
from pool_support import (
    HEAD,
    OK,
    Peer,
    answering,
    connected,
    fetch,
    make_pool,
    pooling,
    script,
    serving,
)

from uvolt import _core
from uvolt.http import exceptions

Loop = asyncio.AbstractEventLoop


def alive() -> int:
    support.collect()
    return int(_core.counters()["http_connections_alive"])


@pytest.fixture(autouse=True)
def no_connection_left() -> Any:
    before = alive()
    yield
    assert alive() == before


# -- routes and reuse -------------------------------------------------------------------------


def test_routes_are_kept_by_key(uloop: Loop) -> None:
    async def main() -> None:
        async with pooling() as pool:
            a, b = pool.route(("a", 80)), pool.route(("b", 80))
            assert a is pool.route(("a", 80))
            assert a is not b
            assert a.key == ("a", 80)
            with pytest.raises(TypeError):
                pool.route([])

    uloop.run_until_complete(main())


def test_routes_nobody_uses_are_dropped(uloop: Loop) -> None:
    async def main() -> None:
        async with pooling() as pool:
            kept = pool.route("kept")
            for i in range(10_000):
                pool.route(i)
            assert pool.route("kept") is kept
            assert len([o for o in gc.get_objects() if type(o) is _core.HTTPRoute]) < 500

    uloop.run_until_complete(main())


def test_route_of_another_pool_is_refused(uloop: Loop) -> None:
    async def main() -> None:
        async with pooling() as one, pooling() as other:
            with pytest.raises(TypeError):
                one.acquire(other.route("a"))
            with pytest.raises(TypeError):
                one.acquire("a")

    uloop.run_until_complete(main())


def test_connection_is_used_again(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server, pooling() as pool:
            route = pool.route("a")
            for i in range(3):
                conn = await connected(pool, route, server)
                exchange = conn.exchange(HEAD)
                await exchange.future
                assert bytes(exchange.body) == b"ok"
                assert (conn.state, conn.exchanges, pool.idle) == ("idle", i + 1, 1)
            assert len(server.peers) == 1

    uloop.run_until_complete(main())


def test_last_in_first_out(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server, pooling() as pool:
            route = pool.route("a")
            conns = [await connected(pool, route, server) for _ in range(3)]
            for conn in conns:
                conn.release()
            assert [await pool.acquire(route) for _ in range(3)] == conns[::-1]
            for conn in conns:
                conn.close()

    uloop.run_until_complete(main())


def test_routes_do_not_share_connections(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server, pooling() as pool:
            await fetch(pool, pool.route("a"), server)
            await fetch(pool, pool.route("b"), server)
            assert (len(server.peers), pool.idle) == (2, 2)

    uloop.run_until_complete(main())


def test_force_close(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server, pooling(force_close=True) as pool:
            for _ in range(3):
                await fetch(pool, pool.route("a"), server)
                assert (pool.idle, pool.in_use) == (0, 0)
            assert len(server.peers) == 3

    uloop.run_until_complete(main())


# -- what idle connections hear ---------------------------------------------------------------


@pytest.mark.parametrize("said", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b""])
def test_unasked_bytes_and_eof_end_an_idle_connection(uloop: Loop, said: bytes) -> None:
    """CVE-2026-6733 of undici: the answer to nobody must not answer the next request."""

    async def main() -> None:
        go = asyncio.Event()

        async def handler(peer: Peer) -> None:
            await peer.request()
            await peer.send(OK)
            if peer.number == 0:
                await go.wait()
                if said:
                    await peer.send(said)
                else:
                    return
            await answering(peer)

        async with serving(handler) as server, pooling() as pool:
            await fetch(pool, pool.route("a"), server)
            assert pool.idle == 1
            go.set()
            await support.until(lambda: pool.idle == 0)
            assert pool.in_use == 0
            exchange = await fetch(pool, pool.route("a"), server)
            assert (bytes(exchange.body), len(server.peers)) == (b"ok", 2)

    uloop.run_until_complete(main())


@pytest.mark.parametrize("said", [b"x", b""])
def test_looked_at_before_it_is_used_again(uloop: Loop, said: bytes) -> None:
    """What came since the last poll is in the socket, and nobody has been told."""

    async def main() -> None:
        async def handler(peer: Peer) -> None:
            await answering(peer)

        async with serving(handler) as server, pooling() as pool:
            route = pool.route("a")
            await fetch(pool, route, server)
            await support.settle()
            fd = server.peers[0].writer.transport.get_extra_info("socket").fileno()
            with socket.socket(fileno=os.dup(fd)) as sock:
                if said:
                    sock.send(said)
                else:
                    sock.shutdown(2)
            conn = await pool.acquire(route)  # no poll in between
            assert conn.state == "new"
            conn.close()

    uloop.run_until_complete(main())


def test_taken_connection_that_hears_something(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server, pooling() as pool:
            conn = await connected(pool, pool.route("a"), server)
            await support.until(lambda: server.peers)
            await server.peers[0].send(b"HTTP/1.1 200 OK\r\n\r\n")
            await support.until(lambda: conn.closed)
            assert conn.state == "closed"
            with pytest.raises(exceptions.ServerDisconnectedError):
                conn.exchange(HEAD)
            assert pool.in_use == 0

    uloop.run_until_complete(main())


def test_keepalive_timeout(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server, pooling(keepalive_timeout=0.1) as pool:
            route = pool.route("a")
            conns = [await connected(pool, route, server) for _ in range(2)]
            released = []
            for conn in conns:
                released.append(uloop.time())
                conn.release()
                await asyncio.sleep(0.05)
            for n, conn in enumerate(conns):  # each at its own time, the first one first
                await support.until(lambda conn=conn: conn.state == "closed")
                assert uloop.time() - released[n] > 0.09
                assert pool.idle <= 1 - n
            assert pool.connections == [] or all(c.state == "closed" for c in pool.connections)
            await fetch(pool, route, server)
            await support.until(lambda: pool.idle == 0)

    uloop.run_until_complete(main())


def test_keepalive_timeout_is_looked_at_when_the_loop_was_busy(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server, pooling(keepalive_timeout=1) as pool:
            route = pool.route("a")
            await fetch(pool, route, server)
            await asyncio.sleep(0.3)
            await fetch(pool, route, server)
            assert len(server.peers) == 1
            time.sleep(1.1)
            await asyncio.sleep(0)
            conn = await pool.acquire(route)
            assert conn.state == "new"
            conn.close()

    uloop.run_until_complete(main())


def test_no_keepalive_timeout(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server, pooling(keepalive_timeout=None) as pool:
            assert pool.keepalive_timeout is None
            await fetch(pool, pool.route("a"), server)
            await asyncio.sleep(0.05)
            assert pool.idle == 1

    uloop.run_until_complete(main())


# -- limits and waiters -----------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"limit": 3}, {"limit": 0, "limit_per_host": 3}])
def test_limits(uloop: Loop, options: dict[str, int]) -> None:
    async def main() -> None:
        most = 0

        async with serving(answering) as server, pooling(**options) as pool:
            route = pool.route("a")

            async def one() -> None:
                nonlocal most
                conn = await connected(pool, route, server)
                most = max(most, pool.in_use)
                await conn.exchange(HEAD).future

            await asyncio.gather(*(one() for _ in range(50)))
            assert (most, len(server.peers)) == (3, 3)

    uloop.run_until_complete(main())


def test_no_limit(uloop: Loop) -> None:
    async def main() -> None:
        async with pooling(limit=0) as pool:
            conns = [await pool.acquire(pool.route("a")) for _ in range(500)]
            assert pool.in_use == 500
            for conn in conns:
                conn.close()

    uloop.run_until_complete(main())


def test_a_thousand_waiters_in_order(uloop: Loop) -> None:
    async def main() -> None:
        order: list[int] = []

        async with serving(answering) as server, pooling(limit=4) as pool:
            route = pool.route("a")

            async def one(i: int) -> None:
                conn = await connected(pool, route, server)
                order.append(i)
                await conn.exchange(HEAD).future

            tasks = [asyncio.ensure_future(one(i)) for i in range(1000)]
            await asyncio.sleep(0)
            assert pool.waiting == 996
            await asyncio.gather(*tasks)
            assert len(server.peers) == 4
        assert sorted(order) == list(range(1000))
        assert order[4:] == list(range(4, 1000))

    uloop.run_until_complete(main())


def test_waiters_of_many_routes_in_order(uloop: Loop) -> None:
    """Slots alone are handed on: the oldest that may take one gets it, whatever its route."""

    async def main() -> None:
        order: list[int] = []
        async with pooling(limit=2, limit_per_host=1) as pool:
            held = [await pool.acquire(pool.route(key)) for key in "ab"]

            async def one(i: int, key: str) -> None:
                conn = await pool.acquire(pool.route(key))
                order.append(i)
                await asyncio.sleep(0)
                conn.close()

            tasks = [asyncio.ensure_future(one(i, key)) for i, key in enumerate("aaabcdab")]
            await asyncio.sleep(0)
            assert (pool.waiting, order) == (8, [])
            held[1].close()  # "a" has its one connection: b is the oldest that may
            await support.settle(20)
            assert order == [3, 4, 5, 7]
            held[0].close()
            await asyncio.gather(*tasks)
            assert order == [3, 4, 5, 7, 0, 1, 2, 6]

    uloop.run_until_complete(main())


def test_idle_connection_makes_room_for_another_route(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server, pooling(limit=2) as pool:
            for key in "ab":
                await fetch(pool, pool.route(key), server)
            first = pool.connections[0]
            assert pool.idle == 2
            await fetch(pool, pool.route("c"), server)
            assert first.closed
            assert pool.idle == 2
            assert {c.key for c in pool.connections if c.state == "idle"} == {"b", "c"}

    uloop.run_until_complete(main())


def test_waiter_of_another_route_is_not_starved(uloop: Loop) -> None:
    """One connection, a route with always another waiter, and one waiter of a second route."""

    async def main() -> None:
        async with serving(answering) as server, pooling(limit=1) as pool:
            served = 0
            other = asyncio.Event()

            async def many() -> None:
                nonlocal served
                while not other.is_set():
                    await fetch(pool, pool.route("a"), server)
                    served += 1

            tasks = [asyncio.ensure_future(many()) for _ in range(3)]
            await asyncio.sleep(0.01)
            before = served
            await fetch(pool, pool.route("b"), server)
            after = served
            other.set()
            await asyncio.gather(*tasks)
            assert after - before <= 12

    uloop.run_until_complete(main())


# -- cancellation -----------------------------------------------------------------------------


def test_cancelled_waiter_leaves_its_place(uloop: Loop) -> None:
    async def main() -> None:
        async with pooling(limit=1) as pool:
            held = await pool.acquire(pool.route("a"))
            tasks = [asyncio.ensure_future(pool.acquire(pool.route("a"))) for _ in range(3)]
            await asyncio.sleep(0)
            tasks[0].cancel()
            await asyncio.sleep(0)
            assert pool.waiting == 2
            held.close()
            conn = await tasks[1]
            conn.close()
            (await tasks[2]).close()
            assert tasks[0].cancelled()
            assert pool.in_use == 0

    uloop.run_until_complete(main())


@pytest.mark.parametrize("when", ["before", "after"])
def test_cancelled_in_the_moment_of_the_grant(uloop: Loop, when: str) -> None:
    """The future is done or cancelled, the task has not run: the slot goes on to the next."""

    async def main() -> None:
        async with pooling(limit=1) as pool:
            held = await pool.acquire(pool.route("a"))
            first = asyncio.ensure_future(pool.acquire(pool.route("a")))
            second = asyncio.ensure_future(pool.acquire(pool.route("a")))
            await asyncio.sleep(0)
            if when == "before":
                first.cancel()
                held.close()
            else:
                held.close()
                first.cancel()
            conn = await asyncio.wait_for(second, 5)
            assert first.cancelled()
            assert (pool.in_use, pool.waiting) == (1, 0)
            conn.close()

    uloop.run_until_complete(main())


def test_wait_for_that_times_out(uloop: Loop) -> None:
    async def main() -> None:
        async with pooling(limit=1) as pool:
            held = await pool.acquire(pool.route("a"))
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(pool.acquire(pool.route("a")), 0.01)
            assert pool.waiting == 0
            held.close()
            assert pool.in_use == 0

    uloop.run_until_complete(main())


def test_acquire_never_awaited_or_closed(uloop: Loop) -> None:
    async def main() -> None:
        async with pooling(limit=1) as pool:
            held = await pool.acquire(pool.route("a"))
            coro = pool.acquire(pool.route("a"))
            coro.send(None)
            assert pool.waiting == 1
            coro.close()
            assert pool.waiting == 0
            coro = pool.acquire(pool.route("a"))
            coro.send(None)
            held.close()  # it is given to the one that waits ...
            assert pool.in_use == 1
            del coro  # ... which goes
            assert pool.in_use == 0
            with pytest.warns(RuntimeWarning, match="never awaited"):
                pool.acquire(pool.route("a"))
                support.collect()

    uloop.run_until_complete(main())


def test_new_connection_that_is_dropped_frees_its_slot(uloop: Loop) -> None:
    async def main() -> None:
        async with pooling(limit=1) as pool:
            conn = await pool.acquire(pool.route("a"))
            waiter = asyncio.ensure_future(pool.acquire(pool.route("a")))
            await asyncio.sleep(0)
            del conn
            conn = await asyncio.wait_for(waiter, 5)
            conn.close()

    uloop.run_until_complete(main())


def test_cancelled_while_connecting(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server, pooling(limit=1) as pool:
            for turns in range(8):
                task = asyncio.ensure_future(connected(pool, pool.route("a"), server))
                await support.settle(turns)
                task.cancel()
                try:
                    (await task).close()
                except asyncio.CancelledError:
                    pass
                assert pool.in_use == 0
            await fetch(pool, pool.route("a"), server)

    uloop.run_until_complete(main())


def test_storm(uloop: Loop) -> None:
    """Tasks that wait, connect, talk and are cancelled anywhere: in the end all slots are free."""

    async def main() -> None:
        rng = random.Random(1)

        async def handler(peer: Peer) -> None:
            while await peer.request():
                await peer.send(OK)
                if rng.random() < 0.1:
                    return

        async with serving(handler) as server, pooling(limit=5, limit_per_host=2) as pool:

            async def one() -> None:
                for _ in range(5):
                    try:
                        await fetch(pool, pool.route(rng.choice("abcde")), server)
                    except exceptions.ClientError:
                        pass

            tasks = [asyncio.ensure_future(one()) for _ in range(60)]
            while not all(task.done() for task in tasks):
                await support.settle(rng.randrange(4))
                if rng.random() < 0.3:
                    rng.choice(tasks).cancel()
                assert pool.in_use + pool.idle <= 5
            await asyncio.gather(*tasks, return_exceptions=True)
            assert (pool.in_use, pool.waiting) == (0, 0)
            await fetch(pool, pool.route("a"), server)

    uloop.run_until_complete(main())


# -- the end ----------------------------------------------------------------------------------


def test_close_waits_for_the_sockets(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server:
            pool = make_pool()
            for key in "abc":
                await fetch(pool, pool.route(key), server)
            used = await connected(pool, pool.route("d"), server)
            fds = support.open_fds()
            closed = pool.close()
            assert pool.closed
            assert pool.connections == [used]
            assert not closed.done()
            await closed
            assert len(fds) - len(support.open_fds()) >= 4
            assert pool.connections == []
            await pool.close()

    uloop.run_until_complete(main())


def test_close_ends_idle_connections_at_once(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server:
            pool = make_pool()
            for key in "abc":
                await fetch(pool, pool.route(key), server)
            fds = support.open_fds()
            assert pool.close().done()
            assert len(fds) - len(support.open_fds()) == 3
            assert pool.connections == []

    uloop.run_until_complete(main())


def test_close_from_within_the_poll(uloop: Loop) -> None:
    class Closer(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            closing.append(pool.close())
            told.set()

    closing: list[Any] = []
    told = asyncio.Event()
    pool: Any = None

    async def main() -> None:
        nonlocal pool
        async with serving(answering) as server:
            pool = make_pool()
            await fetch(pool, pool.route("a"), server)
            here, there = socket.socketpair()
            with there:
                transport, _ = await asyncio.get_running_loop().create_connection(Closer, sock=here)
                there.send(b"x")
                await told.wait()
                await closing[0]
                assert pool.connections == []
                transport.close()

    uloop.run_until_complete(main())


def test_close_of_an_empty_pool(uloop: Loop) -> None:
    async def main() -> None:
        pool = make_pool()
        assert pool.close().done()

    uloop.run_until_complete(main())


def test_close_cancelled_and_called_twice(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server:
            pool = make_pool()
            await fetch(pool, pool.route("a"), server)
            first, second = pool.close(), pool.close()
            first.cancel()
            await second

    uloop.run_until_complete(main())


def test_close_fails_waiters_and_exchanges(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(script(b"HTTP/1.1 200 OK\r\n")) as server:
            pool = make_pool(limit=1)
            exchange = (await connected(pool, pool.route("a"), server)).exchange(HEAD)
            waiter = asyncio.ensure_future(pool.acquire(pool.route("a")))
            await asyncio.sleep(0)
            closed = pool.close()
            with pytest.raises(exceptions.ClientConnectionError, match="Connector is closed"):
                await waiter
            with pytest.raises(exceptions.ClientConnectionError, match="Connection closed"):
                await exchange.future
            with pytest.raises(exceptions.ClientConnectionError, match="Connector is closed"):
                await pool.acquire(pool.route("a"))
            await closed

    uloop.run_until_complete(main())


def test_close_while_connecting(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server:
            pool = make_pool()
            conn = await pool.acquire(pool.route("a"))
            await pool.close()
            assert conn.state == "closed"
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(lambda: conn, *server.address)
            assert transport.is_closing()
            assert conn.transport is None
            await support.settle()

    uloop.run_until_complete(main())


def test_dropped_pool_closes_its_idle_connections(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server:
            pool = make_pool()
            await fetch(pool, pool.route("a"), server)
            exchange = (await connected(pool, pool.route("b"), server)).exchange(HEAD)
            fds = len(support.open_fds())
            del pool
            support.collect()
            await support.settle()
            assert fds - len(support.open_fds()) >= 1
            await exchange.future  # goes on, and is not kept
            assert bytes(exchange.body) == b"ok"
            await support.settle()

    uloop.run_until_complete(main())


def test_dropped_pool_with_waiters(uloop: Loop) -> None:
    async def main() -> None:
        pool = make_pool(limit=1)
        held = await pool.acquire(pool.route("a"))
        coro = pool.acquire(pool.route("a"))
        future = coro.send(None)
        del pool
        support.collect()
        assert future.done()
        with pytest.raises(RuntimeError):
            coro.send(None)
        held.close()

    uloop.run_until_complete(main())


def test_loop_closed_under_a_pool() -> None:
    loop = support.factory("uvolt")()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        async def main() -> Any:
            pool = make_pool()
            conn = await pool.acquire(pool.route("a"))
            await loop.create_connection(lambda: conn, *listener.getsockname())
            conn.release()
            assert pool.idle == 1
            return pool

        pool = loop.run_until_complete(main())
        with pytest.warns(ResourceWarning, match="unclosed transport"):
            loop.close()
            del pool
            support.collect()


def test_loop_and_pool_are_garbage_together() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.warns(ResourceWarning):

        async def main() -> None:
            pool = make_pool(limit=2)
            conns = [await pool.acquire(pool.route("a")) for _ in range(2)]
            loop = asyncio.get_running_loop()
            for conn in conns:
                await loop.create_connection(lambda conn=conn: conn, *listener.getsockname())
            loop.pool = pool  # a cycle
            loop.exchange = conns[0].exchange(HEAD, read_timeout=50)
            conns[1].release()

        loop = support.factory("uvolt")()
        loop.run_until_complete(main())
        del loop
        support.collect()


def test_many_timeouts_in_order(uloop: Loop) -> None:
    """Deadlines of a loop: set, moved and cleared in any order."""

    async def main() -> None:
        async with serving(script(b"")) as server, pooling(limit=0) as pool:
            order: list[tuple[float, float]] = []  # between these two it was due
            conns = [await connected(pool, pool.route("a"), server) for _ in range(60)]

            async def one(i: int) -> None:
                conn = conns[i]
                timeout = 0.3 + i * 0.004
                before = time.monotonic() + timeout
                exchange = conn.exchange(HEAD, read_timeout=timeout)
                after = time.monotonic() + timeout
                if i % 3 == 0:
                    await asyncio.sleep(0.01)
                    exchange.abandon()
                    if exchange.future.done():  # a pause of the machine's used its time up
                        exchange.future.exception()
                    return
                with pytest.raises(exceptions.SocketTimeoutError):
                    await exchange.future
                order.append((before, after))

            numbers = list(range(60))
            random.Random(2).shuffle(numbers)
            await asyncio.gather(*(one(i) for i in numbers))
            assert len(order) == 40
            pairs = zip(order, order[1:], strict=False)
            assert all(earlier[0] <= later[1] for earlier, later in pairs)

    uloop.run_until_complete(main())


def test_arguments(uloop: Loop) -> None:
    with pytest.raises(TypeError):
        _core.HTTPPool(None)
    with pytest.raises(TypeError):
        _core.HTTPPool(uloop, limit="x")
    with pytest.raises(ValueError):
        _core.HTTPPool(uloop, keepalive_timeout=float("nan"))
    pool = _core.HTTPPool(uloop, 7, 3, 2.5, True)
    assert (pool.limit, pool.limit_per_host, pool.keepalive_timeout) == (7, 3, 2.5)
    assert pool.force_close
    assert pool.loop is uloop
