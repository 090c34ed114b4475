"""Connections of a session: kept and limited, made, and where resolvers send them."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
import support
from http_support import OK, answers, black_hole, gate, get, raw, resolver_to

# -- keep-alive and limits ------------------------------------------------------------------------


def test_one_connection_for_many_requests(client):
    async def main():
        async with raw(OK) as server, client.session() as http:
            for _ in range(100):
                assert await get(http, server.url) == b"ok"
            assert len(server.peers) == 1

    client.run(main)


@pytest.mark.parametrize("option", ["limit", "limit_per_host"])
def test_limits(client, option):
    """So many at a time, the others in their turn."""

    async def main():
        hold: list = []
        async with raw(gate(hold)) as server:
            connector = client.http.TCPConnector(**{option: 3})
            assert getattr(connector, option) == 3
            async with client.session(connector=connector) as http:
                tasks = [asyncio.ensure_future(get(http, f"{server.url}/{n}")) for n in range(10)]
                for n in range(10):
                    await support.until(lambda n=n: len(hold) > n)
                    await support.settle()
                    assert len(hold) <= n + 3 and server.open <= 3
                    hold[n].set_result(None)
                assert await asyncio.gather(*tasks) == [b"ok"] * 10
            assert len(server.peers) == 3
            order = [asked.target for asked in server.asked]
            assert sorted(order[:3]) == ["/0", "/1", "/2"]
            assert order[3:] == [f"/{n}" for n in range(3, 10)]  # first come, first served

    client.run(main)


def test_limit_per_host_counts_by_host(client):
    async def main():
        hold: list = []
        async with raw(gate(hold)) as a, raw(gate(hold)) as b:
            connector = client.http.TCPConnector(limit_per_host=1)
            async with client.session(connector=connector) as http:
                tasks = [asyncio.ensure_future(get(http, server.url)) for server in (a, b, a, b)]
                await support.until(lambda: len(hold) == 2)
                await support.settle()
                assert (len(a.asked), len(b.asked)) == (1, 1)
                for n in range(4):
                    await support.until(lambda n=n: len(hold) > n)
                    hold[n].set_result(None)
                await asyncio.gather(*tasks)

    client.run(main)


def test_idle_connections_make_room_for_other_hosts(client):
    """The limit is of connections in use and in the pool: an idle one is given up."""

    async def main():
        async with raw(OK) as a, raw(OK) as b:
            connector = client.http.TCPConnector(limit=1)
            async with client.session(connector=connector) as http:
                for server in (a, b, a, b):
                    assert await get(http, server.url) == b"ok"

    client.run(main)


def test_no_limit(client):
    async def main():
        hold: list = []
        async with raw(gate(hold)) as server:
            connector = client.http.TCPConnector(limit=0)
            async with client.session(connector=connector) as http:
                tasks = [asyncio.ensure_future(get(http, server.url)) for _ in range(150)]
                await support.until(lambda: len(hold) == 150)
                for future in hold:
                    future.set_result(None)
                await asyncio.gather(*tasks)

    client.run(main)


def test_the_default_limit_is_100(client):
    async def main():
        connector = client.http.TCPConnector()
        assert (connector.limit, connector.limit_per_host) == (100, 0)
        assert not connector.force_close and not connector.closed
        await connector.close()
        assert connector.closed

    client.run(main)


def test_the_keep_alive_time_is_over(client):
    async def main():
        async with raw(OK) as server:
            connector = client.http.TCPConnector(keepalive_timeout=0.1)
            async with client.session(connector=connector) as http:
                await get(http, server.url)
                await get(http, server.url)
                assert len(server.peers) == 1
                await server.closed_by_client()
                await get(http, server.url)
                assert len(server.peers) == 2

    client.run(main)


def test_force_close(client):
    async def main():
        async with raw(OK) as server:
            connector = client.http.TCPConnector(force_close=True)
            async with client.session(connector=connector) as http:
                for _ in range(3):
                    await get(http, server.url)
                await server.closed_by_client()
            assert len(server.peers) == 3

    client.run(main)


@pytest.mark.parametrize(
    "data, reused",
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\nConnection: x, close\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 204 No\r\n\r\n", True),
        (b"HTTP/1.1 304 No\r\n\r\n", True),
    ],
)
def test_which_connections_are_kept(client, data, reused):
    async def main():
        async with raw(answers(data)) as server, client.session() as http:
            for _ in range(2):
                await get(http, server.url)
            assert (len(server.peers) == 1) == reused
            if not reused:
                await server.closed_by_client()

    client.run(main)


def test_a_released_response_that_was_not_read(client):
    """Its connection is closed, not read to the end, unless the end is there already."""

    async def script(peer):
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nsome")
        await peer.gone()

    async def main():
        async with raw(script) as server, client.session() as http:
            answer = await http.get(server.url)
            answer.release()
            assert answer.closed
            await server.closed_by_client()
            answer = await http.get(server.url)
            answer.close()
            assert answer.closed
            await server.closed_by_client()

    client.run(main)


def test_a_shared_connector(client):
    async def main():
        async with raw(OK) as server:
            connector = client.http.TCPConnector()
            for _ in range(2):
                async with client.session(connector=connector, connector_owner=False) as http:
                    assert not http.connector_owner
                    await get(http, server.url)
            assert len(server.peers) == 1 and not connector.closed
            await connector.close()
            await server.closed_by_client()

    client.run(main)


def test_local_addr(client):
    async def main():
        seen = []

        async def script(peer):
            seen.append(peer.transport.get_extra_info("peername")[0])
            await OK(peer)

        async with raw(script) as server:
            connector = client.http.TCPConnector(local_addr=("127.0.0.2", 0))
            async with client.session(connector=connector) as http:
                await get(http, server.url)
        assert seen == ["127.0.0.2"]

    client.run(main)


def test_a_unix_socket(client, tmp_path):
    async def main():
        path = str(tmp_path / "s")
        async with raw(OK, path=path) as server:
            connector = client.http.UnixConnector(path=path)
            assert connector.path == path
            async with client.session(connector=connector) as http:
                for _ in range(3):
                    assert await get(http, "http://a.name/x") == b"ok"
                assert len(server.peers) == 1
                assert server.asked[0].headers["host"] == "a.name"

    client.run(main)


def test_a_unix_socket_that_is_not_there(client, tmp_path):
    async def main():
        connector = client.http.UnixConnector(path=str(tmp_path / "none"))
        async with client.session(connector=connector) as http:
            with pytest.raises(client.http.ClientConnectorError) as caught:
                await http.get("http://localhost/")
            assert type(caught.value).__name__ == "UnixClientConnectorError"
            assert caught.value.path == str(tmp_path / "none")

    client.run(main)


# -- resolvers ------------------------------------------------------------------------------------


def test_a_resolver_of_ones_own(client):
    async def main():
        asked: list = []
        async with raw(OK) as server:
            connector = client.http.TCPConnector(resolver=resolver_to(client, server, asked))
            async with client.session(connector=connector) as http:
                url = f"http://a.name:{server.port}/"
                await get(http, url)
                await get(http, url, headers={"Connection": "close"})
                assert server.asked[0].headers["host"] == f"a.name:{server.port}"
                with pytest.raises(client.http.ClientConnectorDNSError) as caught:
                    await http.get("http://unknown/")
                assert (caught.value.host, caught.value.port) == ("unknown", 80)
            assert asked[:2] == [("a.name", server.port), ("unknown", 80)]

    client.run(main)


def test_row_69_a_name_that_does_not_exist(client):
    async def main():
        async with client.session() as http:
            with pytest.raises(client.http.ClientConnectorDNSError) as caught:
                await http.get("http://does-not-exist.invalid/")
            assert isinstance(caught.value, client.http.ClientConnectorError)
            assert isinstance(caught.value.os_error, OSError)

    client.run(main, 40)


@pytest.mark.parametrize("cached", [True, False])
def test_row_67_the_dns_cache(client, cached):
    """Names are asked for once, and no more of them kept than is said."""

    async def main():
        asked: list = []
        async with raw(OK) as server:
            connector = client.http.TCPConnector(
                resolver=resolver_to(client, server, asked),
                use_dns_cache=cached,
                force_close=True,
                ttl_dns_cache=100,
                dns_cache_max_size=3,
            )
            async with client.session(connector=connector) as http:
                for _ in range(3):
                    await get(http, f"http://a.name:{server.port}/")
                assert len(asked) == (1 if cached else 3)
                for n in range(20):
                    await get(http, f"http://name{n}:{server.port}/")
                asked.clear()
                await get(http, f"http://name19:{server.port}/")
                assert len(asked) == (0 if cached else 1)
                asked.clear()
                await get(http, f"http://a.name:{server.port}/")  # long gone from the cache
                assert len(asked) == 1
                connector.clear_dns_cache("a.name", server.port)
                await get(http, f"http://a.name:{server.port}/")
                assert len(asked) == 2
                connector.clear_dns_cache()

    client.run(main)


def test_lookups_in_flight_are_merged(client):
    async def main():
        asked: list = []
        wait = asyncio.get_running_loop().create_future()
        async with raw(OK) as server:
            resolver = resolver_to(client, server, asked, wait=wait)
            async with client.session(
                connector=client.http.TCPConnector(resolver=resolver)
            ) as http:
                url = f"http://a.name:{server.port}/"
                tasks = [asyncio.ensure_future(get(http, url)) for _ in range(5)]
                await support.settle()
                tasks[0].cancel()  # the one that asked: the others still get the answer
                await support.settle()
                wait.set_result(None)
                got = await asyncio.gather(*tasks, return_exceptions=True)
                assert isinstance(got[0], asyncio.CancelledError)
                assert got[1:] == [b"ok"] * 4
            assert len([a for a in asked if a != "closed"]) == 1

    client.run(main)


def test_row_70_happy_eyeballs(client):
    """The first address does not answer: the second is tried beside it, the loser closed."""

    async def main():
        async with raw(OK) as server:
            resolver = resolver_to(client, server, [])

            async def two(host, port=0, family=socket.AF_INET):
                entry = {"hostname": host, "family": socket.AF_INET, "proto": 0, "flags": 0}
                return [{**entry, "host": h, "port": port} for h in ("127.0.0.2", "127.0.0.1")]

            resolver.resolve = two
            connector = client.http.TCPConnector(resolver=resolver, happy_eyeballs_delay=0.05)
            with black_hole("127.0.0.2", server.port):
                async with client.session(connector=connector) as http:
                    started = time.monotonic()
                    assert await get(http, f"http://two:{server.port}/") == b"ok"
                    assert time.monotonic() - started < 1 * support.SLOW

    client.run(main)


def test_row_70_an_address_that_refuses(client):
    """The next one is tried at once."""

    async def main():
        async with raw(OK) as server:
            resolver = resolver_to(client, server, [])

            async def two(host, port=0, family=socket.AF_INET):
                entry = {"hostname": host, "family": socket.AF_INET, "proto": 0, "flags": 0}
                return [{**entry, "host": h, "port": port} for h in ("127.0.0.2", "127.0.0.1")]

            resolver.resolve = two
            async with client.session(
                connector=client.http.TCPConnector(resolver=resolver)
            ) as http:
                assert await get(http, f"http://two:{server.port}/") == b"ok"

    client.run(main)
