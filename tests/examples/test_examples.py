"""Every example on asyncio, by ``uvolt run`` and on the policy: the same output, no errors."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.unsanitized

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
TIMEOUT = 50  # seconds

POLICY = """
import asyncio, runpy, sys
import uvolt
asyncio.set_event_loop_policy(uvolt.EventLoopPolicy())
runpy.run_path(sys.argv[1], run_name="__main__")
"""

# How an example is started, and the loop it must then run on.
WAYS = {
    "python": ([], "asyncio.unix_events._UnixSelectorEventLoop"),
    "run": (["-m", "uvolt", "run"], "uvolt.loop.Loop"),
    "policy": (["-c", POLICY], "uvolt.loop.Loop"),
}

# sitecustomize.py: writes down which loop the coroutine given to asyncio.run() runs on; not in
# processes that the example starts.
WITNESS = """
import asyncio, os, sys

def witnessed(main, *args, _run=asyncio.run, **options):
    async def watched():
        kind = type(asyncio.get_running_loop())
        with open(os.environ["UVOLT_TEST_WITNESS"], "a") as file:
            print(f"{kind.__module__}.{kind.__qualname__}", file=file)
        return await main
    return _run(watched(), *args, **options)

if "--multiprocessing-fork" not in sys.orig_argv:
    asyncio.run = witnessed
"""

# A heartbeat of a dask worker that is under way when the cluster ends: on either loop, by chance.
HEARTBEAT = re.compile(
    r"^\S+ \S+ - distributed\.worker - ERROR - Failed to communicate with scheduler during "
    r"heartbeat\.\n"
    r"Traceback .*?^distributed\.comm\.core\.CommClosedError: [^\n]*heartbeat_worker[^\n]*\n",
    re.MULTILINE | re.DOTALL,
)

EXPECTED = {
    "api_calls.py": "weather: {'city': 'Ulm', 'celsius': 21}",
    "batches.py": "20 batches, 21,000 records\nat most 5 at a time",
    "chat.py": "clients left: 0",
    "contexts_and_iterators.py": "rows: [3, 2, 1, 0]",
    "dask_crawl.py": "150 pages in 6 waves\nworkers that took part: 2, their loop: uvolt.loop.Loop",
    "downloads.py": "missing.txt: DownloadError(missing.txt: 404 Not Found)",
    "executor.py": "the loop went on meanwhile: True",
    "fastapi_app.py": "/total 200 22.5\napplication stops",
    "fetch_many.py": "60 pages, 1,770 bytes\nin order: True\nat most 8 connections: True",
    "gather.py": "total      1,029,000\ngather was faster: True",
    "http_api_calls.py": "cheese: 12.00\nunicorns: 404 Not Found\ndragons: 503 Service Unavailable",
    "http_download.py": "] 100 %\n16,777,216 bytes, sha256",
    "http_scraper.py": "120 pages, 121 dead links\nat most 8 at a time: True",
    "http_upload.py": "file: {'size': 5250000, 'lines': 250000, 'length': '5250000'}",
    "periodic.py": "tick 5\nperiodic task: cancelled, cleaning up\ncancelled: True",
    "timeouts.py": "'slow' was cancelled\n  timed out",
    "web_server.py": "201 'note of client 8' '1 2 3 4 5 6 7 8 ' 404",
}


@functools.cache
def start(name: str, way: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """The example's end, and the loop it ran on; once each, "python" is what the others must do."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(WITNESS)
        witness = Path(folder, "witness.txt")
        witness.touch()
        path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH", "")]))
        options = ["-W", "always::ResourceWarning", *WAYS[way][0]]
        done = subprocess.run(
            [sys.executable, *options, str(ROOT / "examples" / name)],
            env={**os.environ, "PYTHONPATH": path, "UVOLT_TEST_WITNESS": str(witness)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        return done, witness.read_text()


def test_none_is_forgotten() -> None:
    assert sorted(EXPECTED) == EXAMPLES


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str, way: str) -> None:
    done, witnessed = start(name, way)
    assert (done.returncode, HEARTBEAT.sub("", done.stderr)) == (0, "")
    assert done.stdout == start(name, "python")[0].stdout
    assert EXPECTED[name] in done.stdout
    if name.startswith("http_"):  # by uvolt.run(): uvolt.http works on no other loop
        return
    assert witnessed == f"{WAYS[way][1]}\n"
