"""Fuzz target: Set-Cookie and Cookie fields, the jar that reads them, and files of cookies.

An input is a byte that chooses, and fields, one a line; or the content of a file. Run it by
pyfuzz.py.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import re
import tempfile
from pathlib import Path
from typing import Any

import aiohttp._cookie_helpers as theirs
from yarl import URL

from uvolt.http import _cookies as ours
from uvolt.http._cookierules import is_domain_match, parse_date
from uvolt.http.cookiejar import CookieJar
from uvolt.http.publicsuffix import is_public_suffix

MODULES = [
    "uvolt.http._cookies",
    "uvolt.http._cookierules",
    "uvolt.http.cookiejar",
    "uvolt.http._cookiefile",
    "uvolt.http._cookiestore",
]

URLS = [
    URL("https://www.example.co.uk/a/b"),
    URL("http://www.example.co.uk/a/b"),
    URL("https://127.0.0.1/"),
    URL("https://localhost:8080/a/"),
]
FILE = Path(tempfile.gettempdir(), f"uvolt-fuzz-cookies-{id(object())}")
LIMIT = 8190
_control = re.compile(r"[\x00-\x1f\x7f]").search

logging.disable(logging.CRITICAL)


def plain(parsed: list[tuple[str, Any]]) -> list[Any]:
    return [(name, m.key, m.value, m.coded_value, dict(m)) for name, m in parsed]


def readers(fields: list[str]) -> None:
    """The lenient readers are aiohttp's."""
    assert plain(ours.parse_set_cookie_headers(fields)) == plain(
        theirs.parse_set_cookie_headers(fields)
    )
    for field in fields:
        assert plain(ours.parse_cookie_header(field)) == plain(theirs.parse_cookie_header(field))


def jar_of(fields: list[str], url: URL) -> CookieJar:
    """A jar that has read fields, and what must hold of it."""
    jar = CookieJar(unsafe=True)
    jar.update_cookies_from_headers(fields, url)
    assert len(jar) <= min(len(fields), ours.COOKIES_PER_RESPONSE)
    for key, entry in jar._store.entries.items():
        domain, _, name = key
        assert is_domain_match(domain, url.raw_host or "")
        assert entry.host_only or not is_public_suffix(domain) or domain == "127.0.0.1"
        assert entry.cookie["path"].startswith("/")
        assert url.scheme == "https" or not entry.cookie["secure"]
        assert len((name + entry.cookie.coded_value).encode()) <= ours.PAIR_LENGTH
        assert not re.match("__(secure|host)-", name, re.I) or entry.cookie["secure"]
    return jar


def what_is_sent(jar: CookieJar, url: URL) -> None:
    """Each pair is a cookie that was set, as it was set; nothing breaks the field."""
    header = jar.cookie_header(url)
    if header is None:
        return
    assert len(f"Cookie: {header}".encode()) <= LIMIT and not _control(header)
    kept = {(entry.key[2], entry.cookie.coded_value) for entry in jar._store.entries.values()}
    for pair in header.split(";"):
        name, equals, coded = pair.strip(" ").partition("=")
        assert equals and name and (name, coded) in kept, pair
        again = ours.parse_set_cookie(f"{name}={coded}")
        assert again is not None and (again.key, again.coded_value) == (name, coded)
    names = {morsel.key for morsel in jar.filter_cookies(url).values()}
    assert names <= {name for name, _ in kept}


def round_trip(jar: CookieJar, url: URL) -> None:
    """A file keeps what goes to a URL."""
    jar.save(FILE)
    loaded = CookieJar(unsafe=True)
    loaded.load(FILE)
    # Of paths that are as long, places come one after the other in a file.
    before, after = (set((j.cookie_header(url) or "").split("; ")) for j in (jar, loaded))
    assert before == after, (before, after)
    assert loaded.host_only_cookies == jar.host_only_cookies


def file(content: bytes) -> None:
    """A file of anything is read, or refused as load() says."""
    FILE.write_bytes(content)
    jar = CookieJar(unsafe=True)
    try:
        jar.load(FILE)
    except (ValueError, TypeError, pickle.UnpicklingError):
        assert len(jar) == 0
        return
    for url in URLS:
        header = jar.cookie_header(url) or ""
        assert not _control(header)
        header.encode()


def one_input(data: bytes) -> None:
    """Run one input; AssertionError for a finding."""
    asyncio.set_event_loop(None)
    if not data:
        return
    choice, rest = data[0], data[1:]
    if choice >= 0xC0:
        file(rest)
        return
    fields = rest.decode("utf-8", "surrogateescape" if choice & 1 else "replace").split("\n")
    url = URLS[(choice >> 1) % len(URLS)]
    readers(fields)
    for field in fields:
        when = parse_date(field)
        assert when is None or -12_000_000_000 < when < 260_000_000_000
    jar = jar_of(fields, url)
    for other in URLS:
        what_is_sent(jar, other)
    if choice & 0x38 == 0:
        round_trip(jar, url)
