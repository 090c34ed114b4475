"""A multipart body that comes (RFC 2046, 5.1): part by part, as it arrives.

Source: https://docs.aiohttp.org/en/stable/multipart_reference.html#aiohttp.MultipartReader
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any, Final

from multidict import CIMultiDict, CIMultiDictProxy

from ._support import bad_head
from .helpers import parse_mimetype
from .multipart_part import BodyPartReader
from .payload_base import CHUNK

MAX_DEPTH: Final = 32  # multipart bodies in one another
MAX_EPILOGUE: Final = 64 * 1024  # bytes behind the last boundary that are read
# Fields of which a part has one at most; others may come again.
_ONCE: Final = frozenset(
    "content-length content-location content-range content-type etag host max-forwards server "
    "transfer-encoding user-agent".split()
)

_is_token = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+").fullmatch
_has_control = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search


class MultipartResponseWrapper:
    """What MultipartReader.from_response() gives: the parts, and the response is released behind
    the last one."""

    def __init__(self, resp: Any, stream: MultipartReader) -> None:
        self.resp = resp
        self.stream = stream

    def __aiter__(self) -> MultipartResponseWrapper:
        return self

    async def __anext__(self) -> MultipartReader | BodyPartReader:
        part = await self.next()
        if part is None:
            raise StopAsyncIteration
        return part

    def at_eof(self) -> bool:
        """Whether all of the response was read."""
        return self.resp.content.at_eof()  # type: ignore[no-any-return]

    async def next(self) -> MultipartReader | BodyPartReader | None:
        """The next part, or None."""
        part = await self.stream.next()
        if self.stream.at_eof():
            await self.release()
        return part

    async def release(self) -> None:
        """Release the response."""
        await self.resp.release()


class MultipartReader:
    """The parts of a body. headers: with its Content-Type. content: a StreamReader.

    client_max_size: bytes that a part's read() may give; beyond, it raises
    max_size_error_cls(client_max_size). max_field_size (bytes of a line) and max_headers: of a
    part's head; beyond it raises a BadHttpMessage. Raises ValueError if the Content-Type is not
    multipart or has no good boundary; 32 bodies may be in one another.
    """

    response_wrapper_cls = MultipartResponseWrapper
    multipart_reader_cls: type[MultipartReader] | None = None  # of parts; None: the same class
    part_reader_cls = BodyPartReader

    _depth = 0

    def __init__(
        self,
        headers: Mapping[str, str],
        content: Any,
        *,
        client_max_size: int = sys.maxsize,
        max_field_size: int = 8190,
        max_headers: int = 128,
        max_size_error_cls: type[Exception] = ValueError,
    ) -> None:
        kind = headers["Content-Type"]
        self._mimetype = parse_mimetype(kind)
        if self._mimetype.type != "multipart":
            raise ValueError(f"multipart/* content type expected, not {kind!r}")
        boundary = self._mimetype.parameters.get("boundary")
        if boundary is None:
            raise ValueError(f"boundary missed for Content-Type: {kind}")
        if len(boundary) > 70:  # RFC 2046, 5.1.1
            raise ValueError(f"boundary {boundary!r} is too long (70 chars max)")
        self.headers = headers
        self._boundary = f"--{boundary}".encode()
        self._content = content
        self._client_max_size = client_max_size
        self._max_field_size = max_field_size
        self._max_headers = max_headers
        self._max_size_error_cls = max_size_error_cls
        self._default_charset: str | None = None
        self._last_part: MultipartReader | BodyPartReader | None = None
        self._is_fresh = True
        self._at_eof = False

    def __aiter__(self) -> MultipartReader:
        return self

    async def __anext__(self) -> MultipartReader | BodyPartReader:
        part = await self.next()
        if part is None:
            raise StopAsyncIteration
        return part

    @classmethod
    def from_response(cls, response: Any) -> MultipartResponseWrapper:
        """The parts of a response's body."""
        return cls.response_wrapper_cls(response, cls(response.headers, response.content))

    def at_eof(self) -> bool:
        """Whether the last boundary was read."""
        return self._at_eof

    async def next(self) -> MultipartReader | BodyPartReader | None:
        """The next part, or None. What was not read of the one before is dropped. ValueError for
        what is not as the boundary says."""
        if self._at_eof:
            return None
        await self._next_boundary()
        if self._at_eof:
            return None
        is_first = self._is_fresh
        self._is_fresh = False
        part = await self.fetch_next_part()
        if is_first and self._mimetype.subtype == "form-data":
            if isinstance(part, BodyPartReader) and part.name == "_charset_":
                await self._read_charset(part)
                return await self.next()
        self._last_part = part
        return part

    async def release(self) -> None:
        """Read all the parts that are left, and drop them."""
        while not self._at_eof:
            part = await self.next()
            if part is not None:
                await part.release()

    async def fetch_next_part(self) -> MultipartReader | BodyPartReader:
        """The part whose headers come next."""
        return self._get_part_reader(await self._read_headers())

    async def _read_charset(self, part: BodyPartReader) -> None:
        """RFC 7578, 4.6: the first field says how the others are encoded. No name is as long as 32
        (https://encoding.spec.whatwg.org/encodings.json)."""
        name = b""
        while not part.at_eof():
            name += await part.read_chunk(32)
            if len(name) > 31:
                raise RuntimeError("Invalid default charset")
        self._default_charset = name.strip().decode()

    def _get_part_reader(self, headers: Mapping[str, str]) -> MultipartReader | BodyPartReader:
        if parse_mimetype(headers.get("Content-Type", "")).type != "multipart":
            return self.part_reader_cls(
                self._boundary,
                headers,
                self._content,
                subtype=self._mimetype.subtype,
                default_charset=self._default_charset,
                client_max_size=self._client_max_size,
                max_size_error_cls=self._max_size_error_cls,
            )
        if self._depth + 1 >= MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} multipart bodies in one another")
        inner = (self.multipart_reader_cls or type(self))(
            headers,
            self._content,
            client_max_size=self._client_max_size,
            max_field_size=self._max_field_size,
            max_headers=self._max_headers,
            max_size_error_cls=self._max_size_error_cls,
        )
        inner._depth = self._depth + 1
        return inner

    # ---- between the parts

    async def _next_boundary(self) -> None:
        last, self._last_part = self._last_part, None
        if last is not None and not last.at_eof():
            await last.release()
        # Before the first part, and behind a multipart one, there may be what is to be ignored.
        may_skip = self._is_fresh or isinstance(last, MultipartReader)
        while True:
            line = await self._content.readline()
            if not line:
                raise ValueError(f"Could not find boundary {self._boundary!r}")
            line = line.rstrip()
            if line == self._boundary:
                return
            if line == self._boundary + b"--":
                self._at_eof = True
                await self._read_epilogue()
                return
            if not may_skip:
                raise ValueError(f"Invalid boundary {line!r}, expected {self._boundary!r}")

    async def _read_epilogue(self) -> None:
        """To the end, so that the connection can be used again. One of an inner body is for the
        outer one to skip."""
        left = MAX_EPILOGUE if not self._depth else 0
        while left > 0 and not self._content.at_eof():
            data = await self._content.read(min(left, CHUNK))
            if not data:
                break
            left -= len(data)

    async def _read_headers(self) -> CIMultiDictProxy[str]:
        headers: CIMultiDict[str] = CIMultiDict()
        count = 0
        while True:
            line = await self._content.readline(max_line_length=self._max_field_size)
            if not line:
                raise ValueError("the body ends in the headers of a part")
            line = line.rstrip(b"\r\n")
            if not line:
                return CIMultiDictProxy(headers)
            count += 1
            if count > self._max_headers:
                raise bad_head("Too many headers received")
            name, colon, value = line.partition(b":")
            value = value.strip(b" \t")
            if not colon or not _is_token(name) or _has_control(value):
                raise bad_head(f"Invalid HTTP Header: {line!r}", "InvalidHeader")
            key = name.decode()
            if key.lower() in _ONCE and key in headers:
                raise bad_head(f"Duplicate {key!r} header found.")
            headers.add(key, value.decode("utf-8", "surrogateescape"))
