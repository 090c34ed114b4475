"""The body of a response as a stream, and what its C part asks of Python on rare paths."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from .._core import StreamReader
from . import log
from ._support import bad_head, content_encoding
from .exceptions import ClientPayloadError, HttpProcessingError

__all__ = ["EMPTY_PAYLOAD", "EmptyStreamReader", "StreamReader", "content_encoding"]


class EmptyStreamReader(StreamReader):
    """The body of a response that has none: aiohttp's EmptyStreamReader."""

    def __init__(self) -> None:
        self._read_eof_chunk = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def set_exception(self, exc: Any, exc_cause: BaseException | None = None) -> None:
        pass

    def on_eof(self, callback: Callable[[], object]) -> None:
        try:
            callback()
        except Exception as error:
            callback_failed(error)

    def feed_eof(self) -> None:
        pass

    def is_eof(self) -> bool:
        return True

    def at_eof(self) -> bool:
        return True

    async def wait_eof(self) -> None:
        pass

    def feed_data(self, data: Any, size: int = 0) -> bool:
        return False

    def set_read_chunk_size(self, n: int) -> None:
        pass

    async def readline(self, *, max_line_length: int | None = None) -> bytes:
        return b""

    async def readuntil(self, separator: bytes = b"\n", *, max_size: int | None = None) -> bytes:
        return b""

    async def read(self, n: int = -1) -> bytes:
        return b""

    async def readany(self) -> bytes:
        return b""

    async def readchunk(self) -> tuple[bytes, bool]:
        first, self._read_eof_chunk = not self._read_eof_chunk, True
        return b"", not first

    async def readexactly(self, n: int) -> bytes:
        raise asyncio.IncompleteReadError(b"", n)

    def read_nowait(self, n: int = -1) -> bytes:
        return b""

    def __aiter__(self) -> Any:
        return _Nothing()

    iter_any = iter_chunks = __aiter__

    def iter_chunked(self, n: int) -> Any:
        return _Nothing()


class _Nothing:
    """An asynchronous iterator of nothing."""

    def __aiter__(self) -> _Nothing:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration


EMPTY_PAYLOAD = EmptyStreamReader()


# ---- what C asks --------------------------------------------------------------------------------


def line_too_long(line: bytes, limit: int) -> HttpProcessingError:
    """readline() found no end within its limit."""
    text = f"Got more than {limit} bytes when reading: {line[:100] + b'...'!r}."
    return bad_head(text, "LineTooLong")


def too_large(text: str) -> ClientPayloadError:
    """The body has more bytes than the caller allowed."""
    return ClientPayloadError(text)


def resume_at_end(protocol: Any) -> None:
    """The protocol of a reader made in Python may read again; there is nothing left to parse."""
    protocol.resume_reading(resume_parser=False)


def callback_failed(error: BaseException) -> None:
    """What a callback of on_eof() raised."""
    log.internal.error("Exception in eof callback", exc_info=error)


def read_at_end() -> None:
    """Said on the sixth read() at the end of a body and every one after it."""
    text = "Multiple access to StreamReader in eof state, might be infinite loop."
    log.internal.warning(text, stack_info=True)


def chunk_skipped() -> None:
    """readchunk() after something else has read past the end of a chunk."""
    log.internal.warning("Skipping HTTP chunk end due to data consumption beyond chunk boundary")
