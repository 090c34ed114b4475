"""The body of a request that is sent in pieces: the task that sends it, what that writes to, and
who follows its progress.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from .compression import compressor
from .exceptions import (
    ClientConnectionError,
    ClientOSError,
    ClientPayloadError,
    UploadAbortedError,
)
from .timeouts import is_timeout

if TYPE_CHECKING:
    from .request import ClientRequest
    from .tracing import Traces

__all__ = ("UploadTracker",)

MOST_POINTS: Final = 256
LARGE: Final = 64 * 1024  # bytes that are compressed in a thread


class Upload:
    """The body of one exchange: run in a task by C."""

    def __init__(
        self,
        request: ClientRequest,
        traces: Traces | None = None,
        tracker: UploadTracker | None = None,
    ) -> None:
        self._request = request
        self._traces = traces
        self._tracker = tracker
        self._attempt = 0 if tracker is None else tracker._attempt_started()
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
        writer = BodyWriter(response, bool(self._request.chunked), self._request.coding)
        if self._traces is not None:
            writer.on_chunk = functools.partial(
                self._traces.send, "request_chunk_sent", self._request.method, self._request.url
            )
        if self._tracker is None:
            await self._send(response, writer)
            return
        tracker, attempt = self._tracker, self._attempt
        writer.on_body_write = functools.partial(tracker._add_bytes, attempt)
        tracker._attempt_writing(attempt, writer)
        try:
            error = await self._send(response, writer)
        except BaseException:  # cancelled: nobody wants the rest
            tracker._attempt_failed(attempt, None)
            raise
        if error is None:
            tracker._attempt_finished(attempt)
        else:
            tracker._attempt_failed(attempt, error)

    async def _send(self, response: Any, writer: BodyWriter) -> Exception | None:
        """The error that the exchange has ended with, if it has."""
        request = self._request
        error: Exception
        try:
            if request.expects_continue:
                await response._continued()
            length = writer.length = None if request.chunked else request.content_length()
            if request._body is not None:
                await request._body.write_with_length(writer, length)
            await writer.finish()
            if request._body is not None and length is not None and writer.written != length:
                raise ClientPayloadError(
                    f"The request's body has {writer.written} bytes, its Content-Length is {length}"
                )
            response._write_eof()
            return None
        except OSError as exc:
            error = exc
            if not is_timeout(exc):
                error = ClientOSError(exc.errno, f"Can not write request body for {request.url}")
                error.__cause__ = exc
            if writer.failed is exc:
                return error  # the exchange has ended, and knows why
        except ClientPayloadError as exc:
            error = exc
        except Exception as exc:
            where = f"Connection<{getattr(response.connection, 'key', None)}>"
            error = ClientConnectionError(
                f"Failed to send bytes into the underlying connection {where}: {exc!r}"
            )
            error.__cause__ = exc
            if writer.failed is exc:
                return error
        response._upload_failed(error)
        return error


def chunk(data: bytes | bytearray | memoryview) -> bytes:
    """In the chunked coding (RFC 9112, 7.1). Not for empty data, which would be the end."""
    return b"".join((b"%x\r\n" % len(data), data, b"\r\n"))


class BodyWriter:
    """Takes the pieces of a body, and writes them as they go over the wire."""

    def __init__(self, response: Any, chunked: bool, coding: str | None) -> None:
        self._response = response
        self._chunked = chunked
        self._compressor = None if coding is None else compressor(coding)
        self.length: int | None = None  # of the body, if the head of the request tells it
        self.written = 0  # bytes of the body, before it was coded
        self.output_size = 0  # bytes given to the connection
        self.on_chunk: Callable[[Any], Awaitable[None]] | None = None  # told of each piece first
        # Told of each piece that is with the connection: bytes of it, output_size.
        self.on_body_write: Callable[[int, int], None] | None = None
        self.failed: BaseException | None = None  # what writing to the connection raised

    @property
    def transport(self) -> Any:
        """Where it goes; None when the exchange is over."""
        connection = self._response.connection
        return None if connection is None else connection.transport

    async def write(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take some bytes; returns when more may come. TypeError for what is no bytes,
        ClientPayloadError for more than were announced."""
        if self.on_chunk is not None:
            await self.on_chunk(data)
        if isinstance(data, memoryview) and (data.itemsize != 1 or data.ndim != 1):
            data = data.cast("B")
        elif not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be byte-ish ({type(data)!r})")
        size = len(data)
        self.written += size
        if self.length is not None and self.written > self.length:
            # Not a byte more: the server would take it for the next request.
            raise ClientPayloadError(
                f"The request's body has more bytes than its Content-Length, {self.length}"
            )
        if self._compressor is not None:
            if size > LARGE:
                loop = asyncio.get_running_loop()
                data = await loop.run_in_executor(None, self._compressor.compress, data)
            else:
                data = self._compressor.compress(data)
        if len(data):
            await self._put(chunk(data) if self._chunked else data, size)
        elif size and self.on_body_write is not None:
            self.on_body_write(size, self.output_size)

    async def finish(self) -> None:
        """All has been written."""
        end = b"" if self._compressor is None else self._compressor.flush()
        if self._chunked:
            await self._put((chunk(end) if end else b"") + b"0\r\n\r\n", 0)

    async def _put(self, data: Any, size: int) -> None:
        try:
            sending = self._response._write(data)
            self.output_size += len(data)
            if size and self.on_body_write is not None:
                self.on_body_write(size, self.output_size)
            await sending
        except BaseException as exc:
            self.failed = exc
            raise


class UploadTracker:
    """How far the upload of one request has come: pass a new one as upload_tracker, and read while
    the request runs.

    attempts: how often sending was begun; redirects and retries are attempts of their own.
    upload_complete: a future; done when the body was sent whole, at the latest when the request is
    over: with the error that ended it, or UploadAbortedError.

    Made in a running loop. RuntimeError of a second request that is given the same one.
    Source: https://docs.aiohttp.org/en/stable/client_reference.html#aiohttp.UploadTracker
    """

    def __init__(self) -> None:
        self.attempts = 0
        self.upload_complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._is_bound = self._is_final = self._is_finished = False
        self._error: BaseException | None = None
        self._writer: BodyWriter | None = None  # of the attempt under way
        self._accepted = 0  # bytes of the body that were given to the connection
        self._flushed = 0  # ... and have left it
        # (bytes of the body, output_size of the writer): the last point that has left the
        # transport, and those after it.
        self._points: deque[tuple[int, int]] = deque()

    @property
    def bytes_written(self) -> int:
        """Bytes of the body that the system has taken, in the last attempt. Of a compressed body
        an estimate, while a piece is under way."""
        self._refresh()
        return self._flushed

    def _refresh(self) -> None:
        writer = self._writer
        transport = None if writer is None else writer.transport
        if writer is None or transport is None or transport.is_closing():
            return
        sent = writer.output_size - transport.get_write_buffer_size()
        points = self._points
        while len(points) > 1 and points[1][1] <= sent:
            points.popleft()
        flushed, at = points[0]
        if len(points) > 1 and sent > at:
            end, end_at = points[1]
            flushed += (end - flushed) * (sent - at) // (end_at - at)
        self._flushed = flushed

    # What an Upload calls: the names are aiohttp's, whose trackers work here too.

    def _bind(self) -> None:
        if self._is_bound:
            raise RuntimeError("UploadTracker is already bound to a request")
        self._is_bound = True

    def _attempt_started(self) -> int:
        """A number by which the attempt is known: older ones may still be about to end."""
        self.attempts += 1
        self._writer = None
        self._accepted = self._flushed = 0
        self._is_finished = False
        self._error = None
        return self.attempts

    def _attempt_writing(self, attempt: int, writer: BodyWriter) -> None:
        if attempt == self.attempts:
            self._writer = writer
            self._points = deque([(0, writer.output_size)])

    def _add_bytes(self, attempt: int, size: int, output_size: int) -> None:
        if attempt != self.attempts or self._writer is None:
            return
        self._accepted += size
        if output_size > self._points[-1][1]:
            self._points.append((self._accepted, output_size))
            if len(self._points) > MOST_POINTS:
                self._refresh()

    def _attempt_finished(self, attempt: int) -> None:
        if attempt == self.attempts:
            self._is_finished = True
            self._flushed = self._accepted
            self._over()

    def _attempt_failed(self, attempt: int, error: BaseException | None) -> None:
        """error: None if it was cut short."""
        if attempt == self.attempts:
            self._error = error
            self._refresh()
            self._over()

    def _over(self) -> None:
        self._writer = None
        self._points.clear()
        if self._is_final:
            self._settle()

    def _finalize(self) -> None:
        """The request has returned or raised: there will be no more attempts."""
        self._is_final = True
        if self._writer is None:
            self._settle()

    def _settle(self) -> None:
        future = self.upload_complete
        if future.done():
            return
        if self._is_finished:
            future.set_result(None)
            return
        future.set_exception(
            self._error or UploadAbortedError("The request body was not fully sent")
        )
        future.exception()  # who only asks done() is not told that it was never retrieved
