"""Random programs: each is run on the loop under test and on asyncio, and must do the same."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest
import support


def both(loop_factory, program, seed):
    """What the program logs on the loop under test, and on asyncio."""
    logs = []
    for factory in (loop_factory, asyncio.SelectorEventLoop):
        loop = factory()
        loop.set_exception_handler(lambda loop, context: None)
        log: list = []
        try:
            program(loop, random.Random(seed), log)
        finally:
            support.finish(loop)
        logs.append(log)
    return logs


def handles(loop, rng, log):
    """call_soon, timers in the past and cancellation, turn by turn."""
    live = []
    counter = 0

    def callback(n):
        log.append(n)
        act(rng.randrange(6))

    def act(what):
        nonlocal counter
        counter += 1
        if counter > 2000:
            return
        if what in (0, 1):
            live.append(loop.call_soon(callback, counter))
        elif what == 2:
            live.append(loop.call_soon_threadsafe(callback, counter))
        elif what == 3 and live:
            live.pop(rng.randrange(len(live))).cancel()
        elif what == 4:
            live.append(loop.call_soon(fail, counter))
        elif live:
            log.append(live[rng.randrange(len(live))].cancelled())

    def fail(n):
        log.append(("fail", n))
        act(0)
        raise ZeroDivisionError

    for _ in range(30):
        for _ in range(rng.randrange(10)):
            act(rng.randrange(6))
        loop.call_soon(loop.stop)
        loop.run_forever()
        log.append("turn")


def timers(loop, rng, log):
    """Timers of distinct deadlines, added and cancelled, also from timers."""
    base = loop.time()
    live = {}
    counter = 0

    def add(depth):
        nonlocal counter
        counter += 1
        n = counter
        when = base - 100 + rng.random() * 100
        live[n] = loop.call_at(when, fire, n, depth)

    def fire(n, depth):
        live.pop(n, None)
        log.append(n)
        if depth < 3:
            for _ in range(rng.randrange(3)):
                add(depth + 1)
        if live and rng.random() < 0.5:
            live.pop(rng.choice(sorted(live))).cancel()

    for _ in range(10):
        for _ in range(rng.randrange(20)):
            add(0)
        loop.call_soon(loop.stop)
        loop.run_forever()
        log.append("turn")


def watchers(loop, rng, log):
    """Readers and writers of sockets that are written, drained, closed and opened again."""
    pairs = [None] * 8
    turn: list = []

    def open_pair(n):
        a, b = socket.socketpair()
        a.setblocking(False)
        b.setblocking(False)
        pairs[n] = a, b

    def readable(n):
        try:
            got = len(pairs[n][0].recv(10_000))
        except BlockingIOError:
            got = -1
        turn.append(("r", n, got))
        if got == 0:
            loop.remove_reader(pairs[n][0])

    def writable(n):
        turn.append(("w", n))
        if rng_local.random() < 0.5:
            turn.append(("removed", n, loop.remove_writer(pairs[n][0])))

    rng_local = random.Random(1)
    for n in range(len(pairs)):
        open_pair(n)
    for _ in range(120):
        n = rng.randrange(len(pairs))
        a, b = pairs[n]
        what = rng.randrange(8)
        if what == 0:
            loop.add_reader(a, readable, n)
        elif what == 1:
            turn.append(loop.remove_reader(a))
        elif what == 2:
            loop.add_writer(a.fileno(), writable, n)
        elif what == 3:
            turn.append(loop.remove_writer(a))
        elif what in (4, 5):
            try:
                b.send(b"x" * rng.randrange(1, 100))
            except OSError as e:
                turn.append(type(e).__name__)
        elif what == 6:
            try:
                b.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        else:
            turn.append((loop.remove_reader(a), loop.remove_writer(a)))
            a.close()
            b.close()
            open_pair(n)
        rng_local = random.Random(rng.random())
        loop.call_soon(loop.stop)
        loop.run_forever()
        # which of several descriptors comes first is the kernel's affair
        log.append(sorted(turn, key=repr))
        turn.clear()
    for a, b in pairs:
        loop.remove_reader(a)
        loop.remove_writer(a)
        a.close()
        b.close()


def tasks(loop, rng, log):
    """Tasks that sleep, wait for each other, are cancelled and fail."""

    async def worker(n, depth):
        try:
            for _ in range(rng.randrange(1, 5)):
                what = rng.randrange(6)
                log.append((n, what))
                if what < 2:
                    await asyncio.sleep(0)
                elif what == 2 and depth < 3:
                    await asyncio.gather(
                        worker((n, "a"), depth + 1),
                        worker((n, "b"), depth + 1),
                        return_exceptions=True,
                    )
                elif what == 3:
                    raise ZeroDivisionError
                elif what == 4 and all_tasks:
                    rng.choice(all_tasks).cancel()
                else:
                    async with lock:
                        await asyncio.sleep(0)
        except asyncio.CancelledError:
            log.append((n, "cancelled"))
            raise
        finally:
            log.append((n, "ends"))

    async def main():
        nonlocal lock
        lock = asyncio.Lock()
        for n in range(12):
            all_tasks.append(loop.create_task(worker(n, 0)))
        results = await asyncio.gather(*all_tasks, return_exceptions=True)
        log.append([type(r).__name__ for r in results])

    lock = None
    all_tasks: list = []
    loop.run_until_complete(main())


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("program", [handles, timers, watchers, tasks], ids=lambda f: f.__name__)
def test_random_program(loop_factory, program, seed):
    got, expected = both(loop_factory, program, seed)
    assert got == expected


# -- connections: what must hold whatever is done ---------------------------------------------


class Checked(support.Recorder):
    """A protocol that minds the order of its events."""

    def _did(self, name):
        before = self.events[-1] if self.events else None
        if name == "connection_made":
            assert self.events == []
        else:
            assert self.events[0] == "connection_made"
        assert before != "connection_lost", f"{name} after connection_lost"
        if name == "pause_writing":
            assert self.count("pause_writing") == self.count("resume_writing")
        elif name == "resume_writing":
            assert self.count("pause_writing") == self.count("resume_writing") + 1
        elif name == "data_received":
            assert "eof_received" not in self.events
            assert not self.paused, "data while paused"
        elif name == "eof_received" and self.eof_once:
            assert "eof_received" not in self.events
        super()._did(name)
        return self.keep_open if name == "eof_received" else None

    paused = False
    keep_open = False
    eof_once = True


@pytest.mark.parametrize("seed", range(25))
def test_random_connection(loop, contexts, seed, loop_name):
    rng = random.Random(seed)

    async def main():
        async with support.pair(Checked, Checked) as ends:
            sent = [bytearray(), bytearray()]
            for p in ends:
                p.keep_open = rng.random() < 0.5
                # asyncio's resume_reading after the end reads the end again
                p.eof_once = loop_name != "asyncio"
            for _ in range(60):
                side = rng.randrange(2)
                p = ends[side]
                t = p.transport
                what = rng.randrange(14)
                try:
                    if what < 4:
                        data = rng.randbytes(rng.choice([1, 10, 1000, 70_000, 600_000]))
                        if not t.is_closing():
                            t.write(data)
                            sent[side] += data
                    elif what == 4:
                        parts = [rng.randbytes(rng.randrange(2000)) for _ in range(5)]
                        if not t.is_closing():
                            t.writelines(parts)
                            sent[side] += b"".join(parts)
                    elif what in (5, 6):
                        if not t.is_closing():
                            t.pause_reading()
                            p.paused = True
                    elif what in (7, 8, 9):
                        p.paused = False
                        t.resume_reading()
                    elif what == 10:
                        low = rng.randrange(1000)
                        t.set_write_buffer_limits(low + rng.randrange(100_000), low)
                    elif what == 11 and rng.random() < 0.2:
                        if not t.is_closing():
                            t.write_eof()
                    elif what == 12 and rng.random() < 0.1:
                        t.close()
                    elif what == 13 and rng.random() < 0.05:
                        t.abort()
                except RuntimeError as e:
                    assert "write_eof" in str(e)
                except OSError:  # write_eof on what the peer has reset
                    assert loop_name == "asyncio"
                for _ in range(rng.randrange(3)):
                    await asyncio.sleep(0)
            for side, p in enumerate(ends):
                got = bytes(ends[1 - side].data)
                assert bytes(sent[side][: len(got)]) == got
                p.paused = False
                if not p.closed.done():
                    p.transport.resume_reading()
                    p.transport.close()
            # whoever closed cleanly had everything delivered, if the other end still read
            for p in ends:
                try:
                    await asyncio.wait_for(p.gone(), 5)
                except asyncio.TimeoutError:
                    p.transport.abort()
                    await p.gone()
            for side in (0, 1):
                got = bytes(ends[1 - side].data)
                assert bytes(sent[side][: len(got)]) == got
            for p in ends:
                assert p.count("connection_lost") == 1

    loop.run_until_complete(main())
    assert contexts == []
