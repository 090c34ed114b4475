"""HTTPConnection: one exchange after another against scripted servers; when it is used again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import support
from pool_support import HEAD, OK, Peer, answering, connected, fetch, pooling, script, serving

from uvolt import _core
from uvolt.http import exceptions

Loop = asyncio.AbstractEventLoop

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n"
)


@pytest.fixture(autouse=True)
def no_connection_left() -> Any:
    support.collect()
    before = _core.counters()["http_connections_alive"]
    yield
    support.collect()
    assert _core.counters()["http_connections_alive"] == before


def exchange_with(loop: Loop, *answers: bytes, close: bool = False, **options: Any) -> Any:
    """(exchange, connection's state at its end) of one request to a server with that script."""

    async def main() -> Any:
        async with serving(script(*answers, close=close)) as server, pooling() as pool:
            exchange = await fetch(pool, pool.route("a"), server, **options)
            return exchange, pool.idle

    return loop.run_until_complete(main())


def failure_of(loop: Loop, *answers: bytes, close: bool = False, **options: Any) -> BaseException:
    with pytest.raises(Exception) as info:
        exchange_with(loop, *answers, close=close, **options)
    return info.value


# -- responses --------------------------------------------------------------------------------


def test_a_response(uloop: Loop) -> None:
    answer = b"HTTP/1.1 404 Not  Found\r\nX-A: 1\r\nx-a:2\r\nContent-Length: 5\r\n\r\nhello"
    exchange, idle = exchange_with(uloop, answer)
    assert (exchange.status, exchange.reason, bytes(exchange.body)) == (
        404,
        b"Not  Found",
        b"hello",
    )
    assert exchange.headers == [(b"X-A", b"1"), (b"x-a", b"2"), (b"Content-Length", b"5")]
    assert exchange.keep_alive
    assert exchange.over
    assert exchange.connection is None
    assert idle == 1


RESPONSES = {
    "length": (OK, b"ok", True),
    "empty": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", True),
    "chunked": (CHUNKED, b"abcde", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", b"", True),
    "1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", False),
    "1.0 keep": (
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
        b"ok",
        True,
    ),
    "close": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", b"ok", False),
    "interim": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, b"ok", True),
    "continue": (b"HTTP/1.1 100 Continue\r\n\r\n" * 8 + OK, b"ok", True),
}


@pytest.mark.parametrize("name", RESPONSES)
@pytest.mark.parametrize("cut", ["whole", "bytes"])
def test_framings(uloop: Loop, name: str, cut: str) -> None:
    answer, body, kept = RESPONSES[name]

    async def handler(peer: Peer) -> None:
        await peer.request()
        peer.writer.transport.get_extra_info("socket").setsockopt(6, 1, 1)  # TCP_NODELAY
        for i in range(len(answer)) if cut == "bytes" else [slice(None)]:
            piece = answer[i : i + 1] if isinstance(i, int) else answer
            await peer.send(piece)
            await asyncio.sleep(0)
        await peer.reader.read()

    async def main() -> None:
        async with serving(handler) as server, pooling() as pool:
            exchange = await fetch(pool, pool.route("a"), server)
            assert (bytes(exchange.body), pool.idle) == (body, int(kept))

    uloop.run_until_complete(main())


def test_every_split_of_the_head(uloop: Loop) -> None:
    """Cut in two at every position, on one connection after another use of it."""
    answers = [b"HTTP/1.1 100 Continue\r\n\r\n" + OK, CHUNKED]

    async def handler(peer: Peer) -> None:
        for answer in answers:
            for at in range(1, len(answer)):
                await peer.request()
                await peer.send(answer[:at])
                for _ in range(3):
                    await asyncio.sleep(0)
                await peer.send(answer[at:])

    async def main() -> None:
        async with serving(handler) as server, pooling() as pool:
            for answer, body in zip(answers, (b"ok", b"abcde"), strict=True):
                for _ in range(1, len(answer)):
                    exchange = await fetch(pool, pool.route("a"), server)
                    assert bytes(exchange.body) == body
            assert len(server.peers) == 1

    uloop.run_until_complete(main())


def test_until_the_end_of_the_connection(uloop: Loop) -> None:
    exchange, idle = exchange_with(uloop, b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300_000, close=True)
    assert (len(exchange.body), idle) == (300_000, 0)
    assert not exchange.keep_alive


def test_head_only(uloop: Loop) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    exchange, idle = exchange_with(uloop, answer, head_only=True)
    assert (bytes(exchange.body), idle) == (b"", 1)


@pytest.mark.parametrize("answer", [OK, CHUNKED, b"HTTP/1.1 204 No Content\r\n\r\n"])
@pytest.mark.parametrize("more", [b"x", OK, b"\r\n"])
def test_bytes_behind_a_response_end_the_connection(
    uloop: Loop, answer: bytes, more: bytes
) -> None:
    exchange, idle = exchange_with(uloop, answer + more)
    assert exchange.status in (200, 204)
    assert idle == 0


def test_body_of_a_response_that_may_have_none(uloop: Loop) -> None:
    for answer in (
        b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok",
    ):
        exchange, idle = exchange_with(uloop, answer)
        assert (bytes(exchange.body), idle) == (b"", 0)
    exchange, idle = exchange_with(uloop, OK, head_only=True)
    assert (bytes(exchange.body), idle) == (b"", 0)


def test_large_body_in_order(uloop: Loop) -> None:
    data = bytes(range(256)) * 20_000
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data
    exchange, idle = exchange_with(uloop, answer)
    assert (bytes(exchange.body) == data, idle) == (True, 1)


def test_chunk_ends_are_told(uloop: Loop) -> None:
    exchange, _ = exchange_with(uloop, CHUNKED)
    assert exchange.chunks == 2


# -- 1xx --------------------------------------------------------------------------------------


def test_interim_flood(uloop: Loop) -> None:
    exc = failure_of(uloop, b"HTTP/1.1 102 Processing\r\n\r\n" * 9 + OK)
    assert isinstance(exc, exceptions.HttpProcessingError)
    assert "interim" in str(exc)


def test_continue_is_told(uloop: Loop) -> None:
    exchange, _ = exchange_with(uloop, b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
    assert exchange.continued
    exchange, _ = exchange_with(uloop, OK)
    assert not exchange.continued


def test_switching_protocols(uloop: Loop) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw")
        assert await peer.reader.readexactly(4) == b"ping"
        await peer.send(b"pong")

    async def main() -> None:
        async with serving(handler) as server, pooling() as pool:
            conn = await connected(pool, pool.route("a"), server)
            exchange = conn.exchange(HEAD, upgrade=True, body_follows=True)
            assert await exchange.started
            assert exchange.status == 101
            assert not exchange.over
            exchange.write(b"ping")
            await exchange.future
            assert bytes(exchange.body) == b"rawpong"
            assert pool.idle == 0

    uloop.run_until_complete(main())


def test_switching_protocols_unasked(uloop: Loop) -> None:
    exchange, idle = exchange_with(
        uloop, b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
    )
    assert (exchange.status, exchange.body, idle) == (101, b"", 0)


# -- what goes wrong --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nA: b\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_closed_before_the_head(uloop: Loop, answer: bytes) -> None:
    exc = failure_of(uloop, answer, close=True)
    assert type(exc) is exceptions.ServerDisconnectedError


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "BadHttpMessage", "400"),
        (b"nonsense\r\n\r\n", "BadStatusLine", "400"),
        (b"HTTP/1.1 200 OK\r\nA: %s\r\n\r\n" % (b"x" * 9000), "LineTooLong", "8190"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", "BadHttpMessage", "400"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "BadHttpMessage", "400"),
        (b"HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", "InvalidHeader", "400"),
    ],
)
@pytest.mark.parametrize("pieces", [1, 2, 50])
def test_malformed_head(uloop: Loop, answer: bytes, kind: str, text: str, pieces: int) -> None:
    size = len(answer) // pieces + 1

    async def handler(peer: Peer) -> None:
        await peer.request()
        for at in range(0, len(answer), size):
            await peer.send(answer[at : at + size])
            await asyncio.sleep(0)
        await peer.reader.read()

    async def main() -> None:
        async with serving(handler) as server, pooling() as pool:
            with pytest.raises(exceptions.HttpProcessingError, match=text) as info:
                await fetch(pool, pool.route("a"), server)
            assert type(info.value).__name__ == kind
            assert (info.value.code, pool.in_use, pool.idle) == (400, 0, 0)

    uloop.run_until_complete(main())


def test_endless_head_is_bounded(uloop: Loop) -> None:
    """Whatever a server sends, a head ends at its limits; so do empty lines before it."""
    for piece in (b"A: b\r\n" * 100, b"\r\n" * 300, b"x" * 500):

        async def handler(peer: Peer, piece: bytes = piece) -> None:
            await peer.request()
            if piece[:1] != b"\r":
                await peer.send(b"HTTP/1.1 200 OK\r\n")
            for _ in range(20_000):
                await peer.send(piece)
                await asyncio.sleep(0)
            raise AssertionError("it has taken all that")

        async def main(handler: Any = handler) -> None:
            async with serving(handler) as server, pooling() as pool:
                with pytest.raises(exceptions.HttpProcessingError):
                    await fetch(pool, pool.route("a"), server)

        uloop.run_until_complete(main())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
    ],
)
def test_short_body(uloop: Loop, answer: bytes) -> None:
    exc = failure_of(uloop, answer, close=True)
    assert type(exc) is exceptions.ClientPayloadError
    assert "Response payload is not completed" in str(exc)


def test_bad_chunk(uloop: Loop) -> None:
    exc = failure_of(uloop, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabXX")
    assert type(exc) is exceptions.ClientPayloadError


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", exceptions.ClientOSError),
        (b"HTTP/1.1 200 OK\r\n", exceptions.ClientOSError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", exceptions.ClientPayloadError),
        (b"HTTP/1.1 200 OK\r\n\r\nab", exceptions.ClientPayloadError),
    ],
)
def test_reset(uloop: Loop, answer: bytes, kind: type[Exception]) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        await asyncio.sleep(0.02)
        peer.reset()

    async def main() -> None:
        async with serving(handler) as server, pooling() as pool:
            with pytest.raises(kind) as info:
                await fetch(pool, pool.route("a"), server)
            if kind is exceptions.ClientPayloadError:
                assert isinstance(info.value.__cause__, exceptions.ClientOSError)
            assert (pool.in_use, pool.idle) == (0, 0)

    uloop.run_until_complete(main())


def test_one_exchange_at_a_time(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server, pooling() as pool:
            new = await pool.acquire(pool.route("a"))
            with pytest.raises(RuntimeError, match="not connected"):
                new.exchange(HEAD)
            new.close()
            conn = await connected(pool, pool.route("a"), server)
            exchange = conn.exchange(HEAD)
            with pytest.raises(RuntimeError, match="has an exchange"):
                conn.exchange(HEAD)
            await exchange.future
            with pytest.raises(RuntimeError, match="not acquired"):
                conn.exchange(HEAD)

    uloop.run_until_complete(main())


# -- going away -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"]
)
def test_abandoned(uloop: Loop, answer: bytes) -> None:
    """A user that is cancelled: the socket is aborted, the slot free, nothing is told any more."""

    async def main() -> None:
        async with serving(script(answer)) as server, pooling(limit=1) as pool:
            conn = await connected(pool, pool.route("a"), server)
            exchange = conn.exchange(HEAD)
            await asyncio.sleep(0.01)
            assert pool.in_use == 1
            exchange.abandon()
            assert (pool.in_use, conn.state, conn.transport) == (0, "closed", None)
            assert not exchange.future.done()
            await support.settle()
            assert not exchange.future.done()
            exchange.abandon()
            (await pool.acquire(pool.route("a"))).close()

    uloop.run_until_complete(main())


def test_close_in_an_exchange(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(script(b"")) as server, pooling() as pool:
            for name in ("close", "abort", "release"):
                conn = await connected(pool, pool.route("a"), server)
                exchange = conn.exchange(HEAD)
                getattr(conn, name)()
                with pytest.raises(exceptions.ClientConnectionError, match="Connection closed"):
                    await exchange.future
                assert pool.in_use == 0

    uloop.run_until_complete(main())


def test_what_programs_see(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server, pooling() as pool:
            conn = await pool.acquire(pool.route("a"))
            assert (conn.transport, conn.protocol, conn.closed, conn.is_connected()) == (
                None,
                None,
                True,
                False,
            )
            await asyncio.get_running_loop().create_connection(lambda: conn, *server.address)
            assert conn.transport.get_extra_info("peername") == server.address
            assert conn.protocol is conn
            assert (conn.closed, conn.is_connected(), conn.key) == (False, True, "a")
            assert conn.loop is asyncio.get_running_loop()
            assert repr(conn) == "<HTTPConnection taken 'a'>"
            conn.release()
            conn.release()
            assert conn.state == "idle"
            conn.close()
            conn.close()
            conn.release()
            assert (conn.transport, conn.protocol, conn.closed, conn.is_connected()) == (
                None,
                None,
                True,
                False,
            )

    uloop.run_until_complete(main())


def test_exception_in_connection_made_twice(uloop: Loop) -> None:
    async def main() -> None:
        async with serving(answering) as server, pooling() as pool:
            conn = await connected(pool, pool.route("a"), server)
            with pytest.raises(RuntimeError):
                conn.connection_made(conn.transport)
            conn.close()

    uloop.run_until_complete(main())


# -- any other transport ----------------------------------------------------------------------


class Foreign(asyncio.Transport):
    """A transport that is not uvolt's."""

    def __init__(self, protocol: Any) -> None:
        super().__init__()
        self.protocol = protocol
        self.written = bytearray()
        self.calls: list[str] = []
        self.size = 0

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.size

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.calls.append(f"limit {high}")
        if self.size > 0:
            self.protocol.pause_writing()

    def is_closing(self) -> bool:
        return "close" in self.calls or "abort" in self.calls

    def __getattribute__(self, name: str) -> Any:
        if name in ("close", "abort", "pause_reading", "resume_reading"):
            return lambda: self.calls.append(name)
        return super().__getattribute__(name)


def test_foreign_transport(uloop: Loop) -> None:
    async def main() -> None:
        async with pooling() as pool:
            conn = await pool.acquire(pool.route("a"))
            transport = Foreign(conn)
            conn.connection_made(transport)
            exchange = conn.exchange(HEAD, b"body")
            assert transport.written == HEAD + b"body"
            data = b"HTTP/1.1 200 OK\r\nA: x\r\n y\r\nContent-Length: 5\r\n\r\nhello"
            before = bytes(data)
            conn.data_received(data)
            assert data == before  # folds are joined in a copy
            assert bytes(exchange.body) == b"hello"
            assert exchange.headers[0] == (b"A", b"x y")
            assert conn.state == "idle"
            await support.settle()
            assert await pool.acquire(pool.route("a")) is conn
            exchange = conn.exchange(HEAD)
            exchange.pause(True)
            exchange.pause(False)
            assert transport.calls == ["pause_reading", "resume_reading"]
            conn.data_received(bytearray(b"HTTP/1.1 200 OK\r\n\r\nx"))
            assert conn.eof_received() is False
            await exchange.future
            assert transport.calls[2:] == ["close"]
            conn.connection_lost(None)
            conn.connection_lost(None)

    uloop.run_until_complete(main())


def test_foreign_transport_that_drains_slowly(uloop: Loop) -> None:
    async def main() -> None:
        async with pooling() as pool:
            conn = await pool.acquire(pool.route("a"))
            transport = Foreign(conn)
            transport.size = 10
            conn.connection_made(transport)
            exchange = conn.exchange(HEAD)
            assert transport.calls == ["limit 0"]
            transport.size = 0
            conn.resume_writing()
            assert transport.calls == ["limit 0", "limit None"]
            conn.data_received(OK)
            assert exchange.over
            assert conn.state == "idle"
            conn.abort()
            conn.connection_lost(ConnectionResetError())

    uloop.run_until_complete(main())
