"""What the tests of datagram endpoints share: a protocol that writes things down, and endpoints."""

from __future__ import annotations

import asyncio
import socket

import support


def run(loop, main):
    return loop.run_until_complete(asyncio.wait_for(main(), 20 * support.SLOW))


class Datagrams(asyncio.DatagramProtocol):
    """Writes down what happens to it; `on` maps a callback's name to a function called with the
    protocol and the callback's arguments."""

    def __init__(self, **on):
        self.on = on
        self.events = []
        self.got = []
        self.errors = []
        self.transport = None
        self.lost = None

    def _did(self, name, *args):
        self.events.append(name)
        if name in self.on:
            self.on[name](self, *args)

    def connection_made(self, transport):
        self.transport = transport
        self._did("connection_made")

    def datagram_received(self, data, addr):
        assert type(data) is bytes
        self.got.append((data, addr))
        self._did("datagram_received", data, addr)

    def error_received(self, exc):
        self.errors.append(exc)
        self._did("error_received", exc)

    def pause_writing(self):
        self._did("pause_writing")

    def resume_writing(self):
        self._did("resume_writing")

    def connection_lost(self, exc):
        self.lost = exc
        self._did("connection_lost", exc)

    @property
    def closed(self):
        return "connection_lost" in self.events

    async def received(self, count):
        await support.until(lambda: len(self.got) >= count)
        return [data for data, _ in self.got]

    async def gone(self):
        await support.until(lambda: self.closed)


async def endpoint(make=Datagrams, **kwargs):
    loop = asyncio.get_running_loop()
    if not kwargs:
        kwargs = {"local_addr": (support.LOCALHOST, 0)}
    _, protocol = await loop.create_datagram_endpoint(make, **kwargs)
    return protocol


def address(protocol):
    return protocol.transport.get_extra_info("sockname")


async def close(*protocols):
    for protocol in protocols:
        protocol.transport.abort()
    for protocol in protocols:
        await protocol.gone()


async def pair(a=Datagrams, b=Datagrams):
    """A server, and a client with the server as its remote address."""
    server = await endpoint(a)
    client = await endpoint(b, remote_addr=address(server))
    return server, client


def fill(transport, size=1000, limit=100_000, to=None):
    """Send until something is queued; how many were sent."""
    for sent in range(limit):
        transport.sendto(b"x" * size, to)
        if transport.get_write_buffer_size():
            return sent + 1
    raise AssertionError("the socket takes everything")


def unix_pair():
    """Two ends of a Unix datagram connection: its queue is short, so sending blocks soon."""
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.setblocking(False)
    b.setblocking(False)
    return a, b


def named_unix_pair(tmp_path):
    """A socket connected to one with a name, and that one."""
    b = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    b.bind(str(tmp_path / "peer"))
    b.setblocking(False)
    a = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.connect(str(tmp_path / "peer"))
    a.setblocking(False)
    return a, b
