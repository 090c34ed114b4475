"""``uvolt demo``: a few small jobs on asyncio and on uvolt, as a table and a chart."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .chart import Section

__all__ = ("main",)


def main(svg: str | None, *, quick: bool = False) -> int:
    """Run the demo. svg: a file to write the chart to as well. Returns the exit code."""
    from .server import ServerError

    if svg is not None:
        try:  # now, not after all the work
            Path(svg).open("a").close()
        except OSError as exc:
            print(f"uvolt demo: cannot write {svg}: {exc.strerror}", file=sys.stderr)
            return 2
    try:
        return _demo(svg, quick)
    except BrokenPipeError:  # `uvolt demo | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("uvolt demo: interrupted", file=sys.stderr)
        return 130
    except ServerError as exc:
        print(f"uvolt demo: {exc}", file=sys.stderr)
        return 1


def _demo(svg: str | None, quick: bool) -> int:
    import uvolt

    from . import chart, client, jobs, measure, server, table
    from .progress import Progress, can_draw

    todo = jobs.make(quick)
    versions = f"uvolt {uvolt.__version__}, libuv {uvolt.libuv_version}"
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    print(f"{versions}, {python}")
    print(f"HTTP requests by {client.description()}")
    print("the server is a child process on uvolt, the same for both loops")
    raise_descriptor_limit()
    began = time.monotonic()
    progress = Progress(measure.runs(todo), sys.stdout)
    try:
        with server.running() as url:
            results = measure.measure(todo, url, progress)
    finally:
        progress.close()
    plain = not can_draw(sys.stdout)
    sections = chart.sections(results)
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    lines = [*table.lines(results, plain), *chart.draw(sections, width - 1, plain)]
    spent = time.monotonic() - began
    lines += ["", f"The chart shows the last round on uvolt. All took {spent:.1f} s."]
    print("\n".join(lines))
    if svg is not None:
        _write_svg(svg, sections, [f"{versions}, {python}", table.SHORT])
        print(f"The chart is in {svg}")
    return 0


def _write_svg(path: str, sections: Sequence[Section], notes: Sequence[str]) -> None:
    from .svg import picture

    title = "When each task ran: one after another, and with gather"
    Path(path).write_text(picture(sections, title, notes), encoding="utf-8")


def raise_descriptor_limit(wanted: int = 2048) -> None:
    """Let this process, and the server it starts, open a socket for each request at a time."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, soft), hard))
