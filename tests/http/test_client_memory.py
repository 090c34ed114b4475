"""An allocation that fails in a request of a session, from get() to the last byte: an error, no
crash, no hang, no slot, descriptor or byte lost."""

from __future__ import annotations

import nomemory_support
import pytest
import support

pytest.importorskip("_testcapi", reason="this Python comes without the hook of its own tests")

SCRIPT = (
    nomemory_support.COMMON
    + """
from uvolt import _core, http

TEXT = b'{"key": [1, 2, "' + b"x" * 3000 + b'"]}'
VALUE = http.client.json_module.loads(TEXT)
HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nX-Some: one\\r\\n"
WHOLE = b"Content-Length: %d\\r\\n\\r\\n" % len(TEXT) + TEXT
CHUNKED = b"Transfer-Encoding: chunked\\r\\n\\r\\n"
CHUNKS = [b"%x\\r\\n%s\\r\\n" % (len(part), part) for part in (TEXT[:100], TEXT[100:])]
ANSWERS = {
    "whole": [HEAD + WHOLE],
    "pieces": [HEAD, WHOLE[:200], WHOLE[200:]],
    "chunks": [HEAD + CHUNKED, *CHUNKS, b"0\\r\\nA: b\\r\\n\\r\\n"],
    "cookies": [HEAD + b"Set-Cookie: a=b\\r\\n" + WHOLE],
}


# No function is made while memory is short: CPython 3.12 and 3.13 crash then. json.dumps() makes
# some, and so does a jar.
def serialized(value):
    return str(value)


async def fetched(session, url):
    async with session.get(url) as answer:
        assert answer.status == 200
        assert await answer.json() == VALUE


async def posted(session, url):
    answer = await session.post(url, json=VALUE, headers={"X-Own": "two"})
    assert answer.headers["X-Some"] == "one"
    assert answer.request_info.headers["X-Own"] == "two"
    assert await answer.text() == TEXT.decode()


async def streamed(session, url):
    async with session.get(url) as answer:
        parts = []
        async for part in answer.content.iter_chunked(700):
            parts.append(part)
        assert b"".join(parts) == TEXT


async def dropped(session, url):
    await session.get(url)


async def timed(session, url):
    async with session.get(url, timeout=http.ClientTimeout(total=5, sock_read=5)) as answer:
        assert await answer.read() == TEXT


async def general(session, url):
    async with session.get(url, params={"a": "b"}) as answer:
        assert await answer.read() == TEXT


async def queued(session, url):
    held = await session.get(url)
    holding.append(held)
    asyncio.get_running_loop().call_later(0.01, held.close)
    await fetched(session, url)


def make_session(connector):
    return http.ClientSession(
        connector=connector, connector_owner=False, json_serialize=serialized
    )


async def reused(connector, begin):
    async with make_session(connector) as session:
        if work is general:
            session.cookie_jar
        await fetched(session, url)
        begin()
        await work(session, url)


async def first(connector, begin):
    begin()
    async with make_session(connector) as session:
        await work(session, url)


async def run(way, connector, begin):
    try:
        await way(connector, begin)
    finally:
        _testcapi.remove_mem_hooks()


def attempt(number):
    loop = new_loop()

    async def make():
        return http.TCPConnector(limit=1)

    connector = loop.run_until_complete(make())
    pool = connector._pool

    def begin():
        fail_at(number)

    errors = http.ClientError, OSError
    outcome, told = ending(loop, run(way, connector, begin), number, errors)
    holding.clear()
    assert pool.in_use == 0, (number, outcome, told, pool.connections)
    loop.run_until_complete(asyncio.wait_for(fetched_again(connector), 10))
    loop.run_until_complete(asyncio.wait_for(connector.close(), 10))
    loop.close()
    return outcome


async def fetched_again(connector):
    async with make_session(connector) as session:
        await fetched(session, url)


way, work, kind = globals()[sys.argv[1]], globals()[sys.argv[2]], sys.argv[3]
holding = []
address, child = answering(*ANSWERS[kind])
url = "http://%s:%d/path" % address
try:
    for _ in range(3):
        assert attempt(None) == "done"
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    gc.disable()  # collected is after each, and not while memory is short
    outcomes, number = [], 0
    while outcomes[-15:] != ["done"] * 15:
        outcomes.append(attempt(number))
        gc.collect()
        number += 1
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    assert attempt(None) == "done"
    gc.collect()
    assert _core.counters()["http_connections_alive"] == 0, _core.counters()
    print(number, count(outcomes))
finally:
    os.kill(child, 9)
    os.waitpid(child, 0)
"""
)


@pytest.mark.parametrize(
    ("way", "work", "kind"),
    [
        ("reused", "fetched", "whole"),
        ("first", "fetched", "whole"),
        ("reused", "posted", "pieces"),
        ("reused", "streamed", "chunks"),
        ("reused", "dropped", "pieces"),
        ("reused", "timed", "pieces"),
        ("reused", "queued", "pieces"),
        ("reused", "fetched", "cookies"),
        ("reused", "general", "whole"),
    ],
)
def test_an_allocation_fails(way: str, work: str, kind: str) -> None:
    out = support.script(
        "uvolt",
        SCRIPT,
        args=(way, work, kind),
        stderr=None,
        timeout=50,
        options=("-X", "faulthandler"),
    )
    assert "'raised'" in out
    assert "'done'" in out
