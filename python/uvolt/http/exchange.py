"""One request of a session, and the head of its answer: what the innermost middleware calls.

The exchange itself is C's (_core.ClientSession._exchange). Here is what it is given, by whom its
connection is got if there are traces, and when a request is sent again whose body C cannot repeat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _support
from .exceptions import ClientConnectorError, ClientOSError, ServerDisconnectedError
from .request import IDEMPOTENT
from .tracing import Connect
from .upload import Upload

if TYPE_CHECKING:
    from .call import Call
    from .client import ClientSession
    from .request import ClientRequest
    from .response import ClientResponse


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
    if traces is not None:
        connect = Connect(traces, connector, request, route, call.timeout, call.end_by)
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
    return response
