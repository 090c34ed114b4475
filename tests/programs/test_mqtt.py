"""aiomqtt with mosquitto: paho's socket on the loop's descriptor watchers."""

from __future__ import annotations

import asyncio
import contextlib

import aiomqtt
import pytest
import support
from servers import run

pytestmark = pytest.mark.servers


def client(mosquitto, name, **more):
    return aiomqtt.Client(
        support.LOCALHOST, mosquitto.port, identifier=name, **more, timeout=20 * support.SLOW
    )


async def collect(connection, count):
    seen = []
    async for message in connection.messages:
        seen.append((str(message.topic), bytes(message.payload)))
        if len(seen) == count:
            return seen


def test_publish_and_subscribe(loop, mosquitto):
    async def main():
        async with (
            client(mosquitto, "listener") as listener,
            client(mosquitto, "speaker") as speaker,
        ):
            await listener.subscribe("numbers/#", qos=2)
            reader = asyncio.ensure_future(collect(listener, 151))
            for n in range(50):
                for qos in range(3):
                    await speaker.publish(f"numbers/{qos}", str(n), qos=qos)
            big = b"x" * 1_000_000
            await speaker.publish("numbers/big", big, qos=1)
            seen = await reader
            for qos in range(3):
                got = [payload for topic, payload in seen if topic == f"numbers/{qos}"]
                assert got == [str(n).encode() for n in range(50)]
            assert ("numbers/big", big) in seen

    run(loop, main)


def test_retained_message_and_last_will(loop, mosquitto, expect_log):
    expect_log.allow("Future exception was never retrieved")  # aiomqtt's, of a lost connection

    async def main():
        async with client(mosquitto, "watcher") as watcher:
            await watcher.publish("state", b"on", qos=1, retain=True)
            await watcher.subscribe("state", qos=1)
            await watcher.subscribe("will", qos=1)
            assert await collect(watcher, 1) == [("state", b"on")]
            will = aiomqtt.Will("will", b"gone", qos=1)
            with contextlib.suppress(aiomqtt.MqttError):
                async with client(mosquitto, "mortal", will=will):
                    # The broker throws out the one who had the name before.
                    async with client(mosquitto, "mortal"):
                        assert await collect(watcher, 1) == [("will", b"gone")]
            await watcher.publish("state", b"", qos=1, retain=True)

    run(loop, main)


def test_tls(loop, mosquitto):
    async def main():
        context = mosquitto.certificates.client()
        async with aiomqtt.Client("localhost", mosquitto.tls_port, tls_context=context) as both:
            await both.subscribe("secret", qos=1)
            data = bytes(range(256)) * 2000
            for _ in range(5):
                await both.publish("secret", data, qos=1)
            assert await collect(both, 5) == [("secret", data)] * 5

    run(loop, main)


def test_cancelled_and_refused(loop, mosquitto):
    async def main():
        async with client(mosquitto, "waits") as connection:
            await connection.subscribe("nothing")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(collect(connection, 1), 0.05)
            await connection.publish("nothing", b"something")
            assert await collect(connection, 1) == [("nothing", b"something")]
        with pytest.raises(aiomqtt.MqttError):
            async with aiomqtt.Client(support.LOCALHOST, support.free_port()):
                pass

    run(loop, main)
