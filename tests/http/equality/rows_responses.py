"""Rows of responses: framings, fields, codings, ways to read them, faults of servers."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import brotli
from http_support import chunked, response
from recorder import Do
from table import OK, Row, Side

CRLF = b"\r\n"
TEXT = b"line one\nline two\nthe last"


def lines(*fields: str, status: str = "HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    return CRLF.join(x.encode("utf-8", "surrogateescape") for x in (status, *fields, "")) + (
        CRLF + body
    )


def head_of(*fields: str, **options: Any) -> bytes:
    return lines(*fields, **options)


# ---- ways to read, by framings -------------------------------------------------------------------

FRAMINGS: dict[str, list[Any]] = {
    "length": [response(TEXT, Content_Type="text/plain; charset=utf-8")],
    "chunked": [head_of("Transfer-Encoding: chunked", body=chunked(TEXT[:10], TEXT[10:]))],
    "to the end": [head_of("Content-Type: text/plain", body=TEXT), Do.CLOSE],
    "empty": [response()],
}


async def of(content: Any) -> list[Any]:
    return [piece async for piece in content]


async def step_by_step(content: Any, read: Any) -> list[Any]:
    found = []
    while True:
        piece = await read()
        found.append(piece)
        if not piece or piece == (b"", False):
            return [*found, content.at_eof()]


READ: dict[str, Any] = {
    "read()": lambda s, r: r.read(),
    "read() twice": lambda s, r: twice(r.read),
    "text()": lambda s, r: r.text(),
    "text() twice": lambda s, r: twice(r.text),
    "text(latin-1)": lambda s, r: r.text("latin-1"),
    "text(ascii, ignore)": lambda s, r: r.text(encoding="ascii", errors="ignore"),
    "json()": lambda s, r: r.json(),
    "json(None)": lambda s, r: r.json(content_type=None),
    "json(loads)": lambda s, r: r.json(content_type=None, loads=str.upper),
    "content": lambda s, r: of(r.content),
    "iter_any": lambda s, r: of(r.content.iter_any()),
    "iter_chunks": lambda s, r: of(r.content.iter_chunks()),
    "iter_chunked(4)": lambda s, r: of(r.content.iter_chunked(4)),
    "iter_chunked(1000)": lambda s, r: of(r.content.iter_chunked(1000)),
    "content.read()": lambda s, r: twice(r.content.read),
    "content.read(3)": lambda s, r: step_by_step(r.content, lambda: r.content.read(3)),
    "content.read(0)": lambda s, r: r.content.read(0),
    "readany": lambda s, r: step_by_step(r.content, r.content.readany),
    "readline": lambda s, r: step_by_step(r.content, r.content.readline),
    "readchunk": lambda s, r: step_by_step(r.content, r.content.readchunk),
    "readuntil": lambda s, r: step_by_step(r.content, lambda: r.content.readuntil(b"e ")),
    "readuntil nothing": lambda s, r: r.content.readuntil(b""),
    "readexactly(5)": lambda s, r: r.content.readexactly(5),
    "readexactly(1000)": lambda s, r: r.content.readexactly(1000),
    "read_nowait": lambda s, r: nowait(s, r),
    "wait_eof": lambda s, r: r.content.wait_eof(),
    "release": lambda s, r: release(r),
    "close": lambda s, r: close(r),
    "nothing": lambda s, r: nothing(),
    "wait_for_close": lambda s, r: r.wait_for_close(),
    "read, then content": lambda s, r: then(r.read, r.content.read),
    "content, then read": lambda s, r: then(r.content.read, r.read),
    "release, then read": lambda s, r: released(r),
    "close, then read": lambda s, r: shut(r),
    "raise_for_status": lambda s, r: status(r),
    "url_obj": lambda s, r: old_url(r),
}


async def twice(call: Any) -> Any:
    return [await call(), await call()]


async def then(first: Any, second: Any) -> Any:
    return [await first(), await second()]


async def nowait(s: Side, r: Any) -> Any:
    await r.content.wait_eof()
    return [r.content.read_nowait(3), r.content.read_nowait()]


async def release(r: Any) -> Any:
    r.release()
    return r.closed


async def close(r: Any) -> Any:
    r.close()
    return r.closed


async def nothing() -> None: ...


async def released(r: Any) -> Any:
    r.release()
    return await r.read()


async def shut(r: Any) -> Any:
    r.close()
    return await r.read()


async def old_url(r: Any) -> Any:
    return r.url_obj


async def status(r: Any) -> Any:
    return r.raise_for_status()


READ_ROWS = [
    Row(f"{framing}, {name}", answers=[answer], read=read)
    for framing, answer in FRAMINGS.items()
    for name, read in READ.items()
]

# ---- heads ---------------------------------------------------------------------------------------

HEADS: dict[str, Any] = {
    "no reason": lines(status="HTTP/1.1 200", body=b""),
    "empty reason": lines("Content-Length: 0", status="HTTP/1.1 200 "),
    "long reason": lines("Content-Length: 0", status="HTTP/1.1 200 " + "r" * 1000),
    "reason in utf-8": lines("Content-Length: 0", status="HTTP/1.1 200 Schön"),
    "reason in latin-1": b"HTTP/1.1 200 Sch\xf6n\r\nContent-Length: 0\r\n\r\n",
    "unknown status": lines("Content-Length: 0", status="HTTP/1.1 799 What"),
    "status 999": lines("Content-Length: 0", status="HTTP/1.1 999 What"),
    "status 000": lines("Content-Length: 0", status="HTTP/1.1 000 What"),
    "status 99": lines("Content-Length: 0", status="HTTP/1.1 99 What"),
    "status 1000": lines("Content-Length: 0", status="HTTP/1.1 1000 What"),
    "status no number": lines("Content-Length: 0", status="HTTP/1.1 abc What"),
    "HTTP/1.0": lines("Content-Length: 0", status="HTTP/1.0 200 OK"),
    "HTTP/1.0, keep-alive": lines(
        "Content-Length: 0", "Connection: keep-alive", status="HTTP/1.0 200 OK"
    ),
    "HTTP/1.1, close": lines("Content-Length: 0", "Connection: close"),
    "HTTP/2.0": lines("Content-Length: 0", status="HTTP/2.0 200 OK"),
    "HTTP/12.3": lines("Content-Length: 0", status="HTTP/12.3 200 OK"),
    "HT/1.1": lines("Content-Length: 0", status="HT/1.1 200 OK"),
    "lower-case http": lines("Content-Length: 0", status="http/1.1 200 OK"),
    "garbage": b"garbage\r\n\r\n",
    "binary": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n",
    "empty lines first": b"\r\n\r\n" + OK,
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "no space behind the colon": lines("X:a", "Content-Length:0"),
    "spaces around a value": lines("X:  a  ", "Content-Length: 0"),
    "tab in a value": lines("X: a\tb", "Content-Length: 0"),
    "empty value": lines("X:", "Content-Length: 0"),
    "value in utf-8": lines("X: ü€", "Content-Length: 0"),
    "value in latin-1": b"HTTP/1.1 200 OK\r\nX: \xfc\r\nContent-Length: 0\r\n\r\n",
    "folded": lines("X: a", " b", "Content-Length: 0"),
    "folded by tab": lines("X: a", "\tb", "Content-Length: 0"),
    "0x01 in a value": lines("X: a\x01b", "Content-Length: 0"),
    "NUL in a value": lines("X: a\x00b", "Content-Length: 0"),
    "DEL in a value": lines("X: a\x7fb", "Content-Length: 0"),
    "CR in a value": lines("X: a\rb", "Content-Length: 0"),
    "no colon": lines("X", "Content-Length: 0"),
    "space before the colon": lines("X : a", "Content-Length: 0"),
    "empty name": lines(": a", "Content-Length: 0"),
    "space in the name": lines("X Y: a", "Content-Length: 0"),
    "name in utf-8": lines("Ü: a", "Content-Length: 0"),
    "twice the same": lines("X: a", "x: b", "Content-Length: 0"),
    "two Content-Types": lines("Content-Type: a/b", "Content-Type: c/d", "Content-Length: 0"),
    "two Servers": lines("Server: a", "Server: b", "ETag: 1", "ETag: 2", "Content-Length: 0"),
    "128 fields": lines(*[f"X-{n}: {n}" for n in range(127)], "Content-Length: 0"),
    "129 fields": lines(*[f"X-{n}: {n}" for n in range(128)], "Content-Length: 0"),
    "a field of 8190": lines("X: " + "v" * 8190, "Content-Length: 0"),
    "a field of 8191": lines("X: " + "v" * 8191, "Content-Length: 0"),
    "a field of 20000": lines("X: " + "v" * 20000, "Content-Length: 0"),
    "a name of 9000": lines("X" * 9000 + ": v", "Content-Length: 0"),
    "a reason of 9000": lines("Content-Length: 0", status="HTTP/1.1 200 " + "r" * 9000),
    "Date and so on": lines("Date: Sat, 21 Nov 2026 20:00:00 GMT", "Content-Length: 0"),
}
for _type in (
    *("text/html", "text/html; charset=latin-1", "TEXT/HTML;Charset=UTF-8", "text/html; charset="),
    *('text/html; charset="utf-8"', "text/html; charset='utf-8'", "text/html; charset=none-such"),
    *("", "text", "/", "text/", "text/html/x", "a b/c", "application/json", "application/json;x=y"),
    *("application/problem+json", "application/x-json", "multipart/mixed; boundary=x", "*/*", ";"),
    *("text/html; charset=utf-8; charset=ascii", "text/html;;", "text/html; x=ü", "text/html, a/b"),
):
    HEADS[f"Content-Type {_type!r}"] = response(b'{"a": "\xc3\xbc"}', Content_Type=_type)
for _disposition in (
    *("attachment", 'attachment; filename="a b.txt"', "attachment; filename=a", "inline", ""),
    *(
        "attachment; filename*=UTF-8''%c3%bc.txt",
        'form-data; name="a"; filename="b"',
        "attachment;",
    ),
    *('attachment; filename="a\\"b"', "attachment; filename", "attachment; filename=a; filename=b"),
    *('attachment; filename="../../x"', "attachment; filename*=bad", "attachment; filename*0=a"),
):
    HEADS[f"Content-Disposition {_disposition!r}"] = response(Content_Disposition=_disposition)
for _link in (
    *("<http://a.b/c>; rel=next", "</p>; rel=next", "<p?q=1>; rel='prev'; title=t", "<x>", "x", ""),
    *(
        '<a>; rel="next", <b>; rel="last"',
        "<a>;rel=x;rel=y",
        "<a>; rel",
        "<a b>; rel=c",
        "<>; rel=n",
    ),
    *("<a>; rel=n,", "<a;rel=n", '<a>; title="x, y"; rel=z', "<a>; REL=Next"),
):
    HEADS[f"Link {_link!r}"] = response(Link=_link)
for _cookie in (
    *("a=b", "a=b; Path=/; HttpOnly", "a", "=b", "", "a=b; Max-Age=100", "a=b; Max-Age=0", "a=b=c"),
    *(
        'a="b c"',
        "a=b; Domain=example.com",
        "a=b; Secure",
        "a=b; SameSite=Lax",
        "a b=c",
        "a=ü",
        ";",
    ),
    *(
        "a=b; Expires=Sat, 21 Nov 2099 20:00:00 GMT",
        "a=b; Expires=never",
        "a=b; Path=p",
        "a=b, c=d",
    ),
):
    HEADS[f"Set-Cookie {_cookie!r}"] = response(Set_Cookie=_cookie)
HEAD_ROWS = [
    Row(f"head: {name}", answers=[[data, Do.SETTLE, Do.CLOSE]]) for name, data in HEADS.items()
]

# ---- framings ------------------------------------------------------------------------------------

LENGTHS = [
    "5",
    "05",
    " 5 ",
    "+5",
    "-5",
    "5 5",
    "5,5",
    "0x5",
    "5_0",
    "five",
    "",
    "9" * 30,
    "٥",
    "4",
    "6",
]
FRAMED: dict[str, Any] = {
    f"Content-Length {n!r}": lines(f"Content-Length: {n}", body=b"hello") for n in LENGTHS
}
FRAMED |= {
    "two equal lengths": lines("Content-Length: 5", "Content-Length: 5", body=b"hello"),
    "two lengths": lines("Content-Length: 5", "Content-Length: 4", body=b"hello"),
    "length and chunked": lines(
        "Content-Length: 5", "Transfer-Encoding: chunked", body=chunked(b"hello")
    ),
    "chunked and length": lines(
        "Transfer-Encoding: chunked", "Content-Length: 5", body=chunked(b"hello")
    ),
    **{
        f"Transfer-Encoding {te!r}": lines(f"Transfer-Encoding: {te}", body=chunked(b"hello"))
        for te in ("Chunked", "xchunked", "gzip", "identity", "", "chunked, identity", "chunked ")
    },
    "two Transfer-Encodings": lines(
        "Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=chunked(b"hello")
    ),
}
CHUNKED: dict[str, bytes] = {
    "upper-case size": b"A\r\n0123456789\r\n0\r\n\r\n",
    "padded size": b"00005\r\nhello\r\n0\r\n\r\n",
    "size 0x5": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size +5": b"+5\r\nhello\r\n0\r\n\r\n",
    "size -5": b"-5\r\nhello\r\n0\r\n\r\n",
    "size with spaces": b"5  \r\nhello\r\n0\r\n\r\n",
    "empty size": b"\r\nhello\r\n0\r\n\r\n",
    "size of 17 digits": b"1" + b"0" * 16 + b"\r\nhello\r\n0\r\n\r\n",
    "no number": b"zz\r\nhello\r\n0\r\n\r\n",
    "extension": b"5;a=b\r\nhello\r\n0;c\r\n\r\n",
    "quoted extension": b'5;a="b;c"\r\nhello\r\n0\r\n\r\n',
    "newline in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "bytes behind a chunk": b"5\r\nhelloXX\r\n0\r\n\r\n",
    "no line end behind a chunk": b"5\r\nhello0\r\n\r\n",
    "bare LF": b"5\nhello\n0\n\n",
    "trailers": b"5\r\nhello\r\n0\r\nX: y\r\nZ: w\r\n\r\n",
    "bad trailer": b"5\r\nhello\r\n0\r\nbad\r\n\r\n",
    "cut in a chunk": b"5\r\nhel",
    "cut behind a chunk": b"5\r\nhello",
    "cut before the last chunk": b"5\r\nhello\r\n",
    "cut in the last chunk": b"5\r\nhello\r\n0\r\n",
    "cut before a chunk": b"",
    "only the last chunk": b"0\r\n\r\n",
    "1000 chunks": chunked(*[b"x"] * 1000),
}
FRAMED |= {
    f"chunks, {name}": lines("Transfer-Encoding: chunked", body=body)
    for name, body in CHUNKED.items()
}
FRAME_ROWS = [
    Row(f"{name}", answers=[[data, Do.SETTLE, Do.CLOSE]]) for name, data in FRAMED.items()
]
FRAME_ROWS += [
    Row(
        f"{status} with {what}, {method}",
        method,
        answers=[[lines(*fields, status=f"HTTP/1.1 {status} Some", body=body)]],
        request={"allow_redirects": False},
    )
    for status in (204, 205, 304, 200)
    for method in ("GET", "HEAD")
    for what, fields, body in (
        ("length 0", ["Content-Length: 0"], b""),
        (
            "length 5, no body",
            ["Content-Length: 5"],
            b"" if status in (204, 304) or method == "HEAD" else b"hello",
        ),
        ("gzip, no body", ["Content-Encoding: gzip", "Content-Length: 0"], b""),
    )
]
SWITCH = "HTTP/1.1 101 Switch"
INTERIM = b"HTTP/1.1 %d Early\r\nX-Early: 1\r\n\r\n"
FRAME_ROWS += [
    Row("100 first", answers=[INTERIM % 100 + OK]),
    Row("102 first", answers=[INTERIM % 102 + OK]),
    Row("103 twice first", answers=[INTERIM % 103 * 2 + OK]),
    Row("100, then it closes", answers=[[INTERIM % 100, Do.SETTLE, Do.CLOSE]]),
    Row(
        "101 unasked",
        answers=[[b"HTTP/1.1 101 Switch\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", Do.CLOSE]],
    ),
]

# ---- codings -------------------------------------------------------------------------------------

CHUNKS = "Transfer-Encoding: chunked"
PLAIN = b"to be compressed " * 20


def deflated(data: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(data) + packer.flush()


GZIP, ZLIB = gzip.compress(PLAIN, mtime=0), zlib.compress(PLAIN)
CODED: dict[str, tuple[str, bytes]] = {
    "gzip": ("gzip", GZIP),
    "gzip, upper case": ("GZIP", GZIP),
    "x-gzip": ("x-gzip", GZIP),
    "two members": ("gzip", GZIP * 2),
    "bytes behind it": ("gzip", GZIP + b"tail"),
    "gzip, cut": ("gzip", GZIP[:-12]),
    "gzip, one byte": ("gzip", GZIP[:1]),
    "gzip, bad checksum": ("gzip", GZIP[:-8] + b"\0" * 4 + GZIP[-4:]),
    "gzip that is text": ("gzip", b"plain text"),
    "gzip, empty": ("gzip", b""),
    "gzip of nothing": ("gzip", gzip.compress(b"", mtime=0)),
    "deflate": ("deflate", ZLIB),
    "deflate, raw": ("deflate", deflated(PLAIN, -15)),
    "deflate that is text": ("deflate", b"plain text"),
    "deflate, cut": ("deflate", ZLIB[:-10]),
    "br": ("br", brotli.compress(PLAIN)),
    "br, cut": ("br", brotli.compress(PLAIN)[:-3]),
    "br that is text": ("br", b"plain text"),
    "zstd that is text": ("zstd", b"plain text"),
    "identity": ("identity", PLAIN),
    "unknown": ("rot13", PLAIN),
    "empty coding": ("", PLAIN),
    "compress": ("compress", PLAIN),
    "gzip, gzip": ("gzip, gzip", gzip.compress(GZIP, mtime=0)),
    "identity, gzip": ("identity, gzip", GZIP),
}
CODE_ROWS = [
    Row(f"coding: {name}, {framing}", answers=[data])
    for name, (coding, body) in CODED.items()
    for framing, data in (
        ("length", response(body, Content_Encoding=coding)),
        (
            "chunked",
            lines(
                f"Content-Encoding: {coding}",
                "Transfer-Encoding: chunked",
                body=chunked(*([body] if body else [])),
            ),
        ),
    )
]
CODE_ROWS += [
    Row(
        f"coding: gzip, auto_decompress=False, {where}",
        request=request,
        session=session,
        answers=[response(GZIP, Content_Encoding="gzip")],
    )
    for where, request, session in (
        ("request", {"auto_decompress": False}, {}),
        ("session", {}, {"auto_decompress": False}),
        ("request against session", {"auto_decompress": True}, {"auto_decompress": False}),
    )
]

# ---- servers that fail ---------------------------------------------------------------------------

WHOLE = response(b"0123456789")
CUTS = {
    "at once": 0,
    "in the version": 4,
    "in the status": 10,
    "behind the status line": 17,
    "in a field": 25,
    "before the empty line": WHOLE.index(b"\r\n\r\n") + 2,
    "before the body": WHOLE.index(b"\r\n\r\n") + 4,
    "in the body": len(WHOLE) - 4,
    "behind the body": len(WHOLE),
}
FAULT_ROWS = [
    Row(
        f"{method}, {how} {name}",
        method,
        answers=[[WHOLE[:at], Do.SETTLE, end]],
        request={"data": b"x"} if method == "POST" else {},
    )
    for name, at in CUTS.items()
    for how, end in (("closed", Do.CLOSE), ("reset", Do.RESET))
    for method in ("GET", "POST")
]
FAULT_ROWS += [
    Row("closed before the request", answers=[[Do.UNASKED, Do.CLOSE]]),
    Row("answered before the request", answers=[[Do.UNASKED, OK, Do.SETTLE, Do.CLOSE]]),
    Row("408 before the request", answers=[[Do.UNASKED, response(status="408 Slow"), Do.CLOSE]]),
    Row("two answers", answers=[OK + OK]),
    Row("bytes behind it", answers=[OK + b"xx"]),
    Row(
        "answered before the body has come",
        "POST",
        request={"data": b"x" * 1000},
        answers=[[Do.EARLY, response(b"no", "413 Too Large"), Do.CLOSE]],
    ),
    Row(
        "expect100 refused",
        "POST",
        request={"data": b"body", "expect100": True},
        answers=[[Do.REFUSE, response(b"no", "417 No"), Do.SETTLE, Do.CLOSE]],
    ),
    Row(
        "nobody listens",
        path=lambda s: "http://127.0.0.1:9/",
    ),
    Row("no such host", path=lambda s: "http://no-such-host.invalid/"),
]

ROWS = [*READ_ROWS, *HEAD_ROWS, *FRAME_ROWS, *CODE_ROWS, *FAULT_ROWS]
