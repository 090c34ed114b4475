"""What the C core asks of Python: the rare paths (errors, debug mode, text), called by name.

Nothing here runs per callback or per packet. The C core imports this module, so it must not import
the core.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import inspect
import logging
import socket
import sys
import traceback
from asyncio import base_events, constants, coroutines, format_helpers, trsock
from asyncio.log import logger
from typing import Any

SENDFILE_MODE = constants._SendfileMode.TRY_NATIVE


def _is_coroutine_function(function: Any) -> bool:
    """asyncio's own test: it also knows @asyncio.coroutine (3.10) and marked callables."""
    if sys.version_info >= (3, 14):  # deprecated there
        return inspect.iscoroutinefunction(function)
    return asyncio.iscoroutinefunction(function)


# ---- debug mode ---------------------------------------------------------------------------------


def source_traceback() -> traceback.StackSummary:
    """The stack of whoever called the C method that calls this."""
    return format_helpers.extract_stack(sys._getframe(1))


def debug_check(loop: Any, callback: Any, method: str, check_thread: int) -> None:
    """Debug mode's checks of call_soon() and its kin, with asyncio's errors."""
    if check_thread:
        loop._check_thread()
    if coroutines.iscoroutine(callback) or _is_coroutine_function(callback):
        raise TypeError(f"coroutines cannot be used with {method}()")
    if not callable(callback):
        raise TypeError(f"a callable object was expected by {method}(), got {callback!r}")


def run_handle(handle: Any) -> None:
    """A handle that is not ours, which a program has put into loop._ready."""
    if not handle._cancelled:
        handle._run()


def slow_callback(handle: Any, seconds: float) -> None:
    """Debug mode's report of a callback that took longer than loop.slow_callback_duration."""
    logger.warning("Executing %s took %.3f seconds", base_events._format_handle(handle), seconds)


# ---- errors -------------------------------------------------------------------------------------


def _callback_text(handle: Any) -> str:
    callback, args = handle._callback, handle._args
    if handle._cancelled:  # by itself, and then it raised
        return "<cancelled>"
    try:
        return format_helpers._format_callback_source(callback, args)
    except Exception:  # somebody's __repr__ is broken: the report matters more
        return f"<{type(callback).__name__} object at {id(callback):#x}>"


def callback_failed(loop: Any, handle: Any, exc: BaseException) -> None:
    """A callback of the ready queue or a timer raised."""
    context = {
        "message": f"Exception in callback {_callback_text(handle)}",
        "exception": exc,
        "handle": handle,
    }
    if handle._source_traceback:
        context["source_traceback"] = handle._source_traceback
    loop.call_exception_handler(context)


def report(loop: Any, message: str, exc: BaseException, transport: Any, protocol: Any) -> None:
    """An exception that has no callback to go to."""
    context: dict[str, Any] = {"message": message, "exception": exc}
    if transport is not None:
        context["transport"] = transport
    if protocol is not None:
        context["protocol"] = protocol
    loop.call_exception_handler(context)


def transport_failed(
    loop: Any, message: str, exc: BaseException, transport: Any, protocol: Any
) -> None:
    """A connection broke. That is everyday life for OSError; other exceptions are bugs."""
    if isinstance(exc, OSError):
        if loop.get_debug():
            logger.debug("%r: %s", transport, message, exc_info=exc)
    else:
        report(loop, message, exc, transport, protocol)


def accept_failed(loop: Any, exc: OSError, sock: Any, resume: Any) -> None:
    """accept() ran out of descriptors or memory: tell, and try again later."""
    loop.call_exception_handler(
        {
            "message": "socket.accept() out of system resource",
            "exception": exc,
            "socket": trsock.TransportSocket(sock),
        }
    )
    loop.call_later(constants.ACCEPT_RETRY_DELAY, resume)


def read_pipe_failed(
    loop: Any, message: str, exc: BaseException, transport: Any, protocol: Any
) -> None:
    """A read failed. EIO is how a terminal says that its other side is gone."""
    if isinstance(exc, OSError) and exc.errno == errno.EIO:
        if loop.get_debug():
            logger.debug("%r: %s", transport, message, exc_info=exc)
    else:
        report(loop, message, exc, transport, protocol)


def warn_lost_pipe_write() -> None:
    """Somebody keeps writing to a pipe whose reader is gone."""
    logger.warning("pipe closed by peer or os.write(pipe, data) raised exception.")


def warn_lost_write() -> None:
    """Somebody keeps writing to a connection that is gone."""
    logger.warning("socket.send() raised exception.")


# ---- transports ---------------------------------------------------------------------------------


def check_fd_free(transports: Any, fd: int, fileobj: Any) -> None:
    """RuntimeError if one of asyncio's own Python transports uses the descriptor."""
    transport = transports.get(fd)
    if transport and not transport.is_closing():
        raise RuntimeError(f"File descriptor {fileobj!r} is used by transport {transport!r}")


def pause_reader(reader: Any) -> None:
    """The last step of StreamReader.feed_data(): too much is buffered, stop the transport."""
    transport = reader._transport
    if transport is not None and not reader._paused:
        try:
            transport.pause_reading()
        except NotImplementedError:
            reader._transport = None
        else:
            reader._paused = True


def write_limits(high: int | None = None, low: int | None = None) -> tuple[int, int]:
    """(high, low) in bytes from the arguments of set_write_buffer_limits()."""
    return buffer_limits(high, low, 64 * 1024)


def buffer_limits(high: int | None, low: int | None, default: int) -> tuple[int, int]:
    """(high, low) in bytes, what is not given made from the other or from the default high."""
    if high is None:
        high = default if low is None else 4 * low
    if low is None:
        low = high // 4
    if not high >= low >= 0:
        raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
    return min(high, sys.maxsize), min(low, sys.maxsize)


def set_result(future: asyncio.Future[Any], value: Any) -> None:
    """future.set_result(value), unless somebody cancelled it."""
    if not future.done():
        future.set_result(value)


def fail_waiter(future: asyncio.Future[Any], exc: BaseException | None) -> None:
    """What waits for a connection to be flushed learns that it is lost."""
    if not future.done():
        future.set_exception(exc or ConnectionError("Connection is closed by peer"))


def default_executor() -> concurrent.futures.Executor:
    """What run_in_executor(None, ...) uses if the program has not set an executor."""
    return concurrent.futures.ThreadPoolExecutor(thread_name_prefix="asyncio")


def socket_from_fd(fd: int) -> socket.socket:
    """A socket object over a descriptor that a transport owns."""
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    return sock


def closed_socket(family: int) -> socket.socket | None:
    """A socket object for a connection that has ended; None if there is no descriptor left."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            return sock
    except OSError:
        return None


def transport_socket(sock: socket.socket) -> trsock.TransportSocket:
    """What get_extra_info('socket') gives: a socket that cannot be read, written or closed."""
    return trsock.TransportSocket(sock)


def hold_socket(sock: Any) -> None:
    """From now on sock.close() leaves the descriptor open, as while a file of makefile() is."""
    sock._io_refs += 1


def release_socket(sock: Any) -> None:
    """Close a socket that hold_socket() has held."""
    sock._decref_socketios()
    sock.close()


def transport_repr(transport: Any) -> str:
    """The text of a transport, in the form of asyncio's."""
    info = [type(transport).__name__]
    loop = transport._loop
    if transport._sock_fd < 0:
        info.append("closed")
    else:
        if transport.is_closing():
            info.append("closing")
        info.append(f"fd={transport._sock_fd}")
        if not loop.is_closed():
            info.append("read=polling" if transport.is_reading() else "read=idle")
            size = transport.get_write_buffer_size()
            state = "polling" if size else "idle"
            info.append(f"write=<{state}, bufsize={size}>")
    return f"<{' '.join(info)}>"


def pipe_log(transport: Any, text: str) -> None:
    """Debug mode's notes of a pipe."""
    level = logging.INFO if text.startswith("was") else logging.DEBUG
    logger.log(level, "%r %s", transport, text)


def pipe_repr(transport: Any) -> str:
    """The text of a pipe's transport, in the form of asyncio's."""
    info = [type(transport).__name__]
    if transport._pipe is None:
        info.append("closed")
    elif transport.is_closing():
        info.append("closing")
    info.append(f"fd={transport._fileno}")
    if transport._pipe is None:
        info.append("closed")
    elif transport._loop.is_closed():
        info.append("open")
    elif isinstance(transport, asyncio.WriteTransport):
        size = transport.get_write_buffer_size()
        info.append("polling" if size else "idle")
        info.append(f"bufsize={size}")
    else:
        info.append("polling" if transport.is_reading() else "idle")
    return f"<{' '.join(info)}>"
