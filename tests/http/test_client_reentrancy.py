"""Code of the program runs inside the client: transports that are not uvolt's, task factories."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import support
from http_support import answers, raw, response
from test_request_fast import GENERAL, ok, run

import uvolt.http
from uvolt import http

HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n"


class Foreign(asyncio.Transport):
    """Calls `hook(name)` in each method."""

    def __init__(self, conn: Any, hook: Callable[[str], Any]) -> None:
        super().__init__()
        self.conn = conn
        self.hook = hook
        self.sent = b""

    def write(self, data: Any) -> None:
        self.hook("write")
        self.sent += bytes(data)

    def get_write_buffer_size(self) -> int:
        return int(self.hook("size") or 0)

    def set_write_buffer_limits(self, high: Any = None, low: Any = None) -> None:
        self.hook("limits")

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        asyncio.get_running_loop().call_soon(self.conn.connection_lost, None)
        self.hook("close")

    def abort(self) -> None:
        asyncio.get_running_loop().call_soon(self.conn.connection_lost, None)
        self.hook("abort")


class Connector(uvolt.http.TCPConnector):
    def __init__(self, hook: Callable[[str], Any]) -> None:
        super().__init__()
        self.hook = hook
        self.made: list[Any] = []

    async def _open(self, conn: Any, *_: Any) -> None:
        conn.connection_made(Foreign(conn, self.hook))
        self.made.append(conn)


@pytest.mark.parametrize("end", ["whole", "eof"])
def test_a_response_that_the_transport_drops(end: str) -> None:
    """It lives until it has been told."""

    async def main() -> None:
        held: list[Any] = []
        seen: list[bool] = []

        def hook(name: str) -> None:
            if held and name in ("close", "abort"):
                response = weakref.ref(held.pop())
                gc.collect()
                seen.append(response() is not None)

        async with uvolt.http.ClientSession(connector=Connector(hook)) as http:
            asking = asyncio.ensure_future(http.get("http://x.test/"))
            await asyncio.sleep(0.01)
            [conn] = http.connector.made
            conn.data_received(HEAD)
            held.append(await asking)
            del asking
            await asyncio.sleep(0)
            gc.collect()
            if end == "whole":
                conn.data_received(b"whole")
            else:
                conn.eof_received()
            assert seen == [True]

    run(main)


@pytest.mark.parametrize("way", [{}, GENERAL], ids=["fast", "general"])
def test_a_transport_that_cannot_write(way: dict[str, Any]) -> None:
    async def main() -> None:
        def hook(name: str) -> None:
            if name == "write":
                raise ZeroDivisionError

        async with uvolt.http.ClientSession(connector=Connector(hook)) as http:
            with pytest.raises(ZeroDivisionError):
                await http.get("http://x.test/", **way)
            assert http.connector._pool.in_use == 0

    run(main)


def test_a_request_that_fails_while_it_is_sent() -> None:
    """Before anybody waits for its answer."""

    async def main() -> None:
        def hook(name: str) -> int:
            if name == "limits":
                raise ZeroDivisionError
            return 10

        async with uvolt.http.ClientSession(connector=Connector(hook)) as http:
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(http.get("http://x.test/"), 5 * support.SLOW)

    run(main)


def lose(conn: Any) -> None:
    """As no transport does it: connection_lost() within a call."""
    conn.connection_lost(None)


ACTIONS: dict[str, Callable[[Any], Any]] = {
    "close": lambda conn: conn.close(),
    "abort": lambda conn: conn.abort(),
    "lose": lose,
    "eof": lambda conn: conn.eof_received(),
    "answer": lambda conn: conn.data_received(HEAD + b"whole"),
    "answer kept": lambda conn: conn.data_received(
        HEAD.replace(b"close", b"keep-alive") + b"whole"
    ),
    "pause": lambda conn: conn.pause_writing(),
    "pause and resume": lambda conn: (conn.pause_writing(), conn.resume_writing()),
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("size", [0, 10])
@pytest.mark.parametrize("method", ["write", "size", "limits", "size again"])
@pytest.mark.parametrize("follows", [False, True], ids=["get", "upload"])
def test_a_transport_that_acts_within_a_call(
    method: str, size: int, action: str, follows: bool
) -> None:
    """The request ends in some way, and its slot is free once, not twice."""

    async def pieces() -> Any:
        yield b"piece"
        await asyncio.sleep(0)
        yield b"piece"

    async def main() -> None:
        count = 0
        connector = Connector(lambda name: None)

        def hook(name: str) -> int:
            nonlocal count
            if name == method.split()[0] and count >= 0:
                count += 1
                if count == len(method.split()):
                    count = -1  # not again
                    ACTIONS[action](connector.made[-1])
            return size if count >= 0 else 0

        connector.hook = hook
        timeout = uvolt.http.ClientTimeout(total=0.2, sock_read=0.1, write=0.1)
        async with uvolt.http.ClientSession(connector=connector, timeout=timeout) as http:
            data = pieces() if follows else None
            asking = asyncio.ensure_future(http.post("http://x.test/", data=data))
            try:
                answer = await asking
                assert await answer.read() == b"whole"
            except (uvolt.http.ClientError, asyncio.TimeoutError):
                pass
            del asking
            await support.settle()
            pool = connector._pool
            assert (pool.in_use, pool.waiting) == (0, 0)
            assert pool.idle in (0, 1)
            for conn in pool.connections:
                conn.close()
            await support.settle()
            assert (pool.in_use, pool.idle, pool.waiting, pool.connections) == (0, 0, 0, [])
            count = -1
            asking = asyncio.ensure_future(http.get("http://x.test/"))
            await support.settle()
            connector.made[-1].data_received(HEAD + b"whole")
            assert await (await asking).read() == b"whole"

    run(main)


@pytest.mark.parametrize("way", ["as it is sent", "when the timer expires"])
def test_a_transport_that_sends_all_when_it_is_asked(way: str) -> None:
    """No timeout is left over from a write that was held up, but is not any more."""

    async def main() -> None:
        connector = Connector(lambda name: None)
        asked = 0

        def hook(name: str) -> int:
            nonlocal asked
            if name != "size":
                return 0
            conn = connector.made[-1]
            asked += 1
            if asked == 1:
                conn.pause_writing()  # asks again
            elif asked == (3 if way == "as it is sent" else 4):
                conn.resume_writing()
            return 10

        connector.hook = hook
        timeout = uvolt.http.ClientTimeout(total=5 * support.SLOW, write=0.05)
        async with uvolt.http.ClientSession(connector=connector, timeout=timeout) as http:
            asking = asyncio.ensure_future(http.get("http://x.test/"))
            await asyncio.sleep(0.2 * support.SLOW)
            connector.made[-1].data_received(HEAD + b"whole")
            assert await (await asking).read() == b"whole"
            assert asked == (3 if way == "as it is sent" else 4)

    run(main)


def test_a_transport_that_says_less_than_nothing() -> None:
    async def main() -> None:
        connector = Connector(lambda name: -5 if name == "size" else None)
        async with uvolt.http.ClientSession(connector=connector) as http:
            asking = asyncio.ensure_future(http.get("http://x.test/"))
            await support.settle()
            connector.made[-1].data_received(HEAD + b"whole")
            assert await (await asking).read() == b"whole"

    run(main)


@pytest.mark.parametrize("action", ["close", "abort", "lose"])
def test_who_is_woken_by_the_head_ends_the_exchange(action: str) -> None:
    """From within the call that tells of the head; what comes behind it is nobody's then."""

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        connector = Connector(lambda name: None)

        def call_soon(*args: Any, **context: Any) -> Any:
            del loop.call_soon
            ACTIONS[action](connector.made[-1])
            return loop.call_soon(*args, **context)

        async with uvolt.http.ClientSession(connector=connector) as http:
            asking = asyncio.ensure_future(http.get("http://x.test/"))
            await support.settle()
            loop.call_soon = call_soon
            connector.made[-1].data_received(HEAD + b"whole")
            answer = await asyncio.wait_for(asking, 5 * support.SLOW)
            assert answer.status == 200
            with pytest.raises(uvolt.http.ClientError):
                await answer.read()
            assert connector._pool.in_use == 0

    run(main)


def test_an_answer_before_the_upload_has_begun() -> None:
    """A task factory that lets the server answer at once."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        connector = Connector(lambda name: None)

        def factory(loop: Any, coro: Any, **options: Any) -> Any:
            if getattr(coro, "__name__", "") != "wait_for" and connector.made:
                connector.made[0].data_received(HEAD + b"whole")
            return asyncio.Task(coro, loop=loop, **options)

        async def pieces() -> Any:
            yield b"piece"

        async with uvolt.http.ClientSession(connector=connector) as http:
            loop.set_task_factory(factory)
            asking = http.post("http://x.test/", data=pieces())
            answer = await asyncio.wait_for(asking, 5 * support.SLOW)
            assert await answer.read() == b"whole"

    run(main)


def test_a_session_that_is_replaced_in_a_response() -> None:
    async def main() -> None:
        async with raw(ok) as server, uvolt.http.ClientSession() as http:
            for other in (5, object(), [1, 2, 3]):
                answer = await http.get(server.url)
                answer._session = other
                del answer
                gc.collect()

    run(main)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("length", [b"", b"Content-Length: 0\r\n"])
def test_what_follows_an_upgrade(method: str, length: bytes) -> None:
    """A 101 has no length, nor is it to a HEAD: what comes behind it is the content."""

    async def script(peer: Any) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: x\r\n" + length + b"\r\n")
        await asyncio.sleep(0.05)
        peer.send(b"more")
        await peer.gone()

    async def main() -> None:
        headers = {"Connection": "Upgrade", "Upgrade": "x"}
        async with raw(script) as server, uvolt.http.ClientSession() as http:
            async with http.request(method, server.url, headers=headers) as answer:
                assert answer.status == 101
                assert await answer.content.readany() == b"more"

    run(main)


def test_a_transport_whose_protocol_is_taken_away() -> None:
    """What comes then is an error of the program's, as for any protocol that cannot take it."""

    taken = asyncio.Event()

    async def script(peer: Any) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        await taken.wait()
        peer.send(b"more")
        await peer.gone()

    async def main() -> None:
        said: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: said.append(context["message"]))
        async with raw(script) as server, uvolt.http.ClientSession() as http:
            answer = await http.get(server.url)
            conn = answer.connection
            conn.transport.set_protocol(None)
            taken.set()
            await support.until(lambda: said)
            answer.release()
            conn.connection_lost(None)  # nobody else tells it
        assert "Fatal error: protocol.data_received() call failed." in said

    run(main)


def test_a_response_keeps_its_loop(uloop):
    async def main():
        async with raw(answers(response(b"x"))) as server, http.ClientSession() as session:
            async with session.get(server.url, timeout=http.ClientTimeout(total=60)) as answer:
                with pytest.raises(TypeError, match="loop"):
                    del answer._loop
                assert tuple(answer.version) == (1, 1)

    uloop.run_until_complete(main())


def test_the_body_is_replaced_while_its_encoding_is_asked_for(uloop):
    class Response(http.ClientResponse):
        def get_encoding(self):
            self._body = b"other"
            return "utf-8"

    async def main():
        text = "é" * 50_000
        body = response(text.encode(), Content_Type="text/plain")
        async with (
            raw(answers(body)) as server,
            http.ClientSession(response_class=Response) as session,
            session.get(server.url) as answer,
        ):
            assert await answer.text() == text

    uloop.run_until_complete(main())


@pytest.mark.parametrize("how", ["close", "detach"])
def test_the_session_is_closed_while_the_body_is_made(client, how):
    """The connector is open still: it is another's."""

    def serialize(_):
        if how == "detach":
            session.detach()
        else:
            with pytest.raises(StopIteration):
                session.close().send(None)
        return "{}"

    async def main():
        nonlocal session
        async with raw(ok) as server:
            connector = client.http.TCPConnector()
            session = client.session(
                connector=connector, connector_owner=False, json_serialize=serialize
            )
            with pytest.raises(RuntimeError if client.ours else AssertionError):
                await session.post(server.url, json={})
            assert not server.peers
            await connector.close()

    session = None
    client.run(main)


def test_a_method_that_cannot_be_written_and_no_url(client):
    async def main():
        async with client.session() as session:
            with pytest.raises(TypeError):
                session.request("\udc80")
            with pytest.raises(TypeError):
                session.request("GET", method="POST")
            with pytest.raises(TypeError):
                session.get()
            with pytest.raises(TypeError):
                session.get("http://x.test/", url="http://x.test/")

    client.run(main)


def test_a_method_whose_upper_case_is_no_text(client):
    class Method(str):
        def upper(self):
            return 5

    async def main():
        async with client.session() as session:
            with pytest.raises(TypeError):
                await session.request(Method("get"), "http://127.0.0.1:9/")

    client.run(main)


def test_the_body_is_taken_away_while_it_is_parsed(uloop):
    class Type(str):
        def __bool__(self):
            answer._body = None
            return True

    async def main():
        nonlocal answer
        async with raw(answers(response(b"{}", Content_Type="application/json"))) as server:
            async with http.ClientSession() as session, session.get(server.url) as answer:
                with pytest.raises(http.ClientConnectionError, match="Connection closed"):
                    await answer.json(content_type=Type("application/json"))

    answer = None
    uloop.run_until_complete(main())
