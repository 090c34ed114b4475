"""CookieStore: the cookies of a jar by domain, path and name, their number within limits.

How much is kept, and what goes first, is as in Firefox (and aiohttp): what has expired, then what
was not used for longest; Secure cookies for other Secure cookies only.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable
from http.cookies import Morsel, SimpleCookie
from typing import Final

from . import log
from ._cookierules import expiry_of

# A domain or jar that reaches the first number is cut down to the second.
DOMAIN_LIMIT: Final = 180
DOMAIN_QUOTA: Final = 150
TOTAL_LIMIT: Final = 3300
TOTAL_QUOTA: Final = 3000
# An expiry heap this long is looked through for entries that mean nothing any more.
HEAP_SLACK: Final = 100

Key = tuple[str, str, str]  # domain, path, name: what makes a cookie that one
Item = tuple[float, int, Key]  # when it expires, a number of its own, what


class Entry:
    """A stored cookie, and what the jar knows of it beside its morsel."""

    __slots__ = (
        "cookie",
        "created",
        "expires",
        "host_only",
        "is_received",
        "key",
        "length",
        "sent",
        "ticket",
        "used",
    )

    def __init__(
        self,
        key: Key,
        cookie: Morsel[str],
        *,
        host_only: bool,
        is_received: bool,
        expires: float | None,
    ) -> None:
        self.key = key
        self.cookie = cookie
        self.host_only = host_only  # for the host that set it alone
        self.is_received = is_received  # from a server, not from the program
        self.expires = expires  # seconds since the epoch; None: with the session
        self.created = self.used = 0  # numbers that grow with every use of the jar
        self.ticket = 0  # the number of its item among what expires
        self.sent: Morsel[str] | None = None  # as it is sent, made when first needed
        self.length = 0  # bytes of that

    def pair(self) -> str:
        """As it stands in a Cookie field."""
        assert self.sent is not None
        return f"{self.sent.key}={self.sent.coded_value}"

    def order(self) -> tuple[int, bool, str | int]:
        """Where it stands in a Cookie field: longer paths first, then older cookies (RFC 6265,
        5.4); those of the program before them by name, as aiohttp sends all."""
        name_or_age = self.created if self.is_received else self.key[2]
        return -len(self.cookie["path"]), self.is_received, name_or_age

    def is_over(self, now: float) -> bool:
        """Whether it has expired."""
        return self.expires is not None and self.expires <= now


class Domain:
    """The cookies of one domain: by path without its last slashes, and their number."""

    __slots__ = ("count", "paths")

    def __init__(self) -> None:
        self.count = 0
        self.paths: dict[str, SimpleCookie] = {}


class CookieStore:
    """Cookies by (domain, path, name). cookies: the mapping by (domain, path) that it keeps up to
    date, which is the jar's."""

    def __init__(self, cookies: dict[tuple[str, str], SimpleCookie]) -> None:
        self.cookies = cookies
        self.entries: dict[Key, Entry] = {}
        self.domains: dict[str, Domain] = {}
        self.secure: dict[str, set[Key]] = {}  # Secure cookies by name
        self.heap: list[Item] = []  # what expires; some items are out of date
        self.uses = 0
        self.places = 0  # how many of cookies are known here

    def adopt(self) -> None:
        """Make all else what the mapping says: somebody else has changed it."""
        known, self.entries = self.entries, {}
        self.domains, self.secure, self.heap, self.places = {}, {}, [], 0
        places = dict(self.cookies)
        self.cookies.clear()
        for (domain, path), cookies in places.items():
            for name, morsel in cookies.items():
                entry = known.get((domain, path, name))
                if entry is None or entry.cookie is not morsel:
                    entry = self._foreign((domain, path, name), morsel)
                self.add(entry)

    def entry_of(self, key: Key, morsel: Morsel[str]) -> Entry:
        """What is known of a cookie of the mapping, whoever put it there."""
        entry = self.entries.get(key)
        if entry is None or entry.cookie is not morsel:
            entry = self.entries[key] = self._foreign(key, morsel)
        return entry

    @staticmethod
    def _foreign(key: Key, morsel: Morsel[str]) -> Entry:
        return Entry(key, morsel, host_only=False, is_received=False, expires=expiry_of(morsel))

    def has_room(self, key: Key, secure: bool, expires: float | None) -> bool:
        """Whether the cookie can be stored; others may have gone for it."""
        domain = self.domains.get(key[0])
        is_full = len(self.entries) >= TOTAL_LIMIT or (
            domain is not None and domain.count >= DOMAIN_LIMIT
        )
        # One that only deletes another costs no other its place.
        if not is_full or key in self.entries or (expires is not None and expires <= time.time()):
            return True
        return self._make_room(key[0], secure)

    def add(self, entry: Entry) -> None:
        """Store a cookie, in place of the one with its key."""
        host, path, name = entry.key
        domain = self.domains.get(host)
        if domain is None:
            domain = self.domains[host] = Domain()
        self.uses += 1
        entry.created = entry.used = self.uses
        before = self.entries.get(entry.key)
        if before is None:
            domain.count += 1
        else:
            entry.created = before.created  # RFC 6265, 5.3, 11.3
        self.entries[entry.key] = entry
        cookies = domain.paths.get(path)
        if cookies is None:
            cookies = domain.paths[path] = self.cookies[host, path] = SimpleCookie()
            self.places += 1
        dict.__setitem__(cookies, name, entry.cookie)
        self._note_secure(entry.key, bool(entry.cookie["secure"]))
        if entry.expires is not None:
            if before is not None and before.expires == entry.expires:
                entry.ticket = before.ticket
            else:
                entry.ticket = self.uses
                heapq.heappush(self.heap, (entry.expires, entry.ticket, entry.key))

    def use(self, entries: Iterable[Entry]) -> None:
        """They went with a request."""
        self.uses += 1
        for entry in entries:
            entry.used = self.uses

    # ---- dropping

    def delete(self, keys: Iterable[Key]) -> None:
        """Drop those cookies that there are."""
        for key in keys:
            if self.entries.pop(key, None) is None:
                continue
            host, path, name = key
            domain = self.domains[host]
            cookies = domain.paths[path]
            cookies.pop(name, None)
            if not cookies:
                del domain.paths[path]
                self.cookies.pop((host, path), None)
                self.places -= 1
            domain.count -= 1
            if not domain.count:
                del self.domains[host]
            self._note_secure(key, False)

    def _note_secure(self, key: Key, is_secure: bool) -> None:
        if is_secure:
            self.secure.setdefault(key[2], set()).add(key)
            return
        keys = self.secure.get(key[2])
        if keys is not None:
            keys.discard(key)
            if not keys:
                del self.secure[key[2]]

    def expire(self) -> None:
        """Drop what has expired."""
        heap = self.heap
        if len(heap) > HEAP_SLACK and len(heap) > 2 * len(self.entries):
            heap[:] = [item for item in heap if self._is_current(item)]
            heapq.heapify(heap)
        now = time.time()
        while heap and heap[0][0] <= now:
            item = heapq.heappop(heap)
            if self._is_current(item):
                self.delete([item[2]])

    def _is_current(self, item: Item) -> bool:
        entry = self.entries.get(item[2])
        return entry is not None and entry.ticket == item[1]

    def _make_room(self, host: str, secure: bool) -> bool:
        """Drop what has expired, then what was not used for longest, where a limit is reached;
        Secure cookies only for another one. Whether there is room then."""
        is_full = host in self.domains and self.domains[host].count >= DOMAIN_LIMIT
        self.expire()
        if is_full:
            return self._make_domain_room(host, secure)
        excess = len(self.entries) - TOTAL_QUOTA
        if excess > 0:
            oldest = sorted(self.entries.values(), key=lambda entry: entry.used)
            self.delete([entry.key for entry in oldest[:excess]])
            log.internal.debug(
                "Evicted %d cookie(s) over the %d-cookie total limit", excess, TOTAL_LIMIT
            )
        return True

    def _make_domain_room(self, host: str, secure: bool) -> bool:
        count = self.domains[host].count if host in self.domains else 0
        if count < DOMAIN_QUOTA:
            return True
        of_domain = [entry for entry in self.entries.values() if entry.key[0] == host]
        victims = [entry for entry in of_domain if not entry.cookie["secure"]]
        if not victims:
            if count < DOMAIN_LIMIT:
                return True
            if not secure:
                return False
            victims = of_domain
        victims.sort(key=lambda entry: (entry.used, entry.key))
        victims = victims[: count - DOMAIN_QUOTA + 1]
        self.delete([entry.key for entry in victims])
        log.internal.debug(
            "Evicted %d cookie(s) for %s over the %d-cookie domain limit",
            len(victims),
            host,
            DOMAIN_LIMIT,
        )
        return True
