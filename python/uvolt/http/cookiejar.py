"""CookieJar and DummyCookieJar: which cookies are kept, and which go with a request.

The interface, the limits and what a program puts in follow aiohttp
(https://docs.aiohttp.org/en/stable/client_reference.html#cookiejar); what servers set is taken as
browsers take it (RFC 6265bis). How much is kept, and what goes first, is as in Firefox.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.cookies import BaseCookie, Morsel, SimpleCookie
from types import MappingProxyType
from typing import Final

from yarl import URL

from . import log
from ._cookierules import (
    default_path,
    expiry_of,
    is_domain_match,
    is_path_match,
    keeps_prefix,
)
from ._cookies import (
    as_received,
    control,
    encoded_length,
    make_morsel,
    read_set_cookies,
)
from ._cookiestore import CookieStore, Entry, Key
from .abc import AbstractCookieJar, ClearCookiePredicate
from .helpers import deprecated, is_ip_address
from .typedefs import LooseCookies, PathLike, StrOrURL

__all__ = ("CookieJar", "DummyCookieJar")

REQUEST_LIMIT: Final = 150  # cookies of one request
HEADER_LIMIT: Final = 8190  # bytes of the Cookie field, its name included
HOST_LENGTH: Final = 255  # of DNS; a longer one has no parents to ask for

NO_URL: Final = URL()


class CookieJar(AbstractCookieJar):
    """Cookies of a session, or of several.

    unsafe: hosts that are addresses may have cookies too. quote_cookie: values with special
    characters are sent in quotes. treat_as_secure_origin: URLs whose origins may set and get Secure
    cookies without TLS.
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
        self._places: dict[tuple[str, str], SimpleCookie] = {}  # always this one: C looks at it
        self._kept = CookieStore(self._places)

    # ---- what there is

    @property
    def _cookies(self) -> dict[tuple[str, str], SimpleCookie]:
        """The cookies by (domain, path). Programs clear() and assign it, as aiohttp's."""
        return self._places

    @_cookies.setter
    def _cookies(self, cookies: Mapping[tuple[str, str], SimpleCookie]) -> None:
        found = dict(cookies)
        self._places.clear()
        self._places.update(found)
        self._kept.adopt()

    @property
    def _store(self) -> CookieStore:
        kept = self._kept
        if kept.places != len(kept.cookies):
            kept.adopt()
        return kept

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
        """Origins that may set and get Secure cookies without TLS."""
        return self._treat_as_secure_origin

    @property
    def cookies(self) -> Mapping[tuple[str, str], SimpleCookie]:
        """A view of the cookies by (domain, path)."""
        return MappingProxyType(self._places)

    @property
    def host_only_cookies(self) -> frozenset[Key]:
        """(domain, path, name) of those that subdomains do not get."""
        return frozenset(key for key, entry in self._store.entries.items() if entry.host_only)

    def __len__(self) -> int:
        return len(self._store.entries)

    def __iter__(self) -> Iterator[Morsel[str]]:
        self._store.expire()
        for cookies in self._places.values():
            yield from cookies.values()

    # ---- dropping

    def clear(self, predicate: ClearCookiePredicate | None = None) -> None:
        """Drop all cookies, or those for which predicate(morsel) is true and those expired."""
        if predicate is None:
            self._places.clear()
            self._kept = CookieStore(self._places)
            return
        now = time.time()
        entries = list(self._store.entries.values())
        self._store.delete([e.key for e in entries if e.is_over(now) or predicate(e.cookie)])

    def clear_domain(self, domain: str) -> None:
        """Drop the cookies of a domain and its subdomains."""
        self.clear(lambda morsel: is_domain_match(domain, morsel["domain"]))

    # ---- taking in

    def update_cookies(self, cookies: LooseCookies, response_url: URL = NO_URL) -> None:
        """Take the program's cookies in, as if response_url had set them; without one they go
        everywhere."""
        if not self._unsafe and is_ip_address(response_url.raw_host):
            return
        for name, value in cookies.items() if isinstance(cookies, Mapping) else cookies:
            if isinstance(value, Morsel):
                self._take(name, value.copy(), response_url)
            else:
                made: SimpleCookie = SimpleCookie()
                made[name] = value  # type: ignore[assignment]
                self._take(name, made[name], response_url)
        self._store.expire()

    def update_cookies_from_headers(self, headers: Sequence[str], response_url: URL) -> None:
        """Take in the values of a response's Set-Cookie fields, the first 50 that are cookies. For
        these there are all rules of RFC 6265bis: for Secure, for __Host- and __Secure-, for cookies
        that would take the place of Secure ones."""
        if not headers or (not self._unsafe and is_ip_address(response_url.raw_host)):
            return
        is_secure = self._is_secure(response_url)
        for cookie in read_set_cookies(headers):
            name = cookie.key
            if (cookie["secure"] and not is_secure) or not keeps_prefix(name, cookie):
                log.internal.debug(
                    "Dropped cookie %r for %s: not its to set", name, response_url.raw_host
                )
            else:
                self._take(name, cookie, response_url, is_received=True, is_secure=is_secure)
        self._store.expire()

    def _take(
        self,
        name: str,
        cookie: Morsel[str],
        url: URL,
        expires: float | None = None,
        *,
        is_received: bool = False,
        is_secure: bool = True,
    ) -> None:
        """Store a cookie, which is the jar's from now on (RFC 6265, 5.3). expires overrules the
        cookie's own attributes; is_secure: whether it may take the place of a Secure one."""
        domain = self._domain_of(cookie, url.raw_host, is_received)
        if domain is None:
            return
        host_only = not cookie["domain"] and url.raw_host is not None
        if not cookie["path"].startswith("/"):
            cookie["path"] = default_path(url.path)
        key = (domain, cookie["path"].rstrip("/"), name)
        if expires is None:
            expires = expiry_of(cookie)
        if self._limited and not is_received and not _can_be_sent(cookie):
            log.internal.debug("Dropped cookie %r for %s: it cannot be sent", name, domain)
        elif not is_secure and not cookie["secure"] and self._shadows_secure(key, cookie):
            log.internal.debug("Dropped cookie %r for %s: there is a Secure one", name, domain)
        elif self._limited and not self._store.has_room(key, bool(cookie["secure"]), expires):
            log.internal.debug("Dropped cookie %r for %s: it is full of Secure ones", name, domain)
        else:
            if host_only:
                cookie["domain"] = domain
            self._store.add(
                Entry(key, cookie, host_only=host_only, is_received=is_received, expires=expires)
            )

    def _domain_of(self, cookie: Morsel[str], host: str | None, is_received: bool) -> str | None:
        """The domain that a cookie is for, "" if it goes everywhere; None if the host may not set
        it. The cookie's attribute is left empty if it is for the host alone."""
        domain: str = cookie["domain"].lower()
        if domain.endswith(".") and not is_received:
            domain = ""  # as aiohttp has it; of a server it is a name that is not its own
        domain = domain.removeprefix(".")
        cookie["domain"] = domain
        if not domain:
            return host or ""
        if not host:
            return domain
        if not is_domain_match(domain, host):
            return None
        if not is_ip_address(domain):
            from .publicsuffix import is_public_suffix  # who has no such cookie needs no list

            if is_public_suffix(domain):
                cookie["domain"] = ""
                return host if domain == host else None
        return domain

    def _shadows_secure(self, key: Key, cookie: Morsel[str]) -> bool:
        """Whether there is a Secure cookie that this one could be taken for (RFC 6265bis, 5.7)."""
        return any(
            (is_domain_match(key[0], other[0]) or is_domain_match(other[0], key[0]))
            and is_path_match(self._store.entries[other].cookie["path"], cookie["path"])
            for other in self._store.secure.get(key[2], ())
        )

    # ---- sending

    def filter_cookies(self, request_url: URL = NO_URL) -> BaseCookie[str]:
        """The cookies that go with a request to this URL, the most specific last; of those with one
        name the most specific."""
        filtered: BaseCookie[str] = BaseCookie()
        if not self._places:
            return filtered
        if type(request_url) is not URL:
            deprecated(
                "filter_cookies expects yarl.URL instances only,"
                f"and will stop working in 4.x, got {type(request_url)}"
            )
            request_url = URL(request_url)
        by_name: dict[str, Entry] = {}
        for entry in self._select(request_url):
            by_name.pop(entry.key[2], None)
            by_name[entry.key[2]] = entry
        for entry in self._within_limits(list(by_name.values()), request_url):
            assert entry.sent is not None
            dict.__setitem__(filtered, entry.key[2], entry.sent)
        return filtered

    def cookie_header(self, request_url: URL) -> str | None:
        """The Cookie field of a request to this URL, None if there is none: as filter_cookies(),
        but in the order of RFC 6265, 5.4, and with all cookies of one name."""
        if not self._places:
            return None
        entries = self._within_limits(self._select(request_url), request_url)
        if len(entries) > 1:
            entries.sort(key=Entry.order)
        return "; ".join([entry.pair() for entry in entries]) or None

    def _select(self, url: URL) -> list[Entry]:
        """What a URL gets, the most specific last: by domain, then by path."""
        store = self._store
        store.expire()
        host, url_paths = url.raw_host or "", {url.path, url.raw_path}
        is_secure = self._is_secure(url)
        selected: list[Entry] = []
        for name in self._domains_of(host):
            domain = store.domains.get(name)
            if domain is None:
                continue
            for path in sorted(domain.paths, key=len):
                if path and not any(is_path_match(path, one) for one in url_paths):
                    continue
                for cookie_name, morsel in domain.paths[path].items():
                    entry = store.entry_of((name, path, cookie_name), morsel)
                    if self._goes_to(entry, host, url_paths, is_secure):
                        selected.append(entry)
        for entry in selected:
            if entry.sent is None:
                entry.sent = self._as_sent(entry)
                entry.length = encoded_length(entry.pair()) or 0
        return selected

    def _domains_of(self, host: str) -> Iterator[str]:
        """The domains whose cookies a host may get, "" first: cookies that go everywhere."""
        yield ""
        if is_ip_address(host):
            if self._unsafe:
                yield host
        elif host:
            at = host.rfind(".") if len(host) <= HOST_LENGTH else -1
            while at >= 0:
                yield host[at + 1 :]
                at = host.rfind(".", 0, at)
            yield host

    @staticmethod
    def _goes_to(entry: Entry, host: str, url_paths: set[str], is_secure: bool) -> bool:
        """Whether a cookie of a domain and path that match goes there."""
        cookie, (domain, path, _) = entry.cookie, entry.key
        if cookie["secure"] and not is_secure:
            return False
        if not domain and not path:
            return True
        return not (
            (entry.host_only and cookie["domain"] != host)
            # A cookie's path may end in a slash where the URL's does not.
            or all(len(cookie["path"]) > len(one) for one in url_paths)
            # What goes everywhere but for a path, goes nowhere, as in aiohttp.
            or (not domain and host)
        )

    def _is_secure(self, url: URL) -> bool:
        if url.scheme in ("https", "wss"):
            return True
        if not self._treat_as_secure_origin:
            return False
        with contextlib.suppress(ValueError):
            return url.origin() in self._treat_as_secure_origin
        return False

    def _within_limits(self, selected: list[Entry], url: URL) -> list[Entry]:
        """What goes into one request, used from now on: the least specific ones that are too many
        for it are left out."""
        if not self._limited:
            return selected
        room = HEADER_LIMIT - len("Cookie: ") + 2  # the first has no "; " before it
        kept: list[Entry] = []
        for entry in reversed(selected):
            if len(kept) < REQUEST_LIMIT and entry.length + 2 <= room:
                room -= entry.length + 2
                kept.append(entry)
        self._store.use(kept)
        if len(kept) < len(selected):
            log.internal.debug(
                "Omitted %d cookie(s) for %s over the %d-cookie or %d-octet Cookie header limit",
                len(selected) - len(kept),
                url.raw_host,
                REQUEST_LIMIT,
                HEADER_LIMIT,
            )
        kept.reverse()
        return kept

    def _as_sent(self, entry: Entry) -> Morsel[str]:
        cookie = entry.cookie
        if not self._quote_cookie:
            value = coded = cookie.value
        elif entry.is_received or cookie.coded_value.startswith('"'):
            return as_received(cookie)
        else:
            value, coded = SimpleCookie().value_encode(cookie.value)
        return make_morsel(cookie.key, value, coded) or cookie

    # ---- files

    def save(self, file_path: PathLike) -> None:
        """Write the cookies to a file as JSON, in aiohttp's form, for its owner's eyes only."""
        from . import _cookiefile

        entries = self._store.entries.values()
        saved = [(e.key, e.cookie, e.host_only, e.expires) for e in entries]
        _cookiefile.write(file_path, saved)

    def load(self, file_path: PathLike) -> None:
        """Read the cookies from a file that save(), or aiohttp, has written, in place of those
        there are; the rules of update_cookies() hold for them. ValueError or TypeError for another
        kind of file, pickle.UnpicklingError for a pickle of other things: the jar stays as it was.
        """
        from . import _cookiefile

        loaded = CookieJar(
            unsafe=self._unsafe,
            quote_cookie=self._quote_cookie,
            treat_as_secure_origin=self._treat_as_secure_origin,
            loop=self._loop,
        )
        for saved in _cookiefile.read(file_path):
            url = URL.build(scheme="https", host=saved.domain) if saved.domain else NO_URL
            if self._unsafe or not is_ip_address(url.raw_host):
                if not _can_be_sent(saved.cookie):
                    continue
                is_coded = ";" not in saved.cookie.coded_value
                loaded._take(saved.name, saved.cookie, url, saved.expires, is_received=is_coded)
        loaded._store.expire()
        self._places.clear()  # views of it stay alive
        self._places.update(loaded._places)
        self._kept = loaded._kept
        self._kept.cookies = self._places


def _can_be_sent(cookie: Morsel[str]) -> bool:
    text = f"{cookie.key}={cookie.value}{cookie.coded_value}"
    return not control(text) and encoded_length(text) is not None


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
