"""install(aiohttp=True), uninstall() and `uvolt run`: each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import support

pytestmark = pytest.mark.unsanitized

CHECK = """
import asyncio, threading
def check(cls, ours, module="aiohttp.client"):
    assert cls.__module__ == module, cls
    assert ("uvolt" in repr(cls.__mro__)) is ours, cls.__mro__
"""


def program(body: str, env: dict[str, str] | None = None) -> str:
    return support.script("asyncio", CHECK + body, env=env)


@pytest.mark.parametrize(
    "order",
    [
        "uvolt.install(aiohttp=True); import aiohttp",
        "import aiohttp; uvolt.install(aiohttp=True)",
        "uvolt.install(aiohttp=True); import aiohttp.client; import aiohttp",
        "uvolt.install(aiohttp=True); from aiohttp import web; import aiohttp",
        "uvolt.install(aiohttp=True); uvolt.install(aiohttp=True); import aiohttp",
        "uvolt.install(aiohttp=True); uvolt.uninstall(); uvolt.install(aiohttp=True); "
        "import aiohttp",
        "uvolt.install(aiohttp=True); import aiohttp; uvolt.uninstall(); "
        "uvolt.install(aiohttp=True)",
        "uvolt.install(aiohttp=True); import importlib as i; aiohttp = i.import_module('aiohttp')",
    ],
)
def test_any_order(order: str) -> None:
    program(
        f"""
import sys, uvolt
{order}
from aiohttp import ClientSession, TCPConnector, request
from aiohttp.client import ClientSession as again
from aiohttp.test_utils import ClientSession as third
check(ClientSession, True); check(TCPConnector, True, "aiohttp.connector")
assert ClientSession is again is third is aiohttp.ClientSession is aiohttp.client.ClientSession
loop = asyncio.new_event_loop(); assert isinstance(loop, uvolt.Loop); loop.close()
assert not any("swap" in type(finder).__module__ for finder in sys.meta_path)
assert type(aiohttp.__loader__).__name__ == type(aiohttp.__spec__.loader).__name__ == (
    "SourceFileLoader")
uvolt.uninstall()
from aiohttp import ClientSession
from aiohttp.test_utils import ClientSession as third
check(ClientSession, False); check(third, False)
assert ClientSession is aiohttp.client.ClientSession
"""
    )


def test_names_from_before_stay() -> None:
    program("""
import uvolt
from aiohttp import ClientSession as before
uvolt.install(aiohttp=True)
from aiohttp import ClientSession as after
check(before, False); check(after, True); assert issubclass(after, before)
""")


def test_request_was_wrapped_before() -> None:
    program("""
import functools, uvolt, aiohttp
inner, calls = aiohttp.ClientSession._request, []
@functools.wraps(inner)
async def wrapper(self, *args, **kwargs):
    calls.append(args)
    return await inner(self, *args, **kwargs)
aiohttp.ClientSession._request = wrapper
uvolt.install(aiohttp=True)
async def main():
    async with aiohttp.ClientSession() as session:
        try:
            await session.get("http://127.0.0.1:1/")
        except aiohttp.ClientConnectorError:
            calls.append("failed")
uvolt.run(main())
assert calls == [("GET", "http://127.0.0.1:1/"), "failed"], calls
""")


def test_uninstall_before_aiohttp_is_imported() -> None:
    program("""
import sys, uvolt
uvolt.install(aiohttp=True)
uvolt.uninstall()
import aiohttp
check(aiohttp.ClientSession, False)
assert "uvolt.http" not in sys.modules
""")


def test_import_stays_light() -> None:
    """Neither `import uvolt` nor install() imports aiohttp or the HTTP client."""
    program("""
import sys
import uvolt
assert not any(name.startswith(("uvolt.http", "uvolt.swap", "yarl")) for name in sys.modules)
uvolt.install()
assert "uvolt.swap" not in sys.modules
uvolt.install(aiohttp=True)
assert not {"aiohttp", "uvolt.http", "yarl", "multidict"} & sys.modules.keys()
""")


def test_aiohttp_is_not_installed() -> None:
    """The error is the one that there is without the swap."""
    program("""
import sys, uvolt
uvolt.install(aiohttp=True)
sys.path[:] = [path for path in sys.path if "site-packages" not in path]
try:
    import aiohttp
except ModuleNotFoundError as exc:
    assert exc.name == "aiohttp", exc
else:
    raise AssertionError
""")


def test_an_aiohttp_that_is_too_strange() -> None:
    """It is left alone, and a warning says so."""
    program("""
import logging, sys, types, uvolt
lines = []
class Handler(logging.Handler):
    def emit(self, record): lines.append(record.getMessage())
logging.getLogger("uvolt").addHandler(Handler())
import aiohttp
del aiohttp.ClientRequest
before = aiohttp.ClientSession
uvolt.install(aiohttp=True)
assert aiohttp.ClientSession is before
assert len(lines) == 1 and f"aiohttp {aiohttp.__version__} stays as it is" in lines[0], lines
""")


PROGRAM = """
import asyncio, sys
import aiohttp
async def main():
    async with aiohttp.ClientSession() as session:
        print(type(asyncio.get_running_loop()).__module__, "uvolt" in repr(type(session).__mro__))
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("options", "expected"),
    [([], "uvolt.loop True"), (["--no-aiohttp"], "uvolt.loop False")],
)
def test_uvolt_run(options: list[str], expected: str, tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(PROGRAM)
    words = [sys.executable, "-W", "error", "-m", "uvolt", "run", *options, "p.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=40)
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, "", expected)


def test_debug_mode_of_aiohttp() -> None:
    """There aiohttp warns of attributes that it does not know: not of ours."""
    program(
        """
import uvolt, warnings
uvolt.install(aiohttp=True)
import aiohttp
async def main():
    async with aiohttp.ClientSession() as session:
        await asyncio.sleep(0)
        try:
            session.mine = 1
        except DeprecationWarning as exc:
            assert "ClientSession.mine" in str(exc)
        else:
            raise AssertionError
asyncio.run(main())
""",
        env={"PYTHONASYNCIODEBUG": "1"},
    )
