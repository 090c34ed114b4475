"""uvolt.install(aiohttp=True): aiohttp's client names become uvolt.http's engine.

swap_in() does it now if aiohttp is imported, else as soon as it is; swap_out() puts everything
back. Which names, and how the classes are made: docs/architecture.md, "The swap".
"""

from __future__ import annotations

import sys

from .hook import AiohttpFinder

__all__ = ("swap_in", "swap_out")

_finder: AiohttpFinder | None = None


def swap_in() -> None:
    """Make aiohttp's client uvolt's, now or when it is imported. Done twice, it is done once."""
    global _finder
    if "aiohttp" in sys.modules:
        from . import names

        names.put_in()
    elif _finder is None:
        _finder = AiohttpFinder()
        sys.meta_path.insert(0, _finder)


def swap_out() -> None:
    """Put aiohttp's own names back. What was made of ours meanwhile goes on working."""
    global _finder
    if _finder is not None:
        _finder.remove()
        _finder = None
    if "uvolt.swap.names" in sys.modules:
        from . import names

        names.put_back()
