"""One input of the fuzz target `session`: a whole session of uvolt.http and a scripted peer.

An input is SETTINGS bytes that choose the client's calls, and a script of what the peer does: bytes
to send, and steps, which are "\\x01" and a letter (Peer.play()). Each connection of the pool is a
socket pair. What must hold is in Target. fuzz/session.c runs inputs under libFuzzer;
`python fuzz/session.py FILE...` runs those in files, whole and cut short.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import os
import socket
import sys
import warnings
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvolt
from uvolt import _core
from uvolt.http import (
    BaseConnector,
    ClientError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    StreamReader,
)
from uvolt.http.exceptions import HttpProcessingError

SETTINGS = 8
STEP = 0x01
MAX_STEPS = 200  # of a script
PASSES = 12  # turns of the loop in which a connection or a request may come
HANG = 5  # seconds

# What a response may raise besides ClientError; anything else is a finding.
EXPECTED = (
    ClientError,
    HttpProcessingError,
    asyncio.TimeoutError,
    asyncio.CancelledError,
    asyncio.IncompleteReadError,
    ConnectionResetError,
    UnicodeError,
    ValueError,  # json(), lines and chunks that are too long, a Location that is no URL
)


# ---- the peer -----------------------------------------------------------------------------------


class Connector(BaseConnector):
    """Each connection is one end of a socket pair, whatever host it is for."""

    def __init__(self, peer: Peer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._peer = peer

    async def _connect(self, conn: Any, key: Any, limit: Any) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self._peer.ends.append(theirs)
        if self._peer.is_over:
            theirs.close()
        try:
            with limit.of_attempt():
                await self._loop.create_connection(lambda: conn, sock=ours)
        except BaseException:
            ours.close()
            raise


class Peer:
    """Plays a script on the connections that are made, one after the other."""

    def __init__(self, script: bytes) -> None:
        self.script = script
        self.ends: list[socket.socket] = []
        self.at = 0  # the connection that is played on
        self.out = bytearray()
        self.is_over = False

    async def play(self) -> None:
        script, i, steps = self.script, 0, 0
        while i < len(script) and steps < MAX_STEPS:
            if script[i] != STEP or i + 1 == len(script):
                self.out.append(script[i])
                i += 1
                continue
            step, argument = script[i + 1], script[i + 2] if i + 2 < len(script) else 0
            i += 2
            steps += 1
            if step in b"bcz":
                self.add(step, argument)
                i += 1
            else:
                await self.send()
                await self.act(step)
        await self.send()
        await turns(3)
        self.close()

    def add(self, step: int, argument: int) -> None:
        """More to send: `b` many bytes, `c` a chunk, `z` something compressed."""
        if step == ord("b"):
            self.out += b"x" * (argument + 1) * 2048
        elif step == ord("c"):
            self.out += b"%x\r\n%s\r\n" % (argument, b"y" * argument)
        else:
            text = b'{"a": [1, 2]}\n' * (argument & 63 or 5000)
            coding = argument >> 6
            if coding == 0:
                self.out += gzip.compress(text, 1, mtime=0)
            elif coding == 1:
                self.out += zlib.compress(text, 1)
            elif coding == 2:
                self.out += zlib.compress(text, 1)[2:-4]
            else:
                self.out += gzip.compress(gzip.compress(text, 1, mtime=0), 1, mtime=0)

    async def act(self, step: int) -> None:
        if step == ord("w"):  # for a request
            await self.wait()
        elif step == ord("e"):  # close
            self.end()
            self.at += 1
        elif step == ord("r"):  # close without reading: the client sees a reset
            self.end(read=False)
            self.at += 1
        elif step == ord("h"):  # half-close
            if self.at < len(self.ends):
                with contextlib.suppress(OSError):
                    self.ends[self.at].shutdown(socket.SHUT_WR)
        elif step == ord("n"):  # on to the next connection, this one stays open
            self.at += 1
        elif step == ord("q"):  # back to the one before
            self.at = max(0, self.at - 1)
        elif step == ord("t"):
            await asyncio.sleep(0.002)
        else:  # `s`: what is sent so far and what comes next are two reads
            await turns(1)

    async def send(self) -> None:
        """What is waiting to be sent; a peer's writes that find no room are tried a few times."""
        for _ in range(PASSES):
            if not self.out:
                return
            if self.at < len(self.ends):
                try:
                    n = self.ends[self.at].send(self.out)
                    del self.out[:n]
                except BlockingIOError:
                    self.read()
                except OSError:
                    break
            await turns(1)
        self.out.clear()

    def read(self) -> int:
        """What the client has sent."""
        n = 0
        with contextlib.suppress(OSError, IndexError):
            while data := self.ends[self.at].recv(1 << 16):
                n += len(data)
        return n

    async def wait(self) -> None:
        for _ in range(PASSES):
            if self.read() > 0:
                return
            await turns(1)

    def end(self, read: bool = True) -> None:
        if self.at < len(self.ends):
            if read:
                self.read()
            self.ends[self.at].close()

    def close(self) -> None:
        self.is_over = True
        for end in self.ends:
            end.close()


async def turns(n: int) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


# ---- the client ---------------------------------------------------------------------------------


class Settings:
    """What the first bytes of an input say."""

    def __init__(self, data: bytes) -> None:
        (self.flags, self.number, self.ways, self.more_ways) = data[:4]
        (self.cancel, self.times, self.sending, self.extra) = data[4:]

    def flag(self, bit: int) -> bool:
        return bool(self.flags >> bit & 1)

    def session(self, peer: Peer) -> ClientSession:
        connector = Connector(
            peer,
            limit=1 if self.flag(0) else 3,
            force_close=self.flag(1),
        )
        return ClientSession(
            connector=connector,
            raise_for_status=self.flag(2),
            auto_decompress=not self.flag(3),
            cookie_jar=DummyCookieJar() if self.flag(4) else None,
            skip_auto_headers=("User-Agent",) if self.flag(5) else None,
            read_bufsize=64 if self.flag(6) else 2**16,
            timeout=self.timeout(),
            **({"max_line_size": 64, "max_field_size": 64} if self.extra & 1 else {}),
        )

    def timeout(self) -> ClientTimeout:
        short = 0.001
        return ClientTimeout(
            total=0.003 if self.times & 1 else 60,
            connect=short if self.times & 2 else None,
            sock_read=short if self.times & 4 else None,
            sock_connect=short if self.times & 8 else None,
            pool=short if self.times & 16 else None,
            write=short if self.times & 32 else None,
        )

    def method(self, i: int) -> str:
        return ("GET", "POST", "HEAD", "PUT")[self.number >> 2 + i & 3]

    def way(self, i: int) -> int:
        return (self.ways | self.more_ways << 8) >> 4 * i & 15

    def arguments(self) -> dict[str, Any]:
        """Of every request: its body, and how it is sent."""
        kinds: list[Any] = [
            None,
            b"body",
            b"x" * 300_000,
            "text",
            {"a": "b"},
            pieces(b"x" * 70_000, b"", b"end"),
            pieces(b"a", error=True),
            pieces(b"x" * 100, turn=True),
        ]
        found: dict[str, Any] = {}
        kind = self.sending & 7
        if kind:
            found["data"] = kinds[kind]
        if self.sending & 8:
            found["expect100"] = True
        if self.sending & 16 and kind in (1, 2, 3, 5):
            found["compress"] = "deflate"
        if self.sending & 32:
            found["allow_redirects"] = False
        if self.sending & 64:
            found["headers"] = {"Connection": "Upgrade", "Upgrade": "x"}
        if self.extra & 2:
            found["max_redirects"] = 2
        return found


async def pieces(*data: bytes, error: bool = False, turn: bool = False) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece
        if turn:
            await turns(2)
    if error:
        raise ValueError("the body's own")


async def read(response: Any, way: int) -> None:
    """The response, in one of sixteen ways."""
    content = response.content if 2 < way < 15 else None
    if way == 0:
        await response.read()
    elif way == 1:
        await response.text()
    elif way == 2:
        await response.json(content_type=None)
    elif way == 3:
        while await content.readline():
            pass
    elif way == 4:
        while await content.readany():
            pass
    elif way == 5:
        async for _ in content.iter_chunked(3):
            pass
    elif way == 6:
        async for _ in content.iter_chunks():
            pass
    elif way == 7:
        while True:
            await content.readexactly(5)
    elif way == 8:
        while await content.readuntil(b"y\r"):
            pass
    elif way == 9:
        response.release()
    elif way == 10:
        response.close()
    elif way == 11:
        await content.read(10)
        response.release()
    elif way == 12:
        async for _ in content:
            break
    elif way == 13:
        await content.read()
        assert content.at_eof()
    elif way == 14:
        await content.readchunk()
        content.read_nowait(1)
        if type(content) is StreamReader:  # not that of a response without a body
            content.unread_data(b"again")
        await response.read()
    # 15: it is dropped unread


def look(response: Any) -> None:
    """What a response tells without being read."""
    assert 100 <= response.status <= 999
    assert isinstance(response.reason, str)
    assert len(response.raw_headers) == len(response.headers)
    for name in ("version", "method", "url", "real_url", "request_info", "history", "cookies"):
        getattr(response, name)
    assert response.ok == (response.status < 400)
    assert response.content_length is None or response.content_length >= 0
    repr(response)
    str(response.content_type), str(response.charset)


async def call(session: ClientSession, settings: Settings, i: int) -> None:
    method, way = settings.method(i), settings.way(i)
    url = ("http://a/", "http://b.example/path?q=1", "http://a/x#y")[i % 3]
    try:
        if settings.flag(7):
            async with session.request(method, url, **settings.arguments()) as response:
                look(response)
                await read(response, way)
        else:
            response = await session.request(method, url, **settings.arguments())
            look(response)
            await read(response, way)
            look(response)
    except EXPECTED:
        pass
    except RuntimeError as exc:
        if str(exc) not in ("Session is closed", "Connection closed."):
            raise


async def calls(session: ClientSession, settings: Settings) -> None:
    """All requests, at a time or one after the other, and what is done to them meanwhile."""
    number = 1 + (settings.number & 3)
    tasks: list[asyncio.Task[None]] = []
    for i in range(number):
        tasks.append(asyncio.ensure_future(call(session, settings, i)))
        if settings.extra & 4:
            await asyncio.wait(tasks, timeout=HANG)
    victim, after = settings.cancel & 3, settings.cancel >> 2 & 15
    if settings.cancel >> 6:
        await turns(after)
        if settings.cancel >> 6 == 1:
            tasks[victim % number].cancel()
        elif settings.cancel >> 6 == 2:
            await session.close()
        else:
            for task in tasks:
                task.cancel()
    done, pending = await asyncio.wait(tasks, timeout=HANG)
    assert not pending, f"hung: {pending}"
    for task in done:
        if not task.cancelled():
            task.result()


def descriptors() -> dict[int, str]:
    """The open ones, but pipes: libFuzzer has some to its symbolizer."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # listdir()'s own
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return {fd: what for fd, what in found.items() if not what.startswith("pipe:")}


# ---- one input ----------------------------------------------------------------------------------


class Target:
    """The loop that all inputs run on, and what must not grow from one to the next."""

    def __init__(self) -> None:
        self.loop = uvolt.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.contexts: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.contexts.append(context))
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Unclosed response", ResourceWarning)
        warnings.filterwarnings("ignore", "unread_data", DeprecationWarning)
        # What is made once, by a first request, is no leak.
        self.baseline: tuple[int, ...] | None = None
        ok = b"\x01wHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        for settings in (bytes(SETTINGS), b"\x20" + bytes(SETTINGS - 1)):
            self.one(settings + ok)
        gc.collect()
        gc.freeze()
        self.baseline = self.open()

    def close(self) -> None:
        self.loop.close()
        gc.unfreeze()

    def open(self) -> tuple[int, ...]:
        """Descriptors and objects that are there."""
        count = _core.counters()
        return (
            len(descriptors()),
            count["uv_handles_opened"] - count["uv_handles_closed"],
            count["transports_alive"],
            count["http_connections_alive"],
            count["writes_pending"],
        )

    async def run(self, data: bytes) -> None:
        peer = Peer(data[SETTINGS:])
        settings = Settings(data[:SETTINGS])
        session = settings.session(peer)
        connector: Any = session.connector
        play = asyncio.ensure_future(peer.play())
        try:
            await calls(session, settings)
            await asyncio.wait_for(play, HANG)
        finally:
            peer.close()
            play.cancel()
            await asyncio.wait_for(session.close(), HANG)
        pool = connector._pool
        state = (pool.in_use, pool.idle, pool.waiting, pool.connections)
        assert state == (0, 0, 0, []), f"the pool is not whole: {state}"
        await turns(3)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left: {left}"

    def one(self, data: bytes) -> None:
        """Run one input. Raises whatever is a finding."""
        if len(data) < SETTINGS:
            return
        self.contexts.clear()
        self.loop.run_until_complete(self.run(data))
        gc.collect()
        self.check()

    def check(self) -> None:
        """After an input nothing is left, and nothing was reported."""
        found = [c for c in self.contexts if c["message"] != "Unclosed response"]
        self.contexts.clear()
        assert not found, f"the loop's exception handler was called: {found}"
        if self.baseline is not None and self.open() != self.baseline:
            self.loop.run_until_complete(turns(3))  # handles close in the turn after
            gc.collect()
            assert self.open() == self.baseline, (self.baseline, self.open(), descriptors())


def main(names: list[str]) -> None:
    target = Target()
    for name in names:
        data = Path(name).read_bytes()
        for end in (len(data), *range(SETTINGS, len(data), 1 + len(data) // 16)):
            try:
                target.one(data[:end])
            except BaseException:
                print(f"{name}, its first {end} bytes:", file=sys.stderr)
                raise
    target.close()


if __name__ == "__main__":
    main(sys.argv[1:])
