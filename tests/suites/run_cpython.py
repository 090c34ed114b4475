"""Run CPython's own test.test_asyncio on uvolt, with asyncio as the oracle.

    python tests/suites/run_cpython.py                        # everything, on uvolt
    python tests/suites/run_cpython.py test_events            # one file
    python tests/suites/run_cpython.py -v test_locks.LockTests.test_acquire
    python tests/suites/run_cpython.py --loop asyncio --record

Which tests count: those that on asyncio were handed a loop (not a TestLoop or a mock of their own).
Each that passes on asyncio must pass on uvolt, with a loop of ours, or be in expected_cpython.json
with a reason. Exit status: 0 if so; 1 for an unexpected failure or an entry whose test passes.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import fnmatch
import importlib
import json
import os
import pathlib
import platform
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cpython_worker import ELSEWHERE

HERE = pathlib.Path(__file__).resolve().parent
WORKER = HERE / "cpython_worker.py"
EXPECTED = HERE / "expected_cpython.json"
ORACLE = HERE / "oracle"
VERSION = "{}.{}".format(*sys.version_info[:2])

# Files that are not run, on asyncio neither.
LEFT_OUT = {
    "test_proactor_events": "the Windows proactor loop, over mocks",
    "test_windows_events": "Windows only",
    "test_windows_utils": "Windows only",
}

# These classes repeat another class of their file with another selector. A loop that takes no
# selector would run the same tests three times.
REPEATED_CLASSES = ("PollEventLoopTests", "SelectEventLoopTests")

FILE_SECONDS = 420.0
EXIT_SECONDS = 30.0


@dataclass
class Outcome:
    """What one test did."""

    outcome: str
    reason: str = ""
    detail: str = ""
    loops: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def touches(self) -> bool:
        return bool(self.loops)


@dataclass
class FileRun:
    """What one test file did, over as many processes as it took."""

    name: str
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    loops: collections.Counter[str] = field(default_factory=collections.Counter)
    seconds: float = 0.0


@dataclass(frozen=True)
class Setup:
    """How the files are run."""

    loop: str
    jobs: int
    limit: float  # seconds a test
    dev: bool  # python -X dev: asyncio's debug mode, checked memory
    worker: pathlib.Path = WORKER
    environ: Mapping[str, str] = field(default_factory=dict)


# --- one file in processes of its own ----------------------------------------------------------


class FileRunner:
    """Runs one test file; starts a new process behind a test that hangs or kills the old one."""

    def __init__(self, name: str, setup: Setup, only: Iterable[str] | None) -> None:
        self.run = FileRun(name)
        self.setup = setup
        self.only = None if only is None else sorted(only)
        self.limit = setup.limit
        self.current: str | None = None
        self.current_since = 0.0
        self.done = False
        self.lines_read = 0

    def execute(self) -> FileRun:
        begun = time.monotonic()
        while not self.done:
            if time.monotonic() - begun > FILE_SECONDS:
                self._fail(f"{self.run.name}.<file>", f"not finished after {FILE_SECONDS:.0f} s")
                break
            with tempfile.TemporaryDirectory(prefix="uvs", dir="/tmp") as scratch:
                self._one_process(pathlib.Path(scratch))
        self.run.seconds = time.monotonic() - begun
        return self.run

    def _command(self, scratch: pathlib.Path) -> list[str]:
        command = [
            sys.executable,
            *(["-X", "dev"] if self.setup.dev else []),
            str(self.setup.worker),
        ]
        command += [self.run.name, "--loop", self.setup.loop, "--out", str(scratch / "out")]
        if self.only is not None:
            (scratch / "only").write_text(json.dumps(self.only))
            command += ["--only", str(scratch / "only")]
        if self.run.outcomes:
            (scratch / "skip").write_text(json.dumps(list(self.run.outcomes)))
            command += ["--skip", str(scratch / "skip")]
        return command

    def _one_process(self, scratch: pathlib.Path) -> None:
        self.current, self.lines_read = None, 0
        self.current_since = time.monotonic()
        before = len(self.run.outcomes)
        work = scratch / "work"
        work.mkdir()
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHONASYNCIO")}
        # Tests put the names of Unix sockets here: it has to be short.
        env["TMPDIR"] = str(work)
        env.update(self.setup.environ)
        with open(scratch / "log", "wb") as log:
            process = subprocess.Popen(
                self._command(scratch),
                cwd=work,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                timed_out = self._watch(process, scratch / "out")
            finally:
                end_group(process)
        self._read(scratch / "out")
        log_text = (scratch / "log").read_text(errors="replace")
        if timed_out:
            if self.current is None:
                self._fail(f"{self.run.name}.<exit>", "the process does not end", log_text)
                self.done = True
            else:
                self._fail(self.current, f"no end after {timed_out:.0f} s", log_text)
        elif self.current is not None:
            self._fail(self.current, f"the process died ({exit_text(process)})", log_text)
        elif process.returncode != 0:
            self._fail(f"{self.run.name}.<exit>", f"the process {exit_text(process)}", log_text)
            self.done = True
        elif not self.done:
            self._fail(f"{self.run.name}.<exit>", "the process left in mid-run", log_text)
            self.done = len(self.run.outcomes) == before + 1

    def _watch(self, process: subprocess.Popen[bytes], out: pathlib.Path) -> float:
        """Wait for the process; the seconds after which it was ended, 0.0 if it was not."""
        delay = 0.02
        while True:
            try:
                process.wait(delay)
            except subprocess.TimeoutExpired:
                pass
            else:
                return 0.0
            self._read(out)
            limit = EXIT_SECONDS if self.done else self.limit
            waited = time.monotonic() - self.current_since
            if waited > limit:
                process.send_signal(signal.SIGABRT)  # faulthandler writes where it hangs
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                return waited
            delay = min(0.2, delay * 1.5)

    def _read(self, out: pathlib.Path) -> None:
        if not out.exists():
            return
        lines = out.read_text(encoding="utf-8").split("\n")
        complete = lines[:-1]
        for line in complete[self.lines_read :]:
            self._event(json.loads(line))
        self.lines_read = len(complete)

    def _event(self, event: dict[str, Any]) -> None:
        kind = event.pop("event")
        self.current_since = time.monotonic()
        if kind == "start":
            self.current = event["id"]
        elif kind == "end":
            name = event.pop("id")
            self.current = None
            self.run.outcomes[name] = Outcome(**event)
            self.run.loops.update(event["loops"])
        else:
            self.done = True
            left = left_behind(event["counters"])
            if left:
                self._fail(f"{self.run.name}.<counters>", f"left behind: {left}")

    def _fail(self, name: str, reason: str, detail: str = "") -> None:
        # It counts as touching a loop: nobody can say that it did not.
        self.run.outcomes[name] = Outcome("failed", reason, detail, {"?": 1}, self.limit)


def left_behind(counters: dict[str, int]) -> str:
    """What is still alive in the C core after the last test and a garbage collection."""
    counters = dict(counters)
    opened, closed = (counters.pop(f"uv_handles_{what}", 0) for what in ("opened", "closed"))
    left = {**counters, "uv_handles_open": opened - closed}
    return ", ".join(f"{name} {number}" for name, number in left.items() if number)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End what a test file left running; the group is the worker's own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def exit_text(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"left with exit status {code}"


# --- a set of files ----------------------------------------------------------------------------


def package_files() -> list[str]:
    """The test files that this interpreter has."""
    try:
        package = importlib.import_module("test.test_asyncio")
    except ImportError as error:
        sys.exit(f"{error}: {sys.executable} comes without its tests; use one that has them")
    folder = pathlib.Path(package.__path__[0])
    files = {path.stem for path in folder.glob("test_*.py")} | set(ELSEWHERE)
    return sorted(files - set(LEFT_OUT))


# Roughly the seconds each takes, so that the long ones start first.
LONG_FILES = {"test_ssl": 9, "test_events": 8, "test_sendfile": 7, "test_subprocess": 6,
              "test_tasks": 5, "test_sslproto": 4, "test_streams": 3}  # fmt: skip


def run_files(wanted: Mapping[str, Iterable[str] | None], setup: Setup) -> dict[str, FileRun]:
    names = sorted(wanted, key=lambda name: (-LONG_FILES.get(name, 0), name))
    runs: dict[str, FileRun] = {}
    lock = threading.Lock()

    def one(name: str) -> None:
        run = FileRunner(name, setup, wanted[name]).execute()
        with lock:
            runs[name] = run
            text = f"{name}: {len(run.outcomes)} tests in {run.seconds:.1f} s"
            print(f"  [{len(runs)}/{len(names)}] {text}", flush=True)

    with concurrent.futures.ThreadPoolExecutor(max_workers=setup.jobs) as pool:
        for future in [pool.submit(one, name) for name in names]:
            future.result()
    return {name: runs[name] for name in sorted(runs)}


def is_repeated(test: str) -> bool:
    return any(part in REPEATED_CLASSES for part in test.split("."))


# --- the oracle --------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """What an oracle's outcome may depend on."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "openssl": ssl.OPENSSL_VERSION.rsplit(" ", 3)[0],
    }


@dataclass
class Oracle:
    """What asyncio does: per file the tests that touch a loop, and how each of them ends."""

    outcomes: dict[str, dict[str, str]]
    no_loop: dict[str, int]

    @classmethod
    def of(cls, runs: Mapping[str, FileRun]) -> Oracle:
        outcomes, no_loop = {}, {}
        for name, run in runs.items():
            tests = {t: o for t, o in run.outcomes.items() if not is_repeated(t)}
            outcomes[name] = {t: o.outcome for t, o in tests.items() if o.touches}
            no_loop[name] = sum(1 for o in tests.values() if not o.touches)
        return cls(outcomes, no_loop)

    def save(self, path: pathlib.Path) -> None:
        files: dict[str, Any] = {}
        for name, outcomes in self.outcomes.items():
            classes: dict[str, dict[str, list[str]]] = {}
            for test, outcome in sorted(outcomes.items()):
                _, owner, method = (test.split(".", 2) + ["", ""])[:3]
                classes.setdefault(outcome, {}).setdefault(owner, []).append(method)
            files[name] = {
                "no_loop": self.no_loop[name],
                **{k: {c: " ".join(m) for c, m in v.items()} for k, v in classes.items()},
            }
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({**environment(), "files": files}, indent=1) + "\n")

    @classmethod
    def load(cls, path: pathlib.Path) -> Oracle | None:
        """The recorded one, if this interpreter is the one that it was recorded on."""
        if not path.exists():
            return None
        record = json.loads(path.read_text())
        if {key: record.get(key) for key in environment()} != environment():
            return None
        outcomes: dict[str, dict[str, str]] = {}
        no_loop = {}
        for name, file in record["files"].items():
            no_loop[name] = file.pop("no_loop")
            outcomes[name] = {
                f"{name}.{owner}.{method}": outcome
                for outcome, classes in file.items()
                for owner, methods in classes.items()
                for method in methods.split()
            }
        return cls(outcomes, no_loop)


def record_oracle(wanted: Mapping[str, Iterable[str] | None], setup: Setup) -> Oracle:
    setup = replace(setup, loop="asyncio")
    runs = run_files(wanted, setup)
    # Once more for what failed: the record must not lose a test to a busy machine.
    again = {
        name: [t for t, o in run.outcomes.items() if o.outcome == "failed"]
        for name, run in runs.items()
    }
    again = {name: tests for name, tests in again.items() if tests}
    if again:
        for name, run in run_files(again, replace(setup, jobs=1)).items():
            runs[name].outcomes.update(run.outcomes)
    return Oracle.of(runs)


# --- what is expected, and the comparison ------------------------------------------------------


def load_expected() -> dict[str, str]:
    """Test -> reason, for the running version."""
    if not EXPECTED.exists():
        return {}
    listed: dict[str, str] = {}
    for entry in json.loads(EXPECTED.read_text()):
        if VERSION in entry["versions"]:
            for test in entry["tests"]:
                if test in listed:
                    sys.exit(f"{EXPECTED.name}: {test} is listed twice for {VERSION}")
                listed[test] = entry["reason"]
    return listed


@dataclass
class Verdict:
    """The comparison of a run with the oracle."""

    passed: list[str] = field(default_factory=list)
    failed: dict[str, Outcome] = field(default_factory=dict)
    expected: dict[str, Outcome] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    asyncio_fails: list[str] = field(default_factory=list)
    stale: dict[str, str] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        return not self.failed and not self.stale


def judge(name: str, run: FileRun, oracle: Mapping[str, str], listed: Mapping[str, str],
          whole: bool) -> Verdict:  # fmt: skip
    verdict = Verdict()
    for test, result in run.outcomes.items():
        reference = oracle.get(test)
        if reference is None:
            # <exit>, <counters> or setUpModule: asyncio's run had no such thing.
            if result.outcome == "failed":
                verdict.failed[test] = result
        elif reference != "passed":
            group = verdict.skipped if reference == "skipped" else verdict.asyncio_fails
            group.append(test)
        elif result.outcome == "passed" and not result.touches:
            verdict.failed[test] = Outcome("failed", "passed without a loop of the target's class")
        elif result.outcome == "passed":
            verdict.passed.append(test)
            if test in listed:
                verdict.stale[test] = "it passes"
        elif test in listed:
            verdict.expected[test] = result
        else:
            verdict.failed[test] = result
    if whole:
        for test in oracle:
            if test not in run.outcomes:
                verdict.failed[test] = Outcome("failed", "did not run")
        for test in listed:
            if test.startswith(name + ".") and oracle.get(test) != "passed":
                verdict.stale[test] = "no such test passes on asyncio"
    return verdict


# --- reports -----------------------------------------------------------------------------------


def print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join(cells))
        if number == 0:
            print("-" * len("  ".join(cells)))


def print_failure(test: str, result: Outcome, verbose: bool) -> None:
    print(f"  {test}\n      {result.reason}")
    if verbose and result.detail:
        print("".join(f"      | {line}\n" for line in result.detail.splitlines()[-60:]))


def report(runs: Mapping[str, FileRun], verdicts: Mapping[str, Verdict], oracle: Oracle,
           options: argparse.Namespace) -> None:  # fmt: skip
    heads = ("file", "on a loop", "passed", "FAILED", "expected", "skipped", "no loop", "seconds")
    rows: list[tuple[str, ...]] = [heads]
    sums = [0] * 6
    for name, verdict in verdicts.items():
        run = runs.get(name)
        numbers = [
            len(oracle.outcomes.get(name, ())) if run is None or options.whole
            else len(run.outcomes),
            len(verdict.passed), len(verdict.failed), len(verdict.expected),
            len(verdict.skipped), oracle.no_loop.get(name, 0),
        ]  # fmt: skip
        sums = [a + b for a, b in zip(sums, numbers, strict=True)]
        seconds = f"{run.seconds:.1f}" if run else "-"
        rows.append((name, *(str(n) if n else "." for n in numbers), seconds))
    total = sum(run.seconds for run in runs.values())
    rows.append(("total", *(str(n) for n in sums), f"{total:.1f}"))
    print()
    print_table(rows)

    made: collections.Counter[str] = collections.Counter()
    for run in runs.values():
        made.update(run.loops)
    made.pop("?", None)
    by = ", ".join(f"{count} as {origin}" for origin, count in sorted(made.items()))
    print(f"\nloops made by {options.loop}: {sum(made.values())} ({by})")

    if options.slowest:
        every = [(o.seconds, test) for run in runs.values() for test, o in run.outcomes.items()]
        print("\nslowest:")
        for took, test in sorted(every, reverse=True)[: options.slowest]:
            print(f"  {took:7.2f} s  {test}")

    for title, pick in (("expected differences", "expected"), ("UNEXPECTED FAILURES", "failed")):
        found = {t: o for v in verdicts.values() for t, o in getattr(v, pick).items()}
        if found and (pick == "failed" or options.verbose):
            print(f"\n{title}:")
            for test, result in sorted(found.items()):
                print_failure(test, result, options.verbose)
    stale = {t: why for v in verdicts.values() for t, why in v.stale.items()}
    if stale:
        print(f"\nSTALE ENTRIES of {EXPECTED.name} for {VERSION}:")
        for test, why in sorted(stale.items()):
            print(f"  {test}: {why}")


def write_json(path: str, runs: Mapping[str, FileRun], verdicts: Mapping[str, Verdict]) -> None:
    document: dict[str, Any] = {**environment(), "tests": {}}
    for name, run in runs.items():
        failed = verdicts[name].failed
        for test, o in run.outcomes.items():
            document["tests"][test] = {
                "outcome": o.outcome,
                "unexpected": test in failed,
                "reason": o.reason,
                "detail": o.detail,
                "loops": o.loops,
                "seconds": o.seconds,
            }
    pathlib.Path(path).write_text(json.dumps(document, indent=1) + "\n")


# --- the command -------------------------------------------------------------------------------


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="a file, or file.Class.method; * matches any text")
    parser.add_argument("--loop", default="uvolt", choices=("uvolt", "asyncio", "uvloop"))
    parser.add_argument("--record", action="store_true", help="write oracle/<version>.json")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--test-timeout", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--dev", action="store_true", help="python -X dev; asyncio runs first")
    parser.add_argument("--json", metavar="FILE", help="write every outcome there")
    parser.add_argument("--slowest", type=int, default=0, metavar="N")
    parser.add_argument("-v", "--verbose", action="store_true", help="tracebacks; what is expected")
    options = parser.parse_args(arguments)
    options.whole = not options.names
    if options.record and (options.loop != "asyncio" or options.names or options.dev):
        parser.error("--record goes with --loop asyncio and nothing else")
    return options


def select(names: list[str], known: Iterable[str]) -> dict[str, list[str] | None]:
    """The files that the command line asks for, each with patterns of tests or None for all."""
    if not names:
        return dict.fromkeys(known)
    wanted: dict[str, list[str] | None] = {}
    for name in names:
        file, _, rest = name.partition(".")
        files = fnmatch.filter(known, file)
        if not files:
            sys.exit(f"no such file in this Python's test_asyncio: {file}")
        for match in files:
            patterns = wanted.setdefault(match, [])
            if not rest:
                wanted[match] = None
            elif patterns is not None:
                patterns += [f"{match}.{rest}", f"{match}.{rest}.*"]
    return wanted


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    begun = time.monotonic()
    files = package_files()
    chosen = select(options.names, files)
    print(f"CPython {platform.python_version()} test.test_asyncio on {options.loop}", flush=True)

    path = ORACLE / f"{VERSION}.json"
    setup = Setup(options.loop, options.jobs, options.test_timeout, options.dev)
    oracle = None if options.record or options.dev else Oracle.load(path)
    if oracle is None:
        if not options.record:
            print("no oracle on record for this set-up; asyncio first:", flush=True)
        oracle = record_oracle(dict.fromkeys(chosen), setup)
        if options.record:
            oracle.save(path)
            print(f"recorded {path}")
            return 0

    wanted: dict[str, list[str]] = {}
    for name, patterns in chosen.items():
        tests = list(oracle.outcomes.get(name, ()))
        if patterns is not None:
            tests = [t for t in tests if any(fnmatch.fnmatchcase(t, p) for p in patterns)]
        if tests:
            wanted[name] = tests
    if not wanted:
        sys.exit("none of these touches a loop")

    runs = run_files(wanted, setup)
    listed = load_expected() if options.loop == "uvolt" else {}
    verdicts = {
        name: judge(name, run, oracle.outcomes[name], listed, chosen[name] is None)
        for name, run in runs.items()
    }
    if options.whole:
        for test in listed:
            if test.split(".")[0] not in runs:
                verdicts[next(iter(runs))].stale[test] = "no such test passes on asyncio"
    report(runs, verdicts, oracle, options)
    if options.json:
        write_json(options.json, runs, verdicts)

    passed = sum(len(v.passed) for v in verdicts.values())
    failed = sum(len(v.failed) for v in verdicts.values())
    expected = sum(len(v.expected) for v in verdicts.values())
    skipped = sum(len(v.skipped) for v in verdicts.values())
    print(f"\n{time.monotonic() - begun:.0f} s; of the tests that touch a loop, on {options.loop}:")
    print(f"{passed} passed, {failed} failed, {skipped} skipped, {expected} expected differences")
    return 0 if all(v.good for v in verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
