"""asyncpg with PostgreSQL: pools, COPY, LISTEN, cursors, TLS, cancelled queries, lost servers."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl

import asyncpg
import pytest
import support
from servers import run

pytestmark = pytest.mark.servers


def options(postgres, **more):
    return {
        "host": support.LOCALHOST,
        "port": postgres.port,
        "user": "postgres",
        "database": "postgres",
        "ssl": False,
        **more,
    }


@contextlib.asynccontextmanager
async def connected(postgres, **more):
    connection = await asyncpg.connect(**options(postgres, **more))
    try:
        yield connection
    finally:
        await connection.close(timeout=10)


def test_values_and_prepared_statements(loop, postgres):
    async def main():
        async with connected(postgres) as connection:
            row = await connection.fetchrow(
                "select $1::int a, $2::text b, $3::bytea c, $4::jsonb d, $5::int[] e",
                *(7, "ü" * 1000, bytes(range(256)) * 1000, '{"x": [1, 2]}', [1, None, 3]),
            )
            assert row["a"] == 7 and row["b"] == "ü" * 1000
            assert row["c"] == bytes(range(256)) * 1000
            assert row["d"] == '{"x": [1, 2]}' and row["e"] == [1, None, 3]
            statement = await connection.prepare("select $1::int * 2")
            assert [await statement.fetchval(n) for n in range(200)] == list(range(0, 400, 2))
            with pytest.raises(asyncpg.DivisionByZeroError):
                await connection.fetch("select 1 / 0")
            assert await connection.fetchval("select 1") == 1

    run(loop, main)


def test_transactions_and_cursors(loop, postgres):
    async def main():
        async with connected(postgres) as connection:
            await connection.execute("create temp table t (n int)")
            async with connection.transaction():
                await connection.executemany(
                    "insert into t values ($1)", [(n,) for n in range(5000)]
                )
                with pytest.raises(ZeroDivisionError):
                    async with connection.transaction():  # a savepoint
                        await connection.execute("delete from t")
                        raise ZeroDivisionError
                seen = [row["n"] async for row in connection.cursor("select n from t order by n")]
                assert seen == list(range(5000))
                cursor = await connection.cursor("select n from t order by n")
                await cursor.forward(4990)
                assert [row["n"] for row in await cursor.fetch(100)] == list(range(4990, 5000))

    run(loop, main)


def test_pool(loop, postgres):
    async def main():
        async with asyncpg.create_pool(**options(postgres), min_size=2, max_size=5) as pool:

            async def work(n):
                async with pool.acquire() as connection, connection.transaction():
                    return await connection.fetchval("select $1::int + 1", n)

            assert await asyncio.gather(*map(work, range(200))) == list(range(1, 201))
            assert pool.get_size() == 5

    run(loop, main)


@pytest.mark.parametrize("tls", [False, True])
def test_pool_under_cancellation(loop, postgres, tls):
    """Queries cancelled at any moment: on acquire, while connecting, in the query, on release."""
    name = "cancelled"
    secure = {"ssl": postgres.certificates.client()} if tls else {}

    async def main():
        chance = random.Random(5)
        settings = {"application_name": name}
        async with (
            asyncpg.create_pool(
                **options(postgres, **secure), min_size=1, max_size=5, server_settings=settings
            ) as pool,
            connected(postgres) as watcher,
        ):
            done = []

            async def work(n):
                async with pool.acquire() as connection:
                    await connection.execute("select pg_sleep($1)", chance.random() / 50)
                    done.append(await connection.fetchval("select $1::int", n))

            async def cancelled(n):
                task = asyncio.ensure_future(work(n))
                await asyncio.sleep(chance.random() / 4)
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled():
                    task.result()

            await asyncio.gather(*map(cancelled, range(60)), *map(work, range(60, 80)))
            assert set(done) >= set(range(60, 80))

            async def one():
                async with pool.acquire() as connection:
                    return await connection.fetchval("select 1")

            assert await asyncio.gather(*(one() for _ in range(20))) == [1] * 20
            # Each cancelled query was cancelled at the server, too, and no connection was lost.
            count = "select count(*) from pg_stat_activity where application_name = $1"
            assert await watcher.fetchval(count, name) == pool.get_size() <= 5
            assert await watcher.fetchval(f"{count} and state <> 'idle'", name) == 0

    run(loop, main)


def test_copy(loop, postgres, tmp_path):
    async def main():
        async with connected(postgres) as connection:
            await connection.execute("create temp table t (n int, s text)")
            records = [(n, f"text {n}" * 5) for n in range(20_000)]
            assert await connection.copy_records_to_table("t", records=records) == "COPY 20000"
            assert await connection.fetch("select * from t order by n") == records

            chunks = []

            async def slow_reader(data):  # COPY OUT waits for its reader
                chunks.append(data)
                if len(chunks) % 50 == 0:
                    await asyncio.sleep(0.001)

            query = "select * from t order by n"
            await connection.copy_from_query(query, output=slow_reader, format="csv")
            expected = "".join(f"{n},{s}\n" for n, s in records).encode()
            assert b"".join(chunks) == expected

            async def source():
                for start in range(0, len(expected), 10_007):
                    yield expected[start : start + 10_007]
                    await asyncio.sleep(0)

            await connection.execute("create temp table copy (n int, s text)")
            await connection.copy_to_table("copy", source=source(), format="csv")
            difference = "select count(*) from (table t except table copy) as d"
            assert await connection.fetchval(difference) == 0
            assert await connection.fetchval("select count(*) from copy") == 20_000

            path = tmp_path / "out.csv"
            await connection.copy_from_table("copy", output=path, format="csv")
            assert sorted(path.read_bytes().splitlines()) == sorted(expected.splitlines())

            async def broken():
                yield b"1,a\n"
                raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await connection.copy_to_table("copy", source=broken(), format="csv")
            assert await connection.fetchval("select count(*) from copy") == 20_000

    run(loop, main)


def test_listen_and_notify(loop, postgres):
    async def main():
        async with connected(postgres) as listener, connected(postgres) as speaker:
            heard = []

            def hear(connection, pid, channel, payload):
                heard.append((channel, payload))

            async def hear_too(connection, pid, channel, payload):
                heard.append((channel, payload))

            await listener.add_listener("one", hear)
            await listener.add_listener("two", hear_too)
            for n in range(100):
                await speaker.execute("select pg_notify($1, $2)", "one", f"{n}")
            await speaker.execute("notify two, 'end'")
            await support.until(lambda: len(heard) == 101)
            assert heard == [("one", f"{n}") for n in range(100)] + [("two", "end")]
            await listener.remove_listener("one", hear)
            await listener.remove_listener("two", hear_too)
            await speaker.execute("notify one, 'nobody'")
            assert await listener.fetchval("select 1") == 1
            assert len(heard) == 101

    run(loop, main)


def test_tls(loop, postgres):
    """SSLRequest on a plain connection, then TLS on the same one."""
    context = postgres.certificates.client()

    async def main():
        async with connected(postgres, ssl=context) as connection:
            version = await connection.fetchval(
                "select version from pg_stat_ssl where pid = pg_backend_pid()"
            )
            assert version.startswith("TLSv1.")
            data = random.Random(1).randbytes(3_000_000)
            assert await connection.fetchval("select $1::bytea", data) == data
            with pytest.raises(asyncio.TimeoutError):
                await connection.execute("select pg_sleep(30)", timeout=0.1)
            assert await connection.fetchval("select 1") == 1
        async with asyncpg.create_pool(
            **options(postgres, ssl=context), min_size=1, max_size=4
        ) as pool:
            values = await asyncio.gather(*(pool.fetchval("select $1::int", n) for n in range(50)))
            assert values == list(range(50))
        async with connected(postgres, ssl="require") as connection:
            assert await connection.fetchval("select ssl from pg_stat_ssl where ssl limit 1")
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncpg.connect(**options(postgres, ssl=ssl.create_default_context()))

    run(loop, main)


def test_cancelled_queries(loop, postgres):
    """By asyncpg's timeout, by wait_for(), by task.cancel(): the server's query ends, too."""
    sleep = "select pg_sleep(30)"

    async def main():
        async with connected(postgres) as connection, connected(postgres) as watcher:
            pid = connection.get_server_pid()
            with pytest.raises(asyncio.TimeoutError):
                await connection.execute(sleep, timeout=0.05)
            assert await connection.fetchval("select 1") == 1
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(connection.execute(sleep), 0.05)
            assert await connection.fetchval("select 2") == 2
            task = asyncio.ensure_future(connection.execute(sleep))
            state = "select state from pg_stat_activity where pid = $1"
            while await watcher.fetchval(state, pid) != "active":
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await connection.fetchval("select 3") == 3
            assert connection.get_server_pid() == pid

    run(loop, main)


def test_killed_by_the_server(loop, postgres):
    async def main():
        ended = []
        async with connected(postgres) as killer:
            connection = await asyncpg.connect(**options(postgres))
            connection.add_termination_listener(ended.append)
            query = asyncio.ensure_future(connection.execute("select pg_sleep(30)"))
            await asyncio.sleep(0.05)
            await killer.execute("select pg_terminate_backend($1)", connection.get_server_pid())
            with pytest.raises(asyncpg.ConnectionDoesNotExistError):
                await query
            await support.until(connection.is_closed)
            await support.until(lambda: ended == [connection])
            with pytest.raises(asyncpg.InterfaceError):
                await connection.execute("select 1")
            # A pool replaces the ones it lost.
            async with asyncpg.create_pool(**options(postgres), min_size=3, max_size=3) as pool:
                async with pool.acquire() as a, pool.acquire() as b:
                    lost = [a.get_server_pid(), b.get_server_pid()]
                for pid in lost:
                    await killer.execute("select pg_terminate_backend($1, 5000)", pid)
                await asyncio.sleep(0.05)
                values = await asyncio.gather(*(pool.fetchval("select 1") for _ in range(9)))
                assert values == [1] * 9

    run(loop, main)


def test_unix_socket_and_no_server(loop, postgres):
    async def main():
        async with connected(postgres, host=str(postgres.directory)) as connection:
            assert await connection.fetchval("select inet_client_addr()") is None
        # asyncpg tries one host after the other
        hosts = [support.LOCALHOST, str(postgres.directory)]
        ports = [support.free_port(), postgres.port]
        async with connected(postgres, host=hosts, port=ports) as connection:
            assert await connection.fetchval("select inet_client_addr()") is None
        with pytest.raises(ConnectionRefusedError):
            await asyncpg.connect(**options(postgres, port=support.free_port()))

    run(loop, main)


def test_waits_for_a_silent_server(loop):
    """A server that accepts and says nothing: connect's timeout, with and without TLS."""

    async def main():
        with socket.create_server((support.LOCALHOST, 0)) as listener:
            port = listener.getsockname()[1]
            for mode in (False, "prefer"):
                with pytest.raises(asyncio.TimeoutError):
                    await asyncpg.connect(
                        host=support.LOCALHOST, port=port, user="x", ssl=mode, timeout=0.1
                    )

    run(loop, main)
