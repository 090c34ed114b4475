"""Run one file of CPython's own asyncio tests on a chosen event loop (started by run_cpython.py).

The test file comes from the running interpreter and is not changed. What changes is what the names
that it takes its loops from mean: asyncio.SelectorEventLoop (and asyncio.EventLoop), the default
policy, and, in the files of BASE_FILES, asyncio.BaseEventLoop. Every loop handed out is counted, so
that a test which never had a loop of ours cannot pass for one that did.

Each start and end of a test is appended to a file as a line of JSON, at once: when a test hangs or
kills the process, the runner knows which, and starts again behind it.
"""

from __future__ import annotations

import argparse
import asyncio
import asyncio.base_events
import asyncio.unix_events
import collections
import faulthandler
import gc
import importlib
import importlib.util
import json
import os
import sys
import time
import traceback
import types
import unittest
import warnings
from asyncio import events
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

PACKAGE = "test.test_asyncio"

# Files elsewhere in CPython's tests that run on a loop.
ELSEWHERE = {
    "test_async_case": ("test.test_unittest.test_async_case", "unittest.test.test_async_case"),
    "test_asyncgen": ("test.test_asyncgen",),
    "test_contextlib_async": ("test.test_contextlib_async",),
    "test_coroutines": ("test.test_coroutines",),
}

# Files whose tests make a bare asyncio.BaseEventLoop, mock the selector it does not have, and then
# test what any loop must do. They get a whole loop instead.
BASE_FILES = ("test_base_events", "test_pep492", "test_runners")


class Target(NamedTuple):
    """The loop under test: its class, what makes one, and its policy."""

    cls: type
    new: Callable[..., Any]
    policy: type
    counters: Callable[[], dict[str, int]] | None


def find_target(name: str) -> Target:
    """Import the loop called *name*; must run before anything is replaced."""
    if name == "asyncio":
        cls: type = asyncio.SelectorEventLoop
        return Target(cls, cls, asyncio.DefaultEventLoopPolicy, None)
    module = importlib.import_module(name)
    if name == "uvloop":
        # test_asyncio.utils reads this attribute of every loop it closes, and uvloop has none.
        # With it, what fails here fails because uvloop does something else.
        cls = type("Loop", (module.Loop,), {"_default_executor": None})
        return Target(cls, cls, asyncio.DefaultEventLoopPolicy, None)
    counters = importlib.import_module("uvolt._core").counters
    follow_patches()
    return Target(module.Loop, module.new_event_loop, module.EventLoopPolicy, counters)


class Replacement:
    """Puts the target where the tests look for a loop, and counts what it hands out."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.made: collections.Counter[str] = collections.Counter()
        self.selector_class = self._factory("SelectorEventLoop", target)
        # On asyncio, the oracle, these tests are to have what they were written for.
        base = target
        if target.cls is _ASYNCIO_LOOP:
            base = target._replace(cls=_ASYNCIO_BASE, new=_ASYNCIO_BASE)
        self.base_class = self._factory("BaseEventLoop", base)
        self.policy_class = self._policy()

    def record(self, loop: Any, origin: str, cls: type | None = None) -> Any:
        cls = cls or self.target.cls
        if not isinstance(loop, cls):
            raise TypeError(f"{origin} gave {loop!r}, not a {cls.__qualname__}")
        self.made[origin] += 1
        return loop

    def _factory(self, name: str, target: Target) -> type:
        """A class that is called, subclassed and tested for like the class it stands for."""
        replacement = self

        def count(loop: Any, *args: Any, **kwargs: Any) -> None:
            target.cls.__init__(loop, *args, **kwargs)
            replacement.record(loop, name, target.cls)

        class Meta(type):
            def __new__(mcs, cls_name: str, bases: tuple[type, ...], ns: dict[str, Any]) -> type:
                if not any(isinstance(base, mcs) for base in bases):
                    return super().__new__(mcs, cls_name, bases, ns)
                # A test's own subclass becomes a subclass of the target.
                counted = type(target.cls)(name, (target.cls,), {"__init__": count})
                real = tuple(counted if isinstance(base, mcs) else base for base in bases)
                return type(counted)(cls_name, real, ns)

            def __call__(cls, selector: Any = None) -> Any:
                arguments = () if selector is None else (selector,)
                if arguments and target.cls is not _ASYNCIO_LOOP:
                    selector.close()  # the target has none; do not leave this one's descriptor open
                    arguments = ()
                return replacement.record(target.new(*arguments), name, target.cls)

            def __instancecheck__(cls, instance: object) -> bool:
                return isinstance(instance, target.cls)

            def __subclasscheck__(cls, subclass: type) -> bool:
                return issubclass(subclass, target.cls)

            def __getattr__(cls, attribute: str) -> Any:
                return getattr(target.cls, attribute)

        return Meta(name, (), {})

    def _policy(self) -> type:
        base: Any = self.target.policy
        replacement = self

        def new_event_loop(policy: Any) -> Any:
            return replacement.record(base.new_event_loop(policy), "policy")

        namespace: dict[str, Any] = {"new_event_loop": new_event_loop}
        if base is asyncio.DefaultEventLoopPolicy:
            namespace["_loop_factory"] = staticmethod(self.target.new)
        return type(base.__name__, (base,), namespace)

    def install(self) -> None:
        for module in (asyncio, asyncio.unix_events):
            for name, value in (
                ("SelectorEventLoop", self.selector_class),
                ("EventLoop", self.selector_class),
                ("DefaultEventLoopPolicy", self.policy_class),
            ):
                if hasattr(module, name):
                    setattr(module, name, value)
        # set_event_loop_policy(None), which every file calls, makes the next policy from that name.
        asyncio.set_event_loop_policy(None)
        if type(asyncio.get_event_loop_policy()) is not self.policy_class:
            raise RuntimeError("this Python does not make its policy from DefaultEventLoopPolicy")
        asyncio.set_event_loop_policy(None)

    def install_base(self) -> None:
        for module in (asyncio, asyncio.base_events):
            vars(module)["BaseEventLoop"] = self.base_class


_ASYNCIO_LOOP = asyncio.SelectorEventLoop
_ASYNCIO_BASE = asyncio.BaseEventLoop


class Follow:
    """Stands in a module of ours for a global of asyncio's modules, also while one is patched."""

    def __init__(self, name: str, modules: Sequence[types.ModuleType]) -> None:
        self._follows = (name, vars(modules[0])[name], modules)

    def __getattr__(self, attribute: str) -> Any:
        name, original, modules = self._follows
        current = (vars(module)[name] for module in modules)
        patched = next((value for value in current if value is not original), original)
        return getattr(patched, attribute)


def follow_patches() -> None:
    """Let `mock.patch("asyncio.base_events.socket")` reach our code that does the same work.

    Where a test replaces a module that asyncio's create_connection() calls, it is to replace it for
    our create_connection(), too: else the test would reach out into the net.
    """
    base, unix = asyncio.base_events, asyncio.unix_events
    followed = {
        "logger": (base, unix),
        "os": (base, unix),
        "signal": (unix,),
        "socket": (base, unix),
        "stat": (unix,),
        "sys": (base, unix),
    }
    for module_name in ("uvolt.connect", "uvolt.loop", "uvolt.server", "uvolt._support"):
        namespace = vars(importlib.import_module(module_name))
        for name, sources in followed.items():
            if namespace.get(name) is vars(sources[0])[name]:
                namespace[name] = Follow(name, sources)


class Reporter(unittest.TestResult):
    """Writes a line of JSON as each test starts and ends."""

    def __init__(self, path: str, replacement: Replacement) -> None:
        super().__init__()
        self.stream = open(path, "a", encoding="utf-8")  # noqa: SIM115 - open until the process ends
        self.replacement = replacement
        self.outcome = ""
        self.reason = ""
        self.detail = ""
        self.before: collections.Counter[str] = collections.Counter()
        self.started = 0.0

    def emit(self, **event: Any) -> None:
        self.stream.write(json.dumps(event) + "\n")
        self.stream.flush()

    def startTest(self, test: unittest.TestCase) -> None:
        # What an earlier test left to the collector must not warn in the middle of this one: a
        # child killed while its own child holds the pipe (test_kill_issue43884) leaves a transport.
        gc.collect()
        super().startTest(test)
        self.outcome, self.reason, self.detail = "passed", "", ""
        self.before = self.replacement.made.copy()
        self.started = time.monotonic()
        self.emit(event="start", id=short_id(test))

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        if events._get_running_loop() is not None:
            # A test failed half-way through running a loop by hand; the next one starts afresh.
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(None, None)
        self.finish(short_id(test))

    def finish(self, name: str) -> None:
        self.emit(
            event="end",
            id=name,
            outcome=self.outcome,
            reason=self.reason,
            detail=self.detail,
            loops=dict(self.replacement.made - self.before),
            seconds=round(time.monotonic() - self.started, 3),
        )

    def note(self, test: Any, outcome: str, error: Any) -> None:
        kind, value, _ = error
        text = "".join(traceback.format_exception(*error))
        line = " ".join(str(value).split())
        reason = f"{kind.__name__}: {line}" if line else kind.__name__
        if isinstance(test, unittest.TestCase):
            if self.outcome != "failed":
                self.outcome, self.reason, self.detail = outcome, reason[:400], text
            return
        # setUpModule, setUpClass and their like: no startTest came before
        self.started = time.monotonic()
        self.before = self.replacement.made.copy()
        self.outcome, self.reason, self.detail = outcome, reason[:400], text
        self.finish(f"{test}")

    def addFailure(self, test: Any, err: Any) -> None:
        self.note(test, "failed", err)

    def addError(self, test: Any, err: Any) -> None:
        self.note(test, "failed", err)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            self.note(test, "failed", err)

    def addSkip(self, test: Any, reason: str) -> None:
        if isinstance(test, unittest.TestCase):
            if self.outcome == "passed":
                self.outcome, self.reason = "skipped", reason
        else:
            self.note(test, "skipped", (unittest.SkipTest, reason, None))

    def addUnexpectedSuccess(self, test: Any) -> None:
        self.outcome, self.reason = "failed", "passed, but the file says expectedFailure"


def module_name(file: str) -> str:
    """The dotted name of a test file; where it is may differ from version to version."""
    names = ELSEWHERE.get(file, (f"{PACKAGE}.{file}",))
    for name in names[:-1]:
        try:
            if importlib.util.find_spec(name) is not None:
                return name
        except ModuleNotFoundError:
            pass
    return names[-1]


def short_id(test: unittest.TestCase) -> str:
    """file.Class.method, whatever package the file is in."""
    module = type(test).__module__
    name = test.id()
    return module.rpartition(".")[2] + name[len(module) :] if name.startswith(module) else name


def flatten(suite: Any) -> Iterator[unittest.TestCase]:
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="for example test_events")
    parser.add_argument("--loop", required=True)
    parser.add_argument("--out", required=True, help="where the lines of JSON go")
    parser.add_argument("--only", help="JSON file: the tests to run")
    parser.add_argument("--skip", help="JSON file: the tests not to run")
    options = parser.parse_args()

    sys.path[:] = [p for p in sys.path if os.path.abspath(p) != os.path.dirname(__file__)]
    faulthandler.enable()  # the runner ends a test that hangs with SIGABRT
    warnings.simplefilter("default")

    replacement = Replacement(find_target(options.loop))
    # Everything but what would leave this machine.
    support = importlib.import_module("test.support")
    vars(support)["use_resources"] = ["cpu", "subprocess", "walltime"]
    # Its TestLoop, a loop with a clock of its own, stays what it is: it subclasses BaseEventLoop.
    importlib.import_module(PACKAGE + ".utils")
    replacement.install()
    module = importlib.import_module(module_name(options.file))
    if options.file in BASE_FILES:
        replacement.install_base()

    tests = list(flatten(unittest.defaultTestLoader.loadTestsFromModule(module)))
    for path, wanted in ((options.only, True), (options.skip, False)):
        if path:
            with open(path, encoding="utf-8") as stream:
                names = set(json.load(stream))
            tests = [test for test in tests if (short_id(test) in names) is wanted]

    reporter = Reporter(options.out, replacement)
    unittest.TestSuite(tests).run(reporter)
    counters = {}
    if replacement.target.counters is not None:
        tests.clear()
        gc.collect()
        counters = replacement.target.counters()
    reporter.emit(event="done", loops=dict(replacement.made), counters=counters)


if __name__ == "__main__":
    main()
