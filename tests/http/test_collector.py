"""The garbage collector runs in the middle of requests: what it may take, and what not.

asyncio's tasks live as long as something leads to what they wait for; with aiohttp the socket does.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import support
from http_support import raw

import uvolt.http

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


async def slowly(peer: Any) -> None:
    while True:
        await peer.request()
        for part in (HEAD, b"ab", b"cd"):
            await asyncio.sleep(0.03)
            peer.send(part)


async def collect_until(done: asyncio.Event) -> None:
    """The collector at each turn, until it is done; no reference leads from here to who does it."""
    async with asyncio.timeout(10 * support.SLOW) if support.PY >= (3, 11) else _Forever():
        while not done.is_set():
            gc.collect()
            await asyncio.sleep(0.005)


class _Forever:
    async def __aenter__(self) -> None: ...
    async def __aexit__(self, *_: object) -> None: ...


async def by_text(answer: Any) -> None:
    assert await answer.text() == "abcd"


async def by_read(answer: Any) -> None:
    assert await answer.content.read(3) + await answer.content.read(3) == b"abcd"


async def by_exactly(answer: Any) -> None:
    assert await answer.content.readexactly(4) == b"abcd"


async def by_pieces(answer: Any) -> None:
    assert b"".join([piece async for piece in answer.content.iter_any()]) == b"abcd"


async def by_end(answer: Any) -> None:
    await answer.content.wait_eof()


async def by_content(answer: Any) -> None:
    content = answer.content
    del answer
    assert await content.read() == b"abcd"


READS: list[Callable[[Any], Awaitable[None]]] = [
    by_text,
    by_read,
    by_exactly,
    by_pieces,
    by_end,
    by_content,
]


@pytest.mark.parametrize("read", READS)
def test_a_task_that_nobody_keeps(client, read) -> None:
    """It waits for the head, then for the body, and only the socket leads to it."""

    async def main() -> None:
        done = asyncio.Event()

        async def work(url: str) -> None:
            async with client.session() as http:
                await read(await http.get(url))
            done.set()

        async with raw(slowly) as server:
            asyncio.ensure_future(work(server.url))
            await collect_until(done)

    client.run(main)


def test_tasks_that_wait_for_a_slot(client) -> None:
    async def main() -> None:
        done = asyncio.Event()
        count = 0

        async def work(http: Any, url: str) -> None:
            nonlocal count
            async with http.get(url) as answer:
                assert await answer.read() == b"abcd"
            count += 1
            if count == 4:
                done.set()

        connector = client.http.TCPConnector
        async with raw(slowly) as server, client.session(connector=connector(limit=1)) as http:
            for _ in range(4):
                asyncio.ensure_future(work(http, server.url))
            await collect_until(done)

    client.run(main)


def test_a_task_that_waits_for_the_socket(client) -> None:
    """Its SYN is dropped, since the listener's queue is full; it comes again a second later."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        async def work(url: str) -> None:
            async with client.session() as http, http.get(url) as answer:
                assert await answer.read() == b"abcd"
            done.set()

        async def serve(listener: socket.socket) -> None:
            await asyncio.sleep(0.3)
            for waiting in fill:
                waiting.close()
            while True:
                sock, _ = await loop.sock_accept(listener)
                with sock:
                    if await loop.sock_recv(sock, 4096):
                        await loop.sock_sendall(sock, HEAD + b"abcd")
                        return

        fill = [socket.socket() for _ in range(3)]
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
            listener.setblocking(False)
            for sock in fill:
                sock.setblocking(False)
                sock.connect_ex(listener.getsockname())
            serving = asyncio.ensure_future(serve(listener))
            asyncio.ensure_future(work(f"http://127.0.0.1:{listener.getsockname()[1]}/"))
            await collect_until(done)
            await serving

    client.run(main)


def test_an_upload_that_nobody_keeps(client) -> None:
    async def main() -> None:
        done = asyncio.Event()

        async def pieces() -> Any:
            for _ in range(40):
                yield b"x" * 100_000

        async def script(peer: Any) -> None:
            await peer.request(body=False)
            peer.transport.pause_reading()
            await asyncio.sleep(0.1)
            peer.transport.resume_reading()
            await peer.until(b"\r\n0\r\n\r\n")
            peer.send(HEAD + b"abcd")

        async def work(url: str) -> None:
            async with client.session() as http, http.post(url, data=pieces()) as answer:
                await by_text(answer)
            done.set()

        async with raw(script) as server:
            asyncio.ensure_future(work(server.url))
            await collect_until(done)

    client.run(main)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of what nobody has closed
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_request_that_is_dropped_with_its_loop() -> None:
    """What the loop keeps does not keep the loop."""

    async def work(http: Any, url: str) -> None:
        await http.get(url)

    async def main(loop: Any, url: str) -> None:
        connector = uvolt.http.TCPConnector(limit=1)
        loop.kept = uvolt.http.ClientSession(connector=connector)
        for _ in range(2):
            asyncio.ensure_future(work(loop.kept, url))
        await asyncio.sleep(0.1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        loop = support.factory("uvolt")()
        loop.run_until_complete(main(loop, f"http://127.0.0.1:{listener.getsockname()[1]}/"))
        seen = weakref.ref(loop.kept)
        loop.set_exception_handler(lambda loop, context: None)
        loop.close()
        loop.kept = None
        del loop
        gc.collect()
        assert seen() is None


RESPONSE_IN_A_CYCLE = """
import asyncio, gc, socket, threading, time
import uvolt
from uvolt import http

class Response(http.ClientResponse):
    pass

HEAD = b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n"
CHUNK = b"2\\r\\nok\\r\\n"

def serve(listener):
    sock = listener.accept()[0]
    sock.recv(4096)
    sock.sendall(HEAD + CHUNK)
    time.sleep(0.3)
    sock.sendall(CHUNK)
    time.sleep(0.3)
    sock.close()

async def main(url):
    loop = asyncio.get_running_loop()
    async with http.ClientSession(response_class=Response) as session:
        gc.collect()
        gc.disable()
        answer = await session.get(url)
        answer.itself = [answer]
        done = loop.create_future()
        loop.call_later(0.6, done.set_result, None)
        many = [[] for _ in range(3000)]  # the next object that is made runs the collector
        del answer
        gc.set_threshold(700, 0, 0)
        loop.call_soon(gc.enable)
        await done

with socket.create_server(("127.0.0.1", 0)) as listener:
    server = threading.Thread(target=serve, args=(listener,))
    server.start()
    uvolt.run(main("http://127.0.0.1:%d/" % listener.getsockname()[1]))
    server.join()
print("done")
"""


def test_a_response_is_collected_while_it_is_fed() -> None:
    assert support.script("uvolt", RESPONSE_IN_A_CYCLE).split() == ["done"]


def test_content_that_is_dropped_gives_the_slot_up_at_once() -> None:
    async def main() -> None:
        async with raw(slowly) as server, uvolt.http.ClientSession() as http:
            answer: Any = await http.get(server.url)
            content: Any = answer.content
            seen = weakref.ref(answer)
            gc.disable()
            try:
                del answer
                assert await content.read(1) == b"a"
                assert http.connector._pool.in_use == 1
                del content
                assert http.connector._pool.in_use == 0
                assert seen() is None
            finally:
                gc.enable()

    uvolt.run(main())


def test_a_response_that_comes_back_when_its_content_has_gone() -> None:
    async def main() -> None:
        async with raw(slowly) as server, uvolt.http.ClientSession() as http:
            answer: Any = await http.get(server.url)
            content: Any = answer.content
            seen = weakref.ref(answer)
            del answer
            answer = seen()
            assert answer.content is content
            del content
            with pytest.raises(uvolt.http.ClientConnectionError):
                await answer.read()

    uvolt.run(main())


RESPONSE_DROPPED_ELSEWHERE = """
import asyncio, ctypes, gc, socket, sys, threading
import uvolt
from uvolt import http

libc = ctypes.PyDLL(None)  # its calls keep the GIL
sys.setswitchinterval(10)
HEAD = b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n"
CHUNK = b"2\\r\\nok\\r\\n"

class Response(http.ClientResponse):
    pass

def act(peer):
    peer.settimeout(20)
    peer.recv(4096)
    peer.sendall(HEAD)
    threading.Event().wait(0.2)  # the loop has the answer, and sleeps
    assert libc.send(peer.fileno(), CHUNK, len(CHUNK), 0) == len(CHUNK)
    libc.usleep(20_000)  # now it waits for the GIL
    gc.collect()

async def main(listener):
    gc.disable()
    connector = http.TCPConnector(limit=1)
    async with http.ClientSession(connector=connector, response_class=Response) as session:
        url = "http://127.0.0.1:%d/" % listener.getsockname()[1]
        asking = asyncio.ensure_future(session.get(url))
        await asyncio.sleep(0.05)
        peer = listener.accept()[0]
        threading.Thread(target=act, args=(peer,)).start()
        answer = await asking
        answer.itself = [answer]
        del answer, asking
        second = asyncio.ensure_future(session.get(url))  # waits for the slot
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        next_peer = await loop.sock_accept(listener)  # nothing else wakes the loop
        next_peer[0].sendall(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")
        print((await second).status)
        peer.close()
        next_peer[0].close()

with socket.create_server(("127.0.0.1", 0)) as listener:
    listener.setblocking(False)
    uvolt.run(main(listener))
"""


def test_a_response_that_another_thread_collects() -> None:
    """As the loop is about to read more of it: the slot is the next request's at once."""
    out = support.script("uvolt", RESPONSE_DROPPED_ELSEWHERE)
    assert out == "204\n"
