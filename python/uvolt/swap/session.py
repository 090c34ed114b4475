"""What a ClientSession has beside uvolt.http's while it stands for aiohttp's.

The class itself is made in names.py, of SessionMixin, uvolt.http.ClientSession and
aiohttp.ClientSession in this order.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from typing import Any

import aiohttp.client_reqrep

from .. import _core
from ..http.client import ClientSession
from ..http.connector import BaseConnector
from ..http.helpers import deprecated
from ..http.timeouts import ClientTimeout
from .classes import SwapType, falls_back
from .connector import user_agent
from .replaced import TracesFor, is_replaced, on_replacement

__all__ = ("SessionMixin", "SessionType", "look_at_connectors")

REQUEST = aiohttp.client_reqrep.ClientRequest
# What tools replace in the class, and the engine does not call.
REQUEST_METHODS = {
    name: vars(REQUEST).get(name)
    for name in ("__init__", "send", "write_bytes", "update_headers", "update_body_from_data")
}
METHODS = ("request", "get", "options", "head", "post", "put", "patch", "delete")
# What of a session's arguments its companion gets otherwise, or had its effect, or has no use for.
NOT_HANDED_ON = (
    *("connector", "connector_owner", "cookie_jar", "cookies", "loop", "response_class"),
    *("retry", "timings"),  # uvolt.http's own
)


class SessionType(SwapType):
    """Makes sessions: ours, or aiohttp's own where ours cannot do what is asked for.

    _stock: argument -> what it may be for a session of ours. _response: our class of responses.
    _own_request: aiohttp's _request(); None if somebody had replaced it before the swap.
    """

    _stock: dict[str, tuple[Any, ...]]
    _response: type
    _own_request: Any

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        # An object of a subclass must be its own: SessionMixin.__init__() asks why_not() there.
        why = cls.why_not(**kwargs) if "_original" in cls.__dict__ else None
        if why is None:
            return super().__call__(*args, **kwargs)
        falls_back("ClientSession", why)
        if kwargs.get("response_class") is cls._response:
            del kwargs["response_class"]
        return cls._original(*args, **kwargs)

    # Tools that mock or watch all requests replace _request() of the class: of aiohttp's too, then.
    # What replaces it may call what it replaces, which is ours, with a session of aiohttp's.
    def __setattr__(cls, name: str, value: Any) -> None:
        if name == "_request" and "_original" in cls.__dict__:
            if value is ClientSession._request:  # as it was
                if name in cls.__dict__:
                    delattr(cls, name)
                return
            original: Any = cls._original
            if "_kept_request" not in cls.__dict__:
                kept = original.__dict__[name]
                super().__setattr__("_kept_request", kept)
                original._instead = property(lambda session: kept.__get__(session))
            setattr(original, name, value)
        super().__setattr__(name, value)

    def __delattr__(cls, name: str) -> None:
        super().__delattr__(name)
        if name == "_request" and "_kept_request" in cls.__dict__:
            original: Any = cls._original
            setattr(original, name, cls.__dict__["_kept_request"])
            del original._instead
            super().__delattr__("_kept_request")

    def is_request_replaced(cls) -> bool:
        """Whether somebody has replaced _request() of aiohttp's class, and not of ours."""
        if cls._original.__dict__["_request"] is cls._own_request:
            return False
        ours = next(each for each in cls.__mro__ if "_original" in each.__dict__)
        return "_request" not in ours.__dict__

    def why_not(cls, **kwargs: Any) -> str | None:
        """Why a session with these arguments must be aiohttp's; None: it need not."""
        connector = kwargs.get("connector")
        loop = kwargs.get("loop") or getattr(connector, "_loop", None)
        loop = loop or asyncio._get_running_loop()
        if loop is not None and not isinstance(loop, _core.Loop):
            return f"it is for {type(loop).__name__}, which is no loop of uvolt"
        if connector is not None:
            if not type.__instancecheck__(BaseConnector, connector):
                return f"its connector is a {type(connector).__name__}"
            if connector._companion_only:
                return "so does its connector"
        if cls.is_request_replaced():
            return "somebody has replaced aiohttp's _request()"
        if any(vars(REQUEST).get(name) is not method for name, method in REQUEST_METHODS.items()):
            return "somebody replaces methods of aiohttp.ClientRequest"
        for name, stock in cls._stock.items():
            if kwargs.get(name, stock[0]) not in stock:
                return f"{name}={kwargs[name]!r}"
        return None


class SessionMixin:
    """Cookies, headers and settings are shared with the companion: a session of aiohttp's own that
    does WebSockets, and whatever this one cannot do."""

    _companion: Any = None

    def __init_subclass__(cls) -> None:
        if "_original" in cls.__dict__:
            return
        level, frame = 2, sys._getframe(1)
        while frame.f_code.co_name == "__new__" and frame.f_back is not None:  # of metaclasses
            level, frame = level + 1, frame.f_back
        text = f"Inheritance class {cls.__name__} from ClientSession is discouraged"
        warnings.warn(text, DeprecationWarning, stacklevel=level)

    def __init__(self, base_url: Any = None, **kwargs: Any) -> None:
        self._arguments = (base_url, kwargs)
        kind: Any = type(self)
        why = None if "_original" in kind.__dict__ else kind.why_not(**kwargs)
        if why is not None:
            falls_back(kind.__name__, why)
            self._be_companion()
            return
        given = dict(kwargs)
        if given.get("connector") is None:
            loop = given.get("loop") or asyncio.get_running_loop()
            given["connector"] = kind._connector_class(loop=loop)
            if "ssl_shutdown_timeout" in given:
                given["connector"]._ssl_shutdown_timeout = given["ssl_shutdown_timeout"]
        if given.get("cookie_jar") is None:
            given["cookie_jar"] = kind._jar_class()
        if {"timeout", "read_timeout", "conn_timeout"}.isdisjoint(given):
            given["timeout"] = kind._timeout_default
        for name in kind._stock:
            given.pop(name, None)
        given["response_class"] = kind._response
        super().__init__(base_url, **given)  # type: ignore[call-arg]
        self._keep_timeout()
        self._user_agent = user_agent()
        self._note_credentials(given.get("auth"), given.get("proxy_auth"))

    def _note_credentials(self, auth: Any, proxy_auth: Any) -> None:
        for name, value, headers, field in (
            ("auth", auth, "headers", "Authorization"),
            ("proxy_auth", proxy_auth, "proxy_headers", "Proxy-Authorization"),
        ):
            if value is not None:
                deprecated(
                    f"The '{name}' parameter is deprecated and will be removed in aiohttp 4: pass "
                    f"{headers}={{'{field}': aiohttp.encode_basic_auth(login, password)}} instead"
                )

    def _keep_timeout(self) -> None:
        """What has been made of conn_timeout and read_timeout, or of None, in aiohttp's class."""
        now: Any = self._timeout  # type: ignore[has-type]
        if isinstance(now, ClientTimeout) and now is not self._arguments[1].get("timeout"):
            kind: Any = type(type(self)._timeout_default)  # type: ignore[attr-defined]
            self._timeout = kind(now.total, now.connect, now.sock_read, now.sock_connect)

    def _be_companion(self) -> None:
        """Have the companion do everything: for subclasses, whose objects must be theirs."""
        base_url, kwargs = self._arguments
        kind: Any = type(self)
        if kwargs.get("response_class") is kind._response:
            kwargs = {name: kwargs[name] for name in kwargs if name != "response_class"}
        self._companion = own = kind._original(base_url, **kwargs)
        for name, value in vars(own).items():  # what its properties tell is what ours do
            setattr(self, name, value)
        own._trace_configs = [TracesFor(self, config) for config in own._trace_configs]
        kept = getattr(kind, "_kept_request", None)  # where ours is replaced, that was called first
        self._instead = own._request if kept is None else kept.__get__(own)
        for name in METHODS:
            if type(getattr(kind, name)) is _core.MethodFace:  # no subclass has its own
                method = getattr(kind._original, name)
                setattr(self, name, method.__get__(self))

    def _aiohttps(self) -> Any:
        """The companion, made when it is first needed."""
        session: Any = self
        if session._connector is None or session._connector.closed:
            raise RuntimeError("Session is closed")
        if self._companion is None:
            base_url, kwargs = self._arguments
            given = {name: kwargs[name] for name in kwargs if name not in NOT_HANDED_ON}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # the session has warned
                self._companion = type(self)._original(  # type: ignore[attr-defined]
                    base_url,
                    connector=session._connector,
                    connector_owner=False,
                    cookie_jar=session._cookie_jar,
                    **given,
                )
            own = self._companion
            own._default_headers = session._default_headers
            own._trace_configs = [TracesFor(self, config) for config in own._trace_configs]
        return self._companion

    def _by_companion(self) -> Any:
        """What makes a request by the companion."""
        own = self._aiohttps()
        return getattr(own, "_instead", None) or own._request  # not what a program has put there

    def _upgrades(self) -> Any:
        """The same, for what may become another protocol: its user wants aiohttp's connection."""
        falls_back(type(self).__name__, "a request with Upgrade")
        return self._by_companion()

    async def _ws_connect(self, url: Any, **kwargs: Any) -> Any:
        """A WebSocket, by aiohttp's own client."""
        falls_back(type(self).__name__, "WebSockets are aiohttp's own")
        return await self._aiohttps()._ws_connect(url, **kwargs)

    async def __aenter__(self) -> Any:  # C's is for uvolt's loop only
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the session, and its companion."""
        companion, self._companion = self._companion, None
        if companion is not None:
            await companion.close()
        if "_instead" in vars(self):
            self._connector = None
            return
        await super().close()  # type: ignore[misc]

    def detach(self) -> None:
        """Close the session and leave the connector open."""
        if self._companion is not None:
            self._companion.detach()
            self._companion = None
        super().detach()  # type: ignore[misc]

    def __del__(self, _warnings: Any = warnings) -> None:
        if self._companion is not None:
            self._companion.detach()
        super().__del__(_warnings)  # type: ignore[misc]


async def _request_by_either(self: Any, method: str, str_or_url: Any, **kwargs: Any) -> Any:
    """A request that is not plain: uvolt.http's _request() asks for _instead."""
    return await ClientSession._request(self, method, str_or_url, **kwargs)


class _InsteadByEither:
    """aiohttp's own client's _request(), if the inside of the connector was replaced."""

    def __get__(self, session: Any, owner: Any = None) -> Any:
        connector = None if session is None else session._connector
        if connector is None or not is_replaced(connector):
            return None
        return session._by_companion()


@on_replacement
def look_at_connectors(do: bool = True) -> None:
    """Whether sessions ask if anything is replaced. Not before something is: a class with a
    _request() of its own has no plain requests."""
    if do:
        SessionMixin._request = _request_by_either  # type: ignore[attr-defined]
        SessionMixin._instead = _InsteadByEither()
    elif "_request" in vars(SessionMixin):
        del SessionMixin._request, SessionMixin._instead  # type: ignore[attr-defined, misc]
