"""Small things: credentials, media types, kinds of hosts, names of files."""

from __future__ import annotations

import base64
import binascii
import contextlib
import enum
import functools
import os.path
import re
import sys
import types
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from multidict import MultiDict, MultiDictProxy
from yarl import URL

__all__ = ("BasicAuth", "encode_basic_auth")


class _Sentinel(enum.Enum):
    """Not given, where None is a value."""

    sentinel = enum.auto()


sentinel = _Sentinel.sentinel


def deprecated(message: str) -> None:
    """A DeprecationWarning at the line of the program that leads here: Python hides those of other
    modules. uvolt.swap puts frames of its own in between."""
    level, _ = _program_frame()
    warnings.warn(message, DeprecationWarning, stacklevel=level)


def program_line() -> tuple[str, int, str]:
    """The line of the program that leads here: file, number and name of the module."""
    _, frame = _program_frame()
    return frame.f_code.co_filename, frame.f_lineno, str(frame.f_globals.get("__name__"))


def _program_frame() -> tuple[int, types.FrameType]:
    """The frame, and its stacklevel for warnings.warn() in who asks."""
    level, frame = 1, sys._getframe(1)
    while str(frame.f_globals.get("__name__")).startswith("uvolt.") and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    return level, frame


# ---- credentials --------------------------------------------------------------------------------


def encode_basic_auth(login: str, password: str = "", encoding: str = "utf-8") -> str:
    """The value of an Authorization field for these credentials (RFC 7617).

    Raises ValueError for a login with a colon.
    """
    if ":" in login:
        raise ValueError('A ":" is not allowed in login (RFC 7617#section-2)')
    return "Basic " + base64.b64encode(f"{login}:{password}".encode(encoding)).decode("ascii")


class _BasicAuth(NamedTuple):
    login: str
    password: str
    encoding: str


def is_basic_auth(auth: object) -> bool:
    """Whether it is a BasicAuth: this one or aiohttp's."""
    return isinstance(auth, tuple) and hasattr(auth, "encode")


class BasicAuth(_BasicAuth):
    """Credentials of HTTP's Basic scheme.

    aiohttp 3.14 warns that BasicAuth will go; here it stays, and encode_basic_auth() is there too.
    Raises ValueError for a login or password of None and for a login with a colon.
    """

    def __new__(cls, login: str, password: str = "", encoding: str = "latin1") -> BasicAuth:
        if login is None:
            raise ValueError("None is not allowed as login value")
        if password is None:
            raise ValueError("None is not allowed as password value")
        if ":" in login:
            raise ValueError('A ":" is not allowed in login (RFC 1945#section-11.1)')
        return tuple.__new__(cls, (login, password, encoding))

    @classmethod
    def decode(cls, auth_header: str, encoding: str = "latin1") -> BasicAuth:
        """The credentials of an Authorization field. ValueError if it has none of this scheme."""
        scheme, space, encoded = auth_header.partition(" ")
        if not space:
            raise ValueError("Could not parse authorization header.")
        if scheme.lower() != "basic":
            raise ValueError(f"Unknown authorization method {scheme}")
        try:
            decoded = base64.b64decode(encoded.encode("ascii"), validate=True).decode(encoding)
        except binascii.Error:
            raise ValueError("Invalid base64 encoding.") from None
        login, colon, password = decoded.partition(":")
        if not colon:
            raise ValueError("Invalid credentials.")
        return cls(login, password, encoding)

    @classmethod
    def from_url(cls, url: URL, *, encoding: str = "latin1") -> BasicAuth | None:
        """The credentials in a URL, or None. TypeError for what is no yarl.URL."""
        if not isinstance(url, URL):
            raise TypeError("url should be yarl.URL instance")
        if url.raw_user is None and url.raw_password is None:
            return None
        return cls._make_unchecked(url.user or "", url.password or "", encoding)

    @classmethod
    def _make_unchecked(cls, login: str, password: str, encoding: str = "latin1") -> BasicAuth:
        return tuple.__new__(cls, (login, password, encoding))

    def encode(self) -> str:
        """The value of an Authorization field."""
        return encode_basic_auth(self.login, self.password, self.encoding)


def strip_auth_from_url(url: URL) -> tuple[URL, BasicAuth | None]:
    """The URL without its credentials, and these."""
    auth = BasicAuth.from_url(url)
    return (url, None) if auth is None else (url.with_user(None), auth)


# ---- hosts --------------------------------------------------------------------------------------


def is_ip_address(host: str | None) -> bool:
    """Whether a host is an address rather than a name; also for old forms such as 127.1."""
    return bool(host) and (":" in host or host.replace(".", "").isdigit())  # type: ignore[operator,union-attr]


_number_at_end = re.compile(r"(?:^|\.)(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?$").search


def ends_in_number(host: str) -> bool:
    """Whether the system takes a host for an IPv4 address, in whatever form: 127.1, 0x7f000001
    (https://url.spec.whatwg.org/#ends-in-a-number-checker)."""
    return _number_at_end(host) is not None


_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
is_canonical_ipv4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}").fullmatch
"""A match for four decimal numbers, none without need of a leading zero; None for other forms."""


# ---- media types --------------------------------------------------------------------------------


class MimeType(NamedTuple):
    """A media type in its parts."""

    type: str
    subtype: str
    suffix: str
    parameters: MultiDictProxy[str]


@functools.lru_cache(maxsize=64)
def parse_mimetype(mimetype: str) -> MimeType:
    """The parts of "text/html; charset=utf-8"; names of parameters are lowercased."""
    full, *rest = mimetype.split(";")
    parameters: MultiDict[str] = MultiDict()
    for item in rest:
        if item.strip():
            key, _, value = item.partition("=")
            parameters.add(key.lower().strip(), value.strip(' "'))
    full = full.strip().lower()
    kind, _, subtype = ("*/*" if full == "*" else full).partition("/")
    subtype, _, suffix = subtype.partition("+")
    return MimeType(kind, subtype, suffix, MultiDictProxy(parameters))


# A Content-Type that can be read in one way only, which nearly all are; and its parameters.
_is_plain_type = re.compile(
    r"""[\w.+-]+/[\w.+-]+ (?: ;[ ]?[a-zA-Z][\w-]*= (?: [\w.+-]+ | "[\w.+:/,=-]+" ) )* """,
    re.ASCII | re.VERBOSE,
).fullmatch
_plain_parameters = re.compile(r';[ ]?([\w-]+)="?([^";]+)').findall

ODD_TYPE: Final = 256  # characters of a Content-Type that the email package is given


@functools.lru_cache(maxsize=64)
def parse_content_type(raw: str) -> tuple[str, Mapping[str, str]]:
    """The type of a Content-Type field, lowercased, and its parameters.

    "application/octet-stream" where there is no valid type (RFC 9110, 8.3). What is not plain is
    read by the email package, as aiohttp reads all: comments, values in pieces and in charsets. It
    takes quadratic time and recurses, so it is given no long ones: they are read as they stand.
    """
    parameters: dict[str, str] | None = None
    if _is_plain_type(raw):
        pairs = _plain_parameters(raw)
        parameters = {name.lower(): value for name, value in pairs}
        if len(parameters) < len(pairs):
            parameters = None  # a name that comes twice
    kind = raw
    if parameters is None and len(raw) <= ODD_TYPE:
        with contextlib.suppress(Exception):  # RecursionError, and whatever its bugs are
            kind, parameters = _parse_odd_type(raw)
    if parameters is None:
        parameters = dict(parse_mimetype(raw).parameters)
    kind = kind.lower().partition(";")[0].strip()
    if kind.count("/") != 1:
        kind = "application/octet-stream"
    return kind, MappingProxyType(parameters)


def _parse_odd_type(raw: str) -> tuple[str, dict[str, str]]:
    from email.parser import HeaderParser  # which takes 20 ms to import
    from email.policy import HTTP

    message = HeaderParser(policy=HTTP).parsestr(f"Content-Type: {raw}")
    return str(message.get("content-type", "")), dict((message.get_params() or ())[1:])


# ---- fields -------------------------------------------------------------------------------------

_has_control = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search


def safe_header(text: str) -> str:
    """The text of a field's name or value as it is. ValueError if it would be more than one line,
    or has another control character than a tab (RFC 9110, 5.5)."""
    if _has_control(text):
        raise ValueError(
            "Forbidden control character detected in headers. Potential header injection attack."
        )
    return text


# ---- files and Content-Disposition --------------------------------------------------------------


def guess_filename(file: Any, default: str | None = None) -> str | None:
    """The name of an open file without its folder; default if it has none ("<stdin>")."""
    name = getattr(file, "name", None)
    if name and isinstance(name, str) and name[0] != "<" and name[-1] != ">":
        return os.path.basename(name.rstrip("/"))
    return default


_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_QUOTABLE = re.compile(r"[\t\x20-\x7e]*").fullmatch
_NOT_QTEXT = re.compile(r"[^\x21\x23-\x5b\x5d-\x7e]")


def content_disposition_header(
    disptype: str, quote_fields: bool = True, _charset: str = "utf-8", **params: str
) -> str:
    """The value of a Content-Disposition field of a body's part (RFC 7578, 4.2).

    quote_fields: names of files are percent-encoded, other values beyond ASCII go as name*=;
    without it they are only quoted. Raises ValueError for names that are no tokens.
    """
    if not _TOKEN(disptype or ""):
        raise ValueError(f"bad content disposition type {disptype!r}")
    parts = [disptype]
    for key, value in params.items():
        if not _TOKEN(key or ""):
            raise ValueError(f"bad content disposition parameter {key!r}={value!r}")
        if not quote_fields:
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'{key}="{escaped}"')
        elif key.lower() == "filename":
            parts.append(f'{key}="{quote(value, "", encoding=_charset)}"')
        elif _QUOTABLE(value):
            parts.append(f'{key}="{_NOT_QTEXT.sub(lambda m: chr(92) + m[0], value)}"')
        else:
            parts.append(f"{key}*={_charset}''{quote(value, '', encoding=_charset)}")
    return "; ".join(parts)
