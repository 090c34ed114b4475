"""Rows of what looks on or steps in: traces, middlewares, digest credentials, request_class,
upload_tracker, read_until_eof."""

from __future__ import annotations

from typing import Any

from http_support import response
from recorder import Do
from table import OK, Row, Side, aiter_of

# ---- traces --------------------------------------------------------------------------------------

SIGNALS = (
    *(
        "request_start",
        "request_end",
        "request_exception",
        "request_redirect",
        "request_chunk_sent",
    ),
    *("request_headers_sent", "response_chunk_received", "connection_queued_start"),
    *("connection_queued_end", "connection_create_start", "connection_create_end"),
    *("connection_reuseconn", "dns_resolvehost_start", "dns_resolvehost_end", "dns_cache_hit"),
    "dns_cache_miss",
)


def told(params: Any) -> Any:
    """What a signal tells, as plain values."""
    names = [name for name in dir(params) if not name.startswith("_")]
    return {name: getattr(params, name) for name in names if not callable(getattr(params, name))}


def traced(side: Side) -> dict[str, Any]:
    """A session whose signals are compared, with their order and what they tell."""
    import observe

    seen = side.seen.setdefault("signals", [])
    config = side.http.TraceConfig()

    def hook(name: str) -> Any:
        async def receive(session: Any, context: Any, params: Any) -> None:
            seen.append([name, observe.plain(told(params)), context.trace_request_ctx])

        return receive

    for name in SIGNALS:
        getattr(config, f"on_{name}").append(hook(name))
    return {"trace_configs": [config]}


def moved(where: str) -> bytes:
    return response(b"", "302 Moved", Location=where)


async def again(side: Side, http: Any) -> Any:
    async with http.get(side.url + "/2") as answer:
        return await answer.read()


TRACED: dict[str, Row] = {
    "GET": Row(""),
    "twice": Row("", then=again),
    "context": Row("", request={"trace_request_ctx": {"a": 1}}),
    "POST": Row("", "POST", request={"data": b"body"}),
    "POST json": Row("", "POST", request={"json": {"a": 1}}),
    "POST generator": Row("", "POST", request=lambda s: {"data": aiter_of(b"one", b"two")}),
    "POST gzip": Row("", "POST", request={"data": b"x" * 100, "compress": "gzip"}),
    "redirect": Row("", answers=[moved("/1"), moved("/2"), OK]),
    "redirect not followed": Row("", request={"allow_redirects": False}, answers=[moved("/1")]),
    "params": Row("", path="/p?a=b#c", request={"params": {"d": "e"}}),
    "404": Row("", answers=[response(b"no", "404 No")]),
    "404, raised": Row("", request={"raise_for_status": True}, answers=[response(b"n", "404 No")]),
    "text": Row("", read="text"),
    "json": Row("", read="json of any type", answers=[response(b"[1]")]),
    "released": Row("", read="release"),
    "empty": Row("", answers=[response()]),
    "HEAD": Row("", "HEAD", answers=[response()]),
    "localhost": Row("", path=lambda s: f"http://localhost:{s.server.port}/"),
    "disconnected": Row("", "POST", answers=[[Do.CLOSE]]),
    "bad": Row("", answers=[[b"garbage\r\n\r\n", Do.CLOSE]]),
    "nobody listens": Row("", path=lambda s: "http://127.0.0.1:9/"),
    "bad header": Row("", request={"headers": {"X": "a\nb"}}),
    "bad URL": Row("", path=lambda s: "http://"),
    "another scheme": Row("", path=lambda s: "ftp://localhost/"),
}
TRACE_ROWS = []
for _name, _row in TRACED.items():
    _row.name, _row.session = f"traced: {_name}", traced
    TRACE_ROWS.append(_row)

# ---- middlewares ---------------------------------------------------------------------------------


def steps(side: Side, *middlewares: Any) -> list[Any]:
    """Each middleware is a function of (side, request, handler)."""

    def bind(middleware: Any) -> Any:
        async def call(request: Any, handler: Any) -> Any:
            return await middleware(side, request, handler)

        return call

    return [bind(middleware) for middleware in middlewares]


def shown(request: Any) -> list[Any]:
    import observe

    return observe.plain(
        [request.method, request.url, request.headers, request.is_ssl(), request.host, request.port]
    )


async def look(side: Side, request: Any, handler: Any) -> Any:
    side.seen.setdefault("looked", []).append(shown(request))
    answer = await handler(request)
    side.seen["looked"].append(answer.status)
    return answer


async def header(side: Side, request: Any, handler: Any) -> Any:
    request.headers["X-Added"] = "by a middleware"
    return await handler(request)


async def retry(side: Side, request: Any, handler: Any) -> Any:
    answer = await handler(request)
    while answer.status == 503:
        answer = await handler(request)
    return answer


async def another_url(side: Side, request: Any, handler: Any) -> Any:
    request.url = request.url / "changed"
    return await handler(request)


async def another_body(side: Side, request: Any, handler: Any) -> Any:
    await request.update_body(b"another body")
    return await handler(request)


async def failing(side: Side, request: Any, handler: Any) -> Any:
    raise LookupError("middleware")


async def failing_behind(side: Side, request: Any, handler: Any) -> Any:
    await handler(request)
    raise LookupError("middleware")


BUSY = response(b"", "503 Busy")
MIDDLEWARES: dict[str, Any] = {
    "look": (look,),
    "header": (header,),
    "header, then look": (header, look),
    "look, then header": (look, header),
    "retry": (retry,),
    "another body": (another_body,),
    "failing": (failing,),
    "failing behind": (failing_behind,),
    "none": (),
}
MIDDLEWARE_ROWS = [
    Row(
        f"middlewares {name}, {where}, {what}",
        method,
        request=lambda s, o=options, m=chain, w=where: {
            **o,
            **({"middlewares": steps(s, *m)} if w == "request" else {}),
        },
        session=lambda s, m=chain, w=where: {"middlewares": steps(s, *m)} if w == "session" else {},
        answers=answers,
    )
    for name, chain in MIDDLEWARES.items()
    for where in ("session", "request")
    for what, method, options, answers in (
        ("GET", "GET", {}, [BUSY, BUSY, OK] if name == "retry" else [OK]),
        ("POST", "POST", {"data": b"body"}, [BUSY, OK] if name == "retry" else [OK]),
        ("redirect", "GET", {"headers": {"A": "b"}}, [moved("/1"), OK]),
    )
]
MIDDLEWARE_ROWS += [
    Row(
        "middlewares of the request instead of the session's",
        request=lambda s: {"middlewares": steps(s, look)},
        session=lambda s: {"middlewares": steps(s, header)},
    ),
    Row(
        "middlewares of the request: none",
        request={"middlewares": ()},
        session=lambda s: {"middlewares": steps(s, header)},
    ),
]

# ---- digest --------------------------------------------------------------------------------------


def digest(side: Side) -> dict[str, Any]:
    return {"middlewares": [side.http.DigestAuthMiddleware("user", "pass")]}


def asks(said: str) -> bytes:
    return response(b"", "401 Unauthorized", WWW_Authenticate=said)


CHALLENGES = {
    "qop auth": 'Digest realm="r", nonce="n", qop="auth"',
    "qop of two": 'Digest realm="r", nonce="n", qop="auth,auth-int"',
    "qop auth-int": 'Digest realm="r", nonce="n", qop="auth-int"',
    "no qop": 'Digest realm="r", nonce="n"',
    "SHA-256": 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256',
    "MD5-sess": 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5-sess',
    "SHA-512": 'Digest realm="r", nonce="n", qop="auth", algorithm="SHA-512"',
    "opaque": 'Digest realm="r", nonce="n", qop="auth", opaque="o"',
    "quotes": 'Digest realm="a \\"b\\"", nonce="n", qop="auth"',
    "unknown algorithm": 'Digest realm="r", nonce="n", qop="auth", algorithm=ROT13',
    "unknown qop": 'Digest realm="r", nonce="n", qop="other"',
    "no nonce": 'Digest realm="r", qop="auth"',
    "no realm": 'Digest nonce="n", qop="auth"',
    "empty": "Digest",
    "Basic": 'Basic realm="r"',
    "domain": 'Digest realm="r", nonce="n", qop="auth", domain="/other"',
    "not quoted": "Digest realm=r, nonce=n, qop=auth",
    "lower case": 'digest REALM="r", NONCE="n", QOP="auth"',
}
DIGEST_ROWS = [
    Row(
        f"digest, {name}, {method}",
        method,
        path="/p?q=1",
        request={"data": b"body"} if method == "POST" else {},
        session=digest,
        answers=[asks(said), OK],
        then=again,
    )
    for name, said in CHALLENGES.items()
    for method in ("GET", "POST")
]
DIGEST_ROWS += [
    Row("digest, refused", session=digest, answers=[asks(CHALLENGES["qop auth"])]),
    Row("digest, no challenge", session=digest, answers=[asks("")]),
    Row(
        "digest, a generator",
        "POST",
        session=digest,
        request=lambda s: {"data": aiter_of(b"once")},
        answers=[asks(CHALLENGES["qop auth"]), OK],
    ),
    Row(
        "digest, not preemptive",
        session=lambda s: {
            "middlewares": [s.http.DigestAuthMiddleware("u", "p", preemptive=False)]
        },
        answers=[asks(CHALLENGES["qop auth"]), OK],
        then=again,
    ),
    Row(
        "digest, no login",
        session=lambda s: {"middlewares": [s.http.DigestAuthMiddleware(None, "p")]},
    ),
    Row(
        "digest, a colon",
        session=lambda s: {"middlewares": [s.http.DigestAuthMiddleware("a:b", "p")]},
    ),
]

# ---- others --------------------------------------------------------------------------------------


def tracked(**options: Any) -> Any:
    def request(side: Side) -> dict[str, Any]:
        side.seen["tracker"] = None
        return {"upload_tracker": side.http.UploadTracker(), **options}

    return request


async def upload(side: Side, http: Any, url: Any, options: Any) -> Any:
    tracker = side.http.UploadTracker()
    async with http.post(url, upload_tracker=tracker, **options) as answer:
        await answer.read()
    done = tracker.upload_complete
    return [tracker.attempts, tracker.bytes_written, done.done(), repr(done.exception())]


async def twice(side: Side, http: Any, url: Any, options: Any) -> Any:
    tracker = side.http.UploadTracker()
    await (await http.post(url, upload_tracker=tracker, data=b"x")).read()
    return await http.post(url, upload_tracker=tracker, data=b"x")


HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
OTHER_ROWS = [
    Row(f"upload_tracker, {name}", call=upload, request=options, answers=answers)
    for name, options, answers in (
        ("bytes", {"data": b"body"}, [OK]),
        ("none", {}, [OK]),
        ("json", {"json": [1]}, [OK]),
        ("gzip", {"data": b"x" * 1000, "compress": "gzip"}, [OK]),
        ("large", {"data": b"x" * 300_000}, [OK]),
        ("generator", lambda s: {"data": aiter_of(b"one", b"two")}, [OK]),
        ("redirect", {"data": b"body"}, [response(b"", "307 M", Location="/1"), OK]),
        ("303", {"data": b"body"}, [response(b"", "303 M", Location="/1"), OK]),
    )
]
OTHER_ROWS += [
    Row("upload_tracker, twice", call=twice),
    Row("request_class", session=lambda s: {"request_class": request_class(s)}),
    Row("request_class of the stock", session=lambda s: {"request_class": s.http.ClientRequest}),
    *(
        Row(
            f"read_until_eof={value}, {name}, {method}",
            method,
            request={"read_until_eof": value},
            answers=[answer],
        )
        for value in (True, False)
        for method in ("GET", "HEAD")
        for name, answer in (
            ("no length", [HEAD, Do.CLOSE]),
            ("length", [response(b"" if method == "HEAD" else b"ok")]),
            (
                "chunked",
                [
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + b"0\r\n\r\n" * (method == "GET")
                ],
            ),
        )
    ),
]


def request_class(side: Side) -> Any:
    class Mine(side.http.ClientRequest):  # type: ignore[misc, name-defined]
        def update_auto_headers(self, skip: Any) -> None:
            super().update_auto_headers(skip)
            self.headers["X-Mine"] = "yes"

    return Mine


ROWS = [*TRACE_ROWS, *MIDDLEWARE_ROWS, *DIGEST_ROWS, *OTHER_ROWS]
