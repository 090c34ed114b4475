"""Fixtures of the TLS tests: certificates made for the run, and both ways of uvolt's engine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import support

sys.path.insert(0, str(Path(__file__).parent))

from tls_support import Certs  # noqa: E402

ENGINES = [
    name if name != "uvolt" else f"uvolt-{way}"
    for name in support.LOOPS
    for way in (("direct", "memorybio") if name == "uvolt" else ("",))
]


@pytest.fixture(params=ENGINES)
def loop_name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The loop, and for uvolt one way of its TLS engine."""
    name, _, way = request.param.partition("-")
    if way:
        monkeypatch.setenv("UVOLT_TLS", way)
    # asyncio's TLS was rewritten for 3.11: flow control, closing, TLS in TLS. uvolt has the new
    # behaviour on every Python.
    support.oracle_lacks(name, support.PY < (3, 11), "its TLS before 3.11 is another one")
    return name


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certs:
    return Certs(tmp_path_factory.mktemp("certs"))


@pytest.fixture(params=["client", "server"])
def role(request: pytest.FixtureRequest) -> str:
    """Which end the loop has; the other is a plain blocking peer."""
    return str(request.param)


@pytest.fixture(params=["1.2", "1.3"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)
