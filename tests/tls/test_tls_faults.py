"""What goes wrong with TLS: rows 48 to 56 of the table of faults, and callbacks that raise."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
import tracemalloc
import weakref

import pytest
import support
from support import LOCALHOST, Recorder, settle, until
from tls_support import (
    Buffered,
    Peer,
    Refuser,
    begin,
    blocking,
    connected,
    end,
    pair,
    run,
    sockets,
)

# -- the handshake does not come to its end ---------------------------------------------------


def context_for(certs, role):
    return certs.client() if role == "client" else certs.server()


def test_fault_48_peer_never_answers(loop, certs, role, contexts):
    async def main():
        async with sockets() as (a, b):
            start = time.monotonic()
            text = "SSL handshake is taking longer than 0.1 seconds: aborting the connection"
            with pytest.raises(ConnectionAbortedError, match=re.escape(text)):
                await begin(role, a, context_for(certs, role), Refuser, ssl_handshake_timeout=0.1)
            assert 0.05 < time.monotonic() - start < 5 * support.SLOW
            await blocking(Peer.read_raw_until_eof, type("", (), {"sock": b}))
        assert not contexts

    run(loop, main)


def test_fault_48_peer_stops_half_way(loop, certs, role):
    async def main():
        client, server = certs.contexts()
        async with sockets() as (a, b):
            if role == "client":
                peer = Peer(b, server, server_side=True)
            else:
                peer = Peer(b, client, server_side=False, server_hostname="localhost")

            def half():
                with pytest.raises(ssl.SSLWantReadError):
                    peer.tls.do_handshake()
                if role == "client":
                    peer.feed()
                    with pytest.raises(ssl.SSLWantReadError):
                        peer.tls.do_handshake()
                b.sendall(peer.pull()[:-20])

            task = asyncio.ensure_future(blocking(half))
            with pytest.raises(ConnectionAbortedError, match="taking longer than 0.2 seconds"):
                await begin(role, a, context_for(certs, role), Refuser, ssl_handshake_timeout=0.2)
            await task

    run(loop, main)


def test_fault_48_the_timer_is_gone_after_the_handshake(loop, certs, role):
    """No timer keeps the connection alive, or ends it later (uvloop leaked one)."""

    async def main():
        async with connected(certs, role, ssl_handshake_timeout=0.3) as (transport, protocol, peer):
            await asyncio.sleep(0.4)
            transport.write(b"x")
            assert await blocking(peer.recv) == b"x"
            assert not protocol.closed.done()

    run(loop, main)


def test_default_handshake_timeout(loop, certs, monkeypatch):
    """60 s; not waited for here."""
    import asyncio.constants

    assert asyncio.constants.SSL_HANDSHAKE_TIMEOUT == 60.0

    async def main():
        async with sockets() as (a, _):
            with pytest.raises((TimeoutError, asyncio.TimeoutError)):
                await asyncio.wait_for(begin("client", a, certs.client(), Refuser), 0.05)

    run(loop, main)


@pytest.mark.parametrize("when", ["at once", "after the hello"])
def test_fault_49_peer_closes_during_the_handshake(loop, certs, role, contexts, when):
    async def main():
        async with sockets() as (a, b):

            def leave():
                if when == "after the hello" and role == "client":
                    b.recv(1 << 16)
                elif when == "after the hello":
                    peer = Peer(b, certs.client(), server_side=False, server_hostname="localhost")
                    with pytest.raises(ssl.SSLWantReadError):
                        peer.tls.do_handshake()
                    b.sendall(peer.pull())
                    b.recv(1 << 16)
                b.shutdown(socket.SHUT_RDWR)

            task = asyncio.ensure_future(blocking(leave))
            with pytest.raises(ConnectionResetError):
                await begin(role, a, context_for(certs, role), Refuser)
            await task
        assert not contexts

    run(loop, main)


def test_fault_49_peer_resets_during_the_handshake(loop, certs, role, contexts):
    async def main():
        async with sockets() as (a, b):
            b.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            b.close()
            with pytest.raises(ConnectionResetError):
                await begin(role, a, context_for(certs, role), Refuser)
        assert not contexts

    run(loop, main)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4, b"220 smtp ready\r\n" * 4, b"\0" * 100]
)
def test_peer_speaks_plain_text(loop, certs, role, contexts, answer):
    async def main():
        async with sockets() as (a, b):
            b.sendall(answer)
            with pytest.raises(ssl.SSLError) as info:
                await begin(role, a, context_for(certs, role), Refuser)
            assert info.value.reason in (
                "WRONG_VERSION_NUMBER",
                "HTTP_REQUEST",
                "HTTPS_PROXY_REQUEST",
                "UNKNOWN_PROTOCOL",
                "PACKET_LENGTH_TOO_LONG",
                "UNSUPPORTED_PROTOCOL",
            )
            assert info.value.library == "SSL"
            assert isinstance(info.value.errno, int)
        assert not contexts

    run(loop, main)


def test_an_alert_instead_of_a_handshake(loop, certs, role):
    async def main():
        async with sockets() as (a, b):
            b.sendall(b"\x15\x03\x03\x00\x02\x02\x28")  # fatal, handshake_failure
            with pytest.raises(ssl.SSLError) as info:
                await begin(role, a, context_for(certs, role), Refuser)
            if role == "client":
                assert "ALERT_HANDSHAKE_FAILURE" in info.value.reason

    run(loop, main)


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 4, 6, 10])
def test_fault_40_cancelled_during_the_handshake(loop, certs, role, contexts, turns):
    async def main():
        async with sockets() as (a, b):
            task = loop.create_task(begin(role, a, context_for(certs, role), Refuser))
            await settle(turns)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await settle()
            if turns:  # else it never began, and the socket is still the caller's
                assert a.fileno() == -1 or turns == 0
        assert not contexts

    run(loop, main)


@pytest.mark.parametrize("turns", range(0, 40, 3))
def test_fault_40_cancelled_at_any_time(loop, certs, contexts, turns):
    """With a peer that does answer: cancelled before, during or after the handshake."""
    client, server = certs.contexts()

    async def main():
        accepted = []

        def serve():
            accepted.append(Recorder())
            return accepted[-1]

        listener = await loop.create_server(serve, LOCALHOST, 0, ssl=server)
        port = listener.sockets[0].getsockname()[1]
        task = loop.create_task(
            loop.create_connection(
                Recorder, LOCALHOST, port, ssl=client, server_hostname="localhost"
            )
        )
        await settle(turns)
        task.cancel()
        try:
            transport, protocol = await task
        except asyncio.CancelledError:
            pass
        else:
            await end(transport, protocol)
        listener.close()
        for protocol in accepted:
            if protocol.transport is not None:
                await end(protocol.transport, protocol)
        await listener.wait_closed()
        await asyncio.sleep(0.02)
        assert not contexts

    run(loop, main)


# -- callbacks that raise ---------------------------------------------------------------------


def fail(protocol):
    raise ZeroDivisionError(protocol.events[-1])


@pytest.mark.parametrize("event", ["data_received", "buffer_updated", "get_buffer"])
def test_fault_16_a_reading_callback_raises(loop, certs, role, contexts, event):
    armed = []  # get_buffer may be called before there are data

    def fail_later(protocol):
        if armed:
            fail(protocol)

    async def main():
        kind = Recorder if event == "data_received" else Buffered
        make = lambda: kind(**{event: fail_later})  # noqa: E731
        async with connected(certs, role, make) as (_, protocol, peer):
            armed.append(True)
            await blocking(peer.send, b"x")
            await protocol.gone()
            assert isinstance(protocol.lost, ZeroDivisionError)
            assert protocol.count("connection_lost") == 1
            assert len(contexts) == 1
            assert contexts[0]["exception"] is protocol.lost
            assert contexts[0]["message"].startswith("Fatal error")

    run(loop, main)


def test_fault_16_eof_received_raises(loop, certs, role, contexts):
    async def main():
        async with connected(certs, role, lambda: Recorder(eof_received=fail)) as (
            _,
            protocol,
            peer,
        ):
            await blocking(peer.sock.sendall, peer.close_notify())
            await protocol.gone()
            assert isinstance(protocol.lost, ZeroDivisionError)
            assert [str(context["exception"]) for context in contexts] == ["eof_received"]

    run(loop, main)


def test_connection_lost_raises(loop, certs, role, contexts):
    async def main():
        make = lambda: Recorder(connection_lost=fail)  # noqa: E731
        async with connected(certs, role, make) as (_, protocol, peer):
            await blocking(peer.sock.sendall, peer.close_notify())
            await protocol.gone()
            await settle()
            assert [str(context["exception"]) for context in contexts] == ["connection_lost"]

    run(loop, main)


def test_fault_18_connection_made_raises(loop, certs, role, contexts):
    """The connection is ended; whoever waits for it is not left waiting."""

    async def main():
        client, server = certs.contexts()
        async with sockets() as (a, b):
            if role == "client":
                peer = Peer(b, server, server_side=True)
            else:
                peer = Peer(b, client, server_side=False, server_hostname="localhost")

            def work():
                try:
                    peer.handshake()
                    peer.recv()
                except (ssl.SSLError, OSError):
                    pass

            task = asyncio.ensure_future(blocking(work))
            made = []

            def make():
                made.append(Recorder(connection_made=fail))
                return made[-1]

            # asyncio before 3.13 raises at once, since then the end of the connection tells
            try:
                transport, _ = await asyncio.wait_for(
                    begin(role, a, client if role == "client" else server, make), 1 * support.SLOW
                )
            except (ZeroDivisionError, OSError, asyncio.TimeoutError):
                pass
            else:
                transport.abort()
            await settle()
            b.close()
            await task
            assert made[0].count("connection_made") == 1
            assert made[0].count("connection_lost") <= 1

    run(loop, main)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("event", ["data_received", "eof_received", "connection_lost"])
def test_fault_19_leaves_the_loop(loop, certs, role, kind, event):
    """It comes out of run_until_complete(), and the loop can run again."""
    armed = [True]

    def leave(protocol):
        if armed:
            armed.clear()
            raise kind

    state = []

    async def main():
        async with connected(certs, role, lambda: Recorder(**{event: leave})) as (tr, p, peer):
            state.append((tr, p))
            peer.sock.sendall(peer.seal(b"x") + peer.close_notify())
            await asyncio.sleep(30)

    task = loop.create_task(main())
    with pytest.raises(kind):
        loop.run_until_complete(task)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    assert state[0][1].count("connection_lost") <= 1
    state.clear()
    del task


# -- large and odd handshakes -----------------------------------------------------------------


@pytest.mark.parametrize("count", [1000, 10_000])
def test_fault_55_many_names(loop, certs, role, count):
    """A certificate for so many names: it works, or is refused for its size, and not slowly.
    OpenSSL's limit for a chain is 100 KiB; 10,000 names are above it."""
    names = ["localhost", *(f"host-{number}.many-names.test" for number in range(count))]
    client, server = certs.client(), certs.server(*names)

    async def main():
        start = time.process_time()
        try:
            async with connected(certs, role, contexts=(client, server)) as (transport, _, peer):
                transport.write(b"x")
                assert await blocking(peer.recv) == b"x"
                if role == "client":
                    cert = transport.get_extra_info("peercert")
                    assert len(cert["subjectAltName"]) == count + 1
        except (ssl.SSLError, ConnectionError):
            assert count == 10_000
        else:
            assert count == 1000
        assert time.process_time() - start < 5 * support.SLOW

    run(loop, main)


def openssl_server(certs, tmp_path, *options):
    """`openssl s_server` on a free port; what is written to its stdin it sends, and obeys."""
    cert = certs.cert("localhost")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    cert.private_key_pem.write_to_path(key)
    for blob in cert.cert_chain_pems:
        blob.write_to_path(chain, append=True)
    port = support.free_port()
    process = subprocess.Popen(
        [
            shutil.which("openssl") or "openssl",
            *("s_server", "-accept", f"{LOCALHOST}:{port}", "-naccept", "1"),
            *("-cert", str(chain), "-key", str(key), "-cert_chain", str(chain), *options),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    os.set_blocking(process.stdout.fileno(), False)
    return process, port


@pytest.mark.parametrize("what", ["renegotiation", "key update", "key update asked for"])
def test_fault_52_keys_change_on_the_way(loop, certs, tmp_path, what):
    """openssl s_server renegotiates (TLS 1.2) or changes keys (1.3) in a living connection."""
    options = ["-tls1_2"] if what == "renegotiation" else ["-tls1_3"]
    command = {"renegotiation": b"r\n", "key update": b"k\n", "key update asked for": b"K\n"}[what]

    async def main():
        process, port = openssl_server(certs, tmp_path, *options)
        try:
            output = bytearray()

            def said(text):
                while chunk := process.stdout.read():
                    output.extend(chunk)
                return text in output

            await until(lambda: said(b"ACCEPT"))
            transport, protocol = await loop.create_connection(
                Recorder, LOCALHOST, port, ssl=certs.client(), server_hostname="localhost"
            )
            for number in range(3):
                transport.write(b"from the client %d\n" % number)
                await until(lambda: said(b"from the client %d" % number))  # noqa: B023
                process.stdin.write(command)
                process.stdin.flush()
                await asyncio.sleep(0.05)
                process.stdin.write(b"from the server %d\n" % number)
                process.stdin.flush()
                text = b"from the server %d\n" % number
                await until(lambda: text in protocol.data)  # noqa: B023
                transport.write(b"again %d\n" % number)
                await until(lambda: said(b"again %d" % number))  # noqa: B023
            assert not protocol.closed.done()
            await end(transport, protocol)
        finally:
            process.kill()
            await blocking(process.communicate)

    run(loop, main)


def test_empty_records(loop, certs, role):
    """Fragments without content are no end of file."""

    async def main():
        async with connected(certs, role, version="1.2") as (_, protocol, peer):
            for _ in range(5):
                await blocking(peer.sock.sendall, peer.seal(b"x"))
            await protocol.received(5)
            assert protocol.count("eof_received") == 0

    run(loop, main)


def test_ten_thousand_tiny_records(loop, certs, role):
    """One byte each, all at once: in order, and not in quadratic time."""

    async def main():
        async with connected(certs, role) as (_, protocol, peer):
            records = b"".join(peer.seal(bytes([n & 255])) for n in range(10_000))
            start = time.process_time()
            await blocking(peer.sock.sendall, records)
            await protocol.received(10_000)
            assert protocol.data == bytes(n & 255 for n in range(10_000))
            assert time.process_time() - start < 5 * support.SLOW

    run(loop, main)


# -- objects ----------------------------------------------------------------------------------


def test_fault_44_collected_unclosed(loop_factory, certs):
    """ResourceWarning for a transport that nobody closed, once its loop is closed."""
    loop = loop_factory()
    a, b = support.tcp_pair()

    async def main():
        peer = Peer(b, certs.server(), server_side=True)
        _, protocol = (
            await asyncio.gather(begin("client", a, certs.client()), blocking(peer.handshake))
        )[0]
        return weakref.ref(protocol.transport)

    with pytest.warns(ResourceWarning, match="unclosed"):
        ref = loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        del loop
        gc.collect()
        support.collect()
    assert ref() is None
    a.close()
    b.close()


def test_collected_after_the_end(loop, certs, role):
    """Nothing of a connection that has ended stays, the protocol and its transport included."""

    async def main():
        refs = []
        async with connected(certs, role) as (transport, protocol, peer):
            refs += [weakref.ref(protocol)]
            await blocking(peer.sock.sendall, peer.close_notify())
            await protocol.gone()
        del transport, protocol, peer
        await settle()
        gc.collect()
        assert [ref() for ref in refs] == [None]

    run(loop, main)


def test_no_growth(loop, certs):
    """Descriptors and memory after hundreds of connections, some of which fail."""
    client, server = certs.contexts()
    wrong = certs.server("other.test")

    async def some(count):
        for number in range(count):
            try:
                async with pair(certs, contexts=(client, wrong if number % 4 == 0 else server)) as (
                    one,
                    other,
                ):
                    one.transport.write(b"x" * 20_000)
                    await other.received(20_000)
                    if number % 3:
                        one.transport.close()
                        await one.gone()
                        await other.gone()
            except (ssl.SSLCertVerificationError, asyncio.TimeoutError):
                pass

    async def main():
        listeners = len(support.open_fds())
        await some(20)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        await some(60)
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert after - before < 400_000
        assert len(support.open_fds()) <= listeners + 2

    run(loop, main, 60)


def test_debug_mode(loop, certs, role, expect_log):
    """The same, with the log lines of asyncio's debug mode."""
    loop.set_debug(True)
    loop.slow_callback_duration = 60
    logging.getLogger("asyncio").setLevel(logging.DEBUG)
    try:

        async def main():
            async with connected(certs, role) as (transport, protocol, peer):
                transport.write(b"x" * 100_000)
                await blocking(peer.recv_exactly, 100_000)
                await blocking(peer.send, b"y")
                await protocol.received(1)
                transport.close()
                assert await blocking(peer.recv) == b""
                await blocking(peer.sock.sendall, peer.close_notify())
                await protocol.gone()
                assert protocol.lost is None

        run(loop, main)
    finally:
        logging.getLogger("asyncio").setLevel(logging.NOTSET)
    texts = [record.getMessage() for record in expect_log.records]
    assert any("starts SSL handshake" in text for text in texts)
    assert any("SSL handshake took" in text for text in texts)


def test_debug_mode_tells_of_errors(loop, certs, role, expect_log):
    loop.set_debug(True)
    logging.getLogger("asyncio").setLevel(logging.DEBUG)
    try:

        async def main():
            async with connected(certs, role) as (_, protocol, peer):
                await blocking(peer.sock.sendall, b"not a record at all")
                await protocol.gone()

        run(loop, main)
    finally:
        logging.getLogger("asyncio").setLevel(logging.NOTSET)
    assert any("Fatal error" in record.getMessage() for record in expect_log.records)


def test_loop_closed_with_connections(loop_factory, certs):
    """Open TLS transports do not keep the loop from closing; afterwards everything is harmless."""
    loop = loop_factory()
    kept = []

    async def main():
        for role in ("client", "server"):
            a, b = support.tcp_pair()
            client, server = certs.contexts()
            if role == "client":
                peer = Peer(b, server, server_side=True)
            else:
                peer = Peer(b, client, server_side=False, server_hostname="localhost")
            (transport, protocol), _ = await asyncio.gather(
                begin(role, a, client if role == "client" else server), blocking(peer.handshake)
            )
            transport.write(b"x" * 5_000_000)
            kept.append((transport, protocol, a, b))

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())
    with pytest.warns(ResourceWarning):
        loop.close()
        for transport, protocol, a, b in kept:
            assert protocol.count("connection_lost") == 0
            assert repr(transport)
            a.close()
            b.close()
        del transport, protocol, a, b
        kept.clear()
        del loop
        support.collect()
