"""streamer: a body written by a coroutine, which aiohttp has deprecated.

Source: aiohttp.payload_streamer.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable
from typing import Any

from .helpers import deprecated
from .payload_base import Payload, Writer, payload_type

__all__ = ("streamer",)


class _StreamWrapper:
    """One call of a decorated coroutine: what is still missing is the writer."""

    def __init__(
        self, coro: Callable[..., Awaitable[None]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.coro = types.coroutine(coro)
        self.args = args
        self.kwargs = kwargs

    async def __call__(self, writer: Writer) -> None:
        await self.coro(writer, *self.args, **self.kwargs)


class streamer:
    """Decorator of a coroutine that takes a writer first: data=function(...) sends what it writes.
    Deprecated: use an asynchronous generator."""

    def __init__(self, coro: Callable[..., Awaitable[None]]) -> None:
        deprecated("@streamer is deprecated, use async generators instead")
        self.coro = coro

    def __call__(self, *args: Any, **kwargs: Any) -> _StreamWrapper:
        return _StreamWrapper(self.coro, args, kwargs)


@payload_type(_StreamWrapper)
class StreamWrapperPayload(Payload):
    """data=function(...)"""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Not possible: TypeError."""
        raise TypeError("Unable to decode.")

    async def write(self, writer: Writer) -> None:
        """Let the coroutine write."""
        await self._value(writer)


@payload_type(streamer)
class StreamPayload(StreamWrapperPayload):
    """data=function, without a call."""

    def __init__(self, value: streamer, *args: Any, **kwargs: Any) -> None:
        super().__init__(value(), *args, **kwargs)
