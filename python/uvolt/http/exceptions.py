"""The exceptions of the client: aiohttp's tree, with its names, bases, attributes and texts.

Source: https://docs.aiohttp.org/en/stable/client_reference.html#client-exceptions. All of them can
be pickled. The second part are the errors of a message's syntax (aiohttp.http_exceptions): they are
never raised to a caller, they are the causes of what is.
"""

from __future__ import annotations

import asyncio
import ssl
import textwrap
import warnings
from typing import TYPE_CHECKING, Any

from multidict import CIMultiDict, MultiMapping

if TYPE_CHECKING:
    from .reqrep import ConnectionKey, Fingerprint, RequestInfo
    from .response import ClientResponse
    from .typedefs import StrOrURL

__all__ = (
    "ClientConnectionError",
    "ClientConnectionResetError",
    "ClientConnectorCertificateError",
    "ClientConnectorDNSError",
    "ClientConnectorError",
    "ClientConnectorSSLError",
    "ClientError",
    "ClientHttpProxyError",
    "ClientOSError",
    "ClientPayloadError",
    "ClientProxyConnectionError",
    "ClientResponseError",
    "ClientSSLError",
    "ConnectionTimeoutError",
    "ContentTypeError",
    "InvalidURL",
    "InvalidUrlClientError",
    "InvalidUrlRedirectClientError",
    "NonHttpUrlClientError",
    "NonHttpUrlRedirectClientError",
    "RedirectClientError",
    "ServerConnectionError",
    "ServerDisconnectedError",
    "ServerFingerprintMismatch",
    "ServerTimeoutError",
    "SocketTimeoutError",
    "TooManyRedirects",
    "UnixClientConnectorError",
    "UploadAbortedError",
    "WSMessageTypeError",
    "WSServerHandshakeError",
)


_raised_instead: dict[type, type] = {}
"""Filled by uvolt.swap: the classes that are aiohttp's as well."""


class ClientErrorType(type):
    """The type of these classes: while aiohttp is swapped, calling one makes the other's object."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return type.__call__(_raised_instead.get(cls, cls), *args, **kwargs)


class ClientError(Exception, metaclass=ClientErrorType):
    """Base class of all exceptions of the client."""


# ---- after a response has begun -----------------------------------------------------------------


class ClientResponseError(ClientError):
    """The response is not what was asked for, or no HTTP at all.

    request_info is what was sent, history the responses of the redirects before; status (0 if there
    is none), message (the reason phrase) and headers are the response's.
    """

    def __init__(
        self,
        request_info: RequestInfo,
        history: tuple[ClientResponse, ...],
        *,
        code: int | None = None,
        status: int | None = None,
        message: str = "",
        headers: MultiMapping[str] | None = None,
    ) -> None:
        if code is not None:
            if status is not None:
                raise ValueError(
                    "Both code and status arguments are provided; "
                    "code is deprecated, use status instead"
                )
            warnings.warn(
                "code argument is deprecated, use status instead", DeprecationWarning, stacklevel=2
            )
            status = code
        super().__init__(request_info, history)
        self.request_info = request_info
        self.history = history
        self.status = 0 if status is None else status
        self.message = message
        self.headers = headers

    @property
    def code(self) -> int:
        """The old name of status."""
        warnings.warn(
            "code property is deprecated, use status instead", DeprecationWarning, stacklevel=2
        )
        return self.status

    @code.setter
    def code(self, value: int) -> None:
        warnings.warn(
            "code property is deprecated, use status instead", DeprecationWarning, stacklevel=2
        )
        self.status = value

    def __str__(self) -> str:
        return f"{self.status}, message={self.message!r}, url={str(self.request_info.real_url)!r}"

    def __repr__(self) -> str:
        parts = [repr(self.request_info), repr(self.history)]
        if self.status != 0:
            parts.append(f"status={self.status!r}")
        if self.message != "":
            parts.append(f"message={self.message!r}")
        if self.headers is not None:
            parts.append(f"headers={self.headers!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Responses hold connections and proxies of headers cannot be pickled: the former stay
        # behind, of the latter the copy gets a mapping of its own.
        state = dict(self.__dict__, history=())
        if self.headers is not None and not isinstance(self.headers, dict):
            state["headers"] = CIMultiDict(self.headers)
        return type(self), (self.request_info, ()), state


class ContentTypeError(ClientResponseError):
    """The Content-Type is not the one that was expected."""


class WSServerHandshakeError(ClientResponseError):
    """The server's side of a WebSocket handshake is wrong."""


class ClientHttpProxyError(ClientResponseError):
    """A proxy answered CONNECT with something else than 200."""


class TooManyRedirects(ClientResponseError):
    """There were more redirects than max_redirects allows."""


class ClientPayloadError(ClientError):
    """The body is not complete, not decodable, or cannot be sent again."""


class UploadAbortedError(ClientError):
    """The body of the request was never sent whole."""


# ---- connections --------------------------------------------------------------------------------


class ClientConnectionError(ClientError):
    """Base class of the errors of connections."""


class ClosedConnectionError(ClientConnectionError, RuntimeError):
    """A connection in use was closed, by its session or its connector. A RuntimeError as well, for
    aiohttp raises that of who reads a body then."""


class ClientConnectionResetError(ClientConnectionError, ConnectionResetError):
    """The connection was reset while the request was being written."""


class ClientOSError(ClientConnectionError, OSError):
    """The operating system failed: errno and strerror say how."""


class ClientConnectorError(ClientOSError):
    """No connection could be made. host, port and ssl say where to, os_error why."""

    def __init__(self, connection_key: ConnectionKey, os_error: OSError) -> None:
        self._conn_key = connection_key
        self._os_error = os_error
        OSError.__init__(self, os_error.errno, os_error.strerror)  # not what a subclass mixes in
        self.args = (connection_key, os_error)

    @property
    def os_error(self) -> OSError:
        """The error of the operating system."""
        return self._os_error

    @property
    def host(self) -> str:
        """The host the connection was for."""
        return self._conn_key.host

    @property
    def port(self) -> int | None:
        """The port the connection was for."""
        return self._conn_key.port

    @property
    def ssl(self) -> ssl.SSLContext | bool | Fingerprint:
        """The request's ssl: True stands for the default context."""
        return self._conn_key.ssl

    def _ssl_text(self) -> object:
        return "default" if self.ssl is True else self.ssl

    def __str__(self) -> str:
        where = f"host {self.host}:{self.port} ssl:{self._ssl_text()}"
        return f"Cannot connect to {where} [{self.strerror}]"

    # OSError's own would call the class with (errno, strerror).
    __reduce__ = BaseException.__reduce__


class ClientConnectorDNSError(ClientConnectorError):
    """The host's name could not be resolved."""


class ClientProxyConnectionError(ClientConnectorError):
    """No connection to the proxy could be made."""


class UnixClientConnectorError(ClientConnectorError):
    """No connection to the Unix socket could be made. path says which."""

    def __init__(self, path: str, connection_key: ConnectionKey, os_error: OSError) -> None:
        self._path = path
        super().__init__(connection_key, os_error)

    @property
    def path(self) -> str:
        """The socket's path."""
        return self._path

    def __str__(self) -> str:
        where = f"unix socket {self.path} ssl:{self._ssl_text()}"
        return f"Cannot connect to {where} [{self.strerror}]"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._path, self._conn_key, self._os_error), self.__dict__


class ClientSSLError(ClientConnectorError):
    """Base class of the errors of TLS."""


class ClientConnectorSSLError(ClientSSLError, ssl.SSLError):
    """The TLS handshake failed."""


class ClientConnectorCertificateError(ClientSSLError, ssl.CertificateError):
    """The server's certificate is not accepted. certificate_error says why."""

    def __init__(self, connection_key: ConnectionKey, certificate_error: Exception) -> None:
        is_os_error = isinstance(certificate_error, OSError)
        super().__init__(connection_key, certificate_error if is_os_error else OSError())  # type: ignore[arg-type]
        self._certificate_error = certificate_error
        self.args = (connection_key, certificate_error)

    @property
    def certificate_error(self) -> Exception:
        """What ssl raised."""
        return self._certificate_error

    @property
    def ssl(self) -> bool:
        """Whether the connection was to be one with TLS."""
        return self._conn_key.is_ssl

    def __str__(self) -> str:
        error = self.certificate_error
        return (
            f"Cannot connect to host {self.host}:{self.port} ssl:{self.ssl} "
            f"[{type(error).__name__}: {error.args}]"
        )


class ServerConnectionError(ClientConnectionError):
    """Base class of what the server did to a connection."""


class ServerDisconnectedError(ServerConnectionError):
    """The server closed the connection before it answered. message may hold what there was."""

    def __init__(self, message: object = None) -> None:
        if message is None:
            message = "Server disconnected"
        super().__init__(message)
        self.message = message


class ServerTimeoutError(ServerConnectionError, asyncio.TimeoutError):
    """Base class of the timeouts of one step; the total timeout is a plain TimeoutError."""


class ConnectionTimeoutError(ServerTimeoutError):
    """No connection within `connect`, `sock_connect` or `pool` seconds."""


class SocketTimeoutError(ServerTimeoutError):
    """Nothing read for `sock_read` seconds, or nothing written for `write` seconds."""


class ServerFingerprintMismatch(ServerConnectionError):
    """The certificate's SHA-256 is `got`, not `expected`."""

    def __init__(self, expected: bytes, got: bytes, host: str, port: int) -> None:
        super().__init__(expected, got, host, port)
        self.expected = expected
        self.got = got
        self.host = host
        self.port = port

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} expected={self.expected!r} got={self.got!r} "
            f"host={self.host!r} port={self.port!r}>"
        )


# ---- URLs ---------------------------------------------------------------------------------------


class InvalidURL(ClientError, ValueError):
    """The URL cannot be used. url is what was given, description may say why."""

    def __init__(self, url: StrOrURL, description: str | None = None) -> None:
        super().__init__(*((url, description) if description else (url,)))
        self._url = url
        self._description = description

    @property
    def url(self) -> StrOrURL:
        """What was given."""
        return self._url

    @property
    def description(self) -> str | None:
        """What is wrong with it, if that is known."""
        return self._description

    def __str__(self) -> str:
        return f"{self._url} - {self._description}" if self._description else str(self._url)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


class InvalidUrlClientError(InvalidURL):
    """The URL of a request cannot be used."""


class RedirectClientError(ClientError):
    """Base class of the errors of redirects."""


class NonHttpUrlClientError(ClientError):
    """The URL's scheme is not one of HTTP."""


class InvalidUrlRedirectClientError(InvalidUrlClientError, RedirectClientError):
    """A redirect leads to a URL that cannot be used."""


class NonHttpUrlRedirectClientError(NonHttpUrlClientError, RedirectClientError):
    """A redirect leads to a URL that is not of HTTP: file:, ftp:, ..."""


class WSMessageTypeError(TypeError, metaclass=ClientErrorType):
    """A WebSocket message is not of the type that was asked for."""


# ---- the syntax of messages (aiohttp.http_exceptions) -------------------------------------------


class HttpProcessingError(Exception):
    """Base class of what is wrong with a message: code is the status it would be answered with."""

    code = 0
    message = ""
    headers: MultiMapping[str] | None = None

    def __init__(
        self,
        *,
        code: int | None = None,
        message: str = "",
        headers: MultiMapping[str] | None = None,
    ) -> None:
        super().__init__()
        if code is not None:
            self.code = code
        self.message = message
        self.headers = headers

    def __str__(self) -> str:
        return f"{self.code}, message:\n{textwrap.indent(self.message, '  ')}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.code}, message={self.message!r}>"


class BadHttpMessage(HttpProcessingError):
    """A message that breaks the rules of HTTP/1.1."""

    code = 400
    message = "Bad Request"

    def __init__(self, message: str, *, headers: MultiMapping[str] | None = None) -> None:
        super().__init__(message=message, headers=headers)
        self.args = (message,)


class BadStatusLine(BadHttpMessage):
    """The first line of a response is not a status line."""


class InvalidHeader(BadHttpMessage):
    """A header field breaks the rules."""


class LineTooLong(BadHttpMessage):
    """A line, a field or the number of fields is beyond its limit."""


class PayloadEncodingError(BadHttpMessage):
    """Base class of what is wrong with a body."""


class ContentEncodingError(PayloadEncodingError):
    """The body cannot be decompressed."""


class TransferEncodingError(PayloadEncodingError):
    """The chunked coding of the body is broken or cut short."""


class ContentLengthError(PayloadEncodingError):
    """The body is shorter than its Content-Length."""
