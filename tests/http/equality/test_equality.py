"""Each row of the table: the same call with aiohttp and with uvolt.http."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import pytest
from differences import PAGE, REASONS, by_row, markdown, page_with
from table import Row, both, compare, rows

MODULES = ("requests", "responses", "redirects", "sessions", "proxies")


def load() -> dict[str, Row]:
    groups: list[Sequence[Row]] = [importlib.import_module(f"rows_{m}").ROWS for m in MODULES]
    return rows(*groups)


TABLE = load()
LISTED = by_row()


@pytest.mark.parametrize("name", TABLE)
def test_row(name, uloop):
    row = TABLE[name]
    problems = compare(LISTED.get(name), uloop.run_until_complete(both(row)))
    assert not problems, f"{name}\n{problems}"


def test_the_table_is_large():
    assert len(TABLE) >= 1400


def test_what_is_listed_is_in_the_table():
    assert set(LISTED) <= set(TABLE)
    assert {listed.reason for listed in LISTED.values()} == set(REASONS)


def test_the_documentation_has_the_listed_differences():
    """If it fails: python tests/http/equality/differences.py"""
    assert PAGE.read_text(encoding="utf-8") == page_with(markdown())
