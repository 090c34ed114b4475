"""One request as it goes out: head and body from what a call of the session asks for.

The order of the fields and what is set by default are aiohttp's. Nothing with a control character
reaches the wire: ValueError before a byte is sent.
"""

from __future__ import annotations

import asyncio
import re
import sys
import warnings
import zlib
from collections.abc import Iterable, Mapping
from http.cookies import Morsel, SimpleCookie
from typing import Any, Final

from multidict import CIMultiDict, MultiDict, MultiDictProxy
from yarl import URL

from .. import _core
from .._version import __version__
from . import payload
from ._cookies import as_received, parse_cookie_header
from .exceptions import (
    ClientConnectionError,
    ClientOSError,
    ClientPayloadError,
    InvalidURL,
)
from .formdata import FormData
from .helpers import BasicAuth
from .reqrep import HttpVersion, HttpVersion10, HttpVersion11
from .typedefs import LooseCookies, LooseHeaders

SERVER_SOFTWARE: Final = f"Python/{sys.version_info[0]}.{sys.version_info[1]} uvolt/{__version__}"
AUTO_HEADERS: Final = (
    ("Accept", "*/*"),
    ("Accept-Encoding", ", ".join(_core.http_codings)),
    ("User-Agent", SERVER_SOFTWARE),
)

WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
WITH_BODY: Final = frozenset({"PATCH", "POST", "PUT"})
# RFC 9110, 9.2.2
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})

_not_token = re.compile(r"[^-!#$%&'*+.^_`|~0-9a-zA-Z]").search
_not_value = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
_not_target = re.compile(r"[\x00-\x20\x7f]").search
_is_number = re.compile(r"[0-9]+").fullmatch


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
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"Cannot serialize non-str key {name!r} or value {value!r}")
        if _not_token(name) or not name:
            raise ValueError(f"Invalid character in header name {name!r}")
        if _not_value(value):
            raise ValueError(
                "Forbidden control character detected in headers. "
                "Potential header injection attack."
            )
        lines.append(f"{name}: {value}")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("utf-8")


class Request:
    """Head and body of one request. `body` is all of it if it is at hand, else `payload` holds it
    and upload() sends it.
    """

    def __init__(
        self,
        method: str,
        url: URL,
        *,
        headers: LooseHeaders | None = None,
        skip_auto_headers: Iterable[str] = (),
        data: Any = None,
        cookies: LooseCookies | None = None,
        auth: BasicAuth | None = None,
        version: HttpVersion = HttpVersion11,
        compress: str | bool | None = None,
        chunked: bool | None = None,
        expect100: bool = False,
        force_close: bool = False,
    ) -> None:
        self.method = method
        self.real_url = url
        self.url = url.with_fragment(None) if url.raw_fragment else url
        self.version = version
        if chunked is not None and not isinstance(chunked, bool):
            warnings.warn("Chunk size is deprecated #1615", DeprecationWarning, stacklevel=2)
        self._chunked = bool(chunked)
        self._coding: str | None = None
        self.payload: payload.Payload | None = None
        self.headers: CIMultiDict[str] = CIMultiDict()
        host = url.host_port_subcomponent
        if not host:
            raise InvalidURL(url)
        self.headers["Host"] = host
        self._set_headers(headers)
        skip = CIMultiDict((name, "") for name in skip_auto_headers)
        for name, value in AUTO_HEADERS:
            if name not in self.headers and name not in skip:
                self.headers[name] = value
        self._set_cookies(cookies)
        self._set_coding(data, compress)
        if auth is not None:
            if not isinstance(auth, tuple) or not hasattr(auth, "encode"):
                raise TypeError("BasicAuth() tuple is required instead")
            self.headers["Authorization"] = auth.encode()
        self._set_body(data, skip)
        if data is not None or method not in WITHOUT_BODY:
            self._set_framing()
        if expect100:
            self.headers["Expect"] = "100-continue"
        self.expects_continue = self.headers.get("Expect", "").lower() == "100-continue"
        if method in WITH_BODY and "Content-Type" not in self.headers:
            if "Content-Type" not in skip:
                self.headers["Content-Type"] = payload.OCTETS
        self._set_connection(force_close)

    # ---- the head

    def _set_headers(self, headers: LooseHeaders | None) -> None:
        if not headers:
            return
        pairs = headers.items() if isinstance(headers, dict | Mapping) else headers
        for name, value in pairs:
            if name.lower() == "host":
                self.headers[name] = value
            else:
                self.headers.add(name, value)

    def _set_cookies(self, cookies: LooseCookies | None) -> None:
        if not cookies:
            return
        merged: SimpleCookie = SimpleCookie()
        if "Cookie" in self.headers:
            merged.update(parse_cookie_header(self.headers["Cookie"]))
            del self.headers["Cookie"]
        for name, value in cookies.items() if isinstance(cookies, Mapping) else cookies:
            merged[name] = as_received(value) if isinstance(value, Morsel) else value  # type: ignore[assignment]
        self.headers["Cookie"] = merged.output(header="", sep=";").strip()

    def _set_coding(self, data: Any, compress: str | bool | None) -> None:
        if not data or not compress:
            return
        if self.headers.get("Content-Encoding"):
            raise ValueError("compress can not be set if Content-Encoding header is set")
        coding = compress if isinstance(compress, str) else "deflate"
        if coding not in ("deflate", "gzip"):
            raise ValueError(f"compress can be 'deflate' or 'gzip', not {coding!r}")
        self.headers["Content-Encoding"] = self._coding = coding
        self._chunked = True

    def _set_body(self, data: Any, skip: Mapping[str, str]) -> None:
        headers = self.headers
        if "chunked" in headers.get("Transfer-Encoding", "").lower():
            if self._chunked:
                raise ValueError(
                    'chunked can not be set if "Transfer-Encoding: chunked" header is set'
                )
            self._chunked = True
        if data is None:
            if (
                self.method not in WITHOUT_BODY
                and not self._chunked
                and "Content-Length" not in headers
            ):
                headers["Content-Length"] = "0"
            return
        self.payload = body = make_payload(data)
        if not self._chunked and "Content-Length" not in headers:
            size = body.size
            if size is not None:
                headers["Content-Length"] = str(size)
            else:
                self._chunked = True
        for name, value in body.headers.items():
            if name not in headers and name not in skip:
                headers[name] = value

    def _set_framing(self) -> None:
        headers = self.headers
        if self._chunked and "Content-Length" in headers:
            raise ValueError("chunked can not be set if Content-Length header is set")
        if self._chunked and "Transfer-Encoding" not in headers:
            headers["Transfer-Encoding"] = "chunked"

    def _set_connection(self, force_close: bool) -> None:
        headers = self.headers
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
        if self.payload is None and self.content_length():
            self.no_reuse = True  # what comes next would be taken for the body that is missing

    def head(self) -> bytes:
        """Request line and fields, with the empty line. ValueError for control characters."""
        url = self.url
        if self.method == "CONNECT":
            target = f"{url.host_subcomponent}:{url.port}"
        else:
            target = url.raw_path_qs
        if _not_target(target):
            raise ValueError(f"Invalid character in request target {target!r}")
        return serialize(
            f"{self.method} {target} HTTP/{self.version[0]}.{self.version[1]}", self.headers
        )

    # ---- the body

    def content_length(self) -> int | None:
        """Of the Content-Length field. ValueError if that is no number."""
        found = set(self.headers.getall("Content-Length", ()))
        if not found:
            return None
        text = found.pop()
        if found or not _is_number(text):
            raise ValueError(f"Invalid Content-Length header: {text!r}")
        return int(text)

    def body(self) -> bytes | None:
        """All that follows the head, if it can go with it; None if upload() must send it."""
        if self.expects_continue:
            return None
        length = self.content_length()
        if self.payload is None:
            return b"0\r\n\r\n" if self._chunked else b""
        in_memory = getattr(self.payload, "_in_memory", None)
        whole: bytes | None = None if in_memory is None else in_memory()
        if whole is None or (not self._chunked and length is not None and len(whole) < length):
            return None
        if not self._chunked:
            return whole[:length]
        parts = [whole]
        if self._coding is not None:
            compressor = make_compressor(self._coding)
            parts = [compressor.compress(whole), compressor.flush()]
        return b"".join(chunk(part) for part in parts if part) + b"0\r\n\r\n"

    async def upload(self, response: Any) -> None:
        """Send the body of the exchange that `response` is for; its errors end that."""
        writer = BodyWriter(response, self._chunked, self._coding)
        try:
            if self.expects_continue:
                await response._continued()
            length = None if self._chunked else self.content_length()
            if self.payload is not None:
                await self.payload.write_with_length(writer, length)
            await writer.finish()
            if length is not None and writer.written != length:
                raise ClientPayloadError(
                    f"The request's body has {writer.written} bytes, its Content-Length is {length}"
                )
            response._write_eof()
        except OSError as exc:
            if writer.failed is exc:
                return  # the exchange has ended, and knows why
            error: Exception = exc
            if not (isinstance(exc, asyncio.TimeoutError) and exc.errno is None):
                error = ClientOSError(exc.errno, f"Can not write request body for {self.url}")
            error.__cause__ = exc
            response._upload_failed(error)
        except ClientPayloadError as exc:
            response._upload_failed(exc)
        except Exception as exc:
            if writer.failed is exc:
                return
            where = response.connection
            error = ClientConnectionError(
                f"Failed to send bytes into the underlying connection {where}: {exc!r}"
            )
            error.__cause__ = exc
            response._upload_failed(error)


def make_payload(data: Any) -> payload.Payload:
    """The body that a value given as data stands for. TypeError if it stands for none."""
    if isinstance(data, FormData) or hasattr(data, "is_multipart"):  # aiohttp's is good, too
        data = data()
    try:
        return payload.PAYLOAD_REGISTRY.get(data, disposition=None)
    except payload.LookupError:
        return FormData(data)()


def make_compressor(coding: str) -> Any:
    """For "deflate" (which is zlib's format in HTTP) or "gzip"."""
    return zlib.compressobj(wbits=zlib.MAX_WBITS + (16 if coding == "gzip" else 0))


def chunk(data: bytes | bytearray | memoryview) -> bytes:
    """In the chunked coding (RFC 9112, 7.1). Not for empty data, which would be the end."""
    return b"".join((b"%x\r\n" % len(data), data, b"\r\n"))


class BodyWriter:
    """Takes the pieces of a body, and writes them as they go over the wire."""

    def __init__(self, response: Any, chunked: bool, coding: str | None) -> None:
        self._response = response
        self._chunked = chunked
        self._compressor = None if coding is None else make_compressor(coding)
        self.written = 0  # bytes of the body, before it was coded
        self.failed: BaseException | None = None  # what writing to the connection raised

    async def write(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take some bytes; returns when more may come. TypeError for what is no bytes."""
        if isinstance(data, memoryview) and (data.itemsize != 1 or data.ndim != 1):
            data = data.cast("B")
        elif not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be byte-ish ({type(data)!r})")
        self.written += len(data)
        if self._compressor is not None:
            if len(data) > payload.CHUNK // 4:
                loop = asyncio.get_running_loop()
                data = await loop.run_in_executor(None, self._compressor.compress, data)
            else:
                data = self._compressor.compress(data)
        await self._send(data)

    async def finish(self) -> None:
        """All has been written."""
        end = b"" if self._compressor is None else self._compressor.flush()
        if self._chunked:
            end = (chunk(end) if end else b"") + b"0\r\n\r\n"
            await self._put(end)

    async def _send(self, data: bytes | bytearray | memoryview) -> None:
        if len(data):
            await self._put(chunk(data) if self._chunked else data)

    async def _put(self, data: Any) -> None:
        try:
            await self._response._write(data)
        except BaseException as exc:
            self.failed = exc
            raise


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
