"""redis-py's asynchronous client with Redis: pipelines, pub/sub, blocking pops, TLS, lost
connections."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import redis.asyncio as redis_py
import support
from servers import run

pytestmark = pytest.mark.servers


@contextlib.asynccontextmanager
async def connected(redis, **more):
    where = {"host": support.LOCALHOST, "port": redis.port}
    client = redis_py.Redis(
        **{**where, "decode_responses": True, "max_connections": 400, **more},
    )
    try:
        await client.flushall()
        yield client
    finally:
        await client.aclose()


def test_values(loop, redis):
    async def main():
        async with connected(redis, decode_responses=False) as client:
            data = bytes(range(256)) * 20_000
            assert await client.set("big", data)
            assert await client.get("big") == data
            assert await client.get("nothing") is None
            await asyncio.gather(*(client.set(f"n{n}", n) for n in range(300)))
            assert await client.mget(*(f"n{n}" for n in range(300))) == [
                str(n).encode() for n in range(300)
            ]
            assert await client.hset("h", mapping={"a": 1, "b": 2}) == 2
            assert await client.hgetall("h") == {b"a": b"1", b"b": b"2"}
            assert len([key async for key in client.scan_iter("n*", count=50)]) == 300
            with pytest.raises(redis_py.ResponseError):
                await client.incr("h")
            assert await client.eval("return {KEYS[1], ARGV[1]}", 1, "k", "v") == [b"k", b"v"]

    run(loop, main)


def test_pipelines(loop, redis):
    async def main():
        async with connected(redis) as client:
            async with client.pipeline(transaction=False) as pipe:
                for n in range(5000):
                    pipe.set(f"n{n}", n).get(f"n{n}")
                assert (await pipe.execute())[1::2] == [str(n) for n in range(5000)]

            # Optimistic locking: of those that saw the old value only one may write.
            async def increment():
                async with client.pipeline() as pipe:
                    while True:
                        with contextlib.suppress(redis_py.WatchError):
                            await pipe.watch("counter")
                            now = int(await pipe.get("counter") or 0)
                            pipe.multi()
                            pipe.set("counter", now + 1)
                            await pipe.execute()
                            return

            await asyncio.gather(*(increment() for _ in range(12)))
            assert await client.get("counter") == "12"

    run(loop, main)


def test_pub_sub(loop, redis):
    async def main():
        async with connected(redis) as client, client.pubsub() as pubsub:
            await pubsub.subscribe("one")
            await pubsub.psubscribe("t*")
            heard = []

            async def listen():
                async for message in pubsub.listen():
                    if message["type"] in ("message", "pmessage"):
                        heard.append((message["channel"], message["data"]))
                    if heard and heard[-1][1] == "end":
                        return

            task = asyncio.ensure_future(listen())
            await support.until(lambda: pubsub.subscribed)
            while sum(count for _, count in await client.pubsub_numsub("one")) == 0:
                await asyncio.sleep(0.001)
            for n in range(200):
                assert await client.publish("one", n) == 1
            while await client.publish("two", "end") == 0:
                await asyncio.sleep(0.001)
            await asyncio.wait_for(task, 10 * support.SLOW)
            assert heard == [("one", str(n)) for n in range(200)] + [("two", "end")]
            assert await pubsub.get_message(timeout=0.02) is None
            await pubsub.unsubscribe("one")
            await pubsub.punsubscribe("t*")
            # A reader waiting in get_message() is cancelled; the connection is of use afterwards.
            waiting = asyncio.ensure_future(listen())
            await asyncio.sleep(0.02)
            waiting.cancel()
            await asyncio.wait([waiting])
            await pubsub.subscribe("three")
            await support.until(lambda: "three" in pubsub.channels)
            while await client.publish("three", "again") == 0:
                await asyncio.sleep(0.001)
            message = None
            while message is None or message["type"] != "message":
                message = await pubsub.get_message(timeout=5)
            assert message["data"] == "again"

    run(loop, main)


def test_blocking_pops(loop, redis):
    async def main():
        async with connected(redis) as client:
            pops = [asyncio.ensure_future(client.blpop("list", timeout=20)) for _ in range(10)]
            await asyncio.sleep(0.02)
            await client.rpush("list", *range(10))
            popped = await asyncio.gather(*pops)
            assert sorted(int(value) for _, value in popped) == list(range(10))
            assert await client.blpop("list", timeout=0.05) is None
            # Cancelled: its connection is closed, so the server gives the element to somebody else.
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.blpop("list", timeout=20), 0.05)
            while int((await client.info("clients"))["blocked_clients"]):
                await asyncio.sleep(0.001)
            await client.rpush("list", "x")
            assert await client.blpop("list", timeout=5) == ("list", "x")

    run(loop, main)


def test_streams_and_consumer_groups(loop, redis):
    async def main():
        async with connected(redis) as client:
            await client.xgroup_create("jobs", "group", mkstream=True)
            done = []

            async def consumer(name):
                while len(done) < 100:
                    for _, entries in await client.xreadgroup(
                        "group", name, {"jobs": ">"}, count=5, block=50
                    ):
                        for key, fields in entries:
                            done.append(int(fields["n"]))
                            await client.xack("jobs", "group", key)

            consumers = [asyncio.ensure_future(consumer(f"c{n}")) for n in range(4)]
            for n in range(100):
                await client.xadd("jobs", {"n": n})
            await asyncio.gather(*consumers)
            assert sorted(done) == list(range(100))

    run(loop, main)


def test_unix_socket_and_tls(loop, redis):
    async def main():
        data = "x" * 2_000_000
        path = {"unix_socket_path": str(redis.directory / "redis.sock")}
        secure = {"port": redis.tls_port, "ssl": True}
        for more in (path, {**secure, "ssl_ca_certs": str(redis.certificates.ca)}):
            async with connected(redis, **more) as client:
                await client.set("big", data)
                assert await client.get("big") == data
                await client.delete("n")
                values = await asyncio.gather(*(client.incr("n") for _ in range(50)))
                assert sorted(values) == list(range(1, 51))
        with pytest.raises(redis_py.ConnectionError, match="certificate verify failed"):
            async with connected(redis, **secure, retry=None):
                pass

    run(loop, main)


@pytest.mark.parametrize("tls", [False, True])
def test_pool_and_cancellation(loop, redis, tls):
    """Commands cancelled at any moment: no answer may reach somebody else."""
    where = {"port": redis.port}
    if tls:
        where = {
            "port": redis.tls_port,
            "connection_class": redis_py.SSLConnection,
            "ssl_ca_certs": str(redis.certificates.ca),
        }

    async def main():
        # Not redis-py's BlockingConnectionPool: before Python 3.13, a waiter of its
        # asyncio.Condition that is cancelled just as it is notified keeps that from the others.
        turns = asyncio.Semaphore(4)
        pool = redis_py.ConnectionPool(host=support.LOCALHOST, **where)
        client = redis_py.Redis(connection_pool=pool)

        async def echo(n):
            async with turns:
                assert await client.echo(f"text {n}") == f"text {n}".encode()

        tasks = [asyncio.ensure_future(echo(n)) for n in range(200)]
        for task in tasks[::3]:
            task.cancel()
            await asyncio.sleep(0.0005)
        for n, result in enumerate(await asyncio.gather(*tasks, return_exceptions=True)):
            assert result is None or (n % 3 == 0 and isinstance(result, asyncio.CancelledError))
        await asyncio.gather(*map(echo, range(50)))
        await client.aclose()
        await pool.aclose()

    run(loop, main)


def test_lost_connections(loop, redis):
    async def main():
        async with connected(redis, single_connection_client=True) as client:
            async with connected(redis) as killer:
                number = await client.client_id()
                pop = asyncio.ensure_future(client.blpop("list"))
                await asyncio.sleep(0.02)
                await killer.client_kill_filter(_id=number)
                await killer.rpush("list", "x")
                assert await pop == ("list", "x")  # it connects again and asks again
                assert await client.client_id() != number
                # A server that is busy: the client's own timeout.
                async with connected(redis, socket_timeout=0.1, retry=None) as hasty:
                    await killer.client_pause(300)
                    with pytest.raises(redis_py.TimeoutError):
                        await hasty.set("a", "b")
                assert await killer.ping()
        with pytest.raises(redis_py.ConnectionError):
            async with connected(redis, port=support.free_port(), retry=None):
                pass

    run(loop, main)
