"""What type checkers are told: a program that uses the public names; the keywords of requests."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from uvolt.http import ClientSession

ROOT = Path(__file__).parents[2]


@pytest.mark.once
@pytest.mark.timeout(300)
@pytest.mark.skipif(find_spec("mypy") is None, reason="`make lint` installs mypy and runs this")
def test_a_typed_program() -> None:
    """typed_program.py, which says of each result what it is, has no error."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            str(Path(__file__).with_name("typed_program.py")),
        ],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT / "python")},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


def test_keywords_of_requests_are_those_of_request() -> None:
    """The types of get(**kwargs) and its like name what _request() takes."""
    text = (ROOT / "python" / "uvolt" / "http" / "typedefs.py").read_text(encoding="utf-8")
    options = [
        item.target.id
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Options")
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    ]
    parameters = inspect.signature(ClientSession._request).parameters.values()
    assert sorted(options) == sorted(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def test_no_module_hides_a_name() -> None:
    """`from .request import X` in a package makes its attribute `request` the module, to pyright at
    least: uvolt.http.request would be no function."""
    text = (ROOT / "python" / "uvolt" / "http" / "__init__.py").read_text(encoding="utf-8")
    imports = [node for node in ast.parse(text).body if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in imports for alias in node.names}
    assert "request" in names and not names & {node.module for node in imports}
