"""``async with`` and ``async for``: a class of each, and the short way with generators."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType


class Connection:
    """An asynchronous context manager: opening and closing take time."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __aenter__(self) -> "Connection":
        await asyncio.sleep(0.01)
        print(f"{self.name}: open")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.sleep(0.01)
        print(f"{self.name}: closed" + (f" after {error!r}" if error else ""))

    def query(self, rows: int) -> "Rows":
        return Rows(rows)


class Rows:
    """An asynchronous iterator: each row takes time to arrive."""

    def __init__(self, rows: int) -> None:
        self.left = rows

    def __aiter__(self) -> "Rows":
        return self

    async def __anext__(self) -> int:
        if self.left == 0:
            raise StopAsyncIteration
        await asyncio.sleep(0.005)
        self.left -= 1
        return self.left


@asynccontextmanager
async def transaction(connection: Connection) -> AsyncIterator[list[str]]:
    statements: list[str] = []
    print(f"{connection.name}: begin")
    try:
        yield statements
    except ValueError:
        print(f"{connection.name}: roll back {statements}")
    else:
        print(f"{connection.name}: commit {statements}")


async def ticks(count: int) -> AsyncIterator[str]:
    """An asynchronous generator."""
    try:
        for n in range(count):
            await asyncio.sleep(0.005)
            yield f"tick {n}"
    finally:
        print("ticks: cleaned up")


async def main() -> None:
    async with Connection("db") as connection:
        print("rows:", [row async for row in connection.query(4)])
        async with transaction(connection) as statements:
            statements.append("INSERT")
        async with transaction(connection) as statements:
            statements.append("DELETE")
            raise ValueError("not allowed")
    try:
        async with Connection("other"):
            raise LookupError("nothing there")
    except LookupError:
        print("the error came out again")
    async for tick in ticks(3):
        print(tick)
    # Left early: asyncio.run() closes the generator at the end.
    async for tick in ticks(1000):
        print("only", tick)
        break


if __name__ == "__main__":
    asyncio.run(main())
