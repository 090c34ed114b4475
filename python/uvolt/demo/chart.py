"""The chart: when each task ran. A model for both pictures, and the one for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .jobs import WAYS
from .measure import LOOPS, Result
from .trace import Span

MOST_ROWS = 8  # more tasks than this share rows


@dataclass(frozen=True)
class Row:
    """One line of bars."""

    label: str
    spans: Sequence[Span]


@dataclass(frozen=True)
class Group:
    """The rows of one way to do a job; kind is its place in WAYS."""

    title: str
    kind: int
    rows: Sequence[Row]


@dataclass(frozen=True)
class Section:
    """One job: its groups have one scale, which ends at seconds."""

    title: str
    groups: Sequence[Group]

    @property
    def seconds(self) -> float:
        return max(span.end for g in self.groups for row in g.rows for span in row.spans)


def sections(results: Sequence[Result]) -> list[Section]:
    """The jobs that wait with a bar for each task, the others with a bar for each loop's median."""
    chart = []
    for result in results:
        groups = []
        for way in result.job.ways:
            if result.job.waits:
                rows = _rows(result.traces[way].spans)
            else:
                medians = {loop: result.median(way, loop) for loop in LOOPS}
                rows = [Row(name, [Span(name, 0, end)]) for name, end in medians.items()]
            groups.append(Group(way, WAYS.index(way), rows))
        title = result.job.title + ("" if result.job.waits else ", until all are answered: median")
        chart.append(Section(title, groups))
    return chart


def _rows(spans: Sequence[Span]) -> list[Row]:
    """A row for each task in order of start; where there are many, several share a row."""
    spans = sorted(spans, key=lambda span: span.start)
    if len(spans) <= MOST_ROWS:
        return [Row(span.name, [span]) for span in spans]
    lanes: list[list[Span]] = []
    for span in spans:
        for lane in lanes:
            if lane[-1].end <= span.start:
                lane.append(span)
                break
        else:
            lanes.append([span])
    return [Row(f"{len(lane)} tasks", lane) for lane in lanes]


def milliseconds(seconds: float) -> str:
    """A time for people: three digits or so."""
    value = seconds * 1000
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms"


def draw(chart: Sequence[Section], width: int, plain: bool) -> list[str]:
    """Lines of text of at most width columns. plain: ASCII only."""
    full, other, failed = "#=x" if plain else "█▓░"
    ways = max(len(group.title) for section in chart for group in section.groups)
    labels = max(len(r.label) for section in chart for g in section.groups for r in g.rows)
    columns = max(width - ways - labels - 6, 10)
    lines = []
    for section in chart:
        scale = columns / section.seconds
        end = milliseconds(section.seconds)
        lines += ["", section.title]
        lines.append(" " * (ways + labels + 5) + f"0{end:>{columns - 1}}")
        for group in section.groups:
            title = group.title
            for row in group.rows:
                cells = [" "] * columns
                for n, span in enumerate(row.spans):
                    first = min(int(span.start * scale), columns - 1)
                    last = min(max(round(span.end * scale), first + 1), columns)
                    mark = failed if not span.ok else other if n % 2 else full
                    cells[first:last] = mark * (last - first)
                bar = "".join(cells).rstrip()
                lines.append(f"  {title:<{ways}}  {row.label:<{labels}} {bar}")
                title = ""
    return [*lines, "", f"  {failed} failed; {full} and {other} alternate where tasks share a row"]
