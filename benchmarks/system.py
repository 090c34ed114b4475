"""The programs a benchmark needs beside Python, and how to get them."""

from __future__ import annotations

import os
import shutil
import subprocess

# program -> Debian package
QUICK = {"gcc": "gcc", "pkg-config": "pkg-config", "wrk": "wrk", "openssl": "openssl"}
COUNTS = {"valgrind": "valgrind", "strace": "strace"}


def missing(programs: dict[str, str]) -> list[str]:
    """The packages of what is not installed."""
    packages = [package for name, package in programs.items() if shutil.which(name) is None]
    if shutil.which("pkg-config") is None or not _has_libuv():
        packages.append("libuv1-dev")
    return packages


def _has_libuv() -> bool:
    return subprocess.run(["pkg-config", "--exists", "libuv"], check=False).returncode == 0


def install(*, counts: bool) -> str:
    """Installs what is missing if we may; one line on what is still missing, or nothing."""
    programs = {**QUICK, **(COUNTS if counts else {})}
    packages = missing(programs)
    if packages and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"installing {' '.join(packages)}", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        quiet = ["-y", "-qq", "--no-install-recommends"]
        for argv in (["update", "-qq"], ["install", *quiet, *packages]):
            subprocess.run(
                ["apt-get", *argv], env=environment, stdout=subprocess.DEVNULL, check=False
            )
        packages = missing(programs)
    if not packages:
        return ""
    return f"some figures will be missing; install first: sudo apt install {' '.join(packages)}"
