"""Types of arguments, under aiohttp's names (aiohttp.typedefs)."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http.cookies import BaseCookie, Morsel
from typing import TYPE_CHECKING, Any, TypedDict, Union

from multidict import CIMultiDict, CIMultiDictProxy, istr
from yarl import URL, Query

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ssl import SSLContext

    from .helpers import BasicAuth, _Sentinel
    from .middlewares import ClientMiddlewareType
    from .reqrep import SSLArgument
    from .response import ClientResponse
    from .timeouts import ClientTimeout
    from .upload import UploadTracker

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


if TYPE_CHECKING:

    class CommonOptions(TypedDict, total=False):
        """Keywords that all of a session's methods take as they come: those of _request() but for
        data and allow_redirects, which some have by name."""

        params: Query
        json: Any
        cookies: LooseCookies | None
        headers: LooseHeaders | None
        skip_auto_headers: Iterable[str] | None
        auth: BasicAuth | None
        max_redirects: int
        compress: str | bool | None
        chunked: bool | None
        expect100: bool
        raise_for_status: RaiseForStatus | None
        read_until_eof: bool
        proxy: StrOrURL | None
        proxy_auth: BasicAuth | None
        timeout: ClientTimeout | float | None | _Sentinel
        verify_ssl: bool | None
        fingerprint: bytes | None
        ssl_context: SSLContext | None
        ssl: SSLArgument | None
        server_hostname: str | None
        proxy_headers: LooseHeaders | None
        trace_request_ctx: object
        read_bufsize: int | None
        auto_decompress: bool | None
        max_line_size: int | None
        max_field_size: int | None
        max_headers: int | None
        middlewares: Sequence[ClientMiddlewareType] | None
        upload_tracker: UploadTracker | None
        retry: bool | None

    class DataOptions(CommonOptions, total=False):
        data: Any

    class RedirectOptions(CommonOptions, total=False):
        allow_redirects: bool

    class RequestOptions(DataOptions, RedirectOptions, total=False):
        pass
