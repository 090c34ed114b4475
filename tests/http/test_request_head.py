"""What goes out before a byte is sent: head and body are as aiohttp has them, or refused."""

from __future__ import annotations

import asyncio
import io
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.client_reqrep
import pytest
from multidict import CIMultiDict, MultiDict
from yarl import URL

from uvolt.http import helpers, payload
from uvolt.http.request import AUTO_HEADERS, ClientRequest, merge_headers
from uvolt.http.upload import Upload


class Raised(Exception):
    """An exception that was raised, by type and text."""


def theirs(method: str, url: str, **kwargs: Any) -> Any:
    async def main() -> Any:
        kwargs.pop("force_close", None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if "auth" in kwargs:
                kwargs["auth"] = aiohttp.BasicAuth(*kwargs["auth"])
            request = aiohttp.ClientRequest(
                method, URL(url), loop=asyncio.get_running_loop(), **kwargs
            )
        headers = list(request.headers.items())
        # These are set by send().
        skip = request.skip_auto_headers
        if method in ("POST", "PUT", "PATCH") and "Content-Type" not in request.headers:
            if "Content-Type" not in skip:
                headers.append(("Content-Type", "application/octet-stream"))
        return headers, request.url, request.original_url, request.chunked or None

    return asyncio.run(main())


def ours(method: str, url: str, **kwargs: Any) -> Any:
    async def main() -> Any:
        if "auth" in kwargs:
            kwargs["auth"] = helpers.BasicAuth(*kwargs["auth"])
        force_close = kwargs.pop("force_close", False)
        request = ClientRequest(method, URL(url), **kwargs)
        request.finish_headers(force_close)
        agent = aiohttp.http.SERVER_SOFTWARE
        mine = AUTO_HEADERS[2][1]
        headers = [
            (name, agent if value == mine else value) for name, value in request.headers.items()
        ]
        return headers, request.url, request.original_url, request.chunked or None

    return asyncio.run(main())


async def pieces() -> AsyncIterator[bytes]:
    yield b"a"


CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "get": ("GET", "http://example.com/a?b=c#d", {}),
    "port": ("GET", "http://example.com:8080/", {}),
    "ipv6": ("GET", "http://[::1]:8080/", {}),
    "idna": ("GET", "http://пример.рф/ä b?ä=ö", {}),
    "params": ("GET", "http://h/?a=1", {"params": {"b": "2 3", "c": 4}}),
    "params, pairs": ("GET", "http://h/", {"params": [("a", "1"), ("a", "2")]}),
    "params, text": ("GET", "http://h/", {"params": "a=%2F&b"}),
    "headers": ("GET", "http://h/", {"headers": {"x-b": "1", "X-a": "2", "accept": "text/html"}}),
    "headers, pairs": ("GET", "http://h/", {"headers": [("A", "1"), ("a", "2"), ("A", "3")]}),
    "headers, multidict": ("GET", "http://h/", {"headers": CIMultiDict([("A", "1"), ("a", "2")])}),
    "host": ("GET", "http://h/", {"headers": {"hOsT": "other"}}),
    "user agent": ("GET", "http://h/", {"headers": {"User-Agent": "me"}}),
    "skip": ("POST", "http://h/", {"skip_auto_headers": ["User-Agent", "content-type"]}),
    "skip, data": ("POST", "http://h/", {"data": b"a", "skip_auto_headers": ["Content-Type"]}),
    "cookies": ("GET", "http://h/", {"cookies": {"a": "1", "b": "two words"}}),
    "cookies, header": (
        "GET",
        "http://h/",
        {"cookies": {"a": "1"}, "headers": {"Cookie": 'x=y; q="a b"'}},
    ),
    "auth": ("GET", "http://h/", {"auth": ("user", "pass")}),
    "auth, latin1": ("GET", "http://h/", {"auth": ("jörg", "ß")}),
    "post": ("POST", "http://h/", {}),
    "put": ("PUT", "http://h/", {}),
    "patch": ("PATCH", "http://h/", {}),
    "delete": ("DELETE", "http://h/", {}),
    "options": ("OPTIONS", "http://h/", {}),
    "own method": ("PURGE", "http://h/", {}),
    "bytes": ("POST", "http://h/", {"data": b"abc"}),
    "bytes, empty": ("POST", "http://h/", {"data": b""}),
    "bytearray": ("POST", "http://h/", {"data": bytearray(b"abc")}),
    "memoryview": ("POST", "http://h/", {"data": memoryview(b"abc")}),
    "text": ("POST", "http://h/", {"data": "äbc"}),
    "text, its type": ("POST", "http://h/", {"data": "a", "headers": {"Content-Type": "text/x"}}),
    "get with a body": ("GET", "http://h/", {"data": b"abc"}),
    "form": ("POST", "http://h/", {"data": {"a": "1", "b": "ä &"}}),
    "form, pairs": ("POST", "http://h/", {"data": [("a", "1"), ("a", "2")]}),
    "form, multidict": ("POST", "http://h/", {"data": MultiDict([("a", "1"), ("a", "2")])}),
    "file in memory": ("POST", "http://h/", {"data": lambda: io.BytesIO(b"abc")}),
    "text in memory": ("POST", "http://h/", {"data": lambda: io.StringIO("äbc")}),
    "iterable": ("POST", "http://h/", {"data": pieces}),
    "iterable with a length": (
        "POST",
        "http://h/",
        {"data": pieces, "headers": {"Content-Length": "1"}},
    ),
    "chunked": ("POST", "http://h/", {"data": b"abc", "chunked": True}),
    "chunked, nothing": ("POST", "http://h/", {"chunked": True}),
    "compress": ("POST", "http://h/", {"data": b"abc", "compress": True}),
    "compress, gzip": ("POST", "http://h/", {"data": b"abc", "compress": "gzip"}),
    "compress, nothing": ("POST", "http://h/", {"data": b"", "compress": True}),
    "expect": ("POST", "http://h/", {"data": b"abc", "expect100": True}),
    "no host": ("GET", "http:///a", {}),
    "auth is no auth": ("GET", "http://h/", {"headers": {}}),
    "compressed already": (
        "POST",
        "http://h/",
        {"data": b"a", "compress": True, "headers": {"Content-Encoding": "br"}},
    ),
    "chunked with a length": (
        "POST",
        "http://h/",
        {"data": b"a", "chunked": True, "headers": {"Content-Length": "1"}},
    ),
    "chunked twice": (
        "POST",
        "http://h/",
        {"data": b"a", "chunked": True, "headers": {"Transfer-Encoding": "chunked"}},
    ),
    "data of another kind": ("POST", "http://h/", {"data": 5}),
    "params, bool": ("GET", "http://h/", {"params": {"a": True}}),
}


def outcome(make: Any, case: tuple[str, str, dict[str, Any]]) -> Any:
    method, url, kwargs = case
    try:
        data = kwargs.get("data")
        return make(method, url, **{**kwargs, "data": data() if callable(data) else data})
    except Exception as exc:
        return type(exc).__name__


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_head_is_aiohttps(case: tuple[str, str, dict[str, Any]]) -> None:
    assert outcome(ours, case) == outcome(theirs, case)


@pytest.mark.parametrize("name", ["a.txt", "a.json", "a", "a.unknown"])
@pytest.mark.parametrize("mode", ["r", "rb", "r+b"])
def test_files(tmp_path: Path, name: str, mode: str) -> None:
    file = tmp_path / name
    file.write_text("0123456789")
    with open(file, mode) as first, open(file, mode) as second:
        first.seek(3)
        second.seek(3)
        assert ours("POST", "http://h/", data=first) == theirs("POST", "http://h/", data=second)


REFUSED: dict[str, dict[str, Any]] = {
    "name": {"headers": {"A\r\nB": "1"}},
    "name with a colon": {"headers": {"A:": "1"}},
    "name with a space": {"headers": {"A ": "1"}},
    "empty name": {"headers": {"": "1"}},
    "value": {"headers": {"A": "1\r\nB: 2"}},
    "value, LF": {"headers": {"A": "1\nB: 2"}},
    "value, NUL": {"headers": {"A": "1\0"}},
    "host": {"headers": {"Host": "a\r\nb"}},
    "cookie": {"headers": {"Cookie": "a=b\r\nc: d"}},
    "content type": {"headers": {"Content-Type": "a\r\nb: c"}, "data": b"a"},
    "content length": {"headers": {"Content-Length": "1x"}, "data": b"a"},
    "two lengths": {"headers": [("Content-Length", "1"), ("Content-Length", "2")], "data": b"a"},
    "payload's type": {"data": payload.BytesPayload(b"a", content_type="a\r\nb: c")},
    "compression": {"compress": "x\r\ny: z", "data": b"a"},
}


@pytest.mark.parametrize("kwargs", REFUSED.values(), ids=REFUSED)
def test_more_than_one_line_is_refused(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        request = ClientRequest("POST", URL("http://h/"), **kwargs)
        request.head()
        request.whole_body()


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/a\x00", "/\x7f"])
def test_encoded_urls_cannot_break_the_request_line(target: str) -> None:
    with pytest.raises(ValueError):
        ClientRequest("GET", URL(f"http://h{target}", encoded=True)).head()


def test_values_that_are_no_text() -> None:
    with pytest.raises(TypeError):
        ClientRequest("GET", URL("http://h/"), headers={"A": 1}).head()  # type: ignore[dict-item]


def test_head_and_body() -> None:
    async def main() -> None:
        request = ClientRequest("POST", URL("http://h:81/a?b=c"), data="ä", headers={"X": "ü"})
        head = request.head()
        assert head.startswith(
            b"POST /a?b=c HTTP/1.1\r\nHost: h:81\r\nX: \xc3\xbc\r\nAccept: */*\r\n"
        )
        assert head.endswith(
            b"Content-Length: 2\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        )
        assert request.whole_body() == b"\xc3\xa4"
        assert ClientRequest("GET", URL("http://h/")).whole_body() == b""
        assert ClientRequest("POST", URL("http://h/"), data=b"abc", chunked=True).whole_body() == (
            b"3\r\nabc\r\n0\r\n\r\n"
        )
        assert ClientRequest("POST", URL("http://h/"), data=pieces()).whole_body() is None
        assert (
            ClientRequest("POST", URL("http://h/"), data=b"a", expect100=True).whole_body() is None
        )
        short = ClientRequest(
            "POST", URL("http://h/"), data=b"abc", headers={"Content-Length": "2"}
        )
        assert short.whole_body() == b"ab"

    asyncio.run(main())


def test_a_session_of_headers() -> None:
    defaults: CIMultiDict[str] = CIMultiDict([("A", "1"), ("B", "2")])
    merged = merge_headers(defaults, [("a", "3"), ("C", "4"), ("a", "5")])
    with_aiohttp = aiohttp.ClientSession._prepare_headers
    fake: Any = type("Fake", (), {"_default_headers": defaults})()
    assert list(merged.items()) == list(
        with_aiohttp(fake, [("a", "3"), ("C", "4"), ("a", "5")]).items()
    )


class Response:
    """What an upload writes to."""

    connection = "the connection"

    def __init__(self) -> None:
        self.sent = bytearray()
        self.ended = False
        self.continued = 0
        self.error: Exception | None = None

    async def _write(self, data: bytes) -> None:
        self.sent += data

    def _write_eof(self) -> None:
        self.ended = True

    async def _continued(self) -> None:
        self.continued += 1

    def _upload_failed(self, error: Exception) -> None:
        self.error = error


def upload(**kwargs: Any) -> Response:
    response = Response()

    async def main() -> None:
        data = kwargs.pop("data")
        request = ClientRequest(
            "POST", URL("http://h/"), data=data() if callable(data) else data, **kwargs
        )
        assert request.whole_body() is None
        await Upload(request)(response)

    asyncio.run(main())
    return response


def test_upload_in_chunks() -> None:
    response = upload(data=pieces)
    assert bytes(response.sent) == b"1\r\na\r\n0\r\n\r\n"
    assert response.ended


def test_upload_waits_for_100_continue() -> None:
    response = upload(data=b"abc", expect100=True)
    assert (bytes(response.sent), response.continued) == (b"abc", 1)


def test_upload_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 600_000)
    with open(file, "rb") as source:
        source.seek(1)
        response = upload(data=source)
    assert bytes(response.sent) == b"x" * 599_999


def test_upload_of_a_pipe(tmp_path: Path) -> None:
    import os

    reader, writer = os.pipe()
    os.write(writer, b"abc")
    os.close(writer)
    with open(reader, "rb") as source:
        response = upload(data=source)
    assert bytes(response.sent) == b"3\r\nabc\r\n0\r\n\r\n"


def test_a_body_shorter_than_its_length_ends_the_request() -> None:
    response = upload(data=b"abc", headers={"Content-Length": "5"})
    assert "has 3 bytes, its Content-Length is 5" in str(response.error)
    assert not response.ended


async def broken() -> AsyncIterator[bytes]:
    yield b"a"
    raise KeyError("so")


async def of_text() -> AsyncIterator[Any]:
    yield "a"


@pytest.mark.parametrize("data", [broken, of_text])
def test_a_body_that_fails_ends_the_request(data: Any) -> None:
    response = upload(data=data)
    assert type(response.error).__name__ == "ClientConnectionError"
    assert isinstance(response.error.__cause__, KeyError | TypeError)


def test_a_file_that_cannot_be_read() -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "I/O error")

    response = upload(data=Broken())
    assert type(response.error).__name__ == "ClientOSError"
    assert response.error.errno == 5  # type: ignore[union-attr]
