"""sock_sendfile(): counts, positions, ends that come early.

What it has in common with sendfile() is in net/test_sendfile.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import socket
import tempfile

import pytest
import support

SIZE = 3_000_000


@pytest.fixture
def pair():
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        listening.bind((support.LOCALHOST, 0))
        listening.listen()
        a = socket.create_connection(listening.getsockname())
        b, _ = listening.accept()
    a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    a.setblocking(False)
    b.setblocking(False)
    yield a, b
    a.close()
    b.close()


@pytest.fixture
def file():
    with tempfile.TemporaryFile() as f:
        f.write(os.urandom(SIZE))
        f.flush()
        f.seek(0)
        yield f


def content(file, start=0, size=-1):
    return os.pread(file.fileno(), SIZE if size < 0 else size, start)


async def read_all(loop, sock):
    got = bytearray()
    while data := await loop.sock_recv(sock, 1 << 18):
        got += data
    return bytes(got)


def sent_and_received(loop, pair, file, *args, **kwargs):
    """What sock_sendfile() returns, and what arrived at the other end."""
    a, b = pair

    async def main():
        reading = asyncio.ensure_future(read_all(loop, b))
        try:
            return await loop.sock_sendfile(a, file, *args, **kwargs), await finish(reading)
        finally:
            reading.cancel()

    async def finish(reading):
        a.shutdown(socket.SHUT_WR)
        return await reading

    return loop.run_until_complete(main())


@pytest.mark.parametrize(
    ("offset", "count"),
    [
        (0, None),
        (1000, None),
        (0, 1),
        (7, 2_000_000),
        (SIZE - 10, 100),
        (0, SIZE + 5),
        (SIZE, None),
        (SIZE + 9, 5),
    ],
)
def test_offset_and_count(loop, pair, file, offset, count):
    expected = content(file, offset, -1 if count is None else count)
    sent, received = sent_and_received(loop, pair, file, offset, count, fallback=False)
    assert received == expected
    assert sent == len(expected)
    assert file.tell() == (offset + sent if sent else 0)


def test_position_of_the_file_does_not_matter(loop, pair, file):
    file.seek(12345)
    sent, received = sent_and_received(loop, pair, file, 0, 1000)
    assert (sent, received) == (1000, content(file, 0, 1000))
    assert file.tell() == 1000


def test_file_that_grows(loop, pair, file):
    a, b = pair

    async def main():
        sending = asyncio.ensure_future(loop.sock_sendfile(a, file, fallback=False))
        await support.settle()
        os.pwrite(file.fileno(), b"x" * 1000, SIZE)
        reading = asyncio.ensure_future(read_all(loop, b))
        sent = await sending
        a.shutdown(socket.SHUT_WR)
        assert len(await reading) == sent == SIZE + 1000

    loop.run_until_complete(main())


def test_cancelled(loop, pair, file):
    a, b = pair

    async def main():
        sending = asyncio.ensure_future(loop.sock_sendfile(a, file))
        await support.settle()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await support.settle()
        assert loop.remove_writer(a) is False
        a.shutdown(socket.SHUT_WR)
        received = await read_all(loop, b)
        assert 0 < len(received) < SIZE
        assert received == content(file, 0, len(received))
        if type(loop) is not asyncio.SelectorEventLoop:  # which then leaves it where it was
            assert file.tell() == len(received)

    loop.run_until_complete(main())


def test_peer_goes_away(loop, pair, file):
    a, b = pair

    async def main():
        sending = asyncio.ensure_future(loop.sock_sendfile(a, file))
        await support.settle()
        b.close()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await asyncio.wait_for(sending, 10)
        assert loop.remove_writer(a) is False
        assert 0 < file.tell() < SIZE

    loop.run_until_complete(main())


def test_peer_gone_before(loop, pair, file):
    a, b = pair
    b.close()
    a.send(b"x")

    async def main():
        await asyncio.sleep(0.01)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await loop.sock_sendfile(a, file)
        with pytest.raises(asyncio.SendfileNotAvailableError):
            await loop.sock_sendfile(a, file, fallback=False)

    loop.run_until_complete(main())


def test_no_fallback(loop, pair):
    async def main():
        with pytest.raises(asyncio.SendfileNotAvailableError):
            await loop.sock_sendfile(pair[0], io.BytesIO(b"x"), fallback=False)
        with open("/proc/self/mem", "rb", buffering=0) as odd:
            try:
                assert await loop.sock_sendfile(pair[0], odd, fallback=False) == 0
            except asyncio.SendfileNotAvailableError:
                pass

    loop.run_until_complete(main())


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((-1, None), ValueError, "offset must be a non-negative integer"),
        (("0", None), TypeError, "offset must be a non-negative integer"),
        ((0, -1), ValueError, "count must be a positive integer"),
        ((0, 0), ValueError, "count must be a positive integer"),
        ((0, "1"), TypeError, "count must be a positive integer"),
    ],
)
def test_wrong_arguments(loop, pair, file, arguments, error, text):
    async def main():
        with pytest.raises(error, match=text):
            await loop.sock_sendfile(pair[0], file, *arguments)

    loop.run_until_complete(main())


def test_wrong_files_and_sockets(loop, pair, file, tmp_path):
    (tmp_path / "text").write_text("text")

    async def main():
        with open(tmp_path / "text") as text:
            with pytest.raises(ValueError, match="file should be opened in binary mode"):
                await loop.sock_sendfile(pair[0], text)
        with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            datagrams.setblocking(False)
            with pytest.raises(ValueError, match="only SOCK_STREAM type sockets are supported"):
                await loop.sock_sendfile(datagrams, file)
        loop.set_debug(True)
        pair[0].setblocking(True)
        with pytest.raises(ValueError, match="the socket must be non-blocking"):
            await loop.sock_sendfile(pair[0], file)

    loop.run_until_complete(main())


def test_a_socket_of_ones_own_class(loop, pair, file):
    class Own(socket.socket):
        pass

    own = Own(fileno=pair[0].detach())
    own.setblocking(False)
    with contextlib.closing(own):
        assert sent_and_received(loop, (own, pair[1]), file) == (SIZE, content(file))


def test_other_tasks_run_meanwhile(loop, pair, file):
    async def main():
        a, b = pair
        turns = 0
        reading = asyncio.ensure_future(read_all(loop, b))
        sending = asyncio.ensure_future(loop.sock_sendfile(a, file))
        while not sending.done():
            turns += 1
            await asyncio.sleep(0)
        a.shutdown(socket.SHUT_WR)
        assert await sending == len(await reading) == SIZE
        assert turns > 2

    loop.run_until_complete(main())
