"""Downloads with asyncio.gather(), one of which fails: the error raised, or among the results."""

import asyncio

FILES = {"intro.txt": 1_200, "missing.txt": None, "manual.pdf": 48_000, "logo.png": 7_300}


class DownloadError(Exception):
    pass


async def download(name: str) -> int:
    await asyncio.sleep(0.02)
    size = FILES[name]
    if size is None:
        raise DownloadError(f"{name}: 404 Not Found")
    await asyncio.sleep(0.02)
    print(f"  got {name}")
    return size


async def first_error_is_raised() -> None:
    print("gather:")
    tasks = [asyncio.create_task(download(name)) for name in FILES]
    try:
        await asyncio.gather(*tasks)
    except DownloadError as exc:
        print(f"  failed: {exc}")
    # The others were not stopped. They would go on in the background, so wait for them.
    done, pending = await asyncio.wait(tasks)
    print(f"  finished: {len(done)}, left over: {len(pending)}")


async def errors_are_results() -> None:
    print("gather with return_exceptions:")
    results = await asyncio.gather(*[download(name) for name in FILES], return_exceptions=True)
    for name, result in zip(FILES, results, strict=True):
        if isinstance(result, BaseException):
            print(f"  {name}: {type(result).__name__}({result})")
        else:
            print(f"  {name}: {result:,} bytes")


async def main() -> None:
    await first_error_is_raised()
    await errors_are_results()


if __name__ == "__main__":
    asyncio.run(main())
