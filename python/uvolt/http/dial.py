"""What connecting needs, whoever connects: time limits, TLS, addresses, errors as aiohttp's."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl as ssl_module
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from . import lent
from .abc import ResolveResult
from .exceptions import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ServerFingerprintMismatch,
)
from .reqrep import ConnectionKey, Fingerprint, SSLArgument, merge_ssl_params
from .timeouts import Expiry, deadline, earliest, is_timeout

if TYPE_CHECKING:
    from .tracing import Traces

__all__ = ("AddrInfoType", "SocketFactoryType")

AddrInfoType = tuple[Any, Any, int, str, Any]
"""An address as socket.getaddrinfo() gives it."""
SocketFactoryType = Callable[[AddrInfoType], socket.socket]
"""Makes the socket for an address."""


# ---- time ---------------------------------------------------------------------------------------


class Limit:
    """How long connecting may take: `when` of loop.time() for all of it, `sock_connect` seconds for
    an attempt. One timer at a time. traces are told how it goes, times are noted; None: not."""

    __slots__ = ("_loop", "_sock_connect", "times", "traces", "when")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock_connect: float | None,
        *by: float | None,
        traces: Traces | None = None,
        times: dict[str, float] | None = None,
    ) -> None:
        self.traces = traces
        self.times = times
        self._loop = loop
        self._sock_connect = sock_connect
        self.when = earliest(*by)

    def is_over(self) -> bool:
        """Whether there is no time left."""
        return self.when is not None and self._loop.time() >= self.when

    def note(self, step: str) -> None:
        """A step is done, now: "dns", "connect", "tls"."""
        if self.times is not None:
            self.times[step] = self._loop.time()

    def of_lookup(self) -> Expiry:
        """For finding the addresses of a name."""
        return Expiry(self._loop, self.when)

    def of_attempt(self) -> Expiry:
        """For one attempt to connect, TLS included."""
        end = deadline(self._loop.time(), self._sock_connect)
        return Expiry(self._loop, earliest(self.when, end))


# ---- TLS and errors -----------------------------------------------------------------------------


def default_context(verified: bool) -> ssl_module.SSLContext:
    """The process's context for ssl=True, and the one for ssl=False."""
    return _made_context(verified) if lent.context is None else lent.context(verified)


@functools.cache
def _made_context(verified: bool) -> ssl_module.SSLContext:
    """Made when first used: reading the certificates of all authorities takes milliseconds."""
    context = ssl_module.create_default_context()
    if not verified:
        context.check_hostname = False
        context.verify_mode = ssl_module.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


class TLS(NamedTuple):
    """How TLS is spoken on a connection."""

    context: ssl_module.SSLContext
    server_hostname: str
    fingerprint: Fingerprint | None


def make_tls(choices: Iterable[SSLArgument], host: str) -> TLS:
    """TLS with a host, by what a request, then its connector, then nobody has to say of it: the
    first that is not just True decides on the context, the first fingerprint is checked."""
    choices = tuple(map(merge_ssl_params, choices))  # a Fingerprint may be aiohttp's
    decided = next((choice for choice in choices if choice is not True), True)
    if not isinstance(decided, ssl_module.SSLContext):
        decided = default_context(decided is True)
    pin = next((choice for choice in choices if isinstance(choice, Fingerprint)), None)
    return TLS(decided, host.rstrip("."), pin)  # certificates are for names without the dot


def hand_over(transport: Any, protocol: Any, fingerprint: Fingerprint | None) -> None:
    """Give a transport to the protocol it is for. ServerFingerprintMismatch for another certificate
    than expected: the transport is aborted then."""
    if fingerprint is not None:
        try:
            fingerprint.check(transport)
        except ServerFingerprintMismatch:
            transport.abort()
            raise
    transport.set_protocol(protocol)
    protocol.connection_made(transport)


def is_ours(exc: OSError) -> bool:
    """Whether an error has been translated already, or is the end of a timeout."""
    return isinstance(exc, ClientConnectionError) or is_timeout(exc)


@contextlib.contextmanager
def translated(
    key: ConnectionKey, error_class: type[ClientConnectorError] = ClientConnectorError
) -> Iterator[None]:
    """What fails within is raised as aiohttp has it: ClientConnectorCertificateError,
    ClientConnectorSSLError, or error_class for other OSErrors."""
    try:
        yield
    except ssl_module.CertificateError as exc:
        raise ClientConnectorCertificateError(key, exc) from exc
    except ssl_module.SSLError as exc:
        raise ClientConnectorSSLError(key, exc) from exc
    except OSError as exc:
        if is_ours(exc):
            raise
        raise error_class(key, exc) from exc


# ---- addresses ----------------------------------------------------------------------------------


def address_infos(found: Iterable[ResolveResult], family: int) -> list[AddrInfoType]:
    """A resolver's answers as getaddrinfo() would give them, those of another family left out."""
    infos: list[AddrInfoType] = []
    for item in found:
        host, port = item["host"], item["port"]
        is_ipv6 = ":" in host
        kind = socket.AF_INET6 if is_ipv6 else socket.AF_INET
        if family in (socket.AF_UNSPEC, kind):
            address = (*_with_scope(host, port),) if is_ipv6 else (host, port)
            infos.append((kind, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address))
    return infos


def _with_scope(host: str, port: int) -> tuple[str, int, int, int]:
    """The address of AF_INET6; fe80::1%eth0 names its interface by a number there."""
    if "%" not in host:
        return host, port, 0, 0
    host, _, scope = host.partition("%")
    try:
        return host, port, 0, int(scope) if scope.isdigit() else socket.if_nametoindex(scope)
    except OSError:
        return f"{host}%{scope}", port, 0, 0


def one_error(errors: list[OSError]) -> OSError:
    """What to raise when every attempt failed; errno is kept where they agree on it."""
    texts = {str(error) for error in errors}
    if len(texts) == 1:
        return errors[0]
    text = "Multiple exceptions: " + ", ".join(str(error) for error in errors)
    numbers = {error.errno for error in errors}
    return OSError(numbers.pop(), text) if len(numbers) == 1 else OSError(text)
