"""Every keyword of aiohttp's connectors, and what programs read of them, beside aiohttp's."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import ssl
import sys
import types

import pytest
import support
import trustme
from http_support import answers, get, raw, response

OK = answers(response(b"ok"))


class Fixed:
    """A resolver with the same answer for every name."""

    def __init__(self, *addresses):
        self.addresses = addresses
        self.asked = []
        self.closed = False

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked.append((host, port, family))
        if not self.addresses:
            raise OSError("no such host")
        flags = socket.AI_NUMERICHOST
        rest = {"hostname": host, "port": port, "family": family, "proto": 0, "flags": flags}
        return [{"host": address, **rest} for address in self.addresses]

    async def close(self):
        self.closed = True


def fixed(client, *addresses, of=Fixed):
    """A Fixed that is what the client calls a resolver."""
    from aiohttp.abc import AbstractResolver

    return type("Resolver", (of, AbstractResolver), {})(*addresses)


def connected(client, main, url=None, **options):
    """main(http, server, url) with a session whose connector has these options; the URL names a
    host that only the resolver knows."""

    async def body():
        async with raw(OK) as server:
            connector = client.http.TCPConnector(**options)
            async with client.session(connector=connector) as http:
                return await main(http, server, f"http://origin.invalid:{server.port}/")

    return client.run(body)


# -- names ----------------------------------------------------------------------------------------

CONNECTORS = ["BaseConnector", "TCPConnector", "UnixConnector", "NamedPipeConnector"]


@pytest.mark.parametrize("name", CONNECTORS)
def test_every_keyword_of_aiohttp_is_there(ours, name):
    import aiohttp

    theirs = inspect.signature(getattr(aiohttp, name)).parameters
    mine = inspect.signature(getattr(ours.http, name)).parameters
    assert list(mine)[: len(theirs)] == list(theirs)
    for parameter in theirs.values():
        assert mine[parameter.name].kind is parameter.kind
        if not repr(parameter.default).startswith("<_SENTINEL"):
            assert mine[parameter.name].default == parameter.default
    extra = {"TCPConnector": ["proxy_ssl"]}.get(name, [])
    assert list(mine)[len(theirs) :] == extra
    public = {member for member in dir(getattr(aiohttp, name)) if not member.startswith("_")}
    if name != "NamedPipeConnector":
        assert public <= set(dir(getattr(ours.http, name)))


def test_the_schemes(client):
    sets = {name: getattr(client.http, name).allowed_protocol_schema_set for name in CONNECTORS}
    high = {"", "http", "https", "ws", "wss"}
    own = {"TCPConnector": {"tcp"}, "UnixConnector": {"unix"}, "NamedPipeConnector": {"npipe"}}
    assert sets == {name: high | own.get(name, set()) for name in CONNECTORS}


def test_no_named_pipes(client):
    async def main():
        with pytest.raises((RuntimeError, AttributeError)):  # aiohttp: asyncio has no such loop
            client.http.NamedPipeConnector(r"\\.\pipe\x")

    client.run(main)


# -- what can be read -----------------------------------------------------------------------------


def test_what_a_connector_tells(client):
    async def main(http, server, url):
        connector = http.connector
        assert (connector.limit, connector.limit_per_host) == (7, 3)
        assert connector.force_close is False
        assert connector.family == socket.AF_INET
        assert connector.use_dns_cache is True
        assert connector.closed is connector._closed is False
        assert connector._loop is asyncio.get_running_loop()
        assert (len(connector._conns), len(connector._acquired)) == (0, 0)
        async with http.get(url) as answer:
            assert await answer.read() == b"ok"
        assert [len(kept) for kept in connector._conns.values()] == [1]
        (((_, since),),) = connector._conns.values()
        assert isinstance(since, float)
        (key,) = connector._conns
        assert (key.host, key.port, key.is_ssl, key.proxy) == (
            "origin.invalid",
            server.port,
            False,
            None,
        )
        await connector.close()
        assert connector.closed and connector._closed

    resolver = fixed(client, support.LOCALHOST)
    connected(client, main, limit=7, limit_per_host=3, family=socket.AF_INET, resolver=resolver)


def test_what_is_in_use(client):
    async def script(peer):
        await peer.request()
        await asked.wait()
        peer.send(response(b"ok"))
        await peer.gone()

    asked = None

    async def main():
        nonlocal asked
        asked = asyncio.Event()
        connector = client.http.TCPConnector(limit_per_host=5)
        async with raw(script) as server, client.session(connector=connector) as http:
            task = asyncio.ensure_future(get(http, server.url))
            await support.until(lambda: server.asked)
            assert len(connector._acquired) == 1
            assert [len(used) for used in connector._acquired_per_host.values()] == [1]
            assert not connector._conns
            asked.set()
            assert await task == b"ok"
            assert len(connector._acquired) == len(connector._acquired_per_host) == 0
            assert len(connector._conns) == 1

    client.run(main)


def test_a_connection_being_made_is_in_use(client):
    async def main(http, server, url):
        resolver.go = asyncio.Event()
        task = asyncio.ensure_future(get(http, url))
        await support.until(lambda: resolver.asked)
        assert len(http.connector._acquired) == 1
        resolver.go.set()
        assert await task == b"ok"
        assert len(http.connector._acquired) == 0

    class Slow(Fixed):
        async def resolve(self, host, port=0, family=socket.AF_INET):
            found = await super().resolve(host, port, family)
            await self.go.wait()
            return found

    resolver = fixed(client, support.LOCALHOST, of=Slow)
    connected(client, main, resolver=resolver)


# -- names and addresses --------------------------------------------------------------------------


def test_a_resolver_is_closed_by_who_made_it(client):
    resolver = fixed(client, support.LOCALHOST)

    async def main(http, server, url):
        assert await get(http, url) == b"ok"

    connected(client, main, resolver=resolver)
    assert not resolver.closed


@pytest.mark.parametrize("family", [socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6])
def test_the_resolver_is_told_the_family(client, family):
    resolver = fixed(client, support.LOCALHOST, "::1")

    async def main(http, server, url):
        with contextlib.suppress(client.http.ClientConnectorError):  # nobody listens on ::1
            assert await get(http, url) == b"ok"
        assert resolver.asked == [("origin.invalid", server.port, family)]

    connected(client, main, resolver=resolver, family=family)


@pytest.mark.parametrize(
    ("options", "lookups"),
    [
        ({}, 1),
        ({"use_dns_cache": False}, 4),
        ({"ttl_dns_cache": None}, 1),
        ({"ttl_dns_cache": 0}, 4),
        ({"ttl_dns_cache": 1000}, 1),
    ],
)
def test_the_dns_cache(client, options, lookups):
    resolver = fixed(client, support.LOCALHOST)

    async def main(http, server, url):
        for _ in range(4):
            assert await get(http, url) == b"ok"
            await asyncio.sleep(0.002)  # of time.monotonic()
        return len(resolver.asked)

    assert connected(client, main, resolver=resolver, force_close=True, **options) == lookups


def test_clear_dns_cache(client):
    resolver = fixed(client, support.LOCALHOST)

    async def main(http, server, url):
        connector = http.connector
        with pytest.raises(ValueError):
            connector.clear_dns_cache("origin.invalid")
        for clear in ((), ("origin.invalid", server.port), ("other", 80)):
            assert await get(http, url) == b"ok"
            connector.clear_dns_cache(*clear)
        assert await get(http, url) == b"ok"
        return len(resolver.asked)

    assert connected(client, main, resolver=resolver, force_close=True) == 3


@pytest.mark.parametrize("delay", [0.25, 0.001, None])
@pytest.mark.parametrize("interleave", [None, 1, 2])
def test_addresses_that_do_not_answer(client, delay, interleave):
    resolver = fixed(client, "127.0.0.99", "::1", support.LOCALHOST)

    async def main(http, server, url):
        assert await get(http, url) == b"ok"

    options = {"happy_eyeballs_delay": delay, "interleave": interleave}
    connected(client, main, resolver=resolver, **options)


def test_the_next_address_after_a_handshake_that_failed(client):
    """The first server has no certificate for the name, the second has."""
    ca = trustme.CA()
    contexts = []
    for name in ("other.invalid", "origin.invalid"):
        contexts.append(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        ca.issue_cert(name).configure_cert(contexts[-1])
    trust = ssl.create_default_context()
    ca.configure_trust(trust)

    async def main():
        loop = asyncio.get_running_loop()
        async with raw(OK, ssl=contexts[1]) as good:
            with contextlib.closing(socket.socket()) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(("127.0.0.2", good.port))
                bad = await loop.create_server(asyncio.Protocol, sock=sock, ssl=contexts[0])
                resolver = fixed(client, "127.0.0.2", support.LOCALHOST)
                connector = client.http.TCPConnector(resolver=resolver, ssl=trust)
                async with client.session(connector=connector) as http:
                    assert await get(http, f"https://origin.invalid:{good.port}/") == b"ok"
                bad.close()
                await support.settle(10)

    client.run(main)


def test_local_addr_and_socket_factory(client):
    made = []

    def factory(info):
        family, kind, proto, _, address = info
        made.append((family, kind, proto, address))
        return socket.socket(family, kind, proto)

    async def main(http, server, url):
        assert await get(http, url) == b"ok"
        assert server.peers[0].transport.get_extra_info("peername")[0] == "127.0.0.3"
        place = (support.LOCALHOST, server.port)
        assert made == [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, place)]

    resolver = fixed(client, support.LOCALHOST)
    options = {"local_addr": ("127.0.0.3", 0), "socket_factory": factory, "resolver": resolver}
    connected(client, main, **options)


def test_an_error_of_the_socket_factory(client):
    def factory(info):
        raise PermissionError(13, "not you")

    async def main(http, server, url):
        with pytest.raises(client.http.ClientConnectorError, match="not you") as caught:
            await get(http, url)
        assert caught.value.errno == 13

    connected(client, main, socket_factory=factory, resolver=fixed(client, support.LOCALHOST))


@pytest.mark.parametrize(
    "options",
    [
        {"enable_cleanup_closed": True},
        {"timeout_ceil_threshold": 1},
        {"keepalive_timeout": None},
        {"ssl_shutdown_timeout": 1},
        {"limit": 0, "limit_per_host": 0},
    ],
)
@pytest.mark.filterwarnings("ignore:.*ssl_shutdown_timeout")
@pytest.mark.filterwarnings("ignore:enable_cleanup_closed:DeprecationWarning")
def test_what_else_may_be_said(client, options):
    async def main(http, server, url):
        for _ in range(3):
            assert await get(http, server.url) == b"ok"
        assert len(server.peers) == 1

    connected(client, main, **options)


def test_keepalive_timeout_with_force_close(client):
    async def main():
        with pytest.raises(ValueError, match="keepalive_timeout cannot be set"):
            client.http.TCPConnector(force_close=True, keepalive_timeout=3)
        for extra in ({}, {"keepalive_timeout": None}):
            await client.http.TCPConnector(force_close=True, **extra).close()

    client.run(main)


# -- ssl= and its old names -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 20])
def test_no_md5_and_no_sha1(client, size):
    with pytest.raises(ValueError, match="insecure and not supported"):
        client.http.Fingerprint(bytes(size))
    with pytest.raises(ValueError, match="invalid length"):
        client.http.Fingerprint(bytes(31))
    assert client.http.Fingerprint(bytes(32)).fingerprint == bytes(32)


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
@pytest.mark.parametrize("where", ["connector", "request"])
@pytest.mark.parametrize(
    "old", [{"verify_ssl": False}, {"fingerprint": bytes(32)}, {"ssl_context": 1}]
)
def test_the_old_names_of_ssl(client, certificates, old, where):
    old = {"ssl_context": certificates.client()} if "ssl_context" in old else old

    async def main():
        async with raw(OK, ssl=certificates.server()) as server:
            connector = client.http.TCPConnector(**(old if where == "connector" else {}))
            request = old if where == "request" else {}
            async with client.session(connector=connector) as http:
                if "fingerprint" in old:
                    with pytest.raises(client.http.ServerFingerprintMismatch):
                        await get(http, server.url, **request)
                else:
                    assert await get(http, server.url, **request) == b"ok"
            for both in ({"ssl": False}, {"verify_ssl": False, "fingerprint": bytes(32)}):
                with pytest.raises(ValueError, match="mutually exclusive"):
                    client.http.TCPConnector(
                        **{**old, **both, "ssl_context": certificates.client()}
                    )
            with pytest.raises(TypeError, match="ssl should be"):
                client.http.TCPConnector(ssl="yes")

    client.run(main)


def test_client_certificates(client):
    ca = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(server_context)
    ca.configure_trust(server_context)
    server_context.verify_mode = ssl.CERT_REQUIRED
    contexts = []
    for identity in ("one@client.invalid", "two@client.invalid", None):
        contexts.append(ssl.create_default_context())
        ca.configure_trust(contexts[-1])
        if identity:
            ca.issue_cert(identity).configure_cert(contexts[-1])

    async def main():
        async with raw(OK, ssl=server_context) as server, client.session() as http:
            for _ in range(2):
                for context in contexts[:2]:
                    assert await get(http, server.url, ssl=context) == b"ok"
            names = []
            for peer in server.peers:
                certificate = peer.transport.get_extra_info("peercert")
                names.append(certificate["subjectAltName"][0][1])
            assert names == ["one@client.invalid", "two@client.invalid"]
            if not client.ours and sys.version_info < (3, 11):
                return  # asyncio leaves that server's transport open
            with pytest.raises(client.http.ClientError):
                await get(http, server.url, ssl=contexts[2])

    client.run(main)


def test_a_fingerprint_on_a_unix_socket(ours, certificates, tmp_path):
    """aiohttp speaks no TLS on Unix sockets."""

    async def main():
        loop = asyncio.get_running_loop()
        path = str(tmp_path / "s")
        server = await loop.create_unix_server(asyncio.Protocol, path, ssl=certificates.server())
        connector = ours.http.UnixConnector(path)
        async with ours.session(connector=connector) as http:
            with pytest.raises(ours.http.ServerFingerprintMismatch):
                await get(http, "https://localhost/", ssl=ours.http.Fingerprint(bytes(32)))
            with pytest.raises(ours.http.ClientConnectorError):
                await get(http, "https://localhost/")
        server.close()
        await support.settle(10)

    ours.run(main)


# -- connect() ------------------------------------------------------------------------------------


def test_connect(client):
    """A connection for who speaks over it himself."""

    async def main():
        async with raw(OK) as server, client.session() as http:
            from yarl import URL

            if client.ours:
                from uvolt.http.request import ClientRequest
            else:
                from aiohttp import ClientRequest
            loop = asyncio.get_running_loop()
            request = ClientRequest("GET", URL(server.url), loop=loop, session=http)
            timeout = client.http.ClientTimeout(connect=5)
            connection = await http.connector.connect(request, traces=[], timeout=timeout)
            assert len(http.connector._acquired) == 1
            connection.transport.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await support.until(lambda: server.asked)
            connection.close()
            await server.closed_by_client()
            assert len(http.connector._acquired) == 0
            connection = await http.connector.connect(request, traces=[], timeout=timeout)
            connection.release()

    client.run(main)


def test_connect_fails(ours):
    from yarl import URL

    from uvolt.http.request import ClientRequest

    async def main():
        async with raw(OK) as server:
            connector = ours.http.TCPConnector(limit=1)
            async with ours.session(connector=connector) as http:
                request = ClientRequest("GET", URL("http://127.0.0.1:1/"))
                with pytest.raises(ours.http.ClientConnectorError):
                    await connector.connect(request)
                request = ClientRequest("GET", URL(server.url))
                connection = await connector.connect(request)
                with pytest.raises(ours.http.ConnectionTimeoutError):
                    await connector.connect(request, None, ours.http.ClientTimeout(connect=0.02))
                connection.release()
                assert await get(http, server.url) == b"ok"
                assert len(server.peers) == 1

    ours.run(main)


# -- AsyncResolver --------------------------------------------------------------------------------


def test_async_resolver_needs_aiodns(ours, monkeypatch):
    monkeypatch.setitem(sys.modules, "aiodns", None)

    async def main():
        with pytest.raises(RuntimeError, match="aiodns"):
            ours.http.AsyncResolver()

    ours.run(main)


class Nodes:
    """aiodns' interface, as far as it is used. aiodns itself is not installed: where it is, it is
    aiohttp's default, and aiohttp would be no oracle for what the system resolves."""

    class error:  # noqa: N801
        class DNSError(Exception):
            pass

    def __init__(self):
        self.asked = []
        self.closed = False
        self.addresses = [(socket.AF_INET, (b"127.0.0.1", 80))]

    def DNSResolver(self, *args, **kwargs):  # noqa: N802
        self.asked.append((args, kwargs))
        return self

    async def getaddrinfo(self, host, *, port, type, family, flags):
        self.asked.append((host, port, type, family))
        if host == "none.invalid":
            raise self.error.DNSError(4, "Domain name not found")
        nodes = [types.SimpleNamespace(family=kind, addr=addr) for kind, addr in self.addresses]
        return types.SimpleNamespace(nodes=nodes if host != "empty.invalid" else [])

    async def getnameinfo(self, address, flags):
        return types.SimpleNamespace(node=f"{address[0]}%eth7")

    async def close(self):
        self.closed = True


def test_async_resolver(ours, monkeypatch):
    aiodns = Nodes()
    monkeypatch.setitem(sys.modules, "aiodns", aiodns)

    async def main():
        async with raw(OK) as server:
            resolver = ours.http.AsyncResolver(nameservers=["192.0.2.53"])
            assert aiodns.asked == [((), {"nameservers": ["192.0.2.53"]})]
            aiodns.addresses = [(socket.AF_INET, (b"127.0.0.1", server.port))]
            connector = ours.http.TCPConnector(resolver=resolver)
            async with ours.session(connector=connector) as http:
                assert await get(http, f"http://origin.invalid:{server.port}/") == b"ok"
                for name, text in (("none", "Domain name not found"), ("empty", "lookup failed")):
                    with pytest.raises(ours.http.ClientConnectorDNSError, match=text):
                        await get(http, f"http://{name}.invalid/")
            aiodns.addresses = [(socket.AF_INET6, (b"fe80::1", 80, 0, 7))]
            (found,) = await resolver.resolve("local.invalid", 80, socket.AF_INET6)
            assert found["host"] == "fe80::1%eth7"
            assert aiodns.asked[-1] == ("local.invalid", 80, socket.SOCK_STREAM, socket.AF_INET6)
            await resolver.close()
            assert aiodns.closed
            await resolver.close()

    ours.run(main)
