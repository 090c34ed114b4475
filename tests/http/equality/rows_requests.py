"""Rows of requests: methods, params, URLs, fields, bodies that are at hand."""

from __future__ import annotations

import array
import collections
import decimal
import enum
import fractions
import io
import pathlib
import tempfile
import types
import uuid
from typing import Any

from http_support import response
from multidict import CIMultiDict, CIMultiDictProxy, MultiDict, MultiDictProxy, istr
from table import Row
from yarl import URL

METHODS = ("GET", "HEAD", "OPTIONS", "TRACE", "DELETE", "POST", "PUT", "PATCH", "BREW")
EMPTY = response()


class Number(enum.IntEnum):
    ONE = 1


class Text(str):
    """A subclass of str."""


# ---- methods and bodies --------------------------------------------------------------------------

# name of a body: the request's options
BODIES: dict[str, Any] = {
    "no body": {},
    "bytes": {"data": b"bytes"},
    "empty bytes": {"data": b""},
    "text": {"data": "ü text"},
    "dict": {"data": {"a": "b c", "ü": "&=+%"}},
    "json": {"json": {"a": [1, 2.5, "ü", None, True]}},
    "chunked": {"data": b"x" * 30, "chunked": True},
    "gzip": {"data": b"x" * 300, "compress": "gzip"},
}
METHOD_ROWS = [
    Row(f"{method}, {name}", method, "/p", request=options, answers=[EMPTY])
    for method in METHODS
    for name, options in BODIES.items()
]

BAD_METHODS = ["", "G T", "GET / HTTP/1.1\r\nX: y\r\n\r\n", "GÉT", "a:b", "get", "\x00", "Post"]
METHOD_ROWS += [Row(f"method {m!r}", m) for m in BAD_METHODS]
METHOD_ROWS += [
    Row(
        f"session.{name}()",
        call=lambda s, http, url, o, name=name: shortcut(http, name, url, o),
        answers=[EMPTY],
    )
    for name in ("get", "head", "options", "delete", "post", "put", "patch")
]


async def shortcut(http: Any, name: str, url: str, options: Any) -> Any:
    async with getattr(http, name)(url, **options) as answer:
        return [answer.status, answer.method, answer.request_info.method, await answer.read()]


# ---- data ----------------------------------------------------------------------------------------


def temporary(content: bytes, mode: str, name: str = "upload.txt", **options: Any) -> Any:
    """A file of this content and name, open in this mode."""
    directory = pathlib.Path(tempfile.mkdtemp())
    path = directory / name
    path.write_bytes(content)
    return path.open(mode, **options)


async def produce(*pieces: bytes):
    for piece in pieces:
        yield piece


async def fail_late():
    yield b"begun"
    raise KeyError("of the body")


class Chunks:
    """An object with __aiter__."""

    def __aiter__(self):
        return produce(b"one", b"", b"two")


DATA: dict[str, Any] = {
    "None": lambda s: {"data": None},
    "bytearray": lambda s: {"data": bytearray(b"array")},
    "memoryview": lambda s: {"data": memoryview(b"view of bytes")[2:6]},
    "memoryview of numbers": lambda s: {"data": memoryview(array.array("H", [1, 2, 3]))},
    "subclass of str": lambda s: {"data": Text("text")},
    "empty str": lambda s: {"data": ""},
    "long str": lambda s: {"data": "ü" * 1000},
    "empty dict": lambda s: {"data": {}},
    "dict of numbers": lambda s: {"data": {"a": 1, "b": 2.5}},
    "dict of None": lambda s: {"data": {"a": None}},
    "dict of lists": lambda s: {"data": {"a": ["1", "2"]}},
    "list of pairs": lambda s: {"data": [("a", "1"), ("b", "2"), ("a", "3")]},
    "tuple of pairs": lambda s: {"data": (("a", "1"), ("b", "2"))},
    "list of no pairs": lambda s: {"data": ["ab", "cd"]},
    "list of triples": lambda s: {"data": [("a", "b", "c")]},
    "empty list": lambda s: {"data": []},
    "MultiDict": lambda s: {"data": MultiDict([("a", "1"), ("a", "2")])},
    "MultiDictProxy": lambda s: {"data": MultiDictProxy(MultiDict(a="1"))},
    "a number": lambda s: {"data": 5},
    "zero": lambda s: {"data": 0},
    "False": lambda s: {"data": False},
    "an object": lambda s: {"data": object()},
    "BytesIO": lambda s: {"data": io.BytesIO(b"file" * 100)},
    "BytesIO, half read": lambda s: {"data": half_read()},
    "empty BytesIO": lambda s: {"data": io.BytesIO()},
    "StringIO": lambda s: {"data": io.StringIO("ü text\nline")},
    "BytesIO, chunked": lambda s: {"data": io.BytesIO(b"file" * 100), "chunked": True},
    "binary file": lambda s: {"data": opened(s, temporary(b"of a file", "rb"))},
    "text file": lambda s: {
        "data": opened(s, temporary("ü\r\nb".encode(), "r", encoding="utf-8", newline=""))
    },
    "text file in latin-1": lambda s: {
        "data": opened(s, temporary("ü".encode("latin1"), "r", encoding="latin1"))
    },
    "file with an image's name": lambda s: {"data": opened(s, temporary(b"png", "rb", "a.png"))},
    "file for writing too": lambda s: {"data": opened(s, temporary(b"random", "r+b"))},
    "unbuffered file": lambda s: {"data": opened(s, temporary(b"raw", "rb", buffering=0))},
    "closed file": lambda s: {"data": closed(temporary(b"gone", "rb"))},
    "large file": lambda s: {"data": opened(s, temporary(b"x" * 200_000, "rb"))},
    "generator": lambda s: {"data": produce(b"one", b"two" * 500)},
    "empty generator": lambda s: {"data": produce()},
    "generator with empty pieces": lambda s: {"data": produce(b"", b"a", b"")},
    "object with __aiter__": lambda s: {"data": Chunks()},
    "generator, chunked": lambda s: {"data": produce(b"a", b"b"), "chunked": True},
    "generator, Content-Length": lambda s: {
        "data": produce(b"abc"),
        "headers": {"Content-Length": "3"},
    },
    "generator, deflate": lambda s: {"data": produce(b"a" * 100, b"b" * 100), "compress": True},
    "generator of text": lambda s: {"data": produce("text")},  # type: ignore[arg-type]
    "generator that fails": lambda s: {"data": fail_late()},
    "StreamReader": lambda s: {"data": stream(s)},
    "bytes, deflate": lambda s: {"data": b"x" * 1000, "compress": "deflate"},
    "bytes, compress=True": lambda s: {"data": b"x" * 1000, "compress": True},
    "bytes, compress=False": lambda s: {"data": b"x", "compress": False},
    "bytes, unknown coding": lambda s: {"data": b"x", "compress": "lzma"},
    "nothing, compress": lambda s: {"compress": True},
    "str, gzip": lambda s: {"data": "x" * 100, "compress": "gzip"},
    "json, gzip": lambda s: {"json": [1] * 50, "compress": "gzip"},
    "dict, gzip": lambda s: {"data": {"a": "b" * 50}, "compress": "gzip"},
    "BytesIO, gzip": lambda s: {"data": io.BytesIO(b"f" * 100), "compress": "gzip"},
    "compress and Content-Encoding": lambda s: {
        "data": b"x",
        "compress": True,
        "headers": {"Content-Encoding": "br"},
    },
    "Content-Encoding by header": lambda s: {
        "data": b"already",
        "headers": {"Content-Encoding": "gzip"},
    },
    "chunked=False": lambda s: {"data": b"x", "chunked": False},
    "chunked by number": lambda s: {"data": b"x" * 20, "chunked": 8},
    "chunked and Content-Length": lambda s: {
        "data": b"x",
        "chunked": True,
        "headers": {"Content-Length": "1"},
    },
    "chunked and Transfer-Encoding": lambda s: {
        "data": b"x",
        "chunked": True,
        "headers": {"Transfer-Encoding": "chunked"},
    },
    "chunked without data": lambda s: {"chunked": True},
    "Content-Length too small": lambda s: {"data": b"long", "headers": {"Content-Length": "2"}},
    "Content-Length no number": lambda s: {"data": b"x", "headers": {"Content-Length": "one"}},
    "Content-Type by header": lambda s: {"data": b"x", "headers": {"content-type": "a/b"}},
    "Content-Type skipped": lambda s: {"data": b"x", "skip_auto_headers": {"Content-Type"}},
    "json None": lambda s: {"json": None},
    "json 0": lambda s: {"json": 0},
    "json text": lambda s: {"json": "ü\u2028"},
    "json list": lambda s: {"json": []},
    "json that cannot be": lambda s: {"json": {1, 2}},
    "json NaN": lambda s: {"json": float("nan")},
    "json with Content-Type": lambda s: {"json": {}, "headers": {"Content-Type": "a/b+json"}},
    "data and json": lambda s: {"data": b"x", "json": {}},
    "empty data and json": lambda s: {"data": b"", "json": {}},
    "expect100": lambda s: {"data": b"waits", "expect100": True},
    "expect100, generator": lambda s: {"data": produce(b"w"), "expect100": True},
    "expect100, no body": lambda s: {"expect100": True},
    "expect100 by header": lambda s: {"data": b"x", "headers": {"Expect": "100-Continue"}},
    "300 kB": lambda s: {"data": b"x" * 300_000},
    "FormData, one field": lambda s: {"data": form(s, ("a", "b c"))},
    "FormData, two fields": lambda s: {"data": form(s, ("a", "1"), ("ü", "€"))},
    "FormData, empty": lambda s: {"data": s.http.FormData()},
    "FormData of a dict": lambda s: {"data": s.http.FormData({"x": "y"})},
    "FormData in latin-1": lambda s: {"data": s.http.FormData({"x": "ü"}, charset="latin-1")},
    "FormData, Content-Type": lambda s: {
        "data": form(s, ("a", "1")),
        "headers": {"Content-Type": "application/x-www-form-urlencoded; charset=ascii"},
    },
    "BytesPayload": lambda s: {"data": s.http.BytesPayload(b"x", content_type="a/b")},
    "BytesPayload, filename": lambda s: {"data": s.http.BytesPayload(b"x", filename="a.pdf")},
    "StringPayload": lambda s: {"data": s.http.StringPayload("ü", encoding="utf-16")},
    "JsonPayload": lambda s: {"data": s.http.JsonPayload({"a": 1})},
    "BytesIOPayload": lambda s: {"data": s.http.BytesIOPayload(io.BytesIO(b"p"))},
    "IOBasePayload": lambda s: {"data": s.http.IOBasePayload(io.BytesIO(b"p"))},
    "AsyncIterablePayload": lambda s: {"data": s.http.AsyncIterablePayload(produce(b"p"))},
    "payload with headers": lambda s: {
        "data": s.http.BytesPayload(b"x", headers={"X-Part": "1", "Content-Type": "c/d"})
    },
}


def half_read() -> io.BytesIO:
    file = io.BytesIO(b"0123456789")
    file.read(4)
    return file


def opened(side: Any, file: Any) -> Any:
    side.stack.callback(file.close)
    return file


def closed(file: Any) -> Any:
    file.close()
    return file


def stream(side: Any) -> Any:
    reader = side.http.StreamReader(Flow(), 2**16)
    reader.feed_data(b"streamed")
    reader.feed_eof()
    return reader


class Flow:
    """What a StreamReader holds back: nothing."""

    _reading_paused = False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def form(side: Any, *fields: tuple[str, str]) -> Any:
    data = side.http.FormData()
    for name, value in fields:
        data.add_field(name, value)
    return data


DATA_ROWS = [
    Row(f"data: {name}", "POST", request=options, answers=[EMPTY]) for name, options in DATA.items()
]

# ---- params --------------------------------------------------------------------------------------

PARAMS: dict[str, Any] = {
    "dict": {"a": "1", "b": "2"},
    "empty dict": {},
    "None": None,
    "empty str": "",
    "str": "a=1&b=2",
    "str, escaped": "a=%2F%20x",
    "str, spaces": "a=b c&ü=€",
    "list of pairs": [("a", "1"), ("a", "2")],
    "tuple": (("a", "1"),),
    "MultiDict": MultiDict([("b", "1"), ("a", "2"), ("b", "3")]),
    "MultiDictProxy": MultiDictProxy(MultiDict(a="1")),
    "OrderedDict": collections.OrderedDict(z="1", a="2"),
    "MappingProxy": types.MappingProxyType({"a": "1"}),
    "int": {"a": 1},
    "negative": {"a": -1},
    "float": {"a": 1.5},
    "inf": {"a": float("inf")},
    "nan": {"a": float("nan")},
    "large float": {"a": 1e300},
    "IntEnum": {"a": Number.ONE},
    "bool": {"a": True},
    "None as value": {"a": None},
    "list as value": {"a": ["1", 2]},
    "tuple as value": {"a": ("x", "y")},
    "empty list as value": {"a": [], "b": "1"},
    "bytes as value": {"a": b"x"},
    "dict as value": {"a": {"b": "c"}},
    "Decimal": {"a": decimal.Decimal("1.10")},
    "Fraction": {"a": fractions.Fraction(1, 3)},
    "UUID": {"a": uuid.UUID(int=1)},
    "subclass of str": {"a": Text("x")},
    "empty value": {"a": ""},
    "empty name": {"": "x"},
    "reserved": {"a&b=c": "d&e=f;g#h?i/j+k%l"},
    "spaces": {"a b": "c d"},
    "utf-8": {"ü": "€😀"},
    "control": {"a": "\r\n\t\x00"},
    "unreserved": {"a": "-._~!$'()*,:@"},
    "a number": 5,
    "bytes": b"a=1",
    "list of strings": ["ab", "cd"],
    "set": {"ab"},
}
PARAM_ROWS = [
    Row(f"params: {name}", request={"params": value}) for name, value in PARAMS.items()
] + [
    Row(f"params: {name}, of a URL with {query!r}", path=f"/p{query}", request={"params": value})
    for query in ("?a=0", "?", "?a=0#f", "#f")
    for name, value in (("dict", {"a": "1"}), ("str", "b=2"), ("empty", {}))
]

# ---- URLs ----------------------------------------------------------------------------------------

PATHS = [
    *(
        "",
        "/",
        "//",
        "//x//y",
        "/a/../b",
        "/a/./b/..",
        "/..",
        "/a/",
        "/%2e%2e/a",
        "?q",
        "/?",
        "/?#",
    ),
    *("#f", "/p#f", "/p?q#f", "/a b", "/ü", "/%C3%BC", "/%c3%bc", "/%", "/%zz", "/%2F", "/a%2fb"),
    *("/%28%29", "/(x)", "/%7E~", "/a+b", "/a%2Bb", "/;p=1", "/a:b", "/@", "/'\"", "/<>", "/[x]"),
    *("/{x}", "/|", "/\\", "/^`", "/?a=b&a=c", "/?a=%26", "/?a=%3D%2F%3F", "/?a b=c d", "/?ü=€"),
    *(
        "/?a=+",
        "/?a=%2B",
        "/?a=%20",
        "/?a;b",
        "/?a=b#c?d",
        "/?%zz",
        "/?[]",
        '/?"<>',
        "/?'",
        "/?a=%",
    ),
    *("/\t", "/a\rb", "/a\nb", "/\x00", "/\x7f", "/a\r\nX: y", "/?a=\r\n", "/\u2028", "/\ud800"),
    *("/%0d%0a", "/%00", "/😀", "/e\u0301", "/?\xa0", " ", "/ ", "/\xad"),
]
PATH_ROWS = [Row(f"path {path!r}", path=path) for path in PATHS]


def port(side: Any) -> int:
    return side.server.port


# name: function of the side that gives the URL, or the URL itself; {port} is the server's
URLS: dict[str, Any] = {
    "localhost": "http://localhost:{port}/",
    "upper case": "HTTP://LOCALHOST:{port}/Path",
    "trailing dot": "http://localhost.:{port}/",
    "IPv4": "http://127.0.0.1:{port}/",
    "IPv4, short": "http://127.1:{port}/",
    "IPv4, one number": "http://2130706433:{port}/",
    "IPv4, padded": "http://127.0.0.01:{port}/",
    "IPv4, full-width": "http://１２７.0.0.1:{port}/",
    "IPv6": "http://[::1]:{port}/",
    "IPv6, bad": "http://[::1/",
    "IPv6, empty": "http://[]/",
    "IPv6 without brackets": "http://::1/",
    "IPv4 in brackets": "http://[127.0.0.1]:{port}/",
    "no host": "http:///path",
    "no host, port": "http://:80/",
    "only a scheme": "http://",
    "no scheme": "localhost/path",
    "no scheme, slashes": "//localhost/path",
    "relative": "/path",
    "empty": "",
    "ftp": "ftp://localhost/",
    "file": "file:///etc/passwd",
    "ws on http": "ws://127.0.0.1:{port}/",
    "mailto": "mailto:a@b",
    "data": "data:text/plain,x",
    "javascript": "javascript:alert(1)",
    "unknown scheme": "foo://127.0.0.1:{port}/",
    "bad port": "http://localhost:port/",
    "port too large": "http://localhost:99999/",
    "negative port": "http://localhost:-1/",
    "empty port": "http://127.0.0.1:/",
    "user": "http://user@127.0.0.1:{port}/",
    "user and password": "http://user:pa%20ss@127.0.0.1:{port}/",
    "empty password": "http://user:@127.0.0.1:{port}/",
    "only a password": "http://:pass@127.0.0.1:{port}/",
    "user in utf-8": "http://%C3%BC:%E2%82%AC@127.0.0.1:{port}/",
    "at in the user": "http://a@b:c@127.0.0.1:{port}/",
    "at in the path": "http://127.0.0.1:{port}/a@b",
    "backslash": "http://127.0.0.1:{port}\\@example.com/",
    "space in the host": "http://local host/",
    "space before": " http://127.0.0.1:{port}/",
    "space behind": "http://127.0.0.1:{port}/ ",
    "line end": "http://127.0.0.1:{port}/\r\n",
    "line end in the host": "http://127.0.0.1\r\n:{port}/",
    "IDNA, invalid": "http://a..b/",
    "IDNA, too long": f"http://{'a' * 64}.localhost/",
    "zero width": "http://local\u200bhost:{port}/",
    "bytes": b"http://localhost/",
    "None": None,
    "a number": 5,
    "URL": lambda s: URL(s.url + "/a b?c=d e#f"),
    "URL, encoded": lambda s: URL(s.url + "/%28%7E?%2F", encoded=True),
    "URL, encoded with a space": lambda s: URL(s.url + "/a b", encoded=True),
    "URL, encoded with a line end": lambda s: URL(s.url + "/a\r\nX: y", encoded=True),
    "URL with credentials": lambda s: URL(s.url).with_user("u").with_password("p:w"),
    "URL, relative": lambda s: URL("/path"),
    "long": lambda s: s.url + "/" + "x" * 9000,
}


def whole(url: Any) -> Any:
    if isinstance(url, str):
        return lambda s: url.replace("{port}", str(port(s)))
    return url if callable(url) else lambda s: url


URL_ROWS = [Row(f"URL: {name}", path=whole(url)) for name, url in URLS.items()]

# ---- fields --------------------------------------------------------------------------------------

HEADERS: dict[str, Any] = {
    "dict": {"X-B": "1", "x-a": "2"},
    "case is kept": {"x-lOwEr": "1", "CONTENT-md5": "2"},
    "list": [("X-B", "1"), ("X-A", "2"), ("X-B", "3")],
    "list, other case": [("X-B", "1"), ("x-b", "2")],
    "tuple": (("X", "1"),),
    "CIMultiDict": CIMultiDict([("X", "1"), ("x", "2")]),
    "CIMultiDictProxy": CIMultiDictProxy(CIMultiDict(X="1")),
    "MultiDict": MultiDict([("X", "1"), ("x", "2")]),
    "istr": {istr("x-istr"): "1"},
    "empty": {},
    "empty list": [],
    "instead of all defaults": {"accept": "a", "ACCEPT-ENCODING": "b", "user-agent": "c"},
    "Host": {"Host": "example.com"},
    "host, other case": {"hOST": "example.com:1"},
    "two Hosts": [("Host", "a"), ("Host", "b")],
    "empty Host": {"Host": ""},
    "empty value": {"X": ""},
    "spaces": {"X": "  a  b  "},
    "tab": {"X": "a\tb"},
    "utf-8": {"X": "ü€"},
    "latin-1": {"X": "\xe9"},
    "surrogate": {"X": "\udce9"},
    "CR": {"X": "a\rb"},
    "LF": {"X": "a\nb"},
    "CRLF": {"X": "a\r\nY: b"},
    "NUL": {"X": "a\x00b"},
    "DEL": {"X": "a\x7fb"},
    "0x01": {"X": "a\x01b"},
    "CR in the name": {"X\r": "a"},
    "LF in the name": {"X\nY": "a"},
    "space in the name": {"X Y": "a"},
    "colon in the name": {"X:Y": "a"},
    "utf-8 name": {"Ü": "a"},
    "empty name": {"": "a"},
    "int": {"X": 1},
    "None": {"X": None},
    "bytes": {"X": b"a"},
    "bytes as name": {b"X": "a"},
    "no mapping": "X: a",
    "no pairs": ["X"],
    "Connection: close": {"Connection": "close"},
    "Connection: keep-alive": {"Connection": "keep-alive"},
    "Connection: other": {"Connection": "x, Close"},
    "Content-Length on GET": {"Content-Length": "0"},
    "Transfer-Encoding: identity": {"Transfer-Encoding": "identity"},
    "Cookie": {"Cookie": "a=1; b=2"},
    "Authorization": {"Authorization": "Bearer x"},
    "Range": {"Range": "bytes=0-1"},
    "120 fields": {f"X-{n}": str(n) for n in range(120)},
    "30 kB": {"X": "v" * 30_000},
}
HEADER_ROWS = [
    Row(f"headers: {name}", request={"headers": value}) for name, value in HEADERS.items()
] + [
    Row(f"session headers: {name}", session={"headers": HEADERS[name]})
    for name in ("dict", "list", "CIMultiDict", "Host", "CRLF", "NUL", "int", "no pairs", "tab")
]
SAME = {"session": {"headers": [("A", "1"), ("B", "2"), ("A", "3")]}}
HEADER_ROWS += [
    Row("headers replace the session's", request={"headers": {"a": "4"}}, **SAME),
    Row("headers repeat the session's", request={"headers": [("A", "4"), ("A", "5")]}, **SAME),
    Row("headers beside the session's", request={"headers": {"C": "4"}}, **SAME),
]
SKIPS: dict[str, Any] = {
    "one": ["User-Agent"],
    "all": ["Accept", "Accept-Encoding", "User-Agent", "Host", "Content-Type"],
    "lower case": ["user-agent", "accept"],
    "istr": [istr("Accept")],
    "set": {"Accept-Encoding"},
    "tuple": ("Content-Length",),
    "str": "Accept",
    "unknown": ["X-None"],
}
SKIP_ROWS = [
    Row(f"skip_auto_headers: {name}, {what}", "POST", request=request, session=session)
    for name, value in SKIPS.items()
    for what, request, session in (
        ("of the request", {"skip_auto_headers": value, "data": b"x"}, {}),
        ("of the session", {"data": b"x"}, {"skip_auto_headers": value}),
    )
]
SKIP_ROWS += [
    Row(
        "skip_auto_headers: of both",
        request={"skip_auto_headers": ["Accept"]},
        session={"skip_auto_headers": ["User-Agent"]},
    ),
    Row(
        "skip_auto_headers: and given",
        request={"skip_auto_headers": ["Accept"], "headers": {"Accept": "a"}},
    ),
]

ROWS = [*METHOD_ROWS, *DATA_ROWS, *PARAM_ROWS, *PATH_ROWS, *URL_ROWS, *HEADER_ROWS, *SKIP_ROWS]
