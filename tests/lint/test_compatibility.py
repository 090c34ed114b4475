"""docs/compatibility.md names tests that exist; two promises of it that are about the sources."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
SOURCES = sorted((ROOT / "csrc").rglob("*.[ch]"))


def section(title: str) -> list[list[str]]:
    """The cells of the rows of the table below a heading, without its head."""
    text = PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def named(text: str) -> list[str]:
    return re.findall(r"`([\w/]+\.py::\w+)`", text)


@pytest.mark.parametrize("name", sorted(set(named(PAGE))))
def test_named_test_exists(name: str) -> None:
    path, _, function = name.partition("::")
    source = (ROOT / "tests" / path).read_text(encoding="utf-8")
    assert re.search(rf"^(async )?def {function}\(", source, re.MULTILINE), name


def test_every_fault_is_there_once() -> None:
    rows = section("Faults")
    assert [int(row[0]) for row in rows] == list(range(1, 68))
    for row in rows:
        assert len(row) == 5 and all(row), row


@pytest.mark.parametrize(
    "title",
    ["Faults", "What users of uvloop have asked for", "Deviations of uvloop that broke libraries"],
)
def test_every_row_names_tests(title: str) -> None:
    rows = section(title)
    assert len(rows) > 15
    for row in rows:
        tests = row[-1].split("<br>")
        assert tests and all(named(test) for test in tests), row


def test_a_fault_that_a_test_names_is_its_own() -> None:
    for row in section("Faults"):
        for test in named(row[-1]):
            numbered = re.search(r"::test_fault_(\d+)", test)
            assert numbered is None or int(numbered[1]) == int(row[0]), (row[0], test)


# The one header with vector code. What it has no code for goes byte by byte.
SIMD = ROOT / "csrc" / "proto" / "scan.h"


def test_nothing_of_one_processor() -> None:
    """No instruction set is asked for: the sources build wherever C11, libuv and Python do."""
    assert "#if defined(__x86_64__)" in SIMD.read_text(encoding="utf-8").split("immintrin")[0]
    for path in [*SOURCES, ROOT / "setup.py"]:
        if path == SIMD:
            continue
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"immintrin|arm_neon|\b__asm|\basm\s*\(|-march|-mtune|-msse", text), (
            path
        )


def test_no_claim_of_free_threading() -> None:
    """A build for a free-threaded Python is refused, and none says that it needs no GIL."""
    compat = (ROOT / "csrc" / "base" / "compat.h").read_text(encoding="utf-8")
    assert re.search(r"#ifdef Py_GIL_DISABLED\n#error ", compat)
    for path in SOURCES:
        assert "Py_MOD_GIL_NOT_USED" not in path.read_text(encoding="utf-8"), path


def test_what_uvolt_does_not_pass_of_uvloops_tests() -> None:
    """The page lists what the suite's runner expects to fail, and counts as its record does."""
    suites = ROOT / "tests" / "suites"
    listed = [
        [f"`{test}`", entry["reason"]]
        for entry in json.loads((suites / "expected_uvloop.json").read_text(encoding="utf-8"))
        for test in entry["tests"]
        if "3.11" in entry["versions"]
    ]
    record = json.loads((suites / "oracle" / "uvloop.json").read_text(encoding="utf-8"))
    ends = {
        end: sum(len(methods.split()) for methods in classes.values())
        for end, classes in record["asyncio, uvloop"].items()
    }
    both, alone, neither = (
        ends.pop(end) for end in ("passed, passed", "failed, passed", "skipped, skipped")
    )
    assert not ends
    text = PAGE.split("\n## uvloop's own tests\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert [row[1:] for row in rows[2:5]] == [
        [str(both), str(both)],
        [str(alone), str(alone - len(listed))],
        [str(neither), "-"],
    ]
    assert rows[7:] == listed
