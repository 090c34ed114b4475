"""ClientResponse: what is rare of a response. The rest is C (_core.ClientResponse).

Source: https://docs.aiohttp.org/en/stable/client_reference.html#response-object
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import functools
import re
from collections.abc import Mapping
from http.cookies import SimpleCookie
from types import MappingProxyType
from typing import Any, NamedTuple

from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiDictProxy
from yarl import URL

from .. import _core
from ._cookies import parse_set_cookie_headers
from .disposition import content_disposition_filename, parse_content_disposition
from .exceptions import ClientResponseError
from .helpers import deprecated, parse_content_type, parse_mimetype
from .reqrep import RequestInfo

__all__ = ("ClientResponse", "ContentDisposition")


class ContentDisposition(NamedTuple):
    """A Content-Disposition field in its parts."""

    type: str | None
    parameters: Mapping[str, str]
    filename: str | None


_link = re.compile(r"\s*<(.*)>(.*)").match
_link_parameter = re.compile(r"^([^\s=]+)\s*=\s*(?:(['\"])(.*?)\2|(\S*))$", re.M).match


class ClientResponse(_core.ClientResponse):
    """The answer to a request: status, headers and, when it is read, the body.

    Made by a session; the constructor is aiohttp's, for who makes one by hand (to test, to cache).
    """

    _cookies: SimpleCookie | None = None
    _raw_cookie_headers: tuple[str, ...] | None = None
    _upload_complete: asyncio.Future[None] | None = None

    def __init__(
        self,
        method: str,
        url: URL,
        *,
        writer: Any,
        continue100: asyncio.Future[bool] | None,
        timer: Any,
        request_info: RequestInfo,
        traces: list[Any],
        loop: asyncio.AbstractEventLoop,
        session: Any,
        stream_writer: Any = None,
    ) -> None:
        if not isinstance(loop, _core.Loop):  # tools that build responses give mocks of loops
            loop = asyncio._get_running_loop() or loop
        self._make(method, url, request_info, loop, session)
        if traces:

            async def on_read(_: Any) -> None:
                for trace in traces:
                    await trace.send_response_chunk_received(self.method, self.url, self._body)

            self._on_read = on_read

    # ---- headers

    @property
    def cookies(self) -> SimpleCookie:
        """The cookies of the response's Set-Cookie fields."""
        if self._cookies is None:
            headers = self._raw_cookie_headers
            if headers is None and self.headers is not None:
                headers = tuple(self.headers.getall("Set-Cookie", ()))
            self._cookies = SimpleCookie()
            self._cookies.update(parse_set_cookie_headers(headers or ()))
        return self._cookies

    @cookies.setter
    def cookies(self, cookies: SimpleCookie) -> None:
        self._cookies = cookies
        self._raw_cookie_headers = tuple(morsel.OutputString() for morsel in cookies.values())

    @property
    def content_type(self) -> str:
        """The media type without parameters; application/octet-stream if there is none."""
        raw = self.headers.get("Content-Type")
        return "application/octet-stream" if raw is None else parse_content_type(raw)[0]

    @property
    def charset(self) -> str | None:
        """The charset of Content-Type, or None."""
        raw = self.headers.get("Content-Type")
        return None if raw is None else parse_content_type(raw)[1].get("charset")

    @functools.cached_property
    def content_disposition(self) -> ContentDisposition | None:
        """The Content-Disposition field in its parts, or None."""
        raw = self.headers.get("Content-Disposition")
        if raw is None:
            return None
        kind, parameters = parse_content_disposition(raw)
        view = MappingProxyType(parameters)
        return ContentDisposition(kind, view, content_disposition_filename(view))

    @property
    def links(self) -> MultiDictProxy[MultiDictProxy[str | URL]]:
        """The Link fields (RFC 8288) by their rel, else by their URL; "url" is the target. A link
        to what is no URL is left out."""
        links: MultiDict[MultiDictProxy[str | URL]] = MultiDict()
        text = ", ".join(self.headers.getall("Link", []))
        for value in re.split(r",(?=\s*<)", text) if text else ():
            match = _link(value)
            if match is None:
                continue
            target, parameters = match.groups()
            link: MultiDict[str | URL] = MultiDict()
            for parameter in parameters.split(";")[1:]:
                found = _link_parameter(parameter.strip())
                if found is not None:
                    link.add(found[1], found[4] if found[3] is None else found[3])
            key = link.get("rel", target)
            with contextlib.suppress(ValueError):
                link.add("url", self.url.join(URL(target)))
                links.add(str(key), MultiDictProxy(link))
        return MultiDictProxy(links)

    @property
    def trailers(self) -> CIMultiDictProxy[str]:
        """The fields behind a chunked body (RFC 9110, 6.5), once the body was read to its end;
        empty before, and if there are none. They are the server's word as headers are, but never
        among these: what a field means to a program, a trailer must not mean unasked. Their number
        and length are limited as those of headers are. aiohttp has no such attribute."""
        fields: list[list[str]] = []
        for line in self._trailers.decode("utf-8", "surrogateescape").split("\n"):
            line = line.removesuffix("\r")
            if line[:1] in (" ", "\t") and fields:
                fields[-1][1] += line
            elif line:
                name, _, value = line.partition(":")
                fields.append([name, value])
        pairs = ((name, value.strip(" \t")) for name, value in fields)
        return CIMultiDictProxy(CIMultiDict(pairs))

    # ---- the body

    def get_encoding(self) -> str:
        """How the text is encoded: as Content-Type says, UTF-8 for JSON, else what the session's
        fallback_charset_resolver says. RuntimeError if that is to be asked before read()."""
        mimetype = parse_mimetype(self.headers.get("Content-Type", "").lower())
        encoding = mimetype.parameters.get("charset")
        if encoding:
            with contextlib.suppress(LookupError, ValueError):
                codec = codecs.lookup(encoding)
                if getattr(codec, "_is_text_encoding", True):  # base64 and such are none
                    return codec.name
        if mimetype.type == "application" and mimetype.subtype in ("json", "rdap"):
            return "utf-8"
        if self._body is None:
            raise RuntimeError("Cannot compute fallback encoding of a not yet read body")
        resolve = self._resolve_charset
        return "utf-8" if resolve is None else resolve(self, self._body)

    def raise_for_status(self) -> None:
        """ClientResponseError if the status is 400 or more; the response is released then, unless
        `async with` will do that."""
        if self.ok:
            return
        if not self._in_context:
            self.release()
        raise ClientResponseError(
            self.request_info,
            self.history,
            status=self.status,
            message=self.reason or "",
            headers=self.headers,
        )

    # ---- the request

    @property
    def output_size(self) -> int:
        """Bytes of the request, head and body, that were written so far. Deprecated."""
        deprecated("ClientResponse.output_size is deprecated, use UploadTracker instead")
        return self._output_size

    @property
    def upload_complete(self) -> asyncio.Future[None]:
        """Done once the body of the request is written, or cannot be any more. Deprecated."""
        deprecated("ClientResponse.upload_complete is deprecated, use UploadTracker instead")
        if self._upload_complete is None:
            self._upload_complete = done = self._loop.create_future()
            if self._upload is None:
                done.set_result(None)
            else:
                self._upload.add_done_callback(lambda _: done.done() or done.set_result(None))
        return self._upload_complete

    # ---- old names

    @property
    def url_obj(self) -> URL:
        """The old name of url."""
        deprecated("Deprecated, use .url #1654")
        url: URL = self.url
        return url

    def __repr__(self) -> str:
        reason = "None"
        if self.reason:
            reason = self.reason.encode("ascii", "backslashreplace").decode("ascii")
        return f"<ClientResponse({self.url}) [{self.status} {reason}]>\n{self.headers}\n"


# C does without the call while it is this one that would be called.
_stock_get_encoding = ClientResponse.get_encoding
