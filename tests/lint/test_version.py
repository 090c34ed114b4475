"""One version everywhere, and a libuv that is recent enough."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import uvolt
import uvolt._version

ROOT = Path(__file__).parents[2]


def test_one_version() -> None:
    assert uvolt.__version__ == uvolt._version.__version__ == version("uvolt")


def test_installed_is_this_tree() -> None:
    """The tests of one tree against the build of another would prove nothing."""
    text = (ROOT / "python" / "uvolt" / "_version.py").read_text(encoding="utf-8")
    assert f'__version__ = "{uvolt.__version__}"' in text


def test_changelog_begins_with_it() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (\S+)", text, re.MULTILINE)
    assert headings[0] == uvolt.__version__


def test_libuv_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(-dev)?", uvolt.libuv_version)
    major, minor = uvolt.libuv_version.split(".")[:2]
    assert (int(major), int(minor)) >= (1, 43)


def test_each_switch_makes_a_new_installation() -> None:
    """tools/venv.sh installs again when a switch of setup.py has changed, not when others have."""
    switches = re.findall(r"UVOLT_(\w+) \(", (ROOT / "setup.py").read_text(encoding="utf-8"))
    script = (ROOT / "tools" / "venv.sh").read_text(encoding="utf-8")
    named = re.search(r"\^\(UVOLT_\(([A-Z_|]+)\)", script)
    assert named and len(switches) > 3 and sorted(switches) == sorted(named[1].split("|"))
