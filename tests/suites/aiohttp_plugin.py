"""pytest plugin of run_aiohttp.py: puts uvolt in place, and writes how each test ends.

UVOLT_AIOHTTP: "asyncio" (nothing is changed), "loop" (uvolt.install()), "client"
(uvolt.install(aiohttp=True)) or "uvloop" (uvloop.install()). UVOLT_OUT: the file that gets
{test: [how it ends, traceback]} in JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

what = os.environ["UVOLT_AIOHTTP"]
if what == "uvloop":
    import uvloop

    uvloop.install()
elif what != "asyncio":
    import uvolt

    uvolt.install(aiohttp=what == "client")
    loop = asyncio.new_event_loop()
    assert isinstance(loop, uvolt.Loop)
    loop.close()

import aiohttp  # noqa: E402

assert ("uvolt" in str(aiohttp.ClientSession.__mro__)) is (what == "client")

# freezegun looks at every name of aiohttp, this one too, which is imported then: not in a test that
# blockbuster watches.
with contextlib.suppress(ImportError):
    import aiohttp.worker  # noqa: F401


def pytest_collection_finish() -> None:
    # aiohttp collects garbage after every test: it need not visit what is here to stay each time.
    gc.collect()
    gc.freeze()


WORST = ("passed", "skipped", "failed")  # of setup, call and teardown
ends: dict[str, tuple[str, str]] = {}


def pytest_runtest_logreport(report: Any) -> None:
    end = "skipped" if hasattr(report, "wasxfail") else report.outcome
    before = ends.get(report.nodeid, ("passed", ""))
    if WORST.index(end) >= WORST.index(before[0]):
        text = report.longreprtext[-6000:] if end == "failed" else ""
        ends[report.nodeid] = (end, before[1] or text)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: Any) -> Iterator[Any]:
    """What a test that failed has left open is dropped here, without a ResourceWarning: its loop,
    which aiohttp's own plugin closes behind a success only. Else the next test fails by that."""
    result = yield
    if ends.get(item.nodeid, ("passed",))[0] == "failed":
        for name in ("last_exc", "last_type", "last_value", "last_traceback"):
            if hasattr(sys, name):
                delattr(sys, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asyncio.set_event_loop(None)
            gc.collect()
    return result


def pytest_sessionfinish() -> None:
    with open(os.environ["UVOLT_OUT"], "w", encoding="utf-8") as file:
        json.dump(ends, file)
