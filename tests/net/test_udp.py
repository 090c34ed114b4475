"""Datagram endpoints: there and back, order, flow control, what they tell of themselves."""

from __future__ import annotations

import asyncio
import contextvars
import os
import socket
import sys
import time
import weakref

import pytest
import support
from udp_support import Datagrams, address, close, endpoint, fill, named_unix_pair, pair, run

# -- there and back ---------------------------------------------------------------------------


def test_not_connected(loop):
    async def main():
        a, b = await endpoint(), await endpoint()
        a.transport.sendto(b"one", address(b))
        await b.received(1)
        assert b.got == [(b"one", address(a))]
        b.transport.sendto(b"two", b.got[0][1])
        await a.received(1)
        assert a.got == [(b"two", address(b))]
        assert type(a.got[0][1]) is tuple
        await close(a, b)

    run(loop, main)


def test_connected(loop):
    async def main():
        server, client = await pair()
        client.transport.sendto(b"none")
        client.transport.sendto(b"same", address(server))
        client.transport.sendto(data=b"names", addr=None)
        assert await server.received(3) == [b"none", b"same", b"names"]
        assert {addr for _, addr in server.got} == {address(client)}
        with pytest.raises(ValueError, match="Invalid address: must be None or"):
            client.transport.sendto(b"other", (support.LOCALHOST, 1))
        server.transport.sendto(b"back", address(client))
        assert await client.received(1) == [b"back"]
        assert client.got[0][1] == address(server)
        await close(server, client)

    run(loop, main)


def test_only_the_peer_is_heard(loop):
    async def main():
        server, client = await pair()
        other = await endpoint()
        other.transport.sendto(b"stranger", address(client))
        server.transport.sendto(b"friend", address(client))
        assert await client.received(1) == [b"friend"]
        await support.settle()
        assert len(client.got) == 1
        await close(server, client, other)

    run(loop, main)


def test_a_socket_that_is_connected(loop):
    """sock= with a peer: addr of sendto() is not looked at, as on asyncio."""

    async def main():
        server = await endpoint()
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(address(server))
        client = await endpoint(sock=sock)
        assert client.transport.get_extra_info("peername") == address(server)
        client.transport.sendto(b"a")
        client.transport.sendto(b"b", (support.LOCALHOST, 1))
        assert await server.received(2) == [b"a", b"b"]
        await close(server, client)

    run(loop, main)


@pytest.mark.parametrize(
    "data",
    [
        b"bytes",
        bytearray(b"bytes"),
        memoryview(b"bytes"),
        memoryview(b"a bytes slice")[2:7],
        type("Sub", (bytes,), {})(b"bytes"),
    ],
    ids=["bytes", "bytearray", "memoryview", "slice", "subclass"],
)
@pytest.mark.parametrize("connected", [True, False])
def test_kinds_of_data(loop, data, connected):
    async def main():
        server, client = await pair()
        sender = client if connected else await endpoint()
        assert sender.transport.sendto(data, address(server)) is None
        assert await server.received(1) == [b"bytes"]
        await close(server, client, *[sender] * (not connected))

    run(loop, main)


@pytest.mark.parametrize("data", ["text", None, 5, [b"x"], 1.5])
def test_wrong_data(loop, data):
    async def main():
        server, client = await pair()
        with pytest.raises(TypeError, match="data argument must be a bytes-like object, not"):
            client.transport.sendto(data)
        client.transport.sendto(b"alive")
        assert await server.received(1) == [b"alive"]
        await close(server, client)

    run(loop, main)


def test_wrong_arguments(loop):
    async def main():
        a = await endpoint()
        for args, kwargs in [
            ((), {}),
            ((b"x", None, 1), {}),
            ((b"x",), {"data": b"y"}),
            ((b"x",), {"address": None}),
        ]:
            with pytest.raises(TypeError):
                a.transport.sendto(*args, **kwargs)
        assert not a.closed
        await close(a)

    run(loop, main)


@pytest.mark.parametrize("connected", [True, False])
def test_empty_datagrams(loop, connected):
    """Received by every version; sent since 3.13."""

    async def main():
        server, client = await pair()
        sender = client if connected else await endpoint()
        sender.transport.sendto(b"", address(server))
        sender.transport.sendto(memoryview(b""), address(server))
        sender.transport.sendto(b"end", address(server))
        sent = [b"", b""] if support.PY >= (3, 13) else []
        assert await server.received(len(sent) + 1) == [*sent, b"end"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.sendto(b"", address(server))
            assert (await server.received(len(sent) + 2))[-1] == b""
        await close(server, client, *[sender] * (not connected))

    run(loop, main)


@pytest.mark.parametrize("size", [1, 511, 512, 513, 1200, 1472, 9000, 65507])
def test_sizes(loop, size):
    async def main():
        server, client = await pair()
        data = os.urandom(size)
        client.transport.sendto(data)
        client.transport.sendto(data[::-1])
        assert await server.received(2) == [data, data[::-1]]
        await close(server, client)

    run(loop, main)


def test_many_senders(loop):
    """Each datagram comes with the address it is from."""

    async def main():
        server = await endpoint()
        clients = [await endpoint() for _ in range(20)]
        for turn in range(3):
            for i, client in enumerate(clients):
                client.transport.sendto(b"%d %d" % (turn, i), address(server))
        await server.received(60)
        expected = [
            (b"%d %d" % (turn, i), address(client))
            for turn in range(3)
            for i, client in enumerate(clients)
        ]
        assert server.got == expected
        for data, addr in server.got:
            server.transport.sendto(data, addr)
        for i, client in enumerate(clients):
            assert await client.received(3) == [b"%d %d" % (turn, i) for turn in range(3)]
        await close(server, *clients)

    run(loop, main)


def test_order_of_a_burst(loop):
    async def main():
        server, client = await pair()
        for i in range(150):
            client.transport.sendto(b"%d" % i)
        assert await server.received(150) == [b"%d" % i for i in range(150)]
        await close(server, client)

    run(loop, main)


def test_sent_at_once(loop):
    """Nothing queued: the datagram has left when sendto() returns."""

    async def main():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            plain.bind((support.LOCALHOST, 0))
            plain.setblocking(False)
            client = await endpoint(remote_addr=plain.getsockname())
            client.transport.sendto(b"now")
            assert plain.recv(100) == b"now"
            other = await endpoint()
            other.transport.sendto(b"to", plain.getsockname())
            assert plain.recvfrom(100) == (b"to", address(other))
            assert other.transport.get_write_buffer_size() == 0
            await close(client, other)

    run(loop, main)


def test_callbacks_between_datagrams(loop):
    """What a protocol schedules runs before it gets the next datagram: nobody who waits for one
    datagram after the other misses any."""

    async def main():
        waiter = None
        missed = []

        def received(protocol, data, addr):
            if waiter.done():
                missed.append(data)
            else:
                waiter.set_result(data)

        server = await endpoint(lambda: Datagrams(datagram_received=received))
        client = await endpoint(remote_addr=address(server))
        waiter = asyncio.get_running_loop().create_future()
        for i in range(50):
            client.transport.sendto(b"%d" % i)
        got = []
        for _ in range(50):
            got.append(await waiter)
            waiter = asyncio.get_running_loop().create_future()
        assert got == [b"%d" % i for i in range(50)]
        assert missed == []
        await close(server, client)

    run(loop, main)


@pytest.mark.parametrize("debug", [False, True])
def test_callbacks_before_a_datagram(loop, debug):
    """A datagram that is there before a task waits for it finds the task waiting."""
    loop.set_debug(debug)

    class Waits(asyncio.DatagramProtocol):
        waiter = None

        def datagram_received(self, data, addr):
            self.waiter.set_result(data)

        async def wait(self):
            self.waiter = loop.create_future()
            return await asyncio.wait_for(self.waiter, 10 * support.SLOW)

    transport, receiver = loop.run_until_complete(
        loop.create_datagram_endpoint(Waits, local_addr=(support.LOCALHOST, 0))
    )
    other = loop.run_until_complete(endpoint(Datagrams))
    for i in range(3):
        other.transport.sendto(b"%d" % i, transport.get_extra_info("sockname"))
        assert loop.run_until_complete(receiver.wait()) == b"%d" % i
    transport.abort()
    run(loop, lambda: close(other))


def test_closed_before_its_turn(loop):
    """A callback that waited closes the endpoint whose datagram the same poll found."""
    got = []
    server, client = loop.run_until_complete(
        pair(lambda: Datagrams(datagram_received=lambda *args: got.append(args)))
    )
    client.transport.sendto(b"too late")
    loop.call_soon(server.transport.abort)
    run(loop, lambda: close(client))
    assert got == []
    assert server.events == ["connection_made", "connection_lost"]


def test_several_a_wake_up(loop, loop_name):
    """A protocol that schedules nothing gets a burst in one turn of the loop, up to a limit."""
    support.oracle_lacks(loop_name, True, "reads one datagram a turn")

    async def main():
        server, client = await pair()
        for i in range(40):
            client.transport.sendto(b"%d" % i)
        counts = []
        for _ in range(4):
            await asyncio.sleep(0)
            counts.append(len(server.got))
        assert counts[-1] == 40
        assert 20 <= max(b - a for a, b in zip([0, *counts], counts, strict=False)) < 40
        await close(server, client)

    run(loop, main)


def test_a_flood_leaves_room(loop):
    """Timers and callbacks run while datagrams keep coming."""

    async def main():
        def again(protocol, data, addr):
            if not protocol.transport.is_closing():
                protocol.transport.sendto(data, addr)

        a = await endpoint(lambda: Datagrams(datagram_received=again))
        b = await endpoint(lambda: Datagrams(datagram_received=again))
        for _ in range(20):
            a.transport.sendto(b"x", address(b))
        ticks = 0
        for _ in range(20):
            await asyncio.sleep(0.001)
            ticks += 1
        assert ticks == 20
        assert len(a.got) > 20
        await close(a, b)

    run(loop, main)


def test_context(loop):
    """Callbacks run in the context in which the endpoint was made."""
    var = contextvars.ContextVar("var", default="none")

    async def main():
        seen = {}

        def note(name):
            return lambda *args: seen.setdefault(name, var.get())

        async def make():
            var.set("endpoint")
            return await endpoint(
                lambda: Datagrams(
                    datagram_received=note("datagram_received"),
                    connection_made=note("connection_made"),
                )
            )

        server = await asyncio.create_task(make())
        client = await endpoint(remote_addr=address(server))
        client.transport.sendto(b"x")
        await server.received(1)
        assert seen == {"connection_made": "endpoint", "datagram_received": "endpoint"}
        await close(server, client)

    run(loop, main)


# -- flow control -----------------------------------------------------------------------------


def test_queued_and_flushed(loop, tmp_path):
    async def main():
        a, b = named_unix_pair(tmp_path)
        client = await endpoint(sock=a)
        sent = fill(client.transport)
        header = 8 if support.PY >= (3, 13) else 0
        assert client.transport.get_write_buffer_size() == 1000 + header
        client.transport.sendto(b"last")
        server = await endpoint(sock=b)
        got = await server.received(sent + 1)
        assert got == [b"x" * 1000] * sent + [b"last"]
        if support.PY != (3, 13):  # asyncio 3.13.0 does not subtract what it added
            await support.until(lambda: client.transport.get_write_buffer_size() == 0)
        client.transport.sendto(b"direct")
        await server.received(sent + 2)
        await close(client, server)

    run(loop, main)


def test_a_changed_buffer_after_sendto(loop, tmp_path):
    async def main():
        a, b = named_unix_pair(tmp_path)
        client = await endpoint(sock=a)
        sent = fill(client.transport)
        data = bytearray(b"first")
        client.transport.sendto(data)
        data[:] = b"other and longer"
        server = await endpoint(sock=b)
        assert (await server.received(sent + 1))[-1] == b"first"
        await close(client, server)

    run(loop, main)


def test_pause_and_resume(loop, loop_name, tmp_path):
    support.oracle_lacks(
        loop_name, sys.version_info[:3] == (3, 13, 0), "does not subtract what it added"
    )

    async def main():
        a, b = named_unix_pair(tmp_path)
        client = await endpoint(sock=a)
        client.transport.set_write_buffer_limits(high=3000, low=1000)
        assert client.transport.get_write_buffer_limits() == (1000, 3000)
        sent = fill(client.transport)
        assert "pause_writing" not in client.events
        for _ in range(5):
            client.transport.sendto(b"x" * 1000)
        assert client.events.count("pause_writing") == 1
        server = await endpoint(sock=b)
        await server.received(sent + 5)
        await support.until(lambda: "resume_writing" in client.events)
        assert client.events.count("resume_writing") == 1
        await close(client, server)

    run(loop, main)


def test_limits(loop):
    async def main():
        a = await endpoint()
        t = a.transport
        assert t.get_write_buffer_limits() == (16384, 65536)
        t.set_write_buffer_limits(high=100)
        assert t.get_write_buffer_limits() == (25, 100)
        t.set_write_buffer_limits(low=100)
        assert t.get_write_buffer_limits() == (100, 400)
        t.set_write_buffer_limits(0, 0)
        assert t.get_write_buffer_limits() == (0, 0)
        with pytest.raises(ValueError, match="must be >="):
            t.set_write_buffer_limits(high=1, low=2)
        with pytest.raises(ValueError, match="must be >="):
            t.set_write_buffer_limits(high=-1)
        assert t.get_write_buffer_limits() == (0, 0)
        t.set_write_buffer_limits()
        assert t.get_write_buffer_limits() == (16384, 65536)
        await close(a)

    run(loop, main)


def test_limits_lowered_while_queued(loop, tmp_path):
    async def main():
        a, b = named_unix_pair(tmp_path)
        client = await endpoint(sock=a)
        fill(client.transport)
        assert client.events == ["connection_made"]
        client.transport.set_write_buffer_limits(0)
        assert client.events == ["connection_made", "pause_writing"]
        b.close()
        await close(client)

    run(loop, main)


def test_pause_writing_fails(loop, contexts, tmp_path):
    async def main():
        def fail(protocol):
            raise ZeroDivisionError

        a, b = named_unix_pair(tmp_path)
        client = await endpoint(lambda: Datagrams(pause_writing=fail), sock=a)
        client.transport.set_write_buffer_limits(0)
        sent = fill(client.transport)
        assert [c["message"] for c in contexts] == ["protocol.pause_writing() failed"]
        server = await endpoint(sock=b)
        await server.received(sent)
        await close(client, server)

    run(loop, main)


def test_an_error_while_flushing(loop, tmp_path):
    """One of the queued datagrams is refused: error_received, the others follow."""

    async def main():
        b = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        b.bind(str(tmp_path / "b"))
        sender = await endpoint(family=socket.AF_UNIX, local_addr=str(tmp_path / "a"))
        sent = fill(sender.transport, to=str(tmp_path / "b"))
        sender.transport.sendto(b"nobody", str(tmp_path / "nobody"))
        sender.transport.sendto(b"last", str(tmp_path / "b"))
        server = await endpoint(sock=b)
        assert (await server.received(sent + 1))[-1] == b"last"
        assert [type(e) for e in sender.errors] == [FileNotFoundError]
        await close(sender, server)

    run(loop, main)


# -- reading on and off -----------------------------------------------------------------------


def test_pause_reading(loop, loop_name):
    support.oracle_lacks(loop_name, support.PY < (3, 11), "has no pause_reading for datagrams")

    async def main():
        server, client = await pair()
        assert server.transport.is_reading()
        server.transport.pause_reading()
        server.transport.pause_reading()
        assert not server.transport.is_reading()
        for i in range(3):
            client.transport.sendto(b"%d" % i)
        await support.settle()
        assert server.got == []
        server.transport.resume_reading()
        server.transport.resume_reading()
        assert await server.received(3) == [b"0", b"1", b"2"]
        await close(server, client)
        assert not server.transport.is_reading()
        server.transport.pause_reading()
        server.transport.resume_reading()

    run(loop, main)


@pytest.mark.parametrize("method", ["close", "abort", "pause_reading"])
def test_nothing_is_read_after(loop, loop_name, method):
    """Called in datagram_received: the datagrams behind stay in the socket."""
    support.oracle_lacks(
        loop_name, support.PY < (3, 11) and method == "pause_reading", "has no pause_reading"
    )

    async def main():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((support.LOCALHOST, 0))
        with sock.dup() as other:
            for i in range(5):
                other.sendto(b"%d" % i, sock.getsockname())
            server = await endpoint(
                lambda: Datagrams(
                    datagram_received=lambda protocol, data, addr: (
                        getattr(protocol.transport, method)() if data == b"1" else None
                    )
                ),
                sock=sock,
            )
            await server.received(2)
            await support.settle()
            assert [data for data, _ in server.got] == [b"0", b"1"]
            assert [other.recv(10) for _ in range(3)] == [b"2", b"3", b"4"]
            await close(server)

    run(loop, main)


def test_stopped_loop(loop):
    """stop() in datagram_received: the next datagram comes when the loop runs again."""
    server, client = loop.run_until_complete(pair())
    server.on["datagram_received"] = lambda *args: loop.stop()
    for i in range(3):
        client.transport.sendto(b"%d" % i)
    for count in (1, 2, 3):
        loop.run_forever()
        assert len(server.got) == count
    run(loop, lambda: close(server, client))


# -- what it tells of itself ------------------------------------------------------------------


def test_extra_info(loop):
    async def main():
        server, client = await pair()
        t = client.transport
        assert t.get_extra_info("peername") == address(server)
        assert t.get_extra_info("sockname") == t.get_extra_info("socket").getsockname()
        assert t.get_extra_info("socket").type == socket.SOCK_DGRAM
        assert type(t.get_extra_info("socket")).__name__ == "TransportSocket"
        assert t.get_extra_info("nothing") is None
        assert t.get_extra_info("nothing", 5) == 5
        assert t.get_extra_info(name="nothing", default=6) == 6
        assert server.transport.get_extra_info("peername") is None
        await close(server, client)
        assert t.get_extra_info("peername") == address(server)

    run(loop, main)


def test_kinds(loop, loop_name):
    async def main():
        a = await endpoint()
        assert isinstance(a.transport, asyncio.Transport)
        if loop_name != "asyncio" or support.PY >= (3, 12):
            assert isinstance(a.transport, asyncio.DatagramTransport)
        await close(a)

    run(loop, main)


def test_attributes_that_libraries_read(loop):
    async def main():
        server, client = await pair()
        t = client.transport
        assert t._loop is asyncio.get_running_loop()
        assert t._protocol is client
        assert t._address == address(server)
        assert server.transport._address is None
        assert t._sock.fileno() == t._sock_fd
        assert t._extra["peername"] == address(server)
        assert t._conn_lost == 0
        assert t._closing is False
        await close(server, client)
        assert t._sock is None
        assert t._closing is True

    run(loop, main)


def test_protocols(loop):
    async def main():
        server, client = await pair()
        assert server.transport.get_protocol() is server
        client.transport.sendto(b"first")
        await server.received(1)
        other = Datagrams()
        server.transport.set_protocol(other)
        assert server.transport.get_protocol() is other
        client.transport.sendto(b"second")
        assert await other.received(1) == [b"second"]
        assert len(server.got) == 1
        server.transport.abort()
        await other.gone()
        assert not server.closed
        await close(client)

    run(loop, main)


def test_replaced_methods(loop):
    """On the transport and on the protocol, as tests and tracing tools do it."""

    async def main():
        server, client = await pair()
        calls = []
        client.transport.sendto = lambda *args: calls.append(args)
        client.transport.sendto(b"nothing is sent", None)
        assert calls == [(b"nothing is sent", None)]
        del client.transport.sendto
        client.transport.mark = "kept"
        assert client.transport.mark == "kept"
        server.datagram_received = lambda data, addr: calls.append(data)
        client.transport.sendto(b"sent")
        await support.until(lambda: len(calls) == 2)
        assert calls[1] == b"sent"
        assert server.got == []
        await close(server, client)

    run(loop, main)


def test_repr(loop):
    async def main():
        a = await endpoint()
        text = repr(a.transport)
        assert "DatagramTransport" in text
        assert f"fd={a.transport._sock_fd}" in text
        assert "read=polling write=<idle, bufsize=0>" in text
        a.transport.close()
        assert "closing" in repr(a.transport)
        await a.gone()
        assert "closed" in repr(a.transport)

    run(loop, main)


def test_weak_references(loop):
    async def main():
        a = await endpoint()
        ref = weakref.ref(a.transport)
        assert ref() is a.transport
        await close(a)

    run(loop, main)


def test_slow_callbacks_in_debug_mode(loop, expect_log):
    async def main():
        loop.set_debug(True)
        loop.slow_callback_duration = 0.02

        def slow(protocol, data, addr):
            time.sleep(0.05)

        a = await endpoint(lambda: Datagrams(datagram_received=slow))
        a.transport.sendto(b"x", address(a))
        await a.received(1)
        await support.settle()
        loop.set_debug(False)
        await close(a)

    run(loop, main)
    expect_log(r"^Executing <.* took 0\.\d+ seconds", 1)


def test_a_socket_class_of_its_own(loop):
    """A class that sends in its own way (a proxy, a test's loss) is asked to."""

    class Lossy(socket.socket):
        def sendto(self, data, *args):
            return len(data) if data == b"lost" else super().sendto(data, *args)

    async def main():
        server = await endpoint()
        sock = Lossy(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((support.LOCALHOST, 0))
        client = await endpoint(sock=sock)
        client.transport.sendto(b"lost", address(server))
        client.transport.sendto(b"kept", address(server))
        assert await server.received(1) == [b"kept"]
        server.transport.sendto(b"back", address(client))
        assert await client.received(1) == [b"back"]
        await close(server, client)

    run(loop, main)


# -- in numbers -------------------------------------------------------------------------------


def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("count", [int(os.environ.get("UVOLT_TEST_DATAGRAMS", "10000"))])
def test_memory_is_flat(loop, count):
    """There and back; UVOLT_TEST_DATAGRAMS=100000 is the long form."""

    async def main():
        left = 0
        done = None

        def echo(protocol, data, addr):
            protocol.transport.sendto(data, addr)

        def again(protocol, data, addr):
            nonlocal left
            protocol.got.clear()
            left -= 1
            if left > 0:
                protocol.transport.sendto(b"%d" % left * 20)
            elif not done.done():
                done.set_result(None)

        server = await endpoint(lambda: Datagrams(datagram_received=echo))
        client = await endpoint(
            lambda: Datagrams(datagram_received=again), remote_addr=address(server)
        )

        async def rounds(n):
            nonlocal left, done
            left, done = n, asyncio.get_running_loop().create_future()
            client.transport.sendto(b"first")
            await done
            server.got.clear()
            server.events.clear()
            client.events.clear()

        await rounds(count // 10)
        before = resident(), len(os.listdir("/proc/self/fd"))
        await rounds(count)
        after = resident(), len(os.listdir("/proc/self/fd"))
        assert after[1] == before[1]
        assert support.SANITIZED or after[0] - before[0] < 4_000_000
        await close(server, client)

    loop.run_until_complete(asyncio.wait_for(main(), 120 * support.SLOW))


def test_endpoints_come_and_go(loop):
    async def main():
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(100):
            server, client = await pair()
            client.transport.sendto(b"x")
            await server.received(1)
            client.transport.close()
            server.transport.close()
            await client.gone()
            await server.gone()
        assert len(os.listdir("/proc/self/fd")) == before

    run(loop, main)
