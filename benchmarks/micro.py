"""The micro cases: what one operation of a loop costs, without a peer process.

Each case is `case(loop, n)`: it performs n operations on a loop that is not running, and returns.
As a program it is the process under test: with `--n N` it performs N operations once (for
callgrind and strace); without, it reads a number a line from standard input, performs so many
operations, and answers each with one JSON line (for the clock, peers interleaved).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import peers, scale  # noqa: E402

Loop = asyncio.AbstractEventLoop
Case = Callable[[Loop, int], None]

CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


def coroutine_case(function: Callable[[Loop, int], Awaitable[None]]) -> Case:
    def run(loop: Loop, n: int) -> None:
        loop.run_until_complete(function(loop, n))

    CASES[function.__name__] = run
    return run


@case
def call_soon_chain(loop: Loop, n: int) -> None:
    """A callback schedules itself: one callback an iteration."""
    left = n

    def step() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(step)
        else:
            loop.stop()

    loop.call_soon(step)
    loop.run_forever()


@case
def call_soon_fanout(loop: Loop, n: int) -> None:
    """A hundred callbacks scheduled in one iteration, run in the next."""
    left = n
    done = 0

    def leaf(_: int) -> None:
        nonlocal done
        done += 1

    def batch() -> None:
        nonlocal left
        size = min(100, left)
        if not size:
            loop.stop()
            return
        left -= size
        for i in range(size):
            loop.call_soon(leaf, i)
        loop.call_soon(batch)

    loop.call_soon(batch)
    loop.run_forever()
    assert done == n


@case
def call_later_cancel(loop: Loop, n: int) -> None:
    """A timer of a minute, cancelled at once: a timeout that does not happen; 1000 an iteration."""
    left = n

    def never() -> None:
        raise AssertionError("a cancelled timer ran")

    def batch() -> None:
        nonlocal left
        size = min(1000, left)
        if not size:
            loop.stop()
            return
        left -= size
        for _ in range(size):
            loop.call_later(60.0, never).cancel()
        loop.call_soon(batch)

    loop.call_soon(batch)
    loop.run_forever()


@case
def call_later_fire(loop: Loop, n: int) -> None:
    """Timers of zero to one millisecond that fire, 100 at a time."""
    left = n
    waiting = 0

    def fire() -> None:
        nonlocal waiting
        waiting -= 1
        if not waiting:
            batch()

    def batch() -> None:
        nonlocal left, waiting
        waiting = min(100, left)
        if not waiting:
            loop.stop()
            return
        left -= waiting
        for i in range(waiting):
            loop.call_later(i * 0.00001, fire)

    loop.call_soon(batch)
    loop.run_forever()


@case
def call_soon_threadsafe(loop: Loop, n: int) -> None:
    """Callbacks scheduled with call_soon_threadsafe from the loop's own thread, as a chain."""
    left = n

    def step() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon_threadsafe(step)
        else:
            loop.stop()

    loop.call_soon(step)
    loop.run_forever()


@case
def call_soon_threadsafe_thread(loop: Loop, n: int) -> None:
    """Another thread wakes the sleeping loop and waits until the callback ran."""
    ran = threading.Event()

    def work() -> None:
        for _ in range(n):
            ran.clear()
            loop.call_soon_threadsafe(ran.set)
            ran.wait()
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=work)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()


@coroutine_case
async def sleep0(loop: Loop, n: int) -> None:
    """asyncio.sleep(0): a task gives way and is resumed."""
    sleep = asyncio.sleep
    for _ in range(n):
        await sleep(0)


@coroutine_case
async def future_wake(loop: Loop, n: int) -> None:
    """A task waits on a future that a callback resolves."""
    for _ in range(n):
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future


@coroutine_case
async def gather(loop: Loop, n: int) -> None:
    """A task made, run and gathered, 100 at a time."""

    async def leaf() -> int:
        return 1

    left = n
    while left:
        size = min(100, left)
        left -= size
        assert sum(await asyncio.gather(*(leaf() for _ in range(size)))) == size


@coroutine_case
async def wait_for(loop: Loop, n: int) -> None:
    """wait_for with a timeout around a future that is resolved at once."""
    for _ in range(n):
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await asyncio.wait_for(future, 60.0)


@coroutine_case
async def queue(loop: Loop, n: int) -> None:
    """An item through an asyncio.Queue of one place, from one task to another."""
    items: asyncio.Queue[int] = asyncio.Queue(1)

    async def produce() -> None:
        for i in range(n):
            await items.put(i)

    producer = loop.create_task(produce())
    for _ in range(n):
        await items.get()
    await producer


@coroutine_case
async def semaphore(loop: Loop, n: int) -> None:
    """A semaphore of five places taken in turns by ten tasks that give way while they hold it."""
    limit = asyncio.Semaphore(5)

    async def work(count: int) -> None:
        for _ in range(count):
            async with limit:
                await asyncio.sleep(0)

    share, rest = divmod(n, 10)
    await asyncio.gather(*(work(share + (i < rest)) for i in range(10)))


@coroutine_case
async def run_in_executor(loop: Loop, n: int) -> None:
    """An empty function in the default thread pool, awaited."""
    for _ in range(n):
        await loop.run_in_executor(None, int)


@coroutine_case
async def getaddrinfo_literal(loop: Loop, n: int) -> None:
    """getaddrinfo of a numeric address."""
    for _ in range(n):
        await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)


@coroutine_case
async def sock_pingpong(loop: Loop, n: int) -> None:
    """A round trip of 64 bytes over a socket pair with sock_sendall and sock_recv."""
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    message = b"x" * 64

    async def answer() -> None:
        while data := await loop.sock_recv(right, 1024):
            await loop.sock_sendall(right, data)

    other = loop.create_task(answer())
    for _ in range(n):
        await loop.sock_sendall(left, message)
        assert await loop.sock_recv(left, 1024) == message
    left.close()
    await other
    right.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, on_datagram: Callable[[Any, bytes, Any], None]) -> None:
        self.on_datagram = on_datagram

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.on_datagram(self.transport, data, addr)


@coroutine_case
async def udp_pingpong(loop: Loop, n: int) -> None:
    """A round trip of 64 bytes between two datagram endpoints of the same loop."""
    left = n
    done = loop.create_future()

    def echo(transport: Any, data: bytes, addr: Any) -> None:
        transport.sendto(data, addr)

    def again(transport: Any, data: bytes, addr: Any) -> None:
        nonlocal left
        left -= 1
        if left:
            transport.sendto(data)
        else:
            done.set_result(None)

    server, _ = await loop.create_datagram_endpoint(
        lambda: _Datagrams(echo), local_addr=("127.0.0.1", 0)
    )
    client, _ = await loop.create_datagram_endpoint(
        lambda: _Datagrams(again), remote_addr=server.get_extra_info("sockname")
    )
    client.sendto(b"x" * 64)
    await done
    client.close()
    server.close()
    await asyncio.sleep(0)


@coroutine_case
async def udp_peers(loop: Loop, n: int) -> None:
    """As udp_pingpong with 32 clients that take turns: each datagram has another sender."""
    left = n
    done = loop.create_future()

    def echo(transport: Any, data: bytes, addr: Any) -> None:
        transport.sendto(data, addr)

    def again(transport: Any, data: bytes, addr: Any) -> None:
        nonlocal left
        left -= 1
        if left > 0:
            transport.sendto(data)
        elif not left:
            done.set_result(None)

    server, _ = await loop.create_datagram_endpoint(
        lambda: _Datagrams(echo), local_addr=("127.0.0.1", 0)
    )
    where = server.get_extra_info("sockname")
    clients = [
        await loop.create_datagram_endpoint(lambda: _Datagrams(again), remote_addr=where)
        for _ in range(32)
    ]
    for client, _ in clients:
        client.sendto(b"x" * 64)
    await done
    for client, _ in clients:
        client.close()
    server.close()
    await asyncio.sleep(0)


@coroutine_case
async def udp_burst(loop: Loop, n: int) -> None:
    """Datagrams of 1200 bytes (QUIC's) in bursts of 50, sent and received in the same loop."""
    got = 0
    complete = loop.create_future()

    def count(transport: Any, data: bytes, addr: Any) -> None:
        nonlocal got
        got += 1
        if got == size:
            complete.set_result(None)

    server, _ = await loop.create_datagram_endpoint(
        lambda: _Datagrams(count), local_addr=("127.0.0.1", 0)
    )
    client, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=server.get_extra_info("sockname")
    )
    data = b"x" * 1200
    for start in range(0, n, 50):
        got, size, complete = 0, min(50, n - start), loop.create_future()
        for _ in range(size):
            client.sendto(data)
        await complete
    client.close()
    server.close()
    await asyncio.sleep(0)


@coroutine_case
async def connect_close(loop: Loop, n: int) -> None:
    """open_connection, a line from the server, close; client and server on the same loop."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    for _ in range(n):
        reader, writer = await asyncio.open_connection(host, port)
        assert await reader.readline() == b"hello\n"
        writer.close()
        await writer.wait_closed()
    server.close()
    await asyncio.sleep(0.01)


def pidfd_of_the_dead(pid: int, flags: int = 0) -> int:
    """What os.pidfd_open() gives, where valgrind does not know that call: once the child has
    ended, a descriptor that is readable. Without it a thread would be counted for each child."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    reading, writing = os.pipe()
    os.close(writing)
    return reading


@coroutine_case
async def subprocess(loop: Loop, n: int) -> None:
    """/bin/true started and waited for."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        os.pidfd_open = pidfd_of_the_dead
    for _ in range(n):
        process = await asyncio.create_subprocess_exec("/bin/true")
        assert await process.wait() == 0


@coroutine_case
async def subprocess_pipe(loop: Loop, n: int) -> None:
    """/bin/cat with 1 KiB through its pipes, by communicate()."""
    data = b"x" * 1024
    for _ in range(n):
        process = await asyncio.create_subprocess_exec(
            "/bin/cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        out, _err = await process.communicate(data)
        assert out == data


@case
def add_reader_churn(loop: Loop, n: int) -> None:
    """add_reader, its callback once, remove_reader."""
    readable, other = socket.socketpair()
    readable.setblocking(False)
    other.send(b"x")
    fd = readable.fileno()
    left = n

    def ready() -> None:
        nonlocal left
        loop.remove_reader(fd)
        left -= 1
        if left:
            loop.add_reader(fd, ready)
        else:
            loop.stop()

    loop.add_reader(fd, ready)
    loop.run_forever()
    readable.close()
    other.close()


def prepare(loop: Loop) -> None:
    """What some cases need of a loop, outside the measured part."""
    if sys.version_info < (3, 12) and threading.current_thread() is threading.main_thread():
        watcher = asyncio.get_event_loop_policy().get_child_watcher()
        watcher.attach_loop(loop)


def sized(function: scale.SizedCase, size: int) -> Case:
    return lambda loop, n: function(loop, n, size)


def cpu_ns() -> int:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time_ns() + int((children.ru_utime + children.ru_stime) * 1e9)


def measure(loop: Loop, run: Case, n: int) -> dict[str, Any]:
    cpu, wall = cpu_ns(), time.perf_counter_ns()
    run(loop, n)
    return {"n": n, "wall_ns": time.perf_counter_ns() - wall, "cpu_ns": cpu_ns() - cpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=sorted([*CASES, *scale.CASES]))
    parser.add_argument("--size", type=int, default=0, help="of a scale case")
    parser.add_argument("--loop", default="uvolt", choices=sorted(peers.LOOPS))
    parser.add_argument("--n", type=int)
    args = parser.parse_args()
    loop = peers.new_loop(args.loop)
    asyncio.set_event_loop(loop)
    prepare(loop)
    run = CASES.get(args.case) or sized(scale.CASES[args.case], args.size)
    if args.n is not None:
        print(json.dumps(measure(loop, run, args.n)), flush=True)
    else:
        print(json.dumps({"pid": os.getpid()}), flush=True)
        for line in sys.stdin:
            print(json.dumps(measure(loop, run, int(line))), flush=True)
    sys.stdout.flush()
    os._exit(0)  # the cases are measured, not the interpreter's end


if __name__ == "__main__":
    main()
