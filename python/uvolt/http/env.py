"""What trust_env=True stands for: credentials of ~/.netrc. Proxies are not supported yet."""

from __future__ import annotations

import asyncio
import netrc
import os
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from ._cookies import logger
from .helpers import BasicAuth


def _read_netrc() -> netrc.netrc | None:
    """The file that NETRC names, or ~/.netrc. None if there is none or it cannot be read."""
    named = os.environ.get("NETRC")
    try:
        path = Path(named) if named else Path.home() / ".netrc"
    except RuntimeError as exc:
        logger.debug(
            "Could not resolve home directory when trying to look for .netrc file: %s", exc
        )
        return None
    try:
        return netrc.netrc(str(path))
    except netrc.NetrcParseError as exc:
        logger.warning("Could not parse .netrc file: %s", exc)
    except OSError as exc:
        if named or path.is_file():
            logger.warning("Could not read .netrc file: %s", exc)
    return None


def _look_up(url: URL) -> BasicAuth | None:
    host = url.host or ""
    if url.scheme in getproxies() and not proxy_bypass(host):
        raise NotImplementedError(
            f"uvolt.http does not support proxies yet, and the environment has one for {host}"
        )
    file = _read_netrc()
    found = None if file is None else file.authenticators(host)
    if found is None:
        return None
    login, account, password = found
    return BasicAuth._make_unchecked(login or account or "", password or "")


async def environment_for(loop: asyncio.AbstractEventLoop, url: URL) -> BasicAuth | None:
    """The credentials of ~/.netrc for a URL's host, or None. NotImplementedError if the environment
    asks for a proxy."""
    return await loop.run_in_executor(None, _look_up, url)
