"""Random operations on both ends of a TLS connection, in any order and from any callback: what one
end sends arrives in order, every end is told once, nothing is left."""

from __future__ import annotations

import asyncio
import os
import random
import socket

import pytest
import support
from support import Recorder, settle
from tls_support import Buffered, pair, run

SEEDS = range(int(os.environ.get("UVOLT_FUZZ_SEEDS", "6")))
STEPS = int(os.environ.get("UVOLT_FUZZ_STEPS", "150"))
ROUGH = ("abort", "close", "cut", "shut")


class End:
    """One end. Its callbacks do random things, too."""

    def __init__(self, rng: random.Random, make: type) -> None:
        self.rng = rng
        self.sent = bytearray()
        self.broken = False
        self.depth = 0
        self.protocol = make(**{name: self.react for name in EVENTS})

    def react(self, _: object) -> None:
        if self.depth < 3 and self.rng.random() < 0.2:
            self.act(self.rng.choice(GENTLE))

    def act(self, name: str) -> None:
        transport = self.protocol.transport
        if transport is None:
            return
        self.depth += 1
        try:
            getattr(self, "do_" + name)(transport)
        finally:
            self.depth -= 1

    def record(self, transport, data: bytes) -> bytes:
        if not transport.is_closing() and not self.broken:
            self.sent += data
        return data

    def do_write(self, transport) -> None:
        size = self.rng.choice([0, 1, 100, 16_384, 16_385, 70_000, 300_000])
        transport.write(self.record(transport, self.rng.randbytes(size)))

    def do_writelines(self, transport) -> None:
        parts = [self.rng.randbytes(self.rng.choice([0, 1, 3000])) for _ in range(4)]
        self.record(transport, b"".join(parts))
        transport.writelines([parts[0], bytearray(parts[1]), memoryview(parts[2]), parts[3]])

    def do_pause(self, transport) -> None:
        transport.pause_reading()

    def do_resume(self, transport) -> None:
        transport.resume_reading()

    def do_flip(self, transport) -> None:
        transport.resume_reading()
        transport.pause_reading()
        transport.resume_reading()

    def do_limits(self, transport) -> None:
        transport.set_write_buffer_limits(self.rng.choice([0, 1, 5000, 1 << 20, None]))

    def do_read_limits(self, transport) -> None:
        transport.set_read_buffer_limits(self.rng.choice([0, 1, 5000, 1 << 20, None]))

    def do_ask(self, transport) -> None:
        for name in ("peercert", "cipher", "socket", "peername", "ssl_object", "nothing"):
            transport.get_extra_info(name)
        repr(transport)
        transport.get_write_buffer_size()
        transport.get_write_buffer_limits()
        transport.is_reading()

    def do_same_protocol(self, transport) -> None:
        transport.set_protocol(self.protocol)

    def do_close(self, transport) -> None:
        self.broken = True
        transport.close()

    def do_abort(self, transport) -> None:
        self.broken = True
        transport.abort()

    def do_cut(self, transport) -> None:
        """The transport below goes."""
        self.broken = True
        if transport._ssl_protocol._transport is not None:
            transport._ssl_protocol._transport.abort()

    def do_shut(self, transport) -> None:
        """Half of TCP goes."""
        self.broken = True
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.shutdown(self.rng.choice([socket.SHUT_WR, socket.SHUT_RD, socket.SHUT_RDWR]))


EVENTS = (
    "connection_made",
    "data_received",
    "buffer_updated",
    "get_buffer",
    "eof_received",
    "pause_writing",
    "resume_writing",
    "connection_lost",
)
GENTLE = [name[3:] for name in vars(End) if name.startswith("do_") and name[3:] not in ROUGH]


@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_random_operations(loop, loop_name, certs, seed, rough, expect_log):
    support.oracle_lacks(loop_name, True, "loses data and stumbles in callbacks")
    rng = random.Random(f"{seed} {rough}")
    makes = [Recorder, lambda **on: Buffered(rng.choice([1000, 100_000]), **on)]

    async def main():
        ends = []

        def make():
            ends.append(End(rng, rng.choice(makes)))
            return ends[-1].protocol

        async with pair(certs, make, make) as (a, b):
            for _ in range(STEPS):
                end = rng.choice(ends)
                end.act(rng.choice(GENTLE))
                if rough and rng.random() < 2 / STEPS:
                    end.act(rng.choice(ROUGH))
                for _ in range(rng.randrange(3)):
                    await asyncio.sleep(0)
            if not rough:
                for end in ends:
                    end.protocol.on = {}
                    end.protocol.transport.resume_reading()
                one, other = ends
                await one.protocol.received(len(other.sent))
                await other.protocol.received(len(one.sent))
                assert one.protocol.data == other.sent
                assert other.protocol.data == one.sent
            for end in ends:
                assert end.protocol.count("pause_writing") - end.protocol.count(
                    "resume_writing"
                ) in (0, 1)
                end.protocol.on = {}
                end.protocol.transport.close()
                end.protocol.transport.resume_reading()
            for end in ends:
                await end.protocol.gone()
            for one, other in (ends, ends[::-1]):
                assert other.sent.startswith(one.protocol.data) or rough
                assert one.protocol.count("connection_lost") == 1
        await settle()

    run(loop, main)
