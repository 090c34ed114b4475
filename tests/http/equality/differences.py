"""Where uvolt.http differs from aiohttp on purpose, and why: what the table's rows are compared by.

A row that is not listed here must go alike in all that can be seen. One that is listed must
differ, in the places that are listed and in no other. `python differences.py` (in this directory)
writes the table of docs/coming-from-aiohttp.md; a test makes sure that this was done.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

from reasons import REASONS

PAGE = Path(__file__).parents[3] / "docs" / "coming-from-aiohttp.md"
BEGIN, END = "<!-- differences: begin -->\n", "<!-- differences: end -->\n"


@dataclasses.dataclass(frozen=True)
class Listed:
    """Rows that differ alike. paths: where in the observation (see observe.py); none: anywhere.
    aiohttp, uvolt: how the call goes, as observe.outline() says it."""

    reason: str
    aiohttp: str
    uvolt: str
    paths: tuple[str, ...]
    rows: tuple[str, ...]


ERROR = ("error.str", "error.args", "error.message")
READING = ("reading.str", "reading.args", "reading.cause")
NOT_SENT = ("kept", "wire")
ERROR_CLASS = ("error.type", "error.bases", "error.str", "error.args")
WAYS = (
    "to the same origin",
    "to the same, absolute",
    *(f"to another host{w}" for w in ("", " and back")),
)


def _each(form: str, *values: Sequence[str]) -> tuple[str, ...]:
    return tuple(form.format(*found) for found in itertools.product(*values))


LISTED = [
    Listed(
        "chunks",
        "200",
        "200",
        ("wire",),
        (
            "form: a generator",
            *_each("form of {}, {}", ("one file", "text"), ("chunked", "gzip")),
            *_each("multipart: {}", ("generator", "gzip", "deflate", "base64", "quoted-printable")),
        ),
    ),
    Listed("comes once", "200", "ClientPayloadError", (), ("digest, a generator",)),
    Listed("proxy scheme", "ClientProxyConnectionError", "InvalidURL", (), ("proxied: ftp",)),
    Listed(
        "text",
        "200, ValueError",
        "200, ValueError",
        ("reading.args", "reading.str"),
        _each(
            "parts read: {}", ("empty", "no end", "cut in a head", "bare LF", "another boundary")
        ),
    ),
    Listed(
        "assertions",
        "200, AssertionError",
        "200, ValueError",
        (),
        ("parts read: no multipart",),
    ),
    Listed(
        "released",
        "200, ClientPayloadError",
        "200, ClientPayloadError",
        ("response.connection",),
        ("tls: short",),
    ),
    Listed("unclosed", "ValueError", "ValueError", ("contexts",), ("session headers: no pairs",)),
    Listed("empty method", "200", "ValueError", (), ("method ''",)),
    Listed("coding", "200", "ValueError", (), ("data: bytes, unknown coding",)),
    Listed(
        "target",
        "200",
        "ValueError",
        (),
        (
            *_each("URL: URL, encoded with a {}", ("space", "line end")),
            "Location '/a b', not requoted",
        ),
    ),
    Listed(
        "name",
        "200",
        "ValueError",
        (),
        _each(
            "headers: {}", ("space in the name", "colon in the name", "utf-8 name", "empty name")
        ),
    ),
    Listed(
        "bytes that are text",
        "ClientConnectionError",
        "ClientConnectionError",
        ("error.args", "error.str", *NOT_SENT),
        ("data: generator of text",),
    ),
    Listed(
        "failed body",
        "ClientConnectionError",
        "ClientConnectionError",
        NOT_SENT,
        ("data: generator that fails",),
    ),
    Listed("chunked=False", "200", "200", ("kept", "wire"), ("data: chunked=False",)),
    Listed(
        "not sent",
        "ValueError",
        "ValueError",
        NOT_SENT,
        (
            "data: Content-Length no number",
            *_each("headers: {}", ("CR", "LF", "CRLF", "NUL", "DEL", "0x01")),
            *_each("headers: {} in the name", ("CR", "LF")),
            *_each("session headers: {}", ("CRLF", "NUL")),
            "traced: bad header",
        ),
    ),
    Listed(
        "not sent",
        "TypeError",
        "TypeError",
        NOT_SENT,
        (*_each("headers: {}", ("int", "None", "bytes")), "session headers: int"),
    ),
    Listed(
        "released",
        "200",
        "200",
        ("response.connection",),
        (
            "data: expect100, no body",
            *_each("redirect {}, POST expect100", ("301", "302", "303")),
        ),
    ),
    Listed(
        "released",
        "200",
        "200",
        ("response.closed", "response.connection"),
        _each("read_bufsize={}, {}", ("1", "100"), ("request", "session")),
    ),
    Listed("released", "417", "417", ("response.connection",), ("expect100 refused",)),
    Listed(
        "host",
        "ClientConnectorDNSError",
        "InvalidUrlClientError",
        (),
        ("URL: space in the host",),
    ),
    Listed(
        "host",
        "ClientConnectorDNSError",
        "InvalidUrlRedirectClientError",
        (),
        _each("Location 'http://a b/'{}", ("", ", not requoted")),
    ),
    Listed(
        "host",
        "ClientConnectorError",
        "InvalidUrlClientError",
        (),
        _each("Location 'http://0x7f000001/'{}", ("", ", not requoted")),
    ),
    Listed(
        "text file",
        "200",
        "200",
        ("response.request_info", "response read.request_info", "wire"),
        ("data: text file in latin-1",),
    ),
    Listed("surrogate", "200", "UnicodeEncodeError", (), ("headers: surrogate",)),
    Listed(
        "connection: close",
        "200",
        "200",
        ("kept",),
        (
            *_each("headers: Connection: {}", ("close", "other")),
            "by a proxy, Connection: close",
        ),
    ),
    Listed(
        "session auth",
        "200",
        "200",
        ("response.request_info", "response read.request_info", "warnings", "wire"),
        _each("of the session, auth= to another host{}", ("", " and back")),
    ),
    Listed(
        "chunked header",
        "ValueError",
        "200",
        (),
        _each("redirect {}, POST Transfer-Encoding", ("301", "302", "303")),
    ),
    Listed(
        "chunked header",
        "ValueError",
        "ClientPayloadError",
        (),
        _each("redirect {}, POST Transfer-Encoding", ("307", "308")),
    ),
    Listed(
        "deprecated",
        "200",
        "200",
        ("warnings",),
        (
            *_each("auth= {}", WAYS),
            *_each("of the session, auth= {}", ("to the same origin", "to the same, absolute")),
            *("user of the Location instead of auth=", "base_url and auth"),
            *("base_url and auth, elsewhere", "auth of the session", "auth of both"),
            *("auth of the session and a user in the URL", "ssl_shutdown_timeout"),
            *("TCPConnector, ssl_shutdown_timeout", "auth ('u',)", "auth ('u', 'p')"),
            *("auth ('', '')", "auth ('ü', 'ß')", "auth ('u', 'p:q')"),
            "auth ('ü€', 'p', 'utf-8')",
            *_each("proxied: {}", ("proxy_auth", "auth", "of the session with proxy_auth")),
            *_each("tunnel: {}", ("proxy_auth", "auth")),
            *_each("form: {}", ("bytes", "bytes and text", "content_transfer_encoding")),
            "form of dict with bytes",
        ),
    ),
    Listed("deprecated", "TypeError", "TypeError", ("warnings",), ("auth, a tuple", "auth, text")),
    Listed(
        "deprecated",
        "ValueError",
        "ValueError",
        ("warnings",),
        (
            *("auth and Authorization", "auth and a user in the URL"),
            *("auth of the session and Authorization", "proxied: auth of another type"),
        ),
    ),
    Listed("version", "ValueError", "ValueError", ("jar", "kept"), ("version of text",)),
    Listed("version", "200", "ValueError", (), ("version 2.0",)),
    Listed(
        "assertions",
        "AssertionError",
        "ValueError",
        ERROR_CLASS,
        _each(
            "base_url {}, '//x'",
            ("''", "'/'", "'/api/'", "'/a b/'", "'/api/?q=1'", "'/api/#f'", "'/ü/'"),
        ),
    ),
    Listed(
        "assertions",
        "AssertionError",
        "ClientConnectorDNSError",
        (),
        ("TCPConnector, family IPv6",),
    ),
    Listed("timeout type", "TypeError", "AttributeError", ERROR_CLASS, ("timeout=text, request",)),
    Listed(
        "cause",
        "TimeoutError",
        "TimeoutError",
        ("error.cause",),
        _each("timeout {}, {} the head", ("total", "a number", "of the session"), ("before", "in")),
    ),
    Listed(
        "cause",
        "200, TimeoutError",
        "200, TimeoutError",
        ("reading.cause",),
        _each("timeout {}, in the body", ("total", "a number", "of the session")),
    ),
    Listed(
        "own history",
        "302",
        "302",
        ("response.history", "response read.history"),
        ("no Location", "Location ''", "Location '', not requoted"),
    ),
    Listed(
        "history",
        "ClientResponseError",
        "ClientResponseError",
        ("error.args", "error.history"),
        ("a 404 at the end, raise_for_status",),
    ),
    Listed(
        "text",
        "TypeError",
        "TypeError",
        ("error.args", "error.str"),
        ("session: no URL",),
    ),
    Listed(
        "text",
        "ClientConnectorError",
        "ClientConnectorError",
        ("error.args", "error.os_error", "error.str", "error.strerror"),
        ("TCPConnector, local_addr that is not there",),
    ),
    Listed(
        "port",
        "ValueError",
        "InvalidUrlRedirectClientError",
        (),
        _each("Location 'http://127.0.0.1:{}/', not requoted", ("99999", "port")),
    ),
    # ---- cookies
    Listed("Secure", "200", "200", ("jar",), ("stored 'a=b; Secure'",)),
    Listed(
        "epoch",
        "200",
        "200",
        ("jar", "wire"),
        ("stored 'a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT'",),
    ),
    Listed("as it came", "200", "200", ("wire",), ("stored 'a='",)),
    Listed(
        "as it came",
        "200",
        "200",
        ("jar", "wire"),  # and a Secure one among them
        (
            *_each("CookieJar({}), localhost", ("unsafe", "quote_cookie=False", "secure origin")),
            "CookieJar(unsafe), 127.0.0.1",
        ),
    ),
    # ---- responses
    Listed(
        "let go",
        "200",
        "200",
        ("response read.at_eof",),
        (
            "traced: released",
            *_each("{}, {}", ("length", "chunked"), ("release", "close", "wait_for_close")),
            *_each("a call behind a {} one", ("released", "closed")),
        ),
    ),
    Listed(
        "let go",
        "200, ClientConnectionError",
        "200, ClientConnectionError",
        ("response read.at_eof",),
        _each("{}, {}, then read", ("length", "chunked"), ("release", "close")),
    ),
    Listed("empty body", "200, ValueError", "200", (), ("empty, readuntil nothing",)),
    Listed(
        "empty body",
        "200, ClientConnectionError",
        "200",
        (),
        _each("empty, {}, then read", ("release", "close")),
    ),
    Listed("status 000", "0", "ClientResponseError", (), ("head: status 000",)),
    Listed(
        "fold",
        "200",
        "200",
        _each("{}.{}", ("response", "response read"), ("headers", "raw_headers", "repr")),
        ("head: folded by tab",),
    ),
    Listed(
        "names",
        "200",
        "200",
        _each("{}.{}", ("response", "response read"), ("headers", "repr")),
        ("head: two Servers",),
    ),
    Listed(
        "text",
        "ClientResponseError",
        "ClientResponseError",
        ("error.message", "error.str"),
        (
            *("head: a name of 9000", "head: a reason of 9000", "Content-Length ''"),
            *_each("max_line_size={}, {}", ("100", "299"), ("request", "session")),
        ),
    ),
    Listed("behind", "ClientResponseError", "200", (), ("Content-Length '4'", "bytes behind it")),
    Listed("empty coding", "200", "ClientResponseError", (), ("Transfer-Encoding ''",)),
    Listed(
        "chunk",
        "ClientResponseError",
        "200, ClientPayloadError",
        (),
        _each(
            "chunks, {}",
            (
                *("size 0x5", "size +5", "size -5", "empty size", "size of 17 digits", "no number"),
                *("newline in an extension", "bytes behind a chunk", "bare LF", "bad trailer"),
                "no line end behind a chunk",
            ),
        ),
    ),
    Listed(
        "cut coding",
        "ClientResponseError",
        "200, ClientPayloadError",
        (),
        _each("coding: deflate, cut, {}", ("length", "chunked")),
    ),
    Listed(
        "cut coding",
        "200",
        "200, ClientPayloadError",
        (),
        _each(
            "coding: {}, {}",
            ("gzip, cut", "gzip, one byte", "br, cut", "br that is text"),
            ("length", "chunked"),
        ),
    ),
    Listed(
        "undecodable",
        "200, ClientPayloadError",
        "200, ClientPayloadError",
        (
            *("kept", "response read.at_eof"),
            *_each("response.{}", ("at_eof", "closed", "connection")),
        ),
        _each(
            "coding: {}, {}",
            (
                *("bytes behind it", "gzip, bad checksum", "gzip that is text"),
                *("deflate that is text", "zstd that is text"),
            ),
            ("length", "chunked"),
        ),
    ),
    Listed("undecodable", "200", "200", NOT_SENT, ("a gzip body on the way",)),
    Listed(
        "layers",
        "200",
        "200",
        ("body",),
        _each("coding: {}, {}", ("x-gzip", "gzip, gzip", "identity, gzip"), ("length", "chunked")),
    ),
    Listed(
        "switching",
        "101",
        "101",
        _each("{}.{}", ("response", "response read"), ("closed", "connection")),
        ("101 unasked",),
    ),
    Listed(
        "retry",
        "ServerDisconnectedError",
        "ServerDisconnectedError",
        NOT_SENT,
        ("100, then it closes", "GET, closed at once"),
    ),
    Listed(
        "retry",
        "ClientOSError",
        "ClientOSError",
        NOT_SENT,
        (
            "closed before the request",
            *_each(
                "GET, reset {}",
                (
                    *("at once", "in the version", "in the status", "behind the status line"),
                    *("in a field", "before the empty line"),
                ),
            ),
        ),
    ),
    *(
        Listed(
            "disconnected",
            "ServerDisconnectedError",
            "ServerDisconnectedError",
            paths,
            _each(
                f"{method}, closed {{}}",
                (
                    *("in the version", "in the status", "behind the status line"),
                    *("in a field", "before the empty line"),
                ),
            ),
        )
        for method, paths in (("GET", (*ERROR, *NOT_SENT)), ("POST", ERROR))
    ),
    Listed(
        "reset",
        "200, ClientPayloadError",
        "200, ClientPayloadError",
        READING,
        _each("{}, reset {} the body", ("GET", "POST"), ("before", "in")),
    ),
    Listed(
        "proxy credentials",
        "ClientHttpProxyError",
        "ClientHttpProxyError",
        ("error.str", "error.args", "error.request_info"),
        _each(
            "credentials of a proxy, {}, a tunnel",
            ("user:word", "us%65r:w%C3%B6rd", "user:", "user", ":word", "a%0D%0Ab:c"),
        ),
    ),
    Listed(
        "proxy key",
        "200",
        "200",
        NOT_SENT,
        _each("by a proxy, redirected to the same{}", (" origin", ", absolute")),
    ),
    *(
        Listed(
            reason,
            "ClientHttpProxyError",
            "ClientHttpProxyError",
            ("error.args", "error.request_info", "wire"),
            names,
        )
        for reason, names in {
            "proxy headers": (
                "CONNECT with the session's headers",
                "CONNECT of a request with Host",
            ),
            "proxy two": ("CONNECT with two of a name",),
        }.items()
    ),
]


def by_row() -> dict[str, Listed]:
    """What is listed of each row that is."""
    found: dict[str, Listed] = {}
    for listed in LISTED:
        for name in listed.rows:
            assert name not in found, f"{name} is listed twice"
            found[name] = listed
    return found


def markdown() -> str:
    """The table of the documentation."""
    lines = ["| | aiohttp 3.14 | uvolt.http | why |", "|---|---|---|---|"]
    lines += [f"| {r.what} | {r.aiohttp} | {r.uvolt} | {r.why} |" for r in REASONS.values()]
    return "\n".join(lines) + "\n"


def page_with(table: str) -> str:
    """The page with this table in its place."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with(markdown()), encoding="utf-8")
