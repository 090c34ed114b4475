"""Faults of the table that are about scale and about the clock on the wall: rows 60 to 62, 66."""

from __future__ import annotations

import asyncio
import glob
import sys

import pytest
import support


def libfaketime() -> str:
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not found:
        raise RuntimeError("libfaketime is not installed: sudo apt install faketime")
    return found[0]


@pytest.mark.skipif(support.SANITIZED, reason="two libraries that both must be loaded first")
def test_fault_60_the_clock_on_the_wall_jumps(loop_name, tmp_path):
    """A day ahead, then two back: timers and waits go by the monotonic clock."""
    setting = tmp_path / "time"
    setting.write_text("+0")
    body = """
    import sys, time

    async def main():
        path = sys.argv[1]
        loop = asyncio.get_running_loop()
        start, wall = time.monotonic(), time.time()
        fired = []
        for delay in (0.1, 0.3, 0.5):
            loop.call_later(delay, lambda: fired.append(round(time.monotonic() - start, 1)))
        loop.call_later(3600, fired.append, "an hour's")
        for shift, at in (("+1d", 0.2), ("-1d", 0.4)):
            await asyncio.sleep(start + at - time.monotonic())
            with open(path, "w") as file:
                file.write(shift)
            moved = time.time() - wall
            assert abs(abs(moved) - 86400) < 60, moved
        try:
            await asyncio.wait_for(loop.create_future(), 0.2)
        except asyncio.TimeoutError:
            pass
        assert 0.5 <= time.monotonic() - start < 5, time.monotonic() - start
        print(fired)

    loop = new_loop()
    loop.run_until_complete(main())
    loop.close()
    """
    out = support.script(
        loop_name,
        body,
        args=(str(setting),),
        env={
            "LD_PRELOAD": libfaketime(),
            "FAKETIME_TIMESTAMP_FILE": str(setting),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        },
    )
    first, second, third = out.strip("[]\n").split(", ")
    assert 0.1 <= float(first) < 5 and 0.3 <= float(second) < 5 and 0.5 <= float(third) < 5


def test_fault_61_io_while_a_callback_reschedules_itself(loop):
    """For ever: data arrive and are answered meanwhile."""
    stopped = []

    def again():
        if not stopped:
            loop.call_soon(again)

    async def main():
        def echo():
            return support.Recorder(data_received=lambda p: p.transport.write(bytes(p.data[-1:])))

        async with support.pair(server=echo) as (client, _):
            for _ in range(3):
                loop.call_soon(again)
            for number in range(100):
                client.transport.write(bytes([number]))
                await client.received(number + 1)
            assert client.data == bytes(range(100))
            stopped.append(True)

    loop.run_until_complete(asyncio.wait_for(main(), 20 * support.SLOW))


DEEP = """
import contextvars, functools, gc, itertools, logging, socket, sys, threading, weakref

gc.disable()
logging.disable()  # a warning for each write to a peer that is gone

DEPTH = 100_000


def futures(loop):
    # each resolved by the one before, in its done callback
    async def main():
        chain = [loop.create_future() for _ in range(DEPTH)]
        for this, following in zip(chain, chain[1:]):
            this.add_done_callback(lambda _, following=following: following.set_result(None))
        chain[0].set_result(None)
        await chain[-1]

    loop.run_until_complete(main())


def nothing(*args):
    pass


def in_context(last):
    context = contextvars.copy_context()
    context.run(contextvars.ContextVar("last").set, last)
    return {"context": context}


def handles(loop):
    # each holds the one before, in every way, and is all that does; the last one goes
    ways = [
        lambda last: loop.call_soon(nothing, last),
        lambda last: loop.call_soon(nothing, 1, 2, 3, last),
        lambda last: loop.call_soon(functools.partial(nothing, last)),
        lambda last: loop.call_soon(lambda last=last: None),
        lambda last: loop.call_soon(nothing, **in_context(last)),
        lambda last: loop.call_later(0, nothing, last),
        lambda last: loop.call_later(0, nothing, [last]),
    ]
    ways.append(lambda last, turn=itertools.cycle(ways): next(turn)(last))
    for way in ways:
        for end in (lambda: None, gc.collect):
            last = loop.call_soon(nothing)
            dead = weakref.ref(last)
            for _ in range(DEPTH // 10):
                last = way(last)
            loop.call_later(0, loop.stop)
            loop.run_forever()
            if end is gc.collect:
                last = [last]
                last.append(last)
            assert dead() is not None
            del last
            end()
            assert dead() is None


def timers(loop):
    # each holds the one before, and the loop holds all until it is closed
    last = None
    for _ in range(DEPTH):
        last = loop.call_later(3600, nothing, last)


def scheduling(loop):
    # a callback that schedules the next, in every way
    left = [DEPTH]

    def again():
        left[0] -= 1
        if left[0] <= 0:
            loop.stop()
        elif left[0] % 3 == 0:
            loop.call_later(0, again)
        elif left[0] % 3 == 1:
            loop.call_soon_threadsafe(again)
        else:
            loop.call_soon(again)

    again()
    loop.run_forever()


def writing(loop):
    # data_received writes, to a peer that is gone
    class Protocol(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            for _ in range(DEPTH):
                self.transport.write(b"x" * 100)

        def pause_writing(self):
            self.transport.write(b"y")

        def resume_writing(self):
            self.transport.write(b"z")

        def connection_lost(self, exc):
            self.transport.write(b"x")
            self.transport.close()
            loop.stop()

    a, b = socket.socketpair()
    loop.run_until_complete(loop.create_connection(Protocol, sock=a))
    b.send(b"x")
    b.shutdown(socket.SHUT_RD)
    loop.call_later(0.2, b.close)
    loop.run_forever()
    b.close()


def tasks(loop):
    # each awaits the one before
    async def wait(before):
        if before is not None:
            await before

    task = None
    for _ in range(DEPTH // 10):
        task = loop.create_task(wait(task))
    loop.run_until_complete(task)
    del task


def closing(loop):
    # the end of each connection ends the next
    transports = []

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport):
            transports.append(transport)

        def connection_lost(self, exc):
            if transports:
                transports.pop().abort()
            else:
                loop.stop()

    async def main():
        for _ in range(300):
            a, b = socket.socketpair()
            await loop.create_connection(Protocol, sock=a)
            await loop.create_connection(Protocol, sock=b)
        transports.pop().abort()

    loop.run_until_complete(main())
    loop.run_forever()


def work():
    loop = new_loop()
    loop.set_exception_handler(lambda *args: None)
    globals()[sys.argv[1]](loop)
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    print("fine")


threading.stack_size(int(sys.argv[2]) * 1024)  # 100,000 frames in C would need megabytes
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.parametrize(
    "what", ["futures", "handles", "timers", "scheduling", "writing", "tasks", "closing"]
)
def test_fault_62_chains_do_not_use_the_stack(loop_name, what):
    """10^5 steps, each begun by the one before, with 256 KiB of C stack.

    asyncio itself needs more since Python 3.13, whose deallocators nest up to 10,000 deep."""
    large = loop_name == "asyncio" and sys.version_info >= (3, 13)
    args = (what, "8192" if large else "256")
    assert support.script(loop_name, DEEP, args=args, timeout=50).endswith("fine\n")


IDLE = """
import gc, resource, socket, time

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
count = 10_000


class Idle(asyncio.Protocol):
    def data_received(self, data):
        got.append(data)


got = []


async def main():
    loop = asyncio.get_running_loop()
    transports = []
    for _ in range(count // 2):
        for end in socket.socketpair():
            transport, _ = await loop.create_connection(Idle, sock=end)
            transports.append(transport)
    gc.collect()
    gc.freeze()
    timers = len(loop._scheduled) if hasattr(loop, "_scheduled") else 0
    assert timers < 100, timers
    await asyncio.sleep(0.1)
    start, now = time.process_time(), time.monotonic()
    for _ in range(10):
        await asyncio.sleep(0.1)
    used = time.process_time() - start
    # the slow loris: a byte now and then, on any of them
    for number in range(0, count, 1000):
        transports[number].write(b"x")
        await asyncio.sleep(0.01)
    assert got == [b"x"] * (count // 1000), got
    for transport in transports:
        transport.abort()
    await asyncio.sleep(0.1)
    return used


loop = new_loop()
used = loop.run_until_complete(main())
loop.close()
print(used)
"""


def test_fault_66_ten_thousand_idle_sockets(loop_name):
    """A second with them costs next to nothing; and they still work."""
    used = float(support.script(loop_name, IDLE, timeout=50))
    assert used < 0.1 * support.SLOW
