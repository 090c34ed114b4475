"""What compresses the bodies of requests: zlib, or a module that is used instead.

Bodies of responses are decompressed in C. Source: aiohttp.compression_utils.
"""

from __future__ import annotations

import zlib
from typing import Any

__all__ = ("set_zlib_backend",)

_backend: Any = zlib


def set_zlib_backend(new_zlib_backend: Any) -> None:
    """Compress bodies of requests with a module that has zlib's names, such as zlib_ng.zlib_ng or
    isal.isal_zlib."""
    global _backend
    _backend = new_zlib_backend


def compressor(coding: str, *, raw: bool = False, strategy: int | None = None) -> Any:
    """A compressobj() for "gzip" or "deflate"; raw: the latter without zlib's header."""
    wbits = _backend.MAX_WBITS
    if coding == "gzip":
        wbits += 16
    elif raw:
        wbits = -wbits
    if strategy is None:
        return _backend.compressobj(wbits=wbits)
    return _backend.compressobj(wbits=wbits, strategy=strategy)
