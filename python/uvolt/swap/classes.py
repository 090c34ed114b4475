"""SwapType: the metaclass of the classes that stand in aiohttp's names.

Such a class is a subclass of uvolt.http's and of aiohttp's class of its name. So an object of it is
an instance of aiohttp's class for who has taken that name before the swap. The other way round
(aiohttp's own objects, for who takes the name after it) is the metaclass's doing, and so is what
happens to subclasses that programs write: those that replace what is private to aiohttp become
subclasses of aiohttp's class, since nobody would call what they replace here.
"""

from __future__ import annotations

import inspect
import logging
from abc import ABCMeta
from typing import Any, Protocol

__all__ = ("SwapType", "falls_back", "logger")

logger = logging.getLogger("uvolt")


def falls_back(name: str, why: str) -> None:
    """Tell the log that aiohttp itself does the work."""
    logger.debug("aiohttp.%s falls back to aiohttp's own: %s", name, why)


# A class may have a session and an abstract class, or a protocol, among its bases.
_ProtocolType: Any = type(Protocol)


class SwapType(_ProtocolType):  # type: ignore[misc]
    """_original: aiohttp's class, in the class that stands for it itself (not in subclasses).
    _free: private names that a subclass may define nevertheless; None: a subclass is always one of
    aiohttp's class. _bound: public names that it may not."""

    _original: type
    _free: frozenset[str] | None
    _bound: frozenset[str] = frozenset()

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any
    ) -> Any:
        if "_original" not in namespace:
            why = _why_not(bases, namespace)
            if why is not None:
                falls_back(bases[0].__name__, f"subclass {name} {why}")
                bases = tuple(base.__dict__.get("_original", base) for base in bases)
                metaclass: Any = type
                for base in bases:
                    if issubclass(type(base), metaclass):
                        metaclass = type(base)
                return metaclass(name, bases, namespace, **kwargs)
        return super().__new__(mcls, name, bases, namespace, **kwargs)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        missing = cls.__abstractmethods__ if inspect.isabstract(cls) else ()
        if missing:  # object.__new__() looks for this, C's do not
            names = ", ".join(sorted(missing))
            raise TypeError(f"Can't instantiate abstract class {cls.__name__} without {names}")
        return super().__call__(*args, **kwargs)

    def _is_aiohttps_business(cls, name: str) -> bool:
        """Whether what has this name is called by aiohttp's own client alone."""
        if name in cls._bound:
            return True
        is_private = name.startswith("_") and not name.endswith("__")
        return is_private and name not in (cls._free or ()) and hasattr(cls._original, name)

    @property
    def __signature__(cls) -> inspect.Signature:  # not that of __call__()
        if "_original" not in cls.__dict__:
            raise AttributeError("__signature__")
        return inspect.signature(cls._original)

    def __instancecheck__(cls, instance: Any) -> bool:
        original = cls.__dict__.get("_original")
        if original is None:
            return ABCMeta.__instancecheck__(cls, instance)
        return type.__instancecheck__(original, instance)

    def __subclasscheck__(cls, subclass: Any) -> bool:
        original = cls.__dict__.get("_original")
        if original is None:
            return ABCMeta.__subclasscheck__(cls, subclass)
        return type.__subclasscheck__(original, subclass)


def _why_not(bases: tuple[type, ...], namespace: dict[str, Any]) -> str | None:
    """Why a subclass with these bases must be one of aiohttp's class; None: it need not be."""
    defined = set(namespace)
    for base in bases:  # what is mixed in counts as well
        if not isinstance(base, SwapType):
            defined.update(*(vars(cls) for cls in base.__mro__[:-1]))
    for base in bases:
        if not isinstance(base, SwapType) or "_original" not in base.__dict__:
            continue  # a subclass of a subclass is what that is
        if base._free is None:
            return "may replace anything"
        for name in sorted(defined):
            if base._is_aiohttps_business(name):
                return f"replaces the private {name}" if name[0] == "_" else f"replaces {name}()"
    return None
