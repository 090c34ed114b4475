"""``uvolt run`` against python itself: the same output, error text and exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cli_support import CONSOLE_SCRIPT, TIMEOUT, both, run, uvolt  # noqa: E402

CHAIN = """
def low(x):
    return 1 / x

def high():
    try:
        low(0)
    except ZeroDivisionError as exc:
        raise KeyError("no such thing") from exc

try:
    high()
except KeyError:
    raise RuntimeError("while that was handled: \\u00e9")
"""

HOOK = """
import sys
def hook(kind, error, traceback):
    print("hook", kind.__name__, error, traceback.tb_frame.f_code.co_name,
          traceback.tb_next.tb_frame.f_code.co_name, error.__traceback__ is traceback,
          sys.last_value is error, sys.last_traceback is traceback, sys.excepthook is hook)
sys.excepthook = hook
def f():
    raise ValueError("mine")
f()
"""

BROKEN_HOOK = """
import sys
def hook(*args):
    raise LookupError("the hook")
sys.excepthook = hook
raise ValueError("the program")
"""

AT_EXIT = """
import atexit, sys, threading, time
atexit.register(lambda: print("atexit", "stdout not flushed before", end="", flush=False))
def work():
    time.sleep(0.1)
    print("thread done")
threading.Thread(target=work).start()
print("end of the program")
raise SystemExit(7)
"""

PICKLE = """
import pickle, sys
class Point:
    def __init__(self, x): self.x = x
if __name__ == "__main__":
    copy = pickle.loads(pickle.dumps(Point(3)))
    print(copy.x, type(copy) is Point, Point.__module__, sys.modules["__main__"].Point is Point)
"""

PROCESSES = """
import multiprocessing, sys
def square(x):
    return x * x
if __name__ == "__main__":
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(method, pool.map(square, [1, 2, 3]))
            pool.close()
            pool.join()
"""

NAMESPACE = """
import sys
print(sorted(globals()))
for name in ("__name__", "__file__", "__package__", "__spec__", "__doc__", "__cached__"):
    print(name, repr(globals().get(name)))
print(type(__loader__).__name__, __loader__.path, getattr(__loader__, "name", None))
print(sys.modules["__main__"].__dict__ is globals(), __builtins__)
print(sys.argv, sys.path)
"""

PROGRAMS = {
    "nothing": "",
    "namespace": NAMESPACE,
    "exit int": "import sys; sys.exit(3)",
    "exit none": "import sys; sys.exit(None)",
    "exit text": "import sys; print('out'); sys.exit('the reason')",
    "exit tuple": "raise SystemExit(1, 2)",
    "exit true": "import sys; sys.exit(True)",
    "exit negative": "import sys; sys.exit(-1)",
    "exit large": "import sys; sys.exit(256 + 5)",
    "exit subclass": "class E(SystemExit): pass\nraise E(9)",
    "quit": "quit(4)",
    "_exit": "import os; os._exit(5)",
    "error": "def f(x):\n    return g(x)\n\ndef g(x):\n    return x['a']\n\nf({})\n",
    "chain": CHAIN,
    "no value": "assert 1 == 2",
    "base exception": "class B(BaseException): pass\nraise B('b')",
    "raised again": "try:\n    1 / 0\nexcept Exception as e:\n    raise e.with_traceback(None)",
    "syntax": "print('never')\nx = (1,\n",
    "indentation": "if 1:\nprint()\n",
    "syntax in the middle": "x = 1\ny = 1 +* 2\n",
    "syntax at the end": "print(1)\n\n\nclass A:\n",
    "unknown encoding": "# coding: nope\nprint(1)\n",
    "import of a broken module": "open('b.py', 'w').write('x = (')\nimport b",
    "compile": "compile('x = (', '<text>', 'exec')",
    "import": "import nowhere.to.be_found",
    "interrupt": "raise KeyboardInterrupt",
    "interrupt with text": "def f():\n    raise KeyboardInterrupt('stop')\nf()",
    "signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "hook": HOOK,
    "broken hook": BROKEN_HOOK,
    "hook that exits": "import sys\nsys.excepthook = lambda *a: sys.exit(11)\n1 / 0",
    "deleted hook": "import sys\ndel sys.excepthook\n1 / 0",
    "no hook": "import sys\nsys.excepthook = None\n1 / 0",
    "at exit": AT_EXIT,
    "unraisable": "class D:\n    def __del__(self): 1 / 0\nD()\nprint('on')",
    "thread": "import threading\nt = threading.Thread(target=int, args='x')\nt.start()\nt.join()",
    "warning": "import warnings as w\nw.warn('careful')\nw.warn('old', DeprecationWarning)",
    "pickle": PICKLE,
    "processes": PROCESSES,
    "future flags": "def f(x: int) -> str: ...\nprint(f.__annotations__)",
    "encoding": "# coding: latin-1\nprint(ascii('\u00e9'))",
    "stdin": "import sys; print(repr(sys.stdin.read()))",
    "traceback module": "import traceback as t\ntry: 1 / 0\nexcept Exception: t.print_exc()",
}


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


# ---- the loop -----------------------------------------------------------------------------------

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
