"""One request as it goes out: head and body from what a call of the session asks for.

The order of the fields and what is set by default are aiohttp's. Nothing with a control character
reaches the wire: ValueError before a byte is sent.
"""

from __future__ import annotations

import functools
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from http.cookies import Morsel, SimpleCookie
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiDictProxy
from yarl import URL, Query

from .. import _core
from .._version import __version__
from ._cookies import as_received, parse_cookie_header
from .compression import compressor
from .exceptions import InvalidURL
from .helpers import BasicAuth, is_basic_auth
from .proxy import Proxy, ProxyKey, is_forwarded, parse_proxy, set_proxy_headers
from .reqrep import ConnectionKey, HttpVersion, HttpVersion10, HttpVersion11, RequestInfo
from .typedefs import LooseCookies, LooseHeaders
from .upload import chunk

if TYPE_CHECKING:
    from .payload_base import Payload

__all__ = ("ClientRequest",)

SERVER_SOFTWARE: Final = f"Python/{sys.version_info[0]}.{sys.version_info[1]} uvolt/{__version__}"
AUTO_HEADERS: Final = (
    ("Accept", "*/*"),
    ("Accept-Encoding", ", ".join(_core.http_codings)),
    ("User-Agent", SERVER_SOFTWARE),
)

# RFC 9110, 9.2.2
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})

_not_token = re.compile(r"[^-!#$%&'*+.^_`|~0-9a-zA-Z]").search
_not_value = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
_not_target = re.compile(r"[\x00-\x20\x7f]").search
_is_number = re.compile(r"[0-9]+").fullmatch


@functools.cache
def bodies() -> ModuleType:
    """The module of bodies. Payloads and forms are imported with the first request that has one."""
    from . import bodies as module

    return module


def check_method(method: str) -> str:
    """The method in capitals. ValueError if it is no token."""
    bad = _not_token(method)
    if bad or not method:
        raise ValueError(
            f"Method cannot contain non-token characters {method!r} "
            f"(found at least {bad.group() if bad else ''!r})"
        )
    return method.upper()


def parse_version(version: HttpVersion | str) -> HttpVersion:
    """An HttpVersion, or one of the form "1.1". ValueError for others."""
    if isinstance(version, str):
        try:
            major, minor = (int(part) for part in version.split("."))
        except ValueError:
            raise ValueError(f"Can not parse http version number: {version}") from None
        version = HttpVersion(major, minor)
    if version not in (HttpVersion10, HttpVersion11):
        raise ValueError(f"uvolt.http speaks HTTP/1.0 and 1.1, not {version!r}")
    return version


def serialize(line: str, headers: Mapping[str, str]) -> bytes:
    """The head. ValueError for what would be more than one line, TypeError for what is no text."""
    lines = [line]
    for name, value in headers.items():
        for text in (name, value):
            if not isinstance(text, str):
                raise TypeError(f"Cannot serialize non-str key {text!r}")
        if _not_value(name) or _not_value(value):
            raise ValueError(
                "Forbidden control character detected in headers. "
                "Potential header injection attack."
            )
        if _not_token(name) or not name:
            raise ValueError(f"Invalid character in header name {name!r}")
        lines.append(f"{name}: {value}")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("utf-8")


class ClientRequest:
    """A request as it is going to be sent: what middlewares get and may change. Head, body and
    the key of its connection are made from it when it is sent.

    method; url (without its fragment) and original_url; headers; version; ssl, server_hostname,
    proxy, proxy_auth, proxy_headers: how the server is reached; chunked, compress: how the body is
    sent; response_class; auth: of the URL, if it has any. update_...() are called by the
    constructor in aiohttp's order, so a subclass (request_class of a session) may override them.

    Raises ValueError and TypeError for what cannot be sent, InvalidURL for a URL without a host.
    Source: https://docs.aiohttp.org/en/stable/client_reference.html#aiohttp.ClientRequest
    """

    GET_METHODS: ClassVar = {"GET", "HEAD", "OPTIONS", "TRACE"}
    POST_METHODS: ClassVar = {"PATCH", "POST", "PUT"}
    ALL_METHODS: ClassVar = GET_METHODS | POST_METHODS | {"DELETE"}
    DEFAULT_HEADERS: ClassVar[Mapping[str, str]] = dict(AUTO_HEADERS[:2])

    url: URL = URL()
    method = "GET"
    auth: BasicAuth | None = None
    no_reuse = False
    response: Any = None
    _body: Payload | None = None
    _skip_auto_headers: CIMultiDict[None] | None = None

    def __init__(
        self,
        method: str,
        url: URL,
        *,
        params: Query = None,
        headers: LooseHeaders | None = None,
        skip_auto_headers: Iterable[str] | None = None,
        data: Any = None,
        cookies: LooseCookies | None = None,
        auth: BasicAuth | None = None,
        version: HttpVersion | str = HttpVersion11,
        compress: str | bool | None = None,
        chunked: bool | None = None,
        expect100: bool = False,
        loop: Any = None,
        response_class: Any = None,
        proxy: URL | None = None,
        proxy_auth: BasicAuth | None = None,
        timer: Any = None,
        session: Any = None,
        ssl: Any = True,
        proxy_headers: LooseHeaders | None = None,
        traces: list[Any] | None = None,
        trust_env: bool = False,
        server_hostname: str | None = None,
    ) -> None:
        self.method = check_method(method)
        if params:
            url = url.extend_query(params)
        self.original_url = url
        self.url = url.with_fragment(None) if url.raw_fragment else url
        self.chunked = chunked
        self.compress = compress
        self.loop = loop
        self.length = None
        self.response_class = response_class
        self.server_hostname = server_hostname
        self._session = session
        self._ssl = True if ssl is None else ssl
        self._traces = traces or []
        self.update_version(version)
        self.update_host(url)
        self.update_headers(headers)
        self.update_auto_headers(skip_auto_headers)
        self.update_cookies(cookies)
        self.update_content_encoding(data)
        self.update_auth(auth, trust_env)
        self.update_proxy(proxy, proxy_auth, proxy_headers)
        self.update_body_from_data(data)
        if data is not None or self.method not in self.GET_METHODS:
            self.update_transfer_encoding()
        self.update_expect_continue(expect100)

    # ---- where it goes

    @property
    def session(self) -> Any:
        """The session that makes it: a middleware may use it for requests of its own."""
        return self._session

    @property
    def ssl(self) -> Any:
        """What the call said: True, False, an SSLContext or a Fingerprint."""
        return self._ssl

    @property
    def host(self) -> str:
        """Of the URL, encoded."""
        assert self.url.raw_host is not None
        return self.url.raw_host

    @property
    def port(self) -> int | None:
        """Of the URL, or its scheme's own."""
        return self.url.port

    @property
    def skip_auto_headers(self) -> CIMultiDict[None]:
        """Fields that are not set by default."""
        return self._skip_auto_headers or CIMultiDict()

    @property
    def request_info(self) -> RequestInfo:
        """What responses and errors have of it; its headers are these headers."""
        return RequestInfo(self.url, self.method, CIMultiDictProxy(self.headers), self.original_url)

    @property
    def connection_key(self) -> ConnectionKey:
        """Which connections it may be sent on."""
        key = ConnectionKey(
            self.url.raw_host or "",
            self.url.port,
            self.is_ssl(),
            self._ssl,
            server_hostname=self.server_hostname,
        )
        proxy = self._proxy()
        return key if proxy is None else ProxyKey.make(key, proxy)

    def _proxy(self) -> Proxy | None:
        if self.proxy is None:
            return None
        headers = self.proxy_headers.items() if self.proxy_headers else ()
        return Proxy(self.proxy, self.proxy_auth, tuple(headers))

    def is_ssl(self) -> bool:
        """Whether it goes over TLS."""
        return self.url.scheme in ("https", "wss")

    def update_version(self, version: HttpVersion | str) -> None:
        """Set the version: "1.1" or an HttpVersion."""
        self.version = parse_version(version)

    def update_host(self, url: URL) -> None:
        """Check that there is a host, and take the credentials of the URL."""
        if not url.raw_host:
            raise InvalidURL(url)
        if url.raw_user or url.raw_password:
            self.auth = BasicAuth._make_unchecked(url.user or "", url.password or "")

    def update_proxy(
        self,
        proxy: URL | None,
        proxy_auth: BasicAuth | None,
        proxy_headers: LooseHeaders | None,
    ) -> None:
        """Set the proxy; credentials in its URL become proxy_auth. ValueError for a proxy_auth that
        is no BasicAuth, InvalidURL for a proxy that cannot be used."""
        self.proxy: URL | None = None
        self.proxy_auth: BasicAuth | None = None
        self.proxy_headers: Any = None
        if proxy is None:
            return
        self.proxy, self.proxy_auth, _ = parse_proxy(proxy, proxy_auth)
        if proxy_headers is not None and not isinstance(proxy_headers, MultiDict | MultiDictProxy):
            proxy_headers = CIMultiDict(proxy_headers)
        self.proxy_headers = proxy_headers

    # ---- the head

    def update_headers(self, headers: LooseHeaders | None) -> None:
        """Host, and the fields that are given."""
        self.headers: CIMultiDict[str] = CIMultiDict()
        host = self.url.host_port_subcomponent
        if not host:
            raise InvalidURL(self.url)
        self.headers["Host"] = host
        if not headers:
            return
        pairs = headers.items() if isinstance(headers, dict | Mapping) else headers
        for name, value in pairs:
            if name.lower() == "host":
                self.headers[name] = value
            else:
                self.headers.add(name, value)

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        """What is sent if it is not given: Accept, Accept-Encoding, User-Agent."""
        skip: Any = ()
        if skip_auto_headers:
            skip = CIMultiDict((name, None) for name in sorted(skip_auto_headers))
            self._skip_auto_headers = skip
        agent = getattr(self._session, "_user_agent", None) or SERVER_SOFTWARE
        for name, value in (*self.DEFAULT_HEADERS.items(), ("User-Agent", agent)):
            if name not in self.headers and name not in skip:
                self.headers[name] = value

    def update_cookies(self, cookies: LooseCookies | None) -> None:
        """Add cookies to the Cookie field."""
        if not cookies:
            return
        field = getattr(cookies, "field", None)
        if field is not None and "Cookie" not in self.headers:
            self.headers["Cookie"] = field  # all of them, in their order
            return
        merged: SimpleCookie = SimpleCookie()
        if "Cookie" in self.headers:
            merged.update(parse_cookie_header(self.headers["Cookie"]))
            del self.headers["Cookie"]
        for name, value in cookies.items() if isinstance(cookies, Mapping) else cookies:
            merged[name] = as_received(value) if isinstance(value, Morsel) else value  # type: ignore[assignment]
        self.headers["Cookie"] = merged.output(header="", sep=";").strip()

    def update_content_encoding(self, data: Any) -> None:
        """Content-Encoding, if the body is to be compressed and is not empty."""
        if not data:
            self.compress = None
            return
        if not self.compress:
            return
        if self.headers.get("Content-Encoding"):
            raise ValueError("compress can not be set if Content-Encoding header is set")
        coding = self.compress if isinstance(self.compress, str) else "deflate"
        if coding not in ("deflate", "gzip"):
            raise ValueError(f"compress can be 'deflate' or 'gzip', not {coding!r}")
        self.headers["Content-Encoding"] = self.compress = coding
        self.chunked = True

    def update_auth(self, auth: BasicAuth | None, trust_env: bool = False) -> None:
        """Authorization, of these credentials or else the URL's."""
        if auth is None:
            auth = self.auth
        if auth is None:
            return
        if not is_basic_auth(auth):
            raise TypeError("BasicAuth() tuple is required instead")
        self.headers["Authorization"] = auth.encode()

    def update_transfer_encoding(self) -> None:
        """Transfer-Encoding, if the body is sent in chunks."""
        headers = self.headers
        if self.chunked and "Content-Length" in headers:
            raise ValueError("chunked can not be set if Content-Length header is set")
        if self.chunked and "Transfer-Encoding" not in headers:
            headers["Transfer-Encoding"] = "chunked"

    def update_expect_continue(self, expect: bool = False) -> None:
        """Expect: 100-continue, if the server is to be asked before the body is sent."""
        if expect:
            self.headers["Expect"] = "100-continue"

    @property
    def expects_continue(self) -> bool:
        """Whether the body waits for 100 Continue."""
        return self.headers.get("Expect", "").lower() == "100-continue"

    def finish_headers(self, force_close: bool) -> None:
        """What is set last, when it is sent: Content-Type and Connection."""
        headers = self.headers
        proxy = self._proxy()
        if proxy is not None:
            set_proxy_headers(headers, proxy, self.is_ssl())
        if (
            self.method in self.POST_METHODS
            and "Content-Type" not in headers
            and "Content-Type" not in self.skip_auto_headers
        ):
            headers["Content-Type"] = bodies().OCTETS
        if "Connection" not in headers:
            if force_close:
                if self.version == HttpVersion11:
                    headers["Connection"] = "close"
            elif self.version == HttpVersion10:
                headers["Connection"] = "keep-alive"
        tokens = headers.get("Connection", "").lower()
        self.no_reuse = force_close or "close" in tokens
        if self.version == HttpVersion10 and "keep-alive" not in tokens:
            self.no_reuse = True
        if self._body is None and self.content_length():
            self.no_reuse = True  # what comes next would be taken for the body that is missing

    def head(self) -> bytes:
        """Request line and fields, with the empty line. ValueError for control characters."""
        url = self.url
        if self.method == "CONNECT":
            target = f"{url.host_subcomponent}:{url.port}"
        elif self.proxy is not None and is_forwarded(self.proxy, self.is_ssl()):
            target = str(url)
        else:
            target = url.raw_path_qs
        if _not_target(target):
            raise ValueError(f"Invalid character in request target {target!r}")
        return serialize(
            f"{self.method} {target} HTTP/{self.version[0]}.{self.version[1]}", self.headers
        )

    # ---- the body

    @property
    def body(self) -> Payload | Literal[b""]:
        """The body, b"" if there is none. To be set by update_body(): an assignment closes nothing
        that has to be waited for."""
        return b"" if self._body is None else self._body

    @body.setter
    def body(self, value: Any) -> None:
        if self._body is not None:
            _close_now(self._body, 2)
        self._update_body(value)

    async def update_body(self, body: Any) -> None:
        """Send another body, of whatever kind data= may be; the one it replaces is closed."""
        if self._body is not None:
            await self._body.close()
        self._update_body(body)

    async def close(self) -> None:
        """Nothing to wait for: the task that sends the body is the exchange's, and ends with it."""

    def terminate(self) -> None:
        """Nothing to stop, for the same reason."""

    def _update_body(self, body: Any) -> None:
        self.headers.popall("Content-Length", None)
        if self.chunked:
            self.headers.popall("Transfer-Encoding", None)
        self.update_body_from_data(body)
        if body is not None or self.method not in self.GET_METHODS:
            self.update_transfer_encoding()

    def update_body_from_data(self, body: Any) -> None:
        """Set the body, and the fields that say how long and of what type it is."""
        headers = self.headers
        if "chunked" in headers.get("Transfer-Encoding", "").lower():
            if self.chunked:
                raise ValueError(
                    'chunked can not be set if "Transfer-Encoding: chunked" header is set'
                )
            self.chunked = True
        if body is None:
            self._body = None
            if (
                self.method not in self.GET_METHODS
                and not self.chunked
                and "Content-Length" not in headers
            ):
                headers["Content-Length"] = "0"
            return
        self._body = made = bodies().make_payload(body)
        if not self.chunked and "Content-Length" not in headers:
            if made.size is not None:
                headers["Content-Length"] = str(made.size)
            else:
                self.chunked = True
        skip = self._skip_auto_headers or ()
        for name, value in made.headers.items():
            if name not in headers and name not in skip:
                headers[name] = value

    def content_length(self) -> int | None:
        """Of the Content-Length field. ValueError if that is no number."""
        found = set(self.headers.getall("Content-Length", ()))
        if not found:
            return None
        text = found.pop()
        if found or not _is_number(text):
            raise ValueError(f"Invalid Content-Length header: {text!r}")
        return int(text)

    @property
    def coding(self) -> str | None:
        """How the body is compressed: "deflate", "gzip" or not at all."""
        return self.compress if isinstance(self.compress, str) else None

    def whole_body(self) -> bytes | None:
        """All that follows the head, if it can go with it; None if an Upload must send it."""
        if self.expects_continue:
            return None
        length = self.content_length()
        if self._body is None:
            return b"0\r\n\r\n" if self.chunked else b""
        whole: bytes | None = bodies().in_memory(self._body)
        if whole is None or (not self.chunked and length is not None and len(whole) < length):
            return None
        if not self.chunked:
            return whole[:length]
        parts = [whole]
        if self.coding is not None:
            stream = compressor(self.coding)
            parts = [stream.compress(whole), stream.flush()]
        return b"".join(chunk(part) for part in parts if part) + b"0\r\n\r\n"


def _close_now(body: Payload, stacklevel: int) -> None:
    """Close a body that is replaced by an assignment, as far as that goes without waiting."""
    if not body.autoclose and not body.consumed:
        warnings.warn(
            "The previous request body contains unclosed resources. Use await "
            "request.update_body() instead of setting request.body directly to properly close "
            "resources and avoid leaks.",
            ResourceWarning,
            stacklevel=stacklevel + 1,
        )
    body._close()


def merge_headers(defaults: CIMultiDict[str], headers: LooseHeaders | None) -> CIMultiDict[str]:
    """The session's fields, and a request's in their place where they have the same name."""
    merged = CIMultiDict(defaults)
    if headers:
        if not isinstance(headers, MultiDict | MultiDictProxy):
            headers = CIMultiDict(headers)
        seen: set[str] = set()
        for name, value in headers.items():
            if name in seen:
                merged.add(name, value)
            else:
                merged[name] = value
                seen.add(name)
    return merged
