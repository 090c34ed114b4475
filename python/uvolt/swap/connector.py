"""What connectors have beside uvolt.http's while they stand for aiohttp's: a companion.

That is a connector of aiohttp's own with the same settings. It is made when something of aiohttp's
asks this one for a connection: a session from before the swap, a WebSocket, one that falls back.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import warnings
from typing import Any

import aiohttp.client_reqrep
import aiohttp.connector

from .. import _core
from ..http.helpers import deprecated
from .classes import SwapType, falls_back
from .replaced import ReplaceableConnect, own_method, replace_in_class, restore_in_class, stock_or

__all__ = ("ConnectorMixin", "ConnectorType", "user_agent")

_module: Any = aiohttp.connector  # programs put other things into its names
_own_resolver = _module.DefaultResolver


def user_agent() -> str:
    """aiohttp's own, or what a program has put into its place."""
    module: Any = aiohttp.client_reqrep
    agent: str = module.SERVER_SOFTWARE
    return agent


class ConnectorType(SwapType):
    """Makes connectors: ours, or aiohttp's own for a loop that is not uvolt's.

    _replaceable: names of methods that are aiohttp's business, see replaced.py."""

    _replaceable: frozenset[str]

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        why = why_not(by_name(cls._original, args, kwargs)) if "_original" in cls.__dict__ else None
        if why is None:
            return super().__call__(*args, **kwargs)
        falls_back(cls.__name__, why)
        return cls._original(*args, **kwargs)

    def __setattr__(cls, name: str, value: Any) -> None:
        if name in cls._replaceable:
            value = stock_or(cls, name, value)
        super().__setattr__(name, value)
        if name in cls._replaceable:
            replace_in_class(cls, name, value)

    def __delattr__(cls, name: str) -> None:
        super().__delattr__(name)
        if name in cls._replaceable:
            restore_in_class(cls, name)


def by_name(original: Any, args: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of one of aiohttp's classes. TypeError for others than it takes."""
    return dict(inspect.signature(original).bind(*args, **kwargs).arguments) if args else kwargs


def why_not(kwargs: dict[str, Any]) -> str | None:
    """Why a connector with these arguments must be aiohttp's; None: it need not."""
    loop = kwargs.get("loop") or asyncio._get_running_loop()
    if loop is not None and not isinstance(loop, _core.Loop):
        return f"it is for {type(loop).__name__}, which is no loop of uvolt"
    return None


def _of_whom_it_is(name: str, doc: str) -> Any:
    """A property: our connector's, or the companion's if that is all there is."""

    def get(self: ConnectorMixin) -> Any:
        return getattr(
            self._companion if self._companion_only else super(ConnectorMixin, self), name
        )

    return property(get, doc=doc)


class ConnectorMixin:
    """Has the companion, and is it where there is none of ours (_companion_only)."""

    _companion: Any = None
    _companion_only = False
    _replaced_names: frozenset[str] = frozenset()
    _ssl_shutdown_timeout: float | None = 0
    _cleanup_closed_disabled = True  # connections with TLS are closed at once

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kind: Any = type(self)
        self._arguments = by_name(kind._original, args, kwargs)
        why = None if "_original" in kind.__dict__ else why_not(self._arguments)
        if why is None:
            super().__init__(**self._arguments)
            if self._arguments:
                self._keep(self._arguments)
            if _module.DefaultResolver is not _own_resolver:
                self._take_resolver()
            return
        falls_back(kind.__name__, why)
        self._companion_only = True
        self._loop = self._arguments.get("loop") or asyncio.get_running_loop()
        self._aiohttps()

    def _keep(self, kwargs: dict[str, Any]) -> None:
        """What aiohttp's has as attributes or warns of, of arguments that have no effect here."""
        if isinstance(kwargs.get("ssl"), aiohttp.Fingerprint):
            self._ssl = kwargs["ssl"]
        if "ssl_shutdown_timeout" in kwargs:
            self._ssl_shutdown_timeout = seconds = kwargs["ssl_shutdown_timeout"]
            if seconds and sys.version_info < (3, 11):
                text = f"ssl_shutdown_timeout={seconds} is ignored on Python < 3.11; only "
                text += "ssl_shutdown_timeout=0 is supported"
                warnings.warn(text, RuntimeWarning, stacklevel=4)
        is_needed = getattr(_module, "NEEDS_CLEANUP_CLOSED", True)
        if kwargs.get("enable_cleanup_closed") and not is_needed:
            deprecated("enable_cleanup_closed ignored: this Python closes connections with TLS")

    def _take_resolver(self) -> None:
        """The one that somebody has put into the place of aiohttp's default."""
        connector: Any = self
        if getattr(connector, "_resolver_owner", False):  # None was given to a TCPConnector
            connector._resolver = _module.DefaultResolver(loop=connector._loop)

    @property
    def _user_agent(self) -> str:
        """Of requests for tunnels: aiohttp's own."""
        return user_agent()

    def _aiohttps(self) -> Any:
        """The companion, made when it is first needed."""
        if self._companion is None:
            original: Any = type(self)._original  # type: ignore[attr-defined]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # this one has warned
                self._companion = made = original(**dict(self._arguments, loop=self._loop))
            if not self._companion_only and self.closed:
                made._close()
        return self._companion

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
        """A connection of aiohttp's own."""
        connector: Any = self
        if isinstance(self, ConnectorMixin):  # else called by what somebody has put around it
            if connector.closed:
                raise type(self)._closed_error("Connector is closed.")  # type: ignore[attr-defined]
            connector = self._aiohttps()
        return await own_method(connector, "connect")(req, traces, timeout)

    connect = ReplaceableConnect(connect)

    # ---- what is looked at from outside, though its names are private

    _conns = _of_whom_it_is("_conns", "The connections that are kept, by their keys.")
    _acquired_per_host = _of_whom_it_is("_acquired_per_host", "Those that are in use, by keys.")
    _acquired = _of_whom_it_is("_acquired", "Those that are in use.")
    closed = _of_whom_it_is("closed", "Whether close() was called.")

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
