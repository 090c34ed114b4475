"""psycopg 3 with PostgreSQL: libpq's sockets on the loop's descriptor watchers."""

from __future__ import annotations

import asyncio
import contextlib

import psycopg
import psycopg_pool
import pytest
import support
from psycopg.rows import dict_row
from servers import run

pytestmark = pytest.mark.servers


def dsn(postgres, **more):
    values = {"host": support.LOCALHOST, "port": postgres.port, "user": "postgres", **more}
    return psycopg.conninfo.make_conninfo(**{"dbname": "postgres", "sslmode": "disable", **values})


@contextlib.asynccontextmanager
async def connected(postgres, **more):
    connection = await psycopg.AsyncConnection.connect(dsn(postgres, **more), autocommit=True)
    try:
        yield connection
    finally:
        await connection.close()


async def value(connection, query, *arguments):
    cursor = await connection.execute(query, arguments)
    return (await cursor.fetchone())[0]


def test_queries_and_transactions(loop, postgres):
    async def main():
        async with connected(postgres) as connection:
            data = bytes(range(256)) * 8000
            assert await value(connection, "select %s::bytea", data) == data
            await connection.execute("create temp table t (n int, s text)")
            async with connection.transaction():
                async with connection.cursor() as cursor:
                    rows = [(n, f"text {n}") for n in range(2000)]
                    await cursor.executemany("insert into t values (%s, %s)", rows)
                with pytest.raises(ZeroDivisionError):
                    async with connection.transaction():
                        await connection.execute("delete from t")
                        raise ZeroDivisionError
            async with connection.cursor(row_factory=dict_row) as cursor:
                await cursor.execute("select * from t order by n")
                assert await cursor.fetchmany(2) == [
                    {"n": 0, "s": "text 0"},
                    {"n": 1, "s": "text 1"},
                ]
                assert len([row async for row in cursor]) == 1998
                seen = [row["n"] async for row in cursor.stream("select n from t order by n")]
                assert seen == list(range(2000))
            async with connection.transaction(), connection.cursor("named") as cursor:
                cursor.itersize = 300
                await cursor.execute("select n from t order by n")
                assert [row[0] async for row in cursor] == list(range(2000))
            with pytest.raises(psycopg.errors.DivisionByZero):
                await connection.execute("select 1 / 0")
            assert await value(connection, "select 1") == 1

    run(loop, main)


def test_pipeline(loop, postgres):
    async def main():
        async with connected(postgres) as connection, connection.pipeline() as pipeline:
            cursors = [await connection.execute("select %s::int", (n,)) for n in range(500)]
            await pipeline.sync()
            assert [(await c.fetchone())[0] for c in cursors] == list(range(500))

    run(loop, main)


def test_copy(loop, postgres):
    async def main():
        async with connected(postgres) as connection:
            await connection.execute("create temp table t (n int, s text)")
            rows = [(n, f"text {n}" * 5) for n in range(10_000)]
            async with connection.cursor() as cursor:
                async with cursor.copy("copy t from stdin") as copy:
                    for row in rows:
                        await copy.write_row(row)
                async with cursor.copy("copy (select * from t order by n) to stdout") as copy:
                    copy.set_types(["int4", "text"])
                    assert [row async for row in copy.rows()] == rows
                with pytest.raises(ZeroDivisionError):
                    async with cursor.copy("copy t from stdin") as copy:
                        await copy.write_row((1, "a"))
                        raise ZeroDivisionError
            assert await value(connection, "select count(*) from t") == 10_000

    run(loop, main)


def test_notifications(loop, postgres):
    async def main():
        async with connected(postgres) as listener, connected(postgres) as speaker:
            await listener.execute("listen one")

            async def speak():
                for n in range(50):
                    await speaker.execute("select pg_notify('one', %s)", (f"{n}",))

            task = asyncio.ensure_future(speak())
            heard = []
            async for notice in listener.notifies(timeout=20 * support.SLOW, stop_after=50):
                heard.append(notice.payload)
            await task
            assert heard == [f"{n}" for n in range(50)]
            assert [n async for n in listener.notifies(timeout=0.05)] == []
            # Waiting for notifications can be cancelled.
            waiting = asyncio.ensure_future(listener.notifies().__anext__())
            await asyncio.sleep(0.02)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await value(listener, "select 1") == 1

    run(loop, main)


async def sleeping(connection, watcher):
    """The task of a query that takes long, once the server is at it."""
    task = asyncio.ensure_future(connection.execute("select pg_sleep(30)"))
    state = "select state from pg_stat_activity where pid = %s"
    while await value(watcher, state, connection.info.backend_pid) != "active":
        await asyncio.sleep(0.01)
    return task


def test_cancelled_queries(loop, postgres):
    async def main():
        async with connected(postgres) as connection, connected(postgres) as watcher:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(connection.execute("select pg_sleep(30)"), 0.05)
            assert await value(connection, "select 1") == 1
            task = await sleeping(connection, watcher)
            await connection.cancel_safe()
            with pytest.raises(psycopg.errors.QueryCanceled):
                await task
            assert await value(connection, "select 1") == 1

    run(loop, main)


def test_pool(loop, postgres):
    async def main():
        pool = psycopg_pool.AsyncConnectionPool(
            dsn(postgres, application_name="pool"), min_size=2, max_size=4, open=False, timeout=20
        )
        async with pool:
            await pool.wait()

            async def work(n):
                async with pool.connection() as connection:
                    return await value(connection, "select %s::int", n)

            tasks = [asyncio.ensure_future(work(n)) for n in range(100)]
            await asyncio.sleep(0.01)
            for task in tasks[::3]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for n, result in enumerate(results):
                assert result == n or (n % 3 == 0 and isinstance(result, asyncio.CancelledError))
            assert await work(1) == 1
            # The server ends a connection: the pool gives another one.
            async with connected(postgres) as killer:
                await killer.execute(
                    "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                    " where application_name = 'pool'"
                )
            with pytest.raises(psycopg.OperationalError):
                await work(2)
            await pool.check()
            assert await asyncio.gather(*map(work, range(20))) == list(range(20))

    run(loop, main)


def test_tls_unix_socket_and_no_server(loop, postgres):
    async def main():
        tls = {"sslmode": "verify-full", "sslrootcert": str(postgres.certificates.ca)}
        async with connected(postgres, **tls) as connection:
            data = b"x" * 2_000_000
            assert await value(connection, "select %s::bytea", data) == data
        async with connected(postgres, host=str(postgres.directory)) as connection:
            assert await value(connection, "select inet_client_addr()") is None
        with pytest.raises(psycopg.OperationalError, match="refused"):
            async with connected(postgres, port=support.free_port()):
                pass

    run(loop, main)


def test_killed_by_the_server(loop, postgres):
    async def main():
        async with connected(postgres) as connection, connected(postgres) as killer:
            task = await sleeping(connection, killer)
            await value(killer, "select pg_terminate_backend(%s)", connection.info.backend_pid)
            with pytest.raises(psycopg.errors.AdminShutdown):
                await task
            assert connection.closed

    run(loop, main)
