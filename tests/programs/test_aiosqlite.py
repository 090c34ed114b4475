"""aiosqlite: a database in a thread that answers by call_soon_threadsafe()."""

from __future__ import annotations

import asyncio
import sqlite3

import aiosqlite
import pytest
from servers import run


def test_queries_and_transactions(loop, tmp_path):
    async def main():
        async with aiosqlite.connect(tmp_path / "db") as db:
            await db.execute("create table t (n integer primary key, s text)")
            rows = [(n, f"text {n}") for n in range(3000)]
            await db.executemany("insert into t values (?, ?)", rows)
            await db.commit()
            await db.execute("delete from t")
            await db.rollback()
            async with db.execute("select * from t order by n") as cursor:
                assert [row async for row in cursor] == rows
            with pytest.raises(sqlite3.IntegrityError):
                await db.execute("insert into t values (1, 'again')")
            await db.create_function("double", 1, lambda n: 2 * n)
            async with db.execute("select double(21)") as cursor:
                assert await cursor.fetchone() == (42,)

    run(loop, main)


def test_many_at_once_and_cancelled(loop, tmp_path):
    async def main():
        path = tmp_path / "db"
        async with aiosqlite.connect(path) as db:
            await db.execute("create table t (n integer)")
            await asyncio.gather(
                *(db.execute("insert into t values (?)", (n,)) for n in range(300))
            )
            await db.commit()
            tasks = [
                asyncio.ensure_future(db.execute_fetchall("select n from t")) for _ in range(30)
            ]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            for n, result in enumerate(done):
                assert n % 2 == 0 or len(result) == 300

        async def count(_):  # each in a thread of its own
            async with aiosqlite.connect(path) as db:
                return (await db.execute_fetchall("select count(*) from t"))[0][0]

        assert await asyncio.gather(*map(count, range(20))) == [300] * 20

    run(loop, main)


def test_backup_and_interrupt(loop, tmp_path):
    async def main():
        async with aiosqlite.connect(":memory:") as db, aiosqlite.connect(":memory:") as other:
            await db.execute("create table t as select 1 as n")
            await db.backup(other)
            assert list(await other.execute_fetchall("select n from t")) == [(1,)]
            endless = """with recursive c(n) as (select 1 union all select n + 1 from c)
                select count(*) from c"""
            task = asyncio.ensure_future(db.execute_fetchall(endless))
            await asyncio.sleep(0.05)
            await db.interrupt()
            with pytest.raises(sqlite3.OperationalError, match="interrupted"):
                await task

    run(loop, main)
