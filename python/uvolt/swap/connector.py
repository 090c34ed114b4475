"""What connectors have beside uvolt.http's while they stand for aiohttp's: a companion.

That is a connector of aiohttp's own with the same settings. It is made when something of aiohttp's
asks this one for a connection: a session from before the swap, a WebSocket, one that falls back.
"""

from __future__ import annotations

import asyncio
import inspect
import warnings
from typing import Any

from .. import _core
from .classes import SwapType, falls_back

__all__ = ("ConnectorMixin", "ConnectorType")


class ConnectorType(SwapType):
    """Makes connectors: ours, or aiohttp's own for a loop that is not uvolt's."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        why = why_not(by_name(cls._original, args, kwargs)) if "_original" in cls.__dict__ else None
        if why is None:
            return super().__call__(*args, **kwargs)
        falls_back(cls.__name__, why)
        return cls._original(*args, **kwargs)


def by_name(original: Any, args: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of one of aiohttp's classes. TypeError for others than it takes."""
    return dict(inspect.signature(original).bind(*args, **kwargs).arguments) if args else kwargs


def why_not(kwargs: dict[str, Any]) -> str | None:
    """Why a connector with these arguments must be aiohttp's; None: it need not."""
    loop = kwargs.get("loop") or asyncio._get_running_loop()
    if loop is not None and not isinstance(loop, _core.Loop):
        return f"it is for {type(loop).__name__}, which is no loop of uvolt"
    return None


class ConnectorMixin:
    """Has the companion, and is it where there is none of ours (_companion_only)."""

    _companion: Any = None
    _companion_only = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kind: Any = type(self)
        self._arguments = by_name(kind._original, args, kwargs)
        why = None if "_original" in kind.__dict__ else why_not(self._arguments)
        if why is None:
            super().__init__(**self._arguments)
            return
        falls_back(kind.__name__, why)
        self._companion_only = True
        self._loop = self._arguments.get("loop") or asyncio.get_running_loop()
        self._aiohttps()

    def _aiohttps(self) -> Any:
        """The companion, made when it is first needed."""
        if self._companion is None:
            original: Any = type(self)._original  # type: ignore[attr-defined]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # this one has warned
                self._companion = original(**dict(self._arguments, loop=self._loop))
        return self._companion

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
        """A connection of aiohttp's own."""
        connector: Any = self
        if connector.closed:
            raise type(self)._closed_error("Connector is closed.")  # type: ignore[attr-defined]
        return await self._aiohttps().connect(req, traces, timeout)

    # ---- what is looked at from outside, though its names are private

    @property
    def _conns(self) -> dict[Any, list[tuple[Any, float]]]:
        """The connections that are kept, by their keys."""
        which: Any = self._companion if self._companion_only else super()
        return which._conns  # type: ignore[no-any-return]

    @property
    def _acquired_per_host(self) -> dict[Any, set[Any]]:
        """Those that are in use, by their keys."""
        which: Any = self._companion if self._companion_only else super()
        return which._acquired_per_host  # type: ignore[no-any-return]

    @property
    def _acquired(self) -> set[Any]:
        """Those that are in use."""
        which: Any = self._companion if self._companion_only else super()
        return which._acquired  # type: ignore[no-any-return]

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        which: Any = self._companion if self._companion_only else super()
        return which.closed  # type: ignore[no-any-return]

    def _close(self) -> None:
        """close() that nobody waits for: what `with connector:` (deprecated) ends with."""
        if self._companion is not None:
            self._companion._close()
        if not self._companion_only:
            self._open_pool().close()  # type: ignore[attr-defined]

    async def close(self, **kwargs: Any) -> None:
        """Close all connections, the companion's too, and wait until their sockets are closed."""
        if self._companion is not None:
            await self._companion.close(**kwargs)
        if not self._companion_only:
            await super().close(**kwargs)  # type: ignore[misc]
