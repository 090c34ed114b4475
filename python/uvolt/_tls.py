"""What the TLS engine asks of Python, once per connection or on rare paths: contexts, the
SSLObject, errors, texts. The C core imports this module, so it must not import the core.
"""

from __future__ import annotations

import os
import time
from asyncio import constants, exceptions
from asyncio.log import logger
from typing import Any

from ._support import buffer_limits

try:
    import ssl
except ImportError:  # an interpreter built without it
    ssl = None  # type: ignore[assignment]

HANDSHAKE_TIMEOUT: float = constants.SSL_HANDSHAKE_TIMEOUT
SHUTDOWN_TIMEOUT: float = getattr(constants, "SSL_SHUTDOWN_TIMEOUT", 30.0)  # Python 3.11+
SENDFILE_MODE = constants._SendfileMode.FALLBACK

AGAIN: tuple[type[Exception], ...] = ()
CertificateError: type[Exception] = ValueError
if ssl is not None:
    AGAIN = (ssl.SSLWantReadError, ssl.SSLSyscallError)
    CertificateError = ssl.CertificateError


# ---- arguments ----------------------------------------------------------------------------------


def positive(name: str, seconds: float | None, default: float) -> float:
    """A timeout in seconds. ValueError unless it is positive."""
    if seconds is None:
        return default
    if seconds <= 0:
        raise ValueError(f"{name} should be a positive number, got {seconds}")
    return seconds


def is_context(value: Any) -> bool:
    """Whether it is an ssl.SSLContext. RuntimeError if this Python has no ssl."""
    if ssl is None:
        raise RuntimeError("Python ssl module is not available")
    return isinstance(value, ssl.SSLContext)


def client_context(server_side: bool, server_hostname: str | None) -> Any:
    """The context for ssl=True."""
    if server_side:
        raise ValueError("Server side SSL needs a valid SSLContext")
    context = ssl.create_default_context()
    if not server_hostname:
        context.check_hostname = False
    return context


def write_limits(high: int | None = None, low: int | None = None) -> tuple[int, int]:
    """(high, low) in bytes from the arguments of set_write_buffer_limits()."""
    return buffer_limits(high, low, 512 * 1024)


def read_limits(high: int | None = None, low: int | None = None) -> tuple[int, int]:
    """(high, low) in bytes from the arguments of set_read_buffer_limits()."""
    return buffer_limits(high, low, 256 * 1024)


# ---- the engine ---------------------------------------------------------------------------------


def engine_wish() -> str:
    """UVOLT_TLS of the environment: "direct" or "memorybio" forces that way."""
    wish = os.environ.get("UVOLT_TLS", "")
    if wish not in ("", "auto", "direct", "memorybio"):
        raise ValueError(f"UVOLT_TLS must be auto, direct or memorybio, not {wish!r}")
    return wish


def memory_bio() -> Any:
    """A new ssl.MemoryBIO."""
    return ssl.MemoryBIO()


def wrap(
    context: Any, incoming: Any, outgoing: Any, server_side: bool, server_hostname: str | None
) -> Any:
    """The SSLObject of a session."""
    return context.wrap_bio(
        incoming, outgoing, server_side=server_side, server_hostname=server_hostname
    )


def specimen() -> tuple[Any, Any, Any, Any, Any]:
    """To verify the layout with: (type SSLObject, an _SSLSocket, its context, both MemoryBIOs).

    Made by _ssl itself: somebody may have put a class of his own in place of ssl.SSLContext.
    """
    import _ssl

    context: Any = _ssl._SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    return ssl.SSLObject, context._wrap_bio(incoming, outgoing, False), context, incoming, outgoing


def error(code: int, library: str | None, reason: str | None, verified: int, why: str) -> Exception:
    """The exception for an error of OpenSSL, as Python's ssl module would raise it. `verified` and
    `why` are what the last verification of the peer's certificate found."""
    if reason is None:
        return ssl.SSLEOFError(8, "EOF occurred in violation of protocol")
    mnemonic = reason.upper().replace(" ", "_")
    area = "SSL" if library is None else library.removesuffix(" routines").upper()
    kind: type[ssl.SSLError] = ssl.SSLError
    if mnemonic == "UNEXPECTED_EOF_WHILE_READING":
        kind, code = ssl.SSLEOFError, 8
    if mnemonic == "CERTIFICATE_VERIFY_FAILED":
        kind, reason = ssl.SSLCertVerificationError, f"{reason}: {why}"
    exc = kind(code, f"[{area}: {mnemonic}] {reason}")
    exc.library, exc.reason = area, mnemonic
    if isinstance(exc, ssl.SSLCertVerificationError):
        exc.verify_code, exc.verify_message = verified, why
    return exc


# ---- errors and texts ---------------------------------------------------------------------------


def wake_waiter(waiter: Any, exc: BaseException | None, done: bool = True) -> None:
    """The handshake is over: the future of who waits for it learns how it ended."""
    if waiter.done():
        return
    if exc is None:
        waiter.set_result(done)
    else:
        waiter.set_exception(exc)


def handshake_timed_out(seconds: float) -> Exception:
    """For a peer that does not answer."""
    return ConnectionAbortedError(
        f"SSL handshake is taking longer than {seconds} seconds: aborting the connection"
    )


def shutdown_timed_out(seconds: float) -> Exception:
    """For a peer that does not answer close_notify."""
    return exceptions.TimeoutError("SSL shutdown timed out")


def is_late_data(exc: BaseException) -> bool:
    """Did the session end because data came after our close_notify?"""
    return getattr(exc, "reason", None) == "APPLICATION_DATA_AFTER_CLOSE_NOTIFY"


def wake_closed(waiter: Any, exc: BaseException | None, upgrading: bool) -> None:
    """The connection is gone before the handshake was over. What the program closed itself is no
    error to start_tls(), which returns None then, as asyncio's."""
    if exc is None and not upgrading:
        exc = ConnectionAbortedError("the connection was closed during the SSL handshake")
    wake_waiter(waiter, exc, False)


def warn_lost_write() -> None:
    """Somebody keeps writing to a connection that is gone."""
    logger.warning("SSL connection is closed")


def warn_half_closed() -> None:
    """eof_received() returned true."""
    logger.warning("returning true from eof_received() has no effect when using ssl")


def note_begin(transport: Any, began: float) -> None:
    """Debug mode: the handshake begins."""
    logger.debug("%r starts SSL handshake", transport)


def note_handshake(transport: Any, began: float) -> None:
    """Debug mode: the handshake, begun at `began` of time.monotonic(), is complete."""
    logger.debug("%r: SSL handshake took %.1f ms", transport, (time.monotonic() - began) * 1e3)


def note_eof(transport: Any, began: float) -> None:
    """Debug mode: the peer's end of the socket has closed."""
    logger.debug("%r received EOF", transport)


def transport_repr(transport: Any) -> str:
    """The text of a TLS transport."""
    info = [type(transport).__name__]
    if transport.is_closing():
        info.append("closing")
    if transport._transport is not None:
        info.append(f"over {transport._transport!r}")
    return f"<{' '.join(info)}>"
