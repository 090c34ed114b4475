"""What proxies answer, and what the environment says of them, damaged in any way.

    python fuzz/proxies.py [SECONDS [SEED]]

CONNECT: in any pieces one outcome; nothing but BadHttpMessage is raised; what is taken for an
answer keeps to a grammar written otherwise, is within the limit, and is what aiohttp's parser
reads. SOCKS5: what is read at a time and in all is bounded; nothing but SocksError is raised; a
connection is there if and only if a grammar written otherwise says so, to the byte. NO_PROXY,
proxies' URLs and netrc: no exception but those a caller is told of, no password in their texts.
tests/http/test_proxy_fuzz.py runs some of it.
"""

from __future__ import annotations

import os
import random
import re
import sys
import tempfile
import time
import warnings
from unittest import mock

import aiohttp.http_exceptions
import aiohttp.http_parser
from yarl import URL

from uvolt.http import env, tunnel
from uvolt.http.exceptions import BadHttpMessage, InvalidURL
from uvolt.http.proxy import SCHEMES, parse_proxy
from uvolt.http.socks import SocksError, handshake

# -- CONNECT --------------------------------------------------------------------------------------

ANSWERS = [
    b"HTTP/1.1 200 Connection established\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nProxy-Agent: x\r\nVia: 1.1 a\r\n\r\n",
    b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"a\"\r\n"
    b"Content-Length: 3\r\n\r\nno!",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\n\r\n",
    b"HTTP/1.1 502 \r\nX:\r\nY: \t z \t\r\n\r\n",
]  # fmt: skip
SPICE = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b":",
    b"\t",
    b"\xe9",
    b"HTTP/1.1 ",
    b"\r\n\r\n",
    b"x" * 200,
)
FIELD = rb"[!#-'*+\-.^-z|~0-9A-Z]+:[\t\x20-\x7e\x80-\xff]*\r\n"
HEAD = (
    rb"HTTP/1\.[01] (?:1(?!01)[0-9]{2}|[2-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?\r\n(?:%b)*\r\n"
    % FIELD
)
IS_ANSWER = re.compile(rb"(?:(?=HTTP/1.. 1)%b)*(?=HTTP/1.. [2-9])%b" % (HEAD, HEAD)).match


def spoil(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            out[at:at] = rng.choice(SPICE)
        elif kind == 1:
            del out[at : at + rng.randrange(1, 6)]
        elif kind == 2 and at < len(out):
            out[at] = rng.randrange(256)
        else:
            out[at:at] = rng.choice(SPICE) * rng.choice((1, 90, 1700))
    return bytes(out)


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


def connect_case(rng: random.Random) -> str:
    data = spoil(rng, rng.choice(ANSWERS))
    whole = parse(data, (len(data) or 1,), rng)
    for sizes in ((1,), (1, 2, 7), (50, 300)):
        again = parse(data, sizes, rng)
        assert again == whole, (data, whole, again)
    match = IS_ANSWER(data)
    is_answer = match is not None and match.end() - 4 <= tunnel.ANSWER
    assert is_answer == (whole not in (None, BadHttpMessage)), (data, whole)
    if not is_answer:
        return "refused"
    if isinstance(whole, tunnel.Answer):
        assert match is not None
        try:
            message = theirs(data[: match.end()])
        except (aiohttp.http_exceptions.HttpProcessingError, ValueError):
            return "ours only"
        if message is not None:
            assert (message.code, message.reason) == (whole.status, whole.reason), (data, whole)
            assert list(message.headers.items()) == list(whole.headers.items()), (data, whole)
    return "answered"


# -- SOCKS5 ---------------------------------------------------------------------------------------

PARTS = [b"\5\0", b"\5\2", b"\1\0", b"\5\0\0\1", b"\5\0\0\3", b"\5\0\0\4", b"\5\5", b"\5\xff",
         b"\1abcd", b"\4" + bytes(16), b"\3\3abc", b"\3abc"]  # fmt: skip
# The end of an answer, by the kind of its address.
BOUND = rb"(?:\x01.{4}|\x04.{16}|\x03(?:%b)).." % b"|".join(
    b"%b.{%d}" % (re.escape(bytes([n])), n) for n in range(256)
)
REPLY = rb"\x05\x00." + BOUND
IS_GRANTED = {
    False: re.compile(rb"\x05\x00" + REPLY, re.DOTALL).match,
    True: re.compile(rb"\x05(?:\x00|\x02[\x01\x05]\x00)" + REPLY, re.DOTALL).match,
}


def socks_case(rng: random.Random) -> str:
    parts = [rng.choice((b"\5\0", b"\5\2\1\0")), b"\5\0\0", rng.choice(PARTS[-4:])]
    if rng.random() < 0.5:
        at = rng.randrange(len(parts) + 1)
        parts[at:at] = [rng.choice(PARTS) if rng.random() < 0.8 else rng.randbytes(20)]
    data = b"".join(parts) + rng.choice((b"", bytes(5), bytes(300)))
    has_login = rng.random() < 0.5
    host = rng.choice(("origin.test", "192.0.2.1", "2001:db8::1", "a" * 255))
    steps = handshake(host, rng.randrange(65536), "user" if has_login else None, "word")
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
        return "refused"
    assert at <= 2 + 2 + 2 + 3 + 257 and sent <= 600, (at, sent)
    match = IS_GRANTED[has_login](data)
    assert granted == bool(match), (data, granted)
    assert not granted or (match is not None and match.end() == at), (data, at)
    return "granted" if granted else "wants more"


# -- the environment ------------------------------------------------------------------------------

LETTERS = "ab.:/*[]%,0123456789 -_\t\N{SNOWMAN}@#?"
NETRC = ("machine", "origin.test", "login", "password", "default", "account", "macdef", '"', "\\",
         "#", "\r", "\n", "\n\n", "\0", "\N{SNOWMAN}", "secret", "\udcff")  # fmt: skip


def text_of(rng: random.Random) -> str:
    return "".join(rng.choice(LETTERS) for _ in range(rng.randrange(24)))


def environment_case(rng: random.Random) -> str:
    no_proxy = text_of(rng)
    with mock.patch.dict(os.environ, {"no_proxy": no_proxy}):
        for url in ("http://origin.test/", "http://[2001:db8::1]:8/", "http://192.0.2.7/"):
            if env.is_bypassed(URL(url), no_proxy) and "origin" in url:
                assert no_proxy.strip() == "*", no_proxy
    try:
        proxy = parse_proxy(rng.choice(("http", "socks5", "x")) + "://user:secret@" + text_of(rng))
        assert proxy.url.scheme in SCHEMES and proxy.url.host and proxy.url.port is not None
        assert proxy.url.raw_user is None and proxy.url == proxy.url.origin()
        word = "a proxy"
    except InvalidURL as exc:
        assert "secret" not in str(exc) + repr(exc)
        word = "no proxy"
    text = " ".join(rng.choice(NETRC) for _ in range(rng.randrange(14)))
    with tempfile.NamedTemporaryFile("w", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        with mock.patch.dict(os.environ, {"NETRC": file.name}), mock.patch.object(env, "logger"):
            read = env._read_netrc()
    if read is not None:
        auth = env._from_netrc(read, "origin.test")
        assert auth is None or {type(auth.login), type(auth.password)} == {str}
    return word


CASES = {"connect": connect_case, "socks": socks_case, "environment": environment_case}


def main(seconds: float, seed: int) -> None:
    counts: dict[str, int] = {}
    end, at = time.monotonic() + seconds, seed
    warnings.simplefilter("ignore")
    while time.monotonic() < end:
        for name, case in CASES.items():
            if name == "environment" and at % 10:
                continue  # it writes files
            try:
                word = f"{name}: {case(random.Random(at))}"
            except BaseException:
                print(f"proxies: FOUND SOMETHING in {name} with seed {at}", file=sys.stderr)
                raise
            counts[word] = counts.get(word, 0) + 1
        at += 1
    print(f"{'proxies':16} no finding: {sum(counts.values())} runs from seed {seed}, {counts}")


if __name__ == "__main__":
    main(
        float(sys.argv[1]) if len(sys.argv) > 1 else 120,
        int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 40),
    )
