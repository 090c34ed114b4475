"""Everything a program may do to datagram endpoints, from everywhere, in random order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket

import pytest
import support
from udp_support import named_unix_pair, run

SIZES = [0, 1, 64, 600, 1200, 1201, 9000, 65508]


class Player(asyncio.DatagramProtocol):
    """Acts on some endpoint whenever it is called, with a limit that ends a flood."""

    def __init__(self, game):
        self.game = game

    def datagram_received(self, data, addr):
        self.game.received += 1
        self.game.maybe_act(0.5)

    def error_received(self, exc):
        self.game.maybe_act(0.5)

    def pause_writing(self):
        self.game.maybe_act(1)

    def resume_writing(self):
        self.game.maybe_act(1)

    def connection_lost(self, exc):
        self.game.lost += 1
        self.game.maybe_act(0.5)


class Game:
    def __init__(self, seed, path):
        self.random = random.Random(seed)
        self.path = path
        self.left = 3000
        self.received = self.made = self.lost = 0
        self.transports = []
        self.addresses = []

    def maybe_act(self, chance):
        if self.random.random() < chance:
            self.act()

    def act(self):
        if self.left > 0:
            self.left -= 1
            transport = self.random.choice(self.transports)
            action = self.random.choices(
                ["send", "pause", "resume", "close", "abort", "protocol", "limits", "soon", "look"],
                [60, 5, 15, 1, 1, 5, 5, 10, 5],
            )[0]
            with contextlib.suppress(ValueError, NotImplementedError):
                getattr(self, action)(transport)

    def send(self, transport):
        to = None
        if transport.get_extra_info("peername") is None:
            to = self.random.choice(self.addresses)
        if not transport.is_closing():  # asyncio raises AttributeError once it is lost
            transport.sendto(os.urandom(self.random.choice(SIZES)), to)

    def pause(self, transport):
        if support.PY >= (3, 11):
            transport.pause_reading()

    def resume(self, transport):
        if support.PY >= (3, 11):
            transport.resume_reading()

    def close(self, transport):
        transport.close()

    def abort(self, transport):
        transport.abort()

    def protocol(self, transport):
        if not transport.is_closing():
            transport.set_protocol(Player(self))

    def limits(self, transport):
        if not transport.is_closing():
            transport.set_write_buffer_limits(self.random.randrange(5000))

    def soon(self, transport):
        asyncio.get_running_loop().call_soon(self.act)

    def look(self, transport):
        transport.get_write_buffer_size()
        transport.get_extra_info("socket")

    async def add(self):
        kind = self.random.randrange(4)
        if kind == 0:
            await self.make(local_addr=(support.LOCALHOST, 0))
        elif kind == 1:
            await self.make(remote_addr=self.random.choice(self.addresses))
        elif kind == 2:
            a, b = named_unix_pair(self.path / str(self.made))
            await self.make(sock=a)
            b.close()
        else:
            await self.make(family=socket.AF_INET)

    async def make(self, **kwargs):
        (self.path / str(self.made + 1)).mkdir()
        self.made += 1
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: Player(self), **kwargs)
        self.transports.append(transport)
        if "local_addr" in kwargs:
            self.addresses.append(transport.get_extra_info("sockname"))


@pytest.mark.parametrize("seed", range(6))
def test_anything_goes(loop, contexts, seed, tmp_path):
    game = Game(seed, tmp_path)
    (tmp_path / "0").mkdir()
    loop.set_debug(seed % 3 == 0)

    async def main():
        for _ in range(3):
            await game.make(local_addr=(support.LOCALHOST, 0))
        for _ in range(300):
            game.act()
            game.maybe_act(0.5)
            if game.random.random() < 0.1:
                await game.add()
            await asyncio.sleep(0)
        game.left = 0
        for transport in game.transports:
            transport.abort()
        await support.until(lambda: game.lost == game.made)
        await support.settle()

    run(loop, main)
    assert game.received > 20
    assert [c["message"] for c in contexts] == []
