"""``uvolt run`` against python itself: the same output, error text and exit code."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cli_programs import NAMESPACE, PROGRAMS  # noqa: E402
from cli_support import CONSOLE_SCRIPT, TIMEOUT, both, run  # noqa: E402

pytestmark = pytest.mark.unsanitized


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_as_python(name: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAMS[name], encoding="utf-8")
    both(["program.py", "a", "-b", "--help", "-m", "--no-aiohttp"], tmp_path)


@pytest.mark.parametrize("name", ["namespace", "error", "exit text", "syntax", "interrupt", "hook"])
def test_module_same_as_python(name: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAMS[name], encoding="utf-8")
    both(["-m", "program", "a", "-b", "--help", "-m"], tmp_path)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="ExceptionGroup came with Python 3.11")
def test_exception_group(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text("raise ExceptionGroup('g', [ValueError(1), KeyError(2)])")
    assert "ExceptionGroup" in both(["p.py"], tmp_path).err


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Packages, an archive, a directory that can be run, links."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("print('package', __name__)\n")
    (package / "__main__.py").write_text("from . import sub\n" + NAMESPACE + "sub.fail()\n")
    (package / "sub.py").write_text("print(__name__)\ndef fail():\n    raise OSError(2, 'gone')\n")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "__init__.py").write_text("")
    (tmp_path / "broken.py").write_text("import nowhere\n")
    (tmp_path / "empty").mkdir()
    tool = tmp_path / "tool"
    tool.mkdir()
    (tool / "helper.py").write_text("def fail():\n    raise ValueError('from the helper')\n")
    (tool / "__main__.py").write_text(NAMESPACE + "import helper; helper.fail()\n")
    (tool / "script.py").write_text(NAMESPACE + "import helper; helper.fail()\n")
    with zipfile.ZipFile(tmp_path / "tool.zip", "w") as archive:
        for path in tool.iterdir():
            archive.write(path, path.name)
    (tmp_path / "link.py").symlink_to(Path("tool") / "script.py")
    (tmp_path / "secret.py").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "package", "x"],
        ["-mpackage", "x"],
        ["-m", "package.sub"],
        ["-m", "bare"],
        ["-m", "broken"],
        ["-m", "nowhere.at_all"],
        ["-m", "no_module"],
        ["-m", "secret.py"],
        ["tool"],
        ["./tool", "x"],
        ["tool/"],
        ["tool.zip", "x", "y"],
        ["tool/script.py", "x"],
        ["./tool/script.py"],
        ["tool/../tool//script.py"],
        ["link.py"],
        ["empty"],
        ["nowhere.py"],
        ["./nowhere.py"],
        ["tool/nowhere.py"],
        ["secret.py/below"],
    ],
    ids=" ".join,
)
def test_ways_to_name_a_program(words: list[str], tree: Path) -> None:
    both(words, tree)


@pytest.mark.parametrize("option", ["-I", "-P"])
@pytest.mark.parametrize("words", [["tool/script.py"], ["tool"], ["-m", "package"]], ids=" ".join)
def test_isolated(option: str, words: list[str], tree: Path) -> None:
    if option == "-P" and sys.version_info < (3, 11):
        option = "-I"  # -P is new in 3.11
    both(words, tree, option)


def test_absolute_path_and_compiled_file(tree: Path) -> None:
    script = tree / "tool" / "script.py"
    both([str(script), "x"], tree.parent)
    code = "import py_compile, sys; py_compile.compile(sys.argv[1], sys.argv[2])"
    compiled = tree / "tool" / "compiled.pyc"
    assert run(["-c", code, str(script), str(compiled)], tree).code == 0
    assert "from the helper" in both([str(compiled), "x"], tree).err


def test_options_of_the_interpreter(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text("import sys\nprint(__debug__, sys.flags)\nassert 0\n")
    assert both(["p.py"], tmp_path, "-O", "-B").code == 0


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_bytes(b"print('never')\nx = '\xe9'\n")
    assert "Non-UTF-8 code" in both(["p.py"], tmp_path, "-B", "-X", "dev").err


def test_closed_stdout(tmp_path: Path) -> None:
    """What cannot be written at exit: exit code 120, as python."""
    (tmp_path / "p.py").write_text("print('text')\n")
    results = []
    for words in (["p.py"], ["-m", "uvolt", "run", "p.py"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, *words],
                cwd=tmp_path,
                env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
                stdout=full,
                stderr=subprocess.PIPE,
                timeout=TIMEOUT,
            )
        results.append((done.returncode, done.stderr))
    assert results[0] == results[1]
    assert results[0][0] == 120


def test_console_script(tmp_path: Path) -> None:
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    (bin_dir / "uvolt").write_text(CONSOLE_SCRIPT)
    (tmp_path / "p.py").write_text(NAMESPACE + "def f(): raise ValueError(1)\nf()")
    for words in (["p.py", "x"], ["-m", "p", "x"]):
        assert run(["bin/uvolt", "run", *words], tmp_path) == run(words, tmp_path)
    project = Path(__file__).parents[2] / "pyproject.toml"
    assert '\nuvolt = "uvolt.cli:main"\n' in project.read_text()
