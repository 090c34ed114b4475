"""pause_writing and resume_writing, limits, and large transfers that arrive whole."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import sys

import pytest
import support

KIB = 1024


def run(loop, main):
    return loop.run_until_complete(asyncio.wait_for(main(), 40 * support.SLOW))


async def read(peer, size):
    loop = asyncio.get_running_loop()
    got = 0
    while got < size:
        chunk = await loop.run_in_executor(None, peer.recv, min(1 << 20, size - got))
        if not chunk:
            break
        got += len(chunk)
    return got


def fill(transport, part=b"x" * 65536):
    """Write until the kernel takes no more. How much was written."""
    written = 0
    while not transport.get_write_buffer_size():
        transport.write(part)
        written += len(part)
    return written


def test_limits(loop):
    async def main():
        async with support.connected() as (transport, _, _peer):
            assert transport.get_write_buffer_limits() == (16 * KIB, 64 * KIB)
            transport.set_write_buffer_limits(high=100)
            assert transport.get_write_buffer_limits() == (25, 100)
            transport.set_write_buffer_limits(low=60)
            assert transport.get_write_buffer_limits() == (60, 240)
            transport.set_write_buffer_limits(high=50, low=50)
            assert transport.get_write_buffer_limits() == (50, 50)
            transport.set_write_buffer_limits(0)
            assert transport.get_write_buffer_limits() == (0, 0)
            transport.set_write_buffer_limits(200, 100)
            assert transport.get_write_buffer_limits() == (100, 200)
            transport.set_write_buffer_limits()
            assert transport.get_write_buffer_limits() == (16 * KIB, 64 * KIB)

    run(loop, main)


def test_fault_08_watermark_abuse(loop):
    async def main():
        async with support.connected() as (transport, _, _peer):
            for high, low in ((10, 20), (-1, None), (None, -1), (5, -5)):
                with pytest.raises(ValueError, match="must be >= low"):
                    transport.set_write_buffer_limits(high=high, low=low)
            assert transport.get_write_buffer_limits() == (16 * KIB, 64 * KIB)
            with pytest.raises(TypeError):
                transport.set_write_buffer_limits(high="x")

    run(loop, main)


def test_fault_06_pause_and_resume_once(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            sizes = {}

            def note(p):
                sizes[p.events[-1]] = transport.get_write_buffer_size()

            protocol.on = {"pause_writing": note, "resume_writing": note}
            written = fill(transport)
            paused_at = None
            while "pause_writing" not in protocol.events:
                transport.write(b"x" * 1000)
                written += 1000
                paused_at = transport.get_write_buffer_size()
            assert paused_at > 64 * KIB
            assert sizes["pause_writing"] > 64 * KIB
            for _ in range(10):
                transport.write(b"x" * 10_000)
                written += 10_000
            assert protocol.count("pause_writing") == 1
            assert await read(peer, written) == written
            await support.until(lambda: "resume_writing" in protocol.events)
            assert sizes["resume_writing"] <= 16 * KIB
            assert protocol.count("resume_writing") == 1
            assert protocol.count("pause_writing") == 1
            assert transport.get_write_buffer_size() == 0

    run(loop, main)


def test_exactly_high_water_does_not_pause(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            written = fill(transport)
            size = transport.get_write_buffer_size()
            transport.set_write_buffer_limits(high=size + 100, low=10)
            transport.write(b"x" * 100)
            assert "pause_writing" not in protocol.events
            transport.write(b"x")
            assert protocol.count("pause_writing") == 1
            assert await read(peer, written + 101) == written + 101

    run(loop, main)


def test_high_water_of_zero(loop):
    """Any byte that stays pauses; resumed when all is gone."""

    async def main():
        async with support.connected() as (transport, protocol, peer):
            transport.set_write_buffer_limits(high=0)
            written = fill(transport)
            assert protocol.count("pause_writing") == 1
            assert await read(peer, written) == written
            await support.until(lambda: protocol.count("resume_writing") == 1)

    run(loop, main)


def test_writes_that_go_through_do_not_pause(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            transport.set_write_buffer_limits(high=10)
            for _ in range(20):
                transport.write(b"x" * 1000)
            assert "pause_writing" not in protocol.events
            assert await read(peer, 20_000) == 20_000

    run(loop, main)


def test_lowering_the_limit_pauses(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            transport.set_write_buffer_limits(high=100_000_000)
            written = fill(transport)
            assert "pause_writing" not in protocol.events
            transport.set_write_buffer_limits(high=10)
            assert protocol.count("pause_writing") == 1
            assert await read(peer, written) == written
            await support.until(lambda: protocol.count("resume_writing") == 1)

    run(loop, main)


def test_writelines_pauses(loop, loop_name):
    support.oracle_lacks(
        loop_name,
        (3, 12) <= sys.version_info < (3, 12, 9) or (3, 13) <= sys.version_info < (3, 13, 2),
        "CVE-2024-12254: writelines does not pause",
    )

    async def main():
        async with support.connected() as (transport, protocol, peer):
            parts = [b"x" * 100_000] * 100
            transport.writelines(parts)
            assert protocol.count("pause_writing") == 1
            assert await read(peer, 10_000_000) == 10_000_000
            await support.until(lambda: protocol.count("resume_writing") == 1)

    run(loop, main)


def test_buffer_size(loop):
    async def main():
        async with support.connected() as (transport, _, peer):
            assert transport.get_write_buffer_size() == 0
            written = fill(transport)
            before = transport.get_write_buffer_size()
            transport.write(b"x" * 1234)
            assert transport.get_write_buffer_size() == before + 1234
            transport.writelines([b"x" * 10, b"y" * 20])
            assert transport.get_write_buffer_size() == before + 1264
            transport.write(b"")
            assert transport.get_write_buffer_size() == before + 1264
            total = written + 1264
            assert await read(peer, total) == total
            await support.until(lambda: transport.get_write_buffer_size() == 0)

    run(loop, main)


def test_fault_09_size_of_many_small_writes(loop, loop_name):
    support.oracle_lacks(loop_name, support.PY >= (3, 12), "each write sums the whole queue")

    async def main():
        async with support.connected() as (transport, _, peer):
            written = fill(transport)
            before = transport.get_write_buffer_size()
            for _ in range(200_000):
                transport.write(b"ab")
            assert transport.get_write_buffer_size() == before + 400_000
            total = written + 400_000
            assert await read(peer, total) == total

    run(loop, main)


@pytest.mark.parametrize("event", ["pause_writing", "resume_writing"])
def test_fault_07_pause_or_resume_raises(loop, contexts, event):
    async def main():
        async with support.connected() as (transport, protocol, peer):

            def bad(p):
                raise ZeroDivisionError(event)

            protocol.on = {event: bad}
            written = fill(transport, b"x" * 1_000_000)
            assert await read(peer, written) == written
            await support.until(lambda: "resume_writing" in protocol.events)
            assert [c["message"] for c in contexts] == [f"protocol.{event}() failed"]
            assert type(contexts[0]["exception"]) is ZeroDivisionError
            assert contexts[0]["transport"] is transport
            assert contexts[0]["protocol"] is protocol
            # the transport lives
            transport.write(b"ok")
            assert await read(peer, 2) == 2
            contexts.clear()

    run(loop, main)


def test_closing_while_paused_does_not_resume_after_the_end(loop):
    async def main():
        async with support.connected() as (transport, protocol, peer):
            fill(transport, b"x" * 1_000_000)
            assert protocol.events[-1] == "pause_writing"
            transport.abort()
            await protocol.gone()
            assert protocol.events == ["connection_made", "pause_writing", "connection_lost"]

    run(loop, main)


def test_write_in_resume_writing(loop):
    """A producer as programs write it: everything arrives, in order."""
    total = 12_000_000

    async def main():
        sent = 0

        def more(protocol):
            nonlocal sent
            transport = protocol.transport
            paused = protocol.count("pause_writing")
            while sent < total and protocol.count("pause_writing") == paused:
                part = sent.to_bytes(8, "big") * 512
                transport.write(part)
                sent += len(part)

        async with support.connected(lambda: support.Recorder(resume_writing=more)) as (
            transport,
            protocol,
            peer,
        ):
            more(protocol)
            loop_ = asyncio.get_running_loop()

            def consume():
                got, hashed = 0, hashlib.sha256()
                while got < total:
                    chunk = peer.recv(300_000)
                    hashed.update(chunk)
                    got += len(chunk)
                return hashed.hexdigest(), got

            digest, got = await loop_.run_in_executor(None, consume)
            expected = hashlib.sha256()
            for n in range(0, got, 4096):
                expected.update(n.to_bytes(8, "big") * 512)
            assert digest == expected.hexdigest()
            assert transport.get_write_buffer_size() == 0

    run(loop, main)


@pytest.mark.parametrize("buffered", [False, True], ids=["Protocol", "BufferedProtocol"])
def test_large_both_ways(loop, buffered):
    """16 MB each way at once, arriving whole."""
    data = os.urandom(1 << 20) * 16
    digest = hashlib.sha256(data).hexdigest()
    kind = support.BufferedRecorder if buffered else support.Recorder

    async def main():
        async with support.pair(kind, kind) as (a, b):
            for at in range(0, len(data), 999_983):
                a.transport.write(data[at : at + 999_983])
                b.transport.writelines([data[at : at + 500_000], data[at + 500_000 : at + 999_983]])
            for p in (a, b):
                await support.until(lambda p=p: len(p.data) >= len(data), 30)
                assert hashlib.sha256(p.data).hexdigest() == digest

    run(loop, main)


def test_slow_reader(loop):
    """The receiver pauses its transport again and again."""
    data = os.urandom(1 << 20) * 6
    rng = random.Random(3)

    async def main():
        def nap(p):
            p.transport.pause_reading()
            loop.call_later(rng.random() / 2000, p.transport.resume_reading)

        async with support.pair(support.Recorder, lambda: support.Recorder(data_received=nap)) as (
            a,
            b,
        ):
            a.transport.write(data)
            a.transport.write_eof()
            await asyncio.wait_for(b.eof, 30 * support.SLOW)
            assert bytes(b.data) == data
            assert a.count("resume_writing") <= a.count("pause_writing") <= 1

    run(loop, main)


def test_drain_blocks_until_resumed(loop):
    async def main():
        a, b = support.tcp_pair()
        reader, writer = await asyncio.open_connection(sock=a)
        writer.write(b"x" * 20_000_000)
        drained = loop.create_task(writer.drain())
        await asyncio.sleep(0.02)
        assert not drained.done()
        assert await read(b, 20_000_000) == 20_000_000
        await asyncio.wait_for(drained, 10)
        writer.close()
        await writer.wait_closed()
        b.close()

    run(loop, main)


def test_drain_fails_when_the_connection_is_lost(loop):
    async def main():
        a, b = support.tcp_pair()
        reader, writer = await asyncio.open_connection(sock=a)
        writer.write(b"x" * 20_000_000)
        drained = loop.create_task(writer.drain())
        await asyncio.sleep(0.01)
        support.reset(b)
        with pytest.raises(ConnectionError):
            await drained
        writer.close()
        with pytest.raises(ConnectionError):
            await writer.wait_closed()

    run(loop, main)
