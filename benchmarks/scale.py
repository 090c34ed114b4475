"""The scale cases: how the cost of one operation grows with how much there is of everything.

Each is `case(loop, n, size)`: n operations on a loop that holds `size` timers, tasks or callbacks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

Loop = asyncio.AbstractEventLoop
SizedCase = Callable[[Loop, int, int], None]


_pending: dict[tuple[int, int], list[asyncio.TimerHandle]] = {}


def _whens(state: int) -> Iterator[float]:
    """Delays between one hour and two, in an order that repeats from run to run."""
    while True:
        state = (state * 1103515245 + 12345) % 2147483648
        yield 3600 + state / 596523.0


def _never() -> None:
    raise AssertionError("a timer of an hour fired")


def timers(loop: Loop, n: int, size: int) -> None:
    """call_later and cancel while `size` timers, spread over an hour, are pending."""
    key = (id(loop), size)
    if key not in _pending:  # made once: only the first call, a warm-up, pays for them
        whens = _whens(54321)
        _pending[key] = [loop.call_later(next(whens), _never) for _ in range(size)]
    whens = _whens(n)
    delays = [next(whens) for _ in range(100)]
    left = n

    def batch() -> None:
        nonlocal left
        count = min(100, left)
        if not count:
            loop.stop()
            return
        left -= count
        for i in range(count):
            loop.call_later(delays[i], _never).cancel()
        loop.call_soon(batch)

    loop.call_soon(batch)
    loop.run_forever()


def callbacks(loop: Loop, n: int, size: int) -> None:
    """Callbacks of which `size` are ready at a time."""
    left = n

    def leaf() -> None:
        pass

    def batch() -> None:
        nonlocal left
        count = min(size, left)
        if not count:
            loop.stop()
            return
        left -= count
        for _ in range(count):
            loop.call_soon(leaf)
        loop.call_soon(batch)

    loop.call_soon(batch)
    loop.run_forever()


def tasks(loop: Loop, n: int, size: int) -> None:
    """Resumptions of `size` tasks that give way in turns."""

    async def work(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    async def run() -> None:
        share, rest = divmod(n, size)
        works = [loop.create_task(work(share + (i < rest))) for i in range(size)]
        for task in works:
            await task

    loop.run_until_complete(run())


CASES: dict[str, SizedCase] = {"timers": timers, "callbacks": callbacks, "tasks": tasks}
