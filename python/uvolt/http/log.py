"""The loggers of uvolt.http. While aiohttp is swapped they are aiohttp's own: a program that has
set levels and handlers for those hears the same.
"""

from __future__ import annotations

import logging

__all__ = ("client", "internal", "put_back", "put_in")

_own = logging.getLogger("uvolt.http")

client = _own  # what concerns who calls: the environment, files of credentials
internal = _own  # the rest: cookies that were dropped, misuse of streams


def put_in(client_logger: logging.Logger, internal_logger: logging.Logger) -> None:
    """Log by these from now on."""
    global client, internal
    client, internal = client_logger, internal_logger


def put_back() -> None:
    """Log by uvolt.http's own again."""
    put_in(_own, _own)
