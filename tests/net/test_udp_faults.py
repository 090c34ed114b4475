"""Datagram endpoints: errors of the network and of the program, and the end."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import weakref

import pytest
import support
from udp_support import Datagrams, address, close, endpoint, fill, named_unix_pair, pair, run

# -- errors -----------------------------------------------------------------------------------


def test_nobody_listens(loop):
    """ICMP's answer to a connected endpoint: error_received, and the sender survives."""

    async def main():
        server, client = await pair()
        await close(server)
        for count in (1, 2, 3):
            client.transport.sendto(b"x")
            await support.until(lambda count=count: len(client.errors) == count)
        assert {type(e) for e in client.errors} == {ConnectionRefusedError}
        assert not client.closed
        server = await endpoint(local_addr=client.transport.get_extra_info("peername"))
        client.transport.sendto(b"alive")
        assert await server.received(1) == [b"alive"]
        server.transport.sendto(b"back", address(client))
        assert await client.received(1) == [b"back"]
        await close(server, client)

    run(loop, main)


def test_nobody_listens_not_connected(loop):
    """Without connect() the kernel tells nothing."""

    async def main():
        a, b, gone = await endpoint(), await endpoint(), await endpoint()
        nobody = address(gone)
        await close(gone)
        for _ in range(5):
            a.transport.sendto(b"x", nobody)
        a.transport.sendto(b"y", address(b))
        assert await b.received(1) == [b"y"]
        assert a.errors == []
        await close(a, b)

    run(loop, main)


@pytest.mark.parametrize("connected", [True, False])
def test_too_large(loop, connected):
    async def main():
        server, client = await pair()
        sender = client if connected else await endpoint()
        sender.transport.sendto(b"x" * 65508, address(server))
        await support.until(lambda: sender.errors)
        assert isinstance(sender.errors[0], OSError)
        assert "Message too long" in str(sender.errors[0])
        sender.transport.sendto(b"small", address(server))
        assert await server.received(1) == [b"small"]
        assert not sender.closed
        await close(server, client, *[sender] * (not connected))

    run(loop, main)


@pytest.mark.parametrize(
    "addr",
    [
        (support.LOCALHOST, 0),
        ("no such host.invalid", 9),
        ("::1", 9),
        ("255.255.255.255", 9),
    ],
    ids=["port 0", "name", "family", "broadcast"],
)
def test_bad_destinations_survived(loop, addr):
    """An OSError of one datagram is that datagram's (uvloop #338)."""

    async def main():
        a, b = await endpoint(), await endpoint()
        a.transport.sendto(b"x", addr)
        await support.until(lambda: a.errors)
        assert isinstance(a.errors[0], OSError)
        a.transport.sendto(b"alive", address(b))
        assert await b.received(1) == [b"alive"]
        assert not a.closed
        await close(a, b)

    run(loop, main)


@pytest.mark.parametrize(
    ("addr", "error"),
    [
        (None, TypeError),
        ("127.0.0.1", TypeError),
        (("127.0.0.1",), TypeError),
        (("127.0.0.1", "9"), TypeError),
        (("127.0.0.1", 1.5), TypeError),
        ((None, 9), TypeError),
        (("127.0.0.1", 70000), OverflowError),
        (("127.0.0.1", -1), OverflowError),
        (("127.0.0.1", 2**70), OverflowError),
        (("127.0.0.1", 9, 0, 0, 0), TypeError),
        (("nul\0byte", 9), (TypeError, ValueError)),
    ],
)
def test_mistaken_destinations(loop, contexts, addr, error):
    """What is no address is a bug: the exception handler is told, the endpoint closed."""

    async def main():
        a = await endpoint()
        a.transport.sendto(b"x", addr)
        await a.gone()
        assert isinstance(a.lost, error)
        assert a.errors == []
        (context,) = contexts
        assert context["message"] == "Fatal write error on datagram transport"
        assert context["exception"] is a.lost
        assert context["transport"] is a.transport
        assert context["protocol"] is a

    run(loop, main)


def test_audit(loop_name):
    """sys.addaudithook() sees each destination, and what it raises is as any mistake."""
    out = support.script(
        loop_name,
        """
        import sys
        seen = []

        def hook(event, args):
            if event == "socket.sendto":
                seen.append(args[1][0])
                if args[1][0] == "127.0.0.9":
                    raise RuntimeError("not there")

        sys.addaudithook(hook)
        loop = new_loop()
        loop.set_exception_handler(lambda loop, context: print(context["exception"]))

        async def main():
            transport, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
            )
            where = transport.get_extra_info("sockname")
            transport.sendto(b"x", where)
            transport.sendto(b"x", ("127.0.0.2", 9))
            transport.sendto(b"x", ("127.0.0.9", 9))
            print(transport.is_closing(), seen)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        loop.run_until_complete(main())
        loop.close()
        """,
    )
    assert out == "not there\nTrue ['127.0.0.1', '127.0.0.2', '127.0.0.9']\n"


def test_error_received_raises_from_sendto(loop):
    """sendto() calls error_received itself: what that raises is the caller's."""

    async def main():
        def fail(protocol, exc):
            raise RuntimeError("from error_received")

        a = await endpoint(lambda: Datagrams(error_received=fail))
        with pytest.raises(RuntimeError, match="from error_received"):
            a.transport.sendto(b"x" * 65508, address(a))
        a.transport.sendto(b"alive", address(a))
        assert await a.received(1) == [b"alive"]
        await close(a)

    run(loop, main)


def test_a_callback_that_fails(loop, contexts):
    """datagram_received and error_received: told to the handler, and the endpoint goes on."""

    async def main():
        def fail(protocol, *args):
            raise ZeroDivisionError(protocol.events[-1])

        server = await endpoint(lambda: Datagrams(datagram_received=fail))
        client = await endpoint(lambda: Datagrams(error_received=fail), remote_addr=address(server))
        client.transport.sendto(b"one")
        client.transport.sendto(b"two")
        assert await server.received(2) == [b"one", b"two"]
        await support.until(lambda: len(contexts) == 2)
        await close(server)
        client.transport.sendto(b"x")
        await support.until(lambda: len(contexts) == 3)
        assert [str(c["exception"]) for c in contexts] == [
            "datagram_received",
            "datagram_received",
            "error_received",
        ]
        assert all(c["message"].startswith("Exception in callback") for c in contexts)
        assert not client.closed
        await close(client)

    run(loop, main)


def test_connection_made_fails(loop, contexts):
    """Told to the handler; the endpoint is there all the same."""

    async def main():
        def fail(protocol):
            raise ZeroDivisionError

        a = await endpoint(lambda: Datagrams(connection_made=fail))
        a.transport.sendto(b"self", address(a))
        assert await a.received(1) == [b"self"]
        assert [type(c["exception"]) for c in contexts] == [ZeroDivisionError]
        await close(a)

    run(loop, main)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("callback", ["connection_made", "datagram_received", "error_received"])
def test_interrupted_in_a_callback(loop, kind, callback):
    """It leaves the loop; the loop and the endpoint can go on."""

    def fail(protocol, *args):
        if protocol.events.count(callback) == 1:
            raise kind

    async def main():
        if callback == "error_received":
            server = await endpoint()
            where = {"remote_addr": address(server)}
            await close(server)
        else:
            where = {"local_addr": (support.LOCALHOST, 0)}
        found.append(Datagrams(**{callback: fail}))
        await endpoint(lambda: found[0], **where)
        found[0].transport.sendto(b"x", None if "remote_addr" in where else address(found[0]))
        await asyncio.sleep(20)

    found = []
    task = loop.create_task(main())
    with pytest.raises(kind):
        loop.run_until_complete(task)

    async def rest():
        protocol = found[0]
        await support.until(lambda: len(protocol.events) >= 2)
        to = None if protocol.transport.get_extra_info("peername") else address(protocol)
        count = len(protocol.events)
        protocol.transport.sendto(b"again", to)
        await support.until(lambda: len(protocol.events) > count)
        task.cancel()
        await close(protocol)

    run(loop, rest)


# -- the end ----------------------------------------------------------------------------------


def test_close(loop):
    async def main():
        server, client = await pair()
        transport = client.transport
        assert not transport.is_closing()
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert not client.closed
        await client.gone()
        transport.close()
        transport.abort()
        await support.settle()
        assert client.events == ["connection_made", "connection_lost"]
        assert client.lost is None
        assert transport.get_protocol() is None
        await close(server)

    run(loop, main)


def test_abort(loop):
    async def main():
        a = await endpoint()
        a.transport.abort()
        a.transport.abort()
        assert a.transport.is_closing()
        assert not a.closed
        await a.gone()
        assert a.events == ["connection_made", "connection_lost"]
        assert a.lost is None

    run(loop, main)


def test_close_flushes(loop, tmp_path):
    async def main():
        a, b = named_unix_pair(tmp_path)
        client = await endpoint(sock=a)
        sent = fill(client.transport)
        client.transport.sendto(b"last")
        client.transport.close()
        await support.settle()
        assert not client.closed
        server = await endpoint(sock=b)
        assert (await server.received(sent + 1))[-1] == b"last"
        await client.gone()
        assert client.lost is None
        await close(server)

    run(loop, main)


def test_abort_drops(loop, tmp_path):
    async def main():
        a, b = named_unix_pair(tmp_path)
        client = await endpoint(sock=a)
        sent = fill(client.transport)
        client.transport.abort()
        await client.gone()
        server = await endpoint(sock=b)
        await server.received(sent - 1)
        await support.settle()
        assert len(server.got) == sent - 1
        assert "resume_writing" not in client.events
        await close(server)

    run(loop, main)


def test_abort_after_close(loop, tmp_path):
    """What close() would still send is dropped; connection_lost comes once."""

    async def main():
        a, b = named_unix_pair(tmp_path)
        client = await endpoint(sock=a)
        fill(client.transport)
        client.transport.close()
        client.transport.abort()
        await client.gone()
        await support.settle()
        assert client.events.count("connection_lost") == 1
        b.close()

    run(loop, main)


def test_close_in_connection_made(loop):
    async def main():
        a = await endpoint(
            lambda: Datagrams(connection_made=lambda protocol: protocol.transport.close())
        )
        await a.gone()
        assert a.events == ["connection_made", "connection_lost"]

    run(loop, main)


def test_sendto_after_close(loop, expect_log):
    """An endpoint with a destination drops and, after some time, warns; it never raises."""

    async def main():
        server, client = await pair()
        client.transport.close()
        for _ in range(8):
            client.transport.sendto(b"late")
        await support.settle()
        assert server.got == []
        await close(server)

    run(loop, main)
    expect_log(r"socket\.send\(\) raised exception\.", 4)


def test_sendto_between_close_and_lost(loop):
    """Without a fixed destination it still goes out, as on asyncio."""

    async def main():
        a, b = await endpoint(), await endpoint()
        a.transport.close()
        a.transport.sendto(b"bye", address(b))
        assert await b.received(1) == [b"bye"]
        await close(b)

    run(loop, main)


def test_sendto_after_lost(loop, loop_name):
    support.oracle_lacks(loop_name, True, "raises AttributeError of None")

    async def main():
        a = await endpoint()
        where = address(a)
        await close(a)
        for _ in range(4):
            assert a.transport.sendto(b"late", where) is None

    run(loop, main)


def test_connection_lost_fails(loop, contexts):
    async def main():
        def fail(protocol, exc):
            raise ZeroDivisionError

        a = await endpoint(lambda: Datagrams(connection_lost=fail))
        sock = a.transport.get_extra_info("socket")
        a.transport.close()
        await support.until(lambda: contexts)
        assert type(contexts[0]["exception"]) is ZeroDivisionError
        assert sock.fileno() == -1

    run(loop, main)


def test_unclosed(loop_factory):
    """A transport that nobody closed warns when the loop is gone, and its descriptor is closed."""
    loop = loop_factory()
    a = loop.run_until_complete(endpoint())
    fd = a.transport.get_extra_info("socket").fileno()
    loop.close()
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        a.transport = None
        del a
        gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_loop_closed_under_it(loop_factory):
    """The methods of what is left do no harm."""
    loop = loop_factory()
    a = loop.run_until_complete(endpoint())
    loop.close()
    transport = a.transport
    assert a.events == ["connection_made"]
    assert "DatagramTransport" in repr(transport)
    assert transport.get_write_buffer_size() == 0
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        a.transport = None
        del a, transport
        gc.collect()


def test_kept_alive_by_the_loop(loop):
    """Nobody holds transport or protocol but the loop: datagrams are delivered."""

    async def main():
        got = []

        def received(protocol, data, addr):
            got.append(data)

        protocol = await endpoint(lambda: Datagrams(datagram_received=received))
        where = address(protocol)
        gone = weakref.ref(protocol)
        del protocol
        gc.collect()
        client = await endpoint(remote_addr=where)
        client.transport.sendto(b"still there")
        await support.until(lambda: got)
        await close(client, gone())
        await support.settle()
        gc.collect()
        assert gone() is None

    run(loop, main)


def test_the_program_closes_its_socket(loop, loop_name):
    """sock.close() on what the endpoint owns does not free the descriptor under it."""
    support.oracle_lacks(loop_name, True, "goes on with a closed descriptor")

    async def main():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((support.LOCALHOST, 0))
        a = await endpoint(sock=sock)
        fd = sock.fileno()
        sock.close()
        os.fstat(fd)
        a.transport.sendto(b"on", address(a))
        assert await a.received(1) == [b"on"]
        await close(a)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)

    run(loop, main)


@pytest.mark.parametrize("change", ["pause", "queue"])
def test_the_descriptor_is_closed_under_it(loop, loop_name, change, tmp_path):
    """By number, before epoll hears of a change: the endpoint fails, the process lives on."""
    support.oracle_lacks(loop_name, True, "raises from wherever it touches the selector")

    async def main():
        a, b = named_unix_pair(tmp_path)
        client = await endpoint(sock=a)
        sent = 0 if change == "pause" else fill(client.transport)
        if change == "pause":
            client.transport.pause_reading()
            await support.settle()
            client.transport.resume_reading()
        os.close(a.fileno())
        while not client.transport.is_closing():
            await asyncio.sleep(0)
        client.transport.sendto(b"to nobody")
        await client.gone()
        assert isinstance(client.lost, OSError)
        b.close()
        assert sent >= 0

    run(loop, main)


def test_detached_socket_stays_open(loop, loop_name):
    """The program took the descriptor back: it is not closed with the transport."""
    support.oracle_lacks(loop_name, True, "cannot unregister it any more")

    async def main():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((support.LOCALHOST, 0))
        a = await endpoint(sock=sock)
        with socket.socket(fileno=sock.detach()) as mine:
            await close(a)
            mine.sendto(b"mine", mine.getsockname())
            assert mine.recv(10) == b"mine"

    run(loop, main)


def test_two_on_one_socket(loop, loop_name):
    support.oracle_lacks(loop_name, True, "lets the second silence the first")

    async def main():
        a = await endpoint()
        sock = a.transport._sock
        with pytest.raises(RuntimeError, match="is used by transport"):
            await endpoint(sock=sock)
        a.transport.sendto(b"x", address(a))
        await a.received(1)
        await close(a)

    run(loop, main)


def test_add_reader_is_refused(loop):
    async def main():
        a = await endpoint()
        fd = a.transport.get_extra_info("socket").fileno()
        with pytest.raises(RuntimeError, match="is used by transport"):
            asyncio.get_running_loop().add_reader(fd, print)
        await close(a)

    run(loop, main)


def test_connection_lost_by_hand_that_runs_the_loop(loop):
    """A datagram that comes meanwhile finds no protocol."""

    class Protocol(asyncio.DatagramProtocol):
        lost = 0

        def connection_lost(self, exc):
            self.lost += 1
            loop.call_soon(int)
            for _ in range(3):
                loop._run_once()
                loop.call_soon(int)

    async def main():
        transport, protocol = await loop.create_datagram_endpoint(
            Protocol, local_addr=(support.LOCALHOST, 0)
        )
        name = transport.get_extra_info("sockname")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(10):
                sender.sendto(b"x", name)
        loop.call_soon(transport._call_connection_lost, None)
        await support.until(lambda: protocol.lost)
        await support.settle()
        assert protocol.lost == 1

    run(loop, main)
