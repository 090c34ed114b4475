"""What the C of uvolt.http asks of Python: the rare paths, called by name.

Every function here that makes an exception returns it; the words are aiohttp's. Nothing here runs
for a request that goes well.
"""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from typing import Any, TypeVar

from multidict import CIMultiDictProxy
from yarl import URL

from . import exceptions
from .exceptions import (
    ClientConnectionError,
    ClientConnectionResetError,
    ClientConnectorError,
    ClientOSError,
    ClientPayloadError,
    ClientResponseError,
    ClosedConnectionError,
    ConnectionTimeoutError,
    ContentEncodingError,
    HttpProcessingError,
    PayloadEncodingError,
    ServerDisconnectedError,
    SocketTimeoutError,
)
from .metrics import ResponseTimings
from .reqrep import ConnectionKey, HttpVersion, HttpVersion10, HttpVersion11, RequestInfo

_Error = TypeVar("_Error", bound=BaseException)


def caused(error: _Error, cause: BaseException | None) -> _Error:
    """error, raised `from` cause."""
    error.__cause__ = cause
    return error


# ---- connections --------------------------------------------------------------------------------


def disconnected() -> ServerDisconnectedError:
    """The server closed the connection before it answered."""
    return ServerDisconnectedError()


def os_error(error: OSError) -> ClientOSError:
    """The connection failed in a system call."""
    return caused(ClientOSError(*error.args), error)


def write_error(error: OSError | None, url: object) -> ClientConnectionError:
    """The request could not be written; without an error: to a connection that is closing."""
    if error is None:
        return ClientConnectionResetError("Cannot write to closing transport")
    text = f"Can not write request body for {url}"
    if isinstance(error, ConnectionError):
        return caused(ClientConnectionResetError(error.errno, text), error)
    return caused(ClientOSError(error.errno, text), error)


def connect_failed(key: ConnectionKey, number: int, address: object) -> ClientConnectorError:
    """connect() has failed with this errno: at once, or, for an address, later."""
    text = os.strerror(number) if address is None else f"Connect call failed {address}"
    error = OSError(number, text)
    failed: ClientConnectorError = caused(ClientConnectorError(key, error), error)
    return failed


def connection_closed() -> ClientConnectionError:
    """The response was released or closed before its body was read."""
    return ClientConnectionError("Connection closed")


def closed_in_use() -> ClientConnectionError:
    """The session was closed in the middle of an exchange."""
    return ClosedConnectionError("Connection closed")


def connector_closed() -> ClientConnectionError:
    """The connector was closed while the request waited."""
    return ClientConnectionError("Connector is closed")


def session_closed() -> RuntimeError:
    """A request of a closed session."""
    return RuntimeError("Session is closed")


def wrong_loop() -> RuntimeError:
    """A session made outside a uvolt loop."""
    return RuntimeError(
        "uvolt.http works on uvolt's event loop only: run the program with uvolt.run(main()), "
        "or call uvolt.install() before asyncio.run()"
    )


def idle_loop() -> RuntimeError:
    """A session used in another loop than its own."""
    return RuntimeError(
        "the session belongs to an event loop that does not run: use it where it was made, or make "
        "one session for each loop"
    )


# ---- timeouts -----------------------------------------------------------------------------------


def total_timeout() -> asyncio.TimeoutError:
    """`total` is over."""
    return asyncio.TimeoutError()


def connect_timeout(url: object) -> ConnectionTimeoutError:
    """`connect` or `sock_connect` is over."""
    return ConnectionTimeoutError(f"Connection timeout to host {url}")


pool_timeout = connect_timeout


def open_timeout(key: ConnectionKey) -> ConnectionTimeoutError:
    """The same, of the connection for a key."""
    scheme = "https" if key.is_ssl else "http"
    return connect_timeout(URL.build(scheme=scheme, host=key.host, port=key.port, path="/"))


def read_timeout() -> SocketTimeoutError:
    """`sock_read` is over."""
    return SocketTimeoutError("Timeout on reading data from socket")


def write_timeout() -> SocketTimeoutError:
    """`write` is over."""
    return SocketTimeoutError("Timeout on writing data to socket")


# ---- bodies -------------------------------------------------------------------------------------

# What json.loads() calls once it is past the white space.
json_scan: Any = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


# ---- messages -----------------------------------------------------------------------------------


def bad_head(text: str, kind: str = "BadHttpMessage") -> HttpProcessingError:
    """A head that is no HTTP. kind: the name of its class, a BadHttpMessage."""
    error: HttpProcessingError = getattr(exceptions, kind)(text)
    return error


def response_error(about: Any, error: HttpProcessingError) -> ClientResponseError:
    """bad_head()'s error as the caller gets it. about: a response, or its RequestInfo."""
    is_info = isinstance(about, RequestInfo)
    info = about if is_info else about.request_info
    history = () if is_info else about.history
    return caused(
        ClientResponseError(
            info, history, status=error.code, message=error.message, headers=error.headers
        ),
        error,
    )


_SHORT = {
    "length": exceptions.ContentLengthError,
    "chunked": exceptions.TransferEncodingError,
    "encoding": exceptions.ContentEncodingError,
}


def short_body(kind: str, text: str) -> ClientPayloadError:
    """The body ends early or its framing is broken. kind: "length", "chunked", "encoding"."""
    inner = _SHORT.get(kind, PayloadEncodingError)(text)
    return caused(ClientPayloadError(f"Response payload is not completed: {inner!r}"), inner)


def body_reset(error: OSError) -> ClientPayloadError:
    """The connection failed in the middle of a body."""
    inner = os_error(error)
    return caused(ClientPayloadError(f"Response payload is not completed: {inner!r}"), inner)


def content_encoding(text: str) -> ClientPayloadError:
    """The body cannot be decompressed."""
    inner = ContentEncodingError(text)
    return caused(ClientPayloadError(str(inner)), inner)


def content_type_error(response: Any, content_type: str) -> exceptions.ContentTypeError:
    """json() of what does not say it is JSON."""
    return exceptions.ContentTypeError(
        response.request_info,
        response.history,
        status=response.status,
        message=f"Attempt to decode JSON with unexpected mimetype: {content_type}",
        headers=response.headers,
    )


def http_version(major: int, minor: int) -> HttpVersion:
    """HttpVersion(major, minor)."""
    if major == 1 and minor <= 1:
        return HttpVersion11 if minor else HttpVersion10
    return HttpVersion(major, minor)


def request_info(
    url: URL, method: str, headers: CIMultiDictProxy[str], real_url: URL
) -> RequestInfo:
    """RequestInfo(...)."""
    return RequestInfo(url, method, headers, real_url)


def timings(
    start: float,
    granted: float,
    sent: float,
    heard: float,
    done: float,
    steps: dict[str, float] | None,
) -> ResponseTimings:
    """ResponseTimings of what C and the connector have noted; 0: not come to."""
    steps = steps or {}
    return ResponseTimings(
        start,
        steps.get("queued", granted) or None,
        steps.get("dns"),
        steps.get("connect"),
        steps.get("tls"),
        sent or None,
        heard or None,
        done or None,
    )


def unclosed_response(response: Any, loop: Any) -> None:
    """A response that was dropped with its body unread: said in debug mode only."""
    warnings.warn(f"Unclosed response {response!r}", ResourceWarning, 2, source=response)
    context = {"client_response": response, "message": "Unclosed response"}
    loop.call_exception_handler(context)


def unclosed_connection(connection: Any) -> None:
    """A connection that was in use has been dropped: warn as aiohttp does."""
    warnings.warn(
        f"Unclosed connection {connection!r}", ResourceWarning, source=connection, stacklevel=1
    )
    context = {"client_connection": connection, "message": "Unclosed connection"}
    connection.loop.call_exception_handler(context)
