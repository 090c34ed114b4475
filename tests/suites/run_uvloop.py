"""Run uvloop's own test suite on uvolt.

    python tests/suites/run_uvloop.py                     # everything, on uvolt
    python tests/suites/run_uvloop.py test_tcp            # one file
    python tests/suites/run_uvloop.py -v 'test_tcp.*.test_create_server*'
    python tests/suites/run_uvloop.py --loop asyncio      # or uvloop, if it is installed
    python tests/suites/run_uvloop.py --record            # what these two do: oracle/uvloop.json

The suite is taken from uvloop's source distribution, which pip downloads once into a cache
directory; its module `uvloop` is replaced by a shim that gives uvolt's loop (shim/uvloop). Each
test must pass on uvolt, skip itself, or be in expected_uvloop.json with a reason; one that passes
on asyncio may not be there. What fails is run once more, alone: the suite depends on timing. Exit
status: 0 if all is so; 1 for an unexpected failure or an entry whose test passes.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import pathlib
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sdist
from run_cpython import HERE, VERSION, Outcome, Setup, print_failure, print_table, run_files

UVLOOP = "0.23.0"
EXPECTED = HERE / "expected_uvloop.json"
ORACLE = HERE / "oracle" / "uvloop.json"

# Files that are not run.
LEFT_OUT = {
    "test_cython": "its coroutine is one that uvloop has in Cython for this test",
    "test_fs_event": "uvloop.loop.FileSystemEvent and loop._monitor_fs(), which asyncio has not",
    "test_libuv_api": "uvloop.loop.libuv_get_loop_t_ptr(), uvloop's own interface for C programs",
    "test_sourcecode": "runs flake8 and mypy over uvloop's source",
}


def load_expected() -> dict[str, str]:
    """Test -> reason, for the running version."""
    listed: dict[str, str] = {}
    for entry in json.loads(EXPECTED.read_text()):
        if VERSION in entry["versions"]:
            for test in entry["tests"]:
                if test in listed:
                    sys.exit(f"{EXPECTED.name}: {test} is listed twice for {VERSION}")
                listed[test] = entry["reason"]
    return listed


# --- what asyncio and uvloop do ------------------------------------------------------------------

# Of a test: how it ends on asyncio, and on uvloop.
Oracle = dict[str, tuple[str, str]]


def load_oracle() -> Oracle:
    """The record, if it was made on this version of Python; else nothing."""
    record = json.loads(ORACLE.read_text()) if ORACLE.exists() else {}
    if record.get("uvloop") != UVLOOP or not record["python"].startswith(f"{VERSION}."):
        return {}
    oracle: Oracle = {}
    for ends, classes in record["asyncio, uvloop"].items():
        asyncio_end, uvloop_end = ends.split(", ")
        for owner, methods in classes.items():
            for method in methods.split():
                oracle[f"{owner}.{method}"] = asyncio_end, uvloop_end
    return oracle


def record_oracle(files: list[str], source: pathlib.Path, options: argparse.Namespace) -> None:
    both = [
        run(dict.fromkeys(files), setup_for(loop, source, options))
        for loop in ("asyncio", "uvloop")
    ]
    if both[0].keys() != both[1].keys():
        sys.exit(f"not the same tests: {sorted(both[0].keys() ^ both[1].keys())}")
    ends: dict[str, dict[str, list[str]]] = {}
    for test in sorted(both[0]):
        owner, _, method = test.rpartition(".")
        key = ", ".join(outcomes[test].outcome for outcomes in both)
        ends.setdefault(key, {}).setdefault(owner, []).append(method)
    document: dict[str, Any] = {
        "uvloop": UVLOOP,
        "python": platform.python_version(),
        "asyncio, uvloop": {
            key: {owner: " ".join(methods) for owner, methods in classes.items()}
            for key, classes in sorted(ends.items(), reverse=True)
        },
    }
    ORACLE.write_text(json.dumps(document, indent=1) + "\n")
    for key, classes in document["asyncio, uvloop"].items():
        print(f"{sum(len(methods.split()) for methods in classes.values()):4} {key}")


def markdown() -> str:
    """The rows of docs/compatibility.md: what only uvloop passes and is listed."""
    lines = []
    for test, reason in load_expected().items():
        lines.append(f"| `{test}` | {reason} |")
    return "\n".join(lines)


def by_name(oracle: Oracle, outcomes: Mapping[str, Outcome], listed: Mapping[str, str]) -> bool:
    """Print how uvolt stands beside asyncio and uvloop, test by test; is that as it must be?"""
    if not oracle:
        print(f"no record of asyncio and uvloop for Python {VERSION}")
        return True

    def count(*ends: str) -> str:
        tests = [test for test in outcomes if oracle.get(test) in [tuple(e.split()) for e in ends]]
        passed = sum(outcomes[test].outcome == "passed" for test in tests)
        return f"{len(tests)}, of them {passed} on uvolt"

    print(f"pass on asyncio: {count('passed passed', 'passed failed', 'passed skipped')}")
    print(f"pass on uvloop alone: {count('failed passed', 'skipped passed')}")
    wrong = [f"{test}: not in {ORACLE.name}" for test in outcomes if test not in oracle]
    wrong += [
        f"{test}: listed, and passes on asyncio"
        for test in listed
        if oracle.get(test, ("",))[0] == "passed"
    ]
    for line in wrong:
        print(f"  {line}")
    return not wrong


# --- running them --------------------------------------------------------------------------------


def setup_for(loop: str, source: pathlib.Path, options: argparse.Namespace) -> Setup:
    shim = [] if loop == "uvloop" else [str(HERE / "shim")]
    return Setup(
        loop,
        options.jobs,
        options.test_timeout,
        dev=False,
        worker=HERE / "uvloop_worker.py",
        environ={
            "PYTHONPATH": os.pathsep.join(filter(None, [*shim, os.getenv("PYTHONPATH")])),
            "UVLOOP_SHIM_LOOP": loop,
            "UVLOOP_SHIM_SOURCE": str(source),
        },
    )


def run(
    wanted: Mapping[str, list[str] | None], setup: Setup, listed: Mapping[str, str] | None = None
) -> dict[str, Outcome]:
    """How each test ends; those that fail, and need not, once more and one by one."""
    print(
        f"uvloop {UVLOOP}'s tests on {setup.loop}, CPython {platform.python_version()}", flush=True
    )
    outcomes: dict[str, Outcome] = {}
    for file in run_files(wanted, setup).values():
        outcomes.update(file.outcomes)
    for test, outcome in list(outcomes.items()):
        name, _, method = test.partition(".")
        if outcome.outcome == "failed" and test not in (listed or {}) and method[0] != "<":
            again = run_files({name: [test]}, replace(setup, jobs=1))[name].outcomes
            if again[test].outcome != "failed":
                print(f"  {test} failed, and not when it was run alone: {outcome.reason}")
            outcomes.update(again)
    return outcomes


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="a file, or file.Class.method; * matches any text")
    parser.add_argument("--loop", default="uvolt", choices=("uvolt", "asyncio", "uvloop"))
    parser.add_argument("--markdown", action="store_true", help="only the listed, for the docs")
    parser.add_argument("--record", action="store_true", help="run asyncio and uvloop: the record")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--test-timeout", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--json", metavar="FILE", help="write every outcome there")
    parser.add_argument("-v", "--verbose", action="store_true", help="tracebacks; what is expected")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    begun = time.monotonic()
    source = sdist.fetch("uvloop", UVLOOP)
    files = sorted({path.stem for path in source.glob("tests/test_*.py")} - set(LEFT_OUT))
    if options.markdown:
        print(markdown())
        return 0
    if options.record:
        record_oracle(files, source, options)
        return 0
    wanted: dict[str, list[str] | None] = {}
    for file in files:
        patterns = [name for name in options.names if fnmatch.fnmatch(file, name.split(".")[0])]
        if patterns or not options.names:
            whole = not patterns or any("." not in pattern for pattern in patterns)
            wanted[file] = None if whole else patterns
    listed = load_expected() if options.loop == "uvolt" else {}
    outcomes = run(wanted, setup_for(options.loop, source, options), listed)

    rows: list[tuple[str, ...]] = [
        ("file", "tests", "passed", "FAILED", "expected", "skipped", "s")
    ]
    sums = [0] * 5
    for name in wanted:
        mine = {test: outcome for test, outcome in outcomes.items() if test.startswith(f"{name}.")}
        failed = [test for test, outcome in mine.items() if outcome.outcome == "failed"]
        numbers = [
            len(mine),
            sum(outcome.outcome == "passed" for outcome in mine.values()),
            sum(test not in listed for test in failed),
            sum(test in listed for test in failed),
            sum(outcome.outcome == "skipped" for outcome in mine.values()),
        ]
        sums = [a + b for a, b in zip(sums, numbers, strict=True)]
        seconds = sum(outcome.seconds for outcome in mine.values())
        rows.append((name, *(str(n) if n else "." for n in numbers), f"{seconds:.1f}"))
    rows.append(("total", *map(str, sums), ""))
    print()
    print_table(rows)

    unexpected = {t: o for t, o in outcomes.items() if o.outcome == "failed" and t not in listed}
    expected = {t: o for t, o in outcomes.items() if o.outcome == "failed" and t in listed}
    stale = [t for t in listed if t in outcomes and outcomes[t].outcome != "failed"]
    if not options.names:
        stale += [t for t in listed if t not in outcomes]
    if options.verbose:
        print("\nskipped:")
        for test, outcome in outcomes.items():
            if outcome.outcome == "skipped":
                print(f"  {test}: {outcome.reason}")
    for title, found in (("expected failures", expected), ("UNEXPECTED FAILURES", unexpected)):
        if found and (found is unexpected or options.verbose):
            print(f"\n{title}:")
            for test, outcome in sorted(found.items()):
                print_failure(test, outcome, options.verbose)
    if stale:
        print(f"\nSTALE ENTRIES of {EXPECTED.name} for {VERSION}: they pass, skip or do not exist")
        for test in stale:
            print(f"  {test}")
    good = not unexpected and not stale
    if options.loop == "uvolt":
        print()
        good &= by_name(load_oracle(), outcomes, listed)
    if options.json:
        document = {test: vars(outcome) for test, outcome in outcomes.items()}
        pathlib.Path(options.json).write_text(json.dumps(document, indent=1) + "\n")
    print(f"\n{time.monotonic() - begun:.0f} s; of uvloop's tests, on {options.loop}:")
    print(f"{sums[1]} passed, {sums[2]} failed, {sums[4]} skipped, {sums[3]} expected failures")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
