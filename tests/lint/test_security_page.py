"""docs/security.md names a test for each advisory: each of them exists, and says something."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE)))


def functions(name: str) -> set[str]:
    """The tests of a file of this name, which there is once."""
    found = list((ROOT / "tests").rglob(name))
    assert len(found) == 1, f"{name}: {found}"
    tree = ast.parse(found[0].read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_test_that_is_named_exists() -> None:
    assert len(NAMED) > 60
    files = {name: functions(name) for name, _ in NAMED}
    missing = [f"{name}::{test}" for name, test in NAMED if test not in files[name]]
    assert not missing


def test_every_row_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "|---" not in line]
    rows = [line for line in rows if not line.startswith(("| advisory", "| row |"))]
    assert len(rows) > 60
    assert not [line for line in rows if not re.search(r"`test_\w+\.py::test_\w+`", line)]


def test_every_class_has_its_section() -> None:
    sections = re.findall(r"^## (\d+)\. ", PAGE, re.MULTILINE)
    assert [int(number) for number in sections] == list(range(1, 15))
    bodies = re.split(r"^## \d+\. .*$", PAGE, flags=re.MULTILINE)[1:]
    assert all("::test_" in body for body in bodies)


def test_no_advisory_is_told_of_twice() -> None:
    """An identifier stands in one section, except where two classes share it."""
    found = re.findall(r"(?:CVE|GHSA)-[-\w]+", PAGE)
    twice = {name for name in found if found.count(name) > 1}
    assert twice <= {"CVE-2021-41945"}
