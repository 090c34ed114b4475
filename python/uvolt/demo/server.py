"""The HTTP server of the demo: a child process, as small as a server can be, so that the client is
what gets measured. It runs on uvolt, for both loops of the client alike.

``/now/NAME`` answers at once, ``/wait/MS/NAME`` after MS milliseconds; the body is NAME.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

BACKLOG = 1024
START = "import sys; sys.path[:] = sys.argv[1:]; from uvolt.demo.server import child; child()"


class ServerError(Exception):
    """The server could not be started."""


@contextmanager
def running() -> Iterator[str]:
    """Start the server, give its URL, and stop it whatever happens.

    It ends when its stdin does, so also when this process is killed. It is in a session of its own:
    Ctrl-C in the terminal does not reach it.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", START, *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        assert process.stdin is not None and process.stdout is not None
        try:
            port = process.stdout.readline().decode().strip()
            if not port:
                raise ServerError(f"the server did not start (exit code {process.wait()})")
            yield f"http://127.0.0.1:{port}"
        finally:
            with suppress(OSError):
                process.stdin.close()
            try:
                process.wait(5)
            except BaseException:  # the timeout, or a second Ctrl-C
                process.kill()
                raise


class Protocol(asyncio.Protocol):
    """GET requests on a connection that is kept, one after another."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.loop = asyncio.get_running_loop()
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while b"\r\n\r\n" in self.received:
            head, _, self.received = self.received.partition(b"\r\n\r\n")
            words = head.split(b" ", 2)[1].split(b"/")
            if words[1] == b"wait":
                self.loop.call_later(int(words[2]) / 1000, self.answer, words[-1])
            else:
                self.answer(words[-1])

    def answer(self, body: bytes) -> None:
        if not self.transport.is_closing():
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
            self.transport.write(head % len(body) + body)


async def serve() -> None:
    """Print the port, then answer until stdin ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Protocol, "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    loop.remove_reader(sys.stdin.fileno())
    server.close()


def child() -> None:
    """The whole life of the child process."""
    import uvolt

    uvolt.run(serve())
