"""Class 2, line ends and control characters in what is sent: no place of a request lets them
through. Each row puts a second line into one place; nothing may be sent that any server could take
for a line of its own."""

from __future__ import annotations

import random
from http.cookies import CookieError

import pytest
from http_support import raw, response
from multidict import CIMultiDict
from security_support import heads, http, lines_of, run
from yarl import URL

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ENDS = {"CR": "\r", "LF": "\n", "CRLF": "\r\n", "NUL": "\0", "CRLFCRLF": "\r\n\r\n"}


def form(**field):
    data = http.FormData()
    data.add_field(field.pop("name", "n"), field.pop("value", "v"), **field)
    return {"data": data}


# name: the method, what is added to the URL, and the options; x is the evil text
PLACES = {
    "method": lambda x: (f"GET / HTTP/1.1{x}", "/", {}),
    "method, its end": lambda x: (f"GET{x}", "/", {}),
    "path": lambda x: ("GET", f"/p{x}", {}),
    "query": lambda x: ("GET", f"/?a={x}", {}),
    "fragment": lambda x: ("GET", f"/#{x}", {}),
    "params": lambda x: ("GET", "/", {"params": {f"a{x}": f"b{x}"}}),
    "params as text": lambda x: ("GET", "/", {"params": f"a={x}"}),
    "header's value": lambda x: ("GET", "/", {"headers": {"X-Header": f"v{x}"}}),
    "header's value, at once": lambda x: ("GET", "/", {"headers": {"X-Header": x}}),
    "header's name": lambda x: ("GET", "/", {"headers": {f"X{x}": "v"}}),
    "headers as pairs": lambda x: ("GET", "/", {"headers": [("X", "a"), ("X", f"v{x}")]}),
    "headers as a multidict": lambda x: ("GET", "/", {"headers": CIMultiDict(X=f"v{x}")}),
    "Host": lambda x: ("GET", "/", {"headers": {"Host": f"a{x}"}}),
    "User-Agent": lambda x: ("GET", "/", {"headers": {"User-Agent": f"a{x}"}}),
    "Upgrade": lambda x: ("GET", "/", {"headers": {"Upgrade": f"h2c{x}", "Connection": "upgrade"}}),
    "Content-Type": lambda x: ("POST", "/", {"data": b"", "headers": {"Content-Type": f"a/b{x}"}}),
    "Content-Length": lambda x: (
        "POST",
        "/",
        {"data": b"", "headers": {"Content-Length": f"0{x}"}},
    ),
    "Transfer-Encoding": lambda x: (
        "POST",
        "/",
        {"data": b"", "headers": {"Transfer-Encoding": f"chunked{x}"}},
    ),
    "Cookie": lambda x: ("GET", "/", {"headers": {"Cookie": f"a=b{x}"}}),
    "cookie's value": lambda x: ("GET", "/", {"cookies": {"a": f"b{x}"}}),
    "cookie's name": lambda x: ("GET", "/", {"cookies": {f"a{x}": "b"}}),
    "auth": lambda x: ("GET", "/", {"auth": http.BasicAuth("u", f"p{x}")}),
    "Authorization": lambda x: ("GET", "/", {"headers": {"Authorization": f"Bearer {x}"}}),
    "type of a payload": lambda x: (
        "POST",
        "/",
        {"data": http.BytesPayload(b"x", content_type=f"a/b{x}")},
    ),
    "headers of a payload": lambda x: (
        "POST",
        "/",
        {"data": http.BytesPayload(b"x", headers={"X-Part": f"a{x}"})},
    ),
    "file name of a payload": lambda x: (
        "POST",
        "/",
        {"data": http.BytesPayload(b"x", filename=f"a{x}")},
    ),
    "type of a text payload": lambda x: (
        "POST",
        "/",
        {"data": http.StringPayload("x", content_type=f"text/plain{x}")},
    ),
    "form": lambda x: ("POST", "/", {"data": {f"a{x}": f"b{x}"}}),
    "compress": lambda x: ("POST", "/", {"data": b"x", "compress": f"gzip{x}"}),
}
SESSIONS = {
    "header of the session": lambda x: {"headers": {"X-Header": f"v{x}"}},
    "header's name of the session": lambda x: {"headers": {f"X{x}": "v"}},
    "cookie of the session": lambda x: {"cookies": {"a": f"b{x}"}},
    "cookie's name of the session": lambda x: {"cookies": {f"a{x}": "b"}},
    "auth of the session": lambda x: {"auth": http.BasicAuth("u", x)},
    "version": lambda x: {"version": f"1.1{x}"},
    "version, an object": lambda x: {"version": http.HttpVersion(1, f"1{x}")},
}
EVIL = "Injected: yes"


async def script(peer):
    while True:
        await peer.request(body=False)
        peer.send(response(b"ok", Connection="close"))
        return


async def send(method, path, request, session=None):
    """Make the request; all that the server got, of however many requests."""
    async with raw(script) as server:
        try:
            async with http.ClientSession(**(session or {})) as made:
                url = path if isinstance(path, URL) else server.url + path
                if isinstance(path, URL):
                    url = URL(server.url + str(path), encoded=True)
                async with made.request(method, url, **request) as answer:
                    await answer.read()
        except (ValueError, TypeError, LookupError, CookieError, http.ClientError):
            pass
        return server, b"".join(bytes(peer.received) for peer in server.peers)


def check(server, data):
    """Not one line of ours too many."""
    assert not any(line.startswith(EVIL.encode()) for line in lines_of(data)), data
    for head in heads(server):
        assert b"\0" not in head
        assert head.count(b"\r") == head.count(b"\n") == head.count(b"\r\n")
        assert head.count(b"\r\n\r\n") == 1 and head.endswith(b"\r\n\r\n")
        assert head.split(b"\r\n")[0].count(b" ") == 2
    assert len(server.asked) <= 1


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("place", PLACES)
def test_no_place_of_a_request(place, end):
    run(lambda: _one(*PLACES[place](ENDS[end] + EVIL)))


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("place", SESSIONS)
def test_no_place_of_a_session(place, end):
    run(lambda: _one("GET", "/", {}, SESSIONS[place](ENDS[end] + EVIL)))


async def _one(method, path, request, session=None):
    check(*await send(method, path, request, session))


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("place", ["/p{}", "/?q={}", "/ HTTP/1.1{}", "/{}"])
def test_a_url_that_is_not_requoted(place, end):
    """URL(..., encoded=True) stops the requoting, not the check."""
    url = URL(place.format(ENDS[end] + EVIL), encoded=True)
    run(lambda: _one("GET", url, {}))


@pytest.mark.parametrize("byte", [*range(0x20), 0x7F])
@pytest.mark.parametrize("place", ["name", "value", "cookie", "method", "target"])
def test_every_control_character(place, byte):
    """Only the tab is allowed, and in a value only."""
    char = chr(byte)
    calls = {
        "name": ("GET", "/", {"headers": {f"X{char}Y": "v"}}),
        "value": ("GET", "/", {"headers": {"X": f"a{char}b"}}),
        "cookie": ("GET", "/", {"headers": {"Cookie": f"a=b{char}c"}}),
        "method": (f"GE{char}T", "/", {}),
        "target": ("GET", URL(f"/a{char}b", encoded=True), {}),
    }

    async def main():
        server, data = await send(*calls[place])
        check(server, data)
        if char != "\t" or place not in ("value", "cookie"):
            for head in heads(server):
                rest = head.replace(b"\r\n", b"")
                assert char.encode() not in rest

    run(main)


def test_random_places():
    """Several places at once, with whatever characters."""
    alphabet = '\r\n\0\t\x0b\x0c\x1c\x85\u2028 ab:;="\\%ü€\ud800'
    generator = random.Random(7)

    def noise():
        return "".join(generator.choice(alphabet) for _ in range(generator.randrange(1, 9)))

    async def main():
        for _ in range(300):
            headers = {f"X{noise()}": noise()} if generator.random() < 0.5 else {"X": noise()}
            request = {"headers": headers} if generator.random() < 0.7 else {}
            if generator.random() < 0.3:
                request["cookies"] = {f"c{noise()}": noise() + EVIL}
            path = "/" + noise() if generator.random() < 0.5 else "/"
            check(*await send("GET" if generator.random() < 0.8 else noise(), path, request))

    run(main, 60)


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "chunked"), ("Content-Length", "5")],
        [("Content-Length", "5"), ("content-length", "6")],
        [("Content-Length", "5"), ("Content-Length", "6")],
        [("Content-Length", "+5")],
        [("Content-Length", "5, 6")],
        [("Content-Length", "-1")],
        [("Content-Length", "0x5")],
    ],
)
def test_one_framing_of_a_request(headers):
    """What the user's headers say of the body and what is sent are one: else it is an error."""

    async def main():
        server, data = await send("POST", "/", {"data": b"hello", "headers": headers})
        for asked in server.asked:
            names = [name.lower() for name, _ in asked.fields]
            framings = [n for n in names if n in ("content-length", "transfer-encoding")]
            assert len(framings) == 1, asked.head
        return bool(server.asked)

    run(main)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST"])
def test_a_length_without_a_body(method):
    """Such a connection takes no other request: it would be taken for the body."""

    async def script(peer):
        await peer.request(body=False)
        peer.send(response(b"" if method == "HEAD" else b"ok"))
        await peer.gone()

    async def main():
        async with raw(script) as server, http.ClientSession() as session:
            for _ in range(2):
                try:
                    async with session.request(
                        method, server.url, headers={"Content-Length": "30"}
                    ) as answer:
                        await answer.read()
                except (http.ClientError, ValueError):
                    pass
            assert all(len(bytes(p.received).split(b" HTTP/1.1")) <= 2 for p in server.peers)

    run(main)
