"""What aiohttp lends: some of it always, the rest while its names are ours (else it is None)."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from typing import Any

context: Callable[[bool], ssl.SSLContext] | None = None
"""Its default contexts, for True and for False, serve us too: their certificates are read once."""

payload: Callable[..., Any] | None = None
"""What its registry has for a value that is unknown here; None if it has nothing."""


def payload_of_aiohttp(data: Any, *args: Any, **kwargs: Any) -> Any:
    """What aiohttp's registry has for a value; None if it has nothing, or is not imported."""
    theirs: Any = sys.modules.get("aiohttp.payload")
    if theirs is None:
        return None
    try:
        return theirs.PAYLOAD_REGISTRY.get(data, *args, **kwargs)
    except theirs.LookupError:
        return None
