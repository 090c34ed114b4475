"""The URL splitter against yarl: what it calls canonical, yarl sends byte for byte."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
import yarl
from proto_support import FRONT, Case, run

pytestmark = pytest.mark.once


@dataclass
class Url:
    flags: set[str]
    port: int
    spans: dict[str, bytes]

    @property
    def target(self) -> bytes:
        return b"/" * ("slash" in self.flags) + self.spans["target"]


def split(urls: list[str | bytes], flags: int = 0, flavour: str = "plain") -> list[Url | None]:
    data = [u.encode("utf-8", "surrogatepass") if isinstance(u, str) else u for u in urls]
    answers = run([Case("u", d, flags) for d in data], flavour)
    return [parse(answer) for answer in answers]


def parse(answer: str) -> Url | None:
    if answer == "no\n":
        return None
    first, second, *rest = answer.splitlines()
    spans = {name: bytes.fromhex(value) for name, value in (line.split(" ") for line in rest)}
    return Url(set(first.split()[1:]), int(second.split()[1]), spans)


def on_the_wire(text: str) -> tuple[str | None, int | None, str]:
    url = yarl.URL(text)
    return url.raw_host, url.port, url.raw_path_qs


# What a URL is made of: enough of each kind that all rules meet each other.
SCHEMES = ["http://"] * 8 + ["https://"] * 4 + ["HTTP://", "hTTps://", "http:", "http:/", "ftp://"]
HOSTS = (
    """
    localhost example.com Example.com a.b-c.d a_b.c 127.0.0.1 8.8.8.8 127.1 0x7f000001 2130706433
    1.2.3.256 01.2.3.4 1.2.3.4.5 1.2.3 a.1 a.0x1 1a.b a.1b [::1] [::1%25eth0] [1::0:2] ::1
    xn--nxasmq6b xn--a a.xn--b
    münchen.de a..b a. .a -a a- a.-b a%41 a%2fb a!b a*b a~b a'b user@h u:p@h :p@h u:@h
    a@b@h @h b\\h h\\@evil.com h%00 ａ.com
""".split()
    + ["", " ", "a b", "a" * 63, "a" * 64, "a." * 126 + "b", "a." * 127 + "b"]
)
PORTS = [""] * 12 + [":", ":0", ":1", ":80", ":080", ":443", ":8080", ":65535", ":65536", ":99999"]
PORTS += [":123456", ":-1", ":+1", ": 80", ":8o", ":८०"]
PATHS = (
    """
    / /a /a/b /a// // //a /. /.. /./a /../a /a/. /a/.. /a/./b /a/../b /... /.a /a. /..a /a../b /%2e
    /%2E%2e/ /%2f /%2F /%25 /%20 /%41 /%7E /%7e /%5B /%C3%A4 /%c3%a4 /%FF /% /%4 /%zz /%%41 /+ /%2B
    /a;b=c /a:b /a@b /a[b] /a{b} /a|b /a\\b /a^b /a`b /a"b /<a> /a'b /(a) /a,b /a!$&*= /ä /日本 a
    /~a /a%00b /%26%3D
""".split()
    + ["", "/a b", "/a\tb", "/a\nb", "/\x7f", "/\x01", "/a\r\nb", "/" + "x" * 300]
)
QUERIES = [""] * 6 + """
    ? ?a ?a=b ?a=b&c=d ?a=%20 ?a=+ ?a=%2B ?a=%26 ?a=%3D ?a=%3B ?a=%2F ?a=%3F ?a=/ ?a=? ?%41 ?a=%7E
    ?a=%c3%a4 ?a=%C3%A4 ?a=ä ?a=[b] ?a={b} ?a=| ?a=%5B ?a=%22 ?a=" ?a=' ?a=; ?a=: ?a=@ ?a=% ?a=%2
    ?a=../b ?a==b ?=& ?&&
""".split() + ["?a=b c", "?a=\t", "?a=\x00", "? ", "?a=b\n"]  # fmt: skip
FRAGMENTS = [""] * 8 + ["#", "#a", "#a?b", "#ä", "#a b", "#a\n", "#%41", "#a#b"]


def made(count: int, seed: int) -> list[str]:
    pick = random.Random(seed).choice
    return [
        pick(SCHEMES) + pick(HOSTS) + pick(PORTS) + pick(PATHS) + pick(QUERIES) + pick(FRAGMENTS)
        for _ in range(count)
    ]


def mutated(count: int, seed: int) -> list[str]:
    """URLs with a byte or two changed, added or dropped."""
    rng = random.Random(seed)
    seeds = ["http://example.com/a/b%20c?d=e%26f&g#h", "https://127.0.0.1:8080/x/y;z?q=1"]
    alphabet = [chr(c) for c in range(0x80)] + ["ä", "日", "\u200b", "\u2100", "%2F", "/.", "xn--"]
    out = []
    for _ in range(count):
        text = list(rng.choice(seeds))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(text))
            text[at : at + rng.randint(0, 1)] = [rng.choice(alphabet)] * rng.randint(0, 2)
        out.append("".join(text))
    return out


def check(urls: list[str]) -> int:
    """No false promise among these. Returns how many are called canonical."""
    canonical = 0
    for text, url in zip(urls, split(list(urls)), strict=True):
        if url is None or "canonical" not in url.flags:
            continue
        canonical += 1
        host, port, target = on_the_wire(text)
        ours = (url.spans["host"].decode(), url.port, url.target.decode())
        assert ours == (host, port, target), text
        assert "user" not in url.flags and yarl.URL(text).raw_user is None, text
        assert (url.port == (443 if "https" in url.flags else 80)) == ("default" in url.flags)
        assert yarl.URL(text).scheme == ("https" if "https" in url.flags else "http")
    return canonical


def test_no_false_promise() -> None:
    urls = made(60_000, 1) + mutated(60_000, 2)
    assert check(urls) > 5_000


def test_every_byte_and_escape() -> None:
    """Each byte by itself and as an escape in either case, in host, path, query and fragment."""
    urls = []
    for form in (
        "http://h{}/p",
        "http://h/p{}q",
        "http://h/p?q{}r",
        "http://h/p?q#f{}",
        "http://h{}",
    ):
        for code in range(0x100):
            urls += [form.format(x) for x in (chr(code), f"%{code:02X}", f"%{code:02x}")]
    check(urls)


def test_what_programs_ask_for_is_canonical() -> None:
    """The promise is worth something: none of these needs yarl."""
    urls: list[str | bytes] = [
        "http://127.0.0.1:8080/",
        "http://localhost:8000/api/v1/items?limit=10&offset=20",
        "https://example.com",
        "https://example.com?x=1",
        "https://api.example.com/users/42/posts.json",
        "https://example.com/a%20b/%C3%A4?q=a+b&r=%26&s=%C3%A4#top",
        "http://a_b.c-d.e:65535/~user/(x),y;z=1/@me:2/!$&'*+=",
        "http://h//a//b/.well-known/x..y/...",
    ]
    for text, url in zip(urls, split(urls), strict=True):
        assert url is not None and "canonical" in url.flags, text


DOUBTFUL = """
    http://127.1/ http://0x7f000001/ http://2130706433/ http://1.2.3.04/ http://Example.com/
    HTTP://h/ http://[::1]/ http://xn--nxasmq6b/ http://h./ http://u@h/ http://u:p@h/ http://h:/
    http://h:080/ http://h:0/ http://h/a/../b http://h/. http://h/%2e http://h/%7E http://h/%c3%a4
    http://h/? http://h/a%2 http://h/ä http://münchen.de/ http://a%2fb/ http://h\\@evil.com/
""".split()


def test_rows_62_to_65_are_yarls(flavour: str) -> None:
    """4.4: names and addresses that can be read in two ways, escapes in hosts, credentials."""
    urls: list[str | bytes] = list(DOUBTFUL)
    for front in (0, FRONT):
        for text, url in zip(urls, split(urls, front, flavour), strict=True):
            assert url is None or "canonical" not in url.flags, text


@pytest.mark.parametrize(
    "text", ["", "h", "http", "http:", "http:/", "http://", "https://", "http:///p", "ftp://h/",
             "http:h", "httpx://h", "http://:80", "http://u@", "http://[::1", "http://[::1]x",
             "http://h:65536", "http://h:8o", "http://h:1:2", "/p", "//h/p", " http://h/"]
)  # fmt: skip
def test_no_url(text: str, flavour: str) -> None:
    for front in (0, FRONT):
        assert split([text], front, flavour) == [None]


def test_parts() -> None:
    (url,) = split(["https://us%65r:p:w@[fe80::1]:8443/a/b?c=d?e#f?g"])
    assert url is not None
    assert url.flags == {"https", "user", "password", "port", "query", "fragment", "ipv6"}
    assert url.port == 8443
    assert url.spans == {
        "scheme": b"https",
        "user": b"us%65r",
        "password": b"p:w",
        "host": b"fe80::1",
        "path": b"/a/b",
        "query": b"c=d?e",
        "fragment": b"f?g",
        "target": b"/a/b?c=d?e",
    }


def test_parts_are_urllibs() -> None:
    """Also where nothing is promised, the pieces are those that urllib finds."""
    urls = [u for u in made(20_000, 3) if u.isprintable() and u == u.strip()]
    compared = 0
    for text, url in zip(urls, split(list(urls)), strict=True):
        if url is None:
            continue
        try:
            theirs = urlsplit(text)
            port = theirs.port
        except ValueError:
            continue
        pieces = {k: v.decode("utf-8") for k, v in url.spans.items()}
        assert theirs.path == pieces["path"] and theirs.query == pieces["query"], text
        assert theirs.fragment == pieces["fragment"], text
        assert (theirs.hostname or "") == pieces["host"].lower(), text
        assert (theirs.username or "") == pieces["user"], text
        assert (theirs.password or "") == pieces["password"], text
        assert port is None or port == url.port, text
        compared += 1
    assert compared > 5_000


def test_time_is_linear() -> None:
    """CVE-2020-7212, CVE-2021-33503: a megabyte of "%25", of "@", of "/."."""
    for piece in ("%25", "@", "/.", ".", "a@", ":", "?", "#", "["):
        (text,) = ["http://h/" + piece * 300_000]
        began = time.process_time()
        split([text, "http://" + piece * 300_000])
        assert time.process_time() - began < 10  # the answers' hexadecimal digits cost most of it
