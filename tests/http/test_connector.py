"""Connectors: names, addresses, TLS, what failures are called. The pool is in test_pool.py."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import servers
import support

from uvolt.http import connector as module
from uvolt.http import dial
from uvolt.http import exceptions as errors
from uvolt.http import resolver as names
from uvolt.http.abc import AbstractResolver
from uvolt.http.connector import TCPConnector
from uvolt.http.reqrep import ConnectionKey, Fingerprint
from uvolt.http.timeouts import ClientTimeout
from uvolt.http.unix import UnixConnector

pytestmark = pytest.mark.skipif("uvolt" not in support.LOOPS, reason="of uvolt alone")


def run(main: Callable[[], Awaitable[Any]], seconds: float = 20) -> Any:
    """Run main() on a uvolt loop."""
    loop = support.factory("uvolt")()

    async def body() -> Any:
        result = await asyncio.wait_for(main(), seconds * support.SLOW)
        await support.settle()
        return result

    try:
        return loop.run_until_complete(body())
    finally:
        support.finish(loop)


def answer(host: str, port: int) -> names.ResolveResult:
    return names.ResolveResult(
        hostname="name", host=host, port=port, family=socket.AF_INET, proto=0, flags=0
    )


class Resolver(AbstractResolver):
    """Answers what it is told, counts, and waits for `gate` if there is one."""

    def __init__(self, *hosts: str, error: Exception | None = None) -> None:
        self.hosts = hosts
        self.error = error
        self.asked: list[tuple[str, int, int]] = []
        self.gate: asyncio.Event | None = None
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[names.ResolveResult]:
        self.asked.append((host, port, family))
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [answer(address, port) for address in self.hosts]

    async def close(self) -> None:
        self.closed = True


def key(host: str, port: int, ssl_: Any = None, name: str | None = None) -> ConnectionKey:
    return ConnectionKey(
        host, port, ssl_ is not None, True if ssl_ is None else ssl_, server_hostname=name
    )


async def open_(
    connector: module.BaseConnector,
    to: ConnectionKey,
    timeout: ClientTimeout | None = None,
    *by: Any,
) -> Any:
    """A connection by the connector."""
    pool = connector._pool
    assert pool is not None
    route = pool.route(to)
    conn = await pool.acquire(route)
    try:
        await connector._open(conn, route, timeout or ClientTimeout(), *by)
    except BaseException:
        conn.close()
        raise
    assert conn.is_connected()
    return conn


@contextlib.asynccontextmanager
async def listening(**kwargs: Any) -> AsyncIterator[tuple[str, int]]:
    """A server that says nothing."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        support.Recorder, kwargs.pop("host", "127.0.0.1"), 0, **kwargs
    )
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()
        await support.settle()


def free_port() -> int:
    return support.free_port()


# ---- names --------------------------------------------------------------------------------------


def test_answers_are_kept_and_taken_in_turn() -> None:
    async def main() -> None:
        resolver = Resolver("10.0.0.1", "10.0.0.2", "10.0.0.3")
        async with TCPConnector(resolver=resolver) as connector:
            seen = []
            for _ in range(4):
                found = await connector._resolve_host("name", 80)
                seen.append([item["host"][-1] for item in found])
            assert ["".join(turn) for turn in seen] == ["123", "231", "312", "123"]
            assert len(resolver.asked) == 1
            await connector._resolve_host("name", 81)
            assert len(resolver.asked) == 2
            connector.clear_dns_cache("name", 80)
            await connector._resolve_host("name", 80)
            await connector._resolve_host("name", 81)
            assert len(resolver.asked) == 3
            connector.clear_dns_cache()
            await connector._resolve_host("name", 81)
            assert len(resolver.asked) == 4
            for only in ({"host": "name"}, {"port": 80}):
                with pytest.raises(ValueError, match="either both"):
                    connector.clear_dns_cache(**only)
        assert not resolver.closed  # it is not the connector's own

    run(main)


def test_answers_get_old(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        resolver = Resolver("10.0.0.1")
        now = 1000.0
        monkeypatch.setattr(names.time, "monotonic", lambda: now)
        async with TCPConnector(resolver=resolver, ttl_dns_cache=10) as connector:
            await connector._resolve_host("name", 80)
            now += 10
            await connector._resolve_host("name", 80)
            assert len(resolver.asked) == 1
            now += 0.5
            await connector._resolve_host("name", 80)
            assert len(resolver.asked) == 2
        async with TCPConnector(resolver=resolver, ttl_dns_cache=None) as connector:
            await connector._resolve_host("name", 80)
            now += 1e9
            await connector._resolve_host("name", 80)
            assert len(resolver.asked) == 3

    run(main)


def test_the_cache_has_a_bound() -> None:
    async def main() -> None:
        resolver = Resolver("10.0.0.1")
        async with TCPConnector(resolver=resolver, dns_cache_max_size=10) as connector:
            for i in range(100):
                await connector._resolve_host(f"name{i}", 80)
                await connector._resolve_host("name0", 80)  # used, so it stays
            assert len(connector._cached_hosts) == 10
            assert len(resolver.asked) == 100
        async with TCPConnector(resolver=resolver, dns_cache_max_size=0) as connector:
            assert len(await connector._resolve_host("name", 80)) == 1
            assert len(connector._cached_hosts) == 0

    run(main)


def test_without_a_cache() -> None:
    async def main() -> None:
        resolver = Resolver("10.0.0.1")
        async with TCPConnector(resolver=resolver, use_dns_cache=False) as connector:
            assert not connector.use_dns_cache
            for _ in range(3):
                await connector._resolve_host("name", 80)
        assert len(resolver.asked) == 3

    run(main)


def test_one_lookup_for_all_who_wait() -> None:
    async def main() -> None:
        resolver = Resolver("10.0.0.1")
        resolver.gate = asyncio.Event()
        async with TCPConnector(resolver=resolver) as connector:
            waiting = [asyncio.ensure_future(connector._resolve_host("name", 80)) for _ in range(5)]
            await support.settle()
            waiting[0].cancel()  # who asked first as well as any other
            await support.settle()
            resolver.gate.set()
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert isinstance(results[0], asyncio.CancelledError)
            assert all(isinstance(result, list) for result in results[1:])
            assert len(resolver.asked) == 1

    run(main)


def test_a_lookup_that_fails_fails_for_all_and_is_not_kept() -> None:
    async def main() -> None:
        resolver = Resolver(error=OSError(None, "DNS lookup failed"))
        resolver.gate = asyncio.Event()
        async with TCPConnector(resolver=resolver) as connector:
            waiting = [asyncio.ensure_future(open_(connector, key("name", 80))) for _ in range(3)]
            await support.settle()
            resolver.gate.set()
            for result in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(result, errors.ClientConnectorDNSError)
                assert (result.host, result.port) == ("name", 80)
            assert len(resolver.asked) == 1
            with pytest.raises(errors.ClientConnectorDNSError):
                await open_(connector, key("name", 80))
            assert len(resolver.asked) == 2

    run(main)


def test_close_ends_lookups() -> None:
    async def main() -> None:
        resolver = Resolver("127.0.0.1")
        resolver.gate = asyncio.Event()
        connector = TCPConnector(resolver=resolver)
        waiting = asyncio.ensure_future(open_(connector, key("name", 80)))
        await support.settle()
        await connector.close()
        with pytest.raises(errors.ClientConnectionError, match="Connector is closed"):
            await waiting
        assert connector.closed

    run(main)


def test_the_systems_resolver() -> None:
    async def main() -> None:
        resolver = names.DefaultResolver()
        found = await resolver.resolve("localhost", 80, family=socket.AF_INET)
        assert found[0]["host"] == "127.0.0.1"
        assert found[0]["hostname"] == "localhost"
        assert found[0]["port"] == 80
        with pytest.raises(OSError):
            await resolver.resolve("does.not.exist.invalid", 80)
        await resolver.close()

    run(main)


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "2130706433",
        "0127.0.0.1",
        "127.0.0.256",
        "1.2.3.4.5",
        "0x7f000001",
        "0X7F.1",
        "127.0.0.1.",
    ],
)
def test_addresses_in_odd_forms(host: str) -> None:
    async def main() -> None:
        async with TCPConnector(resolver=Resolver("127.0.0.1")) as connector:
            with pytest.raises(errors.InvalidUrlClientError, match="canonical IPv4"):
                await open_(connector, key(host, 80))

    run(main)


# ---- TCP ----------------------------------------------------------------------------------------


def test_nobody_listens() -> None:
    async def main() -> None:
        port = free_port()
        async with TCPConnector() as connector:
            with pytest.raises(errors.ClientConnectorError) as caught:
                await open_(connector, key("127.0.0.1", port))
        error = caught.value
        assert type(error) is errors.ClientConnectorError
        assert (error.host, error.port, error.ssl) == ("127.0.0.1", port, True)
        assert isinstance(error.os_error, ConnectionRefusedError)
        assert str(error).startswith(f"Cannot connect to host 127.0.0.1:{port} ssl:default [")

    run(main)


@pytest.mark.parametrize("delay", [None, 0.01, 0.25])
@pytest.mark.parametrize("interleave", [None, 2])
def test_the_address_that_answers(delay: float | None, interleave: int | None) -> None:
    async def main() -> None:
        async with listening() as (_, port):
            resolver = Resolver("::1", "127.0.0.9", "127.0.0.1")
            async with TCPConnector(
                resolver=resolver, happy_eyeballs_delay=delay, interleave=interleave
            ) as connector:
                conn = await open_(connector, key("name", port))
                assert conn.transport.get_extra_info("peername")[0] == "127.0.0.1"

    run(main)


def test_every_address_fails() -> None:
    async def main() -> None:
        resolver = Resolver("::1", "127.0.0.1")
        async with TCPConnector(resolver=resolver) as connector:
            with pytest.raises(errors.ClientConnectorError, match="Multiple exceptions") as caught:
                await open_(connector, key("name", free_port()))
            assert caught.value.errno is not None

    run(main)


def test_only_one_family() -> None:
    async def main() -> None:
        async with listening() as (_, port):
            resolver = Resolver("::1", "127.0.0.1")
            async with TCPConnector(resolver=resolver, family=socket.AF_INET) as connector:
                assert connector.family == socket.AF_INET
                conn = await open_(connector, key("name", port))
                assert conn.transport.get_extra_info("peername")[0] == "127.0.0.1"
                assert resolver.asked == [("name", port, socket.AF_INET)]
        async with TCPConnector(resolver=Resolver("::1"), family=socket.AF_INET) as connector:
            with pytest.raises(errors.ClientConnectorDNSError, match="no address"):
                await open_(connector, key("name", 80))

    run(main)


def test_local_address_and_socket_factory() -> None:
    async def main() -> None:
        made: list[socket.socket] = []

        def factory(info: Any) -> socket.socket:
            made.append(socket.socket(*info[:3]))
            made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return made[-1]

        async with listening() as (host, port):
            async with TCPConnector(
                local_addr=("127.0.0.2", 0), socket_factory=factory
            ) as connector:
                conn = await open_(connector, key(host, port))
                assert conn.transport.get_extra_info("sockname")[0] == "127.0.0.2"
                sock = conn.transport.get_extra_info("socket")
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert len(made) == 1

    run(main)


def test_link_local_addresses_name_their_interface() -> None:
    name = socket.if_indextoname(1)
    found = [answer(f"fe80::1%{name}", 80), answer("fe80::1%1", 80), answer("fe80::1%none", 80)]
    infos = dial.address_infos(found, socket.AF_UNSPEC)
    assert [info[4] for info in infos] == [
        ("fe80::1", 80, 0, 1),
        ("fe80::1", 80, 0, 1),
        ("fe80::1%none", 80, 0, 0),
    ]


def test_wrong_arguments() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="force_close"):
            TCPConnector(keepalive_timeout=5, force_close=True)
        with pytest.raises(TypeError, match="ssl should be"):
            TCPConnector(ssl="yes")  # type: ignore[arg-type]
        with pytest.warns(DeprecationWarning, match="verify_ssl"):
            assert TCPConnector(verify_ssl=False)._ssl is False
        with pytest.warns(DeprecationWarning), pytest.raises(ValueError, match="exclusive"):
            TCPConnector(verify_ssl=False, fingerprint=b"x" * 32)
        with pytest.raises(RuntimeError, match="uvolt.run"):
            TCPConnector(loop=object())  # type: ignore[arg-type]

    run(main)
    with pytest.raises(RuntimeError):
        TCPConnector()


# ---- time ---------------------------------------------------------------------------------------


def test_timeouts(certificates: servers.Certificates) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with listening() as (host, port), TCPConnector() as connector:
            # It never answers the handshake.
            to = key(host, port, certificates.client())
            with pytest.raises(errors.ConnectionTimeoutError, match="Connection timeout to host"):
                await open_(connector, to, ClientTimeout(sock_connect=0.05))
            with pytest.raises(errors.ConnectionTimeoutError):
                await open_(connector, to, None, loop.time() + 0.05, loop.time() + 5)
            with pytest.raises(asyncio.TimeoutError) as caught:
                await open_(connector, to, None, loop.time() + 5, loop.time() + 0.05)
            assert type(caught.value) is asyncio.TimeoutError
            opening = asyncio.ensure_future(
                open_(connector, to, ClientTimeout(sock_connect=5), loop.time() + 5, None)
            )
            await asyncio.sleep(0.02)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening

    run(main)


# ---- TLS ----------------------------------------------------------------------------------------


def server_context(certificates: servers.Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    context.set_alpn_protocols(["http/1.1"])
    return context


def digest(certificates: servers.Certificates) -> bytes:
    pem = certificates.certificate.read_text().partition("-----END CERTIFICATE-----")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[0] + pem[1] + "\n")).digest()


def test_tls(certificates: servers.Certificates) -> None:
    async def main() -> None:
        async with listening(ssl=server_context(certificates)) as (host, port):
            async with TCPConnector() as connector:
                for choice in (certificates.client(), False, Fingerprint(digest(certificates))):
                    conn = await open_(connector, key(host, port, choice))
                    assert conn.transport.get_extra_info("sslcontext") is not None
                    conn.close()
                conn = await open_(connector, key(host, port, False))
                assert conn.transport.get_extra_info("ssl_object").selected_alpn_protocol() == (
                    "http/1.1"
                )
                named = key(host, port, certificates.client(), "localhost")
                assert (await open_(connector, named)).transport is not None
            for choice in (certificates.client(), Fingerprint(digest(certificates)), False):
                async with TCPConnector(ssl=choice) as connector:
                    await open_(connector, key(host, port, True))

    run(main)


def test_certificates_that_are_not_accepted(
    certificates: servers.Certificates, expect_log: support.LogWatch
) -> None:
    async def main() -> None:
        async with listening(ssl=server_context(certificates)) as (host, port):
            async with TCPConnector() as connector:
                with pytest.raises(errors.ClientConnectorCertificateError) as caught:
                    await open_(connector, key(host, port, True))
                assert isinstance(caught.value.certificate_error, ssl.CertificateError)
                assert caught.value.ssl is True
                other = key(host, port, certificates.client(), "other.example")
                with pytest.raises(errors.ClientConnectorCertificateError):
                    await open_(connector, other)
                with pytest.raises(errors.ServerFingerprintMismatch) as mismatch:
                    await open_(connector, key(host, port, Fingerprint(b"x" * 32)))
                assert mismatch.value.got == digest(certificates)
                assert (mismatch.value.host, mismatch.value.port) == (host, port)

    run(main)


def test_a_server_without_tls() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        def talk(peer: Any) -> None:
            peer.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            peer.transport.close()

        server = await loop.create_server(
            lambda: support.Recorder(connection_made=talk), "127.0.0.1", 0
        )
        host, port = server.sockets[0].getsockname()
        async with TCPConnector() as connector:
            with pytest.raises(errors.ClientConnectorSSLError) as caught:
                await open_(connector, key(host, port, False))
            assert isinstance(caught.value, ssl.SSLError)
        server.close()

    run(main)


def test_contexts_are_made_once() -> None:
    assert dial.default_context(True) is dial.default_context(True)
    assert dial.default_context(True).verify_mode is ssl.CERT_REQUIRED
    assert dial.default_context(True).check_hostname
    assert dial.default_context(False).verify_mode is ssl.CERT_NONE


# ---- Unix sockets -------------------------------------------------------------------------------


def test_unix(tmp_path: Path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        path = str(tmp_path / "socket")
        async with UnixConnector(path=path) as connector:
            assert connector.path == path
            with pytest.raises(errors.UnixClientConnectorError) as caught:
                await open_(connector, key("name", 80))
            assert caught.value.path == path
            assert isinstance(caught.value.os_error, FileNotFoundError)
            server = await loop.create_unix_server(support.Recorder, path)
            conn = await open_(connector, key("name", 80))
            assert conn.transport.get_extra_info("peername") == path
            server.close()

    run(main)


# ---- life ---------------------------------------------------------------------------------------


def test_properties_and_close() -> None:
    async def main() -> None:
        connector = TCPConnector(limit=7, limit_per_host=3)
        assert (connector.limit, connector.limit_per_host) == (7, 3)
        assert not connector.force_close and not connector.closed
        assert TCPConnector(force_close=True).force_close
        await connector.close()
        await connector.close()
        assert connector.closed

    run(main)


def test_a_connector_that_is_dropped_open() -> None:
    async def main() -> None:
        contexts: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: contexts.append(context))
        async with listening() as (host, port):
            connector = TCPConnector()
            conn = await open_(connector, key(host, port))
            conn.release()
            del conn
            with pytest.warns(ResourceWarning, match="Unclosed connector"):
                del connector
                support.collect()
            assert [context["message"] for context in contexts] == ["Unclosed connector"]
            await support.settle()

    run(main)
