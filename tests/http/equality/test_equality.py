"""Each row of the table: the same call with aiohttp and with uvolt.http."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import observe
import pytest
from differences import PAGE, REASONS, by_row, markdown, page_with
from table import Row, both, compare, rows

MODULES = ("requests", "responses", "redirects", "sessions", "forms", "hooks", "tls", "proxies")


def load() -> dict[str, Row]:
    groups: list[Sequence[Row]] = [importlib.import_module(f"rows_{m}").ROWS for m in MODULES]
    return rows(*groups)


TABLE = load()
LISTED = by_row()


@pytest.mark.parametrize("name", TABLE)
def test_row(name, uloop, certificates):
    row = TABLE[name]
    problems = compare(LISTED.get(name), uloop.run_until_complete(both(row, certificates)))
    assert not problems, f"{name}\n{problems}"


def test_the_table_is_large():
    assert len(TABLE) >= 2100


def words() -> set[str]:
    """What the rows give as keywords: in calls, and as names of options."""
    found: set[str] = set()
    for path in Path(__file__).parent.glob("rows_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                found.update(keyword.arg for keyword in node.keywords if keyword.arg)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


@pytest.mark.parametrize(
    "function",
    [
        *(aiohttp.ClientSession.__init__, aiohttp.ClientSession._request, aiohttp.ClientTimeout),
        *(aiohttp.TCPConnector.__init__, aiohttp.FormData.__init__, aiohttp.FormData.add_field),
    ],
    ids=lambda function: function.__qualname__,
)
def test_every_keyword_is_in_a_row(function):
    names = inspect.signature(function).parameters
    given = {*words(), "self", "method", "str_or_url", "fields"}
    assert not [name for name in names if name not in given]


@pytest.mark.parametrize("name", dir(aiohttp.ClientResponse))
def test_every_attribute_of_a_response_is_looked_at(name):
    if name.startswith("_") or name in NOT_LOOKED_AT:
        return
    text = Path(observe.__file__).read_text(encoding="utf-8")
    text += "".join(p.read_text(encoding="utf-8") for p in Path(__file__).parent.glob("rows_*.py"))
    assert re.search(rf"\b(?:r|answer)\.{name}\b", text)


# The engine's own: test_upload_tracker.py has the last two.
NOT_LOOKED_AT = {"ATTRS", "start", "output_size", "upload_complete"}


def test_what_is_listed_is_in_the_table():
    assert set(LISTED) <= set(TABLE)
    assert {listed.reason for listed in LISTED.values()} == set(REASONS)


def test_the_documentation_has_the_listed_differences():
    """If it fails: python tests/http/equality/differences.py"""
    assert PAGE.read_text(encoding="utf-8") == page_with(markdown())
