"""Renders docs/performance.md and its charts from the JSON of a run.

python -m benchmarks.docs [--json docs/performance.json] [--out docs]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report, svg
from benchmarks.results import CaseResult, Run, load

ROOT = Path(__file__).resolve().parent
DOCS = ROOT.parent / "docs"
TITLES = {
    "micro": "One operation of the loop",
    "echo": "Echo servers under load",
    "http": "HTTP servers under load",
    "scale": "How it scales",
    "start": "Start",
    "client": "HTTP clients",
}


def groups(run: Run) -> dict[str, list[CaseResult]]:
    """The cases by group: the part of the name before the slash."""
    found: dict[str, list[CaseResult]] = {}
    for case in run.cases:
        found.setdefault(case.name.split("/")[0], []).append(case)
    return found


def charts(run: Run) -> dict[str, str]:
    """The charts of a run by file name: bars for each group, lines for each series."""
    found: dict[str, str] = {}
    series: dict[str, list[CaseResult]] = {}
    for group, cases in groups(run).items():
        single = [case for case in cases if not case.series]
        if any(case.measured() for case in single):
            found[f"{group}.svg"] = svg.bars(TITLES.get(group, group), single)
        for case in cases:
            if case.series:
                series.setdefault(case.series, []).append(case)
    for name, cases in series.items():
        if any(case.measured() for case in cases):
            found[f"{name.replace('/', '.')}.svg"] = svg.lines(name, cases)
    return found


def _about(run: Run) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    machine = run.machine
    settings = ", ".join(f"{name} {value}" for name, value in run.settings.items())
    return (
        f"Measured {run.when} on {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['system']}.\n\nVersions: {versions}.\n\nSettings: {settings}.\n"
    )


INTRODUCTION = """# Performance

This page is made from `docs/performance.json` by `python -m benchmarks.docs`; the JSON is made by
`make bench` or `make bench-full`. Do not edit it by hand.

The figure of a case is the **CPU time of the process under test for one operation**, user and
system together, unless the case says memory or time. The process under test is pinned to one
core, the load, written in C, to another. Peers take turns in many short rounds; the minimum and
the median over the rounds stand side by side, the spread is the middle half of the rounds as a
share of the median. *x best* is the median, over the rounds, of the ratio to the cheapest peer;
*x C* is the same to a server in plain C on libuv. Instructions are user-space instructions
counted by callgrind, system calls are counted by strace, each as the difference of two run
lengths: they do not depend on what else the machine does.
"""


def render(run: Run, chart_folder: str, checks: str) -> str:
    """The text of performance.md."""
    drawn = charts(run)
    parts = [INTRODUCTION, _about(run)]
    others = [
        peer
        for peer in ("uvloop", "rloop", "asyncio", "aiofastnet", "aiofastnet+uvloop", "C")
        if any(peer in case.peers for case in run.cases)
    ]
    table = report.ratio_markdown(run.cases, others)
    if len(table.splitlines()) > 2:
        parts.append("## In multiples of uvolt's cost\n\nAbove 1: it costs more than uvolt.\n")
        parts.append(table + "\n")
    for group, cases in groups(run).items():
        parts.append(f"## {TITLES.get(group, group)}\n")
        for name in drawn:
            if name == f"{group}.svg" or name.startswith(f"{group}."):
                parts.append(f"![{name}]({chart_folder}/{name})\n")
        for case in cases:
            parts.append(f"### `{case.name}`\n\n{case.about}. An operation is one {case.unit}.\n")
            parts.append(report.case_markdown(case) + "\n")
    parts.append(checks)
    return "\n".join(parts).rstrip() + "\n"


def checks_text() -> str:
    return (ROOT / "checks.md").read_text()


def write(run: Run, out: Path) -> list[Path]:
    """Writes performance.md and the charts beside it; the files written."""
    folder = out / "charts"
    folder.mkdir(parents=True, exist_ok=True)
    written = write_charts(run, folder)
    page = out / "performance.md"
    page.write_text(render(run, "charts", checks_text()))
    return [page, *written]


def write_charts(run: Run, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, chart in charts(run).items():
        (folder / name).write_text(chart)
        written.append(folder / name)
    return written


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=DOCS / "performance.json")
    parser.add_argument("--out", type=Path, default=DOCS)
    args = parser.parse_args(argv)
    for path in write(load(args.json), args.out):
        print(path)


if __name__ == "__main__":
    main()
