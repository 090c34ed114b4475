"""What a part of a multipart body is decoded by: Content-Transfer-Encoding (RFC 2045, 6), then
Content-Encoding. All of it takes time in proportion to what comes in and what comes out.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from typing import Any, Final

SLICE: Final = 64 * 1024  # what follows the end of a gzip member is copied: not too much of it
EMPTY_MEMBERS: Final = 1024

_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NOT_BASE64: Final = bytes(set(range(256)) - set(_BASE64))
_is_base64: Final = frozenset(_BASE64)
# Of quoted-printable: what the next piece goes on with.
_unfinished = re.compile(rb"=(?:[0-9A-Fa-f]|[ \t]*\r?)\Z").search

Buffer = bytes | bytearray | memoryview


def whole_quartets(data: bytes) -> tuple[bytes, bytes]:
    """base64 as far as it can be decoded without what follows, and the one to three letters that
    cannot. A line end among these stays with them; much else that is no base64 goes first."""
    left = len(data.translate(None, _NOT_BASE64)) % 4
    if not left:
        return data, b""
    cut = len(data)
    while left:
        cut -= 1
        left -= data[cut] in _is_base64
    tail = data[cut:]
    if len(tail) <= 16:
        return data[:cut], tail
    return data[:cut] + tail.translate(None, _BASE64), tail.translate(None, _NOT_BASE64)


class Inflater:
    """gzip, of any number of members, or deflate, with zlib's header or without."""

    def __init__(self, coding: str, limit: int) -> None:
        self._is_gzip = coding == "gzip"
        self._limit = limit  # bytes of a piece that comes out
        self._empty = 0
        self._stream: Any = None

    def feed(self, data: Buffer) -> Iterator[bytes]:
        """What the next bytes are, in pieces. zlib.error for what is not so encoded, ValueError
        for more than 1024 gzip members with nothing in them."""
        view = memoryview(data)
        for start in range(0, len(view), SLICE):
            yield from self._feed(bytes(view[start : start + SLICE]))

    def _feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._stream is None:
                self._stream = zlib.decompressobj(wbits=self._wbits(data))
                self._got = False
            stream = self._stream
            piece = stream.decompress(data, self._limit)
            while piece:
                self._got = True
                yield piece
                if len(piece) < self._limit and not stream.unconsumed_tail:
                    break
                piece = stream.decompress(stream.unconsumed_tail, self._limit)
            if not stream.eof:
                return
            if not self._is_gzip or not stream.unused_data.startswith(b"\x1f\x8b"):
                return  # what follows the end is not part of it
            data = stream.unused_data
            self._stream = None
            self._empty += not self._got
            if self._empty > EMPTY_MEMBERS:
                raise ValueError("too many empty gzip members")

    def _wbits(self, data: bytes) -> int:
        if self._is_gzip:
            return zlib.MAX_WBITS + 16
        has_header = data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0
        return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS


class PartDecoder:
    """Decodes the data of one part, piece by piece. RuntimeError for codings that are not known."""

    def __init__(self, transfer_coding: str, coding: str, limit: int) -> None:
        if transfer_coding not in ("", "base64", "quoted-printable", "binary", "8bit", "7bit"):
            raise RuntimeError(f"unknown content transfer encoding: {transfer_coding}")
        if coding not in ("", "identity", "deflate", "gzip"):
            raise RuntimeError(f"unknown content encoding: {coding}")
        self._transfer_coding = transfer_coding
        self._inflater = Inflater(coding, limit) if coding in ("deflate", "gzip") else None
        self._rest = b""

    def feed(self, data: Buffer, last: bool = False) -> Iterator[Buffer]:
        """What the next bytes are, in pieces; last: none follow. binascii.Error and zlib.error for
        what is not so encoded."""
        data = self._from_transfer(data, last)
        if self._inflater is None:
            yield data
        else:
            yield from self._inflater.feed(data)

    def _from_transfer(self, data: Buffer, last: bool) -> Buffer:
        if self._transfer_coding == "base64":
            data = self._rest + bytes(data)
            if not last:
                data, self._rest = whole_quartets(data)
            return base64.b64decode(data)
        if self._transfer_coding == "quoted-printable":
            data = self._rest + bytes(data)
            found = None if last else _unfinished(data, max(0, len(data) - 80))
            cut = found.start() if found else len(data)
            self._rest = data[cut:]
            return binascii.a2b_qp(data[:cut])
        return data
