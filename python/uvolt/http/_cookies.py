"""Set-Cookie and Cookie fields as text.

parse_set_cookie() is the algorithm of browsers (RFC 6265, 5.2, and RFC 6265bis, 5.6): what a jar
keeps and sends back is what the server meant. parse_set_cookie_headers() and parse_cookie_header()
are as lenient as aiohttp: response.cookies and the caller's own Cookie field.

Limits: 50 cookies of a response, 4096 bytes of name and value, 1024 of an attribute's value.
Fields with control characters are skipped, whatever is in them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from http.cookies import CookieError, Morsel
from typing import Any, Final, TypeVar

from . import log
from ._cookierules import parse_age, parse_date

COOKIES_PER_RESPONSE: Final = 50
PAIR_LENGTH: Final = 4096
ATTRIBUTE_LENGTH: Final = 1024
ATTRIBUTES: Final = 32

_FLAGS = frozenset({"secure", "httponly", "partitioned"})
_ATTRIBUTES = _FLAGS | {
    "path",
    "domain",
    "max-age",
    "expires",
    "samesite",
    "version",
    "comment",
}

control = re.compile(r"[\x00-\x1f\x7f]").search
_control_but_tab = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
# More than RFC 6265's token: servers do send names with brackets.
_is_name = re.compile(r"[!#$%&'()*+\-./0-9:<=>?@A-Z\[\]^_`a-z{|}~]+").fullmatch
_not_separator = re.compile(r"[^;\s]", re.ASCII).search

# The grammar of http.cookies, with brackets in names, time zones of RFC 2822, dates of asctime(),
# and a quote that is never closed.
_TEXT = r"\w!#%&'~`><@,:/$*+\-.^|)(?}{\[\]"
_item = re.compile(
    rf"""
    \s* (?P<key>[{_TEXT}]+)
    (?: \s*=\s* (?P<value>
        "(?:[^\\"]|\\.)*"
      | "[^";]*
      | (?:\w{{3,6}}day|\w{{3}}),\s[\w\s-]{{9,11}}\s[\d:]{{8}}\s(?:GMT|[+-]\d{{4}})
      | \w{{3}}\s+\w{{3}}\s+[\s\d]\d\s+\d{{2}}:\d{{2}}:\d{{2}}\s+\d{{4}}
      | [{_TEXT}=]*
    ) )?
    \s* (?:\s+|;|$)
    """,
    re.VERBOSE | re.ASCII,
).match

_escape = re.compile(r"\\(?:([0-3][0-7][0-7])|(.))")


def unquote(value: str) -> str:
    """The value in quotes without them and without its escapes; any other as it is."""
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    return _escape.sub(lambda m: chr(int(m[1], 8)) if m[1] else m[2], value[1:-1])


def encoded_length(text: str) -> int | None:
    """The bytes of a text in UTF-8; None if it has none (surrogates)."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode("utf-8"))
    except UnicodeEncodeError:
        return None


def make_morsel(key: str, value: str, coded_value: str) -> Morsel[str] | None:
    """A morsel without Morsel.set()'s rules for names; None where this Python has stricter ones."""
    morsel: Any = Morsel()
    try:
        morsel.__setstate__({"key": key, "value": value, "coded_value": coded_value})
    except CookieError:
        return None
    return morsel  # type: ignore[no-any-return]


def as_received(cookie: Morsel[str]) -> Morsel[str]:
    """The cookie without its attributes, its value coded as the server coded it."""
    return make_morsel(cookie.key, cookie.value, cookie.coded_value) or cookie


def parse_cookie_header(header: str) -> list[tuple[str, Morsel[str]]]:
    """The cookies of a Cookie field. A name is a name, be it "path"."""
    cookies: list[tuple[str, Morsel[str]]] = []
    illegal: list[str] = []
    position = 0
    while position < len(header):
        match = _item(header, position)
        if match is not None:
            key, coded = match["key"], match["value"] or ""
            position = match.end()
        else:
            # Broken: what is before the next semicolon is one cookie if it has a name.
            end = header.find(";", position)
            end = len(header) if end < 0 else end
            key, equals, coded = header[position:end].partition("=")
            position = end + 1
            if not equals:
                continue
            key, coded = key.strip(), coded.strip()
        if not _is_name(key):
            illegal.append(key)
            continue
        morsel = make_morsel(key, unquote(coded), coded)
        if morsel is not None:
            cookies.append((key, morsel))
    if illegal:
        log.internal.debug("Cannot load cookie. Illegal cookie names: %r", illegal)
    return cookies


def parse_set_cookie_headers(headers: Sequence[str]) -> list[tuple[str, Morsel[str]]]:
    """The cookies of Set-Cookie fields: at most one of each; invalid fields are skipped."""
    return _first_cookies(headers, _parse_lenient)


T = TypeVar("T")


def _first_cookies(headers: Sequence[str], parse: Callable[[str], T | None]) -> list[T]:
    """What parse() finds in the fields, no more than a response may set."""
    cookies: list[T] = []
    left = 0
    for number, header in enumerate(headers):
        if len(cookies) >= COOKIES_PER_RESPONSE:
            left = len(headers) - number
            break
        cookie = parse(header)
        if cookie is not None:
            cookies.append(cookie)
    invalid = len(headers) - left - len(cookies)
    if invalid or left:
        log.internal.debug(
            "Ignored %d invalid Set-Cookie field(s) and %d over the %d-cookie limit",
            invalid,
            left,
            COOKIES_PER_RESPONSE,
        )
    return cookies


def _parse_lenient(header: str) -> tuple[str, Morsel[str]] | None:
    if not header or _control_but_tab(header):
        return None
    end = header.find(";")
    if end < 0:
        end = len(header)
    quoted = _quoted_pair(header) if '"' in header[:end] else None
    if quoted is not None:
        key, coded, end = quoted
    else:
        key, equals, coded = header[:end].partition("=")
        if not equals:
            return None
    key, coded = key.strip(" \t"), coded.strip(" \t")
    if not key:
        return None
    if not _is_name(key):
        log.internal.warning("Can not load cookies: Illegal cookie name %r", key)
        return None
    morsel = _morsel_of(key, coded)
    if morsel is None:
        return None
    _set_attributes(morsel, header[end + 1 :])
    return key, morsel


def _morsel_of(key: str, coded: str) -> Morsel[str] | None:
    """The cookie of a pair as a server codes it; None if it is too long or cannot be sent."""
    length = encoded_length(key + coded)
    if length is None or length > PAIR_LENGTH:
        return None
    value = unquote(coded)
    return None if control(value) else make_morsel(key, value, coded)


def _quoted_pair(header: str) -> tuple[str, str, int] | None:
    """Name, value and the end of a pair whose value in quotes has a semicolon; else None."""
    match = _item(header)
    value = match["value"] if match else None
    if not match or not value or value[0] != '"' or value[-1] != '"' or ";" not in value:
        return None
    end = match.end("value")
    while end < len(header) and header[end] in " \t":
        end += 1
    if end < len(header) and header[end] != ";":
        return None
    return match["key"], value, end


def _set_attributes(morsel: Morsel[str], text: str) -> None:
    """Set what is known of a cookie's attributes. A semicolon between two may be missing."""
    position = 0
    for _ in range(ATTRIBUTES):
        if position >= len(text):
            return
        match = _item(text, position)
        if match is None:
            position = text.find(";", position) + 1
            begin = _not_separator(text, position) if position else None
            if begin is None:
                return
            position = begin.start()
            continue
        position = match.end()
        name = match["key"].lower()
        # Python has no Partitioned before 3.14.
        if name not in _ATTRIBUTES or not morsel.isReservedKey(name):
            continue
        # Past Morsel's own checks: all is checked here.
        if name in _FLAGS:
            dict.__setitem__(morsel, name, True)
            continue
        value = match["value"] or ""
        length = encoded_length(value)
        if length is not None and length <= ATTRIBUTE_LENGTH:
            value = unquote(value)
            if not control(value):
                dict.__setitem__(morsel, name, value)


# ---- as browsers read it ------------------------------------------------------------------------

_not_in_names = re.compile(r"[\x00-\x1f\x7f,\\]").search
_before_lifetime = re.compile(
    r"(?<![ \t])[ \t]+(?=(?:expires|max-age)[ \t]*=)", re.IGNORECASE | re.ASCII
).split


def read_set_cookies(fields: Sequence[str]) -> list[Morsel[str]]:
    """The cookies of a response's Set-Cookie fields, the first 50, see parse_set_cookie()."""
    return _first_cookies(fields, parse_set_cookie)


def parse_set_cookie(field: str) -> Morsel[str] | None:
    """The cookie of a Set-Cookie field; None if it has none. Names may be of any characters but
    commas and backslashes. A semicolon ends a part, in quotes, too: sent back within quotes it
    would end a cookie and begin another. As aiohttp does it, value and attributes are unquoted, and
    the semicolon before Expires and Max-Age may be missing. The morsel's coded_value is as it came.
    """
    if _control_but_tab(field):
        return None
    pair, _, attributes = field.partition(";")
    name, equals, coded = pair.partition("=")
    name, coded = name.strip(" \t"), coded.strip(" \t")
    # A cookie without a name is a browsers' thing: RFC 6265 has none, and neither has aiohttp.
    if not equals or not name:
        return None
    if _not_in_names(name):
        log.internal.warning("Can not load cookies: Illegal cookie name %r", name)
        return None
    morsel = _morsel_of(name, coded)
    if morsel is not None and attributes:
        for part in _parts(attributes):
            name, _, value = part.partition("=")
            name = name.strip(" \t").lower()
            # The last of each counts. Past Morsel's own checks: all is checked here.
            if name in _FLAGS and name in morsel:
                dict.__setitem__(morsel, name, True)
            elif name in _ATTRIBUTES and name in morsel:
                checked = _attribute_value(name, value.strip(" \t"))
                if checked is not None:
                    dict.__setitem__(morsel, name, checked)
    return morsel


def _parts(attributes: str) -> list[str]:
    """The attributes one by one."""
    parts = attributes.split(";")
    if not any(part.count("=") > 1 for part in parts):
        return parts
    return [piece for part in parts for piece in _before_lifetime(part)]


def _attribute_value(name: str, value: str) -> str | None:
    """The value of an attribute without quotes; None for one that says nothing."""
    length = encoded_length(value)
    if length is None or length > ATTRIBUTE_LENGTH:
        return None
    if '"' in value or "\t" in value:  # no other control character has come this far
        value = unquote(value)
        if control(value):
            return None
    if (name == "max-age" and parse_age(value) is None) or (
        name == "expires" and parse_date(value) is None
    ):
        return None
    return value
