"""What aiohttp lends while its names are ours: uvolt.swap sets it, it is None otherwise."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

context: Callable[[bool], ssl.SSLContext] | None = None
"""Its default contexts, for True and for False, serve us too: their certificates are read once."""

payload: Callable[..., Any] | None = None
"""What its registry has for a value that is unknown here; None if it has nothing."""
