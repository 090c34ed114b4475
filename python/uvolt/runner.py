"""install(), uninstall(), new_event_loop() and run()."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .loop import Loop

_T = TypeVar("_T")


def new_event_loop() -> Loop:
    """A new uvolt loop. The caller closes it."""
    return Loop()


def _policies() -> Any:
    """The functions of asyncio that get and set the policy; RuntimeError where there are none."""
    if not hasattr(asyncio, "set_event_loop_policy"):
        raise RuntimeError(
            "this Python has no event loop policies: use uvolt.run() or "
            "asyncio.run(..., loop_factory=uvolt.new_event_loop)"
        )
    return asyncio


def install(*, aiohttp: bool = False) -> None:
    """Make asyncio create uvolt loops: asyncio.run(), asyncio.Runner, new_event_loop().

    The same as ``asyncio.set_event_loop_policy(uvolt.EventLoopPolicy())``. With aiohttp=True,
    aiohttp's client becomes uvolt.http's engine as well: aiohttp.ClientSession, aiohttp.request,
    the connectors and cookie jars. aiohttp is not imported by it: what has been imported is changed
    now, else it is when the program imports it.
    """
    if aiohttp:
        from .swap import swap_in

        swap_in()
    module = _policies()
    with warnings.catch_warnings():  # deprecated from Python 3.14 on
        warnings.simplefilter("ignore", DeprecationWarning)
        from .policy import EventLoopPolicy

        module.set_event_loop_policy(EventLoopPolicy())


def uninstall() -> None:
    """Undo install(), with and without aiohttp. A policy that is not ours is left alone."""
    if "uvolt.swap" in sys.modules:
        from .swap import swap_out

        swap_out()
    module = _policies()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from .policy import EventLoopPolicy

        if isinstance(module.get_event_loop_policy(), EventLoopPolicy):
            module.set_event_loop_policy(None)


def run(
    main: Coroutine[Any, Any, _T],
    *,
    debug: bool | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> _T:
    """asyncio.run() on a uvolt loop (or one that loop_factory makes). Returns what main returns.

    Raises RuntimeError inside a running loop and ValueError if main is not a coroutine (TypeError
    from Python 3.14 on), as asyncio.run does.
    """
    if asyncio.events._get_running_loop() is not None:
        raise RuntimeError("uvolt.run() cannot be called from a running event loop")
    factory = new_event_loop if loop_factory is None else loop_factory
    if sys.version_info >= (3, 11):
        with asyncio.Runner(debug=debug, loop_factory=factory) as runner:
            return runner.run(main)
    return _run_310(main, debug, factory)


def _run_310(
    main: Coroutine[Any, Any, _T],
    debug: bool | None,
    factory: Callable[[], asyncio.AbstractEventLoop],
) -> _T:
    """run() on Python 3.10, which has no Runner: what its asyncio.run() does."""
    if not asyncio.iscoroutine(main):
        raise ValueError(f"a coroutine was expected, got {main!r}")
    loop = factory()
    try:
        asyncio.set_event_loop(loop)
        if debug is not None:
            loop.set_debug(debug)
        return loop.run_until_complete(main)
    finally:
        try:
            asyncio.runners._cancel_all_tasks(loop)  # type: ignore[attr-defined]
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()
