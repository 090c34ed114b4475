"""SOCKS5: asking a proxy for a connection, without I/O.

Sources: RFC 1928 (SOCKS5), RFC 1929 (username and password). What is read is always as long as the
protocol says, never more: the byte behind the proxy's answer is the origin's first.
"""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Generator
from typing import Final

__all__ = ("SocksError", "handshake")

VERSION: Final = 5
AUTH_VERSION: Final = 1
NO_AUTH: Final = 0
PASSWORD: Final = 2
NONE_ACCEPTABLE: Final = 0xFF
CONNECT: Final = 1
IPV4: Final = 1
NAME: Final = 3
IPV6: Final = 4

# RFC 1928, 6: what is said, and the errno of a system call that fails for the same reason
REPLIES: Final = {
    1: (None, "general failure"),
    2: (errno.EACCES, "connection not allowed by its rules"),
    3: (errno.ENETUNREACH, "network unreachable"),
    4: (errno.EHOSTUNREACH, "host unreachable"),
    5: (errno.ECONNREFUSED, "connection refused"),
    6: (errno.ETIMEDOUT, "TTL expired"),
    7: (errno.EOPNOTSUPP, "command not supported"),
    8: (errno.EAFNOSUPPORT, "kind of address not supported"),
}

Step = tuple[bytes, int]
"""What to send, and how many bytes to read then."""


class SocksError(OSError):
    """A SOCKS proxy refused, or does not speak SOCKS5. errno is the nearest there is, or None."""

    def __init__(self, number: int | None, text: str) -> None:
        super().__init__(number, text)


def handshake(
    host: str, port: int, login: str | None = None, password: str = ""
) -> Generator[Step, bytes, None]:
    """Ask for a connection to a host, by its name or by its address if it is one.

    Yields what to send and how many bytes to read, and is sent these bytes. It is over when the
    connection is there. Raises ValueError, before anything is sent, for what cannot be said in
    SOCKS5: a name or credentials of more than 255 bytes; SocksError when the proxy refuses.
    """
    request = bytes([VERSION, CONNECT, 0]) + _address(host) + port.to_bytes(2, "big")
    credentials = None if login is None else _credentials(login, password)

    methods = [NO_AUTH] if credentials is None else [NO_AUTH, PASSWORD]
    version, method = yield bytes([VERSION, len(methods), *methods]), 2
    _check_version(version)
    if method not in methods:
        if method == NONE_ACCEPTABLE and credentials is None:
            raise SocksError(errno.EACCES, "SOCKS5 proxy wants credentials")
        if method == NONE_ACCEPTABLE:
            raise SocksError(errno.EACCES, "SOCKS5 proxy takes no username and password")
        raise SocksError(None, f"SOCKS5 proxy chose a method that was not offered: {method}")
    if method == PASSWORD:
        assert credentials is not None
        version, status = yield credentials, 2
        # RFC 1929 says 1; proxies that repeat SOCKS' own version are in use.
        if version not in (AUTH_VERSION, VERSION):
            raise SocksError(None, f"SOCKS5 proxy answers credentials with version {version}")
        if status != 0:
            raise SocksError(errno.EACCES, "SOCKS5 proxy rejects the username or password")

    version, reply = yield request, 2
    _check_version(version)
    if reply != 0:
        number, text = REPLIES.get(reply, (None, f"error {reply}"))
        raise SocksError(number, f"SOCKS5 proxy: {text}")
    # Where the proxy's own end of the connection is: nobody needs it, but it is there.
    _, kind, first = yield b"", 3
    sizes = {IPV4: 4, IPV6: 16, NAME: 1 + first}
    if kind not in sizes:
        raise SocksError(None, f"SOCKS5 proxy answers with an address of unknown kind {kind}")
    yield b"", sizes[kind] - 1 + 2  # and a port; at least two bytes, whatever comes


def _check_version(version: int) -> None:
    if version != VERSION:
        raise SocksError(None, f"not a SOCKS5 proxy: it answers with version {version}")


def _address(host: str) -> bytes:
    """As a request has it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("idna" if not host.isascii() else "ascii")
        if not 0 < len(name) < 256:
            raise ValueError(
                f"not a name for SOCKS5, which takes 1 to 255 bytes: {host!r}"
            ) from None
        return bytes([NAME, len(name)]) + name
    if getattr(address, "scope_id", None):
        raise ValueError(f"SOCKS5 has no place for the interface in {host!r}")
    return bytes([IPV4 if address.version == 4 else IPV6]) + address.packed


def _credentials(login: str, password: str) -> bytes:
    """As RFC 1929 has them."""
    parts = [login.encode(), password.encode()]
    if any(len(part) > 255 for part in parts):
        raise ValueError("SOCKS5 takes a username and a password of at most 255 bytes each")
    return b"".join((bytes([AUTH_VERSION]), *(bytes([len(part)]) + part for part in parts)))
