"""The table of times."""

from __future__ import annotations

from collections.abc import Sequence

from . import client
from .chart import milliseconds
from .measure import WAYS, Result

COLUMNS = "  {:<28}{:<19}{:>11}{:>11}{:>9}{:>10}"


def lines(results: Sequence[Result], plain: bool) -> list[str]:
    """The table, with what has to be said about it."""
    rule = "  " + ("-" if plain else "─") * (len(COLUMNS.format(*[""] * 6)) - 2)
    head = COLUMNS.format("median of", "way", "asyncio", "uvolt", "ratio", "gather")
    text = ["", head, rule]
    for result in results:
        label = f"{result.job.title} ({result.job.rounds}x)"
        for way in WAYS:
            times = [result.median(way, loop) for loop in ("asyncio", "uvolt")]
            ratio = f"{times[0] / times[1]:.2f} x"
            gain = result.median(WAYS[0], "uvolt") / times[1]
            cells = [milliseconds(seconds) for seconds in times]
            shorter = f"{gain:.1f} x" if way == "gather" else ""
            text.append(COLUMNS.format(label, way, *cells, ratio, shorter))
            label = ""
    return [*text, rule, *[f"  {note}" for note in notes(results)]]


def notes(results: Sequence[Result]) -> list[str]:
    """How to read the numbers; the last line is about the processor."""
    said = [
        "ratio: asyncio / uvolt, above 1 uvolt is faster; gather: one after another / gather, on uvolt",
        "Jobs that wait for others do not get faster by a faster loop; they do by waiting together.",
    ]
    for result in results:
        if not result.job.waits:
            way = WAYS[-1]
            each = [result.cpu_each(way, loop) * 1e6 for loop in ("asyncio", "uvolt")]
            said.append(
                f"{result.job.title} with gather, processor time of the client per request: "
                f"asyncio {each[0]:.0f} us, uvolt {each[1]:.0f} us"
            )
            said.append(best(result))
    return said


def best(result: Result) -> str:
    """The best round of a job, as a rate."""
    rates = [result.job.operations / result.best(WAYS[-1], loop) for loop in ("asyncio", "uvolt")]
    return (
        f"best round: {rates[0]:,.0f} requests a second on asyncio, {rates[1]:,.0f} on uvolt "
        f"({client.description()})"
    )
