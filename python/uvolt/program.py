"""Runs an unmodified program in this process as the interpreter itself would have run it.

``python script.py``, ``python directory``, ``python archive.zip`` and ``python -m module`` are
followed to the letter (https://docs.python.org/3/using/cmdline.html#interface-options): sys.argv,
sys.path[0], a ``__main__`` module of its own, and a traceback that starts at the program.
"""

from __future__ import annotations

import builtins
import importlib.machinery
import io
import os
import pkgutil
import runpy
import subprocess
import sys
from collections.abc import Callable, Sequence
from types import CodeType, ModuleType, TracebackType
from typing import Any, NoReturn


def run_path(path: str, args: Sequence[str]) -> int:
    """``python path args...``. Returns 0 at the end of the program, 2 if it cannot be opened.

    What the program raises, SystemExit included, leaves this function.
    """
    sys.argv[:] = [path, *args]
    filename = _absolute(path)
    if pkgutil.get_importer(filename) is not None:  # a directory or an archive
        _set_first_path(filename, always=True)
        _new_main()
        _call(_as_main, "__main__", False)
        return 0
    try:
        with io.open_code(filename):
            pass
    except OSError as exc:
        name = sys.orig_argv[0]
        text = f"[Errno {exc.errno}] {exc.strerror}"
        print(f"{name}: can't open file {filename!r}: {text}", file=sys.stderr)
        return 2
    _set_first_path(os.path.dirname(os.path.realpath(filename)))
    _call(_run_file, filename, _new_main().__dict__)
    return 0


def run_module(name: str, args: Sequence[str]) -> int:
    """``python -m name args...``. Returns 0; what the program raises leaves this function."""
    sys.argv[:] = ["-m", *args]
    _set_first_path(os.getcwd())
    _new_main()
    _call(_as_main, name, True)
    return 0


def _absolute(path: str) -> str:
    """path as the interpreter makes a script's name absolute: joined, not normalised."""
    if os.path.isabs(path):
        return path
    return os.path.join(os.getcwd(), path)


def _set_first_path(path: str, always: bool = False) -> None:
    """Put path where the interpreter put the directory of ``uvolt``: first in sys.path."""
    safe = getattr(sys.flags, "safe_path", bool(sys.flags.isolated))  # 3.10: only -I
    if not safe:
        sys.path[0] = path
    elif always:
        sys.path.insert(0, path)


def _new_main() -> ModuleType:
    """A fresh ``__main__``, as the interpreter makes it."""
    module = ModuleType("__main__")
    module.__dict__["__loader__"] = importlib.machinery.BuiltinImporter
    if sys.version_info < (3, 14):
        module.__dict__["__annotations__"] = {}
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    return module


def _as_main(name: str, alter_argv: bool) -> None:
    # Not runpy's public functions: this one runs in the real __main__, and is what -m calls.
    runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]


def _run_file(filename: str, namespace: dict[str, Any]) -> None:
    loader: Any = importlib.machinery.SourceFileLoader
    with io.open_code(filename) as file:
        code: CodeType | None = pkgutil.read_code(file)
        if code is None:
            file.seek(0)
            source = file.read()
        else:
            loader = importlib.machinery.SourcelessFileLoader
    namespace["__file__"] = filename
    namespace["__cached__"] = None
    namespace["__loader__"] = loader("__main__", filename)
    if code is None:
        try:
            code = compile(source, filename, "exec", dont_inherit=True)
        except SyntaxError:
            _let_python_tell(filename)
    exec(code, namespace)


def _let_python_tell(filename: str) -> NoReturn:
    """Become python with this program, which it cannot compile: its message is not quite the one
    that compile() gives, as it reads files by another tokenizer. Nothing has run so far."""
    sys.stdout.flush()
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    os.execv(sys.executable, [sys.orig_argv[0], *flags, filename])


_OUR_FRAMES = (_as_main.__code__, _run_file.__code__)


def _call(function: Callable[..., None], *args: object) -> None:
    """Call function. An exception on its way out is shown without the frames of this package."""
    try:
        function(*args)
    except SystemExit:
        raise
    except BaseException:
        sys.excepthook = _TrimmedHook(getattr(sys, "excepthook", _no_hook))
        raise


class _TrimmedHook:
    """sys.excepthook for the end of the program: hands its exception on to the program's own hook.

    The exception takes the interpreter's way out, so that the rest of the end (atexit, threads,
    death by SIGINT) is the interpreter's as well; only the traceback is cut here.
    """

    def __init__(self, hook: Callable[..., Any]) -> None:
        self._hook = hook

    def __call__(
        self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        sys.excepthook = self._hook
        trimmed = _trim(traceback)
        error = error.with_traceback(trimmed)
        sys.last_traceback = trimmed
        try:
            self._hook(kind, error, trimmed)
        except SystemExit:
            raise
        except BaseException as failure:
            sys.stdout.flush()
            print("Error in sys.excepthook:", file=sys.stderr)
            _display(failure, failure.__traceback__ and failure.__traceback__.tb_next)
            print("\nOriginal exception was:", file=sys.stderr)
            _display(error, trimmed)


def _no_hook(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """What the interpreter does where the program has deleted sys.excepthook."""
    print("sys.excepthook is missing", file=sys.stderr)
    sys.__excepthook__(kind, error, traceback)


def _trim(traceback: TracebackType | None) -> TracebackType | None:
    """The part of traceback that lies in the program; empty if it was never entered."""
    step = traceback
    while step is not None:
        if step.tb_frame.f_code in _OUR_FRAMES:
            rest = step.tb_next
            return None if rest is None or _is_preparation(rest) else rest
        step = step.tb_next
    return traceback


def _is_preparation(traceback: TracebackType) -> bool:
    """Whether the error comes from reading the program's file, not from running it."""
    return traceback.tb_frame.f_globals is pkgutil.__dict__


def _display(error: BaseException, traceback: TracebackType | None) -> None:
    sys.__excepthook__(type(error), error.with_traceback(traceback), traceback)
