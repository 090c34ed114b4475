"""Runs a program by python itself and by `uvolt run`: it must print the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import support

PRELUDE = '''
import asyncio, contextlib, json, logging, sys, warnings
warnings.simplefilter("ignore")
import aiohttp
from aiohttp import web

def engine(session):
    """Say whose session this is."""
    ours = any(cls.__module__ == "uvolt.http.client" for cls in type(session).__mro__)
    own = getattr(session, "_instead", None) is not None
    print("engine", "uvolt" if ours and not own else "aiohttp", file=sys.stderr)

@contextlib.asynccontextmanager
async def serve(**handlers):
    """handlers: by the first part of the path; gives the URL without a slash at its end."""
    async def handle(request):
        name = request.path.strip("/").split("/")[0].replace("@", "") or "root"
        return await handlers.get(name, handlers.get("rest"))(request)
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
'''


def both(program: str, directory: Path, *engines: str, oracle: bool = True) -> list[str]:
    """What the program prints, by either way. engines: what it says by engine() on uvolt. oracle:
    whether it works on the original at all."""
    path = directory / "program.py"
    path.write_text(PRELUDE + program)
    outputs: list[str] = []
    for words in ([], ["-m", "uvolt", "run"])[not oracle :]:
        cwd = directory / ("uvolt" if words else "python")
        cwd.mkdir()
        done = subprocess.run(
            [sys.executable, *words, str(path)],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=50 * support.SLOW,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr[-6000:]}"
        said = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("engine ")]
        rest = [line for line in done.stderr.splitlines() if not line.startswith("engine ")]
        assert not rest, done.stderr
        expected = engines if words else ("aiohttp",) * len(engines)
        assert tuple(said) == expected, (words, said)
        outputs.append(done.stdout)
    assert outputs[-1] == outputs[0]
    lines = outputs[0].splitlines()
    assert lines
    return lines
