"""An allocation that fails in an exchange: an error, no crash, no slot or descriptor lost."""

from __future__ import annotations

import nomemory_support
import pytest
import support

pytest.importorskip("_testcapi", reason="this Python comes without the hook of its own tests")

SCRIPT = (
    nomemory_support.COMMON
    + """
from uvolt import _core
from uvolt.http import _support, exceptions

HEAD = b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"
address, child = answering(
    b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n",
    b"3\\r\\nabc\\r\\n0\\r\\n\\r\\n",
)


# No function is made while memory is short: CPython 3.12 and 3.13 crash then.
async def talk(loop, pool):
    conn = await pool.acquire(pool.route("a"))
    try:
        if conn.state == "new":
            await loop.create_connection([conn].pop, *address)
        exchange = conn.exchange(HEAD, b"body", read_timeout=5)
        await exchange.future
        assert bytes(exchange.body) == b"abc"
    except BaseException:
        conn.close()
        raise


async def reused(loop, pool, begin):
    await talk(loop, pool)
    begin()
    await talk(loop, pool)


async def made(loop, pool, begin):
    begin()
    await talk(loop, pool)


async def waited(loop, pool, begin):
    held = await pool.acquire(pool.route("a"))
    loop.call_soon(held.close)
    begin()
    (await pool.acquire(pool.route("a"))).close()


async def closed(loop, pool, begin):
    await talk(loop, pool)
    held = await pool.acquire(pool.route("a"))
    waiting = pool.acquire(pool.route("b"))
    waiting.send(None)
    begin()
    try:
        await pool.close()
    finally:
        held.release()
        waiting.close()


async def run(work, loop, pool, begin):
    try:
        await work(loop, pool, begin)
    finally:
        _testcapi.remove_mem_hooks()


def attempt(work, number):
    loop = new_loop()
    pool = _core.HTTPPool(loop, limit=1)

    def begin():
        fail_at(number)

    errors = exceptions.ClientError, OSError
    outcome, told = ending(loop, run(work, loop, pool, begin), number, errors)
    if outcome == "raised" and sys.version_info >= (3, 12) and pool.in_use:
        # These await through tp_iternext(): the connection is lost with the StopIteration that
        # should bring it, when there is no memory for one.
        lost.append(number)
        for conn in pool.connections:
            conn.close()
    if outcome != "told":
        assert pool.in_use == 0, (number, outcome, told, pool.connections)
        loop.run_until_complete(asyncio.wait_for(pool.close(), 10))
    loop.close()
    return outcome


work, attempts = globals()[sys.argv[1]], int(sys.argv[2])
try:
    for _ in range(3):
        assert attempt(work, None) == "done"
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    lost = []
    gc.disable()  # collected is after each, and not while memory is short
    outcomes = []
    for number in range(attempts):
        outcomes.append(attempt(work, number))
        gc.collect()
    assert len(lost) <= 1, lost
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    assert attempt(work, None) == "done"
    gc.collect()
    assert _core.counters()["http_connections_alive"] == 0, _core.counters()
    print(count(outcomes))
finally:
    os.kill(child, 9)
    os.waitpid(child, 0)
"""
)


@pytest.mark.parametrize(
    ("scenario", "attempts"), [("reused", 80), ("made", 150), ("waited", 40), ("closed", 30)]
)
def test_an_allocation_fails(scenario: str, attempts: int) -> None:
    out = support.script(
        "uvolt",
        SCRIPT,
        args=(scenario, str(attempts)),
        stderr=None,
        timeout=50,
        options=("-X", "faulthandler"),
    )
    assert "'raised'" in out or scenario == "closed"
    assert "'done'" in out
