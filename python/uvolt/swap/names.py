"""Which of aiohttp's names the swap takes, in which modules, and what stands in them.

Imported once aiohttp is there. A module of aiohttp's goes on using its own names: only who asks
the module for them from outside gets ours. So aiohttp's own client, which does what uvolt.http
does not, is whole.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import aiohttp
import aiohttp.client
import aiohttp.client_exceptions
import aiohttp.client_reqrep
import aiohttp.connector
import aiohttp.cookiejar
import aiohttp.log

from .. import _core, http
from ..http import exceptions, lent, log
from ..http.client import session_for_one
from . import errors
from .classes import SwapType, logger
from .connector import ConnectorMixin, ConnectorType
from .replaced import Shared, replaceable_names
from .response import ResponseMixin
from .session import SessionMixin, SessionType, look_at_connectors

__all__ = ("put_back", "put_in")

INSIDE = ("aiohttp.client", "aiohttp.client_reqrep", "aiohttp.connector", "aiohttp.cookiejar")
OUTSIDE = ("aiohttp", "aiohttp.test_utils")

SESSION_FREE = frozenset({"_request", "_ws_connect"})

# Methods that are to look like aiohttp's: most are C's, which is no function to who looks at it.
SESSION_FACES = "request get options head post put patch delete __init__ close __aenter__ __aexit__"
RESPONSE_FACES = "read text json release close wait_for_close __aenter__ __aexit__"


def _make(metaclass: Any, original: Any, bases: tuple[Any, ...], **more: Any) -> Any:
    namespace = {
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
        "__doc__": original.__doc__,
        "_original": original,
        **more,
    }
    return metaclass(original.__name__, (*bases, original), namespace)


def _faces(names: str, original: Any, *bases: Any) -> dict[str, Any]:
    faces: dict[str, Any] = {}
    for name in names.split():
        method = next(getattr(base, name) for base in bases if hasattr(base, name))
        faces[name] = _core.MethodFace(method, getattr(original, name))
    return faces


def _make_all() -> dict[str, Any]:
    """Name -> what stands in it."""
    made: dict[str, Any] = {}
    bound = {"_free": frozenset(), "_bound": frozenset({"connect"})}
    inside = replaceable_names(aiohttp.BaseConnector, http.BaseConnector, ConnectorMixin)
    made["BaseConnector"] = base = _make(
        ConnectorType,
        aiohttp.BaseConnector,
        (ConnectorMixin, http.BaseConnector),
        _closed_error=aiohttp.ClientConnectionError,
        _replaceable=frozenset({"connect", *inside}),
        **bound,
        **inside,
    )
    for name in ("TCPConnector", "UnixConnector"):
        original, ours = getattr(aiohttp, name), getattr(http, name)
        more = replaceable_names(original, ours, ConnectorMixin)
        if name == "TCPConnector":
            more["_resolve_host"] = Shared(ours._resolve_host)
        made[name] = _make(
            ConnectorType,
            original,
            (base, ours),
            _replaceable=frozenset({"connect", *inside, *more}),
            **bound,
            **more,
        )
    for name in ("CookieJar", "DummyCookieJar"):
        made[name] = _make(
            SwapType, getattr(aiohttp, name), (getattr(http, name),), _free=frozenset()
        )
    made["ClientResponse"] = response = _make(
        SwapType,
        aiohttp.ClientResponse,
        (ResponseMixin, http.ClientResponse),
        _free=None,
        _info_class=aiohttp.RequestInfo,
        **_faces(RESPONSE_FACES, aiohttp.ClientResponse, http.ClientResponse),
    )
    made["ClientSession"] = _make(
        SessionType,
        aiohttp.ClientSession,
        (SessionMixin, http.ClientSession),
        _free=SESSION_FREE,
        _connector_class=made["TCPConnector"],
        _jar_class=made["CookieJar"],
        _response=response,
        _stock={
            "request_class": (aiohttp.ClientRequest, None),
            "response_class": (aiohttp.ClientResponse, response, http.ClientResponse),
        },
        _timeout_default=aiohttp.client.DEFAULT_TIMEOUT,
        _own_request=_own_request(),
        **_debug_setattr(),
        **_faces(SESSION_FACES, aiohttp.ClientSession, SessionMixin, http.ClientSession),
    )
    made["request"] = _make_request(made["ClientSession"], made["TCPConnector"])
    return made


def _own_request() -> Any:
    """aiohttp's ClientSession._request(); None if it is replaced: it is not from where another
    method is then."""
    own, other = (vars(aiohttp.ClientSession)[name] for name in ("_request", "detach"))
    is_own = type(own) is type(other) and own.__code__.co_filename == other.__code__.co_filename
    return own if is_own else None


def _debug_setattr() -> dict[str, Any]:
    """In debug mode aiohttp warns of attributes that a session is given; our own are no news."""
    original = aiohttp.ClientSession
    if "__setattr__" not in original.__dict__:
        return {}
    known = {*original.ATTRS, *dir(http.ClientSession), *dir(SessionMixin), "_arguments"}
    known |= set(http.ClientSession.__init__.__code__.co_names)
    return {"ATTRS": frozenset(known)}


def _make_request(session_class: Any, connector_class: Any) -> Any:
    def request(
        method: str,
        url: Any,
        *,
        version: Any = http.HttpVersion11,
        connector: Any = None,
        loop: Any = None,
        **kwargs: Any,
    ) -> Any:
        """One request with a session of its own, for `async with`: as aiohttp.request()."""
        session = session_for_one(session_class, connector_class, kwargs, version, connector, loop)
        manager: Any = aiohttp.client._SessionRequestContextManager
        return manager(session._request(method, url, **kwargs), session)

    request.__module__, request.__qualname__ = "aiohttp.client", "request"
    return request


class _View(ModuleType):
    """A module whose names look different from outside: see _view_of()."""


def _view_of(module: ModuleType, swapped: dict[str, Any]) -> type:
    """A class for a module: names in `swapped` are those to who asks the module. Its dict stays as
    it is; a name that somebody sets is set for all."""
    namespace: dict[str, Any] = {}
    for name, ours in swapped.items():
        if name in module.__dict__:
            namespace[name] = _name(name, module.__dict__[name], ours)
    return type("module", (_View,), namespace)


def _name(name: str, original: Any, ours: Any) -> property:
    def get(module: ModuleType) -> Any:
        try:
            now = module.__dict__[name]
        except KeyError:
            raise AttributeError(name) from None
        return ours if now is original else now

    def put(module: ModuleType, value: Any) -> None:
        module.__dict__[name] = original if value is ours else value

    def delete(module: ModuleType) -> None:
        del module.__dict__[name]

    return property(get, put, delete)


_made: dict[str, Any] = {}
_raised: dict[type, type] = {}
_originals: dict[str, Any] = {}
_is_in = False


def put_in() -> None:
    """Put ours in. An aiohttp that this does not know how to is left as it is, with a warning."""
    global _is_in
    if _is_in:
        return
    if not _made:
        try:
            _raised.update(errors.make(aiohttp.client_exceptions))
            _made.update(_make_all())
        except Exception as exc:
            version = getattr(aiohttp, "__version__", "?")
            logger.warning("aiohttp %s stays as it is: %r", version, exc, exc_info=True)
            return
        _originals.update((name, getattr(aiohttp, name)) for name in _made)
    _is_in = True
    exceptions._raised_instead.update(_raised)
    lent.payload = lent.payload_of_aiohttp
    if _CONTEXTS <= vars(aiohttp.connector).keys():
        lent.context = _context_of_aiohttp
    log.put_in(aiohttp.log.client_logger, aiohttp.log.internal_logger)
    for module_name in INSIDE:
        module = sys.modules[module_name]
        module.__class__ = _view_of(module, _made)
    _replace(_originals, _made)


def put_back() -> None:
    """Put aiohttp's own back."""
    global _is_in
    if not _is_in:
        return
    _is_in = False
    exceptions._raised_instead.clear()
    lent.payload = lent.context = None
    log.put_back()
    look_at_connectors(False)
    for module_name in INSIDE:
        sys.modules[module_name].__class__ = ModuleType
    _replace(_made, _originals)


_CONTEXTS = frozenset({"_SSL_CONTEXT_VERIFIED", "_SSL_CONTEXT_UNVERIFIED"})


def _context_of_aiohttp(verified: bool) -> Any:
    """What its own connectors speak TLS with: so each certificate is read once in a process, and
    somebody who has put another context there finds it used."""
    module: Any = aiohttp.connector
    return module._SSL_CONTEXT_VERIFIED if verified else module._SSL_CONTEXT_UNVERIFIED


def _replace(old: dict[str, Any], new: dict[str, Any]) -> None:
    for module_name in OUTSIDE:
        module = sys.modules.get(module_name)
        for name in new if module is not None else ():
            if module.__dict__.get(name) is old[name]:
                setattr(module, name, new[name])
