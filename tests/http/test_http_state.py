"""The test cases of the HTTP State working group, which RFC 6265 comes from.

They are github.com/abarth/http-state, tests/data; the directory of a copy is UVOLT_HTTP_STATE. Each
case goes through a session: a server sets cookies and redirects, and looks at what comes back.
"""

from __future__ import annotations

import asyncio
import calendar
import email.utils
import json
import os
import time
from pathlib import Path

import http_support
import pytest
import support

from uvolt import http
from uvolt.http._cookierules import parse_date

ROOT = os.environ.get("UVOLT_HTTP_STATE", "")
DATA = Path(ROOT, "tests", "data")
pytestmark = pytest.mark.skipif(
    not ROOT, reason="UVOLT_HTTP_STATE is not set: a copy of github.com/abarth/http-state"
)
NOW = calendar.timegm((2011, 4, 27, 0, 0, 0))  # of RFC 6265, younger than all cases

# Where we differ, and why.
DIFFERENT = {
    "domain0021": "Domain in quotes is unquoted, as aiohttp does it",
    "optional-domain0042": "the last Domain counts, even if it is empty: RFC 6265bis, 5.7",
    "path0032": "/a and /a/ are one place, as in aiohttp's jar",
}


def names() -> list[str]:
    found = sorted(path.name[: -len("-test")] for path in (DATA / "parser").glob("*-test"))
    return [name for name in found if not name.startswith("disabled-")]


def read(name: str) -> list[tuple[bytes, bytes]]:
    lines = (DATA / "parser" / name).read_bytes().split(b"\n")
    fields = [line.partition(b":") for line in lines if line.strip()]
    return [(field.lower(), value.strip()) for field, _, value in fields]


async def ask(name: str, path: str) -> bytes | None:
    """What the session sends to where it is redirected: the Cookie field."""
    fields = read(f"{name}-test")
    if not any(field == b"location" for field, _ in fields):
        fields.append((b"location", b"/cookie-parser-result?" + name.encode()))
    head = b"".join(field + b": " + value + b"\r\n" for field, value in fields)
    found = b"HTTP/1.1 302 Found\r\n" + head + b"Content-Length: 0\r\n\r\n"
    done = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    async with (
        http_support.raw(http_support.answers(found, done), path=path) as server,
        http.ClientSession(connector=http.UnixConnector(path)) as session,
        session.get(f"http://home.example.org:8888/cookie-parser?{name}") as response,
    ):
        assert response.status == 200
    _, asked = server.asked
    lines = [line for line in asked.head.split(b"\r\n") if line.lower().startswith(b"cookie:")]
    assert len(lines) <= 1
    return lines[0].partition(b":")[2].strip() if lines else None


async def differing(tmp_path: Path) -> list[str]:
    wrong = []
    for name in names():
        expected = dict(read(f"{name}-expected")).get(b"cookie")
        if await ask(name, str(tmp_path / "socket")) != expected:
            wrong.append(name)
    return wrong


def test_cookies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(names()) == 218
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    client = http_support.Client("uvolt")
    seconds = 60 * support.SLOW
    wrong = client.run(lambda: asyncio.wait_for(differing(tmp_path), seconds), 60)
    assert sorted(wrong) == sorted(DIFFERENT)


@pytest.mark.parametrize("file", ["examples", "bsd-examples"])
def test_dates(file: str) -> None:
    text = (DATA / "dates" / f"{file}.json").read_text("utf-8")
    cases = json.loads(text[text.index("[") :])  # a licence stands before it
    assert len(cases) >= 15
    for case in cases:
        expected = case["expected"]
        if expected is not None:
            expected = calendar.timegm(email.utils.parsedate(expected))
        assert parse_date(case["test"]) == expected, case["test"]
