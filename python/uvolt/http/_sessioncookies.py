"""What a session does with its cookie jar, which may be ours, aiohttp's, or of any class that has
their methods; jars of aiohttp before 3.13 and of its users lack the newer ones."""

from __future__ import annotations

from http.cookies import BaseCookie
from types import EllipsisType
from typing import Any

from yarl import URL

from ._cookies import parse_set_cookie_headers
from .abc import AbstractCookieJar
from .cookiejar import CookieJar, DummyCookieJar, RequestCookies
from .typedefs import LooseCookies


class SentCookies(BaseCookie[str]):
    """The cookies of one request by name; field: the Cookie field in full and in order, if nothing
    is to be added to it."""

    field: str | None = None


def sends_as_ours(jar: AbstractCookieJar) -> bool:
    """Whether a jar is a CookieJar that selects cookies as CookieJar does."""
    return isinstance(jar, CookieJar) and type(jar).filter_cookies is CookieJar.filter_cookies


def kept_cookies(jar: AbstractCookieJar) -> Any:
    """What C looks at to know that there is no cookie to send: a sized object, None for a jar that
    never has one, ... for one that must be asked every time."""
    result: dict[Any, Any] | EllipsisType | None = ...
    if sends_as_ours(jar):
        assert isinstance(jar, CookieJar)
        result = jar._cookies
    elif (
        isinstance(jar, DummyCookieJar)
        and type(jar).filter_cookies is DummyCookieJar.filter_cookies
    ):
        result = None
    return result


def cookie_field(jar: AbstractCookieJar, url: URL) -> str | None:
    """The Cookie field of a request that brings no cookies itself."""
    if sends_as_ours(jar):
        assert isinstance(jar, CookieJar)
        return jar.cookie_header(url)
    cookies = jar.filter_cookies(url)
    return cookies.output(header="", sep=";").strip() if cookies else None


def cookies_for(jar: AbstractCookieJar, url: URL, own: LooseCookies | None) -> BaseCookie[str]:
    """The cookies of a request: the jar's, and over them its own (None: it has none)."""
    sent = SentCookies()
    for name, morsel in jar.filter_cookies(url).items():
        dict.__setitem__(sent, name, morsel)
    if own is None:
        if sent and sends_as_ours(jar):
            sent.field = cookie_field(jar, url)
        return sent
    of_request = RequestCookies(
        unsafe=jar.unsafe,
        quote_cookie=getattr(jar, "quote_cookie", True),
        treat_as_secure_origin=getattr(jar, "treat_as_secure_origin", ()),
    )
    of_request.update_cookies(own)
    for name, morsel in of_request.filter_cookies(url).items():
        dict.__setitem__(sent, name, morsel)
    return sent


def store_cookies(jar: AbstractCookieJar, response: Any) -> None:
    """Give a response's Set-Cookie fields to a jar."""
    if not response.has_set_cookie:
        return
    headers = response.headers.getall("Set-Cookie", ())
    take = getattr(jar, "update_cookies_from_headers", None)
    if take is not None:
        take(headers, response.url)
    else:
        jar.update_cookies(parse_set_cookie_headers(headers), response.url)
