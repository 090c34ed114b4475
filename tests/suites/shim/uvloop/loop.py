"""`uvloop.loop`, as far as the tests' helpers look at it."""

from __future__ import annotations

from uvloop import Loop

__all__ = ["Loop"]
