"""Exceptions that are uvolt.http's and aiohttp's at once: what uvolt.http raises while swapped.

aiohttp's own classes stay in their names, so `except` works for whoever has taken them, whenever.
A pickle or a copy of such an exception is one of aiohttp's own class.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..http import exceptions

__all__ = ("make",)


def make(originals: ModuleType) -> dict[type, type]:
    """uvolt.http's class -> what to raise in its place. originals: aiohttp.client_exceptions."""
    made: dict[type, type] = {}
    names = dict.fromkeys(exceptions.__all__, "")
    names["ClosedConnectionError"] = "ClientConnectionError"
    for name, stands_for in names.items():
        ours, original = getattr(exceptions, name), getattr(originals, stands_for or name, None)
        if original is None or not issubclass(original, BaseException):
            continue
        namespace = {
            "__module__": original.__module__,
            "__qualname__": original.__qualname__,
            "__doc__": original.__doc__,
            "__reduce_ex__": _reduce_as(original),
        }
        made[ours] = type(ours)(original.__name__, (ours, original), namespace)
    return made


def _reduce_as(original: type) -> Any:
    def __reduce_ex__(self: BaseException, protocol: Any) -> Any:
        how: Any = super(type(self), self).__reduce_ex__(protocol)
        return (original, *how[1:]) if how[0] is type(self) else how

    return __reduce_ex__
