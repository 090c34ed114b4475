"""The transport object: writing, closing, reading on and off, and what it tells about itself."""

from __future__ import annotations

import array
import asyncio
import os
import re
import socket
import weakref

import pytest
import support


def run(loop, main):
    return loop.run_until_complete(asyncio.wait_for(main(), 20 * support.SLOW))


async def read(peer, size):
    """What the peer got; the loop goes on meanwhile."""
    loop = asyncio.get_running_loop()
    got = bytearray()
    while len(got) < size:
        chunk = await loop.run_in_executor(None, peer.recv, 1 << 20)
        if not chunk:
            break
        got += chunk
    return bytes(got)


# -- write ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"bytes", b"bytes"),
        (bytearray(b"bytearray"), b"bytearray"),
        (memoryview(b"memoryview"), b"memoryview"),
        (memoryview(b"a slice of it")[2:7], b"slice"),
        (memoryview(bytearray(b"0123456789"))[1:9:2].tobytes(), b"1357"),
        (memoryview(array.array("I", [1, 2, 3])), array.array("I", [1, 2, 3]).tobytes()),
        (memoryview(array.array("d", [1.5])), array.array("d", [1.5]).tobytes()),
        (memoryview(b"abcdef").cast("B", (2, 3)), b"abcdef"),
    ],
    ids=["bytes", "bytearray", "memoryview", "slice", "copied", "uint", "double", "2d"],
)
def test_write_kinds(loop, data, expected):
    async def main():
        async with support.connected() as (transport, _, peer):
            assert transport.write(data) is None
            assert await read(peer, len(expected)) == expected

    run(loop, main)


def test_write_kinds_when_queued(loop, loop_name):
    """The same when the kernel takes nothing more and the data is kept."""
    support.oracle_lacks(
        loop_name, support.PY >= (3, 12), "counts the items of a memoryview, not its bytes"
    )
    parts = [
        b"bytes",
        bytearray(b"bytearray"),
        memoryview(b"memoryview"),
        memoryview(b"a slice")[2:],
        memoryview(array.array("I", [1, 2, 3])),
        memoryview(array.array("d", [1.5])),
    ]
    expected = b"".join(bytes(p) for p in parts)

    async def main():
        async with support.connected() as (transport, _, peer):
            first = b"x" * 8_000_000
            transport.write(first)
            assert transport.get_write_buffer_size() > 0
            for part in parts:
                transport.write(part)
            got = await read(peer, len(first) + len(expected))
            assert got == first + expected

    run(loop, main)


def test_write_non_contiguous(loop, loop_name):
    support.oracle_lacks(loop_name, True, "socket.send refuses it: the connection is lost")
    view = memoryview(bytes(range(100)))[::3]

    async def main():
        async with support.connected() as (transport, _, peer):
            try:
                transport.write(view)
            except (TypeError, BufferError, ValueError):
                # refused by name is right too; the connection must not suffer
                transport.write(b"ok")
                assert await read(peer, 2) == b"ok"
            else:
                assert await read(peer, len(view)) == bytes(view)

    run(loop, main)


def test_a_changed_buffer_after_write(loop, loop_name):
    """What write() was given is the caller's again when it returns."""
    support.oracle_lacks(loop_name, support.PY >= (3, 12), "keeps a view of the caller's buffer")

    async def main():
        async with support.connected() as (transport, _, peer):
            big = bytearray(b"a" * 4_000_000)
            transport.write(big)
            small = bytearray(b"first")
            transport.write(small)
            small[:] = b"other"
            big[-5:] = b"bbbbb"
            big += b"it can grow: no buffer is exported"
            got = await read(peer, 4_000_005)
            assert got[-5:] == b"first"
            assert got[:-5] == b"a" * 4_000_000

    run(loop, main)


def test_write_nothing(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            for empty in (b"", bytearray(), memoryview(b"")):
                transport.write(empty)
            transport.writelines([])
            transport.writelines([b"", b""])
            transport.write(b"x")
            assert await read(peer, 1) == b"x"
            assert transport.get_write_buffer_size() == 0

    run(loop, main)


@pytest.mark.parametrize("wrong", ["text", None, 1, 1.5, [b"x"], object(), (b"x",)])
def test_write_of_something_else(loop, wrong):
    async def main():
        async with support.connected() as (transport, _, peer):
            with pytest.raises(TypeError):
                transport.write(wrong)
            transport.write(b"goes on")
            assert await read(peer, 7) == b"goes on"

    run(loop, main)


def test_write_signature(loop):
    async def main():
        async with support.connected() as (transport, _, _peer):
            for call in (
                lambda: transport.write(),
                lambda: transport.write(b"a", b"b"),
                lambda: transport.writelines(),
                lambda: transport.writelines(5),
                lambda: transport.writelines([b"a", "text"]),
                lambda: transport.writelines([b"a", None]),
                lambda: transport.close(1),
                lambda: transport.set_write_buffer_limits(nonsense=1),
            ):
                with pytest.raises(TypeError):
                    call()
            transport.write(data=b"by keyword")

    run(loop, main)


def test_writelines(loop):
    async def main():
        async with support.connected() as (transport, _, peer):
            transport.writelines([b"one ", bytearray(b"two "), memoryview(b"three")])
            assert await read(peer, 13) == b"one two three"
            transport.writelines(b"%d," % n for n in range(1000))  # a generator
            expected = b"".join(b"%d," % n for n in range(1000))
            assert await read(peer, len(expected)) == expected
            transport.writelines((b"tuple",))
            assert await read(peer, 5) == b"tuple"

    run(loop, main)


def test_writelines_generator_that_raises(loop):
    async def main():
        async with support.connected() as (transport, _, peer):

            def parts():
                yield b"one"
                raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                transport.writelines(parts())
            transport.write(b"|")
            assert (await read(peer, 1))[-1:] == b"|"

    run(loop, main)


def test_order_of_many_writes(loop):
    async def main():
        async with support.connected() as (transport, _, peer):
            expected = bytearray()
            for n in range(3000):
                part = b"%d;" % n * (n % 50)
                expected += part
                if n % 3:
                    transport.write(part)
                else:
                    transport.writelines([part[: n % 7], part[n % 7 :]])
                if n % 500 == 0:
                    await asyncio.sleep(0)
            assert await read(peer, len(expected)) == expected

    run(loop, main)


def test_written_at_once(loop):
    """Data is in the kernel when write() returns, if nothing is queued (as on asyncio)."""

    async def main():
        async with support.connected() as (transport, _, peer):
            transport.write(b"now")
            assert peer.recv(10) == b"now"

    run(loop, main)


# -- end of writing ---------------------------------------------------------------------------


def test_write_eof(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            assert transport.can_write_eof() is True
            transport.write(b"last")
            transport.write_eof()
            transport.write_eof()
            assert await read(peer, 100) == b"last"
            assert not transport.is_closing()
            with pytest.raises(RuntimeError, match=r"^Cannot call write\(\) after write_eof\(\)$"):
                transport.write(b"more")
            # reading goes on
            peer.sendall(b"answer")
            assert await protocol.received(6) == b"answer"
            peer.close()
            await protocol.gone()
            assert protocol.lost is None

    run(loop, main)


def test_fault_11_write_eof_flushes_first(loop):
    async def main():
        async with support.connected() as (transport, _, peer):
            data = os.urandom(6_000_000)
            transport.write(data)
            assert transport.get_write_buffer_size() > 0
            transport.write_eof()
            with pytest.raises(RuntimeError, match=r"Cannot call write\(\) after write_eof\(\)"):
                transport.write(b"more")
            with pytest.raises(RuntimeError, match=r"Cannot call writelines\(\) after write_eof"):
                if support.PY >= (3, 12) or not isinstance(loop, asyncio.BaseEventLoop):
                    transport.writelines([b"more"])
                else:  # writelines is write(b"".join()) there
                    raise RuntimeError("Cannot call writelines() after write_eof()")
            assert await read(peer, len(data) + 1) == data

    run(loop, main)


def test_write_eof_on_a_closing_transport(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            transport.close()
            transport.write_eof()
            await protocol.gone()
            transport.write_eof()

    run(loop, main)


# -- close and abort --------------------------------------------------------------------------


def test_fault_12_close_flushes(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            data = os.urandom(6_000_000)
            transport.write(data)
            assert transport.is_closing() is False
            transport.close()
            assert transport.is_closing() is True
            assert await read(peer, len(data) + 1) == data
            await protocol.gone()
            assert protocol.lost is None
            assert protocol.count("connection_lost") == 1

    run(loop, main)


def test_fault_12_abort_drops_the_queue(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            transport.write(b"x" * 20_000_000)
            transport.abort()
            assert transport.is_closing() is True
            assert transport.get_write_buffer_size() == 0
            assert protocol.events == ["connection_made", "pause_writing"]
            await protocol.gone()
            assert protocol.lost is None
            assert len(await read(peer, 20_000_000)) < 20_000_000

    run(loop, main)


def test_connection_lost_comes_later(loop):
    async def main():
        for how in ("close", "abort"):
            async with support.connected() as (transport, protocol, _peer):
                getattr(transport, how)()
                assert "connection_lost" not in protocol.events
                await protocol.gone()

    run(loop, main)


def test_close_again_and_again(loop):
    async def main():
        for calls in (["close"] * 3, ["abort"] * 3, ["close", "abort"], ["abort", "close"]):
            async with support.connected() as (transport, protocol, _peer):
                for call in calls:
                    getattr(transport, call)()
                await protocol.gone()
                for call in calls:
                    getattr(transport, call)()
                await support.settle()
                assert protocol.count("connection_lost") == 1

    run(loop, main)


def test_everything_after_close_is_harmless(loop, loop_name):
    support.oracle_lacks(loop_name, support.PY >= (3, 12), "gh-136234: writelines after the end")

    async def main():
        async with support.connected() as (transport, protocol, _peer):
            transport.close()
            await protocol.gone()
            transport.write(b"x")
            transport.writelines([b"x"])
            transport.pause_reading()
            transport.resume_reading()
            assert transport.is_reading() is False
            assert transport.is_closing() is True
            transport.set_write_buffer_limits(high=10)
            assert transport.get_write_buffer_size() == 0
            transport.get_write_buffer_limits()
            transport.set_protocol(asyncio.Protocol())
            transport.get_protocol()
            assert transport.get_extra_info("peername") is not None
            repr(transport)
            transport.close()
            transport.abort()

    run(loop, main)


def test_peer_sees_the_end_after_close(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            transport.write(b"bye")
            transport.close()
            await protocol.gone()
            assert support.read_all(peer) == b"bye"

    run(loop, main)


def test_no_data_after_close(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            peer.sendall(b"too late")
            transport.close()
            await asyncio.sleep(0.01)
            assert protocol.data == b""
            assert protocol.events == ["connection_made", "connection_lost"]

    run(loop, main)


# -- reading ----------------------------------------------------------------------------------


def test_pause_and_resume_reading(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            assert transport.is_reading() is True
            transport.pause_reading()
            assert transport.is_reading() is False
            peer.sendall(b"wait")
            await asyncio.sleep(0.01)
            assert protocol.data == b""
            transport.resume_reading()
            assert transport.is_reading() is True
            assert await protocol.received(4) == b"wait"
            transport.pause_reading()
            transport.pause_reading()
            transport.resume_reading()
            transport.resume_reading()
            peer.sendall(b"more")
            assert await protocol.received(8) == b"waitmore"

    run(loop, main)


def test_pause_in_connection_made(loop, loop_name):
    support.oracle_lacks(loop_name, support.PY < (3, 11), "starts to read all the same")

    async def main():
        async with support.connected(
            lambda: support.Recorder(connection_made=lambda p: p.transport.pause_reading())
        ) as (transport, protocol, peer):
            assert transport.is_reading() is False
            peer.sendall(b"x")
            await asyncio.sleep(0.01)
            assert protocol.data == b""
            transport.resume_reading()
            await protocol.received(1)

    run(loop, main)


def test_end_of_file_waits_while_paused(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            transport.pause_reading()
            peer.sendall(b"data")
            peer.shutdown(socket.SHUT_WR)
            await asyncio.sleep(0.01)
            assert protocol.events == ["connection_made"]
            transport.resume_reading()
            await protocol.gone()
            assert protocol.data == b"data"
            assert protocol.events[-2:] == ["eof_received", "connection_lost"]

    run(loop, main)


def test_writing_goes_on_while_reading_is_paused(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            transport.pause_reading()
            transport.write(b"x" * 3_000_000)
            assert len(await read(peer, 3_000_000)) == 3_000_000

    run(loop, main)


def test_close_while_paused(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            transport.pause_reading()
            transport.close()
            await protocol.gone()
            assert protocol.events == ["connection_made", "connection_lost"]

    run(loop, main)


# -- what it is and tells ---------------------------------------------------------------------


def test_is_a_transport(loop):
    async def main():
        async with support.connected() as (transport, _, _peer):
            assert isinstance(transport, asyncio.Transport)
            assert isinstance(transport, asyncio.ReadTransport)
            assert isinstance(transport, asyncio.WriteTransport)
            assert isinstance(transport, asyncio.BaseTransport)
            assert transport._start_tls_compatible is True

    run(loop, main)


def test_extra_info(loop):
    async def main():
        async with support.connected() as (transport, _, peer):
            assert transport.get_extra_info("peername") == peer.getsockname()
            assert transport.get_extra_info("sockname") == peer.getpeername()
            sock = transport.get_extra_info("socket")
            assert sock.family == socket.AF_INET
            assert sock.type & socket.SOCK_STREAM
            assert sock.getsockname() == peer.getpeername()
            assert sock.getpeername() == peer.getsockname()
            assert sock.fileno() > 0
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
            assert sock is transport.get_extra_info("socket")
            assert isinstance(sock, asyncio.trsock.TransportSocket)
            assert transport.get_extra_info("nonesuch") is None
            assert transport.get_extra_info("nonesuch", 5) == 5
            assert transport.get_extra_info(name="nonesuch", default="d") == "d"
            assert transport.get_extra_info("sslcontext") is None

    run(loop, main)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_socket_of_a_connection_that_has_ended(loop, tmp_path, family):
    """Also where nobody has asked for it before: closed, and never None."""

    async def main():
        made = loop.create_future()

        def factory():
            made.set_result(support.Recorder())
            return made.result()

        if family == socket.AF_INET:
            server = await loop.create_server(factory, "127.0.0.1", 0)
        else:
            server = await loop.create_unix_server(factory, tmp_path / "s")
        client = socket.socket(family)
        client.connect(server.sockets[0].getsockname())
        protocol = await made
        client.close()
        await protocol.gone()
        await support.settle()
        sock = protocol.transport.get_extra_info("socket")
        assert isinstance(sock, asyncio.trsock.TransportSocket)
        assert (sock.fileno(), sock.family, sock.type) == (-1, family, socket.SOCK_STREAM)
        assert sock is protocol.transport.get_extra_info("socket")
        with pytest.raises(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        server.close()
        await server.wait_closed()

    run(loop, main)


def test_names_of_a_socket_without_peer(loop):
    """They are known to be none: no default takes their place."""

    async def main():
        sock = socket.socket()
        transport, protocol = await loop.create_connection(support.Recorder, sock=sock)
        assert transport.get_extra_info("peername", "default") is None
        assert transport.get_extra_info("sockname") == ("0.0.0.0", 0)
        transport.abort()
        await protocol.gone()

    run(loop, main)


def test_names_of_another_family(loop):
    try:
        sock = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    except OSError:
        pytest.skip("the kernel has no AF_VSOCK")

    async def main():
        sock.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
        name = sock.getsockname()
        transport, protocol = await loop.create_connection(support.Recorder, sock=sock)
        assert transport.get_extra_info("sockname") == name
        assert transport.get_extra_info("peername") is None
        transport.abort()
        await protocol.gone()
        assert transport.get_extra_info("sockname") == name

    run(loop, main)


def test_attributes_can_be_set(loop):
    """Programs and tests replace methods of an instance."""

    async def main():
        async with support.connected() as (transport, _, peer):
            seen = []
            real = transport.write
            transport.write = lambda data: (seen.append(data), real(data))
            transport.write(b"x")
            assert seen == [b"x"]
            assert await read(peer, 1) == b"x"
            transport.own = 5
            assert transport.own == 5
            del transport.write
            transport.write(b"y")
            assert seen == [b"x"]

    run(loop, main)


def test_private_names_that_libraries_read(loop):
    async def main():
        async with support.connected() as (transport, protocol, _peer):
            assert transport._protocol is protocol
            assert transport._sock is not None
            assert transport._sock.fileno() == transport.get_extra_info("socket").fileno()
            assert transport._loop is loop

    run(loop, main)


def test_repr(loop):
    async def main():
        async with support.connected() as (transport, protocol, _peer):
            fd = transport.get_extra_info("socket").fileno()
            assert re.match(rf"<\w+ fd={fd}\b.*>$", repr(transport))
            transport.close()
            assert "clos" in repr(transport)
            await protocol.gone()
            assert "closed" in repr(transport)

    run(loop, main)


def test_weak_reference_and_hash(loop):
    async def main():
        async with support.connected() as (transport, _, _peer):
            assert weakref.ref(transport)() is transport
            assert {transport: 1}[transport] == 1

    run(loop, main)


def test_a_closed_transport_is_freed(loop):
    async def main():
        async with support.connected() as (transport, protocol, _peer):
            ref = weakref.ref(transport)
            transport.close()
            await protocol.gone()
            protocol.transport = None
            await support.settle()
        del transport, protocol
        await support.settle()
        support.collect()
        assert ref() is None

    run(loop, main)


def test_a_closed_transport_lets_go_of_its_protocol(loop):
    async def main():
        async with support.connected() as (transport, protocol, _peer):
            ref = weakref.ref(protocol)
            transport.close()
            await protocol.gone()
            protocol.transport = None
        await support.settle()
        del protocol
        support.collect()
        assert ref() is None
        repr(transport)

    run(loop, main)


def test_ipv6_names(loop):
    async def main():
        async with support.connected(family=socket.AF_INET6) as (transport, _, peer):
            assert transport.get_extra_info("peername") == peer.getsockname()
            assert transport.get_extra_info("sockname") == peer.getpeername()

    run(loop, main)
