"""Connectors to what is no host: Unix sockets; named pipes, which uvolt's loop does not know."""

from __future__ import annotations

import asyncio

from .. import _core
from .connector import HIGH_LEVEL_SCHEMAS, BaseConnector
from .dial import Limit, hand_over
from .exceptions import UnixClientConnectorError
from .helpers import _Sentinel, sentinel
from .reqrep import ConnectionKey
from .timeouts import is_timeout

__all__ = ("NamedPipeConnector", "UnixConnector")


class UnixConnector(BaseConnector):
    """Connections to a Unix socket, whatever host a URL names. path: of the socket.

    A URL of https gets TLS on it. The rest is BaseConnector's.
    """

    allowed_protocol_schema_set = HIGH_LEVEL_SCHEMAS | {"unix"}

    def __init__(
        self,
        path: str,
        force_close: bool = False,
        keepalive_timeout: float | None | _Sentinel = sentinel,
        limit: int = 100,
        limit_per_host: int = 0,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(
            force_close=force_close,
            keepalive_timeout=keepalive_timeout,
            limit=limit,
            limit_per_host=limit_per_host,
            loop=loop,
        )
        self._path = path

    @property
    def path(self) -> str:
        """Of the socket."""
        return self._path

    async def _connect(self, conn: _core.HTTPConnection, key: ConnectionKey, limit: Limit) -> None:
        context, name, fingerprint = self._tls(key) or (None, None, None)
        try:
            with limit.of_attempt():
                transport, _ = await self._loop.create_unix_connection(
                    asyncio.Protocol, self._path, ssl=context, server_hostname=name
                )
                hand_over(transport, conn, fingerprint)
        except OSError as exc:
            if is_timeout(exc):
                raise
            raise UnixClientConnectorError(self._path, key, exc) from exc


class NamedPipeConnector(BaseConnector):
    """aiohttp's connector of Windows' named pipes, which uvolt's loop does not run on: RuntimeError
    wherever it is made."""

    allowed_protocol_schema_set = HIGH_LEVEL_SCHEMAS | {"npipe"}

    def __init__(
        self,
        path: str,
        force_close: bool = False,
        keepalive_timeout: float | None | _Sentinel = sentinel,
        limit: int = 100,
        limit_per_host: int = 0,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        raise RuntimeError("Named Pipes only available in proactor loop under windows")
