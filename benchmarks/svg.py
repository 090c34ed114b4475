"""Charts as SVG, written by hand: bars for a group of cases, lines for how something scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from benchmarks import report, stats
from benchmarks.results import CaseResult

FONT = "font-family='system-ui, -apple-system, Segoe UI, sans-serif'"
CLIP = 25  # a bar is cut off at so many times the shortest
COLOURS = {
    "uvolt": "#d1495b",
    "uvloop": "#30638e",
    "rloop": "#edae49",
    "asyncio": "#8d99ae",
    "aiofastnet": "#5b8e7d",
    "aiofastnet+uvloop": "#2f5d50",
    "aiohttp": "#8d99ae",
    "aiohttp+uvloop": "#30638e",
    "aiohttp+uvolt": "#e2818f",
    "C": "#222222",
}
SPARE = ("#6a4c93", "#1982c4", "#8ac926", "#ff924c", "#565264", "#b5838d", "#386641", "#0a9396")


def colour(peer: str, position: int = 0) -> str:
    return COLOURS.get(peer) or SPARE[position % len(SPARE)]


def _document(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' "
        f"height='{height}' role='img' {FONT} font-size='12'>"
        f"<title>{escape(title)}</title><rect width='{width}' height='{height}' fill='#ffffff'/>"
    )
    return "\n".join([head, *parts, "</svg>", ""])


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' {more}>{escape(text)}</text>"


def bars(title: str, cases: Sequence[CaseResult]) -> str:
    """A panel a case, a bar a peer: the median, with a mark at the minimum."""
    width, left, right, row_height = 860, 150, 190, 20
    scale_width = width - left - right
    parts = [_text(16, 26, title, "font-size='16' font-weight='600'")]
    y = 44.0
    for case in cases:
        measured = case.measured()
        if not measured:
            continue
        medians = [stats.median(result.values) for result in measured.values()]
        top = min(max(medians), CLIP * min(medians))
        y += 20
        parts.append(_text(16, y, f"{case.name}", "font-weight='600'"))
        about = f"{case.about}; one {case.unit}, less is better"
        parts.append(_text(left + 80, y, about, "fill='#555' font-size='11'"))
        y += 8
        fastest = case.fastest()
        for position, peer in enumerate(report.ordered(case)):
            result = case.peers[peer]
            summary = result.summary
            y += row_height
            parts.append(_text(left - 8, y, peer, "text-anchor='end'"))
            if summary is None:
                parts.append(_text(left, y, f"-  {result.error[:90]}", "fill='#888'"))
                continue
            shares = [min(value / top, 1.0) for value in (summary.median, summary.minimum)]
            length = max(1.0, scale_width * shares[0])
            mark = left + scale_width * shares[1]
            parts.append(
                f"<rect x='{left}' y='{y - 11:.1f}' width='{length:.1f}' height='14' rx='2' "
                f"fill='{colour(peer, position)}'/>"
                f"<path d='M{mark:.1f} {y - 13:.1f}v18' stroke='#000' stroke-opacity='.45'/>"
            )
            note = report.quantity(summary.median, case.metric)
            ratio = case.ratio(peer, fastest)
            if ratio is not None and peer not in (fastest, case.limit):
                note += f"  \u00d7 {ratio:.2f}"
            if summary.median > top:
                note = f"\u00bb {note}"  # the bar is cut off
            if peer == case.limit:
                note += "  (limit, in C)"
            parts.append(_text(left + length + 6, y, note, "fill='#333'"))
        y += 12
    parts.append(
        _text(16, y + 18, "Bar: median of the rounds. Mark: minimum.", "fill='#777' font-size='11'")
    )
    return _document(width, int(y + 32), title, parts)


def _log_ticks(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**power for power in range(first, last + 1)]


def lines(title: str, cases: Sequence[CaseResult]) -> str:
    """One line a peer, over how many there are; both axes logarithmic."""
    width, height, left, right, top, bottom = 860, 420, 90, 190, 56, 56
    points: dict[str, list[tuple[float, float]]] = {}
    for case in sorted(cases, key=lambda case: case.x):
        for peer, result in case.measured().items():
            points.setdefault(peer, []).append((case.x, stats.median(result.values)))
    parts = [_text(16, 26, title, "font-size='16' font-weight='600'")]
    values = [y for line in points.values() for _, y in line if y > 0]
    if not values:
        return _document(width, height, title, [*parts, _text(16, 60, "nothing was measured")])
    xs = sorted({x for line in points.values() for x, _ in line})
    y_ticks = _log_ticks(min(values), max(values))
    if len(y_ticks) == 1:
        y_ticks.append(y_ticks[0] * 10)

    def across(x: float) -> float:
        span = math.log(xs[-1] / xs[0]) or 1.0
        return left + (width - left - right) * math.log(x / xs[0]) / span

    def down(y: float) -> float:
        span = math.log(y_ticks[-1] / y_ticks[0])
        return height - bottom - (height - top - bottom) * math.log(y / y_ticks[0]) / span

    metric = cases[0].metric
    for tick in y_ticks:
        parts.append(
            f"<path d='M{left} {down(tick):.1f}H{width - right}' stroke='#e3e3e3'/>"
            + _text(left - 8, down(tick) + 4, report.quantity(tick, metric), "text-anchor='end'")
        )
    for x in xs:
        parts.append(_text(across(x), height - bottom + 20, f"{x:,.0f}", "text-anchor='middle'"))
    labels = []
    for position, (peer, line) in enumerate(points.items()):
        shown = [(across(x), down(y)) for x, y in line if y > 0]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in shown)
        dash = " stroke-dasharray='4 3'" if peer == cases[0].limit else ""
        parts.append(
            f"<polyline points='{path}' fill='none' stroke='{colour(peer, position)}' "
            f"stroke-width='2.5'{dash}/>"
        )
        parts += [
            f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{colour(peer, position)}'/>"
            for x, y in shown
        ]
        if shown:
            note = report.quantity(line[-1][1], metric)
            labels.append((shown[-1][1], f"{peer}  {note}", colour(peer, position)))
    lowest = -math.inf
    for y, label, fill in sorted(labels):
        lowest = max(y + 4, lowest + 15)
        more = f"fill='{fill}' font-weight='600'"
        parts.append(_text(width - right + 12, lowest, label, more))
    about = cases[0].about.rsplit(":", 1)[0]
    note = f"{about}; one {cases[0].unit}, less is better"
    parts.append(_text(left, height - 12, note, "fill='#555' font-size='11'"))
    return _document(width, height, title, parts)
