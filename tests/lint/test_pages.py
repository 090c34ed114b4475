"""README, CONTRIBUTING and docs/ name links, files, targets, switches and functions that exist."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import registry  # noqa: E402

PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")]
    + [*ROOT.glob("tests/suites/*.md")]
)
FOLDERS = ("benchmarks", "csrc", "docs", "examples", "fuzz", "python", "tests", "tools")
MADE = {"benchmarks/results"}  # by a command that the page names

# Functions of the C library and of libuv that docs/architecture.md tells why we do not call.
OTHERS = {"mallopt", "posix_spawn", "uv_udp_open"}

parametrize = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in headings}


def quoted(page: Path) -> set[str]:
    """What stands in backticks, and the lines of code blocks."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return {*re.findall(r"`([^`\n]+)`", text), *(li for b in blocks for li in b.splitlines())}


def sources() -> str:
    paths = [path for folder in FOLDERS for path in ROOT.glob(f"{folder}/**/*")]
    paths += [ROOT / "setup.py", ROOT / "Makefile", ROOT / "pyproject.toml"]
    kinds = (".py", ".pyi", ".c", ".h", ".sh", ".toml", "")
    return "\n".join(
        path.read_text(encoding="utf-8", errors="replace")
        for path in paths
        if path.suffix in kinds and path.is_file() and "corpus" not in path.parts
    )


@parametrize
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@parametrize
def test_files_exist(page: Path) -> None:
    pattern = rf"(?<![\w/.])(?:{'|'.join(FOLDERS)})/[\w./*-]*"
    for name in {name.rstrip("./") for text in quoted(page) for name in re.findall(pattern, text)}:
        assert name in MADE or any(ROOT.glob(name)), name


@parametrize
def test_targets_of_make_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in {n for text in quoted(page) for n in re.findall(r"^make ([\w-]+)", text)}:
        assert re.search(rf"^{name}:", makefile, re.MULTILINE), name


@parametrize
def test_cases_of_benchmarks_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\n    ", "\n")
    commands = r"(?:benchmarks/(?:run|instructions)\.py|-m benchmarks)((?: [^-#`\s)][^`\s)]*)+)"
    for words in re.findall(commands, text):
        for word in words.replace("'", "").split():
            if word not in ("CASE", "FILE"):
                assert registry.select([word]), word


def test_switches_and_functions_exist() -> None:
    text = sources()
    words = set(re.findall(r"\w+", text))
    for page in PAGES:
        for name in {n for t in quoted(page) for n in re.findall(r"\bUVOLT_\w+", t)}:
            assert name in words, (page.name, name)
    for name in quoted(ROOT / "docs" / "architecture.md"):
        if re.fullmatch(r"[a-z]\w*_\w+(\(\))?", name):
            assert name.removesuffix("()") in words | OTHERS, name
