"""Bodies of requests: payloads of every kind, what makes them from a value, and how they are sent.

Source: https://docs.aiohttp.org/en/stable/client_quickstart.html#post-a-file and aiohttp.payload,
whose names these are. A payload knows its size in bytes, or None, and the header fields that
describe it; write_with_length() hands its bytes to a writer.
"""

from __future__ import annotations

import asyncio
import enum
import io
import json
import mimetypes
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import IO, Any, Final, Protocol

from multidict import CIMultiDict

from .. import _core
from .helpers import (
    _Sentinel,
    content_disposition_header,
    guess_filename,
    parse_mimetype,
    sentinel,
)
from .typedefs import JSONBytesEncoder, JSONEncoder

__all__ = (
    "PAYLOAD_REGISTRY",
    "AsyncIterablePayload",
    "BufferedReaderPayload",
    "BytesIOPayload",
    "BytesPayload",
    "IOBasePayload",
    "JsonBytesPayload",
    "JsonPayload",
    "Payload",
    "StringIOPayload",
    "StringPayload",
    "TextIOPayload",
    "get_payload",
    "payload_type",
)

CHUNK: Final = 256 * 1024  # bytes read from a file at a time
OCTETS: Final = "application/octet-stream"

Headers = Mapping[str, str] | Iterable[tuple[str, str]] | None


class Writer(Protocol):
    """What a payload is written to."""

    async def write(self, chunk: bytes | bytearray | memoryview, /) -> None:
        """Take some bytes; returns when more may come."""


class Payload(ABC):
    """A body, or a part of one. `filename` tells the content type if `content_type` is not given.

    consumed: it cannot be sent again. autoclose: it holds nothing that needs to be closed.
    """

    _default_content_type = OCTETS
    _size: int | None = None
    _consumed = False
    _autoclose = False

    def __init__(
        self,
        value: Any,
        headers: Headers = None,
        content_type: str | None | _Sentinel = sentinel,
        filename: str | None = None,
        encoding: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._value = value
        self._filename = filename
        self._encoding = encoding
        self._headers: CIMultiDict[str] = CIMultiDict()
        if isinstance(content_type, str):
            kind = content_type
        else:
            kind = filename is not None and _guess_type(filename) or self._default_content_type
        self._headers["Content-Type"] = kind
        if headers:
            self._headers.update(headers)

    @property
    def size(self) -> int | None:
        """Bytes that will be sent; None if that is not known."""
        return self._size

    @property
    def filename(self) -> str | None:
        """The name of the file it comes from."""
        return self._filename

    @property
    def headers(self) -> CIMultiDict[str]:
        """The fields that describe it."""
        return self._headers

    @property
    def encoding(self) -> str | None:
        """How text is encoded."""
        return self._encoding

    @property
    def content_type(self) -> str:
        """The value of Content-Type."""
        return self._headers["Content-Type"]

    @property
    def consumed(self) -> bool:
        """Whether it cannot be sent again."""
        return self._consumed

    @property
    def autoclose(self) -> bool:
        """Whether it needs no close()."""
        return self._autoclose

    def set_content_disposition(
        self, disptype: str, quote_fields: bool = True, _charset: str = "utf-8", **params: Any
    ) -> None:
        """Set Content-Disposition (RFC 7578, 4.2)."""
        self._headers["Content-Disposition"] = content_disposition_header(
            disptype, quote_fields=quote_fields, _charset=_charset, **params
        )

    @abstractmethod
    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole as text. May block."""

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The whole as bytes."""
        actual = self._encoding or encoding
        return self.decode(actual, errors).encode(actual)

    @abstractmethod
    async def write(self, writer: Writer) -> None:
        """Write the whole."""

    async def write_with_length(self, writer: Writer, content_length: int | None) -> None:
        """Write the whole, or its first content_length bytes."""
        await self.write(writer)

    def _in_memory(self) -> bytes | None:
        """The whole if that is at hand and small enough to be sent in one piece, else None."""
        return None

    async def close(self) -> None:  # noqa: B027, most hold nothing
        """Let go of what it holds. Does not wait."""


def _guess_type(filename: str) -> str | None:
    if sys.version_info >= (3, 13):
        return mimetypes.guess_file_type(filename)[0]
    return mimetypes.guess_type(filename)[0]


# ---- in memory ----------------------------------------------------------------------------------


class BytesPayload(Payload):
    """bytes, bytearray or memoryview."""

    _autoclose = True

    def __init__(self, value: bytes | bytearray | memoryview, *args: Any, **kwargs: Any) -> None:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError(f"value argument must be byte-ish, not {type(value)!r}")
        kwargs.setdefault("content_type", OCTETS)
        super().__init__(value, *args, **kwargs)
        self._size = value.nbytes if isinstance(value, memoryview) else len(value)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """As text."""
        return bytes(self._value).decode(encoding, errors)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """As it is."""
        return bytes(self._value)

    async def write(self, writer: Writer) -> None:
        """Write the whole."""
        await writer.write(self._value)

    async def write_with_length(self, writer: Writer, content_length: int | None) -> None:
        """Write the whole, or its first content_length bytes."""
        await writer.write(self._value if content_length is None else self._value[:content_length])

    def _in_memory(self) -> bytes | None:
        return bytes(self._value)


def text_type(content_type: str | None, encoding: str | None) -> tuple[str, str]:
    """Content type and encoding of a text of which one, both or none are given."""
    if content_type is None:
        encoding = encoding or "utf-8"
        return f"text/plain; charset={encoding}", encoding
    if encoding is None:
        encoding = parse_mimetype(content_type).parameters.get("charset", "utf-8")
    return content_type, encoding


class StringPayload(BytesPayload):
    """str, encoded as the content type says: UTF-8 if it does not."""

    def __init__(
        self,
        value: str,
        *args: Any,
        encoding: str | None = None,
        content_type: str | None = None,
        **kwargs: Any,
    ) -> None:
        kind, real = text_type(content_type, encoding)
        super().__init__(value.encode(real), *args, encoding=real, content_type=kind, **kwargs)


class StringIOPayload(StringPayload):
    """What is left to read of an io.StringIO."""

    def __init__(self, value: IO[str], *args: Any, **kwargs: Any) -> None:
        super().__init__(value.read(), *args, **kwargs)


class JsonPayload(BytesPayload):
    """Any value, as JSON text."""

    def __init__(
        self,
        value: Any,
        encoding: str = "utf-8",
        content_type: str = "application/json",
        dumps: JSONEncoder = json.dumps,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            dumps(value).encode(encoding),
            *args,
            content_type=content_type,
            encoding=encoding,
            **kwargs,
        )


class JsonBytesPayload(BytesPayload):
    """Any value, as JSON by a function that makes bytes."""

    def __init__(
        self,
        value: Any,
        dumps: JSONBytesEncoder,
        content_type: str = "application/json",
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(dumps(value), *args, content_type=content_type, **kwargs)


# ---- files --------------------------------------------------------------------------------------


class IOBasePayload(Payload):
    """A file that is open for reading in binary mode, from where it stands. It is read in the
    loop's executor, and closed once the request is over.

    disposition: of a Content-Disposition field with the file's name; None: no such field.
    """

    def __init__(
        self, value: IO[Any], disposition: str | None = "attachment", *args: Any, **kwargs: Any
    ) -> None:
        kwargs.setdefault("filename", guess_filename(value))
        super().__init__(value, *args, **kwargs)
        self._start: int | None = None
        if self._filename is not None and disposition is not None:
            if "Content-Disposition" not in self.headers:
                self.set_content_disposition(disposition, filename=self._filename)

    @property
    def size(self) -> int | None:
        """Bytes from where the file stood at first to its end; None if it has no such place."""
        try:
            if self._start is None:
                self._start = self._value.tell()
            size: int = os.fstat(self._value.fileno()).st_size - self._start
            return size
        except (AttributeError, OSError):
            return None

    def _rewind(self) -> None:
        """Back to where it stood at first. A file that has no place can be read once."""
        try:
            if self._start is None:
                self._start = self._value.tell()
            else:
                self._value.seek(self._start)
        except (AttributeError, OSError):
            self._consumed = True

    def _encoded(self, chunk: Any) -> bytes:
        return chunk  # type: ignore[no-any-return]

    def _read_first(self, limit: int) -> tuple[int | None, bytes]:
        self._rewind()
        size = self.size
        return size, self._encoded(self._value.read(limit))

    def _read(self, limit: int) -> bytes:
        return self._encoded(self._value.read(limit))

    def _read_all(self) -> bytes:
        self._rewind()
        return self._encoded(self._value.read())

    async def write(self, writer: Writer) -> None:
        """Write what there is."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: Writer, content_length: int | None) -> None:
        """Write what there is, or its first content_length bytes."""
        loop = asyncio.get_running_loop()
        left = content_length
        # No more than was announced, should the file grow meanwhile.
        size, chunk = await loop.run_in_executor(None, self._read_first, _next(left))
        if size is not None:
            left = size if left is None else min(left, size)
        while chunk and left != 0:
            if left is not None and len(chunk) >= left:
                await writer.write(chunk[:left])
                return
            await writer.write(chunk)
            if left is not None:
                left -= len(chunk)
            chunk = await loop.run_in_executor(None, self._read, _next(left))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole as text. Blocks."""
        return self._read_all().decode(encoding, errors)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The whole, read in the executor."""
        return await asyncio.get_running_loop().run_in_executor(None, self._read_all)

    async def close(self) -> None:
        """Close the file, in the executor; nobody waits for it."""
        if self._consumed and self._value.closed:
            return
        self._consumed = True
        closing = asyncio.get_running_loop().run_in_executor(None, self._value.close)
        _closing.add(closing)
        closing.add_done_callback(_closing.discard)


_closing: set[asyncio.Future[None]] = set()


def _next(left: int | None) -> int:
    return CHUNK if left is None else max(1, min(CHUNK, left))


class TextIOPayload(IOBasePayload):
    """A file that is open for reading in text mode."""

    def __init__(
        self,
        value: IO[str],
        *args: Any,
        encoding: str | None = None,
        content_type: str | None = None,
        **kwargs: Any,
    ) -> None:
        kind, real = text_type(content_type, encoding)
        super().__init__(value, *args, content_type=kind, encoding=real, **kwargs)

    def _encoded(self, chunk: Any) -> bytes:
        return chunk.encode(self._encoding or "utf-8")  # type: ignore[no-any-return]


class BytesIOPayload(IOBasePayload):
    """What is left to read of an io.BytesIO. It is not closed."""

    _autoclose = True

    def __init__(self, value: io.BytesIO, *args: Any, **kwargs: Any) -> None:
        super().__init__(value, *args, **kwargs)
        self._size = len(value.getbuffer()) - value.tell()

    @property
    def size(self) -> int | None:
        """Bytes that were left when this was made."""
        return self._size

    async def write_with_length(self, writer: Writer, content_length: int | None) -> None:
        """Write what there is, or its first content_length bytes."""
        self._rewind()
        left = sys.maxsize if content_length is None else content_length
        while left > 0 and (chunk := self._value.read(min(CHUNK, left))):
            left -= len(chunk)
            await writer.write(chunk)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The whole."""
        return self._read_all()

    def _in_memory(self) -> bytes | None:
        return self._read_all() if self._size is not None and self._size <= CHUNK else None

    async def close(self) -> None:
        """Nothing to do."""


class BufferedReaderPayload(IOBasePayload):
    """A file that is open for reading in binary mode."""


# ---- asynchronous -------------------------------------------------------------------------------


class AsyncIterablePayload(Payload):
    """The pieces of an asynchronous iterable: once, unless as_bytes() has read them before."""

    _autoclose = True

    def __init__(self, value: AsyncIterable[bytes], *args: Any, **kwargs: Any) -> None:
        if not isinstance(value, AsyncIterable):
            raise TypeError(
                "value argument must support collections.abc.AsyncIterable interface, "
                f"got {type(value)!r}"
            )
        kwargs.setdefault("content_type", OCTETS)
        super().__init__(value, *args, **kwargs)
        self._iter: AsyncIterator[bytes] | None = value.__aiter__()
        self._kept: bytes | None = None

    async def write(self, writer: Writer) -> None:
        """Write what comes."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: Writer, content_length: int | None) -> None:
        """Write what comes, or its first content_length bytes: the rest is read and dropped, since
        an iterator that is not read to its end does not close what it holds."""
        if self._kept is not None:
            await writer.write(self._kept[:content_length])
            return
        if self._iter is None:
            return
        self._consumed = True
        left = content_length
        async for chunk in self._iter:
            if left is None:
                await writer.write(chunk)
            elif left > 0:
                await writer.write(chunk[:left])
                left -= len(chunk)
        self._iter = None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """What as_bytes() has read, as text. TypeError if it was not called."""
        if self._kept is None:
            raise TypeError("Unable to decode - content not cached. Call as_bytes() first.")
        return self._kept.decode(encoding, errors)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The whole, which is kept."""
        if self._kept is None:
            if self._iter is None:
                return b""
            self._kept = b"".join([chunk async for chunk in self._iter])
            self._iter = None
        return self._kept


class StreamReaderPayload(AsyncIterablePayload):
    """The body of a response, as it comes."""

    def __init__(self, value: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(value.iter_any(), *args, **kwargs)


# ---- which for what -----------------------------------------------------------------------------


class LookupError(Exception):
    """There is no payload for values of this type."""


class Order(str, enum.Enum):
    """When a type of payload is asked: before the others, among them, or after them."""

    normal = "normal"
    try_first = "try_first"
    try_last = "try_last"


def is_payload(data: Any) -> bool:
    """Whether it can be sent as a payload is: aiohttp's own can."""
    return all(hasattr(data, name) for name in ("write_with_length", "size", "headers"))


class PayloadRegistry:
    """Which type of payload is for values of which type."""

    def __init__(self) -> None:
        self._types: dict[Order, list[tuple[type[Payload], Any]]] = {order: [] for order in Order}
        self._exact: dict[Any, type[Payload]] = {}

    def get(self, data: Any, *args: Any, **kwargs: Any) -> Payload:
        """The payload for a value, which may be one. This module's LookupError if there is none."""
        for factory, kind in self._types[Order.try_first]:
            if isinstance(data, kind):
                return factory(data, *args, **kwargs)
        exact = self._exact.get(type(data))
        if exact is not None:
            return exact(data, *args, **kwargs)
        if isinstance(data, Payload) or is_payload(data):
            return data  # type: ignore[no-any-return]
        for order in (Order.normal, Order.try_last):
            for factory, kind in self._types[order]:
                if isinstance(data, kind):
                    return factory(data, *args, **kwargs)
        raise LookupError

    def register(self, factory: type[Payload], type: Any, *, order: Order = Order.normal) -> None:
        """Use `factory` for values of `type`: a class or several."""
        if order not in self._types:
            raise ValueError(f"Unsupported order {order!r}")
        self._types[order].append((factory, type))
        if order is Order.normal:
            for kind in type if isinstance(type, Iterable) else (type,):
                self._exact[kind] = factory


PAYLOAD_REGISTRY = PayloadRegistry()
get_payload = PAYLOAD_REGISTRY.get


class payload_type:
    """Decorator of a payload class: it is for values of `type`."""

    def __init__(self, type: Any, *, order: Order = Order.normal) -> None:
        self.type = type
        self.order = order

    def __call__(self, factory: type[Payload]) -> type[Payload]:
        PAYLOAD_REGISTRY.register(factory, self.type, order=self.order)
        return factory


PAYLOAD_REGISTRY.register(BytesPayload, (bytes, bytearray, memoryview))
PAYLOAD_REGISTRY.register(StringPayload, str)
PAYLOAD_REGISTRY.register(StringIOPayload, io.StringIO)
PAYLOAD_REGISTRY.register(TextIOPayload, io.TextIOBase)
PAYLOAD_REGISTRY.register(BytesIOPayload, io.BytesIO)
PAYLOAD_REGISTRY.register(BufferedReaderPayload, (io.BufferedReader, io.BufferedRandom))
PAYLOAD_REGISTRY.register(IOBasePayload, io.IOBase)
PAYLOAD_REGISTRY.register(StreamReaderPayload, _core.StreamReader)
PAYLOAD_REGISTRY.register(AsyncIterablePayload, AsyncIterable, order=Order.try_last)
