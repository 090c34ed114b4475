"""What a ClientResponse has beside uvolt.http's while it stands for aiohttp's."""

from __future__ import annotations

from typing import Any

from .. import _core

__all__ = ("ResponseMixin",)

_info: Any = _core.ClientResponse.__dict__["request_info"]


class ResponseMixin:
    """Its RequestInfo is aiohttp's."""

    @property
    def request_info(self) -> Any:
        """What was sent."""
        info = _info.__get__(self)
        kind: Any = type(self)._info_class  # type: ignore[attr-defined]
        if info is not None and not isinstance(info, kind):
            info = kind(*info)
            _info.__set__(self, info)
        return info
