"""llhttp's own cases for responses, read from a copy of its repository that UVOLT_LLHTTP points at.

`git clone https://github.com/nodejs/llhttp` somewhere outside this tree. Verdict, fields and body
must be llhttp's, in one piece, byte by byte and cut at every position. Where they are not, the case
stands in a table here with the sentence of the standard that speaks for us.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from proto_support import CUT, NO_EOF, STRICT, TO_HEAD, Outcome, response

WHERE = os.environ.get("UVOLT_LLHTTP")
if WHERE is None:
    pytest.skip(
        "llhttp's cases are not run: UVOLT_LLHTTP names no copy of github.com/nodejs/llhttp "
        "(docs/http1.md has what came of the last run)",
        allow_module_level=True,
    )
FOLDER = Path(WHERE) / "test" / "response"
DATA_AFTER_CLOSE = 5  # HPE_CLOSED_CONNECTION

# Kinds of case whose leniency is ours too; the others' leniency we have not.
LENIENT = {
    "response-lenient-headers",
    "response-lenient-optional-cr-before-lf",
    "response-lenient-all",
}


@dataclass
class Expected:
    """What the log of a case says."""

    messages: list[tuple[int, list[tuple[bytes, bytes]], bytes]] = field(default_factory=list)
    error: int = 0


@dataclass
class LlhttpCase:
    name: str
    kind: str
    meta: str
    data: bytes
    log: str


def unescape(text: str) -> bytes:
    """As llhttp's test/md-test.ts does."""
    text = text.removesuffix("\n")
    text = re.sub(r"\\(\r\n|\r|\n)", "", text)
    text = re.sub(r"\r\n|\r|\n", "\r\n", text)
    for escape, char in (("\\r", "\r"), ("\\n", "\n"), ("\\t", "\t"), ("\\f", "\f")):
        text = text.replace(escape, char)
    text = re.sub(r"\\x([0-9a-fA-F]+)", lambda m: chr(int(m[1], 16)), text)
    text = re.sub(r"\\([0-7]{1,3})", lambda m: chr(int(m[1], 8)), text)
    return text.encode()


def cases() -> list[LlhttpCase]:
    found = []
    fenced = r"((?:(?!```).)*)```"
    block = rf"<!-- meta=(\{{[^\n]*?\}}) -->\s*```http\n{fenced}(?:(?!```).)*```log\n{fenced}"
    for path in sorted(FOLDER.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        for n, match in enumerate(re.finditer(block, text, re.DOTALL)):
            title = re.findall(r"^#+ *(.*)$", text[: match.start()], re.MULTILINE)[-1]
            meta, http, log = match.groups()
            kind = re.search(r'"type": "([\w-]+)"', meta)
            assert kind is not None, meta
            if "${" in http:  # JavaScript
                continue
            found.append(LlhttpCase(f"{path.stem}-{n}-{title}", kind[1], meta, unescape(http), log))
    return found


def read_log(data: bytes, log: str) -> Expected:
    out = Expected()
    name, value, named = b"", b"", False
    pending: list[tuple[bytes, bytes]] = []
    for line in log.splitlines():
        if span := re.match(r"off=(\d+) len=(\d+) span\[(\w+)\]", line):
            at, length, what = int(span[1]), int(span[2]), span[3]
            piece = data[at : at + length]
            if what == "header_field":
                name = name + piece
            elif what == "header_value":
                value += piece
            elif what == "body" and out.messages:
                status, fields, body = out.messages[-1]
                out.messages[-1] = (status, fields, body + piece)
        elif "header_field complete" in line:
            named = True
        elif "header_value complete" in line:
            assert named
            pending.append((name, value.strip(b" \t")))
            name, value, named = b"", b"", False
        elif "message begin" in line:
            pending, name, value = [], b"", b""
        elif done := re.search(r"headers complete status=(\d+)", line):
            out.messages.append((int(done[1]), pending, b""))
            pending = []
        elif error := re.search(r"error code=(\d+)", line):
            if int(error[1]) not in (21, 22, 23):  # it pauses
                out.error = int(error[1])
    return out


# Name of the case, with its place in the file -> what the RFC says, or whose leniency it is.
DIFFERENT: dict[str, str] = {
    "invalid-8-Bare CR after response line (lenient)": "a leniency that aiohttp does not ask for; "
    "RFC 9112 2.2: a recipient of such a bare CR MUST consider that element to be invalid",
    "lenient-version-0-Invalid HTTP version (lenient)": "a leniency that aiohttp does not ask for",
    "sample-1-RTSP response": 'RFC 9112 2.3: HTTP-name = %s"HTTP"',
    "sample-2-ICE response": 'RFC 9112 2.3: HTTP-name = %s"HTTP"',
    "transfer-encoding-9-Invalid OBS fold after chunked value": "same verdict and body; RFC 9112 "
    "5.2: replace each received obs-fold with one or more SP octets. llhttp keeps those there were",
}
CASES = cases()


def ours(case: LlhttpCase, flags: int) -> Outcome:
    skip_body = TO_HEAD if "skipBody" in case.meta else 0
    return response(case.data, CUT | NO_EOF | flags | skip_body)


def agrees(case: LlhttpCase, outcome: Outcome) -> str:
    """Empty, or what is different."""
    expected = read_log(case.data, case.log)
    refused = bool(outcome.error)
    if expected.error == DATA_AFTER_CLOSE:
        if refused or outcome.rest == 0:
            return f"data after the end was not left alone: {outcome}"
    elif refused != bool(expected.error):
        return f"verdict: {outcome.error or 'accepted'}; theirs: {expected.error or 'accepted'}"
    messages = [(m.status, m.fields, m.body) for m in outcome.messages]
    if messages != expected.messages:
        return f"{messages}; theirs: {expected.messages}"
    return ""


def test_the_cases_are_there() -> None:
    assert len(CASES) >= 80
    assert set(DIFFERENT) <= {case.name for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: LlhttpCase) -> None:
    lenient = case.kind in LENIENT
    difference = agrees(case, ours(case, 0 if lenient else STRICT))
    assert bool(difference) is (case.name in DIFFERENT), difference


@pytest.mark.parametrize("case", [c for c in CASES if c.kind == "response"], ids=lambda c: c.name)
def test_lenient_accepts_what_strict_accepts(case: LlhttpCase) -> None:
    strict, lenient = ours(case, STRICT), ours(case, 0)
    if not strict.error:
        assert strict == lenient
