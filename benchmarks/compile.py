"""Compiles the C programs of benchmarks/csrc on the spot, into build/bench."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent
BUILD = ROOT.parent / "build" / "bench"
FLAGS = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra"]
# program -> its source, the libraries of pkg-config, further flags
PROGRAMS: dict[str, tuple[str, list[str], list[str]]] = {
    "echo_load": ("echo_load.c", [], []),
    "tls_load": ("echo_load.c", ["libssl", "libcrypto"], ["-DWITH_TLS"]),
    "echo_server_uv": ("echo_server_uv.c", ["libuv"], []),
    "http_server_uv": ("http_server_uv.c", ["libuv"], []),
    "https_server_uv": ("http_server_uv.c", ["libuv", "libssl", "libcrypto"], ["-DWITH_TLS"]),
}


class CompileError(RuntimeError):
    """A program of csrc/ could not be built; the text says why."""


def program(name: str) -> str:
    """The path of a built program, compiled if its source is newer."""
    file, libraries, extra = PROGRAMS[name]
    source = ROOT / "csrc" / file
    target = BUILD / name
    newest = max(path.stat().st_mtime for path in [source, *source.parent.glob("*.h")])
    if target.exists() and target.stat().st_mtime > newest:
        return str(target)
    flags = [*FLAGS, *extra]
    try:
        if libraries:
            found = subprocess.run(
                ["pkg-config", "--cflags", "--libs", *libraries],
                check=True,
                capture_output=True,
                text=True,
            )
            flags += shlex.split(found.stdout)
        BUILD.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        subprocess.run(
            [shutil.which("cc") or "gcc", str(source), "-o", str(partial), *flags],
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError as error:
        raise CompileError(f"{error.filename} is not installed") from None
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or "").strip().splitlines()
        raise CompileError(lines[0] if lines else f"{error.cmd[0]} failed") from None
    partial.replace(target)
    return str(target)
