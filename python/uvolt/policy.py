"""The event loop policy: asyncio's default one with our loop. Imported only when asked for."""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING, Any

from .loop import Loop

if TYPE_CHECKING:
    _Base = asyncio.DefaultEventLoopPolicy
else:
    with warnings.catch_warnings():  # Python 3.14: the name itself warns
        warnings.simplefilter("ignore", DeprecationWarning)
        _Base = asyncio.DefaultEventLoopPolicy


class EventLoopPolicy(_Base):
    """asyncio.DefaultEventLoopPolicy whose new_event_loop() makes a uvolt.Loop.

    Child watchers (Python 3.10 and 3.11) and the rules of get_event_loop() are asyncio's.
    """

    _loop_factory: Any = Loop
