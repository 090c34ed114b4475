"""Count the rows of three tables: one after another, then all at once with asyncio.gather().

A database takes a moment to answer. While it thinks, the program can ask the next one.
"""

import asyncio
import time

ROWS = {"customers": 125_000, "orders": 892_000, "products": 12_000}
SECONDS = {"customers": 0.1, "orders": 0.15, "products": 0.05}


async def count(table: str) -> int:
    await asyncio.sleep(SECONDS[table])  # stands for: SELECT count(*) FROM table
    return ROWS[table]


def report(title: str, counts: list[int]) -> None:
    print(title)
    for table, rows in zip(ROWS, counts, strict=True):
        print(f"  {table:<10} {rows:>9,}")
    print(f"  {'total':<10} {sum(counts):>9,}")


async def main() -> None:
    start = time.perf_counter()
    report("one after another", [await count(table) for table in ROWS])
    sequential = time.perf_counter() - start

    start = time.perf_counter()
    report("all at once", await asyncio.gather(*[count(table) for table in ROWS]))
    together = time.perf_counter() - start

    print("gather was faster:", together < sequential)


if __name__ == "__main__":
    asyncio.run(main())
