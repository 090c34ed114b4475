"""One request of a session, and the head of its answer: what the innermost middleware calls.

The exchange itself is C's (_core.ClientSession._exchange). Here is what it is given, by whom its
connection is got if there are traces, and when a request is sent again whose body C cannot repeat.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .. import _core
from . import _support
from .exceptions import ClientConnectorError, ClientOSError, ServerDisconnectedError
from .request import IDEMPOTENT
from .timeouts import deadline
from .tracing import Connect
from .upload import Upload

if TYPE_CHECKING:
    from .call import Call
    from .client import ClientSession
    from .connector import BaseConnector
    from .request import ClientRequest
    from .response import ClientResponse
    from .timeouts import ClientTimeout


async def send(session: ClientSession, call: Call, request: ClientRequest) -> ClientResponse:
    """The response to a request, as soon as its head is there. Raises what a request of a session
    raises, redirects and middlewares apart; RuntimeError if the session is closed."""
    may_retry = call.retry and request.method in IDEMPOTENT
    try:
        return await _send_once(session, call, request, may_retry)
    except (ClientOSError, ServerDisconnectedError) as exc:
        # C repeats what it can repeat itself. A body that was read from a file is read again.
        repeatable = may_retry and call.upload is not None
        if not repeatable or isinstance(exc, ClientConnectorError) or call.closed_by_server:
            raise
        call.closed_by_server = True
        assert call.upload is not None
        await call.upload.wait()
        if request._body is None or request._body.consumed:
            raise
    return await _send_once(session, call, request, False)


async def _send_once(
    session: ClientSession, call: Call, request: ClientRequest, retry: bool
) -> ClientResponse:
    connector, traces = session._connector, call.traces
    if connector is None or connector._pool is None:
        raise _support.session_closed()
    route = connector._pool.route(request.connection_key)
    request.finish_headers(connector.force_close)
    connect, head, body = None, b"", None
    times: dict[str, float] | None = {} if traces is not None and session._timings else None
    if traces is not None:
        connect = Connect(traces, connector, request, route, call.timeout, call.end_by, times)
        is_sent_by_c = request._body is None and not request.expects_continue
    else:
        head, body = request.head(), request.whole_body()
        is_sent_by_c = body is not None
    call.upload = None
    if call.tracker is not None or not is_sent_by_c:
        call.upload, body = Upload(request, traces, call.tracker), None
    response: ClientResponse = await session._exchange(
        request.method,
        request.original_url,
        route,
        head,
        body or None,
        upload=call.upload,
        connect=connect,
        timeout=call.timeout,
        end_by=call.end_by,
        retry=retry and call.upload is None,
        no_reuse=request.no_reuse,
        upgrade="Upgrade" in request.headers,
        auto_decompress=call.auto_decompress,
        read_bufsize=call.read_bufsize,
        limits=call.limits,
    )
    if traces is not None:
        response._on_read = traces.on_read
        response._steps = times
    return response


async def warm_up(
    connector: BaseConnector,
    request: ClientRequest,
    n: int,
    timeout: ClientTimeout,
) -> int:
    """Make connections that `request` may be sent on: ClientSession.warmup()."""
    loop, pool = connector._loop, connector._open_pool()
    route = pool.route(request.connection_key)
    now = loop.time()
    connect_by, end_by = deadline(now, timeout.connect), deadline(now, timeout.total)
    taken: list[_core.HTTPConnection] = []
    try:
        while len(taken) < n:
            is_full = pool.limit and pool.in_use + pool.idle >= pool.limit
            if is_full and not route.idle:
                break  # the pool would close others' connections for it
            conn = pool.take(route)
            if conn is None:
                break
            taken.append(conn)
        opening = [
            connector._open(conn, route, timeout, connect_by, end_by)
            for conn in taken
            if conn.state == "new"
        ]
        results = await asyncio.gather(*opening, return_exceptions=True)
    finally:
        for conn in taken:
            conn.release()
    for result in results:
        if result is not None:
            raise result
    return len(taken)
