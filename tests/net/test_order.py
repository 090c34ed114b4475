"""The order of what data_received() schedules and of what waits anyhow: asyncio's."""

from __future__ import annotations

import asyncio
import os
import socket

import support


def test_order_behind_data(loop):
    """What data_received() schedules comes behind what waited before the data were seen, and behind
    what that schedules: only data_received() itself may come earlier than on asyncio."""
    a, b = socket.socketpair()
    seen = []

    def received(_):
        seen.append("data")
        loop.call_soon(seen.append, "after data")

    def step(n):
        seen.append(n)
        if n < 3:
            loop.call_soon(step, n + 1)

    async def main():
        transport, _ = await loop.create_connection(
            lambda: support.Recorder(data_received=received), sock=a
        )
        await asyncio.sleep(0.001)  # an idle poll: the next ones are not skipped
        b.send(b"x")
        loop.call_soon(step, 1)
        await support.until(lambda: len(seen) == 5)
        transport.abort()
        await support.settle()

    loop.run_until_complete(main())
    b.close()
    seen.remove("data")
    assert seen == [1, 2, "after data", 3]


def test_order_behind_data_and_a_timer(loop):
    """The same where a timer and a descriptor of add_reader() are due in that poll, too."""
    a, b = socket.socketpair()
    r, w = os.pipe()
    seen = []

    def received(_):
        seen.append("data")
        loop.call_soon(seen.append, "after data")

    def step(what):
        seen.append(what)
        loop.call_soon(seen.append, f"after {what}")

    async def main():
        transport, _ = await loop.create_connection(
            lambda: support.Recorder(data_received=received), sock=a
        )
        loop.add_reader(r, lambda: (os.read(r, 1), step("reader")))
        await asyncio.sleep(0.001)  # an idle poll: the next ones are not skipped
        b.send(b"x")
        os.write(w, b"x")
        loop.call_later(0, step, "timer")
        loop.call_soon(step, "first")
        await support.until(lambda: len(seen) == 8)
        loop.remove_reader(r)
        transport.abort()
        await support.settle()

    loop.run_until_complete(main())
    b.close()
    os.close(r)
    os.close(w)
    assert sorted(seen[:4]) == ["data", "first", "reader", "timer"]
    seen.remove("data")
    assert [what for what in seen if "after" not in what] == ["first", "reader", "timer"]
    seen.remove("after data")
    assert seen[3:] == ["after first", "after reader", "after timer"]


def test_what_data_have_scheduled_comes_before_the_next_data(loop):
    """So a task that is woken by each piece sees each, also on a loop that is never idle."""
    a, b = socket.socketpair()
    seen = []

    def received(_):
        seen.append("data")
        loop.call_soon(seen.append, "woken")

    def spin():
        b.send(b"x")
        if len(seen) < 40:
            loop.call_soon(spin)

    async def main():
        transport, _ = await loop.create_connection(
            lambda: support.Recorder(data_received=received), sock=a
        )
        await asyncio.sleep(0.001)  # an idle poll: the next ones are not skipped
        spin()
        await support.until(lambda: len(seen) >= 40)
        transport.abort()
        await support.settle()

    loop.run_until_complete(main())
    b.close()
    assert seen[:40] == ["data", "woken"] * 20


def test_what_connection_made_has_scheduled_comes_before_the_first_data(loop):
    seen = []

    def made(_):
        seen.append("made")
        loop.call_soon(seen.append, "begun")

    def spin(end):
        if not end.is_set():
            loop.call_soon(spin, end)

    async def main():
        server = await loop.create_server(
            lambda: support.Recorder(
                connection_made=made, data_received=lambda _: seen.append("data")
            ),
            "127.0.0.1",
        )
        await asyncio.sleep(0.001)
        end = asyncio.Event()
        spin(end)
        with socket.create_connection(server.sockets[0].getsockname()[:2]) as sock:
            sock.send(b"x")
            await support.until(lambda: len(seen) == 3)
            end.set()
        server.close()
        await support.settle(4)

    loop.run_until_complete(main())
    assert seen == ["made", "begun", "data"]
