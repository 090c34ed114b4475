"""``uvolt demo``: it runs to its end, draws, and leaves nothing behind."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cli_support import TIMEOUT, run, uvolt  # noqa: E402

from uvolt.demo import chart, svg  # noqa: E402
from uvolt.demo.progress import Progress, can_draw  # noqa: E402
from uvolt.demo.trace import Span, Trace  # noqa: E402

pytestmark = pytest.mark.once

JOBS = (
    "three table counts",
    "four API calls",
    "20 batches, 5 at a time",
    "four downloads, one fails",
    "40 HTTP requests at once",
)
SVG = "{http://www.w3.org/2000/svg}"


def test_whole(tmp_path: Path) -> None:
    done = uvolt(["demo", "--quick", "--svg", "out.svg"], tmp_path, PYTHONIOENCODING="utf-8")
    assert (done.code, done.err) == (0, "")
    assert "\r" not in done.out and "\x1b" not in done.out  # not a terminal: plain lines
    lines = done.out.splitlines()
    for job in JOBS:
        assert f"measuring {job}" in lines
        row = r"\s+(one after another|gather)\s+[\d.]+ ms\s+[\d.]+ ms\s+\d+\.\d\d x"
        assert re.search(rf"^  {job}{row}", done.out, re.M)
    assert re.search(r"three table.*\n +gather .*  [12]\.\d x\n", done.out)
    assert "Waiting does not get shorter by a faster loop" in done.out
    assert "█" in done.out and "░" in done.out
    assert re.search(r"users +█+\n +weather +█+\n", done.out)

    root = ET.parse(tmp_path / "out.svg").getroot()
    assert root.tag == f"{SVG}svg"
    texts = [element.text or "" for element in root.iter(f"{SVG}text")]
    for job in JOBS:
        assert any(text.startswith(job) for text in texts)
    for label in ("customers", "weather", "missing", "asyncio", "uvolt", "failed", "gather"):
        assert label in texts
    bars = [element.find(f"{SVG}title") for element in root.iter(f"{SVG}rect")]
    assert len([bar for bar in bars if bar is not None]) == 3 + 2 * (3 + 4 + 20 + 4) + 2


def test_ascii_and_without_aiohttp(tmp_path: Path) -> None:
    (tmp_path / "aiohttp.py").write_text("raise ImportError('hidden')\n")
    done = uvolt(["demo", "--quick"], tmp_path, PYTHONIOENCODING="ascii:strict")
    assert (done.code, done.err) == (0, "")
    assert done.out.isascii()
    assert "aiohttp is not installed" in done.out
    assert re.search(r"missing +x+\n", done.out)


def test_progress_bar_on_a_terminal(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvolt", "demo", "--quick"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=subprocess.PIPE,
        )
    finally:
        os.close(slave)
    data = b""
    with process, os.fdopen(master, "rb", buffering=0) as terminal:
        try:
            while piece := terminal.read(65536):
                data += piece
        except OSError:  # Linux: the other side is closed
            pass
        assert process.stderr is not None and process.stderr.read() == b""
        assert process.wait(TIMEOUT) == 0
    frames = data.decode().split("\r\x1b[K")
    drawn = [frame for frame in frames if re.match(r"[█░]{30} +\d+/22 measuring ", frame)]
    assert len(drawn) == 22 + len(JOBS)
    assert drawn[-1].startswith("█" * 30 + "  22/22")
    assert frames[-1].strip().startswith("median")  # the bar is gone, the table follows


def test_unwritable_picture(tmp_path: Path) -> None:
    done = uvolt(["demo", "--svg", "none/out.svg"], tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err == "uvolt demo: cannot write none/out.svg: No such file or directory\n"


def test_reader_that_leaves(tmp_path: Path) -> None:
    words = f"{sys.executable} -m uvolt demo --quick"
    pipe = f"{words} 2>err.txt | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", pipe], cwd=tmp_path, capture_output=True, timeout=TIMEOUT)
    assert done.returncode == 1
    assert done.stdout.startswith(b"uvolt ")
    assert (tmp_path / "err.txt").read_text() == ""


# ---- the server's process ---------------------------------------------------------------------


def children(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int, seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in "ZX":  # nobody's child any more, and dead
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left(number: signal.Signals, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "uvolt", "demo"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with process:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            if line.startswith("measuring four API calls"):
                break
        [server] = children(process.pid)
        process.send_signal(number)
        process.stdout.read()
        err = process.stderr.read()
        code = process.wait(TIMEOUT)
    assert gone(server)
    if number == signal.SIGINT:
        assert (code, err) == (130, "uvolt demo: interrupted\n")
    else:
        assert (code, err) == (-number, "")


def test_server_that_does_not_start(tmp_path: Path) -> None:
    code = "import sys; sys.executable = '/bin/false'; from uvolt.cli import main; sys.exit(main())"
    done = run(["-c", code, "demo", "--quick"], tmp_path)
    assert done.code == 1
    assert done.err == "uvolt demo: the server did not start (exit code 1)\n"


# ---- the parts --------------------------------------------------------------------------------


def section(*spans: Span) -> chart.Section:
    rows = [chart.Row(span.name, [span]) for span in spans]
    return chart.Section("<the & job>", [chart.Group("gather", 1, rows)])


def test_trace() -> None:
    trace = Trace()
    with trace.task("good"):
        time.sleep(0.01)
    with pytest.raises(KeyError), trace.task("bad"):
        raise KeyError
    trace.stop()
    good, bad = trace.spans
    assert (good.name, good.ok, bad.name, bad.ok) == ("good", True, "bad", False)
    assert 0 <= good.start < good.end <= bad.start <= bad.end <= trace.seconds
    assert good.end - good.start >= 0.01


def test_bars_are_where_the_time_was() -> None:
    half = section(Span("a", 0, 0.5), Span("b", 0.5, 1, ok=False), Span("c", 0.25, 0.2501))
    bars = chart.draw([half], 6 + len("gather") + 1 + 40, plain=True)[3:6]
    start = bars[0].index("#")
    assert bars[0][start:] == "#" * 20
    assert bars[1][start:] == " " * 20 + "x" * 20
    assert bars[2][start:] == " " * 10 + "#"
    assert all(len(line) <= start + 40 for line in bars)


def test_many_tasks_share_rows() -> None:
    spans = [Span(f"t{n}", n // 5, n // 5 + 1) for n in range(20)]
    rows = chart._rows(spans)
    assert [len(row.spans) for row in rows] == [4] * 5
    for row in rows:
        assert all(a.end <= b.start for a, b in zip(row.spans, row.spans[1:], strict=False))


def test_picture_is_xml_whatever_the_names() -> None:
    text = svg.picture([section(Span("<a> & \"b\" 'c'", 0, 0.3))], "<title> & more", ["a < b"])
    root = ET.fromstring(text)
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert "<a> & \"b\" 'c'" in texts and "<the & job>" in texts and "a < b" in texts
    bar = [r for r in root.iter(f"{SVG}rect") if r.get("fill") == svg.COLORS[1]][-1]
    assert float(bar.get("x", 0)) == svg.LEFT
    assert float(bar.get("width", 0)) == svg.RIGHT - svg.LEFT


@pytest.mark.parametrize("most", [0.02, 0.9, 1, 7, 42, 99.5, 154, 305, 12_345])
def test_axis_has_few_round_numbers(most: float) -> None:
    step = svg._step(most)
    assert 3 <= most / step <= 8
    assert f"{step:.0e}"[0] in "125"


def test_progress_without_a_terminal() -> None:
    stream = io.StringIO()
    progress = Progress(2, stream)
    progress.tell("one")
    progress.step()
    progress.tell("two")
    progress.close()
    assert stream.getvalue() == "one\ntwo\n"
    assert not can_draw(io.TextIOWrapper(io.BytesIO(), "latin-1"))
    assert can_draw(io.TextIOWrapper(io.BytesIO(), "utf-8"))
