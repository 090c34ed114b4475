"""create_datagram_endpoint: every keyword, IPv6, Unix."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import warnings

import pytest
import support
from udp_support import Datagrams, address, close, endpoint, run, unix_pair

# -- keywords ---------------------------------------------------------------------------------


def test_family_only(loop):
    async def main():
        a = await endpoint(family=socket.AF_INET)
        b = await endpoint()
        a.transport.sendto(b"bound by sending", address(b))
        assert await b.received(1) == [b"bound by sending"]
        assert a.transport.get_extra_info("sockname") == ("0.0.0.0", 0)
        await close(a, b)

    run(loop, main)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.10.99", "127.100.199.200", "127.255.209.5"])
def test_a_sender_by_its_numbers(loop, host):
    async def main():
        server = await endpoint()
        client = await endpoint(local_addr=(host, 0))
        assert address(client)[0] == host
        client.transport.sendto(b"x", address(server))
        await server.received(1)
        assert server.got == [(b"x", client.transport.get_extra_info("socket").getsockname())]
        await close(server, client)

    run(loop, main)


def test_nothing_given(loop):
    async def main():
        with pytest.raises(ValueError, match="unexpected address family"):
            await asyncio.get_running_loop().create_datagram_endpoint(Datagrams)

    run(loop, main)


def test_proto_and_flags(loop):
    async def main():
        a = await endpoint(
            local_addr=(support.LOCALHOST, 0),
            family=socket.AF_INET,
            proto=socket.IPPROTO_UDP,
            flags=socket.AI_PASSIVE | socket.AI_NUMERICHOST,
        )
        assert a.transport.get_extra_info("socket").proto == socket.IPPROTO_UDP
        await close(a)

    run(loop, main)


def test_a_host_name(loop):
    async def main():
        server = await endpoint()
        client = await endpoint(
            remote_addr=("localhost", address(server)[1]), family=socket.AF_INET
        )
        client.transport.sendto(b"by name")
        assert await server.received(1) == [b"by name"]
        other = await endpoint()
        other.transport.sendto(b"resolved", ("localhost", address(server)[1]))
        assert (await server.received(2))[1] == b"resolved"
        await close(server, client, other)

    run(loop, main)


def test_local_and_remote(loop):
    async def main():
        server = await endpoint()
        client = await endpoint(local_addr=(support.LOCALHOST, 0), remote_addr=address(server))
        assert address(client)[0] == support.LOCALHOST
        assert client.transport.get_extra_info("peername") == address(server)
        client.transport.sendto(b"x")
        await server.received(1)
        assert server.got == [(b"x", address(client))]
        await close(server, client)

    run(loop, main)


@pytest.mark.parametrize("addr", ["localhost", (support.LOCALHOST,), [support.LOCALHOST, 0], 5])
def test_wrong_addresses(loop, addr):
    async def main():
        create = asyncio.get_running_loop().create_datagram_endpoint
        for kwargs in ({"local_addr": addr}, {"remote_addr": addr}):
            with pytest.raises(AssertionError if support.PY < (3, 11) else TypeError):
                await create(Datagrams, **kwargs)

    run(loop, main)


def test_families_that_do_not_match(loop):
    async def main():
        create = asyncio.get_running_loop().create_datagram_endpoint
        with pytest.raises(ValueError, match="can not get address information"):
            await create(Datagrams, local_addr=(support.LOCALHOST, 0), remote_addr=("::1", 1))

    run(loop, main)


def test_a_port_in_use(loop):
    async def main():
        a = await endpoint()
        with pytest.raises(OSError, match="Address already in use"):
            await endpoint(local_addr=address(a))
        await close(a)

    run(loop, main)


def test_nobody_can_take_the_port_over(loop):
    """SO_REUSEADDR on a UDP socket lets others bind the same port: it is not set."""

    async def main():
        a = await endpoint()
        sock = a.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 0
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="Address already in use"):
                thief.bind(address(a))
        await close(a)

    run(loop, main)


def test_reuse_port(loop):
    async def main():
        a = await endpoint(local_addr=(support.LOCALHOST, 0), reuse_port=True)
        b = await endpoint(local_addr=address(a), reuse_port=True)
        assert address(a) == address(b)
        await close(a, b)

    run(loop, main)


def test_reuse_address(loop):
    """Gone with 3.11; before, False warns and True is refused."""

    async def main():
        loop = asyncio.get_running_loop()
        local = (support.LOCALHOST, 0)
        if support.PY >= (3, 11):
            with pytest.raises(TypeError, match="reuse_address"):
                await loop.create_datagram_endpoint(
                    Datagrams, local_addr=local, reuse_address=False
                )
            return
        with pytest.raises(ValueError, match="no longer supported"):
            await loop.create_datagram_endpoint(Datagrams, local_addr=local, reuse_address=True)
        with pytest.warns(DeprecationWarning, match="reuse_address"):
            a = await endpoint(local_addr=local, reuse_address=False)
        await close(a)

    run(loop, main)


def test_broadcast(loop):
    async def main():
        a = await endpoint(local_addr=("0.0.0.0", 0), allow_broadcast=True)
        sock = a.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST) == 1
        port = address(a)[1]
        for host in ("127.255.255.255", "<broadcast>"):
            a.transport.sendto(b"to all", (host, port))
        await support.until(lambda: a.got or a.errors)
        assert a.got[0][0] == b"to all"
        await close(a)

    run(loop, main)


def test_broadcast_to_a_fixed_address(loop):
    """With allow_broadcast the socket is not connected, so anybody may answer."""

    async def main():
        server = await endpoint(local_addr=("0.0.0.0", 0))
        port = address(server)[1]
        a = await endpoint(remote_addr=("127.255.255.255", port), allow_broadcast=True)
        assert a.transport.get_extra_info("peername") is None
        a.transport.sendto(b"anybody?")
        await server.received(1)
        server.transport.sendto(b"me", server.got[0][1])
        await a.received(1)
        assert a.got == [(b"me", (support.LOCALHOST, port))]
        with pytest.raises(ValueError, match="Invalid address"):
            a.transport.sendto(b"x", (support.LOCALHOST, port))
        await close(server, a)

    run(loop, main)


def test_broadcast_not_allowed(loop):
    async def main():
        a = await endpoint()
        a.transport.sendto(b"x", ("127.255.255.255", 9))
        await support.until(lambda: a.errors)
        assert [type(e) for e in a.errors] == [PermissionError]
        assert not a.closed
        await close(a)

    run(loop, main)


def test_sock_excludes_the_rest(loop):
    async def main():
        create = asyncio.get_running_loop().create_datagram_endpoint
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for kwargs in (
                {"local_addr": (support.LOCALHOST, 0)},
                {"remote_addr": (support.LOCALHOST, 1)},
                {"family": socket.AF_INET},
                {"proto": 17},
                {"flags": 1},
                {"reuse_port": True},
                {"allow_broadcast": True},
            ):
                with pytest.raises(ValueError, match="socket modifier keyword arguments"):
                    await create(Datagrams, sock=sock, **kwargs)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            with pytest.raises(ValueError, match="[Ss]ocket was expected"):
                await create(Datagrams, sock=sock)

    run(loop, main)


def test_sock_is_made_non_blocking(loop):
    async def main():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((support.LOCALHOST, 0))
        a = await endpoint(sock=sock)
        assert sock.gettimeout() == 0
        assert a.transport.get_extra_info("socket").fileno() == sock.fileno()
        await close(a)
        assert sock.fileno() == -1

    run(loop, main)


def test_a_factory_that_fails(loop):
    async def main():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # asyncio forgets the socket
            with pytest.raises(ZeroDivisionError):
                await endpoint(lambda: 1 / 0)
            gc.collect()

    run(loop, main)


def test_cancelled_while_it_is_made(loop):
    async def main():
        made = []
        task = asyncio.ensure_future(
            endpoint(lambda: Datagrams(connection_made=lambda protocol: made.append(protocol)))
        )
        await support.until(lambda: made or task.cancel())
        with pytest.raises(asyncio.CancelledError):
            await task
        await support.settle()
        assert all(protocol.closed for protocol in made)

    run(loop, main)


# -- IPv6 -------------------------------------------------------------------------------------


def test_ipv6(loop):
    async def main():
        server = await endpoint(local_addr=("::1", 0))
        client = await endpoint(remote_addr=("::1", address(server)[1]))
        client.transport.sendto(b"six")
        await server.received(1)
        assert server.got == [(b"six", address(client))]
        assert address(client)[2:] == (0, 0)
        other = await endpoint(local_addr=("::1", 0))
        for n in (2, 3, 4):
            other.transport.sendto(b"%d" % n, address(server)[:n])
        assert (await server.received(4))[1:] == [b"2", b"3", b"4"]
        await close(server, client, other)

    run(loop, main)


def test_ipv6_takes_ipv4(loop):
    async def main():
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", 0))
        server = await endpoint(sock=sock)
        client = await endpoint()
        client.transport.sendto(b"four", (support.LOCALHOST, address(server)[1]))
        await server.received(1)
        assert server.got[0][1] == (f"::ffff:{support.LOCALHOST}", address(client)[1], 0, 0)
        server.transport.sendto(b"back", server.got[0][1])
        assert await client.received(1) == [b"back"]
        await close(server, client)

    run(loop, main)


def link_local():
    """(address, interface index) of a link-local IPv6 address of this machine, or None."""
    with open("/proc/net/if_inet6") as table:
        for line in table:
            digits, index, _, scope, *_ = line.split()
            if scope == "20":
                return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits)), int(index, 16)
    return None


def test_ipv6_scope(loop):
    """The scope id goes to the kernel and comes back, in both spellings; where the machine has no
    link-local address, the loopback's interface stands in."""
    found = link_local()
    host, index = found or ("::1", socket.if_nametoindex("lo"))

    async def main():
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.bind((host, 0, 0, index))
        server = await endpoint(sock=sock)
        port = address(server)[1]
        client = await endpoint(family=socket.AF_INET6)
        client.transport.sendto(b"index", (host, port, 0, index))
        client.transport.sendto(b"name", (f"{host}%{socket.if_indextoname(index)}", port))
        assert await server.received(2) == [b"index", b"name"]
        if found:
            assert server.got[0][1][3] == index
            connected = await endpoint(remote_addr=(f"{host}%{socket.if_indextoname(index)}", port))
            connected.transport.sendto(b"connected")
            assert (await server.received(3))[2] == b"connected"
            await close(connected)
        await close(server, client)

    run(loop, main)


# -- Unix -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_unix(loop, tmp_path, kind):
    async def main():
        if kind == "path":
            names = [str(tmp_path / "a"), str(tmp_path / "b")]
            seen = names
        else:
            names = [f"\0uvolt-{os.getpid()}-{id(loop)}-{i}" for i in "ab"]
            seen = [name.encode() for name in names]
        server = await endpoint(family=socket.AF_UNIX, local_addr=names[0])
        assert address(server) == seen[0]
        client = await endpoint(family=socket.AF_UNIX, local_addr=names[1], remote_addr=names[0])
        client.transport.sendto(b"there")
        client.transport.sendto(b"again", names[0])
        assert await server.received(2) == [b"there", b"again"]
        assert server.got[0][1] == seen[1]
        for destination in (server.got[0][1], names[1], names[1].encode()):
            server.transport.sendto(b"back", destination)
        assert await client.received(3) == [b"back"] * 3
        assert client.got[0][1] == seen[0]
        await close(server, client)

    run(loop, main)


def test_unix_sender_without_a_name(loop, tmp_path):
    async def main():
        server = await endpoint(family=socket.AF_UNIX, local_addr=str(tmp_path / "a"))
        client = await endpoint(family=socket.AF_UNIX, remote_addr=str(tmp_path / "a"))
        client.transport.sendto(b"who?")
        await server.received(1)
        assert server.got == [(b"who?", None)]
        await close(server, client)

    run(loop, main)


def test_unix_pair(loop, loop_name):
    """Both ends of socketpair(): connected, though the peer has no name."""
    support.oracle_lacks(loop_name, True, "takes a peer without a name for none")

    async def main():
        a, b = unix_pair()
        one, two = await endpoint(sock=a), await endpoint(sock=b)
        one.transport.sendto(b"there")
        assert await two.received(1) == [b"there"]
        two.transport.sendto(b"back", None)
        assert await one.received(1) == [b"back"]
        await close(one, two)

    run(loop, main)


def test_unix_stale_path(loop, tmp_path):
    path = str(tmp_path / "a")

    async def main():
        for _ in range(2):  # the second finds the file of the first
            a = await endpoint(family=socket.AF_UNIX, local_addr=path)
            await close(a)

    run(loop, main)


def test_unix_errors(loop, tmp_path):
    """Sending to a path where nobody is leaves the sender as it was (uvloop #196)."""

    async def main():
        a = await endpoint(family=socket.AF_UNIX, local_addr=str(tmp_path / "a"))
        gone = str(tmp_path / "gone")
        a.transport.sendto(b"x", gone)
        await support.until(lambda: a.errors)
        assert type(a.errors[0]) is FileNotFoundError
        server = await endpoint(family=socket.AF_UNIX, local_addr=gone)
        a.transport.sendto(b"now", gone)
        assert await server.received(1) == [b"now"]
        await close(server)
        a.transport.sendto(b"x", gone)
        await support.until(lambda: len(a.errors) == 2)
        assert type(a.errors[1]) is ConnectionRefusedError
        assert not a.closed
        await close(a)

    run(loop, main)


@pytest.mark.parametrize("addr", [5, b"bytes", ("x", 1)])
def test_unix_wrong_addresses(loop, addr):
    async def main():
        with pytest.raises(TypeError, match="string is expected"):
            await endpoint(family=socket.AF_UNIX, local_addr=addr)

    run(loop, main)


def test_unix_large(loop):
    """A Unix datagram can be larger than any of UDP."""

    async def main():
        a, b = unix_pair()
        a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
        data = os.urandom(150_000)
        server = await endpoint(sock=b)
        a.send(data)
        assert await server.received(1) == [data]
        a.close()
        await close(server)

    run(loop, main)
