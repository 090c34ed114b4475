"""Cookies that servers set: the rules of browsers (RFC 6265bis), other than aiohttp's."""

from __future__ import annotations

import time
from collections.abc import Callable
from http.cookies import SimpleCookie
from typing import Any

import pytest
import support
from yarl import URL

from uvolt.http import _cookies, _cookiestore
from uvolt.http.cookiejar import CookieJar, RequestCookies

SITE = URL("https://www.example.com/a/b")
PLAIN = URL("http://www.example.com/a/b")


def names(jar: CookieJar) -> list[str]:
    return sorted(cookie.key for cookie in jar)


def header(*fields: str, url: URL = SITE, to: URL | None = None, **options: Any) -> str | None:
    """What goes to a URL after a response of another."""
    jar = CookieJar(**options)
    jar.update_cookies_from_headers(fields, url)
    return jar.cookie_header(to or url)


# ---- as it came ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pair",
    [
        "a=two words",
        "a=x, y",
        'a=A"B',
        'a="quoted"',
        'a="a\\054b"',
        "a=",
        "a===b",
        "a=é",
        "名=値",
        "a b=c",
        '"a=c',
        "a%0d%0aX: y=%0d%0aX: y",
    ],
)
def test_a_cookie_goes_back_as_it_came(pair: str) -> None:
    assert header(pair) == pair


def test_a_semicolon_ends_a_value_in_quotes() -> None:
    """Sent back whole, it would be two cookies: the second of a name that the site did not set."""
    assert header('a="b; __Host-session=mallory"') == 'a="b'


@pytest.mark.parametrize(
    "field",
    [
        "nameless",
        "=nameless",
        "",
        "a=\x00",
        "a=\x07b",
        "a=b\r\nX: y",
        "a\tb=c",
        "a,b=c",
        "a\\b=c",
        "a=b\tc",
        'a="\\012"',  # a line end when it is unquoted
        "a=\ud800",
        "a=" + "x" * 4096,
        "a" * 4096 + "=x",
        "a=é" + "é" * 2048,
    ],
)
def test_what_is_no_cookie(field: str) -> None:
    jar = CookieJar()
    jar.update_cookies_from_headers([field, "good=1"], SITE)
    assert names(jar) == ["good"]


def test_the_last_of_each_attribute_counts() -> None:
    jar = CookieJar()
    jar.update_cookies_from_headers(
        ["a=1; Path=/x; SECURE; path=/y; Max-Age=5; Max-Age=none; Path Info=/z; SameSite=Lax"], SITE
    )
    (cookie,) = jar
    assert (cookie["path"], cookie["max-age"], cookie["secure"]) == ("/y", "5", True)
    assert cookie["samesite"] == "Lax"


def test_an_attribute_that_is_too_long_does_not_count() -> None:
    jar = CookieJar()
    jar.update_cookies_from_headers([f"a=1; Path=/{'x' * 1023}", f"b=1; Path=/{'x' * 1024}"], SITE)
    assert {cookie.key: len(cookie["path"]) for cookie in jar} == {"a": 1024, "b": 2}


def test_attributes_need_semicolons() -> None:
    assert header("a=1; Secure Path=/x", url=PLAIN, to=PLAIN) == "a=1"
    assert header("a=1; HttpOnly Domain=example.com", to=URL("https://example.com/a/")) is None
    # But for those that end its life: as in aiohttp.
    assert header("a=1; Path=/ Expires=Tue, 1 Jan 1980 12:00:00 GMT; ") is None
    assert header("a=1; Path=/ expires = Tue, 1 Jan 1980 12:00:00 GMT Max-Age=9") == "a=1"
    assert header("a=1; HttpOnly; Path=/\tMax-Age=0; ") is None
    assert (
        header("a=1; Comment=x=y=z; Path=/a=b Expires", to=URL("https://www.example.com/")) is None
    )


# ---- order --------------------------------------------------------------------------------------


def test_longer_paths_go_first_then_older_cookies() -> None:
    jar = CookieJar()
    fields = ["z=1", "a=2", "a=3; Path=/a/b", "b=4; Path=/a/b", "m=5; Domain=example.com; Path=/a"]
    jar.update_cookies_from_headers(fields, SITE)
    jar.update_cookies_from_headers(["z=6"], SITE)  # as old as before
    assert jar.cookie_header(SITE) == "a=3; b=4; z=6; a=2; m=5"
    # By name there is one of each: what aiohttp gives.
    filtered = jar.filter_cookies(SITE)
    assert {name: morsel.value for name, morsel in filtered.items()} == {
        "m": "5",
        "z": "6",
        "a": "3",
        "b": "4",
    }


def test_the_programs_cookies_go_by_name() -> None:
    jar = CookieJar()
    jar.update_cookies({"z": "1", "a": "two words"})
    jar.update_cookies_from_headers(["m=1; Path=/", "b=1; Path=/"], SITE)
    assert jar.cookie_header(SITE) == 'a="two words"; z=1; m=1; b=1'


# ---- Secure and what names promise --------------------------------------------------------------


def test_secure_cookies_come_by_tls_only() -> None:
    assert header("a=1; Secure") == "a=1"
    assert header("a=1; Secure", url=PLAIN, to=SITE) is None
    assert header("a=1; Secure", to=PLAIN) is None
    assert header("a=1; Secure", url=PLAIN, treat_as_secure_origin=PLAIN) == "a=1"


def test_the_program_may_put_in_what_it_wants() -> None:
    jar = CookieJar()
    jar.update_cookies(SimpleCookie("__Host-a=1; Secure"), PLAIN)
    jar.update_cookies({"__Secure-b": "2"}, PLAIN)
    assert jar.cookie_header(SITE) == "__Host-a=1; __Secure-b=2"
    assert jar.cookie_header(PLAIN) == "__Secure-b=2"


def test_no_plain_response_replaces_a_secure_cookie() -> None:
    jar = CookieJar()
    jar.update_cookies_from_headers(
        ["sid=good; Secure; Path=/a", "wide=good; Secure; Domain=example.com; Path=/"], SITE
    )
    evil = ["sid=evil; Path=/a", "sid=evil; Path=/a/b", "wide=evil; Path=/a", "wide=evil; Path=/"]
    jar.update_cookies_from_headers(evil, PLAIN)
    jar.update_cookies_from_headers(["sid=evil; Domain=example.com; Path=/a"], PLAIN)
    jar.update_cookies_from_headers(["sid=; Path=/a; Max-Age=0"], PLAIN)
    assert jar.cookie_header(SITE) == "sid=good; wide=good"
    # Of another path or host it is another cookie; by TLS it is replaced.
    jar.update_cookies_from_headers(["sid=1; Path=/"], PLAIN)
    jar.update_cookies_from_headers(["sid=2"], URL("http://other.org/"))
    jar.update_cookies_from_headers(["wide=new; Domain=example.com; Path=/"], SITE)
    assert jar.cookie_header(SITE) == "sid=good; wide=new; sid=1"
    # What has gone protects nothing.
    jar.clear()
    jar.update_cookies_from_headers(["sid=plain"], PLAIN)
    assert jar.cookie_header(SITE) == "sid=plain"


@pytest.mark.parametrize(
    ("field", "kept"),
    [
        ("__Secure-a=1; Secure", True),
        ("__Secure-a=1; Secure; Domain=example.com; Path=/x", True),
        ("__Secure-a=1", False),
        ("__SECURE-a=1", False),
        ("__Host-a=1; Secure; Path=/", True),
        ("__hOsT-a=1; Secure; Path=/", True),
        ("__Host-a=1; Secure", False),
        ("__Host-a=1; Secure; Path=/a", False),
        ("__Host-a=1; Path=/", False),
        ("__Host-a=1; Secure; Path=/; Domain=www.example.com", False),
        ("__host-a=1; Secure; Path=/; Domain=www.example.com", False),
        ("__Host-a=1; Secure; Path=/; Domain=", True),
        ("__Other-a=1", True),
        ("_Host-a=1", True),
    ],
)
def test_prefixes(field: str, kept: bool) -> None:
    jar = CookieJar()
    jar.update_cookies_from_headers([field], SITE)
    assert len(jar) == kept
    jar = CookieJar()
    jar.update_cookies_from_headers([field], PLAIN)
    assert len(jar) == (kept and "Secure" not in field)


# ---- whose it may be ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "domain", "kept"),
    [
        ("www.example.com", "example.com", True),
        ("www.example.com", ".example.com", True),
        ("www.example.com", "EXAMPLE.com", True),
        ("www.example.com", '"example.com"', True),
        ("www.example.com", "www.example.com", True),
        ("www.example.com", "a.www.example.com", False),
        ("www.example.com", "ample.com", False),
        ("www.example.com", "other.org", False),
        ("www.example.com", "example.com.", False),
        ("www.example.com", "www.example.com.", False),
        ("www.example.com", "com", False),
        ("www.example.com", "..example.com", False),
        ("www.example.com", "", True),
        ("www.example.com", ".", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "0.0.1", False),
        ("127.0.0.1", "1", False),
        ("[::1]", "[::1]", False),
    ],
)
def test_domains(host: str, domain: str, kept: bool) -> None:
    jar = CookieJar(unsafe=True)
    jar.update_cookies_from_headers([f"a=1; Domain={domain}"], URL(f"https://{host}/"))
    assert len(jar) == kept
    assert bool(jar.filter_cookies(URL(f"https://{host}/"))) == kept


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "127.1"])
def test_addresses_have_no_cookies(host: str) -> None:
    url = URL(f"https://{host}/")
    assert header("a=1", url=url) is None
    assert header("a=1", url=url, unsafe=True) == "a=1"


@pytest.mark.parametrize("path", ["/caf%C3%A9", "/café", "/caf%C3%A9/"])
def test_a_path_with_escapes_is_the_same_path(path: str) -> None:
    where = URL("https://www.example.com/café/x")
    assert header(f"a=1; Path={path}", to=where) == "a=1"
    assert header("a=1", url=where, to=URL("https://www.example.com/caf%C3%A9/y")) == "a=1"
    assert header(f"a=1; Path={path}", to=URL("https://www.example.com/cafe/x")) is None


def test_a_host_only_cookie_that_is_set_again_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp #13674: it was for subdomains, too, when its time was over and it came again."""
    now = 1_000_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    jar = CookieJar()
    for _ in range(3):
        jar.update_cookies_from_headers(["a=1; Max-Age=10; Path=/"], SITE)
        assert jar.cookie_header(SITE) == "a=1"
        assert jar.cookie_header(URL("https://sub.www.example.com/")) is None
        now += 11


# ---- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "left"),
    [
        ("Expires=Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Expires=Fri, 31 Dec 9999 23:59:59 GMT", 1),
        ("Expires=Fri, 31 Dec 2137 23:59:59 GMT; Max-Age=0", 0),
        ("Max-Age=0; Expires=Fri, 31 Dec 2137 23:59:59 GMT", 0),
        ("Max-Age=none; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Expires=none", 1),
        ("Max-Age=-99999999999999999999999", 0),
        ("Max-Age=" + "9" * 1000, 1),
        ("Max-Age=1_000_000", 1),
        ("Max-Age=٣", 1),
    ],
)
def test_deletion_and_far_futures(attributes: str, left: int) -> None:
    jar = CookieJar()
    jar.update_cookies_from_headers(["a=1"], SITE)
    jar.update_cookies_from_headers([f"a=2; {attributes}"], SITE)
    assert len(jar) == left


def test_a_cookie_goes_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    jar = CookieJar()
    fields = ["a=1; Max-Age=10", "b=1; Expires=Sun, 09 Sep 2001 01:46:50 GMT", "c=1"]
    jar.update_cookies_from_headers(fields, SITE)
    now += 9
    assert jar.cookie_header(SITE) == "a=1; b=1; c=1"
    jar.update_cookies_from_headers(["a=1; Max-Age=100"], SITE)
    now += 1
    assert jar.cookie_header(SITE) == "a=1; c=1"
    now += 100
    assert jar.cookie_header(SITE) == "c=1"


# ---- how much -----------------------------------------------------------------------------------


def test_a_response_sets_fifty_cookies() -> None:
    jar = CookieJar()
    jar.update_cookies_from_headers([*["bad"] * 60, *[f"a{i}=1" for i in range(60)]], SITE)
    assert len(jar) == 50


def test_a_flood_leaves_a_jar_and_a_request_small() -> None:
    jar = CookieJar()
    for i in range(400):
        fields = [f"n{i}x{j}={'x' * 500}" for j in range(50)]
        jar.update_cookies_from_headers(fields, URL(f"https://h{i % 99}.example.com/"))
    assert len(jar) <= _cookiestore.TOTAL_LIMIT
    assert all(domain.count <= _cookiestore.DOMAIN_LIMIT for domain in jar._store.domains.values())
    sent = jar.cookie_header(URL("https://h1.example.com/"))
    assert sent and len(f"Cookie: {sent}") <= 8190


def test_a_flood_of_a_site_next_door_leaves_a_hosts_own_cookies() -> None:
    jar = CookieJar()
    jar.update_cookies_from_headers(["sid=mine"], URL("https://app.example.com/"))
    for batch in range(10):
        fields = [f"p{batch}x{i}={'x' * 99}; Domain=example.com; Path=/" for i in range(50)]
        jar.update_cookies_from_headers(fields, URL("https://evil.example.com/"))
    sent = jar.cookie_header(URL("https://app.example.com/"))
    assert sent and "sid=mine" in sent.split("; ")


def test_a_request_may_bring_any_number() -> None:
    jar = RequestCookies()
    jar.update_cookies({f"a{i}": "x" * 100 for i in range(500)})
    assert len(jar.filter_cookies(SITE)) == 500


def test_one_cookie_set_again_and_again_takes_no_room() -> None:
    jar = CookieJar()
    for i in range(5000):
        when = "; Expires=Fri, 31 Dec 2137 23:59:59 GMT" if i % 2 else ""
        jar.update_cookies_from_headers([f"a={i}{when}"], SITE)
    assert len(jar) == 1 and len(jar._store.heap) < 300


# ---- cost ---------------------------------------------------------------------------------------

HOSTILE: list[Callable[[int], str]] = [
    lambda n: "a=" + "x" * n,
    lambda n: "a=" + '"' * n,
    lambda n: "a=" + "\\" * n,
    lambda n: 'a="' + '\\"' * n,
    lambda n: "a=1" + ";" * n,
    lambda n: "a=1;" + " " * n,
    lambda n: "a=1" + "; a" * n,
    lambda n: "a=1" + '; a="' * n,
    lambda n: 'a="' + 'x="\\";' * n,
    lambda n: "a=1; expires=" + "," * n,
    lambda n: "a=1; expires=" + "1:1:" * n,
    lambda n: "a=1" + "; expires=Wed, 09 Jun 2021 10:18:14" * n,
    lambda n: "a=1; max-age=" + "9" * n,
    lambda n: "a=1; domain=" + "." * n,
    lambda n: "a=1; domain=" + "a." * n + "example.com",
    lambda n: "a=1; path=" + "/" * n,
    lambda n: "a" * n + "=1",
    lambda n: " " * n + "a=1",
    lambda n: "a" + " " * n + "=1",
    lambda n: "a =" * n,
]


def cost(parse: Callable[[Any], Any], what: Any) -> float:
    """Seconds of processor time of the quickest of some runs."""
    best = 9.0
    for _ in range(5):
        begin = time.process_time()
        parse(what)
        best = min(best, time.process_time() - begin)
    return best


def assert_linear(parse: Callable[[Any], Any], make: Callable[[int], Any]) -> None:
    """Eight times as much takes eight times as long: 64 times if it were quadratic."""
    parse(make(100))  # what is read or compiled once
    short, long = cost(parse, make(20_000)), cost(parse, make(160_000))
    assert long < max(24 * short, 0.01 * support.SLOW), (short, long)


def into_jar(field: str) -> None:
    CookieJar().update_cookies_from_headers([field], SITE)


def into_response(field: str) -> None:
    _cookies.parse_set_cookie_headers([field])


PARSERS = [into_jar, into_response, _cookies.parse_cookie_header]


@pytest.mark.once
@pytest.mark.parametrize("which", range(len(HOSTILE)))
@pytest.mark.parametrize("parse", PARSERS, ids=["jar", "response", "header"])
def test_the_cost_of_a_field_is_linear(parse: Callable[[str], Any], which: int) -> None:
    assert_linear(parse, lambda n: HOSTILE[which](n)[:n])


@pytest.mark.once
@pytest.mark.parametrize(
    "make",
    [
        lambda n: "https://www.example.com/" + "a/" * (n // 2),
        lambda n: "https://www.example.com" + "/" * n,
        lambda n: "https://" + "a." * (n // 2) + "example.com/",
    ],
    ids=["folders", "slashes", "labels"],
)
def test_the_cost_of_a_url_is_linear(make: Callable[[int], str]) -> None:
    jar = CookieJar()
    jar.update_cookies_from_headers(
        [f"a{i}=1; Path=/{'a/' * i}; Domain=example.com" for i in range(50)], SITE
    )
    assert_linear(jar.cookie_header, lambda n: URL(make(n), encoded=True))
