"""CookieJar: what aiohttp's jar keeps and sends is what ours keeps and sends.

Where ours follows browsers instead: test_cookie_rules.py.
"""

from __future__ import annotations

import asyncio
import json
import random
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp._cookie_helpers as their_fields
import pytest
from yarl import URL

import uvolt.http._cookies as our_fields
from uvolt.http import _cookierules, _cookiestore, cookiejar
from uvolt.http.cookiejar import CookieJar, DummyCookieJar

URLS = [
    "http://example.com/",
    "http://example.com/a/b/c",
    "https://example.com/a/b/",
    "http://www.example.com/a",
    "https://a.www.example.com/",
    "http://other.org/a/b",
    "http://127.0.0.1/a",
    "http://[::1]/",
    "http://localhost:8080/x",
    "http://пример.рф/",
]
NAMES = ["a", "b", "session", "path", "x[1]", "big"]
VALUES = ["1", "two words", '"quoted"', 'q"uote', "é", "", "a=b", "x" * 900]
# Of servers, ours and aiohttp's jar take these alike, and send them back alike.
VALUES_ALIKE = ["1", "abc", '"two words"', '"quo\\"te"', "x" * 900]
ATTRIBUTES = [
    "Path=/",
    "Path=/a",
    "Path=/a/b/",
    "Path=relative",
    "Domain=example.com",
    "Domain=.example.com",
    "Domain=www.example.com",
    "Domain=other.org",
    "HttpOnly",
    "SameSite=Lax",
    "Max-Age=0",
    "Max-Age=-1",
    "Max-Age=1000",
    "Max-Age=999999999999999999999",
    "Expires=Wed, 09 Jun 2021 10:18:14 GMT",
    "Expires=Fri, 31 Dec 2137 23:59:59 GMT",
    "unknown=1",
]
MORE = ["Domain=example.com.", "Domain=com", "Secure", "Max-Age=nonsense", "Expires=nonsense"]
MORE += ['"quoted; semicolon"']
PIECES = [
    *ATTRIBUTES,
    *MORE,
    *NAMES,
    *VALUES,
    "=",
    ";",
    "; ",
    " ",
    '"',
    "\\",
    "\\042",
    "\t",
    ",",
    "\x01",
]
PIECES += ["\ud800", "x" * 4090, "Wed Jun  9 10:18:14 2021", "Wed, 09 Jun 2021 10:18:14 +0100"]


def in_loop(make: Any) -> Any:
    """make(), where aiohttp's classes find a running loop."""

    async def main() -> Any:
        return make()

    return asyncio.run(main())


def morsels(parsed: list[tuple[str, Any]]) -> list[Any]:
    return [(name, m.key, m.value, m.coded_value, dict(m)) for name, m in parsed]


@pytest.mark.parametrize("seed", range(8))
def test_fields_are_read_as_aiohttp_reads_them(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(2000):
        field = "".join(rng.choice(PIECES) for _ in range(rng.randint(0, 9)))
        ours = our_fields.parse_set_cookie_headers([field])
        assert morsels(ours) == morsels(their_fields.parse_set_cookie_headers([field])), field
        assert morsels(our_fields.parse_cookie_header(field)) == morsels(
            their_fields.parse_cookie_header(field)
        ), field


def test_no_more_than_fifty_cookies_of_a_response() -> None:
    fields = [f"a{i}=1" for i in range(60)]
    assert len(our_fields.parse_set_cookie_headers(fields)) == 50


def stored(jar: Any) -> Any:
    return (
        {
            place: {name: (m.value, m.coded_value, dict(m)) for name, m in cookies.items()}
            for place, cookies in jar.cookies.items()
        },
        jar.host_only_cookies,
        len(jar),
    )


def sent(jar: Any, url: str) -> Any:
    return [(n, m.key, m.value, m.coded_value) for n, m in jar.filter_cookies(URL(url)).items()]


@pytest.mark.parametrize("seed", range(16))
def test_keeps_and_sends_what_aiohttp_does(seed: int) -> None:
    rng = random.Random(seed)
    options: dict[str, Any] = {
        "unsafe": rng.random() < 0.5,
        "quote_cookie": rng.random() < 0.7,
        "treat_as_secure_origin": rng.choice([None, "http://example.com", [URL(URLS[3])]]),
    }
    ours = CookieJar(**options)
    theirs = in_loop(lambda: aiohttp.CookieJar(**options))
    for _ in range(150):
        url = rng.choice(URLS)
        what = rng.random()
        if what < 0.6:
            fields = [
                "; ".join(
                    [
                        f"{rng.choice(NAMES)}{rng.randint(0, 60)}={rng.choice(VALUES_ALIKE)}",
                        *rng.sample(ATTRIBUTES, rng.randint(0, 3)),
                    ]
                )
                for _ in range(rng.randint(1, 8))
            ]
            if url.startswith("https"):
                fields.append(f"secure{rng.randint(0, 9)}=1; Secure")
            for jar in (ours, theirs):
                jar.update_cookies_from_headers(fields, URL(url))
        elif what < 0.7:
            morsel: Morsel[str] = SimpleCookie("m=1; Path=/a")["m"]
            given: Any = rng.choice(
                [
                    {"a": "1"},
                    [("b", "two words")],
                    SimpleCookie("c=1; Domain=example.com"),
                    {"m": morsel},
                ]
            )
            origin = URL(rng.choice([url, ""]))
            for jar in (ours, theirs):
                jar.update_cookies(given, origin)
        elif what < 0.73:
            for jar in (ours, theirs):
                jar.clear_domain("example.com")
        elif what < 0.76:
            for jar in (ours, theirs):
                jar.clear(lambda cookie: cookie.key.startswith("a"))
        assert sent(ours, url) == sent(theirs, url)
        assert_same(ours, theirs)


def assert_same(ours: Any, theirs: Any) -> None:
    # An empty mapping of a place may stay behind in aiohttp's jar.
    ours_now, theirs_now = stored(ours), stored(theirs)
    assert ours_now[0] == {place: cookies for place, cookies in theirs_now[0].items() if cookies}
    assert ours_now[1:] == theirs_now[1:]


@pytest.mark.parametrize("seed", range(4))
def test_a_flood_of_cookies(seed: int) -> None:
    rng = random.Random(seed)
    ours, theirs = CookieJar(), in_loop(aiohttp.CookieJar)
    for i in range(6000):
        domain = rng.choice(["a.org", "b.org", f"{rng.randint(0, 60)}.org"])
        field = f"n{rng.randint(0, 400)}={i}{rng.choice(['', '; Secure', '; Max-Age=100'])}"
        for jar in (ours, theirs):
            jar.update_cookies_from_headers([field], URL(f"https://{domain}/"))
        if i % 100 == 0:
            url = f"{rng.choice(['http', 'https'])}://{domain}/"
            assert sent(ours, url) == sent(theirs, url)
    assert_same(ours, theirs)
    assert len(ours) <= _cookiestore.TOTAL_LIMIT


def test_cookies_of_a_request_have_no_limits() -> None:
    jar = cookiejar.RequestCookies()
    jar.update_cookies({f"a{i}": "x" * 100 for i in range(500)}, URL("http://example.com"))
    assert len(jar.filter_cookies(URL("http://example.com"))) == 500


def test_who_changes_the_private_mapping_changes_the_jar() -> None:
    """Programs do it with aiohttp's jar: jar._cookies.clear(), jar._cookies = what was pickled."""
    url = URL("https://example.com/")
    jar, other = CookieJar(), CookieJar()
    for _ in range(2):
        jar.update_cookies_from_headers(["a=1", "b=2; Domain=example.com; Secure", "c=3"], url)
        other.update_cookies_from_headers(["d=4; Path=/", "e=5; Max-Age=100"], url)
        mapping = jar._cookies
        mapping.clear()
        assert len(jar) == 0 and not jar.filter_cookies(url) and not list(jar)
        jar.update_cookies_from_headers(["a=6"], url)
        assert jar.cookie_header(url) == "a=6" and len(jar) == 1
        jar._cookies = other._cookies
        assert jar.cookie_header(url) == "d=4; e=5" and len(jar) == 2
        assert jar._cookies is mapping and len(other) == 2
        dict.__setitem__(
            mapping["example.com", ""], "f", SimpleCookie("f=7; Domain=example.com")["f"]
        )
        assert {*jar.filter_cookies(url)} == {"d", "e", "f"}
        del mapping["example.com", ""]["d"]
        assert {*jar.filter_cookies(url)} == {"e", "f"}
        mapping["other.org", ""] = SimpleCookie("g=8; Domain=other.org; Path=/")
        assert jar.cookie_header(URL("https://a.other.org/")) == "g=8"
        jar.clear_domain("example.com")
        assert [cookie.key for cookie in jar] == ["g"]
        jar.clear()
        assert not mapping and not jar.filter_cookies(url)


DATES = [
    "Tue, 1 Jan 1970 00:00:00 GMT",
    "Tue, 10 Sep 2013 10:18:14 GMT",
    "Tue, 1 Jan 70 00:00:00 GMT",
    "Tue, 10 Sep 13 10:18:14 GMT",
    "Sat 03-Jan-2034 01:02:03",
    "10:18:14 Sep 10 2013",
    "Tue, 99 Jan 1970 00:00:00 GMT",
    "Tue, 1 Jan 1600 00:00:00 GMT",
    "Tue, 1 Jan 1970 77:88:99 GMT",
    "1 Jan",
    "",
]


@pytest.mark.parametrize("text", DATES)
def test_dates(text: str) -> None:
    assert _cookierules.parse_date(text) == aiohttp.CookieJar._parse_date(text)


def filled() -> CookieJar:
    jar = CookieJar()
    jar.update_cookies_from_headers(
        [
            "a=1; Path=/x; HttpOnly",
            "b=2; Domain=example.com; Secure",
            "c=3; Max-Age=1000",
            "d=4; Expires=Fri, 31 Dec 2137 23:59:59 GMT",
            "e=0; Max-Age=0",
        ],
        URL("https://www.example.com/"),
    )
    return jar


def test_what_cannot_be_sent_is_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "cookies"
    bad = {"key": "a", "value": "1\r\nX: y", "coded_value": "1\r\nX: y"}
    file.write_text(json.dumps({"example.com|/": {"a": bad}}))
    jar = CookieJar()
    jar.update_cookies({"a": "\ud800"}, URL("http://example.com"))
    assert len(jar) == 0
    jar.load(file)
    assert len(jar) == 0


def test_dummy_jar() -> None:
    jar = DummyCookieJar()
    jar.update_cookies({"a": "1"}, URL("http://example.com"))
    jar.update_cookies_from_headers(["a=1"], URL("http://example.com"))
    assert not jar.filter_cookies(URL("http://example.com"))
    assert list(jar) == [] and len(jar) == 0 and not jar.cookies and not jar.host_only_cookies
    jar.clear()
    jar.clear_domain("a")
