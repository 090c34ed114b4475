"""Fixtures of the core's tests."""

from __future__ import annotations

import socket

import pytest
import support


@pytest.fixture
def pair():
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    yield a, b
    a.close()
    b.close()


@pytest.fixture
def listener():
    with socket.socket() as s:
        s.bind((support.LOCALHOST, 0))
        s.listen(20)
        s.setblocking(False)
        yield s
