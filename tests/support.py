"""What the tests of the loop share: the loops, the checks after a test, peers and protocols."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import inspect
import itertools
import logging
import os
import random
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

LOOPS = os.environ.get("UVOLT_TEST_LOOPS", "asyncio,uvolt").split(",")
PY = sys.version_info[:2]
# A sanitizer or a busy machine makes everything slower; only upper bounds are stretched by this.
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")
SLOW = float(os.environ.get("UVOLT_TEST_SLOW", "4" if SANITIZED else "1"))
LOCALHOST = "127.0.0.1"
SERVERS: set[int] = set()  # process ids of what runs for more than a test

if "uvolt" in LOOPS:
    import uvolt
    import uvolt._core

if "uvloop" in LOOPS:  # a stand-in while working on the tests
    import uvloop


def frugal() -> dict[str, str]:
    """The environment of a process whose memory is measured.

    Without this a sanitizer keeps 256 MiB of what was freed.
    """
    options = os.environ.get("ASAN_OPTIONS", "")
    none = "quarantine_size_mb=0:thread_local_quarantine_size_kb=0"
    return {**os.environ, "ASAN_OPTIONS": f"{options}:{none}"}


def factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "asyncio":
        return asyncio.SelectorEventLoop
    if name == "uvolt":
        return uvolt.new_event_loop
    if name == "uvloop":
        return uvloop.new_event_loop
    raise ValueError(f"no loop is called {name!r}")


def factory_code(name: str) -> str:
    """Source that makes `new_loop` in a script of its own."""
    return {
        "asyncio": "import asyncio\nnew_loop = asyncio.SelectorEventLoop\n",
        "uvolt": "import uvolt\nnew_loop = uvolt.new_event_loop\n",
        "uvloop": "import uvloop\nnew_loop = uvloop.new_event_loop\n",
    }[name]


def oracle_lacks(name: str, lacking: bool, why: str) -> None:
    """Leave out the oracle's run where this Python's asyncio lacks the behaviour. Never uvolt's."""
    if name == "asyncio" and lacking:
        pytest.skip(f"asyncio of Python {sys.version.split()[0]}: {why}")


def has_keyword(function: Callable[..., Any], keyword: str) -> bool:
    return keyword in inspect.signature(function).parameters


def finish(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop as asyncio.run does: no task left, transports got their connection_lost."""
    if loop.is_closed():
        return
    try:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=5))
        loop.run_until_complete(settle())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
        loop.set_exception_handler(None)  # pytest keeps the loop for a while; not all that it saw


async def settle(turns: int = 6) -> None:
    """Let what is scheduled happen: a few turns of the loop."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def until(condition: Callable[[], Any], timeout: float = 10) -> None:
    deadline = time.monotonic() + timeout * SLOW
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not in {timeout} s: {inspect.getsource(condition).strip()}")
        await asyncio.sleep(0.001)


# -- checks after a test ----------------------------------------------------------------------


def collect() -> None:
    for _ in range(3):
        if gc.collect() == 0:  # another one would find nothing either
            return


def open_fds() -> dict[int, str]:
    fds = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the descriptor of listdir itself
            fds[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return fds


def counters() -> dict[str, int]:
    return dict(uvolt._core.counters()) if "uvolt" in LOOPS else {}


class Baseline:
    """Descriptors and live objects now; check() fails if there are more later."""

    def __init__(self) -> None:
        self.fds = open_fds()
        self.counters = counters()

    def check(self) -> None:
        now = open_fds()
        leaked = {fd: what for fd, what in now.items() if self.fds.get(fd) != what}
        lost = {fd: what for fd, what in self.fds.items() if fd not in now}
        problems = []
        if leaked:
            problems.append(f"descriptors left open: {leaked}")
        if lost:
            problems.append(f"descriptors closed that were not the test's: {lost}")
        count = counters()
        if count:
            if count["uv_handles_opened"] != count["uv_handles_closed"]:
                problems.append("libuv handles opened and not closed")
            if count["handles_alive"] > self.counters["handles_alive"]:
                problems.append("Handle objects alive")
            if count["writes_pending"] != 0:
                problems.append("writes pending")
            if problems:
                problems.append(f"counters before {self.counters}, now {count}")
        assert not problems, "; ".join(problems)


class LogWatch(logging.Handler):
    """Records of the logger "asyncio". Calling it claims the ones that match a pattern."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []
        self.claims: list[tuple[str, int]] = []
        self.allowed: list[str] = []
        self.logger = logging.getLogger("asyncio")

    def __enter__(self) -> LogWatch:
        self.logger.addHandler(self)
        return self

    def __exit__(self, *exc: object) -> None:
        self.logger.removeHandler(self)
        for record in self.records:
            record.exc_info = None  # pytest keeps records, and with tracebacks all sorts of objects
        self.records.clear()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def __call__(self, pattern: str, times: int = 1) -> None:
        self.claims.append((pattern, times))

    def allow(self, pattern: str) -> None:
        """Records like this may be there or not."""
        self.allowed.append(pattern)

    def matching(self, pattern: str) -> list[logging.LogRecord]:
        return [r for r in self.records if re.search(pattern, r.getMessage())]

    def check(self) -> None:
        claimed = set()
        for pattern, times in self.claims:
            found = self.matching(pattern)
            assert len(found) == times, (
                f"log records like {pattern!r}: {len(found)} instead of {times} in "
                f"{[r.getMessage() for r in self.records]}"
            )
            claimed.update(id(r) for r in found)
        for pattern in self.allowed:
            claimed.update(id(r) for r in self.matching(pattern))
        for record in self.records:
            if record.levelno >= logging.ERROR and id(record) not in claimed:
                pytest.fail(f"unclaimed log record: {logging.Formatter().format(record)}")


# -- peers ------------------------------------------------------------------------------------


def tcp_pair(family: int = socket.AF_INET) -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection; the second has a timeout, for use as a plain peer."""
    with socket.socket(family) as listener:
        listener.bind(("::1" if family == socket.AF_INET6 else LOCALHOST, 0))
        listener.listen(1)
        a = socket.socket(family)
        a.connect(listener.getsockname())
        b, _ = listener.accept()
    a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    b.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    a.setblocking(False)
    b.settimeout(10 * SLOW)
    return a, b


def _claim_ports() -> Iterator[int]:
    """64 ports, over and over, that no other run of the tests uses at the same time: a socket sees
    to it until this process ends. And none of those that the system gives to connections and to
    listeners on port 0, if it leaves any."""
    given = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    low, high = map(int, given)
    blocks = [range(first, first + 64) for first in range(8192, 65472, 64)]
    rest = [ports for ports in blocks if ports[-1] < low or high < ports[0]]
    for ports in random.sample(rest or blocks, len(rest or blocks)):
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind((LOCALHOST, ports[0]))
        except OSError:
            claim.close()
        else:
            claim.detach()
            return itertools.cycle(ports)
    raise RuntimeError("no ports are left for the tests")


_ports = _claim_ports()  # what is open from the start is no test's leak


def free_port() -> int:
    """A port nobody listens on, and nobody will unless the test does."""
    while True:
        port = next(_ports)
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("", port))
            return port


def reset(sock: socket.socket) -> None:
    """Close with RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    sock.close()


def read_all(sock: socket.socket) -> bytes:
    chunks = []
    while chunk := sock.recv(1 << 20):
        chunks.append(chunk)
    return b"".join(chunks)


class Recorder(asyncio.Protocol):
    """A protocol that writes down what happens to it. `on` maps a callback's name to a function
    that is called with the protocol after the event was recorded."""

    def __init__(self, **on: Callable[[Recorder], Any]) -> None:
        self.on = on
        self.events: list[str] = []
        self.data = bytearray()
        self.transport: Any = None
        self.lost: BaseException | None = None
        loop = asyncio.get_running_loop()
        self.made = loop.create_future()
        self.closed = loop.create_future()
        self.eof = loop.create_future()

    def _did(self, name: str) -> Any:
        self.events.append(name)
        return self.on[name](self) if name in self.on else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        if not self.made.done():
            self.made.set_result(None)
        self._did("connection_made")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.data += data
        self._did("data_received")

    def eof_received(self) -> Any:
        if not self.eof.done():
            self.eof.set_result(None)
        return self._did("eof_received")

    def pause_writing(self) -> None:
        self._did("pause_writing")

    def resume_writing(self) -> None:
        self._did("resume_writing")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost = exc
        if not self.closed.done():
            self.closed.set_result(None)
        self._did("connection_lost")

    def count(self, name: str) -> int:
        return self.events.count(name)

    async def received(self, size: int) -> bytes:
        await until(lambda: len(self.data) >= size)
        return bytes(self.data)

    async def gone(self) -> None:
        await asyncio.wait_for(asyncio.shield(self.closed), 10 * SLOW)


class BufferedRecorder(Recorder, asyncio.BufferedProtocol):
    """The same on a buffer of its own."""

    def __init__(self, size: int = 4096, **on: Callable[[Recorder], Any]) -> None:
        super().__init__(**on)
        self.buffer = bytearray(size)
        self.hints: list[int] = []

    def get_buffer(self, sizehint: int) -> Any:
        self.hints.append(sizehint)
        made = self._did("get_buffer")
        return self.buffer if made is None else made

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self.buffer[:nbytes]
        self._did("buffer_updated")


@contextlib.asynccontextmanager
async def connected(
    make: Callable[[], Any] = Recorder, *, family: int = socket.AF_INET
) -> AsyncIterator[tuple[Any, Any, socket.socket]]:
    """A transport of the running loop, its protocol, and a plain blocking socket as its peer."""
    loop = asyncio.get_running_loop()
    a, b = tcp_pair(family)
    try:
        transport, protocol = await loop.create_connection(make, sock=a)
    except BaseException:
        a.close()
        b.close()
        raise
    try:
        yield transport, protocol, b
    finally:
        lost = getattr(protocol, "closed", None)
        if (
            lost is None or not lost.done()
        ):  # asyncio minds an abort after a close that had to flush
            transport.abort()
        b.close()
        await settle()


@contextlib.asynccontextmanager
async def pair(
    client: Callable[[], Any] = Recorder, server: Callable[[], Any] = Recorder
) -> AsyncIterator[tuple[Any, Any]]:
    """Two connected protocols, both on the running loop, by create_server and create_connection."""
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future = loop.create_future()

    def serve() -> Any:
        protocol = server()
        accepted.set_result(protocol)
        return protocol

    listener = await loop.create_server(serve, LOCALHOST, 0)
    port = listener.sockets[0].getsockname()[1]
    transport, protocol = await loop.create_connection(client, LOCALHOST, port)
    other = await asyncio.wait_for(accepted, 10 * SLOW)
    await until(lambda: other.transport is not None)
    try:
        yield protocol, other
    finally:
        transport.abort()
        other.transport.abort()
        listener.close()
        await listener.wait_closed()
        await settle()


@contextlib.contextmanager
def thread(target: Callable[[], Any]) -> Iterator[threading.Thread]:
    t = threading.Thread(target=target, daemon=True)
    t.start()
    try:
        yield t
    finally:
        t.join(20 * SLOW)
        assert not t.is_alive()


# -- scripts ----------------------------------------------------------------------------------


def script(
    name: str,
    body: str,
    *,
    code: int = 0,
    stderr: str | None = "",
    timeout: float = 30,
    args: tuple[str, ...] = (),
    options: tuple[str, ...] = ("-X", "faulthandler", "-W", "error"),
    env: dict[str, str] | None = None,
) -> str:
    """Run a script that finds `new_loop` and `asyncio` defined. Returns what it printed.

    The exit code must be `code` (-N: died by signal N) and stderr `stderr`: a text it must equal,
    or None for anything. The script's own errors are shown."""
    source = factory_code(name) + "import asyncio\n" + textwrap.dedent(body)
    done = subprocess.run(
        [sys.executable, *options, "-c", source, *args],
        capture_output=True,
        text=True,
        timeout=timeout * SLOW,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    if stderr is not None:
        assert done.stderr == stderr, done.stderr
    return done.stdout


@contextlib.contextmanager
def signals_restored(*numbers: int) -> Iterator[None]:
    before = {n: signal.getsignal(n) for n in numbers}
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    try:
        yield
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)
        now = signal.set_wakeup_fd(wakeup)
        assert now == wakeup, "the wakeup descriptor was not put back"


@contextlib.contextmanager
def kill_after(
    delay: float, number: int, loop: asyncio.AbstractEventLoop | None = None
) -> Iterator[None]:
    """Send this process a signal after `delay` seconds, from a thread; with a loop, once it runs:
    an exception of the signal's handler must not hit the code before."""
    runs = threading.Event()
    if loop is None:
        runs.set()
    else:
        loop.call_soon(runs.set)

    def work() -> None:
        if runs.wait(20 * SLOW):
            time.sleep(delay)
            os.kill(os.getpid(), number)

    with thread(work):
        yield


def single_thread() -> concurrent.futures.ThreadPoolExecutor:
    """An executor that does not start another thread with each use."""
    return concurrent.futures.ThreadPoolExecutor(1)
