"""Tests of programs, with uvolt.install(aiohttp=True) in their conftest.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unsanitized

CONFTEST = "import uvolt\nuvolt.install(aiohttp=True)\n"

COMMON = """
import asyncio
import aiohttp, pytest, uvolt
from aiohttp import web
from uvolt import http

async def hello(request):
    return web.json_response({"path": request.path})

def make_app():
    app = web.Application()
    app.router.add_get("/{any:.*}", hello)
    return app

def is_ours(session):
    return isinstance(session, http.ClientSession) and isinstance(session._loop, uvolt.Loop)
"""

WITH_PYTEST_ASYNCIO = """
import pytest_asyncio
from aiohttp.test_utils import TestServer

@pytest_asyncio.fixture
async def server():
    async with TestServer(make_app()) as server:
        yield server

@pytest_asyncio.fixture
async def session():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
        yield session

@pytest.mark.asyncio
@pytest.mark.parametrize("n", range(3))
async def test_fixtures(server, session, n):
    assert is_ours(session)
    async with session.get(server.make_url(f"/{n}")) as response:
        assert (await response.json()) == {"path": f"/{n}"}

@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared():
    async with aiohttp.ClientSession() as session:
        yield session

@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("n", range(2))
async def test_one_session_for_a_module(shared, n):
    async with TestServer(make_app()) as server:
        assert is_ours(shared)
        assert (await shared.get(server.make_url("/x"))).status == 200

@pytest.mark.asyncio
async def test_a_session_of_another_loop_says_so(shared):
    with pytest.raises(RuntimeError):
        await shared.get("http://127.0.0.1:1/")
"""

WITH_AIOHTTPS_PLUGIN = """
from aiohttp.test_utils import AioHTTPTestCase

async def test_client_fixture(aiohttp_client):
    client = await aiohttp_client(make_app())
    assert is_ours(client.session)
    response = await client.get("/a")
    assert response.status == 200 and isinstance(response, http.ClientResponse)

async def test_server_fixture(aiohttp_server):
    server = await aiohttp_server(make_app())
    async with aiohttp.ClientSession() as session:
        assert is_ours(session)
        assert (await session.get(server.make_url("/b"))).status == 200

class TestCase(AioHTTPTestCase):
    async def get_application(self):
        return make_app()

    async def test_it(self):
        assert is_ours(self.client.session)
        async with self.client.get("/c") as response:
            self.assertEqual(await response.json(), {"path": "/c"})
"""


def check(directory: Path, body: str, passed: int, *options: str) -> None:
    (directory / "conftest.py").write_text(CONFTEST)
    (directory / "test_it.py").write_text(COMMON + body)
    words = ["-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=strict", *options]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--rootdir", str(directory), *words, "test_it.py"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{passed} passed" in done.stdout


def test_pytest_asyncio(tmp_path: Path) -> None:
    check(tmp_path, WITH_PYTEST_ASYNCIO, 6)


def test_aiohttps_own_plugin(tmp_path: Path) -> None:
    check(tmp_path, WITH_AIOHTTPS_PLUGIN, 3, "-p", "aiohttp.pytest_plugin", "-p", "no:asyncio")
