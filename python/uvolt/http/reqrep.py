"""What describes requests and connections: RequestInfo, ConnectionKey, Fingerprint, HttpVersion."""

from __future__ import annotations

import hashlib
import ssl
from typing import Any, NamedTuple

from multidict import CIMultiDictProxy
from yarl import URL

from .exceptions import ServerFingerprintMismatch
from .helpers import BasicAuth, deprecated

__all__ = (
    "ConnectionKey",
    "Fingerprint",
    "HttpVersion",
    "HttpVersion10",
    "HttpVersion11",
    "RequestInfo",
    "merge_ssl_params",
)


class HttpVersion(NamedTuple):
    """A version of HTTP."""

    major: int
    minor: int


HttpVersion10 = HttpVersion(1, 0)
HttpVersion11 = HttpVersion(1, 1)


class _RequestInfo(NamedTuple):
    url: URL
    method: str
    headers: CIMultiDictProxy[str]
    real_url: URL


class RequestInfo(_RequestInfo):
    """What was sent: url (without fragment), method, headers, and real_url (with the fragment)."""

    def __new__(
        cls, url: URL, method: str, headers: CIMultiDictProxy[str], real_url: URL | None = None
    ) -> RequestInfo:
        return tuple.__new__(cls, (url, method, headers, url if real_url is None else real_url))

    def __reduce__(self) -> tuple[Any, ...]:
        # A proxy cannot be pickled: what it stands for can.
        headers: Any = self.headers
        if isinstance(headers, CIMultiDictProxy):
            headers = headers.copy()
        return RequestInfo, (self.url, self.method, headers, self.real_url)


class ConnectionKey(NamedTuple):
    """What two requests must have in common to share a connection."""

    host: str
    port: int | None
    is_ssl: bool
    ssl: SSLArgument
    proxy: URL | None = None
    proxy_auth: BasicAuth | None = None
    proxy_headers_hash: int | None = None
    server_hostname: str | None = None


class Fingerprint:
    """A server is trusted if its certificate has this SHA-256 (32 bytes), whoever signed it.

    Raises ValueError for another length: MD5 and SHA-1 are not accepted.
    """

    def __init__(self, fingerprint: bytes) -> None:
        if len(fingerprint) in (16, 20):
            raise ValueError("md5 and sha1 are insecure and not supported. Use sha256.")
        if len(fingerprint) != 32:
            raise ValueError("fingerprint has invalid length")
        self._fingerprint = bytes(fingerprint)

    @property
    def fingerprint(self) -> bytes:
        """The SHA-256 of the certificate in DER form."""
        return self._fingerprint

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fingerprint) and other._fingerprint == self._fingerprint

    def __hash__(self) -> int:
        return hash(self._fingerprint)

    def check(self, transport: Any) -> None:
        """ServerFingerprintMismatch unless the transport's peer has this certificate."""
        if not transport.get_extra_info("sslcontext"):
            return
        certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        got = hashlib.sha256(certificate).digest()
        if got != self._fingerprint:
            host, port, *_ = transport.get_extra_info("peername")
            raise ServerFingerprintMismatch(self._fingerprint, got, host, port)


SSLArgument = ssl.SSLContext | bool | Fingerprint
"""How a server is verified: as a context says, as usual or not at all, by its certificate."""


def merge_ssl_params(
    ssl_: SSLArgument | None,
    verify_ssl: bool | None = None,
    ssl_context: ssl.SSLContext | None = None,
    fingerprint: bytes | None = None,
) -> SSLArgument:
    """The one `ssl` of it and its three old names, of which at most one may be used.

    Raises ValueError for two of them, TypeError for an ssl of another type.
    """
    merged: Any = True if ssl_ is None else ssl_
    old: list[tuple[str, str, Any]] = []
    if verify_ssl is not None and not verify_ssl:
        old.append(("verify_ssl", "ssl=False", False))
    if ssl_context is not None:
        old.append(("ssl_context", "ssl=context", ssl_context))
    if fingerprint is not None:
        old.append(("fingerprint", "ssl=Fingerprint(fingerprint)", fingerprint))
    for name, instead, value in old:
        deprecated(f"{name} is deprecated, use {instead} instead")
        if merged is not True:
            raise ValueError(
                "verify_ssl, ssl_context, fingerprint and ssl parameters are mutually exclusive"
            )
        merged = Fingerprint(value) if name == "fingerprint" else value
    if type(merged).__name__ == "Fingerprint" and not isinstance(merged, Fingerprint):
        return Fingerprint(merged.fingerprint)  # aiohttp's
    if not isinstance(merged, ssl.SSLContext | bool | Fingerprint):
        raise TypeError(
            f"ssl should be SSLContext, bool, Fingerprint or None, got {merged!r} instead."
        )
    return merged
