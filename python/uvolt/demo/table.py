"""The table of times."""

from __future__ import annotations

from collections.abc import Sequence

from .chart import milliseconds
from .jobs import WAYS
from .measure import Result

SHORT = "Waiting does not get shorter by a faster loop: jobs that wait gain by waiting together."
COLUMNS = "  {:<29}{:<19}{:>9}{:>9}{:>9}{:>9}"


def lines(results: Sequence[Result], plain: bool) -> list[str]:
    """The table, with what has to be said about it."""
    rule = "  " + ("-" if plain else "─") * (len(COLUMNS.format(*[""] * 6)) - 2)
    head = COLUMNS.format("median", "", "asyncio", "uvolt", "ratio", "gather")
    text = ["", head, rule]
    for result in results:
        label = result.job.title
        for way in result.job.ways:
            times = [result.median(way, loop) for loop in ("asyncio", "uvolt")]
            ratio = f"{times[0] / times[1]:.2f} x"
            cells = [milliseconds(seconds) for seconds in times]
            gain = ""
            if way != result.job.ways[0]:
                gain = f"{result.median(WAYS[0], 'uvolt') / times[1]:.1f} x"
            text.append(COLUMNS.format(label, way, *cells, ratio, gain))
            label = ""
    return [*text, rule, *[f"  {note}" for note in notes(results)]]


def notes(results: Sequence[Result]) -> list[str]:
    """How to read the numbers, and the processor's part."""
    rounds = {result.job.waits: result.job.rounds for result in results}
    said = [
        f"Medians of {rounds[True]} rounds, of {rounds[False]} for the last job; loops took turns.",
        "ratio: asyncio / uvolt, above 1 uvolt is faster. gather: what it gains, on uvolt.",
        SHORT,
    ]
    return [*said, *[busy(result) for result in results if not result.job.waits]]


def busy(result: Result) -> str:
    """A job that keeps the processor busy: what an operation costs."""
    way = result.job.ways[-1]
    each = [result.cpu_each(way, loop) * 1e6 for loop in ("asyncio", "uvolt")]
    rate = [result.job.operations / result.best(way, loop) for loop in ("asyncio", "uvolt")]
    return (
        f"{result.job.title}: processor time of the client {each[0]:.0f} us a request on asyncio,\n"
        f"  {each[1]:.0f} us on uvolt; best round {rate[0]:,.0f} a second on asyncio, "
        f"{rate[1]:,.0f} on uvolt."
    )
