"""Rows of proxies: the server of the table is the proxy, and there is no origin."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

from http_support import response
from recorder import Do
from rows_redirects import moved
from table import OK, Row, Side, aiter_of

ORIGIN = "http://origin.test"
TLS = "https://origin.test"


def by(given: Callable[[Side], dict[str, Any]]) -> Callable[[Side], dict[str, Any]]:
    """A request's options with the server as its proxy."""
    return lambda side: {"proxy": side.url, **given(side)}


def with_credentials(side: Side, words: str = "user:word") -> str:
    return side.url.replace("//", f"//{words}@")


def to(url: str) -> Callable[[Side], str]:
    return lambda side: url


# ---- requests that are forwarded -----------------------------------------------------------------

URLS = [
    *("", "/", "/a", "/a b", "/a%20b", "/ü", "/a?b=c", "/a?b=c+d&e=%26", "/?", "?a", "/a#fragment"),
    *("/a//b", "/a/../b", "/%2F", ":80/", ":8080/", ":8080", "/a;b=c", "/a:b@c", "/?a=ü", "/*"),
]
URL_ROWS = [
    Row(f"by a proxy: {url!r}", path=to(ORIGIN + url), request=by(lambda side: {})) for url in URLS
]
URL_ROWS += [
    Row(f"by a proxy: {url}", path=to(url), request=by(lambda side: {}))
    for url in (
        *("http://ORIGIN.test/", "http://origin.test./", "http://bücher.test/", "http://a_b.test/"),
        *("http://192.0.2.1/", "http://[2001:db8::1]/", "http://[2001:db8::1]:8080/a"),
        *(
            "http://user:word@origin.test/",
            "http://us%40er:@origin.test/",
            "http://user@origin.test/",
        ),
    )
]

BODIES: dict[str, tuple[str, Callable[[Side], dict[str, Any]]]] = {
    "OPTIONS": ("OPTIONS", lambda s: {}),
    "DELETE": ("DELETE", lambda s: {}),
    "POST": ("POST", lambda s: {}),
    "POST bytes": ("POST", lambda s: {"data": b"body"}),
    "POST str": ("POST", lambda s: {"data": "ü"}),
    "POST dict": ("POST", lambda s: {"data": {"a": "b"}}),
    "POST json": ("POST", lambda s: {"json": {"a": 1}}),
    "POST BytesIO": ("POST", lambda s: {"data": io.BytesIO(b"file")}),
    "POST generator": ("POST", lambda s: {"data": aiter_of(b"once", b"more")}),
    "POST chunked": ("POST", lambda s: {"data": b"body", "chunked": True}),
    "POST gzip": ("POST", lambda s: {"data": b"body" * 50, "compress": "gzip"}),
    "POST expect100": ("POST", lambda s: {"data": b"body", "expect100": True}),
    "PUT bytes": ("PUT", lambda s: {"data": b"body"}),
    "headers": ("GET", lambda s: {"headers": {"X": "y", "Host": "other.test", "Accept": "a/b"}}),
    "params": ("GET", lambda s: {"params": {"a": "b c"}}),
    "cookies": ("GET", lambda s: {"cookies": {"a": "b"}}),
    "skip_auto_headers": ("GET", lambda s: {"skip_auto_headers": ["User-Agent", "Accept"]}),
    "a header of the proxy": ("GET", lambda s: {"headers": {"Proxy-Authorization": "Basic x"}}),
    "a header of the proxy's": ("GET", lambda s: {"proxy_headers": {"X": "y"}}),
    "Authorization of the proxy's": ("GET", lambda s: {"proxy_headers": {"Authorization": "x"}}),
    "Connection: close": ("GET", lambda s: {"headers": {"Connection": "close"}}),
    "raise_for_status": ("GET", lambda s: {"raise_for_status": True}),
}
BODY_ROWS = [
    Row(f"by a proxy, {name}", method, to(f"{ORIGIN}/a"), by(given))
    for name, (method, given) in BODIES.items()
]
BODY_ROWS.append(
    Row(
        "by a proxy, HEAD",
        "HEAD",
        to(f"{ORIGIN}/a"),
        by(lambda side: {}),
        answers=(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",),
    )
)
CREDENTIALS = [
    *("user:word", "us%65r:w%C3%B6rd", "user:", "user", ":word", "us%3Aer:word", "%E4%B8%80:x"),
    "a%0D%0Ab:c",
]
CREDENTIAL_ROWS = [
    Row(
        f"credentials of a proxy, {words}, {kind}",
        method,
        to(f"{origin}/a"),
        lambda side, words=words: {"proxy": with_credentials(side, words), "data": b"body"},
        answers=(response(b"no", "407 No"),),
    )
    for words in CREDENTIALS
    for kind, origin, method in (("forwarded", ORIGIN, "POST"), ("a tunnel", TLS, "PUT"))
]

# ---- sessions ------------------------------------------------------------------------------------


async def again(side: Side, session: Any) -> list[Any]:
    """The same call twice, and one without the proxy."""
    seen = []
    for options in ({}, {"proxy": ""}):
        async with session.get(f"{side.url}/again", **options) as answer:
            seen.append((answer.status, await answer.read()))
    return seen


SESSION_ROWS = [
    Row("a session's proxy", session=lambda side: {"proxy": side.url}, then=again),
    Row(
        "a session's proxy with credentials",
        path=to(f"{ORIGIN}/a"),
        session=lambda side: {"proxy": with_credentials(side)},
    ),
    Row(
        "a request's proxy goes first",
        path=to(f"{ORIGIN}/a"),
        session={"proxy": "http://127.0.0.1:1"},
        request=lambda side: {"proxy": side.url},
    ),
    Row("the empty proxy is none", session={"proxy": "http://127.0.0.1:1"}, request={"proxy": ""}),
    Row("proxy_auth without a proxy", request=lambda side: {"proxy_headers": {"X": "y"}}),
]

# ---- redirects -----------------------------------------------------------------------------------

REDIRECT_ROWS = [
    Row(
        f"by a proxy, redirected to {name}",
        path=to(f"{ORIGIN}/a"),
        request=by(
            lambda side: {
                "proxy": with_credentials(side),
                "headers": {"Authorization": "mine", "X": "y"},
            }
        ),
        answers=(moved(where), OK),
    )
    for name, where in {
        "the same origin": "/b",
        "the same, absolute": f"{ORIGIN}/b",
        "another": "http://other.test/b",
        "another port": f"{ORIGIN}:8080/b",
    }.items()
]
REDIRECT_ROWS.append(
    Row(
        "by a proxy, redirected with a header of the proxy",
        path=to(f"{ORIGIN}/a"),
        request=by(lambda side: {"headers": {"Proxy-Authorization": "Basic x"}}),
        answers=(moved("http://other.test/b"), OK),
    )
)
REDIRECT_ROWS.append(
    Row(
        "by a proxy, redirected to a tunnel",
        path=to(f"{ORIGIN}/a"),
        request=by(lambda side: {}),
        answers=(moved(f"{TLS}/b"), response(b"", "403 No")),
    )
)

# ---- tunnels that are refused --------------------------------------------------------------------

REFUSALS: dict[str, Sequence[Any] | bytes] = {
    "400": response(b"bad", "400 Bad Request"),
    "407": response(b"who?", "407 Who", Proxy_Authenticate='Basic realm="a"'),
    "407, closed": [response(b"who?", "407 Who"), Do.CLOSE],
    "403, no length": [response(b"text", "403 Forbidden", length=False), Do.CLOSE],
    "502, chunked": response(b"", "502 Bad", length=False, Transfer_Encoding="chunked")
    + b"4\r\nbody\r\n0\r\n\r\n",
    "201": response(b"", "201 Created"),
    "204": response(b"", "204 Nothing", length=False),
    "302": response(b"", "302 Found", Location="http://other.test/"),
    "no reason": b"HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n",
    "an empty reason": b"HTTP/1.1 503 \r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.0": [b"HTTP/1.0 500 Oh\r\nA: b\r\nA: c\r\n\r\n", Do.CLOSE],
    "after 100": b"HTTP/1.1 100 Continue\r\n\r\n" + response(b"", "403 No"),
    "after 103": b"HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n" + response(b"", "403 No"),
    "cookies": response(b"", "403 No", Set_Cookie="a=b"),
    "in two pieces": [b"HTTP/1.1 403 N", Do.SETTLE, b"o\r\nContent-Length: 0\r\n\r\n"],
}
TUNNEL_ROWS = [
    Row(f"CONNECT: {name}", path=to(f"{TLS}/a?b#c"), request=by(lambda side: {}), answers=(answer,))
    for name, answer in REFUSALS.items()
]
TUNNEL_ROWS += [
    Row(
        f"CONNECT to {url}",
        path=to(url),
        request=by(lambda side: {}),
        answers=(response(b"", "403 No"),),
    )
    for url in (
        *("https://origin.test", "https://origin.test:443/", "https://origin.test:8443/a"),
        *("https://ORIGIN.test./", "https://bücher.test/", "https://192.0.2.1/"),
        *(
            "https://[2001:db8::1]/",
            "https://[2001:db8::1]:8443/",
            "https://user:word@origin.test/",
        ),
    )
]
TUNNEL_ROWS += [
    Row(
        f"CONNECT of {name}",
        method,
        to(f"{TLS}/a"),
        by(given),
        answers=(response(b"", "403 No"),),
    )
    for name, (method, given) in BODIES.items()
    if name not in ("headers",)
]
TUNNEL_ROWS += [
    Row(
        f"CONNECT with {name}",
        path=to(f"{TLS}/a"),
        request=by(lambda side, given=given: {"proxy_headers": given}),
        answers=(response(b"", "403 No"),),
    )
    for name, given in {
        "a field": {"X": "y"},
        "User-Agent": {"User-Agent": "me"},
        "Accept": {"Accept": "a/b", "Accept-Encoding": "identity"},
        "Proxy-Authorization": {"Proxy-Authorization": "Basic x"},
        "two of a name": [("X", "1"), ("x", "2")],
        "Host": {"Host": "other.test"},
    }.items()
]
TUNNEL_ROWS += [
    Row(
        "CONNECT with the session's User-Agent",
        path=to(f"{TLS}/a"),
        session={"headers": {"User-Agent": "me"}},
        request=by(lambda side: {}),
        answers=(response(b"", "403 No"),),
    ),
    Row(
        "CONNECT with the session's headers",
        path=to(f"{TLS}/a"),
        session={"headers": {"Authorization": "secret"}},
        request=by(lambda side: {}),
        answers=(response(b"", "403 No"),),
    ),
    Row(
        "CONNECT of a request with Host",
        path=to(f"{TLS}/a"),
        request=by(lambda side: {"headers": {"Host": "other.test"}}),
        answers=(response(b"", "403 No"),),
    ),
]

# ---- what is no proxy ----------------------------------------------------------------------------

WRONG_ROWS = [
    Row(f"no proxy: {where!r}, {kind}", path=to(f"{origin}/a"), request={"proxy": where})
    for where in (
        *("http://127.0.0.1:1", "http://proxy.invalid:1", "127.0.0.1:3128", "localhost:3128", "/a"),
        *("https://127.0.0.1:1", "https://proxy.invalid:1"),
    )
    for kind, origin in (("forwarded", ORIGIN), ("a tunnel", TLS))
]
WRONG_ROWS += [
    Row(f"no URL of a proxy: {where!r}", path=to(f"{ORIGIN}/a"), request={"proxy": where})
    for where in ("http://[::1", "http://a:b")
]

ROWS = [
    *(*URL_ROWS, *BODY_ROWS, *CREDENTIAL_ROWS, *SESSION_ROWS, *REDIRECT_ROWS, *TUNNEL_ROWS),
    *WRONG_ROWS,
]
