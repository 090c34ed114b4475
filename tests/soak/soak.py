"""Long runs that must leave nothing behind: the same work over and over, and what it adds up to.

    python tests/soak/soak.py [CASE...] [--loops uvolt,asyncio] [--scale 0.01] [--markdown FILE]

Each case runs in a process of its own. A fifth of the work is the warm-up; then come ten equal
parts, and after each a look at the descriptors, at the memory that malloc has given out
(mallinfo2), at the blocks of Python's allocator and at the resident set. Descriptors must not grow,
and once the loop is closed they must be as before it was made. Memory must be flat: see problems().
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import functools
import gc
import importlib
import json
import os
import platform
import ssl
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

PARTS = 10
LEAK = 4.0  # bytes an operation
LEAST = 64 * 1024  # bytes that a run may add in all: clocks, caches, tables
SLACK = 2 * 1024 * 1024  # bytes of resident set: pages, not objects
BLOCK = 64  # bytes of a block of Python's allocator, about

Case = Callable[[int], Awaitable[None]]

INTRODUCTION = """# What long runs leave behind

Made by `make soak`; do not edit it by hand. Each row is one process: a warm-up of a fifth of the
work, the work, and looks at the process in between. Descriptors are counted before the loop was
made and after it was closed. *malloc* is what malloc has given out (`mallinfo2`), *blocks* are
those of Python's allocator, both from the end of the warm-up to the end of the work; the resident
set is that of both moments. *Flat* means: the second half of the work holds no more than 4 bytes an
operation above the first, the resident set has not grown by 2 MiB, no look found a further
descriptor.

"""
# name -> its module; "uvolt+memorybio" is uvolt with the other way of its TLS engine
LOOPS = {
    "uvolt": "uvolt",
    "uvolt+memorybio": "uvolt",
    "uvloop": "uvloop",
    "asyncio": "asyncio",
}


# ---- what is looked at --------------------------------------------------------------------------


class _Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks"),
            *("uordblks", "fordblks", "keepcost"),
        )
    ]


@functools.cache
def _mallinfo2() -> Callable[[], _Mallinfo2] | None:
    function = getattr(ctypes.CDLL(None), "mallinfo2", None)  # glibc 2.33
    if function is not None:
        function.restype = _Mallinfo2
    return function


def malloced() -> int:
    """Bytes that malloc has given out and not got back; 0 where libc does not tell."""
    function = _mallinfo2()
    if function is None:
        return 0
    info = function()
    return int(info.uordblks + info.hblkhd)


def resident() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@dataclass(frozen=True)
class Look:
    fds: int
    malloc: int  # bytes
    blocks: int
    rss: int  # bytes


def look() -> Look:
    for _ in range(3):
        gc.collect()
    return Look(descriptors(), malloced(), sys.getallocatedblocks(), resident())


@dataclass(frozen=True)
class Result:
    case: str
    loop: str
    version: str
    count: int
    seconds: float
    fds_before: int  # before there was a loop
    fds_after: int  # once it was closed
    looks: list[Look]  # after the warm-up and after each part

    def growth(self, name: str) -> float:
        """What an operation adds: by the least of the last five parts and of the first five."""
        values = [getattr(each, name) for each in self.looks[1:]]
        half = len(values) // 2
        return float((min(values[half:]) - min(values[:half])) / (self.count * half / len(values)))

    def problems(self) -> list[str]:
        found = []
        if self.fds_after != self.fds_before:
            found.append(f"descriptors: {self.fds_before} before, {self.fds_after} after")
        if self.looks[-1].fds > self.looks[0].fds:
            found.append(f"descriptors: {[each.fds for each in self.looks]}")
        for name, size in (("malloc", 1), ("blocks", BLOCK)):
            leaked = self.growth(name) * size
            if leaked > LEAK and leaked * self.count / 2 > LEAST:
                found.append(f"{name}: {leaked:.1f} bytes an operation")
        grown = self.looks[-1].rss - self.looks[0].rss
        if grown > SLACK:
            found.append(f"resident set: {grown / 1024:.0f} KiB more")
        return found


# ---- the cases ----------------------------------------------------------------------------------


@functools.cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext, ssl.SSLContext]:
    """Of a client, of a server, and of a client that does not trust it."""
    import trustme

    authority = trustme.CA()
    client, stranger = (ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) for _ in range(2))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(client)
    authority.issue_cert("localhost").configure_cert(server)
    return client, server, stranger


GONE = (OSError, asyncio.IncompleteReadError)  # ssl.SSLError is an OSError


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(*GONE):
        line = await reader.readline()
        if line == b"abort\n":
            writer.transport.abort()
        else:
            writer.write(line * 100)
            await writer.drain()
            await reader.read()
    await _close(writer)


async def _talk(address: tuple[str, int], kind: int) -> None:
    """One connection in ten is cut by the server, one by the client, the others end in order."""
    context = contexts()[0]
    reader, writer = await asyncio.open_connection(
        *address, ssl=context, server_hostname="localhost"
    )
    line = b"abort\n" if kind == 2 else b"hello\n"
    writer.write(line)
    with contextlib.suppress(*GONE):
        await reader.readexactly(100 * len(line))
    if kind == 3:
        writer.transport.abort()
    await _close(writer)


async def _fail(address: tuple[str, int], kind: int) -> None:
    """One in ten speaks no TLS, one does not trust the server."""
    if kind == 0:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(*GONE):
            await reader.read()
        await _close(writer)
        return
    with contextlib.suppress(OSError):
        await asyncio.open_connection(*address, ssl=contexts()[2], server_hostname="localhost")
        raise AssertionError("an unknown authority was trusted")


async def tls(n: int) -> None:
    """TLS connections of client and server, ten at a time."""
    server = await asyncio.start_server(_answer, "127.0.0.1", 0, ssl=contexts()[1])
    address = server.sockets[0].getsockname()
    for _ in range(n // 10):
        await asyncio.gather(*((_fail if kind < 2 else _talk)(address, kind) for kind in range(10)))
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.05)


async def tcp(n: int) -> None:
    """TCP connections of client and server, ten at a time."""

    async def one() -> None:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"hello\n")
        await reader.readexactly(600)
        await _close(writer)

    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    for _ in range(n // 10):
        await asyncio.gather(*(one() for _ in range(10)))
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.05)


async def subprocesses(n: int) -> None:
    """Children: some just end, some have pipes, some are killed; four at a time."""
    pipe = asyncio.subprocess.PIPE

    async def plain() -> None:
        child = await asyncio.create_subprocess_exec("/bin/true")
        assert await child.wait() == 0

    async def shell() -> None:
        child = await asyncio.create_subprocess_shell("exit 7")
        assert await child.wait() == 7

    async def pipes() -> None:
        child = await asyncio.create_subprocess_exec("/bin/cat", stdin=pipe, stdout=pipe)
        assert await child.communicate(b"x" * 10_000) == (b"x" * 10_000, None)

    async def killed() -> None:
        child = await asyncio.create_subprocess_exec("/bin/sleep", "60", stdout=pipe)
        child.kill()
        assert await child.wait() == -9

    for _ in range(n // 4):
        await asyncio.gather(plain(), shell(), pipes(), killed())
    with contextlib.suppress(ChildProcessError):
        raise AssertionError(f"a child is left: {os.waitpid(-1, os.WNOHANG)}")


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, left: int) -> None:
        self.left = left
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.left -= 1
        if self.left:
            self.transport.sendto(data, addr)
        elif not self.done.done():
            self.done.set_result(None)


async def datagrams(n: int) -> None:
    """Datagrams to and fro, a new pair of endpoints for every thousand."""
    loop = asyncio.get_running_loop()
    for _ in range(n // 1000):
        ends = []
        for _ in range(2):
            ends.append(
                await loop.create_datagram_endpoint(
                    lambda: _Datagrams(500), local_addr=("127.0.0.1", 0)
                )
            )
        (one, _), (two, protocol) = ends
        one.sendto(b"x" * 512, two.get_extra_info("sockname"))
        await protocol.done
        one.close()
        two.close()
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)


async def timers(n: int) -> None:
    """Timers made and cancelled, in lots of 10,000 that are pending together."""
    loop = asyncio.get_running_loop()
    for _ in range(n // 10_000):
        pending = [loop.call_later(60 + i % 97, print, i) for i in range(10_000)]
        for handle in pending:
            handle.cancel()
        await asyncio.sleep(0)


# name -> what it does, operations of a full run, what one is
CASES: dict[str, tuple[Case, int, str]] = {
    "tls": (tls, 10_000, "TLS connections"),
    "tcp": (tcp, 20_000, "TCP connections"),
    "subprocesses": (subprocesses, 2_000, "subprocesses"),
    "datagrams": (datagrams, 100_000, "datagrams"),
    "timers": (timers, 1_000_000, "timers created and cancelled"),
}
LEAST_PART = {"tls": 10, "tcp": 10, "subprocesses": 4, "datagrams": 1000, "timers": 10_000}


# ---- running them -------------------------------------------------------------------------------


def run_case(name: str, loop_name: str, scale: float = 1.0) -> Result:
    """The case on a new loop of this process."""
    function, count, _ = CASES[name]
    least = LEAST_PART[name]
    part = max(int(count * scale) // PARTS // least, 1) * least
    if loop_name == "uvolt+memorybio":
        os.environ["UVOLT_TLS"] = "memorybio"
    module = importlib.import_module(LOOPS[loop_name])
    # What a first loop makes once for the process is not a leak.
    make = getattr(module, "SelectorEventLoop", None) or module.new_event_loop
    first = make()
    first.run_until_complete(function(least))
    first.close()
    before = look().fds
    loop = make()
    begin = time.monotonic()
    loop.run_until_complete(function(2 * part))
    looks = [look()]
    for _ in range(PARTS):
        loop.run_until_complete(function(part))
        looks.append(look())
    seconds = time.monotonic() - begin
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    del loop
    after = look().fds
    version = getattr(module, "__version__", platform.python_version())
    return Result(name, loop_name, version, part * PARTS, seconds, before, after, looks)


def run_apart(name: str, loop_name: str, scale: float) -> Result:
    """The same in a process of its own."""
    argv = [sys.executable, __file__, name, "--loops", loop_name, "--scale", str(scale), "--child"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, timeout=1200)
    data = json.loads(done.stdout)
    looks = [Look(**each) for each in data.pop("looks")]
    return Result(**data, looks=looks)


def row(result: Result) -> list[str]:
    first, last = result.looks[0], result.looks[-1]
    return [
        f"{result.count:,} {CASES[result.case][2]}",
        f"{result.loop} {result.version}",
        f"{result.seconds:.0f} s",
        f"{result.fds_before} / {result.fds_after}",
        f"{(last.malloc - first.malloc) / 1024:+,.0f} KiB",
        f"{last.blocks - first.blocks:+,}",
        f"{first.rss / 2**20:.1f} / {last.rss / 2**20:.1f} MiB",
        "; ".join(result.problems()) or "flat",
    ]


HEADINGS = (
    *("work", "loop", "took", "descriptors", "malloc", "blocks", "resident set", "verdict"),
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--loops", default="uvolt", help="comma-separated")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full work")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the page there")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    unknown = set(args.cases) - set(CASES) | set(args.loops.split(",")) - set(LOOPS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if args.child:
        print(json.dumps(asdict(run_case(args.cases[0], args.loops, args.scale))))
        return 0
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + " --- |" * len(HEADINGS)]
    print("\n".join(lines), flush=True)
    leaks = 0
    for name in args.cases or CASES:
        for loop_name in args.loops.split(","):
            if loop_name == "uvolt+memorybio" and name != "tls":
                continue  # only TLS differs
            result = run_apart(name, loop_name, args.scale)
            leaks += bool(result.problems()) and LOOPS[loop_name] == "uvolt"
            lines.append("| " + " | ".join(row(result)) + " |")
            print(lines[-1], flush=True)
    if args.markdown:
        about = f"Python {platform.python_version()}, {platform.system()} {platform.release()}."
        args.markdown.write_text(INTRODUCTION + "\n".join([*lines, "", about]) + "\n")
    return 1 if leaks else 0


if __name__ == "__main__":
    sys.exit(main())
