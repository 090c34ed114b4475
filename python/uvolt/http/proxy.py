"""Proxies: which one a request takes, and what is sent to it. tunnel.py connects by them.

Source: https://docs.aiohttp.org/en/stable/client_advanced.html#proxy-support. SOCKS5 is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from multidict import CIMultiDict
from yarl import URL

from .exceptions import InvalidURL
from .helpers import BasicAuth, is_basic_auth, strip_auth_from_url
from .reqrep import ConnectionKey
from .typedefs import LooseHeaders, StrOrURL

if TYPE_CHECKING:
    from .client import ClientSession

__all__ = ("Proxy", "ProxyKey")

PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
SCHEMES: Final = frozenset(PORTS)


class Proxy(NamedTuple):
    """A proxy: its URL without credentials, these, and fields for its CONNECT."""

    url: URL
    auth: BasicAuth | None = None
    headers: tuple[tuple[str, str], ...] = ()


class ProxyKey(ConnectionKey):
    """The key of connections that go by a proxy. `proxy_headers`: those of CONNECT."""

    proxy_headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def make(cls, key: ConnectionKey, proxy: Proxy) -> ProxyKey:
        """That of what would have `key` without the proxy."""
        made = cls(
            *key[:4],
            proxy.url,
            proxy.auth,
            hash(proxy.headers) if proxy.headers else None,
            key.server_hostname,
        )
        made.proxy_headers = proxy.headers
        return made

    def __repr__(self) -> str:
        """Without the password: this is in warnings of connections that are dropped."""
        auth: Any = self.proxy_auth
        if auth is not None:
            auth = BasicAuth._make_unchecked(auth[0], "***")
        return repr(ConnectionKey(*self)._replace(proxy_auth=auth))

    # A hash is not the headers: what it says is equal need not be.
    def __eq__(self, other: object) -> bool:
        return tuple.__eq__(self, other) is True and self.proxy_headers == getattr(
            other, "proxy_headers", ()
        )

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = ConnectionKey.__hash__


def choose_proxy(
    session: ClientSession, proxy: StrOrURL | None, auth: Any, headers: LooseHeaders | None
) -> Proxy | None:
    """The proxy of a request that names one, or names "" for none; else its session's. A session's
    credentials are for its own proxy, or if it has none, for those of its requests. Its headers
    are not for proxies, but its User-Agent is sent there too.

    Raises InvalidURL for what is no URL of a proxy, ValueError for credentials of another type.
    """
    if auth is None and (proxy is None or session._default_proxy is None):
        auth = session._default_proxy_auth
    if proxy is None:
        proxy = session._default_proxy
    if not proxy:
        return None
    fields: CIMultiDict[str] = CIMultiDict(headers or ())
    if "User-Agent" in session._default_headers:
        fields.setdefault("User-Agent", session._default_headers["User-Agent"])
    return parse_proxy(proxy, auth, tuple(fields.items()))


def asks_environment(session: ClientSession, proxy: StrOrURL | None) -> bool:
    """Whether the environment is asked for the proxy of a request that names this one."""
    is_given = proxy is not None or session._default_proxy is not None
    connector = session._connector
    return session._trust_env and not is_given and connector is not None and connector._has_proxies


def parse_proxy(
    proxy: StrOrURL, auth: Any = None, headers: tuple[tuple[str, str], ...] = ()
) -> Proxy:
    """A proxy by its URL; credentials in there are used if no others are given. Errors as above; no
    password is in their texts."""
    try:
        url, from_url = strip_auth_from_url(URL(proxy))
    except (ValueError, IndexError) as exc:  # yarl's of "http://]"
        raise InvalidURL(str(proxy).rpartition("@")[2]) from exc
    if not url.raw_host:
        raise InvalidURL(url)
    if url.scheme not in SCHEMES:
        known = ", ".join(PORTS)
        raise InvalidURL(url, f"is a proxy of a kind that is not supported; supported are {known}")
    if url.port is None:
        url = url.with_port(PORTS[url.scheme])
    if auth is None:
        auth = from_url
    elif not is_basic_auth(auth):
        raise ValueError("proxy_auth must be None or BasicAuth() tuple")
    return Proxy(url.origin(), auth, headers)


def is_forwarded(proxy: URL, is_ssl: bool) -> bool:
    """Whether the proxy is sent the request itself, not asked for a connection to the origin."""
    return not is_ssl and proxy.scheme in ("http", "https")


def set_proxy_headers(headers: CIMultiDict[str], proxy: Proxy, is_ssl: bool) -> None:
    """Put credentials for the proxy into a request that it is sent, and keep them from any other:
    inside a tunnel the origin would get them (CVE-2023-32681)."""
    if not is_forwarded(proxy.url, is_ssl):
        headers.popall("Proxy-Authorization", None)
        return
    value = credentials_of(proxy)
    if value is not None:
        headers["Proxy-Authorization"] = value


def credentials_of(proxy: Proxy) -> str | None:
    """The value of Proxy-Authorization. Among the proxy's headers it may be named Authorization."""
    if proxy.auth is not None:
        return proxy.auth.encode()
    fields = CIMultiDict(proxy.headers)
    return fields.get("Proxy-Authorization", fields.get("Authorization"))


def connect_headers(proxy: Proxy, host: str, automatic: Any) -> CIMultiDict[str]:
    """The fields of a CONNECT. host: the origin's, with its port unless that is the scheme's;
    automatic: pairs that are there if nobody says otherwise."""
    headers: CIMultiDict[str] = CIMultiDict({"Host": host})
    for name, value in proxy.headers:
        if name.lower() not in ("host", "authorization"):
            headers.add(name, value)
    for name, value in automatic:
        headers.setdefault(name, value)
    credentials = credentials_of(proxy)
    if credentials is not None:
        headers["Proxy-Authorization"] = credentials
    return headers
