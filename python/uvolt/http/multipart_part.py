"""One part of a multipart body that comes (RFC 2046, 5.1): its bytes, up to the next boundary.

Source: https://docs.aiohttp.org/en/stable/multipart_reference.html#aiohttp.BodyPartReader
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from .disposition import content_disposition_filename, parse_content_disposition
from .exceptions import ClientPayloadError
from .helpers import parse_mimetype
from .multipart_decode import Buffer, PartDecoder, whole_quartets
from .payload_base import CHUNK, Order, Payload, Writer, payload_type

EXECUTOR = 64 * 1024  # bytes from which on decompressing is not done on the loop


def put_back(content: Any, data: bytes) -> None:
    """Let data be what the stream gives next."""
    if data:
        # The public one says that it is deprecated.
        (getattr(content, "_unread", None) or content.unread_data)(data)


class BodyPartReader:
    """One part that is no multipart body itself. Made by a MultipartReader.

    boundary: with the two dashes. client_max_size: bytes that read() may give; beyond it raises
    max_size_error_cls(client_max_size). max_decompress_size: bytes that are decompressed at a time.
    Raises ValueError for a Content-Length that is no number.
    """

    chunk_size = 8192

    def __init__(
        self,
        boundary: bytes,
        headers: Mapping[str, str],
        content: Any,
        *,
        subtype: str = "mixed",
        default_charset: str | None = None,
        max_decompress_size: int = CHUNK,
        client_max_size: int = sys.maxsize,
        max_size_error_cls: type[Exception] = ValueError,
    ) -> None:
        self.headers = headers
        self._boundary = boundary
        self._delimiter = b"\r\n" + boundary
        self._content = content
        self._default_charset = default_charset
        self._is_form_data = subtype == "form-data"
        self._max_decompress_size = max_decompress_size
        self._client_max_size = client_max_size
        self._max_size_error_cls = max_size_error_cls
        # RFC 7578, 4.8: it has no meaning in a form.
        length = None if self._is_form_data else headers.get("Content-Length")
        if length is not None and not (length.isascii() and length.isdigit()):
            raise ValueError(f"invalid Content-Length: {length!r}")
        self._left = None if length is None else int(length)
        self._at_eof = False
        # Without a Content-Length: what was read ahead of what was given.
        self._ahead = b""
        self._mark = 0  # where in it the last piece begins
        self._is_fresh = True  # nothing was read yet
        self._has_end = False  # all of _ahead is the part's, and there is no more
        self._is_cut = False  # the body has ended before the part
        self._line: bytes | None = None  # what readline() gives next
        self._b64_carry = b""  # of base64, for the next piece

    def __aiter__(self) -> BodyPartReader:
        return self

    async def __anext__(self) -> bytes:
        data = await self.next()
        if data is None:
            raise StopAsyncIteration
        return data

    async def next(self) -> bytes | None:
        """The whole part, and None behind it."""
        return await self.read() or None

    def at_eof(self) -> bool:
        """Whether all of the part was read."""
        return self._at_eof

    # ---- as bytes

    async def read(self, *, decode: bool = False) -> bytes:
        """The rest of the part. decode: as its Content-Transfer-Encoding and Content-Encoding say.
        ValueError if the body ends before the part does."""
        pieces: list[Buffer] = [self._b64_carry]
        self._b64_carry, total, size = b"", 0, self.chunk_size
        while not self._at_eof:
            piece = await self._take(size)
            total += self._count(piece, total)
            pieces.append(piece)
            # What is read too much is put back: not much of it while the part is small.
            size = min(2 * size, CHUNK)
        data = b"".join(pieces)
        if not decode or not data:
            return data
        pieces, total = [], 0
        async for decoded in self.decode_iter(data):
            total += self._count(decoded, total)
            pieces.append(decoded)
        return b"".join(pieces)

    def _count(self, piece: Buffer, total: int) -> int:
        if total + len(piece) > self._client_max_size:
            raise self._max_size_error_cls(self._client_max_size)
        return len(piece)

    async def read_chunk(self, size: int = chunk_size) -> bytes:
        """Some bytes of the part, as they come: at most `size`, b"" at its end. Those of base64 can
        be decoded by themselves; there, if there are fewer than four, they are a few more."""
        if size < 1:
            raise ValueError(f"the size of a chunk is at least 1, not {size}")
        is_base64 = self.headers.get("Content-Transfer-Encoding", "").lower() == "base64"
        while not self._at_eof:
            letters, self._b64_carry = self._b64_carry, b""
            data = letters + await self._take(max(1, size - len(letters)))
            if is_base64 and not self._at_eof:
                data, self._b64_carry = whole_quartets(data)
            if data or self._at_eof:
                return data
        return b""

    async def _take(self, size: int) -> bytes:
        """Up to `size` bytes; sets _at_eof with the last of them. ValueError at the body's end."""
        if self._line is not None:
            put_back(self._content, self._line)
            self._line = None
        if self._left is not None:
            return await self._take_by_length(size)
        behind = len(self._delimiter)
        while not self._has_end:
            # No boundary begins in what is given: it would be seen in what follows. And there is
            # something behind it, so that a piece that is not the last is not taken for it.
            count = min(size, self._mark)
            if count and len(self._ahead) - count >= behind:
                return self._give(count)
            piece = b"" if self._is_cut else await self._content.read(max(size, behind))
            if not piece:
                self._is_cut = True
                if not self._ahead:
                    raise ValueError("Reading after EOF: the body ends without a boundary")
                return self._give(min(size, len(self._ahead)))
            self._mark = len(self._ahead)
            self._ahead += piece
            self._look_for_end()
        count = min(size, self._mark or size, len(self._ahead))
        return self._give(count)

    def _look_for_end(self) -> None:
        ahead, boundary = self._ahead, self._boundary
        if self._is_fresh and ahead.startswith(boundary):
            found, skip = 0, 0  # a part of nothing: the line end of its headers is the boundary's
        else:
            found = ahead.find(self._delimiter, max(0, self._mark - len(boundary) - 1))
            skip = 2
        if found >= 0:
            put_back(self._content, ahead[found + skip :])
            self._ahead = ahead[:found]
            self._has_end = True

    def _give(self, count: int) -> bytes:
        data, self._ahead = self._ahead[:count], self._ahead[count:]
        self._mark = max(0, self._mark - count)
        self._is_fresh = False
        self._at_eof = self._has_end and not self._ahead
        return data

    async def _take_by_length(self, size: int) -> bytes:
        assert self._left is not None
        data = await self._content.read(min(size, self._left)) if self._left else b""
        if self._left and not data:
            raise ValueError("Reading after EOF: the body ends before the part does")
        self._left -= len(data)
        if not self._left:
            self._at_eof = True
            if await self._content.readline() != b"\r\n":
                raise ValueError("Reader did not read all the data or it is malformed")
        return data

    async def readline(self) -> bytes:
        """The next line with its end; b"" behind the last one, which has none. ValueError if the
        body ends before the part does."""
        if self._at_eof:
            return b""
        if self._ahead:
            put_back(self._content, self._ahead + b"\r\n" * self._has_end)
            self._ahead, self._mark, self._has_end = b"", 0, False
        line = self._line
        if line is None:
            line = await self._content.readline()
            if self._is_fresh and line.startswith(self._boundary):
                self._at_eof = True
                put_back(self._content, line)
                return b""
        following = await self._content.readline()
        if not line or not following:
            raise ValueError("Reading after EOF: the body ends without a boundary")
        self._is_fresh = False
        if line.endswith(b"\r\n") and following.startswith(self._boundary):
            self._at_eof = True
            self._line = None
            put_back(self._content, following)
            return line[:-2]
        self._line = following
        return line

    async def release(self) -> None:
        """Read the rest, and drop it."""
        size = self.chunk_size
        while not self._at_eof:
            await self._take(size)
            size = min(2 * size, CHUNK)

    # ---- decoded

    async def text(self, *, encoding: str | None = None) -> str:
        """The rest as text: in `encoding`, that of Content-Type, that of a form's _charset_ field,
        or UTF-8."""
        data = await self.read(decode=True)
        return data.decode(encoding or self.get_charset(default="utf-8"))

    async def json(self, *, encoding: str | None = None) -> Any:
        """The rest as JSON; None if there is nothing."""
        data = await self.read(decode=True)
        if not data:
            return None
        return json.loads(data.decode(encoding or self.get_charset(default="utf-8")))

    async def form(self, *, encoding: str | None = None) -> list[tuple[str, str]]:
        """The rest as an urlencoded form. ValueError if it is not in that encoding."""
        data = await self.read(decode=True)
        if not data:
            return []
        real = self.get_charset(default="utf-8") if encoding is None else encoding
        try:
            text = data.rstrip().decode(real)
        except UnicodeDecodeError:
            raise ValueError(f"data cannot be decoded with {real} encoding") from None
        return parse_qsl(text, keep_blank_values=True, encoding=real)

    def _decoder(self) -> PartDecoder:
        # RFC 7578, 4.7: a form's part has no Content-Encoding.
        coding = "" if self._is_form_data else self.headers.get("Content-Encoding", "")
        transfer_coding = self.headers.get("Content-Transfer-Encoding", "")
        return PartDecoder(transfer_coding.lower(), coding.lower(), self._max_decompress_size)

    def decode(self, data: Buffer) -> Buffer:
        """All of the data, decoded as its headers say. Blocks while it decompresses."""
        pieces = list(self._decoder().feed(data, True))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def decode_iter(self, data: Buffer) -> AsyncIterator[Buffer]:
        """All of the data in pieces, decoded as its headers say; much of it in the executor."""
        async for piece in decode(self._decoder(), data, True):
            yield piece

    # ---- headers

    def get_charset(self, default: str) -> str:
        """That of Content-Type, that of a form's _charset_ field, or the default."""
        mimetype = parse_mimetype(self.headers.get("Content-Type", ""))
        return mimetype.parameters.get("charset") or self._default_charset or default

    @cached_property
    def _disposition(self) -> dict[str, str]:
        return parse_content_disposition(self.headers.get("Content-Disposition"))[1]

    @cached_property
    def name(self) -> str | None:
        """That of the form's field; None if Content-Disposition has none or is not valid."""
        return content_disposition_filename(self._disposition, "name")

    @cached_property
    def filename(self) -> str | None:
        """That of the file; None if Content-Disposition has none or is not valid."""
        return content_disposition_filename(self._disposition, "filename")


async def decode(decoder: PartDecoder, data: Buffer, last: bool) -> AsyncIterator[Buffer]:
    """decoder.feed() without holding up the loop for long."""
    pieces = decoder.feed(data, last)
    loop = asyncio.get_running_loop()
    while True:
        if len(data) > EXECUTOR:
            piece = await loop.run_in_executor(None, next, pieces, None)
        else:
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece


@payload_type(BodyPartReader, order=Order.try_first)
class BodyPartReaderPayload(Payload):
    """A part that came, sent on: decoded, and once."""

    def __init__(self, value: BodyPartReader, *args: Any, **kwargs: Any) -> None:
        super().__init__(value, *args, **kwargs)
        told = {"name": value.name, "filename": value.filename}
        parameters = {key: text for key, text in told.items() if text is not None}
        if parameters:
            self.set_content_disposition("attachment", True, **parameters)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Not possible: TypeError."""
        raise TypeError("Unable to decode.")

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Not possible, for it may be large: TypeError."""
        raise TypeError("Unable to read body part as bytes. Use write() to consume.")

    async def write(self, writer: Writer) -> None:
        """Write the rest of the part. ClientPayloadError if that was done before."""
        if self._consumed:
            raise ClientPayloadError("The body is a part of another, which was sent before")
        self._consumed = True
        part: BodyPartReader = self._value
        decoder = part._decoder()
        while not part.at_eof():
            chunk = await part.read_chunk(CHUNK)
            async for piece in decode(decoder, chunk, part.at_eof()):
                if piece:
                    await writer.write(piece)
