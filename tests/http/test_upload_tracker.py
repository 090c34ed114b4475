"""UploadTracker: how far an upload has come, on aiohttp and on uvolt.http."""

from __future__ import annotations

import asyncio
import warnings

import aiohttp
import pytest
import support
from http_support import answers, raw, response


async def pieces(n=3, size=10):
    for _ in range(n):
        yield b"x" * size


@pytest.mark.parametrize(
    "body, sent",
    [
        ({"data": lambda: b"abc"}, 3),
        ({"data": pieces}, 30),
        ({"data": lambda: b"x" * 100_000, "compress": lambda: True}, 100_000),
        ({"json": lambda: [1]}, 3),
        ({}, 0),
    ],
    ids=["bytes", "pieces", "compressed", "json", "none"],
)
def test_an_upload(client, body, sent):
    async def main():
        async with raw(answers(response(b"ok"))) as server, client.session() as http:
            tracker = client.http.UploadTracker()
            assert (tracker.attempts, tracker.bytes_written) == (0, 0)
            assert not tracker.upload_complete.done()
            kwargs = {name: value() for name, value in body.items()}
            async with http.post(server.url, upload_tracker=tracker, **kwargs) as r:
                assert await r.read() == b"ok"
            assert await tracker.upload_complete is None
            assert (tracker.attempts, tracker.bytes_written) == (1, sent)
            with pytest.raises(RuntimeError, match="already bound"):
                await http.get(server.url, upload_tracker=tracker)

    client.run(main)


def test_progress_is_what_the_system_has_taken(client):
    """The server reads nothing: what waits in the transport is not counted."""
    total = 8 << 20

    async def main():
        reading = asyncio.Event()

        async def server(peer):
            peer.transport.pause_reading()
            await reading.wait()
            peer.transport.resume_reading()
            await peer.request()
            peer.send(response(b"ok"))

        async with raw(server) as srv, client.session() as http:
            tracker = client.http.UploadTracker()
            asking = asyncio.ensure_future(
                http.request(
                    "POST", srv.url, data=pieces(total >> 16, 1 << 16), upload_tracker=tracker
                )
            )
            await support.until(lambda: tracker.bytes_written > 0)
            await asyncio.sleep(0.05)
            stuck = tracker.bytes_written
            assert 0 < stuck < total
            assert not tracker.upload_complete.done()
            reading.set()
            (await asking).close()
            await tracker.upload_complete
            assert tracker.bytes_written == total

    client.run(main)


def test_redirects_are_attempts_of_their_own(client):
    async def main():
        script = answers(response(b"", "307 There", Location="/2"), response(b"ok"))
        async with raw(script) as server, client.session() as http:
            tracker = client.http.UploadTracker()
            await http.post(server.url, data=b"abc", upload_tracker=tracker)
            await tracker.upload_complete
            assert (tracker.attempts, tracker.bytes_written) == (2, 3)

    client.run(main)


def test_a_body_that_nobody_wants(client):
    """The server answers before it has the body, and closes."""

    async def server(peer):
        await peer.request(body=False)
        peer.send(response(b"no", "413 Too Large", Connection="close"))

    async def main():
        async with raw(server) as srv, client.session() as http:
            tracker = client.http.UploadTracker()

            async def slow():
                yield b"abc"
                await asyncio.sleep(20)

            async with http.post(srv.url, data=slow(), upload_tracker=tracker) as r:
                assert r.status == 413
                await r.read()
            with pytest.raises(client.http.UploadAbortedError):
                await asyncio.wait_for(tracker.upload_complete, 5)

    client.run(main)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "ftp://h/", "/"])
def test_requests_that_fail_before_anything_is_sent(client, url):
    async def main():
        async with client.session() as http:
            tracker = client.http.UploadTracker()
            with pytest.raises(client.http.ClientError):
                await http.post(url, data=b"abc", upload_tracker=tracker)
            with pytest.raises(client.http.UploadAbortedError):
                await tracker.upload_complete
            assert tracker.bytes_written == 0
        tracker = client.http.UploadTracker()
        with pytest.raises(RuntimeError):
            await http.post(url, data=b"abc", upload_tracker=tracker)
        assert tracker.upload_complete.done()

    client.run(main)


def test_a_body_that_fails(client):
    async def broken():
        yield b"abc"
        raise KeyError("broken")

    async def main():
        async with raw(answers(response(b"ok"))) as server, client.session() as http:
            tracker = client.http.UploadTracker()
            with pytest.raises(client.http.ClientConnectionError) as caught:
                await http.post(server.url, data=broken(), upload_tracker=tracker)
            with pytest.raises(client.http.ClientConnectionError) as told:
                await tracker.upload_complete
            assert type(told.value) is type(caught.value)

    client.run(main)


def test_a_request_that_is_cancelled(client):
    async def main():
        async def server(peer):
            await peer.gone()

        async with raw(server) as srv, client.session() as http:
            tracker = client.http.UploadTracker()

            async def slow():
                yield b"abc"
                await asyncio.sleep(20)

            task = asyncio.ensure_future(
                http.request("POST", srv.url, data=slow(), upload_tracker=tracker)
            )
            await support.until(lambda: tracker.bytes_written == 3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(client.http.UploadAbortedError):
                await asyncio.wait_for(tracker.upload_complete, 5)

    client.run(main)


def test_a_tracker_without_a_loop(client):
    with pytest.raises(RuntimeError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client.http.UploadTracker()


def test_aiohttps_own_tracker_works(uloop):
    from http_support import Client

    client = Client("uvolt")

    async def main():
        async with raw(answers(response(b"ok"))) as server, client.session() as http:
            tracker = aiohttp.UploadTracker()
            await http.post(server.url, data=pieces(), upload_tracker=tracker)
            await tracker.upload_complete
            assert (tracker.attempts, tracker.bytes_written) == (1, 30)

    client.run(main)
