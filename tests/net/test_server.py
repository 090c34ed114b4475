"""create_server and the Server object, connect_accepted_socket."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys

import pytest
import support

LOCALHOST = support.LOCALHOST
WAITS = sys.version_info >= (3, 12)  # wait_closed waits for the connections


def port_of(server):
    return server.sockets[0].getsockname()[1]


async def serve(loop, *args, factory=support.Recorder, **kwargs):
    accepted = []
    server = await loop.create_server(
        lambda: accepted.append(factory()) or accepted[-1], *args, **kwargs
    )
    return server, accepted


async def stop(server):
    server.close()
    await server.wait_closed()
    await support.settle()


def plain(address, family=socket.AF_INET):
    s = socket.socket(family)
    s.settimeout(10 * support.SLOW)
    try:
        s.connect(address)
    except BaseException:
        s.close()
        raise
    return s


# -- listening --------------------------------------------------------------------------------


def test_accepts(loop):
    async def main():
        server, accepted = await serve(loop, LOCALHOST, 0)
        assert server.is_serving()
        peers = [plain((LOCALHOST, port_of(server))) for _ in range(20)]
        await support.until(lambda: len(accepted) == 20 and all(p.transport for p in accepted))
        for n, peer in enumerate(peers):
            peer.sendall(b"%d" % n)
        await support.until(lambda: all(p.data for p in accepted))
        assert sorted(int(p.data) for p in accepted) == list(range(20))
        names = {p.transport.get_extra_info("peername") for p in accepted}
        assert names == {p.getsockname() for p in peers}
        for peer in peers:
            peer.close()
        for protocol in accepted:
            await protocol.gone()
            assert protocol.events[-2:] == ["eof_received", "connection_lost"]
        await stop(server)

    loop.run_until_complete(main())


def test_accepted_transport(loop):
    async def main():
        server, accepted = await serve(loop, LOCALHOST, 0)
        peer = plain((LOCALHOST, port_of(server)))
        await support.until(lambda: accepted and accepted[0].transport)
        transport = accepted[0].transport
        assert isinstance(transport, asyncio.Transport)
        sock = transport.get_extra_info("socket")
        assert sock.gettimeout() == 0
        assert not os.get_inheritable(sock.fileno())
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        assert transport.get_extra_info("sockname") == peer.getpeername()
        assert transport.get_extra_info("peername") == peer.getsockname()
        transport.close()
        await support.settle()
        assert peer.recv(10) == b""
        peer.close()
        await stop(server)

    loop.run_until_complete(main())


def test_several_hosts(loop):
    async def main():
        server, accepted = await serve(loop, ["127.0.0.1", "127.0.0.2", "::1"], 0)
        names = sorted(s.getsockname()[0] for s in server.sockets)
        assert names == ["127.0.0.1", "127.0.0.2", "::1"]
        for s in server.sockets:
            plain(s.getsockname()[:2], s.family).close()
        await support.until(lambda: len(accepted) == 3)
        for p in accepted:
            await p.gone()
        await stop(server)

    loop.run_until_complete(main())


@pytest.mark.parametrize("host", [None, "", "0.0.0.0", "::", "localhost"])
def test_hosts(loop, host):
    async def main():
        server, accepted = await serve(loop, host, support.free_port())
        assert len(server.sockets) >= 1
        if host in (None, ""):
            families = {s.family for s in server.sockets}
            assert families == {socket.AF_INET, socket.AF_INET6}
        for s in server.sockets:
            if s.family == socket.AF_INET6:
                # each family for itself, as asyncio sets it
                assert s.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        await stop(server)

    loop.run_until_complete(main())


def test_given_socket(loop):
    async def main():
        sock = socket.socket()
        sock.bind((LOCALHOST, 0))
        server, accepted = await serve(loop, sock=sock)
        assert server.sockets[0].getsockname() == sock.getsockname()
        assert sock.gettimeout() == 0
        peer = plain(sock.getsockname())
        await support.until(lambda: accepted)
        peer.close()
        await support.until(lambda: accepted[0].lost is None and accepted[0].closed.done())
        await stop(server)
        assert sock.fileno() == -1 or not WAITS
        sock.close()

    loop.run_until_complete(main())


def test_family_and_flags(loop):
    async def main():
        server, _ = await serve(loop, "localhost", 0, family=socket.AF_INET)
        assert [s.family for s in server.sockets] == [socket.AF_INET]
        await stop(server)
        server, _ = await serve(loop, LOCALHOST, 0, flags=socket.AI_NUMERICHOST)
        await stop(server)
        with pytest.raises(socket.gaierror):
            await serve(loop, "localhost", 0, flags=socket.AI_NUMERICHOST)

    loop.run_until_complete(main())


def test_reuse_address(loop):
    async def main():
        for given, expected in ((None, True), (True, True), (False, False)):
            server, _ = await serve(loop, LOCALHOST, 0, reuse_address=given)
            value = server.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
            assert bool(value) is expected
            await stop(server)

    loop.run_until_complete(main())


def test_reuse_port(loop):
    async def main():
        first, _ = await serve(loop, LOCALHOST, 0, reuse_port=True)
        second, _ = await serve(loop, LOCALHOST, port_of(first), reuse_port=True)
        assert port_of(first) == port_of(second)
        await stop(first)
        await stop(second)
        with pytest.raises(OSError):
            third, _ = await serve(loop, LOCALHOST, 0)
            try:
                await serve(loop, LOCALHOST, port_of(third), reuse_port=True)
            finally:
                await stop(third)

    loop.run_until_complete(main())


def test_keep_alive(loop, loop_name):
    lacks = not support.has_keyword(asyncio.BaseEventLoop.create_server, "keep_alive")
    support.oracle_lacks(loop_name, lacks, "no keep_alive=")

    async def main():
        for given, expected in ((None, False), (True, True), (False, False)):
            server, _ = await serve(loop, LOCALHOST, 0, keep_alive=given)
            value = server.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert bool(value) is expected
            await stop(server)

    loop.run_until_complete(main())


def test_backlog(loop):
    async def main():
        server, accepted = await serve(loop, LOCALHOST, 0, backlog=1)
        peers = [plain((LOCALHOST, port_of(server))) for _ in range(2)]
        await support.until(lambda: len(accepted) == 2)
        for p in peers:
            p.close()
        for p in accepted:
            await p.gone()
        await stop(server)

    loop.run_until_complete(main())


@pytest.mark.parametrize("before", range(15))
def test_burst_after_single_ones(loop, before):
    """Connections one by one, then many at once, however many came before."""

    async def main():
        server, accepted = await serve(loop, LOCALHOST, 0)
        peers = []
        for burst in (*[1] * before, 20, 1, 5):
            peers.extend(plain((LOCALHOST, port_of(server))) for _ in range(burst))
            await support.until(lambda: len(accepted) == len(peers))
        names = {p.getsockname() for p in peers}
        assert {p.transport.get_extra_info("peername") for p in accepted} == names
        for p in peers:
            p.close()
        for p in accepted:
            await p.gone()
        await stop(server)

    loop.run_until_complete(main())


def test_not_serving_yet(loop):
    async def main():
        server, accepted = await serve(loop, LOCALHOST, 0, start_serving=False)
        assert not server.is_serving()
        with pytest.raises(ConnectionRefusedError):
            plain(server.sockets[0].getsockname())
        await server.start_serving()
        assert server.is_serving()
        await server.start_serving()
        peer = plain(server.sockets[0].getsockname())
        await support.until(lambda: accepted)
        peer.close()
        await accepted[0].gone()
        await stop(server)

    loop.run_until_complete(main())


# -- errors -----------------------------------------------------------------------------------


def fails(loop, kind, match=None, *args, **kwargs):
    async def main():
        with pytest.raises(kind, match=match) as caught:
            await loop.create_server(asyncio.Protocol, *args, **kwargs)
        return caught.value

    try:
        return loop.run_until_complete(main())
    finally:
        support.collect()


def test_address_in_use(loop):
    with socket.create_server((LOCALHOST, 0)) as s:
        error = fails(loop, OSError, "error while attempting to bind on address", *s.getsockname())
        assert error.errno == errno.EADDRINUSE


def test_second_host_in_use_leaks_nothing(loop):
    with socket.create_server(("127.0.0.2", 0)) as s:
        port = s.getsockname()[1]
        fails(loop, OSError, None, ["127.0.0.1", "127.0.0.2"], port)


def test_wrong_arguments(loop):
    fails(loop, ValueError, "Neither host/port nor sock were specified")
    fails(loop, OverflowError, None, LOCALHOST, 70000)
    fails(loop, OverflowError, None, LOCALHOST, -1)
    fails(loop, TypeError, None, LOCALHOST, 0, nonsense=1)
    fails(loop, TypeError, "ssl argument must be an SSLContext or None", LOCALHOST, 0, ssl=True)
    fails(
        loop,
        ValueError,
        "ssl_handshake_timeout is only meaningful with ssl",
        LOCALHOST,
        0,
        ssl_handshake_timeout=1,
    )
    fails(loop, OSError, None, "192.0.2.77", 0)
    fails(loop, socket.gaierror, None, "nonesuch.invalid", 0)
    with socket.socket() as s:
        text = "host/port and sock can not be specified at the same time"
        fails(loop, ValueError, text, LOCALHOST, 0, sock=s)
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        fails(loop, ValueError, "A Stream Socket was expected", sock=s)


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("host", ["localhost", LOCALHOST, ["localhost", "127.0.0.2"]])
def test_fault_40_create_server_cancelled(loop, host, turns, loop_name):
    support.oracle_lacks(loop_name, turns > 2, "a server that is listening already is lost")

    async def main():
        task = loop.create_task(loop.create_server(asyncio.Protocol, host, 0))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            server = await task
        except asyncio.CancelledError:
            pass
        else:
            server.close()
            await server.wait_closed()

    loop.run_until_complete(main())
    loop.run_until_complete(support.settle())
    loop.run_until_complete(loop.shutdown_default_executor())
    support.collect()


# -- the object -------------------------------------------------------------------------------


def test_server_object(loop):
    async def main():
        server, _ = await serve(loop, LOCALHOST, 0)
        assert isinstance(server, asyncio.AbstractServer)
        assert server.get_loop() is loop
        assert type(server.sockets) is tuple
        assert server.sockets[0].fileno() >= 0
        assert "Server sockets=" in repr(server)
        await stop(server)
        assert server.sockets == ()
        assert not server.is_serving()
        assert "Server sockets=" in repr(server)
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_listening_socket_is_freed_by_close(loop):
    async def main():
        server, _ = await serve(loop, LOCALHOST, 0)
        address = server.sockets[0].getsockname()
        server.close()
        await support.settle()
        with pytest.raises(ConnectionRefusedError):
            plain(address)
        again, _ = await serve(loop, *address)
        await stop(again)

    loop.run_until_complete(main())


def test_async_with(loop):
    async def main():
        server, _ = await serve(loop, LOCALHOST, 0)
        async with server as same:
            assert same is server
            assert server.is_serving()
        assert not server.is_serving()
        assert server.sockets == ()

    loop.run_until_complete(main())


def test_serve_forever(loop):
    async def main():
        server, accepted = await serve(loop, LOCALHOST, 0, start_serving=False)
        task = loop.create_task(server.serve_forever())
        await support.settle()
        assert server.is_serving()
        with pytest.raises(RuntimeError, match="is already being awaited on serve_forever"):
            await server.serve_forever()
        peer = plain(server.sockets[0].getsockname())
        await support.until(lambda: accepted)
        peer.close()
        await accepted[0].gone()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not server.is_serving()
        assert server.sockets == ()
        with pytest.raises(RuntimeError, match="is closed"):
            await server.serve_forever()
        with pytest.raises((RuntimeError, TypeError)):
            await server.start_serving()

    loop.run_until_complete(main())


def test_close_ends_serve_forever(loop):
    async def main():
        server, _ = await serve(loop, LOCALHOST, 0)
        task = loop.create_task(server.serve_forever())
        await support.settle()
        server.close()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop.run_until_complete(main())


def test_close_leaves_connections_alone(loop):
    async def main():
        server, accepted = await serve(loop, LOCALHOST, 0)
        peer = plain((LOCALHOST, port_of(server)))
        await support.until(lambda: accepted and accepted[0].transport)
        server.close()
        await support.settle()
        peer.sendall(b"still here")
        await accepted[0].received(10)
        accepted[0].transport.write(b"yes")
        await support.settle()
        assert peer.recv(10) == b"yes"
        peer.close()
        await accepted[0].gone()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_wait_closed_as_the_running_python_has_it(loop):
    async def main():
        server, accepted = await serve(loop, LOCALHOST, 0)
        peer = plain((LOCALHOST, port_of(server)))
        await support.until(lambda: accepted and accepted[0].transport)
        server.close()
        waiting = loop.create_task(server.wait_closed())
        await asyncio.sleep(0.02)
        assert waiting.done() is not WAITS
        accepted[0].transport.close()
        await asyncio.wait_for(waiting, 10)
        peer.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_wait_closed_without_connections_returns(loop):
    async def main():
        server, _ = await serve(loop, LOCALHOST, 0)
        server.close()
        await asyncio.wait_for(server.wait_closed(), 10)

    loop.run_until_complete(main())


def test_wait_closed_before_close_waits(loop):
    """Of 3.12 on; before, it returned as long as the server was open."""

    async def main():
        server, _ = await serve(loop, LOCALHOST, 0)
        waiting = loop.create_task(server.wait_closed())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        server.close()
        await asyncio.wait_for(waiting, 10)

    loop.run_until_complete(main())


def test_wait_closed_cancelled(loop):
    async def main():
        server, accepted = await serve(loop, LOCALHOST, 0)
        waiting = loop.create_task(server.wait_closed())
        await support.settle()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await stop(server)

    loop.run_until_complete(main())


def test_close_clients(loop, loop_name):
    support.oracle_lacks(loop_name, sys.version_info < (3, 13), "no close_clients before 3.13")

    async def main():
        server, accepted = await serve(loop, LOCALHOST, 0)
        peers = [plain((LOCALHOST, port_of(server))) for _ in range(3)]
        await support.until(lambda: len(accepted) == 3 and all(p.transport for p in accepted))
        accepted[0].transport.write(b"last words")
        server.close()
        server.close_clients()
        for p in accepted:
            await p.gone()
            assert p.lost is None
        assert support.read_all(peers[0]) == b"last words"
        await server.wait_closed()
        for p in peers:
            p.close()

    loop.run_until_complete(main())


def test_abort_clients(loop, loop_name):
    support.oracle_lacks(loop_name, sys.version_info < (3, 13), "no abort_clients before 3.13")

    async def main():
        server, accepted = await serve(loop, LOCALHOST, 0)
        peer = plain((LOCALHOST, port_of(server)))
        await support.until(lambda: accepted and accepted[0].transport)
        accepted[0].transport.write(b"x" * 50_000_000)
        server.close()
        server.abort_clients()
        await accepted[0].gone()
        assert accepted[0].lost is None
        await server.wait_closed()
        peer.close()

    loop.run_until_complete(main())


def test_a_closed_server_lets_go(loop):
    import weakref

    async def main():
        server, accepted = await serve(loop, LOCALHOST, 0)
        ref = weakref.ref(server)
        await stop(server)
        del server, accepted
        await support.settle()
        support.collect()
        assert ref() is None

    loop.run_until_complete(main())


def test_factory_that_raises(loop, contexts, loop_name):
    support.oracle_lacks(loop_name, True, "the accepted socket is left to the collector")

    async def main():
        def factory():
            raise ZeroDivisionError("no protocol")

        server = await loop.create_server(factory, LOCALHOST, 0)
        peer = plain((LOCALHOST, port_of(server)))
        await support.until(lambda: contexts)
        assert str(contexts[0]["exception"]) == "no protocol"
        await support.settle()
        assert peer.recv(10) == b""
        peer.close()
        await stop(server)

    loop.run_until_complete(main())
    contexts.clear()


def test_fault_02_peer_gone_before_accept(loop):
    async def main():
        server, accepted = await serve(loop, LOCALHOST, 0, start_serving=True)
        for _ in range(10):
            support.reset(plain((LOCALHOST, port_of(server))))
        peer = plain((LOCALHOST, port_of(server)))
        peer.sendall(b"alive")
        await support.until(lambda: any(bytes(p.data) == b"alive" for p in accepted))
        peer.close()
        for p in accepted:
            if p.transport is not None:
                p.transport.abort()
        await support.settle()
        await stop(server)

    loop.run_until_complete(main())


# -- connect_accepted_socket ------------------------------------------------------------------


def test_connect_accepted_socket(loop):
    async def main():
        a, b = support.tcp_pair()
        transport, protocol = await loop.connect_accepted_socket(support.Recorder, a)
        assert protocol.events == ["connection_made"]
        b.sendall(b"hello")
        assert await protocol.received(5) == b"hello"
        transport.close()
        await support.settle()
        assert b.recv(1) == b""
        b.close()
        await protocol.gone()

    loop.run_until_complete(main())


def test_connect_accepted_socket_errors(loop):
    async def main():
        with socket.socket(type=socket.SOCK_DGRAM) as s:
            with pytest.raises(ValueError, match="A Stream Socket was expected"):
                await loop.connect_accepted_socket(asyncio.Protocol, s)
        a, b = support.tcp_pair()
        with pytest.raises(ValueError, match="ssl_handshake_timeout is only meaningful with ssl"):
            await loop.connect_accepted_socket(asyncio.Protocol, a, ssl_handshake_timeout=1)
        a.close()
        b.close()

    loop.run_until_complete(main())


def test_fault_01_no_descriptors_left(loop_name):
    """Row 1, in short: told once, no busy loop, and served again later."""
    script = """
    import resource, socket, time
    loop = new_loop()
    contexts = []
    loop.set_exception_handler(lambda loop, context: contexts.append(context))
    async def main():
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        peer = socket.socket()
        held = []
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        try:
            while True:
                held.append(socket.socket())
        except OSError:
            pass
        peer.connect(address)
        start = time.process_time()
        await asyncio.sleep(0.5)
        used = time.process_time() - start
        assert used < 0.25, used
        for s in held:
            s.close()
        print(len(contexts), contexts and contexts[0]["message"])
        other = socket.create_connection(address)
        other.settimeout(5)
        await asyncio.sleep(1.2)
        peer.close(); other.close()
        await asyncio.sleep(0.05)
        server.close()
        await server.wait_closed()
    loop.run_until_complete(main())
    loop.close()
    """

    out = support.script(loop_name, script)
    count, message = out.strip().split(" ", 1)
    assert int(count) >= 1
    assert message == "socket.accept() out of system resource"
