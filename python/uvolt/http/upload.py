"""The body of a request that is sent in pieces: the task that sends it, what that writes to."""

from __future__ import annotations

import asyncio
import functools
import zlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from .exceptions import (
    ClientConnectionError,
    ClientOSError,
    ClientPayloadError,
)

if TYPE_CHECKING:
    from .request import ClientRequest
    from .tracing import Traces

LARGE: Final = 64 * 1024  # bytes that are compressed in a thread


class Upload:
    """The body of one exchange: run in a task by C."""

    def __init__(self, request: ClientRequest, traces: Traces | None = None) -> None:
        self._request = request
        self._traces = traces
        self._task: asyncio.Task[Any] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the body is being read."""
        return self._task is not None and not self._task.done()

    async def wait(self) -> None:
        """Until it reads the body no more. The exchange is over, so that is soon."""
        if self.is_running:
            assert self._task is not None
            self._task.cancel()
            await asyncio.wait([self._task])

    def then(self, callback: Any) -> None:
        """Call back when it reads the body no more."""
        assert self._task is not None
        self._task.add_done_callback(callback)

    async def __call__(self, response: Any) -> None:
        """Send the body of the exchange that `response` is for; its errors end that."""
        self._task = asyncio.current_task()
        request = self._request
        writer = BodyWriter(response, bool(request.chunked), request.coding)
        if self._traces is not None:
            writer.on_chunk = functools.partial(
                self._traces.send, "request_chunk_sent", request.method, request.url
            )
        try:
            if request.expects_continue:
                await response._continued()
            length = None if request.chunked else request.content_length()
            if request._body is not None:
                await request._body.write_with_length(writer, length)
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
                error = ClientOSError(exc.errno, f"Can not write request body for {request.url}")
            error.__cause__ = exc
            response._upload_failed(error)
        except ClientPayloadError as exc:
            response._upload_failed(exc)
        except Exception as exc:
            if writer.failed is exc:
                return
            where = f"Connection<{getattr(response.connection, 'key', None)}>"
            error = ClientConnectionError(
                f"Failed to send bytes into the underlying connection {where}: {exc!r}"
            )
            error.__cause__ = exc
            response._upload_failed(error)


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
        self.on_chunk: Callable[[Any], Awaitable[None]] | None = None  # told of each piece first
        self.failed: BaseException | None = None  # what writing to the connection raised

    async def write(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take some bytes; returns when more may come. TypeError for what is no bytes."""
        if self.on_chunk is not None:
            await self.on_chunk(data)
        if isinstance(data, memoryview) and (data.itemsize != 1 or data.ndim != 1):
            data = data.cast("B")
        elif not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be byte-ish ({type(data)!r})")
        self.written += len(data)
        if self._compressor is not None:
            if len(data) > LARGE:
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
