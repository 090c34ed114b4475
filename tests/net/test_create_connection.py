"""create_connection with every keyword, its errors, and what it leaves behind: nothing."""

from __future__ import annotations

import asyncio
import errno
import inspect
import socket
import sys
import time

import pytest
import support

LOCALHOST = support.LOCALHOST
HAS_ALL_ERRORS = sys.version_info >= (3, 12)


@pytest.fixture
def server():
    with socket.create_server((LOCALHOST, 0), backlog=50) as s:
        yield s


@pytest.fixture
def port(server):
    return server.getsockname()[1]


def dead_port():
    return support.free_port()


async def close(transport):
    transport.close()
    await support.settle()


# -- what works -------------------------------------------------------------------------------


def test_host_and_port(loop, port):
    async def main():
        made = []
        transport, protocol = await loop.create_connection(
            lambda: made.append(support.Recorder()) or made[-1], LOCALHOST, port
        )
        assert protocol is made[0]
        assert len(made) == 1
        assert protocol.transport is transport
        # connection_made came before create_connection returned
        assert protocol.events == ["connection_made"]
        assert transport.get_extra_info("peername") == (LOCALHOST, port)
        await close(transport)
        assert protocol.events == ["connection_made", "connection_lost"]

    loop.run_until_complete(main())


def test_by_keyword_and_as_text(loop, port):
    async def main():
        for kwargs in (
            {"host": "localhost", "port": port},
            {"host": LOCALHOST, "port": str(port)},
            {"host": LOCALHOST, "port": port, "ssl": None},
            {"host": LOCALHOST, "port": port, "ssl": False},
            {"host": LOCALHOST, "port": port, "family": socket.AF_INET},
            {"host": "localhost", "port": port, "family": socket.AF_INET},
            {"host": LOCALHOST, "port": port, "proto": socket.IPPROTO_TCP},
            {"host": LOCALHOST, "port": port, "flags": socket.AI_NUMERICHOST},
        ):
            transport, _ = await loop.create_connection(asyncio.Protocol, **kwargs)
            await close(transport)

    loop.run_until_complete(main())


def test_host_as_bytes(loop, port):
    async def main():
        transport, _ = await loop.create_connection(asyncio.Protocol, b"127.0.0.1", port)
        await close(transport)

    loop.run_until_complete(main())


def test_ipv6(loop):
    async def main():
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
            port = server.getsockname()[1]
            transport, _ = await loop.create_connection(support.Recorder, "::1", port)
            assert transport.get_extra_info("peername")[:2] == ("::1", port)
            assert len(transport.get_extra_info("peername")) == 4
            assert transport.get_extra_info("sockname")[0] == "::1"
            await close(transport)

    loop.run_until_complete(main())


def test_given_socket(loop, port):
    async def main():
        sock = socket.create_connection((LOCALHOST, port))
        fd = sock.fileno()
        transport, protocol = await loop.create_connection(support.Recorder, sock=sock)
        assert transport.get_extra_info("socket").fileno() == fd
        assert protocol.events == ["connection_made"]
        # asyncio makes it non-blocking
        assert transport.get_extra_info("socket").gettimeout() == 0
        await close(transport)
        await support.settle()
        sock.close()

    loop.run_until_complete(main())


def test_given_socket_belongs_to_the_transport(loop, port):
    """Once handed over it is closed with the transport."""

    async def main():
        sock = socket.create_connection((LOCALHOST, port))
        fd = sock.fileno()
        transport, protocol = await loop.create_connection(support.Recorder, sock=sock)
        await close(transport)
        await protocol.gone()
        await support.settle()
        assert fd not in support.open_fds()
        sock.close()

    loop.run_until_complete(main())


def test_given_unix_stream_socket(loop):
    async def main():
        a, b = socket.socketpair()
        transport, protocol = await loop.create_connection(support.Recorder, sock=a)
        b.send(b"hello")
        assert await protocol.received(5) == b"hello"
        transport.write(b"answer")
        await support.settle()
        assert b.recv(10) == b"answer"
        await close(transport)
        await support.settle()
        b.close()

    loop.run_until_complete(main())


def test_local_addr(loop, port, server):
    async def main():
        local = support.free_port()
        for addr in ((LOCALHOST, local), ("127.0.0.2", 0), ("localhost", 0)):
            transport, _ = await loop.create_connection(
                asyncio.Protocol, LOCALHOST, port, local_addr=addr
            )
            name = transport.get_extra_info("sockname")
            if addr[1]:
                assert name == addr
            elif addr[0] == "127.0.0.2":
                assert name[0] == "127.0.0.2"
            peer, address = server.accept()
            assert address == name
            support.reset(peer)
            await asyncio.sleep(0.01)
            transport.abort()
            await support.settle()

    loop.run_until_complete(main())


def test_local_addr_in_use(loop, port):
    async def main():
        with socket.socket() as other:
            other.bind((LOCALHOST, 0))
            other.listen()
            with pytest.raises(OSError) as caught:
                await loop.create_connection(
                    asyncio.Protocol, LOCALHOST, port, local_addr=other.getsockname()
                )
            assert caught.value.errno == errno.EADDRINUSE
            assert "error while attempting to bind on address" in str(caught.value)

    loop.run_until_complete(main())


def test_local_addr_of_another_family(loop, port):
    async def main():
        with pytest.raises(OSError):
            await loop.create_connection(
                asyncio.Protocol, LOCALHOST, port, local_addr=("::1", 0), family=socket.AF_INET
            )
        with pytest.raises(OSError):
            await loop.create_connection(asyncio.Protocol, LOCALHOST, port, local_addr=("::1", 0))

    loop.run_until_complete(main())


def test_tcp_nodelay_is_set(loop, port):
    async def main():
        transport, _ = await loop.create_connection(asyncio.Protocol, LOCALHOST, port)
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        await close(transport)

    loop.run_until_complete(main())


def test_descriptors_are_not_inherited(loop, port):
    import os

    async def main():
        transport, _ = await loop.create_connection(asyncio.Protocol, LOCALHOST, port)
        assert not os.get_inheritable(transport.get_extra_info("socket").fileno())
        await close(transport)

    loop.run_until_complete(main())


def test_many_at_once(loop):
    async def main():
        server = await loop.create_server(support.Recorder, LOCALHOST, 0, backlog=300)
        port = server.sockets[0].getsockname()[1]
        made = await asyncio.gather(
            *(loop.create_connection(support.Recorder, LOCALHOST, port) for _ in range(200))
        )
        for transport, _ in made:
            transport.close()
        for _, protocol in made:
            await protocol.gone()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)
        await support.settle()

    loop.run_until_complete(main())


# -- happy eyeballs ---------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0, 0.01, 0.25])
@pytest.mark.parametrize("interleave", [None, 1, 2])
def test_happy_eyeballs(loop, port, delay, interleave):
    async def main():
        transport, _ = await loop.create_connection(
            asyncio.Protocol,
            "localhost",
            port,
            happy_eyeballs_delay=delay,
            interleave=interleave,
        )
        assert transport.get_extra_info("peername")[1] == port
        await close(transport)

    loop.run_until_complete(main())


def fake_getaddrinfo(loop, addresses):
    async def getaddrinfo(host, port, *, family=0, type=0, proto=0, flags=0):
        found = []
        for address in addresses:
            kind = socket.AF_INET6 if ":" in address else socket.AF_INET
            where = (address, port, 0, 0) if ":" in address else (address, port)
            found.append((kind, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where))
        return found

    loop.getaddrinfo = getaddrinfo


def test_happy_eyeballs_passes_a_dead_address(loop, port):
    """The first address never answers; the second is tried after the delay, one wins."""

    async def main():
        with socket.socket() as full:  # a listener that is full leaves SYNs unanswered
            full.bind(("127.0.0.3", port))
            full.listen(0)
            fillers = [socket.socket() for _ in range(4)]
            for s in fillers:
                s.setblocking(False)
                s.connect_ex(("127.0.0.3", port))
            await asyncio.sleep(0.02)
            fake_getaddrinfo(loop, ["127.0.0.3", LOCALHOST])
            start = time.monotonic()
            transport, _ = await asyncio.wait_for(
                loop.create_connection(
                    asyncio.Protocol, "two.addresses", port, happy_eyeballs_delay=0.05
                ),
                20,
            )
            assert transport.get_extra_info("peername") == (LOCALHOST, port)
            assert time.monotonic() - start < 10
            await close(transport)
            for s in fillers:
                s.close()

    loop.run_until_complete(main())


def test_happy_eyeballs_goes_on_at_once_when_refused(loop, port):
    async def main():
        fake_getaddrinfo(loop, ["127.0.0.4", "127.0.0.5", LOCALHOST])
        start = time.monotonic()
        transport, _ = await loop.create_connection(
            asyncio.Protocol, "three.addresses", port, happy_eyeballs_delay=5
        )
        assert time.monotonic() - start < 4
        await close(transport)

    loop.run_until_complete(main())


def test_happy_eyeballs_cancelled_when_it_is_decided(loop, loop_name, port):
    """One address has answered, the attempt at the other takes its time to end."""
    support.oracle_lacks(loop_name, True, "leaves the winner's socket open")

    async def main():
        fake_getaddrinfo(loop, ["127.0.0.3", LOCALHOST])
        connect, ending = loop.sock_connect, asyncio.Event()

        async def sock_connect(sock, address):
            if address[0] == LOCALHOST:
                return await connect(sock, address)
            try:
                await asyncio.sleep(30)
            finally:
                ending.set()
                await asyncio.sleep(0.01)

        loop.sock_connect = sock_connect
        task = loop.create_task(
            loop.create_connection(
                asyncio.Protocol, "two.addresses", port, happy_eyeballs_delay=0.01
            )
        )
        await ending.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del loop.sock_connect

    loop.run_until_complete(main())


def test_addresses_one_after_another_without_delay(loop, port):
    async def main():
        fake_getaddrinfo(loop, ["127.0.0.4", "127.0.0.5", LOCALHOST])
        transport, _ = await loop.create_connection(asyncio.Protocol, "three.addresses", port)
        assert transport.get_extra_info("peername") == (LOCALHOST, port)
        await close(transport)

    loop.run_until_complete(main())


def test_interleave(loop, monkeypatch):
    """Families take turns; all are refused, in that order."""
    port = dead_port()
    tried = []
    real = type(loop).sock_connect

    async def sock_connect(self, sock, address):
        tried.append(address[0])
        return await real(self, sock, address)

    async def main():
        fake_getaddrinfo(loop, ["::1", "::1", LOCALHOST, "127.0.0.2"])
        with pytest.raises(OSError):
            await loop.create_connection(asyncio.Protocol, "h", port, interleave=1)

    monkeypatch.setattr(type(loop), "sock_connect", sock_connect, raising=False)
    loop.run_until_complete(main())
    if tried:  # a loop may connect without sock_connect
        assert tried == ["::1", LOCALHOST, "::1", "127.0.0.2"]


# -- errors -----------------------------------------------------------------------------------


def fails(loop, kind, match=None, **kwargs):
    kwargs.setdefault("protocol_factory", asyncio.Protocol)

    async def main():
        with pytest.raises(kind, match=match) as caught:
            await loop.create_connection(**kwargs)
        return caught.value

    try:
        return loop.run_until_complete(main())
    finally:
        support.collect()


def test_refused(loop):
    error = fails(loop, ConnectionRefusedError, host=LOCALHOST, port=dead_port())
    assert error.errno == errno.ECONNREFUSED
    assert "Connect call failed" in str(error)


def test_refused_at_several_addresses(loop):
    fake_getaddrinfo(loop, [LOCALHOST, "127.0.0.2"])
    error = fails(loop, OSError, host="h", port=dead_port())
    assert "Multiple exceptions" in str(error) or isinstance(error, ConnectionRefusedError)
    assert LOCALHOST in str(error)


def test_refused_with_happy_eyeballs(loop):
    fake_getaddrinfo(loop, [LOCALHOST, "127.0.0.2"])
    fails(loop, OSError, host="h", port=dead_port(), happy_eyeballs_delay=0.01)


def test_all_errors(loop, loop_name):
    support.oracle_lacks(loop_name, not HAS_ALL_ERRORS, "no all_errors= before 3.12")
    fake_getaddrinfo(loop, [LOCALHOST, "127.0.0.2"])
    port = dead_port()
    if sys.version_info >= (3, 11):
        error = fails(loop, ExceptionGroup, host="h", port=port, all_errors=True)  # noqa: F821
        assert "create_connection failed" in str(error)
        assert len(error.exceptions) == 2
        assert all(isinstance(e, ConnectionRefusedError) for e in error.exceptions)
    else:
        fails(loop, OSError, host="h", port=port, all_errors=True)
    fails(loop, OSError, host="h", port=port, all_errors=False)


def test_unknown_host(loop):
    fails(loop, socket.gaierror, host="nonesuch.invalid", port=80)


def test_empty_answer(loop):
    async def getaddrinfo(*args, **kwargs):
        return []

    loop.getaddrinfo = getaddrinfo
    fails(loop, OSError, match=r"getaddrinfo\(\) returned empty list", host="h", port=80)


@pytest.mark.parametrize("port", [70000, 65536, -1, 10**6])
def test_port_out_of_range(loop, port):
    fails(loop, OverflowError, host=LOCALHOST, port=port)


@pytest.mark.parametrize("port", [2**31, 2**63, -(2**70)])
def test_port_far_out_of_range(loop, port):
    fails(loop, (OverflowError, OSError), host=LOCALHOST, port=port)


def test_no_address_at_all(loop):
    text = "host and port was not specified and no sock specified"
    fails(loop, ValueError, match=text)
    fails(loop, ValueError, match=text, host=None, port=None)


def test_address_and_socket(loop):
    with socket.socket() as s:
        text = "host/port and sock can not be specified at the same time"
        fails(loop, ValueError, match=text, host=LOCALHOST, port=1, sock=s)
        fails(loop, ValueError, match=text, host=LOCALHOST, sock=s)


def test_datagram_socket(loop):
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        fails(loop, ValueError, match="A Stream Socket was expected", sock=s)


def test_server_hostname_without_ssl(loop):
    text = "server_hostname is only meaningful with ssl"
    fails(loop, ValueError, match=text, host=LOCALHOST, port=1, server_hostname="x")
    fails(loop, ValueError, match=text, host=LOCALHOST, port=1, server_hostname="")


def test_ssl_timeouts_without_ssl(loop):
    fails(
        loop,
        ValueError,
        match="ssl_handshake_timeout is only meaningful with ssl",
        host=LOCALHOST,
        port=1,
        ssl_handshake_timeout=5,
    )
    if sys.version_info >= (3, 11):
        fails(
            loop,
            ValueError,
            match="ssl_shutdown_timeout is only meaningful with ssl",
            host=LOCALHOST,
            port=1,
            ssl_shutdown_timeout=5,
        )


def test_ssl_without_a_name(loop):
    import ssl

    with socket.socket() as s:
        fails(
            loop,
            ValueError,
            match="You must set server_hostname when using ssl without a host",
            sock=s,
            ssl=ssl.create_default_context(),
        )


@pytest.mark.parametrize("wrong", [1, object(), [1], 1.5, ("127.0.0.1",)])
def test_wrong_host_type(loop, wrong):
    fails(loop, TypeError, host=wrong, port=80)


def test_wrong_arguments(loop):
    fails(loop, TypeError, host=LOCALHOST, port=80, nonsense=1)
    fails(loop, TypeError, protocol_factory=None, host=LOCALHOST, port=None, sock=None, x=1)
    fails(loop, TypeError, host=LOCALHOST, port=80, family="x")
    with pytest.raises(TypeError):
        loop.run_until_complete(loop.create_connection())


def test_signature_has_every_keyword_of_313(loop, loop_name):
    support.oracle_lacks(loop_name, sys.version_info < (3, 12), "keywords came with time")
    parameters = list(inspect.signature(loop.create_connection).parameters)
    assert parameters == [
        "protocol_factory",
        "host",
        "port",
        "ssl",
        "family",
        "proto",
        "flags",
        "sock",
        "local_addr",
        "server_hostname",
        "ssl_handshake_timeout",
        "ssl_shutdown_timeout",
        "happy_eyeballs_delay",
        "interleave",
        "all_errors",
    ]


def test_uncallable_factory_leaks_nothing(loop, port, loop_name):
    support.oracle_lacks(loop_name, True, "the connected socket is left to the collector")
    fails(loop, TypeError, protocol_factory=None, host=LOCALHOST, port=port)
    fails(loop, TypeError, protocol_factory=42, host=LOCALHOST, port=port)


def test_factory_that_raises(loop, port, loop_name):
    support.oracle_lacks(loop_name, True, "the connected socket is left to the collector")

    def factory():
        raise ZeroDivisionError

    fails(loop, ZeroDivisionError, protocol_factory=factory, host=LOCALHOST, port=port)


def test_connection_made_that_raises(loop, port, contexts):
    """It is told to the exception handler; the connection stays the caller's."""

    async def main():
        def bad(protocol):
            raise ZeroDivisionError("made")

        transport, protocol = await loop.create_connection(
            lambda: support.Recorder(connection_made=bad), LOCALHOST, port
        )
        assert str(contexts[0]["exception"]) == "made"
        transport.close()
        await protocol.gone()

    loop.run_until_complete(main())


# -- cancellation at each await ---------------------------------------------------------------


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize(
    "kwargs",
    [
        {"host": "localhost"},
        {"host": LOCALHOST},
        {"host": "localhost", "happy_eyeballs_delay": 0.01},
        {"host": "localhost", "local_addr": ("localhost", 0)},
    ],
    ids=["name", "literal", "eyeballs", "local"],
)
def test_fault_40_cancelled_after_some_turns(loop, port, kwargs, turns, loop_name):
    support.oracle_lacks(
        loop_name,
        "happy_eyeballs_delay" in kwargs,
        "losers of a race are left to the collector",
    )
    made = []

    async def main():
        task = loop.create_task(
            loop.create_connection(
                lambda: made.append(support.Recorder()) or made[-1], port=port, **kwargs
            )
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            transport, _ = await task
        except asyncio.CancelledError:
            await support.settle()
        else:
            transport.abort()
        await support.settle()
        for protocol in made:
            if "connection_made" in protocol.events:
                protocol.transport.abort()
        await support.settle()
        for protocol in made:
            assert protocol.events in ([], ["connection_made", "connection_lost"])

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())


@pytest.mark.parametrize("turns", range(5))
def test_fault_40_cancelled_with_a_given_socket(loop, port, turns):
    """A socket is the caller's until there is a transport, and nobody closes it twice."""

    async def main():
        sock = socket.create_connection((LOCALHOST, port))
        sock.setblocking(False)
        made = []
        task = loop.create_task(
            loop.create_connection(lambda: made.append(support.Recorder()) or made[-1], sock=sock)
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        try:
            transport, _ = await task
            transport.abort()
        except asyncio.CancelledError:
            pass
        await support.settle()
        for protocol in made:
            if protocol.transport is not None:
                protocol.transport.abort()
        await support.settle()
        number = sock.fileno()
        sock.close()
        # the number belongs to somebody else now; it must stay open
        others = socket.socketpair()
        await support.settle()
        for s in others:
            assert s.fileno() in support.open_fds()
            s.close()
        assert number == -1 or number >= 0

    loop.run_until_complete(main())


def test_fault_40_timeout_while_connecting(loop):
    async def main():
        with socket.socket() as full:
            full.bind((LOCALHOST, 0))
            full.listen(0)
            fillers = [socket.socket() for _ in range(4)]
            for s in fillers:
                s.setblocking(False)
                s.connect_ex(full.getsockname())
            await asyncio.sleep(0.02)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(
                    loop.create_connection(asyncio.Protocol, *full.getsockname()), 0.1
                )
            for s in fillers:
                s.close()

    loop.run_until_complete(main())


def test_loop_stopped_while_connecting(loop_factory, port):
    loop = loop_factory()
    task = loop.create_task(loop.create_connection(asyncio.Protocol, LOCALHOST, port))
    loop.call_soon(loop.stop)
    loop.run_forever()
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    if not task.cancelled():
        task.result()[0].abort()
        loop.run_until_complete(support.settle())
    loop.close()
