"""Class 7, buffers without bounds: whatever a server sends without end, the client gives up after
a few kilobytes, however the bytes are cut; and what it keeps over time has a ceiling."""

from __future__ import annotations

import gc
import socket
import time

import pytest
import support
from http_support import answers, chunked, raw, response
from security_support import endless, http, run

BOUND = 1 << 21  # what lies in the socket's buffers is counted, too
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

# name: (what is sent first, what is sent again and again)
ENDLESS = {
    "bytes that are no status line": (b"", b"x"),
    "empty lines": (b"", b"\r\n"),
    "version": (b"HTTP/", b"1"),
    "status": (b"HTTP/1.1 ", b"2"),
    "reason": (b"HTTP/1.1 200 ", b"r"),
    "spaces behind the version": (b"HTTP/1.1", b" "),
    "name of a field": (HEAD, b"n"),
    "value of a field": (HEAD + b"X: ", b"v"),
    "spaces of a value": (HEAD + b"X:", b" "),
    "lines of a folded field": (HEAD + b"X: a\r\n", b" b\r\n"),
    "fields": (HEAD, b"X: y\r\n"),
    "fields without a value": (HEAD, b"X:\r\n"),
    "Set-Cookie": (HEAD, b"Set-Cookie: a=b\r\n"),
    "zeros of a length": (HEAD + b"Content-Length: ", b"0"),
    "interim responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "early hints": (b"", b"HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n"),
    "fields of an interim response": (b"HTTP/1.1 103 Early\r\n", b"Link: </x>\r\n"),
    "zeros of a chunk's size": (CHUNKS, b"0"),
    "extension of a chunk": (CHUNKS + b"5;", b"e"),
    "extensions of a chunk": (CHUNKS + b"5", b";a=b"),
    "fields of the trailers": (CHUNKS + b"0\r\n", b"X: y\r\n"),
    "name of a trailer": (CHUNKS + b"0\r\n", b"n"),
    "value of a trailer": (CHUNKS + b"0\r\nX: ", b"v"),
}


@pytest.mark.parametrize("size", [1, 700, 30_000])
@pytest.mark.parametrize("name", ENDLESS)
def test_what_a_server_sends_without_end(name, size):
    """An error that says so, not memory; also where each part is small enough for itself."""
    first, piece = ENDLESS[name]
    taken = []

    async def script(peer):
        await peer.request()
        peer.send(first)
        many = piece if size == 1 else piece * (size // len(piece) + 1)
        if size == 1:  # each byte is a read of its own, then on in larger ones
            await peer.send_pieces([piece] * 50)
            many = piece * 200
        taken.append(await endless(peer, many, BOUND))

    async def main():
        async with raw(script) as server, http.ClientSession() as session:
            with pytest.raises(http.ClientError):
                async with session.get(server.url) as answer:
                    await answer.read()
            await server.closed_by_client()

    run(main)


@pytest.mark.parametrize("name, limit", [("max_line_size", 200), ("max_field_size", 200)])
def test_limits_of_one_s_own(name, limit):
    """And none of them may be passed by sending it in parts."""
    long = {
        "max_line_size": b"HTTP/1.1 200 " + b"r" * 400 + b"\r\nContent-Length: 0\r\n\r\n",
        "max_field_size": HEAD + b"X: " + b"v" * 400 + b"\r\nContent-Length: 0\r\n\r\n",
    }[name]

    async def script(peer):
        await peer.request()
        await peer.send_pieces([long[n : n + 7] for n in range(0, len(long), 7)])

    async def main():
        async with raw(script) as server, http.ClientSession() as session:
            with pytest.raises(http.ClientResponseError, match="200 bytes"):
                await session.get(server.url, **{name: limit})

    run(main)


@pytest.mark.parametrize("how", ["whole", "released"])
def test_very_many_small_chunks(how):
    """Half a million chunks of a byte: the time is linear, the pieces are joined."""

    async def main():
        data = CHUNKS + chunked(*[b"x"] * 500_000)
        async with raw(answers(data)) as server, http.ClientSession() as session:
            begun = time.process_time()
            async with session.get(server.url) as answer:
                if how == "whole":
                    assert await answer.read() == b"x" * 500_000
            assert time.process_time() - begun < 5 * support.SLOW

    run(main)


def test_a_line_that_comes_in_small_pieces():
    """Looked at once: readline() of a megabyte in pieces of a few bytes takes linear time."""

    async def script(peer):
        await peer.request()
        peer.send(CHUNKS)
        peer.send(chunked(*[b"x" * 16] * 16_000, b"\n"))

    async def main():
        async with raw(script) as server, http.ClientSession() as session:
            begun = time.process_time()
            async with session.get(server.url, read_bufsize=1 << 20) as answer:
                assert len(await answer.content.readline()) == 256_001
            assert time.process_time() - begun < 5 * support.SLOW

    run(main)


class Resolver(http.AbstractResolver if hasattr(http, "AbstractResolver") else object):
    """Knows every host: it is this one."""

    def __init__(self, port):
        self.port = port

    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": self.port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": 0,
            }
        ]

    async def close(self):
        pass


@pytest.mark.parametrize("bound", [1, 10, 50])
def test_the_dns_cache(bound):
    """Names that come from a server must not fill the memory."""

    async def main():
        async with raw(answers(response(Connection="close"))) as server:
            connector = http.TCPConnector(
                resolver=Resolver(server.port), dns_cache_max_size=bound, limit=5
            )
            async with http.ClientSession(connector=connector) as session:
                for n in range(120):
                    async with session.get(f"http://h{n}.test/"):
                        pass
                assert len(connector._cached_hosts) <= bound

    run(main)


def test_hosts_that_come_and_go():
    """What is kept of a host goes with it: a crawler's session does not grow for ever."""

    async def main():
        async with raw(answers(response(Connection="close"))) as server:
            connector = http.TCPConnector(resolver=Resolver(server.port), dns_cache_max_size=10)
            async with http.ClientSession(connector=connector) as session:
                for n in range(2500):
                    async with session.get(f"http://h{n}.test/{n}"):
                        pass
                    if n == 1300:  # what has a bound has met it
                        server.asked.clear(), server.peers.clear(), server.received.clear()
                        gc.collect()
                        before = len(gc.get_objects())
                server.asked.clear(), server.peers.clear(), server.received.clear()
                gc.collect()
                assert len(gc.get_objects()) - before < 500

    run(main, 60)
