"""Files of cookies: ours and aiohttp's read each other's; no other file does harm."""

from __future__ import annotations

import collections
import http.cookies
import json
import os
import pickle
import stat
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from test_cookiejar import filled, in_loop, sent, stored
from yarl import URL

from uvolt.http.cookiejar import CookieJar

SITE = URL("https://www.example.com/x/y")
FIELDS = [
    "host=1; Path=/x; HttpOnly; SameSite=Strict",
    "wide=2; Domain=example.com; Secure; Path=/",
    'quoted="a b"; Comment=none; Version=1',
    "soon=3; Max-Age=1000",
    "later=4; Expires=Fri, 31 Dec 2137 23:59:59 GMT",
]


def kinds() -> list[Any]:
    return [CookieJar, lambda: in_loop(aiohttp.CookieJar)]


@pytest.mark.parametrize("write", kinds(), ids=["ours", "aiohttp"])
@pytest.mark.parametrize("read", kinds(), ids=["ours", "aiohttp"])
def test_both_ways(tmp_path: Path, write: Any, read: Any) -> None:
    file = tmp_path / "cookies"
    source, target = write(), read()
    source.update_cookies_from_headers(FIELDS, SITE)
    source.update_cookies({"everywhere": "5"})
    source.save(file)
    target.load(str(file))
    assert target.host_only_cookies == source.host_only_cookies
    urls = [SITE, URL("http://www.example.com/x/"), URL("https://a.example.com/"), URL("http://b/")]
    for url in urls:
        assert sent(target, str(url)) == sent(source, str(url))
    again = tmp_path / "again"
    target.save(again)
    assert json.loads(again.read_bytes()) == json.loads(file.read_bytes())


def test_the_same_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.0)
    for name, make in zip(("ours", "theirs"), kinds(), strict=True):
        jar = make()
        jar.update_cookies_from_headers(FIELDS[:5], SITE)
        jar.update_cookies({"everywhere": "5"})
        jar.save(tmp_path / name)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_for_its_owners_eyes_only(tmp_path: Path) -> None:
    file = tmp_path / "cookies"
    before = os.umask(0)
    try:
        filled().save(file)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_host_only_cookie_stays_one(tmp_path: Path) -> None:
    """CVE-2026-54279."""
    jar = CookieJar()
    jar.update_cookies_from_headers(["a=1", "b=2; Domain=example.com"], SITE)
    jar.save(tmp_path / "cookies")
    loaded = CookieJar()
    loaded.load(tmp_path / "cookies")
    below = sent(loaded, "https://sub.www.example.com/x/y")
    assert [name for name, *_ in below] == ["b"]


def test_views_stay_alive(tmp_path: Path) -> None:
    jar = filled()
    jar.save(tmp_path / "cookies")
    loaded = CookieJar()
    loaded.update_cookies({"old": "1"})
    view = loaded.cookies
    loaded.load(tmp_path / "cookies")
    assert set(view) == set(jar.cookies) and len(loaded) == len(jar)
    loaded.update_cookies({"new": "1"})
    assert ("", "") in view


def test_time_goes_on_while_a_file_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    jar = CookieJar()
    jar.update_cookies_from_headers(["a=1; Max-Age=100", "b=1"], SITE)
    jar.save(tmp_path / "cookies")
    now += 101
    loaded = CookieJar()
    loaded.load(tmp_path / "cookies")
    assert [cookie.key for cookie in loaded] == ["b"]


BAD: list[Any] = [
    [],
    {"example.com|/": {"a": {}}},
    {"example.com|/": {"a": {"key": 1, "value": "1", "coded_value": "1"}}},
    {"example.com|/": {"a": {"key": "a", "value": "1", "coded_value": "1", "path": 5}}},
    {"example.com|/": {"a": {"key": "a", "value": "1", "coded_value": "1", "domain": ["x"]}}},
    {"example.com|/": {"a": {"key": "a", "value": "1", "coded_value": "1", "secure": {}}}},
    {"example.com|/": []},
    {"a b|/": {"a": {"key": "a", "value": "1", "coded_value": "1"}}},
    *(
        {"e.com|": {"a": {"key": "a", "value": "1", "coded_value": "1", "expires_timestamp": when}}}
        for when in ("soon", 1e999, float("nan"), 10**400, [])
    ),
]


@pytest.mark.parametrize("content", [b"", b"no JSON", b"\xff\xfe", b"\x80", b"\x80\x04N.", *BAD])
def test_a_file_of_another_kind_changes_nothing(tmp_path: Path, content: Any) -> None:
    file = tmp_path / "cookies"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    jar = filled()
    before = stored(jar)
    with pytest.raises((ValueError, TypeError, pickle.UnpicklingError)):
        jar.load(file)
    assert stored(jar) == before


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        CookieJar().load(tmp_path / "none")


@pytest.mark.parametrize(
    ("value", "coded"), [("1\r\nX: y", "1"), ("1", "1\r\nX: y"), ("\ud800", "1"), ("1", "a; b=2")]
)
def test_nothing_of_a_file_breaks_a_field(tmp_path: Path, value: str, coded: str) -> None:
    file = tmp_path / "cookies"
    bad = {"key": "a", "value": value, "coded_value": coded}
    file.write_text(json.dumps({"example.com|": {"a": bad}}))
    jar = CookieJar()
    jar.load(file)
    field = jar.cookie_header(URL("https://example.com/")) or ""
    assert field in ("", "a=1")


def test_limits_hold_for_files(tmp_path: Path) -> None:
    file = tmp_path / "cookies"
    record = {"key": "a", "value": "1", "coded_value": "1"}
    data = {"example.com|": {f"a{i}": dict(record, key=f"a{i}") for i in range(1000)}}
    file.write_text(json.dumps(data))
    jar = CookieJar()
    jar.load(file)
    assert len(jar) <= 180


def test_a_file_gives_no_one_cookies_of_a_public_suffix(tmp_path: Path) -> None:
    file = tmp_path / "cookies"
    record = {"key": "a", "value": "1", "coded_value": "1", "domain": "co.uk", "path": "/"}
    file.write_text(json.dumps({"co.uk|": {"a": record}}))
    jar = CookieJar()
    jar.load(file)
    assert sent(jar, "https://example.co.uk/") == []


# ---- pickles: aiohttp's files of before ---------------------------------------------------------


def old_file(path: Path, jar: CookieJar) -> Path:
    """What aiohttp's save() wrote once."""
    cookies: Any = collections.defaultdict(http.cookies.SimpleCookie)
    cookies.update(jar.cookies)
    path.write_bytes(pickle.dumps(cookies, pickle.HIGHEST_PROTOCOL))
    return path


def test_old_files_are_read(tmp_path: Path) -> None:
    jar = CookieJar()
    jar.update_cookies_from_headers(FIELDS[:5], SITE)
    file = old_file(tmp_path / "cookies", jar)
    ours, theirs = CookieJar(), in_loop(aiohttp.CookieJar)
    ours.load(file)
    theirs.load(file)
    assert sent(ours, str(SITE)) == sent(theirs, str(SITE)) == sent(jar, str(SITE))


class Evil:
    """Unpickled, it would make a file."""

    def __init__(self, call: Any, *args: Any) -> None:
        self.how = (call, args)

    def __reduce__(self) -> Any:
        return self.how


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("call", [os.mkdir, eval, __import__, open], ids=lambda call: call.__name__)
def test_a_pickle_runs_no_code(tmp_path: Path, call: Any, protocol: int) -> None:
    """CVE-2026-34993."""
    victim = tmp_path / "made"
    argument = f"__import__('os').mkdir({str(victim)!r})" if call is eval else str(victim)
    file = tmp_path / "cookies"
    for what in (Evil(call, argument), {("a", "b"): {"c": Evil(call, argument)}}):
        file.write_bytes(pickle.dumps(what, protocol))
        jar = filled()
        with pytest.raises(pickle.UnpicklingError, match="Forbidden class"):
            jar.load(file)
        assert not victim.exists() and len(jar) == len(filled())


def test_a_pickle_takes_no_memory(tmp_path: Path) -> None:
    """One byte of memo number 2**30: the unpickler in C takes 16 GiB for it."""
    file = tmp_path / "cookies"
    file.write_bytes(b"\x80\x04}r\x00\x00\x00\x40.")
    CookieJar().load(file)


def test_a_pickle_takes_no_time(tmp_path: Path) -> None:
    """A tuple of a tuple of a tuple ...: to hash it would take 2**60 steps."""
    deep: Any = ("a", "b")
    for _ in range(60):
        deep = (deep, deep)
    file = tmp_path / "cookies"
    for protocol in (2, 5):
        file.write_bytes(pickle.dumps(deep, protocol)[:-1] + b"}\x85.")
        with pytest.raises(pickle.UnpicklingError, match="tuples of tuples"):
            CookieJar().load(file)


def test_a_pickled_cookie_brings_nothing_else(tmp_path: Path) -> None:
    morsel: Any = http.cookies.SimpleCookie("a=1")["a"]
    morsel.OutputString = "not a function"
    cookies = {("example.com", ""): http.cookies.SimpleCookie()}
    dict.__setitem__(cookies["example.com", ""], "a", morsel)
    file = tmp_path / "cookies"
    file.write_bytes(pickle.dumps(cookies, 4))
    jar = CookieJar()
    jar.load(file)
    (cookie,) = jar
    assert callable(cookie.OutputString)
    assert sent(jar, "https://example.com/") == [("a", "a", "1", "1")]
