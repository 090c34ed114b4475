"""ClientResponse: what is rare of it; the rest is in the C core."""

from __future__ import annotations

__all__ = ("ClientResponse",)


class ClientResponse:
    """A response."""
