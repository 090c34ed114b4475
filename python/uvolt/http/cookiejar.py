"""CookieJar and DummyCookieJar: which cookies are kept, and which go with a request.

Follows RFC 6265 as aiohttp does (https://docs.aiohttp.org/en/stable/client_reference.html#cookiejar);
how much is kept, and what goes first, is as in Firefox.
"""

from __future__ import annotations

import asyncio
import calendar
import contextlib
import heapq
import itertools
import json
import math
import os
import re
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.cookies import BaseCookie, Morsel, SimpleCookie
from types import MappingProxyType
from typing import Any, Final

from yarl import URL

from ._cookies import (
    as_received,
    control,
    encoded_length,
    logger,
    make_morsel,
    parse_set_cookie_headers,
)
from .abc import AbstractCookieJar, ClearCookiePredicate
from .helpers import is_ip_address
from .typedefs import LooseCookies, PathLike, StrOrURL

__all__ = ("CookieJar", "DummyCookieJar")

# A domain or jar that reaches the first number is cut down to the second.
DOMAIN_LIMIT: Final = 180
DOMAIN_QUOTA: Final = 150
TOTAL_LIMIT: Final = 3300
TOTAL_QUOTA: Final = 3000
REQUEST_LIMIT: Final = 150  # cookies of one request
HEADER_LIMIT: Final = 8190  # bytes of the Cookie field, its name included
# Beyond the largest time that Python knows.
MAX_TIME: Final = calendar.timegm((9999, 12, 31, 23, 59, 58, 0, 1, 0))
# An expiry heap this long is looked through for entries that mean nothing any more.
HEAP_SLACK: Final = 100

NO_URL: Final = URL()

Key = tuple[str, str, str]  # domain, path, name: what makes a cookie that one


class _Entry:
    """What the jar knows of a stored cookie beside its morsel."""

    __slots__ = ("expires", "host_only", "length", "sent", "used")

    def __init__(self, host_only: bool, expires: float | None) -> None:
        self.host_only = host_only  # for the host that set it alone
        self.expires = expires  # seconds since the epoch; None: with the session
        self.used = 0  # a number that grows with every use
        self.sent: Morsel[str] | None = None  # as it is sent, made when first needed
        self.length = 0  # bytes of that


class CookieJar(AbstractCookieJar):
    """Cookies of a session.

    unsafe: hosts that are addresses may have cookies too. quote_cookie: values with special
    characters are sent in quotes. treat_as_secure_origin: URLs whose origins get Secure cookies
    without TLS.
    """

    _limited = True

    def __init__(
        self,
        *,
        unsafe: bool = False,
        quote_cookie: bool = True,
        treat_as_secure_origin: StrOrURL | Iterable[StrOrURL] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(loop=loop)
        self._unsafe = unsafe
        self._quote_cookie = quote_cookie
        if treat_as_secure_origin is None:
            origins: Iterable[StrOrURL] = ()
        elif isinstance(treat_as_secure_origin, str | URL):
            origins = (treat_as_secure_origin,)
        else:
            origins = treat_as_secure_origin
        self._treat_as_secure_origin = frozenset(URL(url).origin() for url in origins)
        self._cookies: dict[tuple[str, str], SimpleCookie] = {}
        self._forget_all()

    def _forget_all(self) -> None:
        self._cookies.clear()
        self._entries: dict[Key, _Entry] = {}
        self._domains: dict[str, int] = {}  # how many cookies of each
        self._heap: list[tuple[float, Key]] = []  # some entries are out of date
        self._uses = 0

    # ---- what there is

    @property
    def unsafe(self) -> bool:
        """Whether hosts that are addresses may have cookies."""
        return self._unsafe

    @property
    def quote_cookie(self) -> bool:
        """Whether values with special characters are sent in quotes."""
        return self._quote_cookie

    @property
    def treat_as_secure_origin(self) -> frozenset[URL]:
        """Origins that get Secure cookies without TLS."""
        return self._treat_as_secure_origin

    @property
    def cookies(self) -> Mapping[tuple[str, str], SimpleCookie]:
        """A view of the cookies by (domain, path)."""
        return MappingProxyType(self._cookies)

    @property
    def host_only_cookies(self) -> frozenset[Key]:
        """(domain, path, name) of those that subdomains do not get."""
        return frozenset(key for key, entry in self._entries.items() if entry.host_only)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Morsel[str]]:
        self._expire()
        for cookies in self._cookies.values():
            yield from cookies.values()

    def _morsels(self) -> Iterator[tuple[Key, Morsel[str]]]:
        for (domain, path), cookies in self._cookies.items():
            for name, morsel in cookies.items():
                yield (domain, path, name), morsel

    # ---- dropping

    def clear(self, predicate: ClearCookiePredicate | None = None) -> None:
        """Drop all cookies, or those for which predicate(morsel) is true and those expired."""
        if predicate is None:
            self._forget_all()
            return
        now = time.time()
        self._delete(
            [
                key
                for key, morsel in self._morsels()
                if _is_over(self._entries[key], now) or predicate(morsel)
            ]
        )

    def clear_domain(self, domain: str) -> None:
        """Drop the cookies of a domain and its subdomains."""
        self.clear(lambda morsel: self._is_domain_match(domain, morsel["domain"]))

    def _delete(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if self._entries.pop(key, None) is None:
                continue
            domain, path, name = key
            cookies = self._cookies[domain, path]
            del cookies[name]
            if not cookies:
                del self._cookies[domain, path]
            self._domains[domain] -= 1
            if not self._domains[domain]:
                del self._domains[domain]

    def _expire(self) -> None:
        """Drop what has expired."""
        heap = self._heap
        if len(heap) > HEAP_SLACK and len(heap) > 2 * len(self._entries):
            heap[:] = [item for item in heap if self._is_current(item)]
            heapq.heapify(heap)
        now = time.time()
        while heap and heap[0][0] <= now:
            item = heapq.heappop(heap)
            if self._is_current(item):
                self._delete([item[1]])

    def _is_current(self, item: tuple[float, Key]) -> bool:
        entry = self._entries.get(item[1])
        return entry is not None and entry.expires == item[0]

    def _make_room(self, domain: str, secure: bool) -> bool:
        """Drop what has expired, then what was not used for longest, where a limit is reached;
        Secure cookies only for another one. Whether there is room then."""
        if self._domains.get(domain, 0) < DOMAIN_LIMIT:
            self._expire()
            if len(self._entries) > TOTAL_QUOTA:
                oldest = sorted(self._entries, key=lambda key: self._entries[key].used)
                excess = len(self._entries) - TOTAL_QUOTA
                self._delete(oldest[:excess])
                logger.debug(
                    "Evicted %d cookie(s) over the %d-cookie total limit", excess, TOTAL_LIMIT
                )
            return True
        self._expire()
        count = self._domains.get(domain, 0)
        if count < DOMAIN_QUOTA:
            return True
        of_domain = [(key, morsel) for key, morsel in self._morsels() if key[0] == domain]
        victims = [key for key, morsel in of_domain if not morsel["secure"]]
        if not victims:
            if count < DOMAIN_LIMIT:
                return True
            if not secure:
                return False
            victims = [key for key, _ in of_domain]
        victims.sort(key=lambda key: (self._entries[key].used, key))
        victims = victims[: count - DOMAIN_QUOTA + 1]
        self._delete(victims)
        logger.debug(
            "Evicted %d cookie(s) for %s over the %d-cookie domain limit",
            len(victims),
            domain,
            DOMAIN_LIMIT,
        )
        return True

    # ---- taking in

    def update_cookies(self, cookies: LooseCookies, response_url: URL = NO_URL) -> None:
        """Take cookies in, as if response_url had set them; without one they go everywhere."""
        pairs = cookies.items() if isinstance(cookies, Mapping) else cookies
        hostname = response_url.raw_host
        if self._unsafe or not is_ip_address(hostname):
            for name, value in pairs:
                if isinstance(value, Morsel):
                    self._take(name, value.copy(), response_url)
                else:
                    made: SimpleCookie = SimpleCookie()
                    made[name] = value  # type: ignore[assignment]
                    self._take(name, made[name], response_url)
            self._expire()

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        """Take in the values of Set-Cookie fields."""
        if headers and (self._unsafe or not is_ip_address(response_url.raw_host)):
            for name, morsel in parse_set_cookie_headers(headers):
                self._take(name, morsel, response_url)
            self._expire()

    def _take(self, name: str, cookie: Morsel[str], url: URL, expires: float | None = None) -> None:
        """Store a cookie, which is the jar's from now on (RFC 6265, 5.3). expires overrules the
        cookie's own attributes."""
        host = url.raw_host
        domain = cookie["domain"]
        if domain.endswith("."):
            domain = ""
        domain = domain.removeprefix(".")
        cookie["domain"] = domain
        if domain and host and not self._is_domain_match(domain, host):
            return
        host_only = not domain and host is not None
        if host_only:
            assert host is not None
            domain = host
        if not cookie["path"].startswith("/"):
            cookie["path"] = _default_path(url.path)
        path = cookie["path"].rstrip("/")
        if expires is None:
            expires = self._expiry_of(cookie)
        if self._limited and not _can_be_sent(cookie):
            logger.debug("Dropped cookie %r for %s: it cannot be sent", name, domain)
            return
        key = (domain, path, name)
        entry = self._entries.get(key)
        is_full = self._domains.get(domain, 0) >= DOMAIN_LIMIT or len(self._entries) >= TOTAL_LIMIT
        if (
            entry is None
            and self._limited
            and is_full
            # One that only deletes another costs no other its place.
            and (expires is None or expires > time.time())
            and not self._make_room(domain, bool(cookie["secure"]))
        ):
            logger.debug("Dropped cookie %r for %s: it is full of Secure ones", name, domain)
            return
        if host_only:
            cookie["domain"] = domain
        if entry is None:
            self._domains[domain] = self._domains.get(domain, 0) + 1
        self._entries[key] = entry = _Entry(host_only, expires)
        self._uses += 1
        entry.used = self._uses
        self._cookies.setdefault((domain, path), SimpleCookie())[name] = cookie
        if expires is not None:
            heapq.heappush(self._heap, (expires, key))

    def _expiry_of(self, cookie: Morsel[str]) -> float | None:
        """When a cookie expires by its attributes; those that say nothing are emptied."""
        if cookie["max-age"]:
            try:
                age = int(cookie["max-age"])
            except ValueError:
                cookie["max-age"] = ""
                return None
            return 0.0 if age <= 0 else min(time.time() + min(age, MAX_TIME), MAX_TIME)
        if cookie["expires"]:
            when = parse_date(cookie["expires"])
            if when:
                return when
            cookie["expires"] = ""
        return None

    # ---- sending

    def filter_cookies(self, request_url: URL = NO_URL) -> BaseCookie[str]:
        """The cookies that go with a request to this URL, the most specific last."""
        filtered: BaseCookie[str] = BaseCookie()
        if self._cookies:
            self._expire()
        if not self._cookies:
            return filtered
        if type(request_url) is not URL:
            warnings.warn(
                "filter_cookies expects yarl.URL instances only,"
                f"and will stop working in 4.x, got {type(request_url)}",
                DeprecationWarning,
                stacklevel=2,
            )
            request_url = URL(request_url)
        selected = self._select(request_url)
        if self._limited:
            self._keep_within_limits(selected, request_url.raw_host or "")
            self._uses += 1
            for entry in selected.values():
                entry.used = self._uses
        for name, entry in selected.items():
            assert entry.sent is not None
            dict.__setitem__(filtered, name, entry.sent)
        return filtered

    def _select(self, url: URL) -> dict[str, _Entry]:
        host = url.raw_host or ""
        is_secure = self._is_secure(url)
        if not is_ip_address(host):
            labels = host.split(".")
            domains = [".".join(labels[i:]) for i in range(len(labels) - 1, -1, -1)]
        else:
            domains = [host] if self._unsafe else []
        paths = list(itertools.accumulate(url.path.split("/"), "{}/{}".format))
        places = [(domain, path) for domain in domains for path in paths]
        selected: dict[str, _Entry] = {}
        # Cookies without a domain go everywhere.
        for place in itertools.chain([("", "")], (at for at in places if at != ("", ""))):
            for name, cookie in self._cookies.get(place, {}).items():
                entry = self._entries[place[0], place[1], name]
                if place != ("", "") and (
                    (entry.host_only and cookie["domain"] != host)
                    # A cookie's path may end in a slash where the URL's does not.
                    or len(cookie["path"]) > len(url.path)
                ):
                    continue
                if cookie["secure"] and not is_secure:
                    continue
                if entry.sent is None:
                    entry.sent = self._as_sent(cookie)
                    pair = f"{entry.sent.key}={entry.sent.coded_value}"
                    entry.length = encoded_length(pair) or 0
                selected.pop(name, None)
                selected[name] = entry
        return selected

    def _is_secure(self, url: URL) -> bool:
        if url.scheme in ("https", "wss"):
            return True
        if not self._treat_as_secure_origin:
            return False
        with contextlib.suppress(ValueError):
            return url.origin() in self._treat_as_secure_origin
        return False

    def _keep_within_limits(self, selected: dict[str, _Entry], host: str) -> None:
        """Leave out the least specific ones that are too many for one request."""
        room = HEADER_LIMIT - len("Cookie: ") + 2  # the first has no "; " before it
        kept = omitted = 0
        for name, entry in reversed(list(selected.items())):
            if kept >= REQUEST_LIMIT or entry.length + 2 > room:
                del selected[name]
                omitted += 1
                continue
            room -= entry.length + 2
            kept += 1
        if omitted:
            logger.debug(
                "Omitted %d cookie(s) for %s over the %d-cookie or %d-octet limit of a request",
                omitted,
                host,
                REQUEST_LIMIT,
                HEADER_LIMIT,
            )

    def _as_sent(self, cookie: Morsel[str]) -> Morsel[str]:
        if not self._quote_cookie:
            value = coded = cookie.value
        elif cookie.coded_value.startswith('"'):
            return as_received(cookie)
        else:
            value, coded = SimpleCookie().value_encode(cookie.value)
        return make_morsel(cookie.key, value, coded) or cookie

    @staticmethod
    def _is_domain_match(domain: str, hostname: str) -> bool:
        """RFC 6265, 5.1.3."""
        return hostname == domain or (
            hostname.endswith(f".{domain}") and not is_ip_address(hostname)
        )

    # ---- files

    def save(self, file_path: PathLike) -> None:
        """Write the cookies to a file as JSON, in aiohttp's form, for its owner's eyes only."""
        data: dict[str, dict[str, dict[str, Any]]] = {}
        for key, morsel in self._morsels():
            domain, path, name = key
            record: dict[str, Any] = {
                "key": morsel.key,
                "value": morsel.value,
                "coded_value": morsel.coded_value,
            }
            # What counts from now would mean another time when it is loaded.
            record |= {
                attribute: value
                for attribute, value in morsel.items()
                if value and attribute not in ("max-age", "expires")
            }
            entry = self._entries[key]
            if entry.host_only:
                record["host_only"] = True
            if entry.expires is not None:
                record["expires_timestamp"] = entry.expires
            data.setdefault(f"{domain}|{path}", {})[name] = record

        def private(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        with open(file_path, "w", encoding="utf-8", opener=private) as file:
            json.dump(data, file, indent=2)

    def load(self, file_path: PathLike) -> None:
        """Read the cookies from a file that save() has written, in place of those there are; the
        rules of update_cookies() hold for them. ValueError for another kind of file, and then the
        jar is as it was.
        """
        with open(file_path, encoding="utf-8") as file:
            data = json.load(file)
        loaded = type(self)(
            unsafe=self._unsafe,
            quote_cookie=self._quote_cookie,
            treat_as_secure_origin=self._treat_as_secure_origin,
            loop=self._loop,
        )
        try:
            for place, cookies in data.items():
                domain, _, _ = place.partition("|")
                url = URL.build(scheme="https", host=domain) if domain else URL()
                if not self._unsafe and is_ip_address(url.raw_host):
                    continue
                for name, record in cookies.items():
                    loaded._take(name, *_read_record(record, url))
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as exc:
            raise ValueError(f"{os.fspath(file_path)!r} holds what is no cookie: {exc}") from exc
        loaded._expire()
        self._cookies.clear()  # views of it stay alive
        self._cookies.update(loaded._cookies)
        self._entries = loaded._entries
        self._domains = loaded._domains
        self._heap = loaded._heap
        self._uses = loaded._uses


def _read_record(record: dict[str, Any], url: URL) -> tuple[Morsel[str], URL, float | None]:
    """A cookie that save() has written. ValueError for what it cannot have."""
    expires = record.get("expires_timestamp")
    if expires is not None:
        expires = float(expires)
        if not math.isfinite(expires):
            raise ValueError("its expiration timestamp must be a finite number")
    morsel = make_morsel(record["key"], record["value"], record["coded_value"])
    if morsel is None:
        raise ValueError(f"cookie {record['key']!r} is not valid")
    for attribute in morsel:
        if attribute in record:
            morsel[attribute] = record[attribute]
    if record.get("host_only"):
        morsel["domain"] = ""  # or subdomains would get it from now on
    return morsel, url, expires


def _is_over(entry: _Entry, now: float) -> bool:
    return entry.expires is not None and entry.expires <= now


def _can_be_sent(cookie: Morsel[str]) -> bool:
    text = f"{cookie.key}={cookie.value}{cookie.coded_value}"
    return not control(text) and encoded_length(text) is not None


def _default_path(path: str) -> str:
    """RFC 6265, 5.1.4: the folder of the URL's path."""
    return "/" + path[1 : path.rfind("/")] if path.startswith("/") else "/"


# ---- dates (RFC 6265, 5.1.1) --------------------------------------------------------------------

_token = re.compile(
    r"[\x09\x20-\x2F\x3B-\x40\x5B-\x60\x7B-\x7E]*"
    r"(?P<token>[\x00-\x08\x0A-\x1F\d:a-zA-Z\x7F-\xFF]+)"
)
_clock = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})").match
_day = re.compile(r"\d{1,2}").match
_year = re.compile(r"\d{2,4}").match
_MONTHS = ("jan feb mar apr may jun jul aug sep oct nov dec").split()


def parse_date(text: str) -> int | None:
    """A date in any of the forms that servers use, as seconds since the epoch."""
    clock: tuple[int, ...] | None = None
    day = month = year = None
    for match in _token.finditer(text):
        token = match["token"]
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


class RequestCookies(CookieJar):
    """The cookies that a request brings with it: the limits of a jar are not for them."""

    _limited = False


class DummyCookieJar(AbstractCookieJar):
    """Keeps nothing, sends nothing."""

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Morsel[str]]:
        return iter(())

    @property
    def unsafe(self) -> bool:
        """False."""
        return False

    @property
    def quote_cookie(self) -> bool:
        """True."""
        return True

    @property
    def cookies(self) -> Mapping[tuple[str, str], SimpleCookie]:
        """Nothing."""
        return MappingProxyType({})

    @property
    def host_only_cookies(self) -> frozenset[Key]:
        """Nothing."""
        return frozenset()

    def clear(self, predicate: ClearCookiePredicate | None = None) -> None:
        """Nothing to do."""

    def clear_domain(self, domain: str) -> None:
        """Nothing to do."""

    def update_cookies(self, cookies: LooseCookies, response_url: URL = NO_URL) -> None:
        """They are not kept."""

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        """They are not even read."""

    def filter_cookies(self, request_url: URL) -> BaseCookie[str]:
        """None."""
        return SimpleCookie()
