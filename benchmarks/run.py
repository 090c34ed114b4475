"""Runs benchmarks: peers interleaved in short rounds, then a table, JSON and charts.

python benchmarks/run.py --quick                 what matters, about three minutes
python benchmarks/run.py --full [--minutes 60]   everything, with instructions and system calls
python benchmarks/run.py --full --resume FILE    goes on with a run that was interrupted
python benchmarks/run.py --full --resume FILE --again wide,client    and measures some again
python benchmarks/run.py CASE... [--peers a,b]   names, groups, patterns ('echo/*_1k_*')
python benchmarks/run.py --list
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import (  # noqa: E402
    budget,
    clients,
    counting,
    docs,
    drivers,
    instructions,
    peers,
    process,
    registry,
    report,
    results,
    stats,
    system,
)
from benchmarks import compile as compile_c  # noqa: E402
from benchmarks.registry import Case  # noqa: E402

ROOT = Path(__file__).resolve().parent
RESULTS = ROOT / "results"
LEAST_ROUNDS = 3  # of a case, however little time there is
BULK = 20 * 2**20  # bytes under way at a time that make a round long
CLOCK_SHARE = 0.6  # of the time of a run with counts


class Progress:
    """A bar on standard error if that is a terminal, a line a case otherwise."""

    def __init__(self, total: float, stream=sys.stderr) -> None:
        self.total = max(total, 1e-9)
        self.done = 0.0
        self.stream = stream
        self.live = stream.isatty()
        self.begin = time.monotonic()
        self.label = ""

    def show(self, label: str, step: float = 0.0) -> None:
        self.done += step
        share = min(self.done / self.total, 1.0)
        if self.live:
            filled = round(24 * share)
            bar = "#" * filled + "." * (24 - filled)
            spent = time.monotonic() - self.begin
            left = f"{spent / share - spent:4.0f} s left" if share > 0.02 else ""
            self.stream.write(f"\r\x1b[K[{bar}] {share:4.0%}  {label:<34.34} {left}")
        elif label != self.label:
            self.stream.write(f"[{share:4.0%}] {label}\n")
        self.label = label
        self.stream.flush()

    def clear(self) -> None:
        if self.live:
            self.stream.write("\r\x1b[K")
            self.stream.flush()


def chosen_peers(case: Case, wanted: Sequence[str] | None) -> list[str]:
    """The peers of a case, the limit among them, that were asked for."""
    able = [*case.peers, *([case.limit] if case.limit else [])]
    return [peer for peer in able if wanted is None or peer in wanted]


def reason(error: Exception) -> str:
    """Why a peer has no figure. Whatever it was, an hour of other figures is not lost for it."""
    known = isinstance(error, (process.ChildError, compile_c.CompileError, OSError))
    return str(error) if known else f"{type(error).__name__}: {error}"


def run_case(
    case: Case,
    names: Sequence[str],
    *,
    rounds: int,
    seconds: float,
    tick=lambda peer, step: None,
    python: str = sys.executable,
    deadline: float = math.inf,
) -> results.CaseResult:
    """All rounds of all peers of one case. A peer that fails keeps its error and falls out.

    At `deadline`, by time.monotonic(), it is enough, if there were LEAST_ROUNDS.
    """
    result = results.CaseResult(
        case.name, case.unit, case.about, case.metric, case.limit, case.series, case.x
    )
    result.peers = {peer: results.PeerResult() for peer in names}
    extras: dict[str, list[dict[str, float]]] = {peer: [] for peer in names}
    running: dict[str, drivers.Driver] = {}
    try:
        for peer in names:
            tick(peer, 0.0)
            driver = running[peer] = drivers.driver(case, peer, python)
            try:
                driver.start()
                driver.round(seconds)  # warm-up, and calibration of the operations in a round
            except Exception as error:
                result.peers[peer].error = reason(error)
                running.pop(peer).stop()
        for number in range(rounds):
            if number >= LEAST_ROUNDS and time.monotonic() >= deadline:
                break
            for peer in stats.order(list(running), number):
                tick(peer, 0.0)
                try:
                    sample = running[peer].round(seconds)
                except Exception as error:
                    result.peers[peer] = results.PeerResult(error=reason(error))
                    running.pop(peer).stop()
                    continue
                kept = result.peers[peer]
                kept.values.append(sample.value)
                if sample.rate is not None:
                    kept.rates.append(sample.rate)
                extras[peer].append(sample.extra)
            tick("", 1.0)
    finally:
        for driver in running.values():
            driver.stop()
    for peer in running:
        for key in extras[peer][0] if extras[peer] else ():
            result.peers[peer].extra[key] = stats.median([e[key] for e in extras[peer]])
    return result


def list_cases() -> str:
    lines = []
    for case in registry.CASES.values():
        mark = "*" if case.quick else " "
        lines.append(f"{mark} {case.name:32} {case.about} (one {case.unit})")
        lines.append(f"  {'':32} {', '.join(chosen_peers(case, None))}")
    lines.append("* part of --quick")
    return "\n".join(lines)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--quick", action="store_true", help="the default if no case is named")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--peers", help="comma-separated; C is the limit, a program in C")
    parser.add_argument("--rounds", type=int, help="rounds of each peer (7; with --full 11)")
    parser.add_argument(
        "--minutes", type=float, help="how long it may take: fewer rounds, fewer counts (full: 60)"
    )
    parser.add_argument(
        "--resume", type=Path, metavar="FILE", help="the JSON of a run to go on with"
    )
    parser.add_argument(
        "--again",
        metavar="CASES",
        help="comma-separated names, groups, patterns: measure them again though FILE has them; "
        "'wide': those with a spread too wide to tell",
    )
    parser.add_argument("--seconds", type=float, help="length of a round (servers 0.3, others 0.1)")
    parser.add_argument("--counts", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--python", default=sys.executable, help="the interpreter under test")
    parser.add_argument("--against", type=Path, metavar="FILE", help="an earlier --json to compare")
    parser.add_argument("--json", type=Path, metavar="FILE", help="default benchmarks/results/...")
    parser.add_argument("--docs", action="store_true", help="also write docs/performance.*")
    parser.add_argument("--list", action="store_true", help="the cases, what they stand for")
    args = parser.parse_args(argv)
    if args.again and not args.resume:
        parser.error("--again is for --resume FILE")
    if args.rounds is not None and args.rounds < 1:
        parser.error("--rounds must be at least 1")
    if args.seconds is not None and args.seconds <= 0:
        parser.error("--seconds must be above 0")
    if args.minutes is None and args.full:
        args.minutes = 60.0
    if args.minutes is not None and args.minutes <= 0:
        parser.error("--minutes must be above 0")
    return args


def selection(args: argparse.Namespace) -> list[Case]:
    if args.full:
        return list(registry.CASES.values())
    if args.cases:
        return registry.select(args.cases)
    return [case for case in registry.CASES.values() if case.quick]


def round_seconds(case: Case, args: argparse.Namespace) -> float:
    if args.seconds is not None:
        return float(args.seconds)
    if case.connections * case.size > BULK:
        return 1.0  # an answer takes a tenth of a second; and all of that memory is new at first
    return 0.3 if case.kind in ("echo", "http") else 0.1


def settings_of(args: argparse.Namespace, rounds: int) -> dict[str, Any]:
    found = {
        "rounds": f"{LEAST_ROUNDS} to {rounds}" if args.minutes else rounds,
        "seconds": args.seconds or "0.3 (servers; 1 with much data under way), 0.1 (others)",
        "core of the process under test": process.server_cpu(),
        "core of the load": process.client_cpu(),
    }
    return found | ({"minutes": args.minutes} if args.minutes else {})


def forget(run: results.Run, again: Sequence[str]) -> None:
    """Take the cases out of a run that are to be measured again."""
    chosen = {case.name for case in registry.select([p for p in again if p != "wide"])}
    if "wide" in again:
        chosen |= {case.name for case in run.cases if report.warnings(case)}
    run.cases = [case for case in run.cases if case.name not in chosen]


def begin(args: argparse.Namespace, rounds: int) -> tuple[results.Run, Path]:
    """The run to fill, new or an interrupted one, and the file it is kept in."""
    if args.resume:
        run = results.load(args.resume)
        forget(run, args.again.split(",") if args.again else ())
        return run, args.json or args.resume
    distributions = {peer.distribution for peer in peers.LOOPS.values()}
    distributions |= {*clients.DISTRIBUTIONS, "uvicorn"}
    run = results.new_run(settings_of(args, rounds), distributions)
    if args.python != sys.executable:
        run.versions["python under test"] = args.python
    name = f"{run.when.replace(':', '').replace('+0000', '')}.json"
    return run, args.json or RESULTS / name


class Session:
    """One call of this program: the cases it measures into a run, and the file it keeps them in."""

    def __init__(
        self, args: argparse.Namespace, cases: Sequence[Case], old: results.Run | None
    ) -> None:
        self.args = args
        self.old = old
        self.wanted = args.peers.split(",") if args.peers else None
        self.rounds = args.rounds or (11 if args.full else 7)
        self.counts = args.full if args.counts is None else args.counts
        self.run, self.path = begin(args, self.rounds)
        known = {case.name for case in self.run.cases}
        missing = [c for c in cases if c.name not in known and chosen_peers(c, self.wanted)]
        # What matters most comes first: an interrupted run has it.
        self.cases = sorted(missing, key=lambda case: not case.quick)
        self.progress = Progress(len(self.cases) * self.rounds)

    def save(self) -> None:
        names = list(registry.CASES)
        self.run.cases.sort(key=lambda case: names.index(case.name))
        results.save(self.run, self.path)

    def measure(self) -> None:
        """The clock: every case, within its share of the time."""
        seconds = None if self.args.minutes is None else self.args.minutes * 60
        if seconds is not None and self.counts:
            seconds *= CLOCK_SHARE
        weights = {case.name: weight(case, self.wanted) for case in self.cases}
        limit = budget.Budget(seconds, weights.values())
        for number, case in enumerate(self.cases):

            def tick(peer: str, step: float, name: str = case.name) -> None:
                self.progress.show(f"{name} {peer}" if self.progress.live else name, step)

            tick("", 0.0)
            result = run_case(
                case,
                chosen_peers(case, self.wanted),
                rounds=self.rounds,
                seconds=round_seconds(case, self.args),
                tick=tick,
                python=self.args.python,
                deadline=limit.deadline(weights[case.name]),
            )
            self.progress.done = (number + 1) * self.rounds
            self.run.cases.append(result)
            self.progress.clear()
            old = self.old.case(case.name) if self.old else None
            print(report.case_table(result, old), flush=True)
            print(flush=True)
            self.save()

    def count(self, begun: float) -> None:
        """Instructions and system calls, until the time is over."""
        todo = counting.jobs(self.run, self.wanted)
        seconds = None
        if self.args.minutes is not None:
            seconds = begun + self.args.minutes * 60 - time.monotonic()
        self.progress = Progress(len(todo))

        def done(job: counting.Job, cost: instructions.Cost) -> None:
            name = f"{job.case.name} {job.peer}"
            self.progress.clear()
            print(f"{name:44}{instructions.describe(cost)}", flush=True)
            self.save()
            if self.progress.live:
                self.progress.show("counting", 1.0)

        counting.count(todo, budget.Budget(seconds, [1.0]), python=self.args.python, done=done)
        left = len(counting.jobs(self.run, self.wanted))
        if left:
            print(f"not counted: {left}; --resume {self.path} goes on with them", flush=True)


def weight(case: Case, wanted: Sequence[str] | None) -> float:
    """How long a case takes beside others: its peers, and what a round of it costs."""
    slow = 2.0 if case.kind == "memory" or case.connections >= 500 or case.size >= 100_000 else 1.0
    return len(chosen_peers(case, wanted)) * slow


def finish(session: Session) -> int:
    """The charts, the comparison and the page of a run that has ended."""
    run, old = session.run, session.old
    if old is not None:
        moved = report.comparison(run, old)
        print(f"moved beyond the noise since {old.when}:" + ("" if moved else " nothing"))
        print("".join(f"  {line}\n" for line in moved))
    if not run.cases:
        print("run.py: none of the cases has such a peer", file=sys.stderr)
        return 2
    charts = docs.write_charts(run, session.path.with_suffix(""))
    print(f"results: {session.path}")
    print("charts:  " + ", ".join(str(chart) for chart in charts))
    if session.args.docs:
        results.save(run, docs.DOCS / "performance.json")
        for written in docs.write(run, docs.DOCS):
            print(f"written: {written}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    begun = time.monotonic()
    args = parse_args(argv)
    if args.list:
        print(list_cases())
        return 0
    try:
        cases = selection(args)
        old = results.load(args.against) if args.against else None
        session = Session(args, cases, old)
    except (KeyError, ValueError, OSError) as error:
        print(f"run.py: {error.args[0] if error.args else error}", file=sys.stderr)
        return 2
    drivers.on_terminate()
    if args.quick or args.full:
        note = system.install(counts=session.counts)
        if note:
            print(f"run.py: {note}", file=sys.stderr)
    try:
        session.measure()
        if session.counts:
            session.count(begun)
    except KeyboardInterrupt:
        session.progress.clear()
        print("interrupted; what was measured is kept", file=sys.stderr)
        if session.run.cases:
            print(f"go on with: --resume {session.path}", file=sys.stderr)
        return 130
    session.progress.clear()
    return finish(session)


if __name__ == "__main__":
    sys.exit(main())
