"""Help, usage errors and ``uvolt info``."""

from __future__ import annotations

import platform
import ssl
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cli_support import run, uvolt  # noqa: E402

pytestmark = pytest.mark.unsanitized


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]], ids=str)
def test_help(words: list[str], tmp_path: Path) -> None:
    done = uvolt(words, tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("usage: uvolt ")
    for command in ("run", "demo", "info"):
        assert f"\n    {command} " in done.out


@pytest.mark.parametrize(
    "words", [["run", "--help"], ["run", "-h"], ["demo", "-h"], ["info", "-h"]]
)
def test_help_of_a_command(words: list[str], tmp_path: Path) -> None:
    done = uvolt(words, tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"usage: uvolt {words[0]}")


def test_run_help_tells_what_it_does(tmp_path: Path) -> None:
    text = " ".join(uvolt(["run", "--help"], tmp_path).out.split())
    assert "uvolt.install(aiohttp=True)" in text
    assert "only the loop: aiohttp's client stays aiohttp's own" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["walk"], "invalid choice: 'walk'"),
        (["--walk"], "unrecognized arguments: --walk"),
        (["run"], "name a script, or a module with -m"),
        (["run", "--no-aiohttp"], "name a script, or a module with -m"),
        (["run", "-m"], "argument -m: expected a module name"),
        (["run", "--walk", "x.py"], "unrecognized arguments: --walk"),
        (["run", "-x", "x.py"], "unrecognized arguments: -x"),
        (["demo", "--svg"], "argument --svg: expected one argument"),
        (["demo", "x"], "unrecognized arguments: x"),
        (["info", "x"], "unrecognized arguments: x"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_errors(words: list[str], message: str, tmp_path: Path) -> None:
    done = uvolt(words, tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("usage: uvolt")
    assert message in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


def test_version(tmp_path: Path) -> None:
    import uvolt as package

    assert uvolt(["--version"], tmp_path).out == f"uvolt {package.__version__}\n"


def test_info(tmp_path: Path) -> None:
    import uvolt as package

    done = uvolt(["info"], tmp_path)
    assert (done.code, done.err) == (0, "")
    lines = dict(line.split(None, 1) for line in done.out.splitlines())
    assert lines["uvolt"] == package.__version__
    assert lines["libuv"] == package.libuv_version
    assert lines["Python"].startswith(platform.python_version() + " (CPython, ")
    assert lines["compiler"] == platform.python_compiler()
    assert lines["platform"] == platform.platform()
    assert lines["flags"]
    assert lines["TLS"] == f"direct, {ssl.OPENSSL_VERSION}"
    import aiohttp

    assert lines["aiohttp"] == aiohttp.__version__


def test_info_without_aiohttp(tmp_path: Path) -> None:
    (tmp_path / "aiohttp.py").write_text("raise ImportError('hidden')\n")
    done = run(["-m", "uvolt", "info"], tmp_path)
    assert done.code == 0
    assert done.out.splitlines()[-1].split(None, 1) == ["aiohttp", "not installed"]
