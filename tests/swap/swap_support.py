"""An echo server by aiohttp.web, and a runner on either loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import support
from aiohttp import web


async def echo(request: web.Request) -> web.StreamResponse:
    """What was asked, as JSON."""
    answer = {
        "method": request.method,
        "path": request.path_qs,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "cookies": dict(request.cookies),
        "body": (await request.read()).decode("latin-1"),
    }
    response = web.json_response(answer, status=int(request.query.get("status", 200)))
    response.set_cookie("seen", "yes")
    return response


async def chat(request: web.Request) -> web.StreamResponse:
    """A WebSocket: first the cookies and a header, then what it is sent."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    headers = {name.lower(): value for name, value in request.headers.items()}
    await socket.send_json({"cookies": dict(request.cookies), "headers": headers})
    async for message in socket:
        await socket.send_str(message.data[::-1])
    return socket


@contextlib.asynccontextmanager
async def server(ssl: Any = None, path: str = "") -> AsyncIterator[str]:
    """Gives its URL, without a slash at the end."""
    app = web.Application()
    app.router.add_get("/chat", chat)
    app.router.add_route("*", "/{any:.*}", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        if path:
            await web.UnixSite(runner, path).start()
            yield "http://localhost"
            return
        site = web.TCPSite(runner, "localhost" if ssl else support.LOCALHOST, 0, ssl_context=ssl)
        await site.start()
        port = runner.addresses[0][1]
        yield f"https://localhost:{port}" if ssl else f"http://{support.LOCALHOST}:{port}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def listening(answer: Callable[..., Awaitable[None]]) -> AsyncIterator[str]:
    """A server that does answer(reader, writer) with each connection; gives its URL."""
    async with await asyncio.start_server(answer, support.LOCALHOST, 0) as listener:
        yield f"http://{support.LOCALHOST}:{listener.sockets[0].getsockname()[1]}"


def run(main: Callable[[], Awaitable[Any]], loop: str = "uvolt") -> Any:
    """main() on a loop of its own; nothing may reach the loop's exception handler."""
    made = support.factory(loop)()
    contexts: list[dict[str, Any]] = []
    made.set_exception_handler(lambda _, context: contexts.append(context))

    async def body() -> Any:
        result = await asyncio.wait_for(main(), 30 * support.SLOW)
        await support.settle(4)
        return result

    try:
        return made.run_until_complete(body())
    finally:
        support.finish(made)
        assert not contexts, contexts
