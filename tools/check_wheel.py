"""check_wheel.py WHEEL: proves that a repaired wheel runs on the libuv inside it, and on no other.

By file: uvolt._core needs the library in uvolt.libs, by its own name and by a path relative to
itself. By deed: installed in a fresh venv it echoes over TCP, and the process maps only that libuv.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ECHO = """
import asyncio, re, uvolt

async def main():
    async def serve(reader, writer):
        writer.write(await reader.readline())
        writer.close()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello\\n")
    assert await reader.read() == b"hello\\n"
    writer.close()
    server.close()
    assert isinstance(asyncio.get_running_loop(), uvolt.Loop)

uvolt.run(main())
with open("/proc/self/maps") as maps:
    for path in sorted({line.split()[-1] for line in maps if "libuv" in line}):
        print(path)
"""


def check(condition: bool, message: str) -> None:
    if not condition:
        raise SystemExit(f"check_wheel: {message}")


def check_links(root: Path) -> None:
    """The library's dynamic section names the bundled libuv and finds it next to itself."""
    (core,) = root.glob("uvolt/_core*.so")
    bundled = [path.name for path in root.glob("uvolt.libs/libuv*")]
    check(len(bundled) == 1, f"one libuv in uvolt.libs expected, found {bundled}")
    command = ["readelf", "--dynamic", "--wide", str(core)]
    dynamic = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    check([n for n in needed if "uv" in n] == bundled, f"NEEDED is {needed}, bundled {bundled}")
    (rpath,) = re.findall(r"\((?:RPATH|RUNPATH)\).*\[(.*)\]", dynamic)
    check(rpath == "$ORIGIN/../uvolt.libs", f"the run path is {rpath}")
    print(f"{core.name} needs {needed}, run path {rpath}")


def check_run(wheel: Path, root: Path) -> None:
    """Installed alone in a new venv, the wheel works, and maps its own libuv only."""
    venv.create(root / "venv", with_pip=True)
    python = root / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-qq", "--no-deps", wheel], check=True)
    run = subprocess.run([python, "-c", ECHO], check=True, capture_output=True, text=True, cwd=root)
    mapped = run.stdout.split()
    check(len(mapped) == 1, f"one libuv expected in the process, mapped are {mapped}")
    check("/uvolt.libs/libuv" in mapped[0], f"not the bundled libuv: {mapped[0]}")
    print(f"mapped while running: {mapped[0]}")


def main() -> None:
    wheel = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(root / "wheel")
        check_links(root / "wheel")
        check_run(wheel, root)
    print(f"{wheel.name}: runs on its own libuv")


if __name__ == "__main__":
    main()
