"""Code that blocks, in threads: the loop goes on meanwhile."""

import asyncio
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor


def read_slowly(name: str) -> str:
    time.sleep(0.1)  # an old library that knows nothing of asyncio
    return f"contents of {name}"


def checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def heartbeat(beats: list[int]) -> None:
    while True:
        await asyncio.sleep(0.01)
        beats.append(len(beats))


async def main() -> None:
    loop = asyncio.get_running_loop()
    beats: list[int] = []
    heart = asyncio.create_task(heartbeat(beats))

    names = ["a.txt", "b.txt", "c.txt"]
    for text in await asyncio.gather(*[asyncio.to_thread(read_slowly, name) for name in names]):
        print(text)

    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="sums") as pool:
        jobs = [loop.run_in_executor(pool, checksum, bytes([n]) * 100_000) for n in range(3)]
        for digest in await asyncio.gather(*jobs):
            print(digest[:16])

    try:
        await loop.run_in_executor(None, int, "forty-two")
    except ValueError as exc:
        print("an error in a thread:", exc)

    heart.cancel()
    print("the loop went on meanwhile:", len(beats) >= 3)


if __name__ == "__main__":
    asyncio.run(main())
