"""The programs a benchmark needs beside Python, and how to get them."""

from __future__ import annotations

import os
import shutil
import subprocess

# program -> Debian package
QUICK = {"gcc": "gcc", "pkg-config": "pkg-config", "openssl": "openssl"}
COUNTS = {"valgrind": "valgrind", "strace": "strace"}


def missing(programs: dict[str, str]) -> list[str]:
    """The packages of what is not installed."""
    packages = [package for name, package in programs.items() if shutil.which(name) is None]
    headers = {"libuv": "libuv1-dev", "libssl": "libssl-dev"}
    return packages + [package for name, package in headers.items() if not _has_headers(name)]


def _has_headers(library: str) -> bool:
    if shutil.which("pkg-config") is None:
        return False
    return subprocess.run(["pkg-config", "--exists", library], check=False).returncode == 0


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
