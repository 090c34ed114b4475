"""The swap for the time of a test, and a server of aiohttp's to talk to."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import aiohttp  # noqa: E402
import aiohttp.test_utils  # noqa: E402, F401

from uvolt import swap  # noqa: E402


@pytest.fixture
def original() -> Any:
    """aiohttp's own names, as a module that imported it before the swap has them."""
    return type("original", (), {name: getattr(aiohttp, name) for name in aiohttp.__all__[1:-2]})


@pytest.fixture
def swapped(original: Any) -> Iterator[Any]:
    """The module aiohttp while uvolt.http stands in its names. (The policy is left alone.)"""
    swap.swap_in()
    try:
        yield aiohttp
    finally:
        swap.swap_out()


@pytest.fixture(params=["asyncio", "uvolt"])
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """The loop; on uvolt's, aiohttp is swapped."""
    if request.param == "uvolt":
        swap.swap_in()
    yield request.param
    swap.swap_out()


@pytest.fixture
def fallbacks(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What the logger "uvolt" says of sessions that are aiohttp's own."""
    caplog.set_level(logging.DEBUG, "uvolt")
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Handler()
    logging.getLogger("uvolt").addHandler(handler)
    try:
        yield lines
    finally:
        logging.getLogger("uvolt").removeHandler(handler)
