"""Run one file of uvloop's own tests on a chosen loop (started by run_uvloop.py).

The file comes from uvloop's source distribution and is not changed. `uvloop` is the shim in shim/,
which is first on PYTHONPATH, in the tests' child processes too; only with --loop uvloop it is the
installed one. Tests of class AIOTestCase run asyncio's loop whatever happens, and are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import faulthandler
import fnmatch
import gc
import importlib
import json
import os
import signal
import sys
import unittest
import warnings

from cpython_worker import Reporter, flatten, short_id


class Made:
    """Counts the loops that the tests are handed."""

    def __init__(self) -> None:
        self.made: collections.Counter[str] = collections.Counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="for example test_tcp")
    parser.add_argument("--loop", required=True)
    parser.add_argument("--out", required=True, help="where the lines of JSON go")
    parser.add_argument("--only", help="JSON file: the tests to run; * matches any text")
    parser.add_argument("--skip", help="JSON file: the tests not to run")
    options = parser.parse_args()

    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
    faulthandler.enable()  # the runner ends a test that hangs with SIGABRT
    warnings.simplefilter("default")
    # A shell's background job ignores it, and so would the tests' child processes.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    source = os.environ["UVLOOP_SHIM_SOURCE"]
    sys.path.append(source)  # behind the shim, for it has a directory `uvloop` too
    testbase = importlib.import_module("uvloop._testbase")
    module = importlib.import_module(f"tests.{options.file}")
    uvloop = importlib.import_module("uvloop")
    if not module.__file__.startswith(source) or uvloop.__file__.startswith(source):
        sys.exit(f"{module.__file__} or {uvloop.__file__} is not what was to be imported")

    made = Made()

    def new_loop(case: unittest.TestCase) -> object:
        loop = uvloop.new_event_loop()
        if not type(loop).__module__.startswith(options.loop):
            raise TypeError(f"{loop!r} is not a loop of {options.loop}")
        made.made["UVTestCase"] += 1
        return loop

    testbase.UVTestCase.new_loop = new_loop
    tests = [
        test
        for test in flatten(unittest.defaultTestLoader.loadTestsFromModule(module))
        if not isinstance(test, testbase.AIOTestCase)
    ]
    for path, wanted in ((options.only, True), (options.skip, False)):
        if path:
            with open(path, encoding="utf-8") as stream:
                names = json.load(stream)
            tests = [
                test
                for test in tests
                if any(fnmatch.fnmatchcase(short_id(test), name) for name in names) is wanted
            ]

    reporter = Reporter(options.out, made)
    unittest.TestSuite(tests).run(reporter)
    counters = {}
    if options.loop == "uvolt":
        tests.clear()
        # The tearDown of a test that failed leaves its loop behind as the current one.
        asyncio.set_event_loop_policy(None)
        gc.collect()
        gc.collect()  # what the first one finds reports itself to its loop's exception handler
        counters = importlib.import_module("uvolt._core").counters()
    reporter.emit(event="done", loops=dict(made.made), counters=counters)


if __name__ == "__main__":
    main()
