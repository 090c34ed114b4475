"""What is compiled here is compiled once a run, and removed after it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from proto_support import remove_programs  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def programs_are_removed() -> Iterator[None]:
    yield
    remove_programs()


@pytest.fixture(params=["plain", "sanitized"])
def flavour(request: pytest.FixtureRequest) -> str:
    return request.param
