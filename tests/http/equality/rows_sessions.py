"""Rows of sessions: what ClientSession, ClientTimeout and connectors take; cookies, credentials,
statuses, timeouts, several calls by one session.
"""

from __future__ import annotations

import asyncio
import json
import socket
from http.cookies import Morsel, SimpleCookie
from typing import Any

from http_support import response
from recorder import Do
from table import OK, Row, Side
from yarl import URL

JSON = response(b'{"a": 1}', Content_Type="application/json")


async def get(http: Any, url: Any, **options: Any) -> Any:
    async with http.get(url, **options) as answer:
        return [answer.status, await answer.read()]


def again(*paths: str, **options: Any) -> Any:
    """Behind the call: these, one after the other."""

    async def then(side: Side, http: Any) -> Any:
        return [await get(http, side.url + path, **options) for path in paths]

    return then


# ---- base_url ------------------------------------------------------------------------------------

BASES = ["", "/", "/api/", "/api", "/a b/", "/api/?q=1", "/api/#f", "/ü/"]
RELATIVES = ["", "/", "x", "/x", "./x", "../x", "?q=1", "#f", "x y", "//x", "x/../y"]
BASE_ROWS = [
    Row(
        f"base_url {base!r}, {path!r}",
        path=lambda s, path=path: path,
        session=lambda s, base=base: {"base_url": s.url + base},
    )
    for base in BASES
    for path in RELATIVES
] + [
    Row("base_url, a URL", path=lambda s: "x", session=lambda s: {"base_url": URL(s.url + "/b/")}),
    Row("base_url, absolute", path="/abs", session={"base_url": "http://localhost:1/"}),
    Row("base_url, relative", path=lambda s: "x", session={"base_url": "/api/"}),
    Row("base_url, no URL", path=lambda s: "x", session={"base_url": "http://["}),
    Row("base_url, other scheme", path=lambda s: "x", session={"base_url": "ftp://a.b/"}),
    Row(
        "base_url and auth",
        path=lambda s: "x",
        session=lambda s: {"base_url": s.url, "auth": s.basic_auth("u")},
    ),
    Row(
        "base_url and auth, elsewhere",
        path=lambda s: f"http://localhost:{s.server.port}/",
        session=lambda s: {"base_url": s.url, "auth": s.basic_auth("u")},
    ),
    Row("base_url with a user", path=lambda s: "x", session=lambda s: {"base_url": user(s)}),
    Row("relative without base_url", path=lambda s: "x"),
]


def user(side: Side) -> str:
    return side.url.replace("//", "//u:p@") + "/"


# ---- cookies -------------------------------------------------------------------------------------


def morsel(key: str, value: str, **attributes: str) -> Morsel[str]:
    found: Morsel[str] = Morsel()
    found.set(key, value, value)
    found.update(attributes)
    return found


COOKIES: dict[str, Any] = {
    "dict": {"b": "1", "a": "2"},
    "list of pairs": [("b", "1"), ("a", "2")],
    "SimpleCookie": SimpleCookie("b=1; a=2"),
    "Morsel": {"m": morsel("m", "v")},
    "Morsel with a path": {"m": morsel("m", "v", path="/deep")},
    "Morsel with a domain": {"m": morsel("m", "v", domain="example.com")},
    "Morsel of another name": {"m": morsel("n", "v")},
    "spaces": {"a": "b c"},
    "quotes": {"a": 'b"c'},
    "semicolon": {"a": "b;c"},
    "comma": {"a": "b,c"},
    "equals": {"a": "b=c"},
    "utf-8": {"a": "ü"},
    "control": {"a": "b\r\nc"},
    "empty value": {"a": ""},
    "empty": {},
    "number": {"a": 1},
    "bad name": {"a b": "c"},
    "reserved name": {"path": "c"},
    "already quoted": {"a": '"b"'},
    "backslash": {"a": "b\\c"},
    "text": "a=b",
}


def local(side: Side) -> str:
    return f"http://localhost:{side.server.port}/deep/er"


COOKIE_ROWS = [
    Row(f"cookies {name}, {what}, {where}", path=path, request=request, session=session)
    for name, value in COOKIES.items()
    for what, request, session in (
        ("of the request", {"cookies": value}, {}),
        ("of the session", {}, {"cookies": value}),
    )
    for where, path in (("localhost", local), ("127.0.0.1", "/deep/er"))
]


async def thrice(side: Side, http: Any) -> Any:
    port = side.server.port
    found = []
    for url in (f"http://localhost:{port}/deep/x", f"http://localhost:{port}/", f"{side.url}/"):
        found.append(await get(http, url))
    return found


SET = ["a=b", "a=b; Path=/", "a=b; Path=/deep", "a=b; Path=/other", "a=b; Domain=localhost"]
SET += ["a=b; Domain=example.com", "a=b; Secure", "a=b; Max-Age=0", "a=b; Max-Age=60", 'a="b c"']
SET += ["a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a=b; HttpOnly; SameSite=Strict", "a=", "a"]
COOKIE_ROWS += [
    Row(f"stored {cookie!r}", path=local, answers=[response(Set_Cookie=cookie), OK], then=thrice)
    for cookie in SET
]
JARS: dict[str, Any] = {
    "CookieJar(unsafe)": lambda s: s.http.CookieJar(unsafe=True),
    "CookieJar(quote_cookie=False)": lambda s: s.http.CookieJar(quote_cookie=False),
    "CookieJar(secure origin)": lambda s: s.http.CookieJar(treat_as_secure_origin=URL(s.url)),
    "DummyCookieJar": lambda s: s.http.DummyCookieJar(),
}
COOKIE_ROWS += [
    Row(
        f"{name}, {where}",
        path=path,
        session=lambda s, make=make: {"cookie_jar": make(s), "cookies": {"q": "r s"}},
        request={"cookies": {"own": "x y"}},
        answers=[response(Set_Cookie="a=b; Path=/\r\nSet-Cookie: s=t; Secure; Path=/"), OK],
        then=thrice,
    )
    for name, make in JARS.items()
    for where, path in (("localhost", local), ("127.0.0.1", "/deep/er"))
]
COOKIE_ROWS += [
    Row(
        "cookies and a Cookie header", request={"cookies": {"a": "b"}, "headers": {"Cookie": "c=d"}}
    ),
    Row("same cookie in both", request={"cookies": {"a": "b"}, "headers": {"Cookie": "a=d; e"}}),
    Row(
        "request's over session's", request={"cookies": {"a": "1"}}, session={"cookies": {"a": "2"}}
    ),
    Row(
        "a cookie is stored from a 404",
        path=local,
        answers=[response(status="404 No", Set_Cookie="a=b"), OK],
        then=thrice,
    ),
]

# ---- credentials ---------------------------------------------------------------------------------

AUTH_ROWS = [
    Row(f"auth {words!r}", request=lambda s, words=words: {"auth": s.basic_auth(*words)})
    for words in (
        ("u",),
        ("u", "p"),
        ("", ""),
        ("ü", "ß"),
        ("u", "p:q"),
        ("ü€", "p", "utf-8"),
        ("u:v", "p"),
    )
] + [
    Row("auth, a tuple", request={"auth": ("u", "p")}),
    Row("auth, text", request={"auth": "u:p"}),
    Row("auth of the session", session=lambda s: {"auth": s.basic_auth("u", "p")}),
    Row(
        "auth of both",
        request=lambda s: {"auth": s.basic_auth("a", "b")},
        session=lambda s: {"auth": s.basic_auth("c", "d")},
    ),
    Row(
        "auth and Authorization",
        request=lambda s: {"auth": s.basic_auth("u"), "headers": {"Authorization": "x"}},
    ),
    Row(
        "auth and a user in the URL", path=user, request=lambda s: {"auth": s.basic_auth("a", "b")}
    ),
    Row(
        "auth of the session and a user in the URL",
        path=user,
        session=lambda s: {"auth": s.basic_auth("a", "b")},
    ),
    Row(
        "Authorization and a user in the URL",
        path=user,
        request={"headers": {"Authorization": "x"}},
    ),
    Row(
        "auth of the session and Authorization",
        request={"headers": {"Authorization": "x"}},
        session=lambda s: {"auth": s.basic_auth("a", "b")},
    ),
    Row(
        "encode_basic_auth",
        request=lambda s: {"headers": {"Authorization": s.http.encode_basic_auth("ü", "p")}},
    ),
]

# ---- statuses ------------------------------------------------------------------------------------


async def refuse(answer: Any) -> None:
    if answer.status != 200:
        raise LookupError(answer.status, await answer.text())


async def fine(answer: Any) -> None: ...


RAISE = {
    "True": True,
    "False": False,
    "a function": refuse,
    "None": None,
    "a function that does nothing": fine,
}
STATUS_ROWS = [
    Row(
        f"raise_for_status={name}, {where}, {status}",
        request={"raise_for_status": value} if where == "request" else {},
        session={"raise_for_status": value} if where == "session" else {},
        answers=[response(b"said", status, Content_Type="text/plain")],
    )
    for name, value in RAISE.items()
    for where in ("request", "session")
    for status in ("200 OK", "404 Not Found", "500 ", "400 Bad\u00fc")
] + [
    Row(
        "raise_for_status=False over the session's",
        request={"raise_for_status": False},
        session={"raise_for_status": True},
        answers=[response(b"no", "404 Not Found")],
    ),
    Row(
        "raise_for_status, a reason of nothing",
        request={"raise_for_status": True},
        answers=[b"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n"],
    ),
]

# ---- json, text, limits --------------------------------------------------------------------------

OPTION_ROWS = [
    Row(
        "json_serialize",
        "POST",
        request={"json": {"b": 1, "a": 2}},
        session={"json_serialize": lambda o: json.dumps(o, sort_keys=True)},
    ),
    Row(
        "json_serialize_bytes",
        "POST",
        request={"json": {"b": 1}},
        session={"json_serialize_bytes": lambda o: json.dumps(o).encode() + b"\n"},
    ),
    Row(
        "json_serialize that fails",
        "POST",
        request={"json": 1},
        session={"json_serialize": lambda o: 1 / 0},
    ),
    Row(
        "fallback_charset_resolver",
        answers=[response("ü".encode("latin1"), Content_Type="text/plain")],
        read="text",
        session={"fallback_charset_resolver": lambda r, b: "latin-1"},
    ),
    Row(
        "fallback_charset_resolver, unknown",
        answers=[response(b"x", Content_Type="text/plain")],
        read="text",
        session={"fallback_charset_resolver": lambda r, b: "no-such"},
    ),
    Row(
        "text that is no UTF-8", answers=[response(b"\xff", Content_Type="text/plain")], read="text"
    ),
    Row("json", answers=[JSON], read="json"),
    Row("json of another type", answers=[OK], read="json"),
    Row("json of any type", answers=[response(b"[1]")], read="json of any type"),
    Row(
        "json that is none", answers=[response(b"{", Content_Type="application/json")], read="json"
    ),
    Row(
        "json that is empty", answers=[response(b"", Content_Type="application/json")], read="json"
    ),
    Row("json of spaces", answers=[response(b"  ", Content_Type="application/json")], read="json"),
    Row(
        "json with a BOM",
        answers=[response(b"\xef\xbb\xbf{}", Content_Type="application/json")],
        read="json",
    ),
    Row(
        "json in latin-1",
        answers=[response(b'"\xfc"', Content_Type="application/json; charset=latin1")],
        read="json",
    ),
]
BIG = response(b"ok", X_Long="v" * 300)
MANY = b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 30 + b"Content-Length: 0\r\n\r\n"
LONG = response(b"ok", "200 " + "r" * 300)
for _name, _value, _answer in (
    *(("max_field_size", n, BIG) for n in (100, 299, 310, 400, 10_000)),
    *(("max_line_size", n, LONG) for n in (100, 299, 310, 400, 10_000)),
    *(("max_headers", n, MANY) for n in (10, 30, 31, 32, 1000)),
    *(("read_bufsize", n, response(b"x" * 5000)) for n in (1, 100, 2**20)),
):
    OPTION_ROWS += [
        Row(f"{_name}={_value}, request", request={_name: _value}, answers=[_answer]),
        Row(f"{_name}={_value}, session", session={_name: _value}, answers=[_answer]),
    ]
OPTION_ROWS += [
    Row(
        "read_until_eof=True, no length",
        request={"read_until_eof": True},
        answers=[[b"HTTP/1.1 200 OK\r\n\r\nx", Do.CLOSE]],
    ),
]
for _version in ("HttpVersion10", "HttpVersion11"):
    for _what, _method, _options in (
        ("GET", "GET", {}),
        ("POST", "POST", {"data": b"x"}),
        ("chunked", "POST", {"data": b"x", "chunked": True}),
        ("Connection", "GET", {"headers": {"Connection": "keep-alive"}}),
    ):
        for _alive, _fields in (
            ("", {}),
            (", kept", {"Connection": "keep-alive"}),
            (", closed", {"Connection": "close"}),
        ):
            OPTION_ROWS.append(
                Row(
                    f"{_version}, {_what}{_alive}",
                    _method,
                    request=_options,
                    session=lambda s, v=_version: {"version": getattr(s.http, v)},
                    answers=[response(b"ok", **_fields)],
                    then=again("/again"),
                )
            )
OPTION_ROWS += [
    Row("version of text", session={"version": "1.1\r\nX: y"}),
    Row("version 2.0", session=lambda s: {"version": s.http.HttpVersion(2, 0)}),
]

# ---- the session itself --------------------------------------------------------------------------


async def attributes(side: Side, http: Any, url: Any, options: Any) -> Any:
    timeout = http.timeout
    return [
        *(http.closed, http.headers, http.skip_auto_headers, http.auth is None, http.version),
        *(http.connector_owner, http.raise_for_status, http.auto_decompress, http.trust_env),
        *(timeout.total, timeout.connect, timeout.sock_read, timeout.sock_connect),
        *(timeout.ceil_threshold, http.trace_configs, http.requote_redirect_url),
        *(http.json_serialize is json.dumps, len(http.cookie_jar), type(http.connector).__name__),
        *(http.connector.limit, http.connector.limit_per_host, http.connector.force_close),
    ]


async def old_attributes(side: Side, http: Any, url: Any, options: Any) -> Any:
    http.requote_redirect_url = False
    return [http.loop is asyncio.get_running_loop(), http.requote_redirect_url]


async def closed(side: Side, http: Any, url: Any, options: Any) -> Any:
    await http.close()
    await http.close()
    return [http.closed, http.connector, await get(http, url)]


async def detached(side: Side, http: Any, url: Any, options: Any) -> Any:
    connector = http.connector
    http.detach()
    seen = [http.closed, connector.closed, http.connector]
    await connector.close()
    return seen


async def awaited(side: Side, http: Any, url: Any, options: Any) -> Any:
    answer = await http.get(url, **options)
    return [answer.status, await answer.read(), answer.closed]


async def task(side: Side, http: Any, url: Any, options: Any) -> Any:
    answer = await asyncio.create_task(http.get(url, **options))
    return [answer.status, await answer.text()]


async def gathered(side: Side, http: Any, url: Any, options: Any) -> Any:
    found = await asyncio.gather(*[http.get(url, **options) for _ in range(3)])
    return [await answer.read() for answer in found]


async def synchronous(side: Side, http: Any, url: Any, options: Any) -> Any:
    with http:
        return None


async def one_call(side: Side, http: Any, url: Any, options: Any) -> Any:
    async with side.http.request("POST", url, json={"a": 1}, headers={"X": "y"}) as answer:
        return [answer.status, await answer.read()]


async def unknown_word(side: Side, http: Any, url: Any, options: Any) -> Any:
    return await http.get(url, no_such=1)


async def no_url(side: Side, http: Any, url: Any, options: Any) -> Any:
    return await http.get()


SESSION_ROWS = [
    Row(f"session: {call.__name__}", call=call)
    for call in (attributes, old_attributes, closed, detached, awaited, task, gathered, synchronous)
]
SESSION_ROWS += [
    Row("session: http.request()", call=one_call),
    Row("session: an unknown keyword", call=unknown_word),
    Row("session: no URL", call=no_url),
    Row("three calls", then=again("/2", "/3")),
    Row("three calls, closed by the server", answers=[[OK, Do.CLOSE]], then=again("/2", "/3")),
    Row(
        "three calls, Connection: close",
        answers=[response(b"ok", Connection="close")],
        then=again("/2"),
    ),
    Row("a call behind a failed one", answers=[b"bad\r\n\r\n", OK], then=again("/2")),
    Row(
        "a call behind a released one",
        read="release",
        answers=[response(b"x" * 100)],
        then=again("/2"),
    ),
    Row(
        "a call behind a closed one", read="close", answers=[response(b"x" * 100)], then=again("/2")
    ),
    Row("response_class", session=lambda s: {"response_class": subclass(s)}),
    Row("unknown keyword of the session", session={"no_such": 1}),
    Row("proxy of None", request={"proxy": None, "proxy_auth": None, "proxy_headers": None}),
    Row("trace_request_ctx", request={"trace_request_ctx": object()}),
    Row("loop given", session=lambda s: {"loop": asyncio.get_running_loop()}),
    Row("ws_response_class", session=lambda s: {"ws_response_class": object}),
    Row("ssl_shutdown_timeout", session={"ssl_shutdown_timeout": 1}),
    Row("middlewares, none", request={"middlewares": ()}, session={"middlewares": ()}),
    Row("trace_configs, none", session={"trace_configs": None}),
    Row("trace_configs, an empty list", session={"trace_configs": []}),
    Row("trust_env without environment", session={"trust_env": True}),
]


def subclass(side: Side) -> Any:
    return type("Mine", (side.http.ClientResponse,), {"mine": 1})


# ---- timeouts ------------------------------------------------------------------------------------

STALLS: dict[str, list[Any]] = {
    "before the head": [[Do.STALL]],
    "in the head": [[OK[:20], Do.STALL]],
    "in the body": [[response(b"0123456789")[:-5], Do.STALL]],
}
LIMITS: dict[str, Any] = {
    "total": lambda s: s.http.ClientTimeout(total=0.04),
    "sock_read": lambda s: s.http.ClientTimeout(sock_read=0.04),
    "a number": lambda s: 0.04,
}
TIMEOUT_ROWS = [
    Row(
        f"timeout {name}, {stall}",
        request=lambda s, make=make: {"timeout": make(s)},
        answers=answers,
    )
    for name, make in LIMITS.items()
    for stall, answers in STALLS.items()
] + [
    Row(
        f"timeout of the session, {stall}",
        session=lambda s: {"timeout": s.http.ClientTimeout(total=0.04)},
        answers=answers,
    )
    for stall, answers in STALLS.items()
]
FINE: dict[str, Any] = {
    "none": lambda s: s.http.ClientTimeout(),
    "all": lambda s: s.http.ClientTimeout(9, 8, 7, 6),
    "ceil_threshold": lambda s: s.http.ClientTimeout(total=9, ceil_threshold=1),
    "connect": lambda s: s.http.ClientTimeout(connect=5),
    "sock_connect": lambda s: s.http.ClientTimeout(sock_connect=5),
    "zero": lambda s: s.http.ClientTimeout(total=0),
    "None": lambda s: None,
    "number": lambda s: 5,
    "zero, number": lambda s: 0,
    "text": lambda s: "5",
}
TIMEOUT_ROWS += [
    Row(f"timeout={name}, request", request=lambda s, make=make: {"timeout": make(s)})
    for name, make in FINE.items()
]
TIMEOUT_ROWS += [
    Row(f"timeout={name}, session", session=lambda s, make=make: {"timeout": make(s)})
    for name, make in FINE.items()
]
TIMEOUT_ROWS += [
    Row("read_timeout", session={"read_timeout": 5}),
    Row("conn_timeout", session={"conn_timeout": 5}),
    Row("both old timeouts", session={"conn_timeout": 5, "read_timeout": 6}),
    Row(
        "timeout and read_timeout",
        session=lambda s: {"timeout": s.http.ClientTimeout(), "read_timeout": 5},
    ),
    Row(
        "timeout and conn_timeout",
        session=lambda s: {"timeout": s.http.ClientTimeout(), "conn_timeout": 5},
    ),
]

# ---- connectors ----------------------------------------------------------------------------------


def tcp(**options: Any) -> Any:
    return lambda s: {"connector": s.http.TCPConnector(**options)}


def tcp_socket(info: Any) -> socket.socket:
    return socket.socket(info[0], info[1], info[2])


TCP: dict[str, Any] = {
    "force_close": tcp(force_close=True),
    "force_close and keepalive_timeout": tcp(force_close=True, keepalive_timeout=3),
    "keepalive_timeout": tcp(keepalive_timeout=3),
    "keepalive_timeout=None": tcp(keepalive_timeout=None),
    "limit": tcp(limit=1),
    "limit=0": tcp(limit=0),
    "limit_per_host": tcp(limit_per_host=1),
    "use_dns_cache": tcp(use_dns_cache=False),
    "ttl_dns_cache": tcp(ttl_dns_cache=None),
    "dns_cache_max_size": tcp(dns_cache_max_size=1),
    "family": tcp(family=socket.AF_INET),
    "family IPv6": tcp(family=socket.AF_INET6),
    "local_addr": tcp(local_addr=("127.0.0.1", 0)),
    "local_addr that is not there": tcp(local_addr=("192.0.2.1", 0)),
    "enable_cleanup_closed": tcp(enable_cleanup_closed=True),
    "happy_eyeballs_delay": tcp(happy_eyeballs_delay=None),
    "interleave": tcp(interleave=1),
    "socket_factory": tcp(socket_factory=tcp_socket),
    "timeout_ceil_threshold": tcp(timeout_ceil_threshold=1),
    "ssl=False": tcp(ssl=False),
    "ssl=None": tcp(ssl=None),
    "ssl of another type": tcp(ssl="x"),
    "verify_ssl": tcp(verify_ssl=False),
    "ssl_context": tcp(ssl_context=None),
    "fingerprint": tcp(fingerprint=b"x"),
    "ssl_shutdown_timeout": tcp(ssl_shutdown_timeout=1),
    "resolver": lambda s: {"connector": s.http.TCPConnector(resolver=s.http.ThreadedResolver())},
    "loop": lambda s: {"connector": s.http.TCPConnector(loop=asyncio.get_running_loop())},
    "unknown": tcp(no_such=1),
}
CONNECTOR_ROWS = [
    Row(f"TCPConnector, {name}", path=path, session=session, then=again("/2"))
    for name, session in TCP.items()
    for path in ("/",)
]
CONNECTOR_ROWS += [
    Row(
        "connector_owner=False",
        session=lambda s: {"connector": owned(s), "connector_owner": False},
    ),
    Row(
        "UnixConnector, no such file",
        session=lambda s: {"connector": s.http.UnixConnector("/no/such/socket")},
    ),
]
SSL: dict[str, Any] = {
    "ssl=False": {"ssl": False},
    "ssl=None": {"ssl": None},
    "ssl of another type": {"ssl": "x"},
    "verify_ssl": {"verify_ssl": False},
    "verify_ssl and ssl": {"verify_ssl": False, "ssl": False},
    "ssl_context of None": {"ssl_context": None},
    "fingerprint": {"fingerprint": b"x" * 32},
    "fingerprint too short": {"fingerprint": b"x"},
    "server_hostname": {"server_hostname": "example.com"},
}
CONNECTOR_ROWS += [Row(f"request, {name}", request=options) for name, options in SSL.items()]


def owned(side: Side) -> Any:
    connector = side.http.TCPConnector()
    side.stack.push_async_callback(connector.close)
    return connector


ROWS = [
    *(*BASE_ROWS, *COOKIE_ROWS, *AUTH_ROWS, *STATUS_ROWS, *OPTION_ROWS, *SESSION_ROWS),
    *(*TIMEOUT_ROWS, *CONNECTOR_ROWS),
]
