"""Fuzz target: what proxies answer, and what the environment says of them.

An input is a byte that chooses, and the answer to CONNECT, the answers in SOCKS5 (without and with
credentials offered), the value of NO_PROXY and a proxy's place, or a netrc. Run it by pyfuzz.py.

CONNECT: in any pieces one outcome; nothing but BadHttpMessage is raised; what is taken for an
answer keeps to a grammar written otherwise, is within the limit, and is what aiohttp's parser
reads. SOCKS5: what is read at a time and in all is bounded; nothing but SocksError is raised; a
connection is there if and only if a grammar written otherwise says so, to the byte. The rest: no
exception but those a caller is told of, no password in their texts.
"""

from __future__ import annotations

import os
import random
import re
import tempfile
from pathlib import Path
from unittest import mock

import aiohttp.http_exceptions
import aiohttp.http_parser
from yarl import URL

from uvolt.http import env, log, tunnel
from uvolt.http.exceptions import BadHttpMessage, InvalidURL
from uvolt.http.proxy import SCHEMES, parse_proxy
from uvolt.http.socks import SocksError, handshake

MODULES = ["uvolt.http.env", "uvolt.http.tunnel", "uvolt.http.proxy", "uvolt.http.socks"]

FILE = Path(tempfile.gettempdir(), f"uvolt-fuzz-netrc-{os.getpid()}")

# -- CONNECT --------------------------------------------------------------------------------------

FIELD = rb"[!#-'*+\-.^-z|~0-9A-Z]+:[\t\x20-\x7e\x80-\xff]*\r\n"
LINE = rb"HTTP/1\.[01] (?:1(?!01)[0-9]{2}|[2-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?\r\n"
HEAD = rb"%b(?:%b)*\r\n" % (LINE, FIELD)
IS_ANSWER = re.compile(rb"(?:(?=HTTP/1.. 1)%b)*(?=HTTP/1.. [2-9])%b" % (HEAD, HEAD)).match


def parse(data: bytes, sizes: tuple[int, ...], rng: random.Random) -> object:
    """The answer; None if there is more to come; the class of the error. How many bytes were behind
    it depends on the pieces, so that error counts as the answer."""
    parser = tunnel.AnswerParser()
    at = 0
    while at < len(data):
        size = rng.choice(sizes)
        try:
            answer = parser.feed(data[at : at + size])
        except BadHttpMessage as exc:
            return "answered" if "behind the answer" in str(exc) else BadHttpMessage
        at += size
        if answer is not None:
            return "answered" if tunnel.is_success(answer) else answer
    return None


def theirs(data: bytes) -> object:
    """What aiohttp's parser has for the last head."""
    parser = aiohttp.http_parser.HttpResponseParser(
        mock.Mock(), mock.Mock(), 2**16, read_until_eof=True, max_line_size=2**16,
        max_field_size=2**16, max_headers=2**12
    )  # fmt: skip
    messages, _, _ = parser.feed_data(data)
    return messages[-1][0] if messages else None


def check_connect(data: bytes) -> None:
    rng = random.Random(len(data))
    whole = parse(data, (len(data) or 1,), rng)
    for sizes in ((1,), (1, 2, 7), (50, 300)):
        again = parse(data, sizes, rng)
        assert again == whole, (data, whole, again)
    match = IS_ANSWER(data)
    is_answer = match is not None and match.end() - 4 <= tunnel.ANSWER
    assert is_answer == (whole not in (None, BadHttpMessage)), (data, whole)
    if match is None or not isinstance(whole, tunnel.Answer):
        return
    try:
        message = theirs(data[: match.end()])
    except (aiohttp.http_exceptions.HttpProcessingError, ValueError):
        return  # what else it has against an answer: a length that is none, ...
    if message is not None:
        assert (message.code, message.reason) == (whole.status, whole.reason), (data, whole)
        # aiohttp writes well-known names its own way.
        fields = [[(k.lower(), v) for k, v in h.headers.items()] for h in (message, whole)]
        assert fields[0] == fields[1], (data, whole)


# -- SOCKS5 ---------------------------------------------------------------------------------------

# The end of an answer, by the kind of its address.
BOUND = rb"(?:\x01.{4}|\x04.{16}|\x03(?:%b)).." % b"|".join(
    b"%b.{%d}" % (re.escape(bytes([n])), n) for n in range(256)
)
REPLY = rb"\x05\x00." + BOUND
IS_GRANTED = {
    False: re.compile(rb"\x05\x00" + REPLY, re.DOTALL).match,
    True: re.compile(rb"\x05(?:\x00|\x02[\x01\x05]\x00)" + REPLY, re.DOTALL).match,
}


def check_socks(data: bytes, has_login: bool) -> None:
    hosts = ("origin.test", "192.0.2.1", "2001:db8::1", "a" * 255)
    host = hosts[len(data) % len(hosts)]
    steps = handshake(host, 443, "user" if has_login else None, "word")
    at = sent = 0
    granted = False
    _, size = next(steps)
    try:
        while at + size <= len(data):
            assert 0 < size <= 257, size
            piece = data[at : at + size]
            at += size
            out, size = steps.send(piece)
            sent += len(out)
    except StopIteration:
        granted = True
    except SocksError as exc:
        assert str(exc)
        assert not IS_GRANTED[has_login](data), data
        return
    assert at <= 2 + 2 + 2 + 3 + 257 and sent <= 600, (at, sent)
    match = IS_GRANTED[has_login](data)
    assert granted == bool(match), (data, granted)
    assert not granted or (match is not None and match.end() == at), (data, at)


# -- the environment ------------------------------------------------------------------------------


def check_places(text: str) -> None:
    no_proxy = text.replace("\0", "")
    with mock.patch.dict(os.environ, {"no_proxy": no_proxy}):
        for url in ("http://origin.test/", "http://[2001:db8::1]:8/", "http://192.0.2.7/"):
            if env.is_bypassed(URL(url), no_proxy) and "origin" in url:
                assert no_proxy.strip() == "*" or "test" in no_proxy.lower(), no_proxy
    for scheme in ("http", "socks5", "x"):
        try:
            proxy = parse_proxy(f"{scheme}://user:secret@{text}")
        except InvalidURL as exc:
            assert "secret" not in str(exc) + repr(exc) or "secret" in text
            continue
        assert proxy.url.scheme in SCHEMES and proxy.url.host and proxy.url.port is not None
        assert proxy.url.raw_user is None and proxy.url == proxy.url.origin()


def check_netrc(data: bytes) -> None:
    """The standard library parses it."""
    FILE.write_bytes(data)
    try:
        with mock.patch.dict(os.environ, {"NETRC": str(FILE)}), mock.patch.object(log, "client"):
            read = env._read_netrc()
    finally:
        FILE.unlink()
    if read is not None:
        auth = env._from_netrc(read, "origin.test")
        assert auth is None or {type(auth.login), type(auth.password)} == {str}


def one_input(data: bytes) -> None:
    kind, rest = data[:1], data[1:]
    if kind == b"c":
        check_connect(rest)
    elif kind in (b"s", b"p"):
        check_socks(rest, kind == b"p")
    elif kind == b"n":
        check_netrc(rest)
    else:
        check_places(rest.decode("utf-8", "replace"))
