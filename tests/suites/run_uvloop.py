"""Run uvloop's own test suite on uvolt.

    python tests/suites/run_uvloop.py                     # everything, on uvolt
    python tests/suites/run_uvloop.py test_tcp            # one file
    python tests/suites/run_uvloop.py -v 'test_tcp.*.test_create_server*'
    python tests/suites/run_uvloop.py --loop asyncio      # for comparison

The suite is taken from uvloop's source distribution, which pip downloads once into a cache
directory; its module `uvloop` is replaced by a shim that gives uvolt's loop (shim/uvloop). Each
test must pass on uvolt, skip itself, or be in expected_uvloop.json with a reason. Exit status: 0 if
so; 1 for an unexpected failure or an entry whose test passes.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import pathlib
import platform
import subprocess
import sys
import tarfile
import tempfile
import time

from run_cpython import HERE, VERSION, Outcome, Setup, print_failure, print_table, run_files

UVLOOP = "0.23.0"
EXPECTED = HERE / "expected_uvloop.json"

# Files that are not run.
LEFT_OUT = {
    "test_cython": "its coroutine is one that uvloop has in Cython for this test",
    "test_fs_event": "uvloop.loop.FileSystemEvent and loop._monitor_fs(), which asyncio has not",
    "test_libuv_api": "uvloop.loop.libuv_get_loop_t_ptr(), uvloop's own interface for C programs",
    "test_sourcecode": "runs flake8 and mypy over uvloop's source",
}


def fetch_source() -> pathlib.Path:
    """uvloop's unpacked source distribution, downloaded by pip if it is not there yet."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    cache = pathlib.Path(base) / "uvolt-tests"
    source = cache / f"uvloop-{UVLOOP}"
    if source.exists():
        return source
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary=uvloop"]
        subprocess.run([*command, "-d", scratch, f"uvloop=={UVLOOP}"], check=True, timeout=600)
        with tarfile.open(f"{scratch}/uvloop-{UVLOOP}.tar.gz") as archive:
            archive.extractall(scratch)
        try:
            os.rename(f"{scratch}/uvloop-{UVLOOP}", source)
        except OSError:
            if not source.exists():  # else another process was faster
                raise
    return source


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


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="a file, or file.Class.method; * matches any text")
    parser.add_argument("--loop", default="uvolt", choices=("uvolt", "asyncio"))
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--test-timeout", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--json", metavar="FILE", help="write every outcome there")
    parser.add_argument("-v", "--verbose", action="store_true", help="tracebacks; what is expected")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    begun = time.monotonic()
    source = fetch_source()
    print(
        f"uvloop {UVLOOP}'s tests on {options.loop}, CPython {platform.python_version()}",
        flush=True,
    )
    setup = Setup(
        options.loop,
        options.jobs,
        options.test_timeout,
        dev=False,
        worker=HERE / "uvloop_worker.py",
        environ={
            "PYTHONPATH": os.pathsep.join(
                filter(None, (str(HERE / "shim"), os.getenv("PYTHONPATH")))
            ),
            "UVLOOP_SHIM_LOOP": options.loop,
            "UVLOOP_SHIM_SOURCE": str(source),
        },
    )
    files = sorted({path.stem for path in source.glob("tests/test_*.py")} - set(LEFT_OUT))
    patterns = [name if "." in name else f"{name}.*" for name in options.names] or ["*"]
    wanted = [f for f in files if any(fnmatch.fnmatch(f, p.split(".")[0]) for p in patterns)]
    runs = run_files(dict.fromkeys(wanted), setup)

    listed = load_expected() if options.loop == "uvolt" else {}
    rows: list[tuple[str, ...]] = [
        ("file", "tests", "passed", "FAILED", "expected", "skipped", "s")
    ]
    outcomes: dict[str, Outcome] = {}
    sums = [0] * 5
    for name, run in runs.items():
        mine = {
            test: outcome
            for test, outcome in run.outcomes.items()
            if any(fnmatch.fnmatch(test, pattern) for pattern in patterns)
        }
        outcomes.update(mine)
        failed = [test for test, outcome in mine.items() if outcome.outcome == "failed"]
        numbers = [
            len(mine),
            sum(outcome.outcome == "passed" for outcome in mine.values()),
            sum(test not in listed for test in failed),
            sum(test in listed for test in failed),
            sum(outcome.outcome == "skipped" for outcome in mine.values()),
        ]
        sums = [a + b for a, b in zip(sums, numbers, strict=True)]
        rows.append((name, *(str(n) if n else "." for n in numbers), f"{run.seconds:.1f}"))
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
    if options.json:
        document = {test: vars(outcome) for test, outcome in outcomes.items()}
        pathlib.Path(options.json).write_text(json.dumps(document, indent=1) + "\n")
    print(f"\n{time.monotonic() - begun:.0f} s; of uvloop's tests, on {options.loop}:")
    print(f"{sums[1]} passed, {sums[2]} failed, {sums[4]} skipped, {sums[3]} expected failures")
    return 1 if unexpected or stale else 0


if __name__ == "__main__":
    sys.exit(main())
