"""What there is to see of a call: as plain values, which two clients can be compared by.

Normalised are only: the value of the default User-Agent (each client says who it is), of the
default Accept-Encoding (each says what it can decode), the boundary of a multipart body and the
cnonce of a digest (random), the names of modules and addresses of objects in texts, the column of
the caret in the texts of parsers, the hash of a proxy's headers in a connection key, and the class
of a parser's error as a cause (see causing()).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping
from http.cookies import Morsel, SimpleCookie
from typing import Any

from multidict import MultiMapping
from yarl import URL

_PATTERNS = [
    (r"(User-Agent'?:? ?[ ,]'?)Python/[\d.]+ (?:aiohttp|uvolt)/[^\r'\"]*", r"\1*"),
    (r"^Python/[\d.]+ (?:aiohttp|uvolt)/\S*$", "*"),
    (r"gzip, deflate(?:, br)?(?:, zstd)?(?=\r|'|$)", "gzip, deflate, *"),
    (r"\baiohttp\.(?:client_reqrep|client_exceptions|client|connector|helpers|streams)\b", "http"),
    (r"\buvolt\.http(?:\.[a-z_]+)?\b", "http"),
    (r"(\n|\\+n) +\^", r"\1 ^"),
    (r"\b0x[0-9a-f]{6,}\b", "ADDRESS"),
]
TEXT = [(re.compile(pattern), into) for pattern, into in _PATTERNS]
BYTES = [(re.compile(pattern.encode()), into.encode()) for pattern, into in _PATTERNS]
MADE_UP = re.compile(rb"--[0-9a-f]{32}")
BOUNDARY_TEXT = re.compile(r"boundary=[0-9a-f]{32}\b")
CNONCE_TEXT = re.compile(r'((?:cnonce|response)=)"[0-9a-f]+"')
BOUNDARY = re.compile(rb'boundary="?([-_.\w]+)"?')
CNONCE = re.compile(rb'((?:cnonce|response)=)"[0-9a-f]+"')


def wire(data: bytes) -> bytes:
    """The bytes of a connection."""
    for pattern, into in BYTES:
        data = pattern.sub(into, data)
    for found in BOUNDARY.findall(data):
        if len(found) == 32:  # one that the client made up
            data = data.replace(found, b"BOUNDARY")
    data = MADE_UP.sub(b"--BOUNDARY", data)
    return CNONCE.sub(rb'\1"*"', data)


def whole(head: bytes, body: bytes) -> list[bytes]:
    """A request with its body as one piece: without the borders of its chunks, and decoded."""
    lower = head.lower()
    if b"\r\ntransfer-encoding: chunked\r\n" in lower:
        pieces = []
        while body:
            size, _, rest = body.partition(b"\r\n")
            pieces.append(rest[: int(size, 16)])
            body = rest[int(size, 16) + 2 :]
        body = b"".join(pieces)
    coding = re.search(rb"\r\ncontent-encoding: (gzip|deflate)\r\n", lower)
    if coding and body:
        with contextlib.suppress(zlib.error):
            body = zlib.decompress(body, wbits=47)
    return [wire(head), wire(head + body)[len(wire(head)) :]]


def plain(value: Any) -> Any:
    """A value without the types that each client has of its own."""
    if isinstance(value, str):
        for pattern, into in TEXT:
            value = pattern.sub(into, value)
        value = BOUNDARY_TEXT.sub("boundary=BOUNDARY", value)
        return str(CNONCE_TEXT.sub(r'\1"*"', value))
    if isinstance(value, bytes | bytearray):
        return wire(bytes(value))
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, URL):
        return f"URL({value})"
    if isinstance(value, BaseException):
        return error(value)
    if isinstance(value, SimpleCookie):
        return sorted((name, morsel(found)) for name, found in value.items())
    if isinstance(value, Morsel):
        return morsel(value)
    if isinstance(value, MultiMapping):
        return [(plain(str(name)), plain(found)) for name, found in value.items()]
    if isinstance(value, Mapping):
        return {plain(name): plain(found) for name, found in value.items()}
    if type(value).__name__ == "ConnectionKey":
        value = value._replace(proxy_headers_hash=None)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(repr, map(plain, value)))
    if hasattr(value, "request_info") and hasattr(value, "raw_headers"):
        return [value.status, plain(value.method), plain(value.url), plain(value.headers)]
    return f"<{type(value).__name__}>"


def outline(seen: dict[str, Any]) -> str:
    """In a word or two how a call went: its status, the exception of it or of reading it."""
    status = seen["response"]["status"] if "response" in seen else seen.get("result", "")
    errors = [seen[name]["type"] for name in ("reading", "error") if seen.get(name)]
    return ", ".join([str(status), *errors] if status != "" else errors)


def morsel(found: Morsel[Any]) -> Any:
    """A cookie and the attributes that it has."""
    return [found.key, found.value, found.coded_value, {k: v for k, v in found.items() if v}]


ATTRIBUTES = (
    *("args", "errno", "strerror", "filename", "status", "message", "headers", "request_info"),
    *("history", "os_error", "host", "port", "ssl", "url", "description", "path", "expected"),
    *("got", "certificate", "certificate_error"),
)


def error(exc: BaseException, depth: int = 2) -> dict[str, Any]:
    """An exception: its class, bases, text, attributes and what it was raised from."""
    seen: dict[str, Any] = {
        "type": type(exc).__name__,
        "bases": [base.__name__ for base in type(exc).__mro__],
        "str": plain(str(exc)),
    }
    for name in ATTRIBUTES:
        if hasattr(exc, name):
            seen[name] = plain(getattr(exc, name))
    exc.__traceback__ = None  # aiohttp has exceptions that it raises again and again
    if depth:
        cause = exc.__cause__
        seen["cause"] = None if cause is None else causing(cause)
    return seen


def causing(exc: BaseException) -> str:
    """The class of a cause. A parser's error by its base: aiohttp has wrapped it in one of that."""
    names = [base.__name__ for base in type(exc).__mro__]
    return "HttpProcessingError" if "HttpProcessingError" in names else names[0]


RESPONSE: dict[str, Callable[[Any], Any]] = {
    "status": lambda r: r.status,
    "reason": lambda r: r.reason,
    "ok": lambda r: r.ok,
    "version": lambda r: tuple(r.version),
    "method": lambda r: r.method,
    "url": lambda r: r.url,
    "real_url": lambda r: r.real_url,
    "host": lambda r: r.host,
    "headers": lambda r: r.headers,
    "raw_headers": lambda r: r.raw_headers,
    "request_info": lambda r: r.request_info,
    "content_type": lambda r: r.content_type,
    "charset": lambda r: r.charset,
    "content_length": lambda r: r.content_length,
    "content_disposition": lambda r: disposition(r.content_disposition),
    "cookies": lambda r: r.cookies,
    "history": lambda r: r.history,
    "links": lambda r: [(name, link.items()) for name, link in r.links.items()],
    "encoding": lambda r: r.get_encoding(),
    "closed": lambda r: r.closed,
    "connection": lambda r: r.connection is not None,
    "at_eof": lambda r: r.content.at_eof(),
    "repr": lambda r: repr(r),
}


def disposition(found: Any) -> Any:
    return found and [found.type, found.parameters, found.filename]


def response(answer: Any) -> dict[str, Any]:
    """All that a response says of itself."""
    seen = {}
    for name, look in RESPONSE.items():
        try:
            seen[name] = plain(look(answer))
        except Exception as exc:
            seen[name] = error(exc, 0)
    return seen


async def outcome(awaitable: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    """The result, or the exception: of the client, not the test's own being cancelled."""
    try:
        return await awaitable, None
    except asyncio.CancelledError:
        raise
    except Exception as exc:
        return None, exc


def difference(ours: Any, theirs: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Where two observations differ: path to (aiohttp's, ours)."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for name in [*theirs, *(name for name in ours if name not in theirs)]:
            here = f"{path}.{name}" if path else str(name)
            found.update(difference(ours.get(name, "-"), theirs.get(name, "-"), here))
        return found
    return {} if ours == theirs else {path: (theirs, ours)}
