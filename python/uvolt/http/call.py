"""A call of a session while it is under way: what was asked for, and its way through redirects.

Source: https://docs.aiohttp.org/en/stable/client_reference.html#client-session
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from multidict import CIMultiDict
from yarl import URL

from .exceptions import (
    ClientPayloadError,
    InvalidUrlRedirectClientError,
    NonHttpUrlRedirectClientError,
    TooManyRedirects,
)
from .helpers import BasicAuth
from .proxy import Proxy
from .reqrep import SSLArgument
from .response import ClientResponse
from .timeouts import ClientTimeout
from .typedefs import LooseCookies
from .upload import Upload

if TYPE_CHECKING:
    from .middlewares import ClientMiddlewareType
    from .tracing import Traces
    from .upload import UploadTracker

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
# What the caller has said to one origin only: credentials, and what that is called.
OF_ORIGIN: Final = ("Authorization", "Cookie", "Proxy-Authorization", "Host")


@dataclasses.dataclass(slots=True, repr=False, eq=False)
class Call:
    """What a call of the session asks for; it changes as redirects are followed."""

    method: str
    url: URL
    params: Any
    data: Any
    headers: CIMultiDict[str]
    raise_for_status: Any
    timeout: ClientTimeout
    auto_decompress: bool
    read_bufsize: int
    limits: tuple[int, int, int, bool]  # the last: no body without a length (read_until_eof)
    cookies: LooseCookies | None = None
    auth: BasicAuth | None = None
    ssl: SSLArgument = True
    server_hostname: str | None = None
    proxy: Proxy | None = None
    asks_environment: bool = False  # for a proxy, at every hop
    skip_auto_headers: frozenset[str] = frozenset()
    compress: str | bool | None = None
    chunked: bool | None = None
    expect100: bool = False
    allow_redirects: bool = True
    max_redirects: int = 10
    end_by: float | None = None
    history: list[ClientResponse] = dataclasses.field(default_factory=list)
    left_origin: bool = False
    closed_by_server: bool = False
    upload: Upload | None = None
    middlewares: Sequence[ClientMiddlewareType] = ()
    retry: bool = True
    traces: Traces | None = None
    tracker: UploadTracker | None = None
    trace_context: object = None

    async def begin(self) -> None:
        """on_request_start."""
        if self.traces is not None:
            await self.traces.start(
                self.trace_context,
                self.method,
                self.url.update_query(self.params),
                self.headers,
            )

    async def tell(self, signal: str, what: object) -> None:
        """One of the other signals that are about the call."""
        if self.traces is not None:
            url = self.url.update_query(self.params)
            await self.traces.send(signal, self.method, url, self.headers, what)

    async def redirect(self, response: ClientResponse, location: str, *, requote: bool) -> None:
        """Make this the call for the next hop. Raises TooManyRedirects, ClientPayloadError if the
        body is needed again and gone, RedirectClientErrors for a Location that cannot be used."""
        self.history.append(response)
        if self.max_redirects and len(self.history) >= self.max_redirects:
            response.close()
            raise TooManyRedirects(self.history[0].request_info, tuple(self.history))
        # RFC 9110, 15.4: 303 is GET from now on; 301 and 302 are after POST, as browsers do it.
        if (response.status == 303 and response.method != "HEAD") or (
            response.status in (301, 302) and response.method == "POST"
        ):
            response.release()
            await self.close()
            self.method = "GET"
            self.data = None
            for name in ("Content-Length", "Transfer-Encoding"):
                self.headers.popall(name, None)
        else:
            response.release()
            if self.upload is not None:
                await self.upload.wait()
            if getattr(self.data, "consumed", False):
                raise ClientPayloadError(
                    "Cannot follow redirect with a consumed request body. Use bytes, a seekable "
                    "file-like object, or set allow_redirects=False."
                )
        url = redirect_target(self.url, location, requote)
        if url.origin() != self.url.origin():
            self.left_origin = True
            self.auth = None
            self.cookies = None
            for name in OF_ORIGIN:
                self.headers.popall(name, None)
        self.url = url
        self.params = {}

    async def close(self) -> None:
        """The body is not needed any more."""
        close = getattr(self.data, "close", None)
        if close is None or not hasattr(self.data, "write_with_length"):
            return
        if self.upload is not None and self.upload.is_running:
            loop, payload = asyncio.get_running_loop(), self.data
            self.upload.then(lambda _: loop.is_closed() or loop.create_task(payload.close()))
            return
        await close()


# Spaces and control characters around a URL, tabs and line ends in it, are dropped by who reads it.
_AROUND: Final = "".join(map(chr, range(0x21)))
_WITHIN: Final = str.maketrans("", "", "\t\n\r")


def redirect_target(base: URL, location: str, requote: bool) -> URL:
    """Where a Location leads. Raises a RedirectClientError for what is no URL of HTTP."""
    try:
        url = URL(location, encoded=not requote)
        _ = url.port  # which is read only now if nothing is requoted
    except (ValueError, IndexError) as exc:  # yarl's of "http://]"
        raise InvalidUrlRedirectClientError(
            location, "Server attempted redirecting to a location that does not look like a URL"
        ) from exc
    if url.scheme not in ("", "http", "https"):
        raise NonHttpUrlRedirectClientError(location)
    if not url.scheme:
        url = base.join(url)
    elif url.scheme == base.scheme:
        # "http:path" is relative to an http URL, as browsers have it.
        rest = location.strip(_AROUND).translate(_WITHIN)[len(url.scheme) + 1 :]
        if not (rest[:1] in ("/", "\\") and rest[1:2] in ("/", "\\")):
            url = base.join(url)
    try:
        url.origin()
    except ValueError as exc:
        raise InvalidUrlRedirectClientError(url, "Invalid redirect URL origin") from exc
    return url


_not_in_names = re.compile(r"[\x00-\x20\x7f#%/<>?@\[\\\]^|]").search


def is_host(host: str | None) -> bool:
    """Whether a URL has a host, and nothing that no host has: a%2Fb (URL standard, 3.2)."""
    return bool(host) and (":" in str(host) or _not_in_names(str(host)) is None)


async def check_status(response: ClientResponse, raise_for_status: Any) -> None:
    """Do as raise_for_status says: nothing, raise, or await it."""
    if callable(raise_for_status):
        await raise_for_status(response)
    elif raise_for_status:
        response.raise_for_status()
