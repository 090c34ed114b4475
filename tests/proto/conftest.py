"""The harnesses are compiled once a run, and removed after it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from proto_support import FLAVOURS, forget_harnesses  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def harnesses_are_removed() -> Iterator[None]:
    yield
    forget_harnesses()


@pytest.fixture(params=FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> str:
    return request.param
