"""The command line: ``uvolt run``, ``uvolt demo`` and ``uvolt info``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import __version__, _core, libuv_version
from . import install as install_loop

if TYPE_CHECKING:  # else imported by who needs it: `uvolt run` starts as fast as it can
    import argparse

EPILOG = "`uvolt COMMAND --help` tells more about a command."

RUN_USAGE = """uvolt run [--no-aiohttp] [--debug] script.py [args ...]
       uvolt run [--no-aiohttp] [--debug] -m module [args ...]"""

RUN_TEXT = """\
Run an unmodified asyncio program on uvolt: uvolt.install(aiohttp=True), then the program is run as
python itself would run it (sys.argv, __main__, exit code, traceback). asyncio.run() and
asyncio.Runner then make uvolt loops, and aiohttp's client, if the program imports it, works by
uvolt.http's engine. Processes that the program starts afresh (multiprocessing's spawn method,
subprocess) are plain Python again."""

NO_AIOHTTP = "only the loop: aiohttp's client stays aiohttp's own"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that argv (default: sys.argv[1:]) names. Returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["run"]:  # what follows the program's name is the program's own
        return _run(words[1:])
    parser = _parser()
    options = parser.parse_args(words)
    if options.command == "demo":
        from .demo import main as demo

        return demo(options.svg, quick=options.quick)
    if options.command == "info":
        return _info()
    parser.print_help()
    return 0


def _parser() -> argparse.ArgumentParser:
    import argparse

    parser = argparse.ArgumentParser(
        prog="uvolt",
        description="uvolt: an asyncio event loop and an HTTP client in C on libuv.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"uvolt {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", help="run an unmodified asyncio program on uvolt")
    text = "measure a few small jobs on asyncio and on uvolt; takes up to 20 seconds"
    demo = commands.add_parser("demo", help=text, description=f"{text[0].upper()}{text[1:]}.")
    demo.add_argument("--svg", metavar="FILE", help="write the chart as a picture as well")
    demo.add_argument("--quick", action="store_true", help=argparse.SUPPRESS)
    text = "print versions: uvolt, libuv, Python, compiler, platform, aiohttp"
    commands.add_parser("info", help=text, description=f"{text[0].upper()}{text[1:]}.")
    return parser


# ---- run ----------------------------------------------------------------------------------------


def _run_parser() -> argparse.ArgumentParser:
    import argparse

    parser = argparse.ArgumentParser(
        prog="uvolt run",
        usage=RUN_USAGE,
        description=RUN_TEXT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--no-aiohttp", action="store_true", help=NO_AIOHTTP)
    parser.add_argument("--debug", action="store_true", help="turn on asyncio's debug mode")
    parser.add_argument("-m", metavar="module", help="run a module, as `python -m module` does")
    text = "a file, or a directory or zip archive with a __main__.py"
    parser.add_argument("script.py", nargs="?", help=text)
    parser.add_argument("args", nargs="*", help="arguments of the program")
    return parser


def _run_options(words: list[str]) -> tuple[bool, bool]:
    """(--no-aiohttp, --debug) of our own options."""
    if not set(words) <= {"--no-aiohttp", "--debug"}:  # an abbreviation, --help or an error
        options = _run_parser().parse_args(words)
        return options.no_aiohttp, options.debug
    return "--no-aiohttp" in words, "--debug" in words


def _run(words: list[str]) -> int:
    start = 0  # our own options end where the program is named
    while start < len(words) and words[start].startswith("--"):
        start += 1
    no_aiohttp, debug = _run_options(words[:start])
    rest = words[start:]
    if not rest:
        _run_parser().error("name a script, or a module with -m")
    module = None
    if rest[0].startswith("-m"):
        module = rest.pop(0)[2:] or (rest.pop(0) if rest else "")
        if not module:
            _run_parser().error("argument -m: expected a module name")
    elif rest[0].startswith("-"):
        _run_parser().parse_args(rest[:1])  # -h, or an error
        _run_parser().error(f"unrecognized arguments: {rest[0]}")
    if debug:
        os.environ["PYTHONASYNCIODEBUG"] = "1"
    from .program import run_module, run_path

    install_loop(aiohttp=not no_aiohttp)
    if module is not None:
        return run_module(module, rest)
    return run_path(rest[0], rest[1:])


# ---- info ---------------------------------------------------------------------------------------


def _aiohttp_version() -> str:
    try:
        import aiohttp
    except ImportError:
        return "not installed"
    return str(aiohttp.__version__)


def _tls_engine() -> str:
    import ssl

    engine, why = _core.tls_engine()
    return f"{engine}, {ssl.OPENSSL_VERSION}" if why is None else f"{engine} ({why})"


def _codings() -> str:
    """What uvolt.http decodes, and what it does not for want of a library when it was built."""
    codings = _core.http_codings
    lacking = {"br": "libbrotlidec", "zstd": "libzstd"}
    notes = [
        f"no {name}: built without {lib}" for name, lib in lacking.items() if name not in codings
    ]
    return ", ".join(codings) + (f" ({'; '.join(notes)})" if notes else "")


def _info() -> int:
    import platform
    import sysconfig

    build = "debug" if sysconfig.get_config_var("Py_DEBUG") else "release"
    flags = sysconfig.get_config_var("CFLAGS") or "unknown"
    lines = {
        "uvolt": __version__,
        "libuv": libuv_version,
        "Python": f"{platform.python_version()} ({platform.python_implementation()}, {build})",
        "executable": sys.executable,
        "compiler": platform.python_compiler(),
        "flags": flags,
        "platform": platform.platform(),
        "TLS": _tls_engine(),
        "codings": _codings(),
        "aiohttp": _aiohttp_version(),
    }
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name:{width}}  {value}")
    return 0
