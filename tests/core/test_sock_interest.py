"""sock_recv() and its kin: who waits for a descriptor, and interest in it between waits."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import socket
import subprocess
import sys
import tracemalloc
import warnings

import pytest
import support

# ---- descriptors --------------------------------------------------------------------------------


def test_a_second_reader_replaces_the_first(loop, pair):
    a, b = pair

    async def main():
        first = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        second = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        b.send(b"x")
        assert await second == b"x"
        assert not first.done()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        # and that has not touched who came later
        third = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        b.send(b"y")
        assert await third == b"y"

    loop.run_until_complete(main())


def test_add_reader_replaces_and_remove_reader_removes(loop, pair):
    a, b = pair

    async def main():
        called = asyncio.Event()
        task = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        loop.add_reader(a, called.set)
        b.send(b"x")
        await asyncio.wait_for(called.wait(), 5)
        assert not task.done()
        assert loop.remove_reader(a) is True
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await loop.sock_recv(a, 10) == b"x"
        task = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        assert loop.remove_reader(a) is True
        assert loop.remove_reader(a) is False
        b.send(b"y")
        await support.settle()
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run_until_complete(main())


def test_reader_and_writer_of_one_socket(loop, pair):
    a, b = pair

    async def main():
        receiving = asyncio.ensure_future(loop.sock_recv(a, 10))
        sending = asyncio.ensure_future(loop.sock_sendall(a, bytes(3_000_000)))
        await support.settle()
        b.send(b"x")
        assert await receiving == b"x"
        receiving = asyncio.ensure_future(loop.sock_recv(a, 10))
        got = 0
        while got < 3_000_000:
            got += len(await loop.sock_recv(b, 1 << 20))
        await sending
        await support.settle()
        assert not receiving.done()
        b.send(b"y")
        assert await receiving == b"y"

    loop.run_until_complete(main())


def test_descriptor_of_a_transport(loop):
    async def main():
        async with support.connected() as (transport, _, _peer):
            fd = transport.get_extra_info("socket").fileno()
            sock = socket.socket(fileno=fd)
            sock.setblocking(False)
            try:
                with pytest.raises(
                    RuntimeError, match=f"File descriptor {fd} is used by transport"
                ):
                    await loop.sock_recv(sock, 10)
            finally:
                sock.detach()

    loop.run_until_complete(main())


def test_socket_handed_to_a_transport_after_use(loop, listener):
    """What was watched for sock_recv() is the transport's now."""

    async def main():
        client = socket.create_connection(listener.getsockname())
        server, _ = await loop.sock_accept(listener)
        waiting = asyncio.ensure_future(loop.sock_recv(server, 10))
        await support.settle()
        client.send(b"first")
        assert await waiting == b"first"
        reader, writer = await asyncio.open_connection(sock=server)
        client.send(b"second\n")
        assert await asyncio.wait_for(reader.readline(), 5) == b"second\n"
        writer.close()
        await writer.wait_closed()
        client.close()

    loop.run_until_complete(main())


def test_number_used_again_by_another_socket(loop):
    """Interest that was kept for a closed socket is nothing to the next one of that number."""

    async def main():
        for _ in range(5):
            a, b = socket.socketpair()
            a.setblocking(False)
            b.setblocking(False)
            for n in range(12):
                task = asyncio.ensure_future(loop.sock_recv(a, 10))
                await support.settle(2)
                await loop.sock_sendall(b, b"%d" % n)
                assert await asyncio.wait_for(task, 5) == b"%d" % n
            a.close()
            b.close()

    loop.run_until_complete(main())


def test_number_used_again_while_the_socket_object_lives(loop):
    async def main():
        a, b = socket.socketpair()
        a.setblocking(False)
        task = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        b.send(b"1")
        assert await task == b"1"
        fd = a.fileno()
        os.close(a.detach())
        c, d = socket.socketpair()
        try:
            with contextlib.ExitStack() as stack:
                stack.callback(c.close)
                stack.callback(d.close)
                assert fd in (c.fileno(), d.fileno())
                c.setblocking(False)
                d.setblocking(False)
                for x, y in ((c, d), (d, c)):
                    task = asyncio.ensure_future(loop.sock_recv(x, 10))
                    await support.settle()
                    y.send(b"2")
                    assert await asyncio.wait_for(task, 5) == b"2"
                with pytest.raises(OSError):
                    await loop.sock_recv(a, 10)
        finally:
            b.close()

    loop.run_until_complete(main())


def test_closed_while_waiting_then_the_number_is_used_again(loop):
    """Who waited on the closed socket learns of it then; on asyncio it waits for ever."""

    async def main():
        a, b = socket.socketpair()
        a.setblocking(False)
        fd = a.fileno()
        task = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        a.close()
        c, d = socket.socketpair()
        assert fd in (c.fileno(), d.fileno())
        x, y = (c, d) if c.fileno() == fd else (d, c)
        x.setblocking(False)
        if type(loop) is not asyncio.SelectorEventLoop:  # which raises FileNotFoundError here
            other = asyncio.ensure_future(loop.sock_recv(x, 10))
            await support.settle()
            with pytest.raises(OSError) as caught:
                await asyncio.wait_for(task, 5)
            assert caught.value.errno == errno.EBADF
            y.send(b"mine")
            assert await asyncio.wait_for(other, 5) == b"mine"
        else:
            task.cancel()
            loop.remove_reader(fd)
            await asyncio.wait([task])
        for s in (b, c, d):
            s.close()

    loop.run_until_complete(main())


def cpu_of_idling(loop, seconds=0.3):
    before = sum(os.times()[:2])
    loop.run_until_complete(asyncio.sleep(seconds))
    return (sum(os.times()[:2]) - before) / seconds


def test_data_that_nobody_reads_does_not_spin(loop, pair):
    a, b = pair

    async def main():
        task = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        b.send(b"read")
        assert await task == b"read"
        b.send(b"not read yet")

    loop.run_until_complete(main())
    assert cpu_of_idling(loop) < 0.5
    assert loop.run_until_complete(loop.sock_recv(a, 100)) == b"not read yet"


@pytest.mark.parametrize("reused", [False, True])
def test_closed_with_a_duplicate_alive_does_not_spin(loop, reused):
    """epoll goes on to report a closed descriptor as long as a duplicate, of a forked child say, is
    open, and cannot be told to stop: its key is gone."""

    async def wait_once(sock, other):
        task = asyncio.ensure_future(loop.sock_recv(sock, 10))
        await support.settle()
        other.send(b"x")
        assert await task == b"x"

    a, b = socket.socketpair()
    a.setblocking(False)
    loop.run_until_complete(wait_once(a, b))
    duplicate = a.dup()
    fd = a.fileno()
    a.close()
    extra = []
    if reused:
        extra = list(socket.socketpair())
        assert fd in [s.fileno() for s in extra]
        for s in extra:
            s.setblocking(False)
        loop.run_until_complete(wait_once(extra[0], extra[1]))
        loop.run_until_complete(wait_once(extra[1], extra[0]))
    b.send(b"for the duplicate")
    assert cpu_of_idling(loop) < 0.5
    if reused:  # and the new sockets are still watched
        loop.run_until_complete(wait_once(extra[0], extra[1]))
        loop.run_until_complete(wait_once(extra[1], extra[0]))
    for s in (b, duplicate, *extra):
        s.close()


def test_forked_child_leaves_the_parents_interest_alone(loop, pair):
    a, b = pair

    async def wait_once():
        task = asyncio.ensure_future(loop.sock_recv(a, 10))
        await support.settle()
        b.send(b"x")
        assert await task == b"x"

    loop.run_until_complete(wait_once())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if type(loop) is not asyncio.SelectorEventLoop:  # whose children share the set
                loop.run_until_complete(wait_once())
                loop.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    loop.run_until_complete(wait_once())


def test_many_round_trips_leave_nothing(loop, pair):
    a, b = pair

    async def echo():
        while data := await loop.sock_recv(b, 100):
            await loop.sock_sendall(b, data)

    async def trips(n):
        for i in range(n):
            await loop.sock_sendall(a, b"%d" % i)
            assert await loop.sock_recv(a, 100) == b"%d" % i

    async def main():
        other = asyncio.ensure_future(echo())
        await trips(500)
        gc.collect()
        tracemalloc.start()
        try:
            await trips(100)
            before = tracemalloc.get_traced_memory()[0]
            await trips(2000)
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert grown < 20_000
        a.close()
        await other

    loop.run_until_complete(main())


def test_steady_ping_pong_costs_no_epoll_ctl(tmp_path):
    """10,000 round trips by strace: two calls each and the polls, no change of interest."""
    script = tmp_path / "trips.py"
    script.write_text(
        "import asyncio, socket, sys, uvolt\n"
        "async def main(n):\n"
        "    loop = asyncio.get_running_loop()\n"
        "    a, b = socket.socketpair()\n"
        "    a.setblocking(False); b.setblocking(False)\n"
        "    async def echo():\n"
        "        while data := await loop.sock_recv(b, 100):\n"
        "            await loop.sock_sendall(b, data)\n"
        "    task = asyncio.ensure_future(echo())\n"
        "    for i in range(n):\n"
        "        await loop.sock_sendall(a, b'x')\n"
        "        assert await loop.sock_recv(a, 100) == b'x'\n"
        "    a.close(); await task; b.close()\n"
        "uvolt.run(main(int(sys.argv[1])))\n"
    )
    preload = os.environ.get("LD_PRELOAD")
    sanitizers = ["-E", f"LD_PRELOAD={preload}"] if preload else []  # for Python, not for strace
    counts = []
    for n in ("100", "10100"):
        summary = tmp_path / f"calls{n}"
        command = ["strace", "-f", "-c", "-o", str(summary), *sanitizers, sys.executable]
        command += [str(script), n]
        subprocess.run(command, check=True, timeout=60 * support.SLOW, env=plain_environment())
        calls = {}
        for line in summary.read_text().splitlines():
            columns = line.split()
            if len(columns) > 4 and columns[3].isdigit():
                calls[columns[-1]] = int(columns[3])
        counts.append(calls)
    short, long = counts
    assert long.get("epoll_ctl", 0) - short.get("epoll_ctl", 0) <= 2
    assert long.get("getpid", 0) - short.get("getpid", 0) <= 2
    assert long["sendto"] - short["sendto"] == 20_000
    assert long["recvfrom"] - short["recvfrom"] < 22_000


def plain_environment():
    return {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
