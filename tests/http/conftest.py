"""Fixtures of the tests of HTTP clients: the client under test, and the servers it talks to."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import servers
import support

sys.path.insert(0, str(Path(__file__).parent))

import forms_support  # noqa: E402
import http_support  # noqa: E402
import reader_support  # noqa: E402


@pytest.fixture(params=http_support.clients())
def client(request: pytest.FixtureRequest) -> http_support.Client:
    return http_support.Client(request.param)


@pytest.fixture
def ours() -> http_support.Client:
    """For what aiohttp does not do, or means to do otherwise."""
    if "uvolt" not in support.LOOPS:
        pytest.skip("uvolt is not to be tested")
    return http_support.Client("uvolt")


# Servers of a module, not of the session: tests/net makes sure that no child is left.
nginx = servers.fixture(servers.nginx, "module")
uvicorn = servers.fixture(servers.uvicorn, "module")


@pytest.fixture(params=reader_support.READERS)
def streams(request: pytest.FixtureRequest) -> Any:
    """The module that has the StreamReader under test."""
    return reader_support.READERS[request.param]


@pytest.fixture
def uloop() -> Iterator[asyncio.AbstractEventLoop]:
    """A uvolt loop: for what works on no other."""
    loop = support.factory("uvolt")()
    try:
        yield loop
    finally:
        support.finish(loop)


@pytest.fixture
def boundary(monkeypatch: pytest.MonkeyPatch) -> str:
    """The boundary of a form, which is random otherwise."""
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(hex=forms_support.BOUNDARY))
    return forms_support.BOUNDARY
