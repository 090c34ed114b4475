"""Types of arguments, under aiohttp's names (aiohttp.typedefs)."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http.cookies import BaseCookie, Morsel
from typing import TYPE_CHECKING, Any, Union

from multidict import CIMultiDict, CIMultiDictProxy, istr
from yarl import URL, Query

if TYPE_CHECKING:
    from .response import ClientResponse

__all__ = (
    "CharsetResolver",
    "JSONBytesEncoder",
    "JSONDecoder",
    "JSONEncoder",
    "LooseCookies",
    "LooseHeaders",
    "PathLike",
    "Query",
    "RaiseForStatus",
    "RawHeaders",
    "StrOrURL",
)

StrOrURL = str | URL
PathLike = str | os.PathLike[str]

LooseHeaders = Union[
    Mapping[str, str],
    Mapping[istr, str],
    "CIMultiDict[str]",
    "CIMultiDictProxy[str]",
    Iterable[tuple[str | istr, str]],
]
RawHeaders = tuple[tuple[bytes, bytes], ...]

CookieValue = Union[str, "BaseCookie[str]", "Morsel[Any]"]
LooseCookies = Union[
    Mapping[str, CookieValue], Iterable[tuple[str, CookieValue]], "BaseCookie[str]"
]

JSONEncoder = Callable[[Any], str]
JSONBytesEncoder = Callable[[Any], bytes]
JSONDecoder = Callable[[str], Any]

CharsetResolver = Callable[["ClientResponse", bytes], str]
RaiseForStatus = bool | Callable[["ClientResponse"], Awaitable[None]]
