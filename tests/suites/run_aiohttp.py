"""Run aiohttp's own test suite on uvolt.

    python tests/suites/run_aiohttp.py                 # both of the following
    python tests/suites/run_aiohttp.py --lane client   # its client tests, against the swapped names
    python tests/suites/run_aiohttp.py --lane loop     # all its tests, aiohttp on uvolt's loop
    python tests/suites/run_aiohttp.py --lane uvloop   # the same on uvloop, to compare
    python tests/suites/run_aiohttp.py -v --lane client test_connector 'test_client_*'
    python tests/suites/run_aiohttp.py --record        # what asyncio does: oracle/aiohttp.json

The tests come unmodified from aiohttp's source distribution, which pip downloads once into a cache
directory; aiohttp itself is the installed one, of the same version. A test that passes on asyncio
must pass here or be listed in expected_aiohttp.json: under "private" with what it does that goes
round aiohttp's public interface, or under "differs" with how uvolt.http means to differ. Of those
that are not private, SHARE must pass. What fails is run once more, alone. Exit status: 0 if all is
so; 1 for an unexpected failure, an entry whose test passes, or a test of the record that was
skipped or not found.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import sdist

AIOHTTP = "3.14.5"
HERE = pathlib.Path(__file__).resolve().parent
EXPECTED = HERE / "expected_aiohttp.json"
ORACLE = HERE / "oracle" / "aiohttp.json"
SHARE = 0.97  # of the tests that use the public interface
CLIENT = (
    "test_client_exceptions",
    "test_client_functional",
    "test_client_middleware",
    "test_client_middleware_digest_auth",
    "test_client_session",
    "test_connector",
    "test_cookiejar",
    "test_formdata",
    "test_proxy_functional",
    "test_streams",
)
# Files that are not run.
LEFT_OUT = {
    "test_imports": "times and lists what `import aiohttp` imports, in processes of their own",
    "test_circular_imports": "imports each module of aiohttp in a process of its own: no loop runs",
}
BUNDLE = 250  # tests in a process
MARKED = "not dev_mode and not autobahn and not internal"  # as aiohttp's own pytest.ini

Ends = dict[str, tuple[str, str]]  # test -> how it ends, and its traceback


def fetch_source() -> pathlib.Path:
    """aiohttp's tests, without aiohttp: that would be imported in place of the installed one."""
    return sdist.fetch("aiohttp", AIOHTTP, "tests/", "pytest.ini")


def run_files(files: Mapping[str, list[str]], what: str, options: Any) -> Ends:
    """Of each file the tests named, as pytest has them (none: all); several files in a process."""
    fetch_source()  # once, before there are threads

    def one(names: list[str]) -> Ends:
        targets = [target for name in names for target in files[name] or [f"{name}.py"]]
        ends = run_process(targets, what, options)
        if isinstance(ends, dict):
            return ends
        if len(names) > 1:  # it died: which file was that?
            return {test: end for name in names for test, end in one([name]).items()}
        return {f"{names[0]}::<file>": ("failed", ends)}

    with ThreadPoolExecutor(options.jobs) as pool:
        # A swapped test that fails leaves things open: no file is to suffer from another's.
        parts = list(pool.map(one, bundles(files, 1 if what == "client" else BUNDLE)))
    return {test: end for part in parts for test, end in part.items()}


def bundles(files: Iterable[str], tests: int) -> list[list[str]]:
    """The files in groups of that many tests: a process takes as long to start as twenty tests."""
    sizes = {file: len(tests) for file, tests in json.loads(ORACLE.read_text())["passed"].items()}
    found: list[list[str]] = []
    room = 0
    for file in files:
        if room <= 0:
            found.append([])
            room = tests
        found[-1].append(file)
        room -= sizes.get(file, 1)
    return found


def run_process(targets: list[str], what: str, options: Any) -> Ends | str:
    """One run of pytest: how its tests end, or how it died."""
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch) / "out.json"
        places = [str(HERE), os.getenv("PYTHONPATH", "")]
        words = ["-q", "-o", "addopts=", "-m", MARKED, f"--timeout={options.test_timeout}"]
        words += ["-p", "aiohttp_plugin", "-p", "no:cacheprovider", "--tb=short", "--no-header"]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *words, *targets],
                cwd=fetch_source() / "tests",
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(filter(None, places)),
                    "UVOLT_AIOHTTP": what,
                    "UVOLT_OUT": str(out),
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=options.process_timeout,
            )
        except subprocess.TimeoutExpired as exc:
            return f"it took longer than {exc.timeout} s"
        if not out.exists():
            return f"exit {done.returncode}\n{done.stdout[-4000:]}"
        found: dict[str, Any] = json.loads(out.read_text())
    return {short(test): (end, text) for test, (end, text) in found.items()}


def short(test: str) -> str:
    """tests/test_x.py::test_y[pyloop-z] as test_x::test_y[pyloop-z]."""
    file, _, rest = test.partition("::")
    return f"{pathlib.PurePath(file).stem}::{rest}"


def plain(test: str) -> str:
    """What is a different text in each run is the same in the lists."""
    return re.sub(r"0x[0-9a-f]{6,}", "0x0", test)


def run(lane: str, options: Any) -> Ends:
    """All tests of a lane; those that fail, and need not, once more."""
    source = fetch_source()
    files = sorted(
        path.stem for path in source.glob("tests/test_*.py") if path.stem not in LEFT_OUT
    )
    if lane == "client":
        files = [file for file in files if file in CLIENT]
    wanted: dict[str, list[str]] = {
        file: []
        for file in files
        if not options.names or any(fnmatch.fnmatch(file, name) for name in options.names)
    }
    what = "asyncio" if options.record else lane
    print(f"aiohttp {AIOHTTP}'s tests, {what}, CPython {platform.python_version()}", flush=True)
    ends = run_files(wanted, what, options)
    listed = {} if options.record else load_expected(lane)
    for name, (end, text) in list(ends.items()):
        file, _, rest = name.partition("::")
        if end == "failed" and plain(name) not in listed and rest != "<file>":
            found = run_files({file: [f"{file}.py::{rest}"]}, what, options)
            if found.get(name, ("failed",))[0] != "failed":
                print(f"  {name} failed, and not when it was run alone:")
                print("".join(f"    {line}\n" for line in essence(text)), end="")
                ends[name] = found[name]
    return {plain(test): end for test, end in ends.items()}


def load_expected(lane: str) -> dict[str, tuple[str, str]]:
    """Test -> ("private" or "differs", reason)."""
    listed: dict[str, tuple[str, str]] = {}
    for entry in json.loads(EXPECTED.read_text()).get(lane, []):
        for test in entry["tests"]:
            if test in listed:
                sys.exit(f"{EXPECTED.name}: {test} is listed twice for {lane}")
            listed[test] = entry["kind"], entry["reason"]
    return listed


def load_oracle() -> tuple[set[str], str]:
    """The tests that pass on asyncio, and the Python they were run with."""
    record = json.loads(ORACLE.read_text())
    passed = {f"{file}::{test}" for file, tests in record["passed"].items() for test in tests}
    return passed, record["python"]


def lost(oracle: Iterable[str], ends: Ends) -> list[str]:
    """Tests of the record that were not run, of the files that were."""
    files = {test.partition("::")[0] for test in ends}
    of_files = (test for test in oracle if test.partition("::")[0] in files)
    return sorted(test for test in of_files if ends.get(test, ("skipped",))[0] == "skipped")


def record_oracle(options: Any) -> None:
    passed: dict[str, list[str]] = {}
    for test, (end, text) in sorted(run("loop", options).items()):
        if end == "passed":
            file, _, rest = test.partition("::")
            passed.setdefault(file, []).append(rest)
        elif end == "failed":
            print(f"  {test} fails on asyncio: {text.strip().splitlines()[-1:]}")
    document = {"aiohttp": AIOHTTP, "python": platform.python_version(), "passed": passed}
    ORACLE.write_text(json.dumps(document, indent=0) + "\n")
    print(f"{sum(map(len, passed.values()))} pass on asyncio")


def judge(lane: str, ends: Ends, options: Any) -> bool:
    """Print how a lane went; is that as it must be?"""
    (oracle, python), listed = load_oracle(), load_expected(lane)
    same_python = platform.python_version_tuple()[:2] == tuple(python.split(".")[:2])
    not_run = lost(oracle, ends) if same_python else []  # some are for other versions
    failed = {test: text for test, (end, text) in ends.items() if end == "failed"}
    unexpected = {t: x for t, x in failed.items() if t in oracle and t not in listed}
    unexpected |= {t: x for t, x in failed.items() if t.endswith("::<file>")}
    stale = [test for test in listed if test in ends and test not in failed]
    unknown = [test for test in listed if test not in oracle]
    for test, text in unexpected.items():
        print(f"UNEXPECTED FAILURE {test}")
        print(text if options.verbose else "".join(line + "\n" for line in essence(text)))
    for test in stale:
        print(f"STALE ENTRY {test}: it does not fail")
    for test in unknown:
        print(f"WRONG ENTRY {test}: it does not pass on asyncio, or does not exist")
    for test in not_run:
        print(f"NOT RUN {test}: it passes on asyncio")
    asked = [test for test in ends if test in oracle]
    private = [test for test in asked if listed.get(test, ("",))[0] == "private"]
    public = len(asked) - len(private)
    passed = sum(ends[test][0] == "passed" for test in asked)
    share = passed / public if public else 1.0
    print(
        f"lane {lane}: {len(asked)} tests that pass on asyncio, {len(private)} of them go round "
        f"the public interface; of the other {public}, {passed} pass ({share:.2%})"
    )
    failures = len(unexpected)
    print(f"{passed} passed, {failures} failed, {len(listed)} listed")
    whole = not options.names
    wrong = unexpected or stale or unknown or not_run
    return not wrong and (share >= SHARE or not whole)


def essence(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("E ")][-3:]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="files; * matches any text")
    parser.add_argument("--lane", choices=("client", "loop", "uvloop"), action="append")
    parser.add_argument("--record", action="store_true", help="run asyncio: the record")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--test-timeout", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--process-timeout", type=float, default=1200.0, metavar="SECONDS")
    parser.add_argument("--json", metavar="FILE", help="write every outcome there")
    parser.add_argument("-v", "--verbose", action="store_true", help="whole tracebacks")
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    if version("aiohttp") != AIOHTTP:
        sys.exit(f"aiohttp {AIOHTTP} must be installed, not {version('aiohttp')}")
    if options.record:
        record_oracle(options)
        return 0
    good = True
    for lane in options.lane or ("client", "loop"):
        ends = run(lane, options)
        if options.json:
            pathlib.Path(f"{options.json}.{lane}").write_text(json.dumps(ends, indent=1))
        good &= judge(lane, ends, options)
    print(f"{time.monotonic() - begun:.0f} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
