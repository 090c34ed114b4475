"""pyzmq's asynchronous sockets: one descriptor each, that tells edges, on the loop's watchers."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import support
import zmq
import zmq.asyncio
from servers import run

TRANSPORTS = ("tcp", "ipc", "inproc")


@contextlib.contextmanager
def sockets(*kinds):
    context = zmq.asyncio.Context()
    made = [context.socket(kind) for kind in kinds]
    try:
        yield made
    finally:
        context.destroy(linger=0)


def bound(socket, transport, tmp_path):
    address = {"tcp": "tcp://127.0.0.1:*", "ipc": f"ipc://{tmp_path}/s", "inproc": "inproc://s"}
    socket.bind(address[transport])
    return socket.getsockopt_string(zmq.LAST_ENDPOINT)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_push_and_pull(loop, transport, tmp_path):
    async def main():
        with sockets(zmq.PUSH, zmq.PULL) as (push, pull):
            pull.connect(bound(push, transport, tmp_path))
            messages = [[b"%d" % n, b"x" * n] for n in range(2000)]

            async def send():
                for message in messages:
                    await push.send_multipart(message)

            task = asyncio.ensure_future(send())
            assert [await pull.recv_multipart() for _ in messages] == messages
            await task

    run(loop, main)


def test_requests_and_replies(loop, tmp_path):
    async def main():
        with sockets(zmq.ROUTER, *[zmq.REQ] * 10) as (server, *clients):
            address = bound(server, "tcp", tmp_path)

            async def serve():
                while True:
                    who, empty, n = await server.recv_multipart()
                    await server.send_multipart([who, empty, b"%d" % (2 * int(n))])

            async def ask(client):
                client.connect(address)
                for n in range(50):
                    await client.send(b"%d" % n)
                    assert await client.recv() == b"%d" % (2 * n)

            task = asyncio.ensure_future(serve())
            await asyncio.gather(*map(ask, clients))
            task.cancel()
            await asyncio.wait([task])

    run(loop, main)


def test_publish_and_subscribe(loop, tmp_path):
    async def main():
        with sockets(zmq.XPUB, zmq.SUB, zmq.SUB) as (publisher, *subscribers):
            address = bound(publisher, "tcp", tmp_path)
            for subscriber in subscribers:
                subscriber.connect(address)
                subscriber.subscribe(b"a")
            # XPUB tells of each first subscription to a topic; the second is seen by its messages.
            assert await publisher.recv() == b"\x01a"

            async def receive(subscriber):
                return [await subscriber.recv_string() for _ in range(100)]

            first, second = (asyncio.ensure_future(receive(s)) for s in subscribers)
            n = 0
            while not (first.done() and second.done()):
                await publisher.send_string(f"b{n}")
                await publisher.send_string(f"a{n}")
                n += 1
                await asyncio.sleep(0)
            for task in (first, second):
                start = int(task.result()[0][1:])
                assert task.result() == [f"a{m}" for m in range(start, start + 100)]

    run(loop, main)


def test_poller_timeouts_and_cancellation(loop, tmp_path):
    async def main():
        with sockets(zmq.PAIR, zmq.PAIR) as (a, b):
            b.connect(bound(a, "tcp", tmp_path))
            poller = zmq.asyncio.Poller()
            poller.register(b, zmq.POLLIN)
            assert await poller.poll(timeout=20) == []
            await a.send(b"one")
            assert await poller.poll(timeout=10_000) == [(b, zmq.POLLIN)]
            assert await b.recv() == b"one"
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(b.recv(), 0.02)
            b.rcvtimeo = 20
            with pytest.raises(zmq.Again):
                await b.recv()
            b.rcvtimeo = -1
            waiting = asyncio.ensure_future(b.recv())
            await support.settle()
            waiting.cancel()
            await a.send(b"two")
            assert await b.recv() == b"two"

    run(loop, main)
