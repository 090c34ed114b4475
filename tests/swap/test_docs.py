"""docs/aiohttp.md says of each name and keyword of aiohttp's client what becomes of it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import aiohttp
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "aiohttp.md"
WORDS = {"same", "differs", "falls back"}


def rows(section: str) -> dict[str, str]:
    """Name -> same, differs or falls back, of one section of the page."""
    text = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    part = next(part for part in text if part.splitlines()[0] == section)
    found: dict[str, str] = {}
    for line in part.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 5 and cells[1].startswith("`"):
            assert cells[2] in WORDS, line
            assert cells[2] != "differs" or cells[3], f"how? {line}"
            for name in re.findall(r"`(\w+)`", cells[1]):
                assert name not in found, f"{name} is listed twice"
                found[name] = cells[2]
    return found


def parameters(*functions: object) -> set[str]:
    names = {name for f in functions for name in inspect.signature(f).parameters}  # type: ignore[arg-type]
    return names - {"self"}


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


def test_every_name_is_listed() -> None:
    assert set(rows("Names")) == set(aiohttp.__all__) | {"SocketFactoryType"}


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("ClientSession(...)", parameters(aiohttp.ClientSession)),
        ("session.request(...), get(...), ...", parameters(aiohttp.ClientSession._request)),
        ("session.ws_connect(...)", parameters(aiohttp.ClientSession._ws_connect)),
        (
            "TCPConnector(...), UnixConnector(...)",
            parameters(aiohttp.TCPConnector, aiohttp.UnixConnector),
        ),
        (
            "ClientTimeout(...), CookieJar(...), FormData(...)",
            parameters(aiohttp.ClientTimeout, aiohttp.CookieJar, aiohttp.FormData),
        ),
        ("Of a session", public(aiohttp.ClientSession)),
        ("Of a response", public(aiohttp.ClientResponse) | {"method"}),
    ],
)
def test_every_keyword_is_listed(section: str, expected: set[str]) -> None:
    assert set(rows(section)) == expected


def test_names_that_are_the_same_are_aiohttps_or_the_engines(original, swapped) -> None:
    for name, verdict in rows("Names").items():
        before, after = getattr(original, name, None), getattr(swapped, name)
        if before is None or isinstance(before, str):
            continue
        if verdict == "falls back":
            assert after is before, name
        elif after is not before:
            where = after.__mro__ if isinstance(after, type) else after.__code__.co_filename
            assert "uvolt" in str(where), name
