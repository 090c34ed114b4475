"""The long runs in short, and that they would find a leak."""

from __future__ import annotations

from pathlib import Path

import pytest
import soak
import support

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
FLAT = soak.Look(10, 1_000_000, 50_000, 30_000_000)


def result(looks: list[soak.Look], after: int = 10) -> soak.Result:
    return soak.Result("tcp", "uvolt", "1", 10_000, 1.0, 10, after, looks)


def check(name: str, loop_name: str) -> None:
    found = soak.run_apart(name, loop_name, 0.05).problems()
    if support.SANITIZED:  # its allocator keeps what was freed
        found = [problem for problem in found if problem.startswith("descriptors")]
    assert found == []


@pytest.mark.parametrize("name", soak.CASES)
def test_short(loop_name: str, name: str) -> None:
    check(name, loop_name)


def test_the_other_tls_engine() -> None:
    check("tls", "uvolt+memorybio")


def test_flat_is_no_problem() -> None:
    noisy = [
        soak.Look(10, 1_000_000 + n % 3 * 5000, 50_000 + n % 2 * 300, 30_000_000 + n % 4 * 9000)
        for n in range(soak.PARTS + 1)
    ]
    assert result(noisy).problems() == []


@pytest.mark.parametrize(
    ("name", "step", "text"),
    [
        ("fds", 1, "descriptors: [10, 11,"),
        ("malloc", 20_000, "malloc: 20.0 bytes an operation"),
        ("blocks", 1000, "blocks: 64.0 bytes an operation"),
        ("rss", 400_000, "resident set: 3906 KiB more"),
    ],
)
def test_a_leak_is_found(name: str, step: int, text: str) -> None:
    looks = [
        soak.Look(**{**vars(FLAT), name: getattr(FLAT, name) + n * step})
        for n in range(soak.PARTS + 1)
    ]
    found = result(looks).problems()
    assert len(found) == 1
    assert found[0].startswith(text)


def test_descriptors_after_the_loop_are_counted() -> None:
    assert result([FLAT] * 11, after=12).problems() == ["descriptors: 10 before, 12 after"]


def test_the_page_in_the_repository_is_of_full_runs() -> None:
    page = (ROOT / "docs" / "leaks.md").read_text()
    assert page.startswith(soak.INTRODUCTION)
    for _, count, unit in soak.CASES.values():
        assert f"| {count:,} {unit} | uvolt " in page
