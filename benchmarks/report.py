"""What a person reads: the tables of the terminal and of the documentation."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks import stats
from benchmarks.results import CaseResult, PeerResult, Run

HEADINGS = ("", "min", "median", "spread", "rate/s", "x best", "x C", "instr.", "syscalls")


def quantity(value: float, metric: str) -> str:
    """Nanoseconds or bytes, in a unit a person reads, three digits."""
    if metric == "bytes":
        return f"{value:,.0f} B"
    for unit, factor in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if value >= factor:
            return f"{_three_digits(value / factor)} {unit}"
    return f"{_three_digits(value)} ns"


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def ordered(case: CaseResult) -> list[str]:
    """The limit first, then the peers from the cheapest, then those that could not."""
    measured = case.measured()
    able = sorted(measured, key=lambda name: stats.median(measured[name].values))
    first = [name for name in able if name == case.limit]
    rest = [name for name in able if name != case.limit]
    counted = [n for n, r in case.peers.items() if n not in measured and _counted(r)]
    return first + rest + counted + [n for n in case.peers if n not in {*able, *counted}]


def _counted(result: PeerResult) -> bool:
    return result.instructions is not None or result.syscalls is not None


def row(case: CaseResult, peer: str) -> list[str]:
    """The cells of one peer; a dash and the error if it could not do the case."""
    result = case.peers[peer]
    summary = result.summary
    if summary is None and not _counted(result):
        return [peer, "-", result.error or "not measured"]
    counts = [
        count(result.instructions),
        "" if result.syscalls is None else f"{result.syscalls:.2f}",
    ]
    if summary is None:
        return [peer, "", "", "", "", "", "", *counts]
    return [
        peer,
        quantity(summary.minimum, case.metric),
        quantity(summary.median, case.metric),
        f"{summary.spread:.0%}" + ("!" if summary.wide else ""),
        count(result.rate),
        "" if peer == case.limit else _ratio(case.ratio(peer, case.fastest())),
        _ratio(case.ratio(peer, case.limit)) if case.limit else "",
        *counts,
    ]


def warnings(case: CaseResult) -> list[str]:
    """What a reader must know before believing the table of a case."""
    wide = [name for name, r in case.measured().items() if r.summary and r.summary.wide]
    if not wide:
        return []
    return [f"the spread of {', '.join(wide)} is too wide to tell: measure again, or more rounds"]


def case_table(case: CaseResult, old: CaseResult | None = None) -> str:
    """The table of one case for the terminal."""
    rows = [row(case, peer) for peer in ordered(case)]
    full = [list(HEADINGS), *(r for r in rows if len(r) == len(HEADINGS))]
    widths = [max(len(r[i]) for r in full) for i in range(len(HEADINGS))]
    widths[0] = max(len(r[0]) for r in [*full, *rows])
    lines = [f"{case.name}: {case.about} (one {case.unit})"]
    lines.append("  " + _line(full[0], widths))
    for cells in rows:
        if len(cells) == len(HEADINGS):
            note = _moved(case, old, cells[0])
            lines.append(("  " + _line(cells, widths) + note).rstrip())
        else:
            lines.append(f"  {cells[0]:<{widths[0]}}  -  {cells[2]}")
    lines += [f"  ! {text}" for text in warnings(case)]
    return "\n".join(lines)


def _line(cells: list[str], widths: list[int]) -> str:
    first, *rest = cells
    padded = [f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True)]
    return "  ".join([f"{first:<{widths[0]}}", *padded]).rstrip()


def _moved(case: CaseResult, old: CaseResult | None, peer: str) -> str:
    if old is None or peer not in old.peers:
        return ""
    now, then = case.peers[peer], old.peers[peer]
    notes = []
    if now.summary and then.summary:
        change = stats.moved(now.summary, then.summary)
        if change is not None:
            notes.append(f"{'slower' if change > 0 else 'faster'} {change:+.0%}")
    if now.instructions and then.instructions:
        change = now.instructions / then.instructions - 1
        if abs(change) >= 0.01:
            notes.append(f"instructions {change:+.1%}")
    if now.syscalls is not None and then.syscalls is not None:
        if abs(now.syscalls - then.syscalls) >= 0.25:
            notes.append(f"system calls {then.syscalls:.2f} -> {now.syscalls:.2f}")
    return f"   <- {', '.join(notes)}" if notes else ""


def comparison(run: Run, old: Run) -> list[str]:
    """The cases and peers that moved beyond the noise since an earlier run, a line each."""
    lines = []
    for case in run.cases:
        before = old.case(case.name)
        for peer in case.peers:
            note = _moved(case, before, peer)
            if note:
                lines.append(f"{case.name} {peer}:{note.replace('   <-', '')}")
    return lines


def terminal(run: Run, old: Run | None = None) -> str:
    parts = [case_table(case, old.case(case.name) if old else None) for case in run.cases]
    if old is not None:
        moved = comparison(run, old)
        title = f"moved beyond the noise since {old.when}:"
        parts.append("\n".join([title, *(f"  {m}" for m in moved)] if moved else [title + " none"]))
    return "\n\n".join(parts)


def markdown_table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(headings)
    lines = ["| " + " | ".join(heads) + " |"]
    lines.append("|" + "|".join([" --- ", *(" ---: " for _ in heads[1:])]) + "|")
    for cells in rows:
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def case_markdown(case: CaseResult) -> str:
    headings = ("peer", "minimum", "median", "spread", "per second", "x best", "x C")
    counts = ("instructions", "system calls")
    with_counts = any(_counted(result) for result in case.peers.values())
    rows = []
    errors = []
    for peer in ordered(case):
        cells = row(case, peer)
        if len(cells) != len(HEADINGS):
            errors.append(f"{peer}: {cells[2]}")
            cells = [peer, *("-" for _ in HEADINGS[1:])]
        rows.append(cells if with_counts else cells[:-2])
    lines = [markdown_table(headings + counts if with_counts else headings, rows)]
    lines += [f"\n{text}" for text in errors + warnings(case)]
    return "\n".join(lines)


def ratio_markdown(cases: Iterable[CaseResult], peers: list[str]) -> str:
    """One row a case, one column a peer: its cost in multiples of uvolt's."""
    rows = []
    for case in cases:
        base = case.peers.get("uvolt")
        if base is None or not base.values:
            continue
        cells = [f"`{case.name}`", quantity(stats.median(base.values), case.metric)]
        for peer in peers:
            ratio = case.ratio(peer, "uvolt")
            cells.append("-" if ratio is None else f"{ratio:.2f}")
        rows.append(cells)
    return markdown_table(["case", "uvolt", *peers], rows)
