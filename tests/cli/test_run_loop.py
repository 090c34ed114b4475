"""``uvolt run``: the program's asyncio.run() is on our loop, and fails and stops as it should."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cli_support import TIMEOUT, run, uvolt  # noqa: E402

pytestmark = pytest.mark.unsanitized

WHICH = """
import asyncio, sys
async def main():
    loop = asyncio.get_running_loop()
    print(type(loop).__module__, type(loop).__name__, loop.get_debug())
asyncio.run(main())
if hasattr(asyncio, "Runner"):
    with asyncio.Runner() as runner:
        runner.run(main())
"""


@pytest.mark.parametrize("options", [[], ["--no-aiohttp"], ["--debug"]], ids=str)
def test_the_loop_is_ours(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(WHICH)
    done = uvolt(["run", *options, "p.py"], tmp_path, PYTHONWARNINGS="error")
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert set(lines) == {f"uvolt.loop Loop {'--debug' in options}"}
    assert len(lines) == (2 if sys.version_info >= (3, 11) else 1)


def test_error_inside_the_loop(tmp_path: Path) -> None:
    """The program's frames and asyncio's, none of the command line's."""
    source = (
        "import asyncio\nasync def main():\n    raise ValueError('deep')\nasyncio.run(main())\n"
    )
    (tmp_path / "p.py").write_text(source)
    done = uvolt(["run", "p.py"], tmp_path)
    expected = run(["p.py"], tmp_path)
    assert done.code == expected.code == 1
    lines, oracle = done.err.splitlines(), expected.err.splitlines()
    assert lines[:3] == oracle[:3]
    assert lines[-3:] == oracle[-3:]
    assert "cli.py" not in done.err and "program.py" not in done.err


def test_interrupt_inside_the_loop(tmp_path: Path) -> None:
    """Ctrl-C ends the main task, then the process dies by SIGINT, as `python script.py` does."""
    source = (
        "import asyncio\n"
        "async def main():\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        await asyncio.sleep(30)\n"
        "    finally:\n"
        "        print('cleaned up', flush=True)\n"
        "asyncio.run(main())\n"
    )
    (tmp_path / "p.py").write_text(source)
    for words in (["p.py"], ["-m", "uvolt", "run", "p.py"]):
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell's background jobs ignore SIGINT, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.1)
            os.kill(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=TIMEOUT)
        assert out == "cleaned up\n"
        assert process.returncode == -signal.SIGINT
        assert err.splitlines()[-1] == "KeyboardInterrupt"
