"""Source distributions whose tests are run: pip downloads each once into a cache directory."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile


def fetch(name: str, version: str, *only: str) -> pathlib.Path:
    """Where the source distribution of a package is unpacked, or what of it begins with one of
    `only`. Raises CalledProcessError if pip cannot get it."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    cache = pathlib.Path(base) / "uvolt-tests"
    release = f"{name}-{version}"
    source = cache / (f"{release}-tests" if only else release)
    if source.exists():
        return source
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", f"--no-binary={name}"]
        subprocess.run([*pip, "-d", scratch, f"{name}=={version}"], check=True, timeout=600)
        wanted = tuple(f"{release}/{start}" for start in only or ("",))
        with tarfile.open(f"{scratch}/{release}.tar.gz") as archive:
            members = [member for member in archive if member.name.startswith(wanted)]
            archive.extractall(scratch, members)
        try:
            os.rename(f"{scratch}/{release}", source)
        except OSError:
            if not source.exists():  # else another process was faster
                raise
    return source
