"""What the tests of HTTP clients share: the client under test, servers on its loop, a scripted one.

The same test runs on aiohttp and asyncio, which are the oracle, and on uvolt.http and uvolt. A test
says so where uvolt.http is meant to differ (`client.ours`).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib
import re
import socket
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import support
from aiohttp import web

READ = 10  # seconds that a scripted server waits for its client


def clients() -> list[str]:
    """The clients to test: each needs its loop among those that are tested."""
    loops = {"aiohttp": "asyncio", "uvolt": "uvolt"}
    return [name for name, loop in loops.items() if loop in support.LOOPS]


class Client:
    """One client: `http` is its module, with aiohttp's names."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ours = name == "uvolt"
        self.http = importlib.import_module({"aiohttp": "aiohttp", "uvolt": "uvolt.http"}[name])
        self.loop_name = {"aiohttp": "asyncio", "uvolt": "uvolt"}[name]

    def __repr__(self) -> str:
        return self.name

    def run(self, main: Callable[[], Awaitable[Any]], seconds: float = 30) -> Any:
        """Run main() on a loop of its own; nothing may reach the loop's exception handler."""
        loop = support.factory(self.loop_name)()
        contexts: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: contexts.append(context))

        async def body() -> Any:
            result = await asyncio.wait_for(main(), seconds * support.SLOW)
            await support.settle(4)
            return result

        try:
            return loop.run_until_complete(body())
        finally:
            support.finish(loop)
            assert not contexts, contexts

    def session(self, **options: Any) -> Any:
        return self.http.ClientSession(**options)

    def basic_auth(self, *words: str) -> Any:
        """A BasicAuth; aiohttp calls it deprecated from 3.14 on."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return self.http.BasicAuth(*words)


# -- a server that sends what no good server sends ------------------------------------------------


@dataclasses.dataclass
class Asked:
    """A request as it came: its head with the empty line, and its body as sent."""

    head: bytes
    body: bytes

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode()

    @property
    def method(self) -> str:
        return self.line.split()[0]

    @property
    def target(self) -> str:
        return self.line.split()[1]

    @property
    def fields(self) -> list[tuple[str, str]]:
        lines = self.head.decode("utf-8", "surrogateescape").split("\r\n")[1:-2]
        return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case name; a name that came twice fails."""
        found: dict[str, str] = {}
        for name, value in self.fields:
            assert name.lower() not in found, f"{name} twice in {self.head!r}"
            found[name.lower()] = value
        return found


class Peer(asyncio.Protocol):
    """The scripted server's end of one connection."""

    def __init__(self, server: RawServer) -> None:
        self.server = server
        self.buffer = bytearray()
        self.received = bytearray()
        self.ended = False
        self.changed = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        sock = transport.get_extra_info("socket")
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = len(self.server.peers)
        self.server.peers.append(self)
        self.task = asyncio.ensure_future(self._run())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.received += data
        self.server.received += data
        self.changed.set()

    def eof_received(self) -> bool:
        self.ended = True
        self.changed.set()
        return not self.server.tls  # the script says when to close

    def connection_lost(self, exc: BaseException | None) -> None:
        self.ended = True
        self.changed.set()
        self.writable.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    async def _run(self) -> None:
        try:
            await self.server.script(self)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except Exception as error:
            self.server.errors.append(error)
        finally:
            self.transport.close()

    async def _more(self) -> None:
        if self.ended:
            raise asyncio.IncompleteReadError(bytes(self.buffer), None)
        self.changed.clear()
        await asyncio.wait_for(self.changed.wait(), READ * support.SLOW)

    async def until(self, end: bytes) -> bytes:
        while (at := self.buffer.find(end)) < 0:
            await self._more()
        return await self.exactly(at + len(end))

    async def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            await self._more()
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    async def request(self, body: bool = True) -> Asked:
        """The next request, whole; with body=False its head only."""
        asked = Asked(await self.until(b"\r\n\r\n"), b"")
        self.server.asked.append(asked)
        if not body:
            return asked
        head = asked.head.lower()
        if length := re.search(rb"\r\ncontent-length: *(\d+)\r\n", head):
            asked.body = await self.exactly(int(length[1]))
        elif b"\r\ntransfer-encoding: chunked\r\n" in head:
            while True:
                line = await self.until(b"\r\n")
                chunk = await self.exactly(int(line, 16) + 2)
                asked.body += line + chunk
                if int(line, 16) == 0:
                    break
        return asked

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    async def send_pieces(self, pieces: Sequence[bytes]) -> None:
        """Each piece is read by the client before the next is sent: it is on the same loop."""
        for piece in pieces:
            if piece and not self.transport.is_closing():
                self.transport.write(piece)
                await support.settle(3)

    async def send_slowly(self, data: bytes) -> None:
        """Not more than the client takes."""
        await self.writable.wait()
        if self.transport.is_closing():
            raise ConnectionResetError
        self.transport.write(data)

    async def gone(self) -> None:
        """Until the client has closed its end."""
        while not self.ended:
            await self._more()

    def close(self) -> None:
        self.transport.close()

    def reset(self) -> None:
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class RawServer:
    """Runs a script for each connection; keeps what it got."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.peers: list[Peer] = []
        self.asked: list[Asked] = []
        self.received = bytearray()
        self.errors: list[Exception] = []
        self.tls = False
        self.url = ""
        self.port = 0

    @property
    def open(self) -> int:
        """How many connections the client holds."""
        return sum(not peer.ended for peer in self.peers)

    async def closed_by_client(self, seconds: float = 5) -> None:
        await support.until(lambda: self.open == 0, seconds)


@contextlib.asynccontextmanager
async def raw(script: Script, *, path: str = "", ssl: Any = None) -> AsyncIterator[RawServer]:
    """A scripted server on a port or on a Unix socket."""
    loop = asyncio.get_running_loop()
    server = RawServer(script)
    server.tls = ssl is not None
    if path:
        listener: Any = await loop.create_unix_server(lambda: Peer(server), path)
        server.url = "http://localhost"
    else:
        listener = await loop.create_server(lambda: Peer(server), support.LOCALHOST, 0, ssl=ssl)
        server.port = listener.sockets[0].getsockname()[1]
        host = "localhost" if server.tls else support.LOCALHOST
        server.url = f"http{'s' * server.tls}://{host}:{server.port}"
    try:
        yield server
    finally:
        listener.close()
        for peer in server.peers:
            peer.transport.abort()
            peer.task.cancel()
        for peer in server.peers:
            with contextlib.suppress(asyncio.CancelledError):
                await peer.task
        await support.settle()
        assert not server.errors, server.errors


def answers(*responses: bytes, close: bool = False) -> Script:
    """The n-th request of all connections gets the n-th response, later ones the last."""
    count = 0

    async def script(peer: Peer) -> None:
        nonlocal count
        while True:
            await peer.request()
            response = responses[min(count, len(responses) - 1)]
            count += 1
            peer.send(response)
            if close:
                return

    return script


def pieces_then_close(pieces: Sequence[bytes], *, close: bool = True) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send_pieces(pieces)
        if not close:
            await peer.gone()

    return script


def response(
    body: bytes = b"", status: str = "200 OK", length: bool = True, **headers: str
) -> bytes:
    """A response's bytes; underscores in the names of headers are dashes."""
    lines = [f"HTTP/1.1 {status}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "\r\n"]).encode() + body


def chunked(*chunks: bytes) -> bytes:
    parts = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    return b"".join(parts) + b"0\r\n\r\n"


@contextlib.contextmanager
def black_hole(host: str = support.LOCALHOST, port: int = 0) -> Iterator[int]:
    """A port on which connecting never ends: its queue is full. Gives its number."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(8):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


# -- aiohttp.web ----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def served(*routes: Any, ssl: Any = None, **options: Any) -> AsyncIterator[str]:
    """An application on a free port of the running loop; gives its URL."""
    app = web.Application(client_max_size=1 << 27, **options)
    app.add_routes(routes)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, support.LOCALHOST, 0, ssl_context=ssl).start()
    try:
        yield f"http{'s' * bool(ssl)}://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await support.settle()


OK = answers(response(b"ok"))


async def silent(peer: Any) -> None:
    """Never answers."""
    await peer.request()
    await peer.gone()


async def get(http: Any, url: Any, **request: Any) -> bytes:
    """The body that a GET brings."""
    async with http.get(url, **request) as answer:
        return await answer.read()


def gate(hold: list):
    """Answers when the future that it puts in the list is done."""

    async def script(peer):
        while True:
            await peer.request()
            future = asyncio.get_running_loop().create_future()
            hold.append(future)
            await future
            peer.send(response(b"ok"))

    return script


def resolver_to(client, port_of, asked, family=socket.AF_INET, wait=None):
    import aiohttp.abc

    base = getattr(client.http, "abc", aiohttp.abc).AbstractResolver

    class Resolver(base):
        async def resolve(self, host, port=0, family=socket.AF_INET):
            asked.append((host, port))
            if wait is not None:
                await wait
            if host == "unknown":
                raise OSError("no such host")
            return [
                {
                    "hostname": host,
                    "host": support.LOCALHOST,
                    "port": port,
                    "family": socket.AF_INET,
                    "proto": 0,
                    "flags": socket.AI_NUMERICHOST,
                }
            ]

        async def close(self):
            asked.append("closed")

    return Resolver()
