"""What a program pays before its own first line, in instructions: clocks tell of other programs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(not shutil.which("valgrind"), reason="needs valgrind"),
    pytest.mark.timeout(300),
]


def millions(*words: str) -> float:
    """Instructions in user mode of `python words`, in millions."""
    environ = {**os.environ, "PYTHONHASHSEED": "0"}
    for name in ("PYTHONDONTWRITEBYTECODE", "LD_PRELOAD"):  # the latter: no sanitizer in valgrind
        environ.pop(name, None)
    python = [sys.executable, *words]
    subprocess.run(python, env=environ, check=True, timeout=60)  # now all is compiled
    tool = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    done = subprocess.run(
        [*tool, *python], env=environ, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"I +refs: +([\d,]+)", done.stderr)
    assert found, done.stderr
    return int(found[1].replace(",", "")) / 1e6


def test_import_uvolt_is_small_beside_asyncio() -> None:
    """uvloop's costs about as much: less in instructions, more in pages that are read."""
    base = millions("-c", "import asyncio")
    assert 0 < millions("-c", "import uvolt") - base < base / 12


def test_uvolt_run_starts_aiohttp_programs_faster_than_python(tmp_path: Path) -> None:
    """With uvolt.http and the swap beside aiohttp; aiohttp's contexts read no certificates then."""
    program = tmp_path / "empty.py"
    program.write_text(
        "import asyncio, aiohttp\n"
        "async def main():\n"
        "    async with aiohttp.ClientSession(): pass\n"
        "asyncio.run(main())\n"
    )
    assert millions("-m", "uvolt", "run", str(program)) < 0.9 * millions(str(program))
