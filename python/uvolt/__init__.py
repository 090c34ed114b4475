"""uvolt: an asyncio event loop in C on libuv.

``uvolt.install()`` makes asyncio use it; ``uvolt.run(main())`` runs one coroutine on it. Everything
else is asyncio's own interface: see https://docs.python.org/3/library/asyncio.html. ``uvolt.http``
is an HTTP client with aiohttp's interface; ``uvolt.install(aiohttp=True)`` puts it under aiohttp's
own names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._core import libuv_version
from ._version import __version__
from .loop import Loop
from .runner import install, new_event_loop, run, uninstall

if TYPE_CHECKING:
    from .policy import EventLoopPolicy as EventLoopPolicy

__all__ = (
    "EventLoopPolicy",
    "Loop",
    "__version__",
    "install",
    "libuv_version",
    "new_event_loop",
    "run",
    "uninstall",
)


if not TYPE_CHECKING:  # to a type checker, a name that is not there is an error

    def __getattr__(name: str) -> Any:
        # Policies are deprecated from Python 3.14 on: their module is imported for who asks.
        if name == "EventLoopPolicy":
            from .policy import EventLoopPolicy

            return EventLoopPolicy
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
