"""Middlewares: coroutines of the program around each request of a session.

Source: https://docs.aiohttp.org/en/stable/client_middleware_cookbook.html
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence

from .request import ClientRequest
from .response import ClientResponse

__all__ = ("ClientHandlerType", "ClientMiddlewareType", "build_client_middlewares")

ClientHandlerType = Callable[[ClientRequest], Awaitable[ClientResponse]]
"""Sends a request, and returns the response as soon as its head is there."""
ClientMiddlewareType = Callable[[ClientRequest, ClientHandlerType], Awaitable[ClientResponse]]
"""`async def middleware(request, handler)`: returns what handler(request) does, or another."""


def build_client_middlewares(
    handler: ClientHandlerType, middlewares: Sequence[ClientMiddlewareType]
) -> ClientHandlerType:
    """handler with middlewares around it; the first is the outermost."""
    for middleware in reversed(middlewares):
        handler = functools.partial(_call, middleware, handler)
    return handler


async def _call(
    middleware: ClientMiddlewareType, handler: ClientHandlerType, request: ClientRequest
) -> ClientResponse:
    return await middleware(request, handler)
