"""Rows of redirects: methods and bodies, credentials and origins, odd Locations, limits."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from http_support import Asked, chunked, response
from table import OK, Row, Side, aiter_of
from yarl import URL

STATUSES = (301, 302, 303, 307, 308)


def moved(location: str, status: int = 302, body: bytes = b"", **fields: str) -> bytes:
    return response(body, f"{status} Moved", Location=location, **fields)


def at(host: str, path: str = "/there", **fields: str) -> Callable[[Asked], bytes]:
    """A redirect to a host, on the port that was asked."""
    return lambda asked: moved(f"http://{host}:{port_of(asked)}{path}", **fields)


def port_of(asked: Asked) -> str:
    return dict(asked.fields)["Host"].rpartition(":")[2]


# ---- methods and bodies --------------------------------------------------------------------------

BODIES: dict[str, Any] = {
    "GET": ("GET", lambda s: {}),
    "HEAD": ("HEAD", lambda s: {"allow_redirects": True}),
    "OPTIONS": ("OPTIONS", lambda s: {}),
    "DELETE": ("DELETE", lambda s: {}),
    "GET with bytes": ("GET", lambda s: {"data": b"body"}),
    "POST": ("POST", lambda s: {}),
    "POST bytes": ("POST", lambda s: {"data": b"body"}),
    "POST str": ("POST", lambda s: {"data": "ü"}),
    "POST dict": ("POST", lambda s: {"data": {"a": "b"}}),
    "POST json": ("POST", lambda s: {"json": {"a": 1}}),
    "POST BytesIO": ("POST", lambda s: {"data": io.BytesIO(b"file")}),
    "POST generator": ("POST", lambda s: {"data": aiter_of(b"once")}),
    "POST chunked": ("POST", lambda s: {"data": b"body", "chunked": True}),
    "POST gzip": ("POST", lambda s: {"data": b"body" * 50, "compress": "gzip"}),
    "POST expect100": ("POST", lambda s: {"data": b"body", "expect100": True}),
    "POST Content-Type": ("POST", lambda s: {"data": b"b", "headers": {"Content-Type": "a/b"}}),
    "POST Content-Length": ("POST", lambda s: {"data": b"b", "headers": {"Content-Length": "1"}}),
    "POST Transfer-Encoding": (
        "POST",
        lambda s: {"data": aiter_of(b"b"), "headers": {"Transfer-Encoding": "chunked"}},
    ),
    "PUT bytes": ("PUT", lambda s: {"data": b"body"}),
    "PUT BytesIO": ("PUT", lambda s: {"data": io.BytesIO(b"file")}),
    "PATCH json": ("PATCH", lambda s: {"json": [1]}),
    "not followed": ("POST", lambda s: {"data": b"body", "allow_redirects": False}),
}
METHOD_ROWS = [
    Row(
        f"redirect {status}, {name}",
        method,
        request=options,
        answers=[moved("/there?x=1", status), response()],
    )
    for status in STATUSES
    for name, (method, options) in BODIES.items()
]
METHOD_ROWS += [
    Row(f"redirect {status}, no redirect", answers=[moved("/there", status), OK])
    for status in (200, 201, 300, 304, 305, 306, 310, 399, 401)
]

# ---- credentials and origins ---------------------------------------------------------------------

CREDENTIALS: dict[str, Any] = {
    "Authorization": (lambda s: {"headers": {"Authorization": "Bearer x"}}, {}),
    "authorization": (lambda s: {"headers": {"aUTHORIZATION": "Bearer x"}}, {}),
    "two Authorizations": (
        lambda s: {"headers": [("Authorization", "x"), ("Authorization", "y")]},
        {},
    ),
    "Cookie": (lambda s: {"headers": {"Cookie": "a=b"}}, {}),
    "Proxy-Authorization": (lambda s: {"headers": {"Proxy-Authorization": "Basic x"}}, {}),
    "X-Api-Key": (lambda s: {"headers": {"X-Api-Key": "x"}}, {}),
    "auth=": (lambda s: {"auth": s.basic_auth("u", "p")}, {}),
    "cookies=": (lambda s: {"cookies": {"a": "b"}}, {}),
    "cookies= and Cookie": (lambda s: {"cookies": {"a": "b"}, "headers": {"Cookie": "c=d"}}, {}),
    "of the session, Authorization": ({}, {"headers": {"Authorization": "Bearer x"}}),
    "of the session, Cookie": ({}, {"headers": {"Cookie": "a=b"}}),
    "of the session, auth=": ({}, lambda s: {"auth": s.basic_auth("u", "p")}),
    "of the session, cookies=": ({}, {"cookies": {"a": "b"}}),
}
# name: the answers before the last; the call is made to 127.0.0.1
WAYS: dict[str, list[Any]] = {
    "to the same origin": [moved("/there")],
    "to another host": [at("localhost")],
    "to another host and back": [at("localhost"), at("127.0.0.1", "/back")],
    "to the same, absolute": [at("127.0.0.1")],
}
CREDENTIAL_ROWS = [
    Row(f"{name} {way}", request=request, session=session, answers=[*answers, OK])
    for name, (request, session) in CREDENTIALS.items()
    for way, answers in WAYS.items()
]


def with_user(side: Side) -> str:
    return side.url.replace("//", "//user:pass@") + "/"


CREDENTIAL_ROWS += [
    Row(f"user of the URL {way}", path=with_user, answers=[*answers, OK])
    for way, answers in WAYS.items()
]
CREDENTIAL_ROWS += [
    Row("user of the Location", answers=[at("u:p@127.0.0.1"), OK]),
    Row("user of the Location, another host", answers=[at("u:p@localhost"), OK]),
    Row("user of the Location, then on", answers=[at("u:p@127.0.0.1"), moved("/on"), OK]),
    Row(
        "user of the Location instead of auth=",
        request=lambda s: {"auth": s.basic_auth("a", "b")},
        answers=[at("u:p@127.0.0.1"), OK],
    ),
    Row("a cookie on the way", answers=[moved("/there", Set_Cookie="k=v"), OK]),
    Row(
        "a cookie on the way, localhost",
        path=lambda s: f"http://localhost:{s.server.port}/",
        answers=[moved("/there", Set_Cookie="k=v"), OK],
    ),
    Row(
        "a cookie to another host",
        path=lambda s: f"http://localhost:{s.server.port}/",
        answers=[at("127.0.0.1", Set_Cookie="k=v"), OK],
    ),
    Row(
        "headers go along",
        request={"headers": {"X": "y", "Referer": "z"}},
        answers=[at("localhost"), OK],
    ),
    Row("Host does not go along", request={"headers": {"Host": "a.b"}}, answers=[moved("/x"), OK]),
]

# ---- Locations -----------------------------------------------------------------------------------

LOCATIONS = [
    *("/there", "there", "./there", "../there", "?q=1", "#f", "", "/", "//", "/a/../b", "/a//b"),
    *("/a b", "/ü", "/%C3%BC", "/%2F", "/%zz", "/p?a=b%26c", "/p?a=b+c", "/p?a=%20", "/p#f?g"),
    *(
        " /there",
        "/there ",
        "/a\tb",
        '/"<>',
        "/{x}",
        "/\\x",
        "\\\\x",
        "/:80",
        ":80/",
        "/x:y@z",
        "/;p",
    ),
    *("http:", "http:/", "http://", "http:///x", "http://[::1", "http://a b/", "http://:80/"),
    *("http://127.0.0.1:99999/", "http://127.0.0.1:port/", "http://127.1/", "http://0x7f000001/"),
    *("http:there", "http:/there", "http:?q", "HTTP:there", "https:there", "file:///etc/passwd"),
    *("ftp://localhost/", "mailto:a@b", "javascript:alert(1)", "data:,x", "ws://localhost/", "x:y"),
    *("about:blank", "/?" + "q" * 2000, "/%0d%0aX:y", "/%00", "//127.0.0.1:9/x", "///x"),
]
LOCATION_ROWS = [
    Row(
        f"Location {location[:40]!r}{suffix}",
        path="/a/b?c=d#e",
        session=session,
        answers=[moved(location), OK],
    )
    for location in LOCATIONS
    for suffix, session in (("", {}), (", not requoted", {"requote_redirect_url": False}))
]
LOCATION_ROWS += [
    Row("Location in UTF-8 bytes", answers=[moved("/ü€"), OK]),
    Row("Location in latin-1 bytes", answers=[moved("/X").replace(b"/X", b"/\xfc"), OK]),
    Row("no Location", answers=[response(b"x", "302 Moved"), OK]),
    Row("two Locations", answers=[response(status="302 M\r\nLocation: /a", Location="/b"), OK]),
    Row("URI instead of Location", answers=[response(status="302 Moved", URI="/uri"), OK]),
    Row(
        "URI beside an empty Location",
        answers=[response(status="302 M", URI="/u", Location=""), OK],
    ),
    Row(
        "an encoded URL", path=lambda s: URL(s.url + "/%28", encoded=True), answers=[moved("x"), OK]
    ),
]

# ---- ways and limits -----------------------------------------------------------------------------

LOOP = [moved("/again")]
LIMIT_ROWS = [
    Row(f"max_redirects={n}", request={"max_redirects": n}, answers=LOOP) for n in (1, 2, 5, 10, -1)
] + [
    Row("a loop", answers=LOOP),
    Row("nine redirects", answers=[*[moved(f"/{n}") for n in range(9)], OK]),
    Row("ten redirects", answers=[*[moved(f"/{n}") for n in range(10)], OK]),
    Row(
        "twelve redirects, unlimited",
        request={"max_redirects": 0},
        answers=[*[moved(f"/{n}") for n in range(12)], OK],
    ),
    Row("a body on the way", answers=[moved("/1", body=b"x" * 500), OK]),
    Row(
        "a chunked body on the way",
        answers=[
            b"HTTP/1.1 302 M\r\nLocation: /1\r\nTransfer-Encoding: chunked\r\n\r\n"
            + chunked(b"xy"),
            OK,
        ],
    ),
    Row("closed on the way", answers=[moved("/1", Connection="close"), OK]),
    Row("params are not repeated", request={"params": {"a": "b"}}, answers=[moved("/1"), OK]),
    Row(
        "303 behind 307",
        "POST",
        request={"data": b"x"},
        answers=[moved("/1", 307), moved("/2", 303), OK],
    ),
    Row(
        "307 behind 303",
        "POST",
        request={"data": b"x"},
        answers=[moved("/1", 303), moved("/2", 307), OK],
    ),
    Row(
        "a 404 at the end, raise_for_status",
        request={"raise_for_status": True},
        answers=[moved("/1"), response(b"no", "404 Not Found")],
    ),
    Row(
        "a 302 that is not followed, raise_for_status",
        request={"raise_for_status": True, "allow_redirects": False},
        answers=[moved("/1")],
    ),
    Row(
        "a gzip body on the way",
        answers=[moved("/1", body=b"no gzip", Content_Encoding="gzip"), OK],
    ),
]

ROWS = [*METHOD_ROWS, *CREDENTIAL_ROWS, *LOCATION_ROWS, *LIMIT_ROWS]
