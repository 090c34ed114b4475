"""loop.sendfile(), and what loop.sock_sendfile() has in common with it.

What only the latter has is in core/test_sendfile.py.
"""

from __future__ import annotations

import asyncio
import io
import os

import pytest
import support

DATA = bytes(range(256)) * 12_000  # 3 MB


def run(loop, main):
    return loop.run_until_complete(asyncio.wait_for(main(), 30 * support.SLOW))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with open(path, "r+b", buffering=0) as opened:
        yield opened


@pytest.fixture(params=["transport", "socket"])
def way(request):
    return request.param


class Sender:
    """Either way to send, with the same arguments."""

    def __init__(self, way, loop, sock):
        self.way, self.loop, self.sock = way, loop, sock
        self.transport = None

    async def open(self):
        if self.way == "transport":
            self.transport, _ = await self.loop.create_connection(support.Recorder, sock=self.sock)
        return self

    async def send(self, file, *args, **kwargs):
        if self.transport is not None:
            return await self.loop.sendfile(self.transport, file, *args, **kwargs)
        return await self.loop.sock_sendfile(self.sock, file, *args, **kwargs)

    async def close(self):
        if self.transport is not None:
            self.transport.close()
            await support.settle()
        else:
            self.sock.close()


def sending(loop, way, work):
    """work(send) beside a peer that reads everything; what the peer has got."""

    async def main():
        a, b = support.tcp_pair()
        sender = await Sender(way, loop, a).open()
        reading = loop.run_in_executor(None, support.read_all, b)
        try:
            await work(sender)
        finally:
            await sender.close()
        got = await reading
        b.close()
        return got

    return run(loop, main)


def test_whole_file(loop, way, file):
    async def work(sender):
        assert await sender.send(file) == len(DATA)
        assert file.tell() == len(DATA)

    assert sending(loop, way, work) == DATA


def test_offset_and_count(loop, way, file):
    async def work(sender):
        assert await sender.send(file, 1000, 500_000) == 500_000
        assert file.tell() == 501_000
        assert await sender.send(file, len(DATA) - 10, 500) == 10
        assert file.tell() == len(DATA)
        assert await sender.send(file, len(DATA)) == 0
        assert await sender.send(file, offset=5, count=5) == 5

    assert sending(loop, way, work) == DATA[1000:501_000] + DATA[-10:] + DATA[5:10]


def test_empty_file(loop, way, tmp_path):
    (tmp_path / "empty").write_bytes(b"")

    async def work(sender):
        with open(tmp_path / "empty", "rb") as file:
            assert await sender.send(file) == 0
            assert file.tell() == 0

    assert sending(loop, way, work) == b""


def test_buffered_file(loop, way, file):
    """Python's own buffer in front of it makes no difference."""

    async def work(sender):
        with open(file.name, "rb") as buffered:
            buffered.read(100)
            assert await sender.send(buffered, 50) == len(DATA) - 50

    assert sending(loop, way, work) == DATA[50:]


def test_no_real_file(loop, way):
    """A file without a descriptor is read and sent in pieces; without a fallback it is refused."""

    async def work(sender):
        assert await sender.send(io.BytesIO(DATA), 7, 1_000_000) == 1_000_000
        with pytest.raises((asyncio.SendfileNotAvailableError, RuntimeError)):
            await sender.send(io.BytesIO(DATA), fallback=False)

    assert sending(loop, way, work) == DATA[7:1_000_007]


def test_among_writes(loop, file):
    """What was written before goes first, what is written afterwards comes behind."""

    async def work(sender):
        sender.transport.write(b"head" * 100_000)
        assert await sender.send(file) == len(DATA)
        sender.transport.write(b"tail")

    assert sending(loop, "transport", work) == b"head" * 100_000 + DATA + b"tail"


def test_write_meanwhile_is_refused(loop, file):
    async def work(sender):
        task = loop.create_task(sender.send(file))
        await support.settle(2)
        if not task.done():
            with pytest.raises(RuntimeError, match="sendfile is in progress|unable to perform"):
                sender.transport.write(b"x")
        assert await task == len(DATA)

    assert sending(loop, "transport", work).replace(b"x", b"") == DATA.replace(b"x", b"")


@pytest.mark.parametrize("fallback", [True, False])
def test_fault_67_file_becomes_shorter(loop, way, file, fallback):
    """Truncated while it is sent: the count is what was sent, and nothing spins."""

    async def main():
        a, b = support.tcp_pair()
        sender = await Sender(way, loop, a).open()
        os.truncate(file.fileno(), 0)
        os.truncate(file.fileno(), 60_000_000)
        task = loop.create_task(sender.send(file, fallback=fallback))
        await asyncio.sleep(0.05)
        assert not task.done()  # the peer does not read
        os.truncate(file.fileno(), 1000)
        reading = loop.run_in_executor(None, support.read_all, b)
        count = await task
        assert file.tell() == count
        await sender.close()
        assert count == len(await reading)
        assert 1000 <= count < 60_000_000
        b.close()

    run(loop, main)


def test_fault_67_count_beyond_the_end(loop, way, file):
    async def work(sender):
        assert await sender.send(file, 0, len(DATA) * 10) == len(DATA)

    assert sending(loop, way, work) == DATA


def test_peer_goes_away(loop, file):
    async def main():
        a, b = support.tcp_pair()
        os.truncate(file.fileno(), 60_000_000)
        sender = await Sender("transport", loop, a).open()
        task = loop.create_task(sender.send(file))
        await asyncio.sleep(0.02)
        support.reset(b)
        with pytest.raises(ConnectionError):
            await task
        await sender.close()

    run(loop, main)


def test_aborted(loop, loop_name, file):
    support.oracle_lacks(loop_name, True, "sendfile() never ends after abort()")

    async def main():
        a, b = support.tcp_pair()
        os.truncate(file.fileno(), 60_000_000)
        transport, protocol = await loop.create_connection(support.Recorder, sock=a)
        task = loop.create_task(loop.sendfile(transport, file))
        await asyncio.sleep(0.02)
        transport.abort()
        with pytest.raises(ConnectionError):
            await task
        await protocol.gone()
        assert len(await loop.run_in_executor(None, support.read_all, b)) < 60_000_000
        b.close()

    run(loop, main)


def test_cancelled(loop, file):
    async def main():
        a, b = support.tcp_pair()
        os.truncate(file.fileno(), 60_000_000)
        sender = await Sender("transport", loop, a).open()
        task = loop.create_task(sender.send(file))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        reading = loop.run_in_executor(None, support.read_all, b)
        await sender.close()
        assert 0 < len(await reading) < 60_000_000
        b.close()

    run(loop, main)


def test_reading_goes_on_afterwards(loop, file):
    async def main():
        a, b = support.tcp_pair()
        transport, protocol = await loop.create_connection(support.Recorder, sock=a)
        b.sendall(b"before")
        await protocol.received(6)

        def read():
            got = b""
            while len(got) < len(DATA):
                got += b.recv(1 << 20)
            return got

        reading = loop.run_in_executor(None, read)
        await loop.sendfile(transport, file)
        assert await reading == DATA
        assert transport.is_reading()
        b.sendall(b" after")
        assert await protocol.received(12) == b"before after"
        transport.close()
        await protocol.gone()
        b.close()

    run(loop, main)


def test_closing_transport(loop, file):
    async def main():
        a, b = support.tcp_pair()
        transport, protocol = await loop.create_connection(support.Recorder, sock=a)
        transport.close()
        with pytest.raises(RuntimeError, match="Transport is closing"):
            await loop.sendfile(transport, file)
        await protocol.gone()
        b.close()

    run(loop, main)


def test_not_a_transport(loop, file):
    class Plain(asyncio.Transport):
        def is_closing(self):
            return False

    async def main():
        with pytest.raises(RuntimeError, match="sendfile is not supported for transport"):
            await loop.sendfile(Plain(), file)

    run(loop, main)
