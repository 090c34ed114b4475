"""pytest-asyncio runs a test module on the loop, by policy."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import support

MODULE = """
import asyncio
import pytest
import pytest_asyncio

EXPECTED = {expected!r}


def name():
    return type(asyncio.get_running_loop()).__module__.split(".")[0]


@pytest_asyncio.fixture
async def server():
    async def handle(reader, writer):
        writer.write((await reader.readline()).upper())
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()
    server.close()
    await server.wait_closed()


@pytest.mark.asyncio
async def test_runs_on_it():
    assert name() == EXPECTED


@pytest.mark.asyncio
async def test_fixture(server):
    assert name() == EXPECTED
    reader, writer = await asyncio.open_connection(*server)
    writer.write(b"hello\\n")
    assert await reader.read() == b"HELLO\\n"
    writer.close()
    await writer.wait_closed()


@pytest.mark.asyncio
@pytest.mark.parametrize("n", range(3))
async def test_parametrised(n):
    assert await asyncio.gather(*(asyncio.sleep(0, m) for m in range(n))) == list(range(n))


@pytest.mark.asyncio
async def test_timeout():
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.sleep(10), 0.01)
"""

CONFTEST = {
    "asyncio": """
        import asyncio
        import pytest

        @pytest.fixture(scope="session")
        def event_loop_policy():
            return asyncio.DefaultEventLoopPolicy()
    """,
    "uvolt": """
        import pytest
        import uvolt

        @pytest.fixture(scope="session")
        def event_loop_policy():
            return uvolt.EventLoopPolicy()
    """,
    "uvloop": """
        import pytest
        import uvloop

        @pytest.fixture(scope="session")
        def event_loop_policy():
            return uvloop.EventLoopPolicy()
    """,
}


def test_by_policy(loop_name, tmp_path):
    (tmp_path / "conftest.py").write_text(textwrap.dedent(CONFTEST[loop_name]))
    (tmp_path / "test_it.py").write_text(MODULE.format(expected=loop_name))
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:anyio", "-W", "error"]
    # newer ones would rather have a hook; policies are what programs have today
    options += ["-W", "ignore:Overriding the:pytest.PytestDeprecationWarning"]
    options += ["-o", "asyncio_default_fixture_loop_scope=function"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60 * support.SLOW,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout
