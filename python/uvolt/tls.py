"""TLS on a connection: what runs once per connection. The engine and the transport are C.

Follows asyncio's documentation of create_connection() and start_tls(), and asyncio.sslproto of
Python 3.13 on all versions.
"""

from __future__ import annotations

import asyncio
from typing import Any

from . import _core, _tls


def _buffered(protocol: Any) -> bytes:
    """Takes what the StreamReader of a stream protocol has got already."""
    if not isinstance(protocol, asyncio.StreamReaderProtocol):
        return b""
    reader: Any = getattr(protocol, "_stream_reader", None)
    if reader is None:
        return b""
    data = bytes(reader._buffer)
    reader._buffer.clear()
    return data


class TLSMixin:
    """The part of Loop that puts TLS on transports."""

    def _make_tls(
        self: Any,
        protocol: Any,
        sslcontext: Any,
        waiter: Any,
        server_side: bool,
        server_hostname: str | None,
        ssl_handshake_timeout: float | None,
        ssl_shutdown_timeout: float | None,
        call_connection_made: bool,
        extra: Any,
    ) -> Any:
        handshake = _tls.positive(
            "ssl_handshake_timeout", ssl_handshake_timeout, _tls.HANDSHAKE_TIMEOUT
        )
        shutdown = _tls.positive(
            "ssl_shutdown_timeout", ssl_shutdown_timeout, _tls.SHUTDOWN_TIMEOUT
        )
        if not sslcontext:
            sslcontext = _tls.client_context(server_side, server_hostname)
        name = server_hostname if server_hostname and not server_side else None
        return _core.make_tls(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side,
            name,
            handshake,
            shutdown,
            call_connection_made,
            extra,
        )

    def _make_ssl_transport(
        self: Any,
        rawsock: Any,
        protocol: Any,
        sslcontext: Any,
        waiter: Any = None,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        extra: Any = None,
        server: Any = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        call_connection_made: bool = True,
    ) -> Any:
        """A TLS transport over a new transport of a connected socket."""
        transport = self._make_tls(
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout,
            ssl_shutdown_timeout,
            call_connection_made,
            extra,
        )
        try:
            _core.make_stream(self, rawsock, transport, None, None, server)
        except BaseException:
            transport.abort()
            raise
        return transport

    async def start_tls(
        self: Any,
        transport: Any,
        protocol: Any,
        sslcontext: Any,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> asyncio.Transport | None:
        """Upgrade the connection of transport to TLS. Returns the transport to use from now on, or
        None if the program closes transport before that.

        Timeouts are in seconds. On the server's side, what a StreamReader has received already and
        nobody has read goes into TLS (gh-142352). Raises TypeError for a context or a transport of
        another kind, ssl.SSLError or OSError when the handshake fails.
        """
        if not _tls.is_context(sslcontext):
            raise TypeError(
                f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}"
            )
        if not getattr(transport, "_start_tls_compatible", False):
            raise TypeError(f"transport {transport!r} is not supported by start_tls()")
        waiter = self.create_future()
        upgraded = self._make_tls(
            protocol,
            sslcontext,
            waiter,
            server_side,
            server_hostname,
            ssl_handshake_timeout,
            ssl_shutdown_timeout,
            False,
            None,
        )
        # Nothing may be delivered before connection_made().
        transport.pause_reading()
        transport.set_protocol(upgraded)
        steps = [
            self.call_soon(upgraded.connection_made, transport),
            self.call_soon(transport.resume_reading),
        ]
        early = _buffered(protocol) if server_side else b""
        if early:
            steps.insert(1, self.call_soon(upgraded.data_received, early))
        try:
            done = await waiter
        except BaseException:
            transport.close()
            for step in steps:
                step.cancel()
            raise
        return upgraded if done else None
