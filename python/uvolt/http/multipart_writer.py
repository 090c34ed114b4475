"""A multipart body that is sent (RFC 2046, 5.1; RFC 7578 for forms): streamed, part by part.

Source: https://docs.aiohttp.org/en/stable/multipart_reference.html#aiohttp.MultipartWriter
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlencode

from . import log
from .compression import compressor
from .payload import JsonPayload, StringPayload
from .payload_base import (
    CHUNK,
    LookupError,
    Payload,
    Writer,
    get_payload,
    in_memory,
    is_payload,
    serialize_fields,
)

_is_token = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+").fullmatch
_has_control = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search

CODINGS: Final = ("deflate", "gzip")
TRANSFER_CODINGS: Final = ("base64", "quoted-printable")

Part = tuple[Payload, str | None, str | None]


def _head(part: Payload) -> bytes:
    return serialize_fields(part.headers)


class MultipartWriter(Payload):
    """A body of parts; it may be a part itself. `with` does nothing but to show what belongs to it.

    boundary: ASCII, without control characters (ValueError); a random one by default. A part's
    Content-Encoding (deflate, gzip) and Content-Transfer-Encoding (base64, quoted-printable) are
    applied as it is written, but in multipart/form-data, where they may not be. The size is known
    if that of every part is, and none is encoded.
    """

    _autoclose = True

    def __init__(self, subtype: str = "mixed", boundary: str | None = None) -> None:
        boundary = uuid.uuid4().hex if boundary is None else boundary
        if not boundary.isascii():
            raise ValueError("boundary should contain ASCII only chars")
        self._boundary = boundary.encode("ascii")
        kind = f"multipart/{subtype}; boundary={self._boundary_value}"
        super().__init__(None, content_type=kind)
        self._parts: list[Part] = []
        self._is_form_data = subtype == "form-data"

    def __enter__(self) -> MultipartWriter:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Nothing to do."""

    def __iter__(self) -> Iterator[Part]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __bool__(self) -> bool:
        return True

    @property
    def boundary(self) -> str:
        """What is between the parts, without the dashes."""
        return self._boundary.decode("ascii")

    @property
    def _boundary_value(self) -> str:
        """The boundary as a parameter: a token or a quoted string (RFC 9110, 5.6)."""
        boundary = self._boundary.decode("ascii")
        if _is_token(boundary):
            return boundary
        if _has_control(boundary):
            raise ValueError("boundary value contains invalid characters")
        escaped = boundary.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'

    @property
    def consumed(self) -> bool:
        """Whether it, or any part, cannot be sent again."""
        return self._consumed or any(part.consumed for part, _, _ in self._parts)

    # ---- parts

    def append(self, obj: Any, headers: Mapping[str, str] | None = None) -> Payload:
        """One more part: a payload or what one is made of; headers are set on it. TypeError for
        what no payload can be made of."""
        if is_payload(obj):
            obj.headers.update(headers or {})
            return self.append_payload(obj)
        try:
            payload = get_payload(obj, headers=headers or {})
        except LookupError:
            raise TypeError(f"Cannot create payload from {obj!r}") from None
        return self.append_payload(payload)

    def append_payload(self, payload: Payload) -> Payload:
        """One more part. RuntimeError for a coding that is not known, ValueError for a part of a
        form that has a coding or a length of its own (RFC 7578, 4.7 and 4.8)."""
        headers = payload.headers
        coding = transfer_coding = None
        if self._is_form_data:
            for name in ("Content-Encoding", "Content-Length", "Content-Transfer-Encoding"):
                if name in headers:
                    raise ValueError(f"a part of multipart/form-data cannot have {name}")
            if "Content-Disposition" not in headers:
                payload.set_content_disposition("form-data", name=f"section-{len(self._parts)}")
        else:
            coding = headers.get("Content-Encoding", "").lower()
            if coding not in ("", "identity", *CODINGS):
                raise RuntimeError(f"unknown content encoding: {coding}")
            transfer_coding = headers.get("Content-Transfer-Encoding", "").lower()
            if transfer_coding not in ("", "binary", *TRANSFER_CODINGS):
                raise RuntimeError(f"unknown content transfer encoding: {transfer_coding}")
            coding = coding if coding in CODINGS else None
            transfer_coding = transfer_coding if transfer_coding in TRANSFER_CODINGS else None
            size = payload.size
            if size is not None and not coding and not transfer_coding:
                headers["Content-Length"] = str(size)
        self._parts.append((payload, coding, transfer_coding))
        return payload

    def append_json(self, obj: Any, headers: Mapping[str, str] | None = None) -> Payload:
        """One more part, of JSON."""
        return self.append_payload(JsonPayload(obj, headers=headers or {}))

    def append_form(
        self,
        obj: Sequence[tuple[str, str]] | Mapping[str, str],
        headers: Mapping[str, str] | None = None,
    ) -> Payload:
        """One more part, of application/x-www-form-urlencoded."""
        if not isinstance(obj, Sequence | Mapping):
            raise TypeError(f"a form is a mapping or a sequence of pairs, not {type(obj)!r}")
        pairs = list(obj.items()) if isinstance(obj, Mapping) else obj
        kind = "application/x-www-form-urlencoded"
        text = urlencode(pairs, doseq=True)
        return self.append_payload(StringPayload(text, headers=headers or {}, content_type=kind))

    # ---- as a payload

    @property
    def size(self) -> int | None:
        """Bytes of the whole; None if the size of a part is not known, or it is encoded."""
        line = 2 + len(self._boundary) + 2
        total = line + 2
        for part, coding, transfer_coding in self._parts:
            size = part.size
            if coding or transfer_coding or size is None:
                return None
            total += line + len(_head(part)) + size + 2
        return total

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole as text, its parts not encoded. Blocks if there are files in it."""
        pieces = []
        for part, _, _ in self._parts:
            head = _head(part).decode(encoding, errors)
            pieces.append(f"--{self.boundary}\r\n{head}{part.decode(encoding, errors)}\r\n")
        return "".join([*pieces, f"--{self.boundary}--\r\n"])

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The whole, its parts not encoded."""
        pieces = []
        for part, _, _ in self._parts:
            body = await part.as_bytes(encoding, errors)
            pieces += [self._before(part), bytes(body), b"\r\n"]
        return b"".join([*pieces, self._end()])

    async def write(self, writer: Writer, close_boundary: bool = True) -> None:
        """Write the whole; without the last boundary if close_boundary is false."""
        gap = b""
        for part, coding, transfer_coding in self._parts:
            await writer.write(gap + self._before(part))
            gap = b"\r\n"
            if coding or transfer_coding:
                encoder = MultipartPayloadWriter(writer)
                if coding:
                    encoder.enable_compression(coding)
                if transfer_coding:
                    encoder.enable_encoding(transfer_coding)
                await part.write(encoder)
                await encoder.write_eof()
            else:
                await part.write(writer)
        await writer.write(gap + self._end() if close_boundary else gap)

    def _before(self, part: Payload) -> bytes:
        disposition = part.headers.get("Content-Disposition", "")
        # RFC 7578, 4.2; it had one when it was appended. name*= is of a name beyond ASCII.
        if self._is_form_data and not ("name=" in disposition or "name*=" in disposition):
            raise ValueError("a part of multipart/form-data has no name in Content-Disposition")
        return b"--%b\r\n%b" % (self._boundary, _head(part))

    def _end(self) -> bytes:
        return b"--%b--\r\n" % self._boundary

    def _in_memory(self) -> bytes | None:
        pieces = []
        left = CHUNK
        for part, coding, transfer_coding in self._parts:
            if coding or transfer_coding or not part.autoclose:
                return None  # a file, whose size has been told: it may be another now
            size = part.size
            if size is None or size > left:
                return None
            body = in_memory(part)
            if body is None:
                return None
            left -= len(body)
            pieces += [self._before(part), body, b"\r\n"]
        return b"".join([*pieces, self._end()])

    async def close(self) -> None:
        """Let go of what the parts hold. What one of them raises is logged, not raised."""
        if self._consumed:
            return
        self._consumed = True
        for number, (part, _, _) in enumerate(self._parts):
            if part.autoclose:
                continue
            try:
                await part.close()
            except Exception:
                log.internal.exception("Failed to close multipart part %d", number)


class MultipartPayloadWriter:
    """Encodes a part as it is written: compressed at first, then in its transfer coding."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._coding: str | None = None
        self._compressor: Any = None
        self._rest = b""  # of a group of three bytes

    def enable_encoding(self, encoding: str) -> None:
        """Use "base64" or "quoted-printable"; others are left alone."""
        if encoding in TRANSFER_CODINGS:
            self._coding = encoding

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        """Use "gzip" or "deflate", which is without zlib's header in a part, as aiohttp has it."""
        self._compressor = compressor(encoding, raw=True, strategy=strategy)

    async def write(self, chunk: bytes | bytearray | memoryview, /) -> None:
        """Take some bytes."""
        stream = self._compressor
        if stream is not None:
            if len(chunk) > CHUNK // 4:
                loop = asyncio.get_running_loop()
                chunk = await loop.run_in_executor(None, stream.compress, chunk)
            else:
                chunk = stream.compress(chunk)
        await self._encode(chunk, False)

    async def write_eof(self) -> None:
        """All has been written."""
        stream, self._compressor = self._compressor, None
        await self._encode(b"" if stream is None else stream.flush(), True)

    async def _encode(self, data: bytes | bytearray | memoryview, last: bool) -> None:
        if self._coding == "base64":
            data = self._rest + data
            cut = len(data) if last else len(data) // 3 * 3
            self._rest = data[cut:]
            data = base64.b64encode(data[:cut])
        elif self._coding == "quoted-printable":
            data = binascii.b2a_qp(data)
        if data:
            await self._writer.write(data)
