"""A task that does something again and again, until it is cancelled."""

import asyncio
from collections.abc import Callable


async def every(seconds: float, action: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    try:
        while True:
            action()
            due += seconds  # from the clock, so that slow actions do not add up
            await asyncio.sleep(due - loop.time())
    except asyncio.CancelledError:
        print("periodic task: cancelled, cleaning up")
        raise


async def main() -> None:
    enough = asyncio.Event()
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        print("tick", count)
        if count == 5:
            enough.set()

    task = asyncio.create_task(every(0.02, tick))
    await enough.wait()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("cancelled:", task.cancelled())


if __name__ == "__main__":
    asyncio.run(main())
