"""What aiohttp has not: times of a response, counters of a connector, connections made ahead, the
switch for requests that are repeated."""

from __future__ import annotations

import asyncio
import gc
import socket

import pytest
import support
from http_support import Client, answers, black_hole, chunked, raw, response

from uvolt import http

CLIENT = Client("uvolt")
run = CLIENT.run


class Names(http.AbstractResolver):
    """Every name is this machine."""

    async def resolve(self, host, port=0, family=socket.AF_INET):
        await asyncio.sleep(0.001)
        return [
            dict(hostname=host, host=support.LOCALHOST, port=port, family=socket.AF_INET,
                 proto=0, flags=0)
        ]  # fmt: skip

    async def close(self):
        pass


def in_order(*times) -> bool:
    return all(a <= b for a, b in zip(times, times[1:], strict=False))


# -- times ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_the_steps_of_a_request(traced, named):
    async def main():
        connector = http.TCPConnector(resolver=Names())
        configs = [http.TraceConfig()] if traced else None
        loop = asyncio.get_running_loop()
        async with (
            raw(answers(response(b"ok"))) as server,
            http.ClientSession(connector=connector, timings=True, trace_configs=configs) as session,
        ):
            url = server.url.replace(support.LOCALHOST, "host") if named else server.url
            before = loop.time()
            async with session.get(url) as r:
                await r.read()
            t = r.timings
            assert isinstance(t, http.ResponseTimings)
            dns = (t.dns,) if named else ()
            assert (t.dns is not None) is named
            assert in_order(
                before,
                t.start,
                t.queued,
                *dns,
                t.connect,
                t.sent,
                t.first_byte,
                t.done,
                loop.time(),
            )
            assert t.tls is None
            async with session.post(url, data=b"x") as again:
                await again.read()
            t = again.timings
            assert (t.dns, t.connect, t.tls) == (None, None, None)
            assert in_order(r.timings.done, t.start, t.queued, t.sent, t.first_byte, t.done)

    run(main)


def test_tls(certificates):
    async def main():
        async with raw(answers(response(b"ok")), ssl=certificates.server()) as server:
            async with http.ClientSession(timings=True) as session:
                r = await session.get(server.url, ssl=certificates.client())
                t = r.timings
                assert in_order(t.start, t.queued, t.connect, t.tls, t.sent, t.first_byte)

    run(main)


def test_times_are_when_things_happen():
    pause = 0.05

    async def script(peer):
        await peer.request()
        await asyncio.sleep(pause)
        data = response(b"x" * 100)
        peer.send(data[:5])
        await asyncio.sleep(pause)
        peer.send(data[5:-5])
        await asyncio.sleep(pause)
        peer.send(data[-5:])
        await peer.gone()

    async def body():
        yield b"a"
        await asyncio.sleep(pause)
        yield b"b"

    async def main():
        async with raw(script) as server, http.ClientSession(timings=True) as session:
            r = await session.post(server.url, data=body())
            t = r.timings
            assert t.sent - t.queued >= pause * 0.9
            assert t.first_byte - t.sent >= pause * 0.9
            # The head ends later than its first byte.
            assert asyncio.get_running_loop().time() - t.first_byte >= pause * 0.9
            assert t.done is None
            await r.read()
            assert r.timings.done - t.first_byte >= pause * 1.9

    run(main)


def test_the_wait_for_a_connection():
    async def script(peer):
        while True:
            await peer.request()
            data = response(b"x" * 100)
            peer.send(data[:-5])
            await asyncio.sleep(0.05)
            peer.send(data[-5:])

    async def main():
        connector = http.TCPConnector(limit=1)
        async with (
            raw(script) as server,
            http.ClientSession(connector=connector, timings=True) as session,
        ):

            async def one():
                async with session.get(server.url) as r:
                    await r.read()
                    return r.timings

            first, second = await asyncio.gather(one(), one())
            assert second.queued >= first.done
            assert second.queued - second.start >= 0.045

    run(main)


def test_each_hop_has_its_own():
    async def main():
        script = answers(response(b"", "302 There", Location="/2"), response(b"ok"))
        async with raw(script) as server, http.ClientSession(timings=True) as session:
            async with session.get(server.url) as r:
                await r.read()
            (first,) = r.history
            assert in_order(first.timings.start, first.timings.done, r.timings.start)
            assert first.timings.connect and r.timings.connect is None

    run(main)


def test_nobody_asked():
    async def main():
        async with raw(answers(response(b"ok"))) as server, http.ClientSession() as session:
            async with session.get(server.url) as r:
                assert r.timings is None

    run(main)


def test_a_connection_that_had_been_closed_is_not_in_the_times():
    async def script(peer):
        await peer.request()
        peer.send(response(b"ok"))
        if not peer.number:
            await peer.request()
            await asyncio.sleep(0.05)
            return
        await peer.gone()

    async def main():
        async with raw(script) as server, http.ClientSession(timings=True) as session:
            await session.get(server.url)
            r = await session.get(server.url)
            t = r.timings
            assert t.queued - t.start >= 0.045  # the attempt that came to nothing
            assert in_order(t.queued, t.connect, t.sent, t.first_byte)

    run(main)


def test_chunks_and_garbage():
    async def main():
        script = answers(response(chunked(b"a", b"b"), length=False, Transfer_Encoding="chunked"))
        async with raw(script) as server, http.ClientSession(timings=True) as session:
            r = await session.get(server.url)
            assert await r.text() == "ab"
            assert r.timings.done
            del r
            gc.collect()

    run(main)


# -- counters -------------------------------------------------------------------------------------


def test_counters():
    async def main():
        connector = http.TCPConnector(resolver=Names(), limit=2)
        assert connector.stats == http.ConnectorStats(0, 0, 0, 0, 0, 0, 0, 0)
        async with (
            raw(answers(response(b"ok"))) as server,
            http.ClientSession(connector=connector) as session,
        ):
            url = server.url.replace(support.LOCALHOST, "host")
            for _ in range(3):
                async with session.get(url) as r:
                    await r.read()
            assert connector.stats._asdict() == {
                "opened": 1,
                "reused": 2,
                "closed": 0,
                "in_use": 0,
                "idle": 1,
                "waiting": 0,
                "dns_hits": 0,
                "dns_misses": 1,
            }
        assert connector.stats.closed == 1

    run(main)


def test_counters_of_those_who_wait():
    async def script(peer):
        await peer.request()
        await peer.gone()

    async def main():
        connector = http.TCPConnector(limit=1)
        async with (
            raw(script) as server,
            http.ClientSession(connector=connector) as session,
        ):
            tasks = [asyncio.ensure_future(session.request("GET", server.url)) for _ in range(3)]
            await support.until(lambda: len(server.asked) == 1)
            stats = connector.stats
            assert (stats.in_use, stats.waiting, stats.opened) == (1, 2, 1)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert connector.stats.waiting == connector.stats.in_use == 0

    run(main)


def test_a_connection_that_is_handed_on_counts_as_used_again():
    async def script(peer):
        while True:
            await peer.request()
            await asyncio.sleep(0.01)
            peer.send(response(b"ok"))

    async def main():
        connector = http.TCPConnector(limit=1)
        async with raw(script) as server, http.ClientSession(connector=connector) as session:

            async def one():
                async with session.get(server.url) as r:
                    return await r.read()

            await asyncio.gather(*(one() for _ in range(4)))
            assert connector.stats[:3] == (1, 3, 0)

    run(main)


def test_counters_of_names():
    async def main():
        connector = http.TCPConnector(resolver=Names(), force_close=True)
        async with (
            raw(answers(response(b"ok"), close=True)) as server,
            http.ClientSession(connector=connector) as session,
        ):
            for _ in range(3):
                async with session.get(server.url.replace(support.LOCALHOST, "host")) as r:
                    await r.read()
            assert (connector.stats.dns_hits, connector.stats.dns_misses) == (2, 1)
            assert connector.stats[:2] == (3, 0)

    run(main)


def test_counters_of_a_unix_connector(tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        connector = http.UnixConnector(path)
        async with (
            raw(answers(response(b"ok")), path=path),
            http.ClientSession(connector=connector) as session,
        ):
            async with session.get("http://any/") as r:
                await r.read()
            assert connector.stats == http.ConnectorStats(1, 0, 0, 0, 1, 0)

    run(main)


# -- warming up -----------------------------------------------------------------------------------


def test_warming_up():
    async def main():
        connector = http.TCPConnector()
        async with (
            raw(answers(response(b"ok"))) as server,
            http.ClientSession(connector=connector) as session,
        ):
            assert await session.warmup(server.url, 3) == 3
            assert connector.stats[:5] == (3, 0, 0, 0, 3)
            assert await session.warmup(server.url + "/any/path?x=y", 4) == 4
            assert connector.stats.opened == 4  # the three are counted

            async def one():
                async with session.get(server.url) as r:
                    return await r.read()

            await asyncio.gather(*(one() for _ in range(4)))
            assert connector.stats.opened == 4

    run(main)


def test_warming_up_tls(certificates):
    async def main():
        context = certificates.client()
        connector = http.TCPConnector()
        async with (
            raw(answers(response(b"ok")), ssl=certificates.server()) as server,
            http.ClientSession(connector=connector) as session,
        ):
            await session.warmup(server.url, 2, ssl=context)
            async with session.get(server.url, ssl=context) as r:
                await r.read()
            assert connector.stats[:2] == (2, 1)

    run(main)


@pytest.mark.parametrize("limits, n", [({"limit": 2}, 2), ({"limit_per_host": 3}, 3)])
def test_the_limits_hold(limits, n):
    async def main():
        connector = http.TCPConnector(**limits)
        async with (
            raw(answers(response(b"ok"))) as server,
            http.ClientSession(connector=connector) as session,
        ):
            assert await session.warmup(server.url, 10) == n
            assert connector.stats.idle == n
            assert await session.warmup(server.url, 10) == n

    run(main)


def test_idle_connections_of_others_are_left_alone():
    async def main():
        connector = http.TCPConnector(limit=2)
        async with (
            raw(answers(response(b"one"))) as one,
            raw(answers(response(b"two"))) as two,
            http.ClientSession(connector=connector) as session,
        ):
            assert await session.warmup(one.url, 2) == 2
            assert await session.warmup(two.url, 1) == 0
            await support.until(lambda: one.open == 2)

    run(main)


def test_warming_up_in_vain():
    async def main():
        connector = http.TCPConnector()
        async with http.ClientSession(connector=connector) as session:
            with pytest.raises(http.ClientConnectorError):
                await session.warmup("http://127.0.0.1:1/", 3)
            with pytest.raises(http.InvalidURL):
                await session.warmup("http:///", 1)
            with black_hole() as port, pytest.raises(http.ConnectionTimeoutError):
                limit = http.ClientTimeout(connect=0.05)
                await session.warmup(f"http://127.0.0.1:{port}/", 2, timeout=limit)
            assert connector.stats.in_use == connector.stats.idle == 0
        with pytest.raises(RuntimeError, match="closed"):
            await session.warmup("http://127.0.0.1:1/")

    run(main)


def test_warming_up_is_cancelled():
    async def main():
        connector = http.TCPConnector()
        async with http.ClientSession(connector=connector) as session:
            with black_hole() as port:
                task = asyncio.ensure_future(session.warmup(f"http://127.0.0.1:{port}/", 2))
                await support.until(lambda: connector.stats.in_use == 2)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await support.until(lambda: connector.stats.in_use == 0)

    run(main)


# -- repeating ------------------------------------------------------------------------------------


async def closes_the_second(peer):
    """Answers one request of a connection, and reads another."""
    await peer.request()
    peer.send(response(b"ok"))
    await peer.request()


@pytest.mark.parametrize("per_request", [False, True])
@pytest.mark.parametrize("retry", [False, True])
@pytest.mark.parametrize("body", [{}, {"data": b"x"}, {"data": "pieces"}])
def test_repeating_is_a_choice(retry, per_request, body):
    async def pieces():
        yield b"x"

    async def main():
        options = {} if per_request else {"retry": retry}
        async with raw(closes_the_second) as server, http.ClientSession(**options) as session:
            assert session.retry is (True if per_request else retry)
            more = {"retry": retry} if per_request else {}

            async def put():
                data = pieces() if body.get("data") == "pieces" else body.get("data")
                async with session.put(server.url, data=data, **more) as r:
                    return await r.read()

            assert await put() == b"ok"
            if retry and body.get("data") != "pieces":  # a generator cannot be read again
                assert await put() == b"ok"
                assert len(server.asked) == 3
            else:
                with pytest.raises(http.ServerDisconnectedError):
                    await put()
                assert len(server.asked) == 2

    run(main)


@pytest.mark.parametrize("retry", [False, True])
def test_repeating_is_a_choice_behind_a_redirect_too(retry):
    async def redirects_then_closes(peer):
        await peer.request()
        peer.send(b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n")
        await peer.request()

    async def answers(peer):
        await peer.request()
        peer.send(response(b"ok"))

    async def main():
        peers = iter([redirects_then_closes, answers])

        async def in_turn(peer):
            await next(peers)(peer)

        async with raw(in_turn) as server, http.ClientSession(retry=retry) as session:
            if retry:
                async with session.get(server.url) as r:
                    assert await r.read() == b"ok"
            else:
                with pytest.raises(http.ServerDisconnectedError):
                    await session.get(server.url)
            assert len(server.asked) == (3 if retry else 2)

    run(main)


def test_a_post_is_not_repeated():
    async def main():
        async with raw(closes_the_second) as server, http.ClientSession(retry=True) as session:
            await session.post(server.url, data=b"x")
            with pytest.raises(http.ServerDisconnectedError):
                await session.post(server.url, data=b"x")
            assert len(server.asked) == 2

    run(main)


def test_the_switch_of_a_session():
    async def main():
        async with raw(closes_the_second) as server, http.ClientSession() as session:
            session.retry = False
            await session.get(server.url)
            with pytest.raises(http.ServerDisconnectedError):
                await session.get(server.url)

    run(main)
