"""anyio on the loop: its own run(), its networking, TLS and threads, and its pytest plugin."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import textwrap

import anyio
import anyio.abc
import anyio.from_thread
import anyio.to_thread
import pytest
import support
from anyio.streams.tls import TLSAttribute, TLSListener


def run(loop_factory, main):
    anyio.run(main, backend="asyncio", backend_options={"loop_factory": loop_factory})


def test_runs_on_the_loop(loop_factory, loop_name):
    import asyncio

    kinds = []

    async def main():
        kinds.append(type(asyncio.get_running_loop()).__module__.split(".")[0])

    run(loop_factory, main)
    assert kinds == [loop_name]


def test_task_group_and_cancellation(loop_factory):
    async def main():
        seen = []

        async def worker(n):
            try:
                await anyio.sleep(n / 200)
                seen.append(n)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0)

        async with anyio.create_task_group() as group:
            for n in range(5):
                group.start_soon(worker, n)
        assert seen == [0, 1, 2, 3, 4]
        with anyio.move_on_after(0.02) as scope:
            await anyio.sleep(10)
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.01):
                await anyio.sleep(10)

    run(loop_factory, main)


def test_tcp(loop_factory):
    async def main():
        async def handle(stream):
            async with stream:
                async for chunk in stream:
                    await stream.send(chunk.upper())

        listener = await anyio.create_tcp_listener(local_host=support.LOCALHOST, local_port=0)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, handle)

            async def client(n):
                async with await anyio.connect_tcp("localhost", port) as stream:
                    await stream.send(b"hello %d" % n)
                    assert await stream.receive() == b"HELLO %d" % n
                    data = os.urandom(500_000)
                    received = bytearray()

                    async def send():
                        await stream.send(data)
                        await stream.send_eof()

                    async with anyio.create_task_group() as inner:
                        inner.start_soon(send)
                        async for chunk in stream:
                            received += chunk
                    assert bytes(received) == data.upper()

            async with anyio.create_task_group() as clients:
                for n in range(10):
                    clients.start_soon(client, n)
            group.cancel_scope.cancel()
        await listener.aclose()

    run(loop_factory, main)


def test_connection_errors(loop_factory):
    async def main():
        with pytest.raises(OSError):
            await anyio.connect_tcp(support.LOCALHOST, support.free_port())

    run(loop_factory, main)


def test_threads(loop_factory):
    async def main():
        import threading

        assert await anyio.to_thread.run_sync(threading.get_ident) != threading.get_ident()

        def work():
            return anyio.from_thread.run(anyio.sleep, 0.001), anyio.from_thread.run_sync(
                threading.get_ident
            )

        assert await anyio.to_thread.run_sync(work) == (None, threading.get_ident())

    run(loop_factory, main)


def test_blocking_portal(loop_factory):
    async def double(n):
        await anyio.sleep(0.001)
        return 2 * n

    with anyio.from_thread.start_blocking_portal(
        "asyncio", {"loop_factory": loop_factory}
    ) as portal:
        assert portal.call(double, 21) == 42
        assert portal.start_task_soon(double, 4).result(10) == 8


def test_signal_receiver(loop_factory):
    async def main():
        with anyio.open_signal_receiver(signal.SIGUSR1) as signals:
            os.kill(os.getpid(), signal.SIGUSR1)
            async for number in signals:
                assert number == signal.SIGUSR1
                break

    run(loop_factory, main)


def test_sockets_ready(loop_factory):
    import socket

    async def main():
        a, b = socket.socketpair()
        a.setblocking(False)
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.wait_readable, a)
            await anyio.sleep(0.005)
            b.send(b"x")
        await anyio.wait_writable(a)
        a.close()
        b.close()

    run(loop_factory, main)


def run_pytest(tmp_path, name, body, *args):
    """pytest in a process of its own, on one test module."""
    (tmp_path / "test_it.py").write_text(support.factory_code(name) + textwrap.dedent(body))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", *args],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60 * support.SLOW,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pytest_plugin(loop_name, tmp_path):
    out = run_pytest(
        tmp_path,
        loop_name,
        """
        import asyncio
        import anyio
        import pytest

        pytestmark = pytest.mark.anyio

        @pytest.fixture
        def anyio_backend():
            return "asyncio", {"loop_factory": new_loop}

        @pytest.fixture
        async def resource():
            await anyio.sleep(0)
            yield type(asyncio.get_running_loop())
            await anyio.sleep(0)

        async def test_same_loop(resource):
            assert resource is type(asyncio.get_running_loop())
            probe = new_loop()
            assert type(probe) is resource
            probe.close()

        async def test_sleep():
            with anyio.move_on_after(0.01):
                await anyio.sleep(10)

        @pytest.mark.parametrize("n", range(3))
        async def test_parametrised(n, resource):
            await anyio.sleep(0.001)
        """,
        "-p",
        "no:asyncio",
    )
    assert "5 passed" in out


def test_tls(loop_factory, certificates):
    """anyio has a TLS of its own, above plain streams; standard_compatible says close_notify."""

    async def main():
        tcp = await anyio.create_tcp_listener(local_host=support.LOCALHOST)
        listener = TLSListener(tcp, certificates.server(["echo"]))
        port = tcp.extra(anyio.abc.SocketAttribute.local_port)

        async def echo(stream):
            async with stream:
                async for data in stream:
                    await stream.send(data)

        async def client(n):
            stream = await anyio.connect_tcp(
                "localhost", port, ssl_context=certificates.client(["echo"])
            )
            async with stream:
                assert stream.extra(TLSAttribute.alpn_protocol) == "echo"
                data = bytes([n]) * 300_000
                async with anyio.create_task_group() as group:
                    group.start_soon(stream.send, data)
                    got = bytearray()
                    while len(got) < len(data):
                        got += await stream.receive()
                assert got == data

        async with anyio.create_task_group() as servers:
            servers.start_soon(listener.serve, echo)
            async with anyio.create_task_group() as clients:
                for n in range(8):
                    clients.start_soon(client, n)
            with pytest.raises(ssl.SSLCertVerificationError):
                await anyio.connect_tcp("localhost", port, tls=True)
            servers.cancel_scope.cancel()
        await listener.aclose()

    run(loop_factory, main)
