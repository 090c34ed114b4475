"""Fixtures every test shares: the loops under test, and what must hold once a test is over.

The same test body runs on asyncio, which is the oracle, and on uvolt. UVOLT_TEST_LOOPS names the
loops (default "asyncio,uvolt"); a named loop that cannot be imported is an error, not a skip.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import support  # noqa: E402

# What tests connect to is here: a proxy of this machine's is not to be asked, by no process.
for _variable in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[_variable]

# A shell ignores Ctrl-C for what it starts in the background, and so would its children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_finished = 0


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The servers.Certificates of the servers that tests start."""
    import servers  # most tests start none

    return servers.Certificates.make(tmp_path_factory.mktemp("certificates"))


def pytest_collection_finish() -> None:
    # What a first loop makes once for the process is not a test's leak.
    for name in support.LOOPS:
        loop = support.factory(name)()
        loop.run_until_complete(support.settle())
        loop.close()
    # What was imported so far is here to stay: the collections after every test need not visit it.
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish() -> None:
    """What pytest keeps of the tests that are over grows: no need to visit that either."""
    global _finished
    _finished += 1
    if _finished % 50 == 0:
        gc.collect()
        gc.freeze()


@pytest.fixture(params=support.LOOPS)
def loop_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def loop_factory(loop_name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    return support.factory(loop_name)


@pytest.fixture
def loop(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> Iterator[asyncio.AbstractEventLoop]:
    loop = loop_factory()
    try:
        yield loop
    finally:
        support.finish(loop)


@pytest.fixture
def contexts(loop: asyncio.AbstractEventLoop) -> Iterator[list[dict]]:
    """What the loop's exception handler was called with, instead of the log."""
    seen: list[dict] = []
    loop.set_exception_handler(lambda _, context: seen.append(context))
    yield seen
    seen.clear()  # pytest keeps a test's arguments until its last fixture is gone


@pytest.fixture
def expect_log(clean: support.LogWatch) -> support.LogWatch:
    """expect_log(pattern, times=1): the test claims that many records of the logger "asyncio"."""
    return clean


@pytest.fixture(autouse=True)
def clean() -> Iterator[support.LogWatch]:
    """After every test: nothing left open, nothing logged that the test did not claim."""
    before = support.Baseline()
    with support.LogWatch() as log:
        yield log
        support.collect()
        log.check()
    support.collect()
    before.check()
