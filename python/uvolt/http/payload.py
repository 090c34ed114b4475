"""Bodies of requests: payloads of every kind, what makes them from a value, and how they are sent.

Source: https://docs.aiohttp.org/en/stable/client_quickstart.html#post-a-file and aiohttp.payload,
whose names these are. A payload knows its size in bytes, or None, and the header fields that
describe it; write_with_length() hands its bytes to a writer.
"""

from __future__ import annotations

import asyncio
import builtins
import codecs
import io
import json
import os
import stat
import sys
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import IO, Any, Final

from .. import _core
from .exceptions import ClientPayloadError
from .helpers import guess_filename, parse_mimetype
from .payload_base import (
    CHUNK,
    OCTETS,
    PAYLOAD_REGISTRY,
    Order,
    Payload,
    PayloadRegistry,
    Writer,
    get_payload,
    payload_type,
    register_payload,
)
from .payload_base import LookupError as LookupError
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
    "Order",
    "Payload",
    "PayloadRegistry",
    "StreamReaderPayload",
    "StringIOPayload",
    "StringPayload",
    "TextIOPayload",
    "get_payload",
    "payload_type",
    "register_payload",
)

SAMPLE: Final = 16 * 1024  # characters of a text file that tell what its line ends are

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
        value = self._value
        if content_length is not None:
            if isinstance(value, memoryview) and value.nbytes != len(value):
                value = value.cast("B")
            value = value[:content_length]
        await writer.write(value)

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
        self._told: int | None = None  # what `size` has said last
        self._job: asyncio.Future[Any] | None = None  # in the executor, the last one
        if self._filename is not None and disposition is not None:
            if "Content-Disposition" not in self.headers:
                self.set_content_disposition(disposition, filename=self._filename)

    @property
    def size(self) -> int | None:
        """Bytes from where the file stood at first to its end; None if it has no such place. No
        more are written, should the file grow."""
        self._told = self._measure()
        return self._told

    def _measure(self) -> int | None:
        try:
            if self._start is None:
                self._start = self._value.tell()
            if getattr(self._value, "_rolled", None) is False:  # a SpooledTemporaryFile, in memory
                return max(0, len(self._value._file.getbuffer()) - self._start)
            status = os.fstat(self._value.fileno())
        except (AttributeError, OSError):
            return None
        # A pipe's size is none, nor is a device's; a GzipFile's descriptor is another file's.
        if not stat.S_ISREG(status.st_mode) or _is_compressed(self._value):
            return None
        return max(0, status.st_size - self._start)

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
        # A temporary file may be open in text mode.
        return chunk.encode() if isinstance(chunk, str) else chunk

    def _read_first(self, limit: int) -> tuple[int | None, bytes]:
        self._rewind()
        return self._measure(), self._read(limit)

    def _read(self, limit: int) -> bytes:
        return self._encoded(self._value.read(limit))

    def _read_all(self) -> bytes:
        self._rewind()
        return self._encoded(self._value.read())

    def _pending(self) -> asyncio.Future[Any] | None:
        """What a thread still does with the file, if anything."""
        job = self._job
        is_over = job is None or job.done() or job.get_loop() is not asyncio.get_running_loop()
        return None if is_over else job

    async def _in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call it in the executor. A thread cannot be stopped: who gives up leaves it to its end,
        and the next one waits for that. Two at once would mix up the file's place."""
        while (job := self._pending()) is not None:
            await asyncio.wait([job])
        self._job = asyncio.get_running_loop().run_in_executor(None, function, *args)
        return await asyncio.shield(self._job)

    async def write(self, writer: Writer) -> None:
        """Write what there is; of a part of a multipart body, what its Content-Length counts."""
        await self.write_with_length(writer, self._told)

    async def write_with_length(self, writer: Writer, content_length: int | None) -> None:
        """Write what there is, or its first content_length bytes."""
        left = content_length
        # No more than was announced, should the file grow meanwhile.
        size, chunk = await self._in_thread(self._read_first, _next(left))
        if size is not None:
            left = size if left is None else min(left, size)
        while chunk and left != 0:
            if left is not None and len(chunk) >= left:
                await writer.write(chunk[:left])
                return
            await writer.write(chunk)
            if left is not None:
                left -= len(chunk)
            chunk = await self._in_thread(self._read, _next(left))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole as text. Blocks."""
        return self._read_all().decode(encoding, errors)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The whole, read in the executor."""
        data: bytes = await self._in_thread(self._read_all)
        return data

    def _close(self) -> None:
        """Close the file, in the executor, once it is read no more; nobody waits for it."""
        if self._consumed and self._value.closed:
            return
        self._consumed = True
        job = self._pending()
        if job is None:
            self._close_in_thread()
        else:
            job.add_done_callback(lambda _: self._close_in_thread())

    def _close_in_thread(self) -> None:
        try:
            self._job = asyncio.get_running_loop().run_in_executor(None, self._value.close)
        except RuntimeError:  # the loop is about to end, and its executor has
            self._value.close()


def _is_compressed(file: Any) -> bool:
    """Whether reading the file gives other bytes than its descriptor does."""
    inner = getattr(file, "buffer", file)
    inner = getattr(inner, "raw", inner)
    names = (("gzip", "GzipFile"), ("bz2", "BZ2File"), ("lzma", "LZMAFile"))
    return any(
        isinstance(inner, getattr(sys.modules[module], name))
        for module, name in names
        if module in sys.modules
    )


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

    _encoder: codecs.IncrementalEncoder | None = None  # of what is being sent
    _translated: bool | None = None

    def _measure(self) -> int | None:
        """Bytes from where the file stood to its end; None if what is sent is other than they."""
        size = super()._measure()
        try:
            if codecs.lookup(self._value.encoding) != codecs.lookup(self._encoding or "utf-8"):
                return None
        except (AttributeError, TypeError, builtins.LookupError):
            pass
        # What tell() says in the midst of a text is no place in the file: it has flags above.
        if self._start is None or self._start >= 1 << 64 or self._translates():
            return None
        return size

    def _translates(self) -> bool:
        """Whether line ends are made shorter as they are read: CR LF, which is then in the first
        lines, to LF. The file does not say whether it does that."""
        if self._translated is None:
            file = self._value
            try:
                stands = file.tell()
                file.seek(self._start)
                try:
                    text = file.read(SAMPLE)
                    self._translated = "\r\n" in (file.newlines or ()) and "\r" not in text
                finally:
                    file.seek(stands)
            except (AttributeError, OSError, UnicodeError):
                self._translated = False  # who reads it is told
        return self._translated

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The whole, read in the executor."""
        text: str = await self._in_thread(self._read_text)
        return text.encode(self._encoding or encoding, errors)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole. Blocks."""
        return self._read_text()

    def _read_text(self) -> str:
        self._rewind()
        return self._value.read()  # type: ignore[no-any-return]

    def _rewind(self) -> None:
        super()._rewind()
        self._encoder = None

    def _encoded(self, chunk: Any) -> bytes:
        # Piece by piece: UTF-16 has its mark at the beginning only.
        if self._encoder is None:
            if not chunk:
                return b""
            self._encoder = codecs.getincrementalencoder(self._encoding or "utf-8")()
        return self._encoder.encode(chunk, not chunk)


class BytesIOPayload(IOBasePayload):
    """What is left to read of an io.BytesIO. It is not closed."""

    _autoclose = True

    def __init__(self, value: io.BytesIO, *args: Any, **kwargs: Any) -> None:
        super().__init__(value, *args, **kwargs)
        self._size: int = max(0, len(value.getbuffer()) - value.tell())

    @property
    def size(self) -> int:
        """Bytes that were left when this was made; no more are written."""
        return self._size

    async def write(self, writer: Writer) -> None:
        """Write what there is."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: Writer, content_length: int | None) -> None:
        """Write what there is, or its first content_length bytes."""
        self._rewind()
        left = self._size if content_length is None else content_length
        while left > 0 and (chunk := self._value.read(min(CHUNK, left))):
            left -= len(chunk)
            await writer.write(chunk)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The whole."""
        return self._read_all()

    def _in_memory(self) -> bytes | None:
        return self._read_all()[: self._size] if self._size <= CHUNK else None

    def _close(self) -> None:
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
        self._cached_chunks: list[bytes] | None = None

    async def write(self, writer: Writer) -> None:
        """Write what comes."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: Writer, content_length: int | None) -> None:
        """Write what comes, or its first content_length bytes: the rest is read and dropped, since
        an iterator that is not read to its end does not close what it holds. ClientPayloadError if
        it was sent before: there is nothing, or only a part of it."""
        if self._cached_chunks is not None:
            await writer.write(b"".join(self._cached_chunks)[:content_length])
            return
        if self._iter is None or self._consumed:
            raise ClientPayloadError("The body is an iterable, which was sent before")
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
        if self._cached_chunks is None:
            raise TypeError("Unable to decode - content not cached. Call as_bytes() first.")
        return b"".join(self._cached_chunks).decode(encoding, errors)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The whole, which is kept."""
        if self._cached_chunks is None:
            if self._iter is None:
                return b""
            self._cached_chunks = [chunk async for chunk in self._iter]
            self._iter = None
        return b"".join(self._cached_chunks)


class StreamReaderPayload(AsyncIterablePayload):
    """The body of a response, as it comes."""

    def __init__(self, value: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(value.iter_any(), *args, **kwargs)


# ---- which for what ----------------------------------------------------------------------------

PAYLOAD_REGISTRY.register(BytesPayload, (bytes, bytearray, memoryview))
PAYLOAD_REGISTRY.register(StringPayload, str)
PAYLOAD_REGISTRY.register(StringIOPayload, io.StringIO)
PAYLOAD_REGISTRY.register(TextIOPayload, io.TextIOBase)
PAYLOAD_REGISTRY.register(BytesIOPayload, io.BytesIO)
PAYLOAD_REGISTRY.register(BufferedReaderPayload, (io.BufferedReader, io.BufferedRandom))
PAYLOAD_REGISTRY.register(IOBasePayload, io.IOBase)
# Neither is an io.IOBase, the second one before Python 3.11.
PAYLOAD_REGISTRY.register(
    IOBasePayload, (tempfile._TemporaryFileWrapper, tempfile.SpooledTemporaryFile)
)
PAYLOAD_REGISTRY.register(StreamReaderPayload, _core.StreamReader)
PAYLOAD_REGISTRY.register(AsyncIterablePayload, AsyncIterable, order=Order.try_last)
