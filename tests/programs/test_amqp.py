"""aio-pika with RabbitMQ: confirms, acknowledgements, calls over queues, TLS."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import aio_pika
import pytest
import support
from aio_pika.patterns import RPC
from servers import run

pytestmark = [
    pytest.mark.servers,
    pytest.mark.unsanitized,
    # Python 3.10 wants every TLS transport closed by the program, the ones the peer closed, too.
    pytest.mark.filterwarnings("ignore:unclosed transport <asyncio.sslproto"),
]


@pytest.fixture(autouse=True)
def quiet(caplog):
    """Its log of lost connections holds on to them, and pytest to the log."""
    for name in ("aio_pika", "aiormq"):
        caplog.set_level(logging.CRITICAL, name)


@contextlib.asynccontextmanager
async def channel(port, *, connect=aio_pika.connect, **more):
    connection = await connect(f"amqp://guest:guest@{support.LOCALHOST}:{port}/", **more)
    async with connection:
        yield await connection.channel(on_return_raises=True)


def test_publish_and_consume(loop, rabbitmq):
    async def main():
        async with channel(rabbitmq.port) as sender, channel(rabbitmq.port) as receiver:
            queue = await receiver.declare_queue("", exclusive=True)
            bodies = [f"text {n}".encode() for n in range(300)] + [b"x" * 1_000_000]
            for body in bodies:  # each is confirmed by the broker
                await sender.default_exchange.publish(aio_pika.Message(body), queue.name)
            await receiver.set_qos(prefetch_count=10)
            seen = []
            async with queue.iterator() as messages:
                async for message in messages:
                    async with message.process():
                        seen.append(message.body)
                    if len(seen) == len(bodies):
                        break
            assert seen == bodies
            assert (await queue.purge()).message_count == 0

    run(loop, main)


def test_topics_and_rejected_messages(loop, rabbitmq):
    async def main():
        async with channel(rabbitmq.port) as ours:
            exchange = await ours.declare_exchange("news", "topic", auto_delete=True)
            queue = await ours.declare_queue("", exclusive=True)
            await queue.bind(exchange, "weather.*")
            await exchange.publish(aio_pika.Message(b"sun"), "weather.ulm")
            with pytest.raises(aio_pika.exceptions.DeliveryError):
                await exchange.publish(aio_pika.Message(b"nobody"), "sport.ulm")
            message = await queue.get(timeout=10)
            assert message.body == b"sun" and not message.redelivered
            await message.reject(requeue=True)
            again = await queue.get(timeout=10)
            assert again.body == b"sun" and again.redelivered
            await again.ack()
            with pytest.raises(aio_pika.exceptions.QueueEmpty):
                await queue.get(timeout=10)
            await queue.unbind(exchange, "weather.*")

    run(loop, main)


def test_calls_over_queues(loop, rabbitmq):
    async def main():
        async with channel(rabbitmq.port) as server, channel(rabbitmq.port) as client:

            async def double(*, n):
                return 2 * n

            async def fail():
                raise ZeroDivisionError("no")

            rpc = await RPC.create(server)
            await rpc.register("double", double, auto_delete=True)
            await rpc.register("fail", fail, auto_delete=True)
            calls = await RPC.create(client)
            results = await asyncio.gather(
                *(calls.call("double", kwargs={"n": n}) for n in range(50))
            )
            assert results == list(range(0, 100, 2))
            with pytest.raises(ZeroDivisionError):
                await calls.call("fail")
            await calls.close()
            await rpc.close()

    run(loop, main)


def test_tls(loop, rabbitmq):
    async def main():
        connection = await aio_pika.connect(
            f"amqps://guest:guest@localhost:{rabbitmq.tls_port}/",
            ssl_context=rabbitmq.certificates.client(),
        )
        async with connection:
            ours = await connection.channel()
            queue = await ours.declare_queue("", exclusive=True)
            body = bytes(range(256)) * 4000
            await ours.default_exchange.publish(aio_pika.Message(body), queue.name)
            message = await queue.get(timeout=20)
            await message.ack()
            assert message.body == body

    run(loop, main)


def test_refused(loop, rabbitmq):
    async def main():
        with pytest.raises(ConnectionError):
            await aio_pika.connect(f"amqp://{support.LOCALHOST}:{support.free_port()}/")
        with pytest.raises(aio_pika.exceptions.ProbableAuthenticationError):
            await aio_pika.connect(f"amqp://who:what@{support.LOCALHOST}:{rabbitmq.port}/")

    run(loop, main)
