"""Base classes for what users replace: resolvers and cookie jars (aiohttp.abc)."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from http.cookies import BaseCookie, Morsel, SimpleCookie
from typing import TYPE_CHECKING, TypedDict

from yarl import URL

from .typedefs import LooseCookies

NO_URL = URL()

__all__ = ("AbstractCookieJar", "AbstractResolver", "ClearCookiePredicate", "ResolveResult")


class ResolveResult(TypedDict):
    """One address of a host."""

    hostname: str  # what was asked for
    host: str  # the address, as text
    port: int
    family: int
    proto: int
    flags: int


class AbstractResolver(ABC):
    """Turns names of hosts into addresses."""

    @abstractmethod
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host, the best first. Raises OSError if there are none."""

    @abstractmethod
    async def close(self) -> None:
        """The connector that owns it is closed."""


ClearCookiePredicate = Callable[["Morsel[str]"], bool]

if TYPE_CHECKING:
    IterableBase = Iterable[Morsel[str]]
else:
    IterableBase = Iterable


class AbstractCookieJar(Sized, IterableBase):
    """Keeps cookies, and says which go with a request (RFC 6265). len() is their number."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        # A jar may be made before there is a loop.
        self._loop = loop or asyncio._get_running_loop()

    @property
    @abstractmethod
    def unsafe(self) -> bool:
        """Whether hosts that are addresses may have cookies."""

    @property
    @abstractmethod
    def quote_cookie(self) -> bool:
        """Whether values are quoted when they are sent."""

    @property
    def treat_as_secure_origin(self) -> frozenset[URL]:
        """Origins that get Secure cookies without TLS."""
        return frozenset()

    @property
    @abstractmethod
    def cookies(self) -> Mapping[tuple[str, str], SimpleCookie]:
        """The cookies by (domain, path)."""

    @property
    @abstractmethod
    def host_only_cookies(self) -> frozenset[tuple[str, str, str]]:
        """(domain, path, name) of those that subdomains do not get."""

    @abstractmethod
    def __iter__(self) -> Iterator[Morsel[str]]:
        """The cookies that have not expired."""

    @abstractmethod
    def clear(self, predicate: ClearCookiePredicate | None = None) -> None:
        """Drop all cookies, or those for which predicate(morsel) is true and those expired."""

    @abstractmethod
    def clear_domain(self, domain: str) -> None:
        """Drop the cookies of a domain and its subdomains."""

    @abstractmethod
    def update_cookies(self, cookies: LooseCookies, response_url: URL = NO_URL) -> None:
        """Take cookies in, as if response_url had set them."""

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        """Take in the values of Set-Cookie fields."""
        from ._cookies import parse_set_cookie_headers

        parsed = parse_set_cookie_headers(headers) if headers else []
        if parsed:
            self.update_cookies(parsed, response_url)

    @abstractmethod
    def filter_cookies(self, request_url: URL) -> BaseCookie[str]:
        """The cookies that go with a request to this URL."""
