"""add_reader, add_writer and their removal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import tempfile
import weakref

import pytest
import support


@pytest.fixture
def pair():
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    yield a, b
    a.close()
    b.close()


def turn(loop, turns=6):
    loop.run_until_complete(support.settle(turns))


def test_reader(loop, pair):
    a, b = pair
    seen = []
    loop.add_reader(a, lambda: seen.append(a.recv(100)))
    turn(loop)
    assert seen == []
    b.send(b"one")
    turn(loop)
    b.send(b"two")
    turn(loop)
    assert seen == [b"one", b"two"]
    assert loop.remove_reader(a) is True
    b.send(b"three")
    turn(loop)
    assert seen == [b"one", b"two"]


def test_reader_is_level_triggered(loop, pair):
    a, b = pair
    seen = []
    b.send(b"abc")
    loop.add_reader(a, lambda: seen.append(a.recv(1)))
    turn(loop, 12)
    assert seen == [b"a", b"b", b"c"]
    loop.remove_reader(a)


def test_writer(loop, pair):
    a, b = pair
    seen = []
    loop.add_writer(a, lambda: (seen.append(1), loop.remove_writer(a)))
    turn(loop)
    assert seen == [1]


def test_writer_waits_for_room(loop, pair):
    a, b = pair
    with pytest.raises(BlockingIOError):
        while True:
            a.send(b"x" * 65536)
    seen = []
    loop.add_writer(a, seen.append, 1)
    turn(loop)
    assert seen == []
    with pytest.raises(BlockingIOError):
        while True:
            b.recv(1 << 20)
    turn(loop)
    assert seen
    loop.remove_writer(a)


def test_reader_and_writer_of_one_descriptor(loop, pair):
    a, b = pair
    seen = []
    loop.add_reader(a, lambda: (seen.append("r"), a.recv(100)))
    loop.add_writer(a, lambda: (seen.append("w"), loop.remove_writer(a)))
    b.send(b"x")
    turn(loop)
    assert sorted(seen) == ["r", "w"]
    assert loop.remove_writer(a) is False
    b.send(b"x")
    turn(loop)
    assert seen.count("r") == 2
    assert loop.remove_reader(a) is True


def test_results_of_remove(loop, pair):
    a, _ = pair
    assert loop.remove_reader(a) is False
    assert loop.remove_writer(a) is False
    assert loop.add_reader(a, int) is None
    assert loop.add_writer(a, int) is None
    assert loop.remove_reader(a) is True
    assert loop.remove_reader(a) is False
    assert loop.remove_writer(a) is True
    assert loop.remove_writer(a) is False
    assert loop.remove_reader(10**6) is False


def test_number_object_and_fileno(loop, pair):
    a, b = pair

    class Own:
        def fileno(self):
            return a.fileno()

    for fd in (a, a.fileno(), Own()):
        seen = []
        b.send(b"x")
        loop.add_reader(fd, lambda seen=seen: seen.append(a.recv(10)))
        turn(loop)
        assert seen == [b"x"]
        assert loop.remove_reader(a.fileno()) is True
        assert loop.remove_reader(fd) is False


@pytest.mark.parametrize("wrong", ["x", None, -1, 1.5, object(), [], b"1"])
def test_not_a_descriptor(loop, wrong):
    with pytest.raises(ValueError):
        loop.add_reader(wrong, int)
    with pytest.raises(ValueError):
        loop.add_writer(wrong, int)
    with pytest.raises(ValueError):
        loop.remove_reader(wrong)


def test_number_too_large(loop):
    for wrong in (2**31, 2**63, 2**70, -(2**70)):
        with pytest.raises((ValueError, OverflowError, OSError)):
            loop.add_reader(wrong, int)
    turn(loop)


def test_arguments_and_context(loop, pair):
    import contextvars

    var = contextvars.ContextVar("var", default="unset")
    a, b = pair
    seen = []
    b.send(b"x")

    def reader(*args):
        seen.append((args, var.get()))
        loop.remove_reader(a)

    def main():
        var.set("set")
        loop.add_reader(a, reader, 1, 2, 3, 4, 5)

    contextvars.copy_context().run(main)
    turn(loop)
    assert seen == [((1, 2, 3, 4, 5), "set")]


def test_replaced_callback(loop, pair):
    class Thing:
        pass

    a, b = pair
    thing = Thing()
    ref = weakref.ref(thing)
    seen = []
    loop.add_reader(a, seen.append, thing)
    loop.add_reader(a, lambda: (a.recv(10), seen.append("new")))
    del thing
    support.collect()
    assert ref() is None
    b.send(b"x")
    turn(loop)
    assert seen == ["new"]
    loop.remove_reader(a)


def test_replaced_in_its_own_callback(loop, pair):
    a, b = pair
    seen = []

    def first():
        seen.append("first")
        loop.add_reader(a, second)

    def second():
        seen.append("second")
        loop.remove_reader(a)

    loop.add_reader(a, first)
    b.send(b"x")
    turn(loop)
    assert seen == ["first", "second"]


def test_removed_by_another_reader_of_the_same_turn(loop):
    pairs = [socket.socketpair() for _ in range(2)]
    seen = []

    def ready(n):
        seen.append(n)
        for a, _ in pairs:
            loop.remove_reader(a)

    for n, (a, b) in enumerate(pairs):
        b.send(b"x")
        loop.add_reader(a, ready, n)
    turn(loop)
    assert len(seen) == 1
    for s in sum(pairs, ()):
        s.close()


def test_remove_lets_go(loop, pair):
    class Thing:
        pass

    a, _ = pair
    thing = Thing()
    ref = weakref.ref(thing)
    loop.add_reader(a, print, thing)
    loop.add_writer(a, print, thing)
    del thing
    loop.remove_reader(a)
    loop.remove_writer(a)
    support.collect()
    assert ref() is None


def test_loop_close_lets_go(loop_factory, pair):
    class Thing:
        pass

    loop = loop_factory()
    thing = Thing()
    ref = weakref.ref(thing)
    loop.add_reader(pair[0], print, thing)
    turn(loop)
    del thing
    loop.close()
    del loop
    support.collect()
    assert ref() is None
    pair[0].send(b"still open")


def test_flags_of_the_descriptor_are_not_touched(loop):
    r, w = os.pipe()
    before = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (r, w)]
    assert not before[0] & os.O_NONBLOCK
    loop.add_reader(r, int)
    loop.add_writer(w, int)
    turn(loop)
    assert [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (r, w)] == before
    loop.remove_reader(r)
    loop.remove_writer(w)
    assert [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (r, w)] == before
    os.close(r)
    os.close(w)


def test_pipe_end(loop):
    r, w = os.pipe()
    seen = []
    loop.add_reader(r, lambda: (seen.append(os.read(r, 10)), loop.remove_reader(r)))
    os.close(w)
    turn(loop)
    assert seen == [b""]
    os.close(r)


def test_writer_of_a_broken_pipe(loop):
    r, w = os.pipe()
    seen = []
    loop.add_writer(w, lambda: (seen.append(1), loop.remove_writer(w)))
    os.close(r)
    turn(loop)
    assert seen == [1]
    os.close(w)


def test_hang_up_wakes_reader_and_writer(loop, pair):
    a, b = pair
    seen = []
    loop.add_reader(a, lambda: (seen.append("r"), loop.remove_reader(a)))
    loop.add_writer(a, lambda: (seen.append("w"), loop.remove_writer(a)))
    b.close()
    turn(loop)
    assert sorted(seen) == ["r", "w"]


def test_exception_in_a_reader(loop, pair, contexts):
    a, b = pair

    def bad():
        loop.remove_reader(a)
        raise ValueError("in a reader")

    loop.add_reader(a, bad)
    b.send(b"x")
    turn(loop)
    assert str(contexts[0]["exception"]) == "in a reader"


def test_fault_42_regular_file_and_closed_descriptor(loop):
    with tempfile.TemporaryFile() as f:
        with pytest.raises(PermissionError):
            loop.add_reader(f, int)
        with pytest.raises(PermissionError):
            loop.add_writer(f.fileno(), int)
        assert loop.remove_reader(f) is False
        assert loop.remove_writer(f) is False
    a, b = socket.socketpair()
    number = a.fileno()
    a.close()
    with pytest.raises(OSError):
        loop.add_reader(number, int)
    with pytest.raises(OSError):
        loop.add_writer(number, int)
    assert loop.remove_reader(number) is False
    with pytest.raises(ValueError):
        loop.add_reader(a, int)
    turn(loop)
    b.close()


def test_closed_while_watched(loop):
    """The kernel forgets a closed descriptor; the loop neither spins nor breaks."""
    a, b = socket.socketpair()
    seen = []
    loop.add_reader(a, seen.append, 1)
    number = a.fileno()
    a.close()
    b.close()
    turn(loop)
    loop.run_until_complete(asyncio.sleep(0.01))
    assert seen == []
    assert loop.remove_reader(number) is True
    turn(loop)


def test_fault_41_number_reused_after_remove(loop):
    a, b = socket.socketpair()
    old, new = [], []
    number = a.fileno()
    loop.add_reader(a, old.append, 1)
    b.send(b"x")
    loop.remove_reader(a)
    a.close()
    b.close()
    c, d = socket.socketpair()
    assert number in (c.fileno(), d.fileno())
    mine, other = (c, d) if c.fileno() == number else (d, c)
    loop.add_reader(mine, lambda: (new.append(mine.recv(10)), loop.remove_reader(mine)))
    turn(loop)
    assert old == new == []
    other.send(b"y")
    turn(loop)
    assert old == []
    assert new == [b"y"]
    c.close()
    d.close()


def test_fault_41_number_reused_without_remove(loop):
    """Closed behind the loop's back: the number's next owner gets none of the old events."""
    a, b = socket.socketpair()
    number = a.fileno()
    old, new = [], []
    loop.add_reader(a, old.append, 1)
    turn(loop)
    a.close()
    b.close()
    c, d = socket.socketpair()
    mine, other = (c, d) if c.fileno() == number else (d, c)
    assert mine.fileno() == number
    loop.remove_reader(number)
    other.send(b"y")
    turn(loop)
    assert old == new == []
    loop.add_reader(mine, lambda: new.append(mine.recv(10)))
    turn(loop)
    assert old == []
    assert new == [b"y"]
    loop.remove_reader(mine)
    c.close()
    d.close()


def test_fault_41_descriptor_of_a_transport(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            fd = transport.get_extra_info("socket").fileno()
            text = "^File descriptor .* is used by transport "
            for call in (
                lambda: loop.add_reader(fd, int),
                lambda: loop.add_writer(fd, int),
                lambda: loop.remove_reader(fd),
                lambda: loop.remove_writer(fd),
                lambda: loop.add_reader(transport.get_extra_info("socket"), int),
            ):
                with pytest.raises(RuntimeError, match=text):
                    call()
            peer.sendall(b"hello")
            assert await protocol.received(5) == b"hello"
        # free again once the transport is gone
        a, b = socket.socketpair()
        assert fd in (a.fileno(), b.fileno())
        loop.add_reader(fd, int)
        assert loop.remove_reader(fd) is True
        a.close()
        b.close()

    loop.run_until_complete(main())


def test_duplicates_of_one_socket(loop, pair):
    a, b = pair
    copy = a.dup()
    seen = []
    loop.add_reader(a, lambda: (seen.append("a"), loop.remove_reader(a)))
    loop.add_reader(copy, lambda: (seen.append("copy"), loop.remove_reader(copy)))
    b.send(b"x")
    turn(loop)
    assert sorted(seen) == ["a", "copy"]
    loop.add_reader(copy, seen.append, "again")
    a.close()
    turn(loop)
    assert "again" in seen
    loop.remove_reader(copy)
    copy.close()


def test_many_descriptors(loop):
    pairs = [socket.socketpair() for _ in range(200)]
    seen = []
    for n, (a, b) in enumerate(pairs):
        loop.add_reader(a, lambda a=a, n=n: (a.recv(1), seen.append(n)))
        b.send(b"x")
    turn(loop)
    assert sorted(seen) == list(range(200))
    for a, b in pairs:
        assert loop.remove_reader(a)
        a.close()
        b.close()


def test_add_and_remove_over_and_over(loop, pair):
    a, b = pair
    seen = []
    for _ in range(200):
        loop.add_reader(a, lambda: seen.append(a.recv(1)))
        b.send(b"x")
        turn(loop, 4)
        loop.remove_reader(a)
    assert len(seen) == 200


def test_watched_from_another_thread_is_the_users_fault_but_no_crash(loop, pair):
    a, b = pair
    seen = []

    def other():
        loop.call_soon_threadsafe(loop.add_reader, a, lambda: (seen.append(1), loop.stop()))
        b.send(b"x")

    with support.thread(other):
        loop.run_forever()
    assert seen == [1]
    loop.remove_reader(a)


def test_stdin_like_tty(loop):
    primary, secondary = os.openpty()
    before = fcntl.fcntl(secondary, fcntl.F_GETFL)
    seen = []
    loop.add_reader(secondary, lambda: seen.append(os.read(secondary, 100)))
    os.write(primary, b"line\n")
    loop.run_until_complete(asyncio.sleep(0.01))
    assert seen == [b"line\n"]
    assert fcntl.fcntl(secondary, fcntl.F_GETFL) == before
    loop.remove_reader(secondary)
    os.close(primary)
    os.close(secondary)


def test_eventfd_and_timerfd_like(loop):
    r, w = os.pipe()
    os.set_blocking(r, False)
    total = 0

    def ready():
        nonlocal total
        total += len(os.read(r, 1000))

    loop.add_reader(r, ready)
    for _ in range(10):
        os.write(w, b"x" * 100)
    turn(loop, 20)
    assert total == 1000
    loop.remove_reader(r)
    os.close(r)
    os.close(w)


# -- readers that are removed and added again -------------------------------------------------


def churn(loop, sock, last, turns=10):
    """A reader of a readable socket is removed and added again, by its own callback; in the end it
    is removed, and last() runs in the same turn."""
    left = turns

    def ready():
        nonlocal left
        assert loop.remove_reader(sock) is True
        assert loop.remove_reader(sock) is False
        left -= 1
        if left:
            loop.add_reader(sock, ready)
        else:
            last()
            loop.stop()

    loop.add_reader(sock, ready)
    loop.run_forever()


def idle(loop):
    """The share of a processor that the loop takes with nothing to do."""
    before, seconds = sum(os.times()[:2]), 0.1
    loop.run_until_complete(asyncio.sleep(seconds))
    return (sum(os.times()[:2]) - before) / seconds


def test_removed_after_many_times(loop, pair):
    a, b = pair
    b.send(b"x")
    for _ in range(3):
        churn(loop, a, lambda: None)
        assert idle(loop) < 0.5
        assert loop.remove_reader(a) is False
    seen = []
    loop.add_reader(a, lambda: seen.append(a.recv(1)))
    turn(loop)
    assert seen == [b"x"]
    assert loop.remove_reader(a) is True


def test_two_that_take_turns(loop, pair):
    (a, b), (c, d) = pair, socket.socketpair()
    counts = [0, 0]

    def ready(sock, n):
        loop.remove_reader(sock)
        counts[n] += 1
        if counts[n] < 20:
            loop.add_reader(sock, ready, sock, n)

    for n, (sock, other) in enumerate(((a, b), (c, d))):
        other.send(b"x")
        loop.add_reader(sock, ready, sock, n)
    loop.run_until_complete(support.until(lambda: counts == [20, 20]))
    assert idle(loop) < 0.5
    assert loop.remove_reader(a) is False
    assert loop.remove_reader(c) is False
    c.close()
    d.close()


def test_writer_beside_it(loop, pair):
    a, b = pair
    b.send(b"x")
    writes = []
    churn(loop, a, lambda: loop.add_writer(a, lambda: (writes.append(1), loop.remove_writer(a))))
    turn(loop)
    assert writes == [1]
    loop.add_writer(a, writes.append, 2)
    churn(loop, a, lambda: None)
    turn(loop)
    assert writes[-1] == 2
    assert loop.remove_writer(a) is True
    assert idle(loop) < 0.5


@pytest.mark.parametrize("duplicate", [False, True])
@pytest.mark.parametrize("watch", [False, True])
def test_number_used_again_after_many_times(loop, duplicate, watch):
    """The descriptor is closed in the turn in which its reader was removed."""
    a, b = socket.socketpair()
    b.send(b"x")
    number = a.fileno()
    opened = [b]
    seen = []

    def last():
        if duplicate:
            opened.append(a.dup())
        a.close()
        c, d = socket.socketpair()
        opened.extend((c, d))
        mine, other = (c, d) if c.fileno() == number else (d, c)
        assert mine.fileno() == number
        if watch:
            loop.add_reader(mine, lambda: seen.append(mine.recv(10)))
        other.send(b"y")

    churn(loop, a, last)
    assert idle(loop) < 0.5
    assert seen == ([b"y"] if watch else [])
    assert loop.remove_reader(number) is watch
    for sock in opened:
        sock.close()


def test_others_take_it_over_after_many_times(loop, pair):
    a, b = pair
    b.send(b"x")
    tasks = []
    churn(loop, a, lambda: tasks.append(loop.create_task(loop.sock_recv(a, 10))))
    assert loop.run_until_complete(tasks[0]) == b"x"

    b.send(b"y")
    protocols = []

    async def connect():
        _, protocol = await loop.create_connection(support.Recorder, sock=a)
        protocols.append(protocol)
        await protocol.received(1)

    churn(loop, a, lambda: tasks.append(loop.create_task(connect())))
    loop.run_until_complete(tasks[1])
    assert bytes(protocols[0].data) == b"y"
    assert idle(loop) < 0.5
    protocols[0].transport.abort()
    loop.run_until_complete(protocols[0].gone())


def test_loop_that_stops_in_between(loop_factory, pair):
    """The removal is not forgotten, nor in the way of another loop."""
    a, b = pair
    b.send(b"x")
    first, second = loop_factory(), loop_factory()
    churn(first, a, lambda: None)
    seen = []
    second.add_reader(a, lambda: (seen.append(a.recv(1)), second.stop()))
    second.run_forever()
    assert seen == [b"x"]
    b.send(b"y")
    assert idle(first) < 0.5
    churn(first, a, lambda: None)
    first.close()
    second.close()


def test_arguments_by_keyword(loop, pair):
    a, b = pair
    seen = []
    b.send(b"x")
    loop.add_reader(fd=a, callback=lambda: seen.append(a.recv(10)))
    loop.add_writer(a, callback=lambda: loop.remove_writer(fd=a))
    turn(loop)
    assert seen == [b"x"]
    assert loop.remove_reader(fd=a) is True
    assert loop.remove_writer(fd=a) is False
    for wrong in ({"context": None}, {"other": 1}):
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            loop.add_reader(a, print, **wrong)
    with pytest.raises(TypeError, match="multiple values for argument 'fd'"):
        loop.add_reader(a, print, fd=a)


def test_closed_socket_is_named_by_its_number(loop):
    sock = socket.socket()
    sock.close()
    with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
        loop.add_reader(sock, print)


def test_queued_twice_and_removed_by_the_first_call(loop, pair):
    """KeyboardInterrupt leaves the call in the queue, and the next poll finds the event again."""
    a, b = pair
    seen = []

    def reader():
        seen.append(1)
        loop.remove_reader(a)

    def interrupt():
        raise KeyboardInterrupt

    b.send(b"x")
    loop.add_reader(a, reader)
    loop.call_soon(interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    turn(loop)
    assert seen == [1]
