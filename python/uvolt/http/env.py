"""What trust_env=True stands for: proxies of the environment, credentials of ~/.netrc.

Variables, in lower or upper case, the former first: http_proxy, https_proxy, all_proxy (for either,
where it has none of its own), no_proxy. HTTP_PROXY is not looked at where REQUEST_METHOD is set: in
a CGI program it is a field of the request (httpoxy, CVE-2016-1000110). Where there are no such
variables, macOS and Windows say what the user has set (urllib.request.getproxies()).
"""

from __future__ import annotations

import asyncio
import ipaddress
import netrc
import os
from pathlib import Path
from typing import NamedTuple
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from . import log
from .helpers import BasicAuth
from .proxy import SCHEMES, Proxy, parse_proxy


class Environment(NamedTuple):
    """What there is for one URL: credentials for its host, a proxy to it."""

    auth: BasicAuth | None
    proxy: Proxy | None


async def environment_for(
    loop: asyncio.AbstractEventLoop, url: URL, *, auth: bool, proxy: bool
) -> Environment:
    """The credentials of ~/.netrc for a URL's host and the environment's proxy for it, each if it
    is asked for. Files are read in a thread.

    Raises InvalidURL for a proxy that cannot be used: nothing goes past a proxy that is set.
    """
    return await loop.run_in_executor(None, _look_up, url, auth, proxy)


def _look_up(url: URL, auth: bool, proxy: bool) -> Environment:
    found = _proxy_for(url) if proxy else None
    file = _read_netrc() if auth or (found is not None and found.auth is None) else None
    if file is None:
        return Environment(None, found)
    if found is not None and found.auth is None:
        found = found._replace(auth=_from_netrc(file, found.url.host))
    return Environment(_from_netrc(file, url.host) if auth else None, found)


# ---- netrc --------------------------------------------------------------------------------------


def _read_netrc() -> netrc.netrc | None:
    """The file that NETRC names, or ~/.netrc. None if there is none or it cannot be read. The
    standard library's netrc parses it."""
    named = os.environ.get("NETRC")
    try:
        path = Path(named) if named is not None else Path.home() / ".netrc"
    except RuntimeError as exc:
        log.client.debug(
            "Could not resolve home directory when trying to look for .netrc file: %s", exc
        )
        return None
    try:
        return netrc.netrc(str(path))
    except (netrc.NetrcParseError, ValueError) as exc:  # ValueError: bytes that are no text
        log.client.warning("Could not parse .netrc file: %s", exc)
    except OSError as exc:
        if named or _is_file(path):
            log.client.warning("Could not read .netrc file: %s", exc)
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _from_netrc(file: netrc.netrc, host: str | None) -> BasicAuth | None:
    found = file.authenticators(host) if host else None
    if found is None:
        return None
    login, account, password = found
    return BasicAuth._make_unchecked(login or account or "", password or "")


# ---- proxies ------------------------------------------------------------------------------------


def _proxy_for(url: URL) -> Proxy | None:
    """The environment's proxy for a URL. None if there is none, or no_proxy names the host."""
    variables = getproxies()
    named, for_all = variables.get(url.scheme), variables.get("all")
    if not (named or for_all) or is_bypassed(url, variables.get("no", "")):
        return None
    if named:
        return parse_proxy(_with_scheme(named))
    assert for_all is not None
    try:
        proxy = URL(_with_scheme(for_all))
    except (ValueError, IndexError):
        return parse_proxy(for_all)  # which says so
    if proxy.scheme not in SCHEMES:
        # aiohttp looks at no ALL_PROXY at all: a program that did without must not fail by it.
        log.client.warning(
            "Proxies of kind %s are not supported, ALL_PROXY is ignored", proxy.scheme.upper()
        )
        return None
    return parse_proxy(proxy)


def _with_scheme(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


def is_bypassed(url: URL, no_proxy: str) -> bool:
    """Whether requests for a URL go past the proxy: by urllib's rules (names, with all names that
    end in them; "*"), and besides by "name:port", "*.name" and networks: 10.0.0.0/8, fd00::/8."""
    host = (url.host or "").rstrip(".").lower()
    if not host or proxy_bypass(host) or proxy_bypass(f"{host}:{url.port}"):
        return True
    entries = [entry.strip().lower() for entry in no_proxy.split(",")]
    address = _parse_address(host)
    if address is None:
        return any(e.startswith("*.") and host.endswith(e[1:]) for e in entries)
    for entry in entries:
        try:
            network = ipaddress.ip_network(entry.replace("[", "").replace("]", ""), strict=False)
        except ValueError:
            continue
        if address in network:
            return True
    return False


def _parse_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
