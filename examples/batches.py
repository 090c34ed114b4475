"""Twenty batches of work, never more than five at a time: asyncio.Semaphore."""

import asyncio

BATCHES = 20
AT_ONCE = 5

running = 0
most = 0


async def process(number: int, gate: asyncio.Semaphore) -> int:
    global running, most
    async with gate:
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)  # the work
        running -= 1
    return number * 100


async def main() -> None:
    gate = asyncio.Semaphore(AT_ONCE)
    records = await asyncio.gather(*[process(n, gate) for n in range(1, BATCHES + 1)])
    print(f"{len(records)} batches, {sum(records):,} records")
    print(f"at most {most} at a time")


if __name__ == "__main__":
    asyncio.run(main())
