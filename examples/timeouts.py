"""Not waiting for ever: asyncio.wait_for(), and asyncio.create_task() for background work."""

import asyncio


async def answer_after(seconds: float, text: str) -> str:
    try:
        await asyncio.sleep(seconds)
        return text
    except asyncio.CancelledError:
        print(f"  {text!r} was cancelled")
        raise


async def main() -> None:
    print("a quick answer:", await asyncio.wait_for(answer_after(0.01, "quick"), timeout=5))

    print("a slow one:")
    try:
        await asyncio.wait_for(answer_after(30, "slow"), timeout=0.05)
    except asyncio.TimeoutError:
        print("  timed out")

    print("a task in the background:")
    task = asyncio.create_task(answer_after(0.05, "background"), name="worker")
    print(f"  {task.get_name()} done: {task.done()}")
    print(f"  result: {await task}, done: {task.done()}")

    print("shielded from the timeout:")
    task = asyncio.create_task(answer_after(0.2, "shielded"))
    try:
        await asyncio.wait_for(asyncio.shield(task), timeout=0.02)
    except asyncio.TimeoutError:
        print("  timed out, but still running:", not task.done())
    print("  result:", await task)


if __name__ == "__main__":
    asyncio.run(main())
