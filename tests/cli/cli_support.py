"""Runs programs in a subprocess, by python itself and by ``uvolt run``, and tells what they did."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 40  # seconds
ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")  # of an object, in a repr: not the same twice
# What pip writes for the console script; a file of its own, so that no installation is needed.
CONSOLE_SCRIPT = "import sys\nfrom uvolt.cli import main\nsys.exit(main())\n"


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


def run(words: list[str], cwd: Path, *, stdin: str = "", **env: str) -> Outcome:
    """python with these arguments. The environment is ours, with env on top."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env={**os.environ, **env},
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT,
    )
    return Outcome(
        done.returncode, ADDRESS.sub("0x0", done.stdout), ADDRESS.sub("0x0", done.stderr)
    )


def uvolt(words: list[str], cwd: Path, **env: str) -> Outcome:
    """``python -m uvolt`` with these arguments."""
    return run(["-m", "uvolt", *words], cwd, **env)


def both(words: list[str], cwd: Path, *options: str) -> Outcome:
    """``python words`` and ``python -m uvolt run words``: asserts that they do the same."""
    expected = run([*options, *words], cwd)
    actual = run([*options, "-m", "uvolt", "run", *words], cwd)
    assert actual == expected
    return expected
