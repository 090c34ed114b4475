"""The chart as a picture: SVG, written by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from .chart import Group, Section, milliseconds
from .jobs import WAYS
from .trace import Span

WIDTH = 960
LEFT = 270  # where time 0 is
RIGHT = WIDTH - 90
ROW = 20  # height of a row
BAR = 14  # height of a bar in it
HEAD = 118  # height of titles and legend
AXIS = 24  # height of an axis with its numbers
GAP = 44  # between jobs, for the next title
COLORS = ("#d98a2b", "#2f6fb5")  # of the ways
FAILED = "#c0392b"
STYLE = """
  text { font-family: system-ui, "DejaVu Sans", Helvetica, Arial, sans-serif }
  text { font-size: 13px; fill: #222 }
  .title { font-size: 20px; font-weight: 600 }
  .job { font-size: 15px; font-weight: 600 }
  .quiet { fill: #666; font-size: 12px }
  .end { text-anchor: end }
  .middle { text-anchor: middle }
  .grid { stroke: #e3e3e3 }
  .axis { stroke: #999 }
"""


def picture(chart: Sequence[Section], title: str, notes: Sequence[str]) -> str:
    """The whole document. notes: lines of small text under the title, at most two."""
    rows = [sum(len(group.rows) for group in section.groups) for section in chart]
    height = HEAD + sum(GAP + n * ROW + 8 * 2 + AXIS for n in rows) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
        f' viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{escape(STYLE, quote=False)}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fdfdfb"/>',
        _text(24, 36, title, "title"),
    ]
    parts += [_text(24, 58 + 18 * n, note, "quiet") for n, note in enumerate(notes)]
    parts += _legend(HEAD - 20)
    top = HEAD
    for section, count in zip(chart, rows, strict=True):
        bottom = top + GAP + count * ROW + 8 * 2
        parts.append(_text(24, top + 28, section.title, "job"))
        parts += _axis(section.seconds, top + GAP - 4, bottom)
        y = top + GAP
        for group in section.groups:
            parts += _group(group, y, (RIGHT - LEFT) / section.seconds)
            y += len(group.rows) * ROW + 8
        top = bottom + AXIS
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}">{escape(text)}</text>'


def _box(x: float, y: float, width: float, color: str, opacity: float = 1, tip: str = "") -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{BAR}" rx="2"'
        f' fill="{color}" fill-opacity="{opacity}"><title>{escape(tip)}</title></rect>'
    )


def _legend(y: float) -> Iterator[str]:
    x = 24.0
    for name, color in [*zip(WAYS, COLORS, strict=True), ("failed", FAILED)]:
        yield _box(x, y - 11, 26, color, tip=name)
        yield _text(x + 34, y, name)
        x += 34 + 8 * len(name) + 28


def _axis(seconds: float, top: float, bottom: float) -> Iterator[str]:
    step = _step(seconds * 1000)
    count = int(seconds * 1000 / step)
    for n in range(count + 1):
        x = LEFT + n * step * (RIGHT - LEFT) / (seconds * 1000)
        style = "axis" if n == 0 else "grid"
        yield f'<path d="M{x:.1f} {top}V{bottom}" class="{style}"/>'
        yield _text(x, bottom + 15, f"{n * step:g}" + (" ms" if n == count else ""), "quiet middle")


def _step(most: float) -> float:
    """1, 2 or 5 times a power of ten, so that there are 4 to 10 steps up to most."""
    power = 0.001
    while True:
        for step in (power, 2 * power, 5 * power):
            if most / step <= 8:
                return step
        power *= 10


def _group(group: Group, top: float, scale: float) -> Iterator[str]:
    color = COLORS[group.kind]
    yield _text(24, top + 14, group.title)
    for n, row in enumerate(group.rows):
        y = top + n * ROW
        yield _text(LEFT - 10, y + 14, row.label, "quiet end")
        for index, span in enumerate(row.spans):
            width = (span.end - span.start) * scale
            opacity = 0.65 if index % 2 else 1
            yield _box(
                LEFT + span.start * scale,
                y + 3,
                width,
                color if span.ok else FAILED,
                opacity,
                _tip(span),
            )
        if len(row.spans) == 1:
            [span] = row.spans
            text = milliseconds(span.end - span.start) + ("" if span.ok else ", failed")
            yield _text(LEFT + span.end * scale + 6, y + 14, text, "quiet")


def _tip(span: Span) -> str:
    return f"{span.name}: {milliseconds(span.start)} to {milliseconds(span.end)}"
