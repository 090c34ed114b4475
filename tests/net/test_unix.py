"""create_unix_connection() and create_unix_server(): paths, abstract names, given sockets."""

from __future__ import annotations

import asyncio
import gc
import os
import pathlib
import socket
import ssl
import stat
import sys
import tempfile
import uuid

import pytest
import support

CLEANS_UP = sys.version_info >= (3, 13)  # asyncio's server removes its socket file


def run(loop, main):
    return loop.run_until_complete(asyncio.wait_for(main(), 30 * support.SLOW))


@pytest.fixture
def folder():
    """Short enough for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="uv") as path:
        yield pathlib.Path(path)


@pytest.fixture
def blocking_calls(monkeypatch):
    """Calls of os.stat() and its like, but for those that asyncio's own file makes: as blockbuster
    knows them."""
    seen = []

    def watch(name):
        call = getattr(os, name)

        def watched(*args, **kwargs):
            if not sys._getframe(1).f_code.co_filename.endswith("asyncio/unix_events.py"):
                seen.append(name)
            return call(*args, **kwargs)

        monkeypatch.setattr(os, name, watched)

    for name in ("stat", "unlink", "remove"):
        watch(name)
    return seen


async def stop(server, *protocols):
    for protocol in protocols:
        if protocol.transport is not None:
            protocol.transport.abort()
    server.close()
    await server.wait_closed()
    await support.settle()


async def serve(loop, path=None, **options):
    """A server and the list of its protocols."""
    accepted = []

    def make():
        accepted.append(support.Recorder())
        return accepted[-1]

    return await loop.create_unix_server(make, path, **options), accepted


async def talk(loop, path, accepted):
    """A byte each way through a connection to `path`."""
    transport, protocol = await loop.create_unix_connection(support.Recorder, path)
    transport.write(b"ping")
    await support.until(lambda: accepted)
    assert await accepted[-1].received(4) == b"ping"
    accepted[-1].transport.write(b"pong")
    assert await protocol.received(4) == b"pong"
    return transport, protocol


@pytest.mark.parametrize("kind", [str, os.fsencode, pathlib.Path])
def test_path(loop, folder, kind):
    path = folder / "sock"

    async def main():
        server, accepted = await serve(loop, kind(path))
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert server.sockets[0].getsockname() == str(path)
        transport, protocol = await talk(loop, kind(path), accepted)
        assert transport.get_extra_info("peername") == str(path)
        assert transport.get_extra_info("sockname") == ""
        assert accepted[0].transport.get_extra_info("sockname") == str(path)
        assert accepted[0].transport.get_extra_info("peername") == ""
        assert transport.get_extra_info("socket").family == socket.AF_UNIX
        transport.close()
        await protocol.gone()
        await accepted[0].gone()
        await stop(server)
        assert path.exists() == (not CLEANS_UP)

    run(loop, main)


@pytest.mark.parametrize("kind", [str, str.encode])
def test_abstract_name(loop, kind):
    name = kind(f"\0uvolt-{uuid.uuid4()}")

    async def main():
        server, accepted = await serve(loop, name)
        expected = name if isinstance(name, bytes) else name.encode()
        assert server.sockets[0].getsockname() == expected
        transport, protocol = await talk(loop, name, accepted)
        assert transport.get_extra_info("peername") == expected
        with pytest.raises(OSError, match="already in use"):
            await loop.create_unix_server(asyncio.Protocol, name)
        transport.close()
        await protocol.gone()
        await stop(server, *accepted)
        with pytest.raises(ConnectionRefusedError):
            await loop.create_unix_connection(asyncio.Protocol, name)

    run(loop, main)


@pytest.mark.parametrize("end", ["server", "client", "accepted"])
def test_own_socket(loop, folder, end):
    path = str(folder / "sock")

    async def main():
        if end == "server":
            sock = socket.socket(socket.AF_UNIX)
            sock.bind(path)
            server, accepted = await serve(loop, sock=sock)
            transport, protocol = await talk(loop, path, accepted)
            transport.close()
            await protocol.gone()
            await stop(server, *accepted)
            return
        a, b = socket.socketpair()
        b.settimeout(10 * support.SLOW)
        if end == "client":
            transport, protocol = await loop.create_unix_connection(support.Recorder, sock=a)
        else:
            transport, protocol = await loop.connect_accepted_socket(support.Recorder, a)
        transport.write(b"ping")
        assert b.recv(4) == b"ping"
        b.sendall(b"pong")
        assert await protocol.received(4) == b"pong"
        b.close()
        await protocol.gone()

    run(loop, main)


def test_streams(loop, folder):
    path = folder / "sock"

    async def handle(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main():
        server = await asyncio.start_unix_server(handle, path)
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"hello\n")
        assert await reader.read() == b"HELLO\n"
        writer.close()
        await writer.wait_closed()
        await stop(server)

    run(loop, main)


def test_large_and_half_closed(loop, folder):
    data = os.urandom(3_000_000)

    async def main():
        server, accepted = await serve(loop, folder / "sock")
        transport, protocol = await talk(loop, folder / "sock", accepted)
        other = accepted[0]
        other.on["eof_received"] = lambda p: True
        transport.write(data)
        assert transport.can_write_eof()
        transport.write_eof()
        await other.eof
        assert bytes(other.data) == b"ping" + data
        other.transport.write(b"!" * 100_000)
        other.transport.close()
        await protocol.gone()
        assert bytes(protocol.data) == b"pong" + b"!" * 100_000
        await stop(server)

    run(loop, main)


# ---- the socket file ----------------------------------------------------------------------------


def test_stale_file(loop, folder):
    """faults.md row 64: what is left of a server that died is replaced."""
    path = folder / "sock"

    async def main():
        with socket.socket(socket.AF_UNIX) as old:
            old.bind(str(path))
        assert path.exists()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_unix_connection(asyncio.Protocol, path)
        server, accepted = await serve(loop, path)
        transport, protocol = await talk(loop, path, accepted)
        transport.close()
        await protocol.gone()
        await stop(server, *accepted)

    run(loop, main)


def test_file_in_the_way(loop, folder):
    path = folder / "file"
    path.write_text("not a socket")

    async def main():
        with pytest.raises(OSError, match="already in use"):
            await loop.create_unix_server(asyncio.Protocol, path)
        assert path.read_text() == "not a socket"
        with pytest.raises(ConnectionRefusedError):
            await loop.create_unix_connection(asyncio.Protocol, path)
        with pytest.raises(FileNotFoundError):
            await loop.create_unix_connection(asyncio.Protocol, folder / "nonesuch")
        with pytest.raises(FileNotFoundError):
            await loop.create_unix_server(asyncio.Protocol, folder / "no" / "such")

    run(loop, main)


@pytest.mark.parametrize("name", ["/tmp/" + "x" * 200, "\0" + "x" * 200])
def test_path_too_long(loop, name):
    """faults.md row 64"""

    async def main():
        for kind in (str, os.fsencode):
            with pytest.raises(OSError, match="AF_UNIX path too long"):
                await loop.create_unix_server(asyncio.Protocol, kind(name))
            with pytest.raises(OSError, match="AF_UNIX path too long"):
                await loop.create_unix_connection(asyncio.Protocol, kind(name))

    run(loop, main)


def test_longest_path(loop, folder):
    path = str(folder / "x")
    path += "x" * (107 - len(path))

    async def main():
        server, accepted = await serve(loop, path)
        transport, protocol = await talk(loop, path, accepted)
        assert transport.get_extra_info("peername") == path
        transport.close()
        await protocol.gone()
        await stop(server, *accepted)

    run(loop, main)


@pytest.mark.parametrize("cleanup", [True, False])
def test_cleanup_socket(loop, loop_name, folder, cleanup):
    support.oracle_lacks(loop_name, not CLEANS_UP, "has no cleanup_socket")
    path = folder / "sock"

    async def main():
        server, _ = await serve(loop, path, cleanup_socket=cleanup)
        await stop(server)
        assert path.exists() == (not cleanup)

    run(loop, main)


def test_cleanup_leaves_what_others_made(loop, loop_name, folder):
    support.oracle_lacks(loop_name, not CLEANS_UP, "has no cleanup_socket")
    path = folder / "sock"

    async def main():
        first, _ = await serve(loop, path, cleanup_socket=True)
        second, _ = await serve(loop, path, cleanup_socket=True)
        await stop(first)
        assert path.exists(), "it is the second one's"
        await stop(second)
        assert not path.exists()
        third, _ = await serve(loop, path, cleanup_socket=True)
        path.unlink()
        await stop(third)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
            own, _ = await serve(loop, sock=sock, cleanup_socket=True)
            await stop(own)
        assert not path.exists()

    run(loop, main)


# ---- arguments ----------------------------------------------------------------------------------


def test_wrong_arguments(loop, folder):
    path = folder / "sock"

    async def main():
        unix, inet = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_INET)
        datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        for create in (loop.create_unix_connection, loop.create_unix_server):
            with pytest.raises(ValueError, match="path and sock can not be specified"):
                await create(asyncio.Protocol, path, sock=unix)
            with pytest.raises(ValueError, match="no (path and )?sock"):
                await create(asyncio.Protocol)
            for wrong in (inet, datagram):
                with pytest.raises(ValueError, match="A UNIX Domain Stream Socket was expected"):
                    await create(asyncio.Protocol, sock=wrong)
            with pytest.raises(TypeError):
                await create(asyncio.Protocol, 5)
            with pytest.raises(TypeError):
                await create(asyncio.Protocol, path, nonesuch=1)
            with pytest.raises(ValueError, match="ssl_handshake_timeout is only meaningful"):
                await create(asyncio.Protocol, path, ssl_handshake_timeout=1)
        with pytest.raises(ValueError, match="server_hostname is only meaningful with ssl"):
            await loop.create_unix_connection(asyncio.Protocol, path, server_hostname="x")
        with pytest.raises(ValueError, match="you have to pass server_hostname when using ssl"):
            await loop.create_unix_connection(asyncio.Protocol, path, ssl=True)
        with pytest.raises(TypeError, match="ssl argument must be an SSLContext or None"):
            await loop.create_unix_server(asyncio.Protocol, path, ssl=True)
        for sock in (unix, inet, datagram):
            assert sock.fileno() >= 0
            sock.close()
        assert not path.exists()

    run(loop, main)


def test_keywords_of_newer_pythons(loop, loop_name, folder):
    support.oracle_lacks(loop_name, sys.version_info < (3, 11), "has no ssl_shutdown_timeout")

    async def main():
        for create, argument in (
            (loop.create_unix_connection, folder / "sock"),
            (loop.create_unix_server, folder / "sock"),
        ):
            with pytest.raises(ValueError, match="ssl_shutdown_timeout is only meaningful"):
                await create(asyncio.Protocol, argument, ssl_shutdown_timeout=1)
        a, b = socket.socketpair()
        with pytest.raises(ValueError, match="ssl_shutdown_timeout is only meaningful"):
            await loop.connect_accepted_socket(asyncio.Protocol, a, ssl_shutdown_timeout=1)
        with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
            context = ssl.create_default_context()
            with context.wrap_socket(a, do_handshake_on_connect=False, server_hostname="x") as s:
                await loop.connect_accepted_socket(asyncio.Protocol, s)
        b.close()

    run(loop, main)


def test_start_serving(loop, folder):
    path = folder / "sock"

    async def main():
        server, accepted = await serve(loop, path, start_serving=False, backlog=5)
        assert not server.is_serving()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_unix_connection(asyncio.Protocol, path)
        await server.start_serving()
        assert server.is_serving()
        transport, protocol = await talk(loop, path, accepted)
        transport.close()
        await protocol.gone()
        await stop(server, *accepted)

    run(loop, main)


# ---- faults -------------------------------------------------------------------------------------


def test_factory_raises(loop, loop_name, folder):
    """The socket that was connected for it is closed."""
    support.oracle_lacks(loop_name, True, "leaves the socket to the collector")
    path = folder / "sock"

    def fail():
        raise ZeroDivisionError

    async def main():
        server, accepted = await serve(loop, path)
        transport, protocol = await talk(loop, path, accepted)
        transport.close()
        await protocol.gone()
        await accepted.pop().gone()
        await support.settle()  # libuv has opened what it opens once
        before = support.open_fds()
        for _ in range(5):
            with pytest.raises(ZeroDivisionError):
                await loop.create_unix_connection(fail, path)
        await support.until(lambda: len(accepted) == 5)
        for protocol in accepted:
            await protocol.gone()
        await support.settle()
        assert support.open_fds() == before
        await stop(server)

    run(loop, main)


def test_backlog_full(loop, loop_name, folder):
    """No way to wait for a Unix server: the caller is told."""
    support.oracle_lacks(loop_name, True, "says connected")
    path = folder / "sock"

    async def main():
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(0)
            made = []
            with pytest.raises(BlockingIOError):
                for _ in range(10):
                    made.append(await loop.create_unix_connection(support.Recorder, path))
            assert made
            for transport, protocol in made:
                transport.abort()
                await protocol.gone()

    run(loop, main)


@pytest.mark.parametrize("turns", range(4))
def test_cancelled_connection(loop, folder, turns):
    path = folder / "sock"

    async def main():
        server, accepted = await serve(loop, path)
        task = asyncio.ensure_future(loop.create_unix_connection(support.Recorder, path))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(result, tuple):
            result[0].abort()
        await support.settle()
        await asyncio.sleep(0.01)
        await stop(server, *accepted)

    run(loop, main)
    gc.collect()


def test_server_gone_while_connected(loop, folder):
    path = folder / "sock"

    async def main():
        server, accepted = await serve(loop, path)
        transport, protocol = await talk(loop, path, accepted)
        server.close()
        transport.write(b"still")
        assert await accepted[0].received(9) == b"pingstill"
        accepted[0].transport.abort()
        await protocol.gone()
        await stop(server)

    run(loop, main)


def test_debug_mode(loop, folder):
    loop.set_debug(True)
    path = folder / "sock"

    async def main():
        server, accepted = await serve(loop, path)
        transport, protocol = await talk(loop, path, accepted)
        transport.close()
        await protocol.gone()
        a, b = socket.socketpair()
        transport, protocol = await loop.connect_accepted_socket(support.Recorder, a)
        b.close()
        await protocol.gone()
        await stop(server, *accepted)

    run(loop, main)


def test_connection_on_a_closed_socket(loop):
    sock = socket.socket(socket.AF_UNIX)
    sock.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        loop.run_until_complete(loop.create_unix_connection(asyncio.Protocol, sock=sock))


def test_bytes_and_text_are_never_compared(loop_name, folder):
    """Python's option -bb makes an error of that."""
    support.script(
        loop_name,
        """
        import os, sys

        async def main(loop, path):
            server = await loop.create_unix_server(asyncio.Protocol, path)
            transport, _ = await loop.create_unix_connection(asyncio.Protocol, path)
            transport.abort()
            await asyncio.sleep(0)
            server.close()

        loop = new_loop()
        text, data = sys.argv[1], os.fsencode(sys.argv[1])
        for path in text, data, "\\0" + text, b"\\0" + data:
            loop.run_until_complete(main(loop, path))
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
        """,
        args=(str(folder / "s"),),
        options=("-bb", "-W", "error"),
    )


def test_blocking_calls_are_allowed(loop, folder, blocking_calls):
    """What finds blocking calls allows asyncio's own ones, and so it must allow ours."""

    async def main():
        path = str(folder / "s")
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(path)
        server = await loop.create_unix_server(asyncio.Protocol, path)
        await stop(server)
        assert os.path.exists(path) is not CLEANS_UP

    run(loop, main)
    assert blocking_calls == ["stat"]  # the test's own
