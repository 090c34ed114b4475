"""The rules of RFC 6265 and its successor (RFC 6265bis, draft-ietf-httpbis-rfc6265bis) that need no
jar: whose cookie it may be, where it goes, until when."""

from __future__ import annotations

import calendar
import re
import time
from http.cookies import Morsel
from typing import Any, Final

from .helpers import is_ip_address

# Beyond the largest time that Python knows.
MAX_TIME: Final = calendar.timegm((9999, 12, 31, 23, 59, 58, 0, 1, 0))

_is_age = re.compile(r"[+-]?[0-9]{1,1024}").fullmatch


def is_domain_match(domain: str, hostname: str) -> bool:
    """Whether a domain's cookies go to a host (RFC 6265, 5.1.3)."""
    return hostname == domain or (hostname.endswith(f".{domain}") and not is_ip_address(hostname))


def is_path_match(path: str, url_path: str) -> bool:
    """Whether a path's cookies go with a URL of this path (RFC 6265, 5.1.4)."""
    return url_path.startswith(path) and (
        len(path) == len(url_path) or path.endswith("/") or url_path[len(path)] == "/"
    )


def default_path(path: str) -> str:
    """The folder of a URL's path, for a cookie that names none (RFC 6265, 5.1.4)."""
    return "/" + path[1 : path.rfind("/")] if path.startswith("/") else "/"


def keeps_prefix(name: str, cookie: Morsel[str]) -> bool:
    """Whether a cookie is what its name promises: __Secure- that it is Secure, __Host- that also
    no subdomain and no part of the site has set it (RFC 6265bis, 4.1.3; in any case of letters)."""
    prefix = name[:9].lower()
    if prefix.startswith("__host-"):
        return bool(cookie["secure"] and cookie["path"] == "/" and not cookie["domain"])
    return prefix != "__secure-" or bool(cookie["secure"])


def expiry_of(cookie: Morsel[str]) -> float | None:
    """When a cookie expires by its attributes, in seconds since the epoch; None: with the session.
    Attributes that say nothing are emptied, as aiohttp does."""
    age: Any = cookie["max-age"]
    if age:
        seconds = parse_age(str(age).strip())
        if seconds is None:
            cookie["max-age"] = ""
            return None
        return 0.0 if seconds <= 0 else min(time.time() + seconds, MAX_TIME)
    if cookie["expires"]:
        when = parse_date(cookie["expires"])
        if when is None:
            cookie["expires"] = ""
        return when
    return None


def parse_age(text: str) -> int | None:
    """Seconds of a Max-Age, MAX_TIME at most; None for what is no number."""
    if _is_age(text) is None:
        return None
    return min(int(text), MAX_TIME)


# ---- dates (RFC 6265, 5.1.1) --------------------------------------------------------------------

_tokens = re.compile(r"[^\x09\x20-\x2F\x3B-\x40\x5B-\x60\x7B-\x7E]+").findall
_clock = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?!\d)", re.ASCII).match
_day = re.compile(r"\d{1,2}(?!\d)", re.ASCII).match
_year = re.compile(r"\d{2,4}(?!\d)", re.ASCII).match
_MONTHS = ("jan feb mar apr may jun jul aug sep oct nov dec").split()


def parse_date(text: str) -> int | None:
    """A date in any of the forms that servers use, as seconds since the epoch."""
    clock: tuple[int, ...] | None = None
    day = month = year = None
    for token in _tokens(text):
        if clock is None and (found := _clock(token)):
            clock = tuple(int(number) for number in found.groups())
        elif day is None and (found := _day(token)):
            day = int(found[0])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (found := _year(token)):
            year = int(found[0])
    if clock is None or day is None or month is None or year is None:
        return None
    if year < 100:
        year += 1900 if year >= 70 else 2000
    hour, minute, second = clock
    if not 1 <= day <= 31 or year < 1601 or hour > 23 or minute > 59 or second > 59:
        return None
    return calendar.timegm((year, month, day, hour, minute, second))
