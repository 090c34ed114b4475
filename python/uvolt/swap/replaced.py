"""What happens when a program replaces what is inside a connector while it stands for aiohttp's:
connect() or a private method, of an object or of a class, as tests do with mocks.

Nobody would call it in uvolt.http. So it is put into aiohttp's own connector, the companion (or its
class), and requests of sessions with such a connector go by aiohttp's own client from then on.
"""

from __future__ import annotations

import weakref
from types import FunctionType
from typing import Any

from .classes import falls_back

__all__ = (
    "Replaceable",
    "ReplaceableConnect",
    "Shared",
    "TracesFor",
    "is_replaced",
    "on_replacement",
    "own_method",
    "replace_in_class",
    "replaceable_names",
    "restore_in_class",
    "stock_or",
)

_act: Any = None  # is called when something is replaced
_kept: dict[tuple[type, str], Any] = {}  # what aiohttp's classes had themselves
_stock: dict[tuple[type, str], Any] = {}  # what ours showed
_ABSENT = object()


def on_replacement(act: Any) -> Any:
    """Have act() called whenever something is replaced."""
    global _act
    _act = act
    return act


def _replaced(name: str, where: str) -> None:
    falls_back(where, f"somebody replaces its {name}")
    _act()


def replaceable_names(original: type, *ours: type) -> dict[str, Replaceable]:
    """Name -> what stands in it, for the private methods that are aiohttp's alone."""
    return {
        name: Replaceable(value)
        for name, value in vars(original).items()
        if name.startswith("_")
        and not name.endswith("__")
        and callable(value)
        and not any(hasattr(cls, name) for cls in ours)
    }


def is_replaced(connector: Any) -> bool:
    """Whether requests with this connector are for aiohttp's own client."""
    classes = type(connector).__mro__
    return bool(
        connector._replaced_names or any(vars(cls).get("_replaced_in_class") for cls in classes)
    )


class Replaceable:
    """A private method of aiohttp's class: the companion's. To set it is to set that. For who looks
    into the class (mock.create_autospec() does) it is the function."""

    __class__: Any = property(lambda self: FunctionType)

    def __init__(self, function: Any) -> None:
        self._function = function
        self._name: str = function.__name__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __get__(self, connector: Any, owner: Any) -> Any:
        if connector is None:
            return self._function
        return getattr(connector._aiohttps(), self._name)

    def __set__(self, connector: Any, value: Any) -> None:
        holder = self._holder_of(connector)
        vars(holder).pop(self._name, None)
        if value == self.__get__(connector, None):  # as it was
            connector._replaced_names -= {self._name}
            return
        vars(holder)[self._name] = value
        connector._replaced_names |= {self._name}
        _replaced(self._name, type(connector).__name__)

    def __delete__(self, connector: Any) -> None:
        if vars(self._holder_of(connector)).pop(self._name, None) is None:
            raise AttributeError(self._name)
        connector._replaced_names -= {self._name}

    def _holder_of(self, connector: Any) -> Any:
        return connector._aiohttps()


class ReplaceableConnect(Replaceable):
    """connect() of a connector itself, which is what aiohttp's client calls."""

    def __get__(self, connector: Any, owner: Any) -> Any:
        if connector is None:
            return self._function
        return vars(connector).get(self._name) or self._function.__get__(connector)

    def _holder_of(self, connector: Any) -> Any:
        return connector


class Shared(ReplaceableConnect):
    """A private method that ours have, too (_resolve_host()): what it is replaced with is used by
    the engine and by the companion."""

    def __set__(self, connector: Any, value: Any) -> None:
        vars(connector)[self._name] = value
        if not connector._companion_only:
            setattr(connector._aiohttps(), self._name, value)

    def __delete__(self, connector: Any) -> None:
        if vars(connector).pop(self._name, None) is None:
            raise AttributeError(self._name)
        vars(connector._aiohttps()).pop(self._name, None)


def replace_in_class(cls: Any, name: str, value: Any) -> None:
    """The attribute of a class of connectors is set (a Replaceable: restored): of aiohttp's class,
    too, if this stands for it."""
    original = cls.__dict__.get("_original")
    is_restored = isinstance(value, Replaceable) or value is _ABSENT
    if original is not None:
        kept = _kept.setdefault((original, name), vars(original).get(name, _ABSENT))
        if not is_restored:
            setattr(original, name, value)
        elif kept is not _ABSENT:
            setattr(original, name, kept)
        elif name in vars(original):
            delattr(original, name)
    names = vars(cls).get("_replaced_in_class", frozenset()) - {name}
    if not is_restored:
        names |= {name}
    type.__setattr__(cls, "_replaced_in_class", names)
    if not is_restored:
        _replaced(name, cls.__name__)


def own_method(connector: Any, name: str) -> Any:
    """A method of a connector of aiohttp's, as it was before somebody replaced it in a class."""
    for cls in type(connector).__mro__:
        method = _kept.get((cls, name), vars(cls).get(name, _ABSENT))
        if method is not _ABSENT:
            return method.__get__(connector)
    raise AttributeError(name)


def stock_or(cls: type, name: str, value: Any) -> Any:
    """The Replaceable that the class had, if value is what it showed: a program that has not used a
    tool for it puts that back. Else value."""
    mro = cls.__mro__
    had = _stock.setdefault(
        (cls, name), next((vars(c)[name] for c in mro if name in vars(c)), None)
    )
    return had if isinstance(had, Replaceable) and value is had._function else value


def restore_in_class(cls: Any, name: str) -> None:
    """The attribute of a class of connectors was deleted."""
    replace_in_class(cls, name, _ABSENT)


# ---- traces -------------------------------------------------------------------------------------


class TracesFor:
    """A TraceConfig for the companion of a session: its signals say that the session sends them."""

    def __init__(self, session: Any, config: Any) -> None:
        self._session = weakref.ref(session)
        self._config = config

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._config, name)
        return _Signal(self._session, found) if name.startswith("on_") else found


class _Signal:
    def __init__(self, session: Any, signal: Any) -> None:
        self._session = session
        self._signal = signal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._signal, name)

    async def send(self, session: Any, *args: Any) -> None:
        await self._signal.send(self._session() or session, *args)
