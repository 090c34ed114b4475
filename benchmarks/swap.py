"""Unmodified aiohttp programs, by ``python`` and by ``python -m uvolt run``, against a local nginx.

    python benchmarks/swap.py [--rounds N] [--pages N ...] [--calls N ...] [--json FILE]

Both must print the same. The table has the CPU time (user and system) of the process, the ratio of
the whole, and the ratio behind the start: without what the interpreter needs to start, to import
aiohttp and to end, which is measured with a program that does nothing else. The more a program
does, the nearer the first comes to the second. Rounds are interleaved; each figure is the least of
all rounds: whatever else the machine does only adds to it. Needs nginx.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
WAYS = {"python": [], "python -m uvolt run": ["-m", "uvolt", "run"]}
EMPTY = "import asyncio, sys, aiohttp\nasync def main(): pass\nasyncio.run(main())\n"
PAGE = """<!DOCTYPE html><html><head><title>Page {n}</title></head><body><h1>Page {n}</h1>
<p>{text}</p><ul>{links}</ul></body></html>
"""
CONF = """{user} worker_processes 1; pid {path}/pid; error_log {path}/error.log; daemon off;
events {{ worker_connections 1024; }}
http {{
    access_log off; default_type text/html; keepalive_requests 1000000;
    types {{ text/html html; application/json json; }}
    client_body_temp_path {path}; proxy_temp_path {path}; fastcgi_temp_path {path};
    uwsgi_temp_path {path}; scgi_temp_path {path};
    server {{ listen 127.0.0.1:{port}; root {path}/files; }}
}}
"""


def write_site(files: Path, pages: int) -> None:
    """Pages of about 4 KiB, each with links to five others."""
    files.mkdir()
    (files / "api.json").write_text(json.dumps({"value": 41, "items": ["x" * 20] * 40}))
    for n in range(pages):
        targets = [(n * 5 + k + 1) % pages for k in range(5)]
        links = "".join(f'<li><a href="/{t}.html">to page {t}</a></li>' for t in targets)
        (files / f"{n}.html").write_text(PAGE.format(n=n, links=links, text="words " * 550))


@contextlib.contextmanager
def nginx(pages: int) -> Iterator[str]:
    """A site on a free port; gives its URL. Connections wait until it is ready."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        path.chmod(0o755)
        write_site(path / "files", pages)
        user = "user root;" if os.geteuid() == 0 else ""
        # It is given its listener: a port that is only chosen may be another's by then.
        with socket.create_server(("127.0.0.1", 0), backlog=511) as listener:
            port = listener.getsockname()[1]
            (path / "conf").write_text(CONF.format(user=user, path=path, port=port))
            server = subprocess.Popen(
                ["nginx", "-p", str(path), "-c", str(path / "conf")],
                stderr=subprocess.DEVNULL,
                env={**os.environ, "NGINX": f"{listener.fileno()};"},
                pass_fds=[listener.fileno()],
            )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def run(words: list[str]) -> tuple[str, float]:
    """What a process prints, and the seconds of CPU it takes."""
    environ = {**os.environ}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or uvolt would be compiled each time
    process = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, text=True, env=environ
    )
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode != 0:
        sys.exit(f"{' '.join(words)} failed")
    return out, usage.ru_utime + usage.ru_stime


def measure(cases: dict[str, list[str]], rounds: int) -> dict[str, dict[str, float]]:
    """Case -> way -> the least of the seconds."""
    taken: dict[str, dict[str, list[float]]] = {c: {w: [] for w in WAYS} for c in cases}
    for _ in range(rounds):
        for case, words in cases.items():
            outputs = {}
            for way, options in WAYS.items():
                outputs[way], seconds = run([*options, *words])
                taken[case][way].append(seconds)
            if len(set(outputs.values())) != 1:
                sys.exit(f"{case}: not the same output: {outputs}")
    return {c: {w: min(s) for w, s in ways.items()} for c, ways in taken.items()}


def report(figures: dict[str, dict[str, float]]) -> None:
    """The table."""
    print(
        f"{'CPU seconds':24} {'python':>8} {'uvolt run':>10} {'ratio':>6} {'behind the start':>17}"
    )
    at_start = figures["start"].values()
    for case, ways in figures.items():
        plain, ours = ways.values()
        line = f"{case:24} {plain:8.3f} {ours:10.3f} {plain / ours:6.2f}"
        if case != "start":
            begun = [whole - start for whole, start in zip(ways.values(), at_start, strict=True)]
            line += f" {begun[0] / begun[1]:17.2f}"
        print(line)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pages", type=int, nargs="+", default=[2000])
    parser.add_argument("--calls", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument(
        "--gathered", type=int, nargs="+", default=[1000], help="of the last --calls, at once"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, nginx(max(options.pages)) as url:
        empty = Path(directory) / "empty.py"
        empty.write_text(EMPTY)
        cases = {"start": [str(empty)]}
        for pages in options.pages:
            words = [str(PROGRAMS / "scraper.py"), f"{url}/0.html", str(pages)]
            cases[f"scraper, {pages:,} pages"] = words
        for calls in options.calls:
            words = [str(PROGRAMS / "fan_out.py"), f"{url}/api.json", str(calls)]
            cases[f"API, {calls:,} calls"] = words
        for gathered in options.gathered:
            words = [str(PROGRAMS / "fan_out.py"), f"{url}/api.json", str(calls), str(gathered)]
            cases[f"API, {calls:,} by {gathered:,}"] = words
        measure({"start": cases["start"]}, 1)  # now all is compiled
        figures = measure(cases, options.rounds)
    report(figures)
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
