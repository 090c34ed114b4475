"""Generated responses through this parser, httptools (llhttp) and h11: no unexplained difference.

In the suite 15,000 inputs and a few seconds; a million with

    python tests/proto/test_differential.py 1000000 [seed]

A difference is explained when a rule below names it: what the input holds where the rule applies,
which of the two is the stricter one, and the sentence or decision behind it.
"""

from __future__ import annotations

import collections
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import h11
import httptools
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from generator import many  # noqa: E402
from proto_support import CUT, NO_EOF, STRICT, Outcome, responses  # noqa: E402

pytestmark = pytest.mark.once


@dataclass
class Seen:
    """What a peer made of the input: (status, fields, body, whole) a message, and its error."""

    messages: list[tuple[int, list[tuple[bytes, bytes]], bytes, bool]]
    error: str = ""
    rest: int = 0


class Events:
    def __init__(self) -> None:
        self.messages: list[tuple[int, list[tuple[bytes, bytes]], bytes, bool]] = []
        self.fields: list[tuple[bytes, bytes]] = []
        self.parser: httptools.HttpResponseParser

    def on_message_begin(self) -> None:
        self.fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.messages.append((self.parser.get_status_code(), self.fields, b"", False))
        self.fields = []

    def on_body(self, body: bytes) -> None:
        status, fields, before, _ = self.messages[-1]
        self.messages[-1] = (status, fields, before + body, False)

    def on_message_complete(self) -> None:
        self.messages[-1] = (*self.messages[-1][:3], True)


def by_httptools(data: bytes, strict: bool) -> Seen:
    events = Events()
    parser = events.parser = httptools.HttpResponseParser(events)
    if not strict:
        parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade as upgrade:
        return Seen(events.messages, "", len(data) - upgrade.args[0])
    except httptools.HttpParserError as error:
        return Seen(events.messages, str(error) or type(error).__name__)
    return Seen(events.messages)


def by_h11(data: bytes) -> Seen:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    connection.send(h11.EndOfMessage())
    seen = Seen([])
    try:
        if data:  # to h11 nothing is the end
            connection.receive_data(data)
        while True:
            event = connection.next_event()
            if event in (h11.NEED_DATA, h11.PAUSED):
                break
            if isinstance(event, (h11.Response, h11.InformationalResponse)):
                whole = isinstance(event, h11.InformationalResponse)
                seen.messages.append((event.status_code, event.headers.raw_items(), b"", whole))
            elif isinstance(event, h11.Data):
                status, fields, before, _ = seen.messages[-1]
                seen.messages[-1] = (status, fields, before + bytes(event.data), False)
            elif isinstance(event, h11.EndOfMessage):
                seen.messages[-1] = (*seen.messages[-1][:3], True)
                break
    except h11.RemoteProtocolError as error:
        seen.error = str(error)
    seen.rest = len(connection.trailing_data[0])
    return seen


def seen(outcome: Outcome) -> Seen:
    messages = [(m.status, m.fields, m.body, m.end == "done") for m in outcome.messages]
    return Seen(messages, outcome.error, outcome.rest)


# ---- the differences there are ----


@dataclass
class Rule:
    why: str
    ours: str = ".*"  # our error (a pattern for the whole of it); empty: we accept
    theirs: str = ".*"  # theirs
    data: bytes = b""  # a pattern that the input holds

    def applies(self, data: bytes, ours: Seen, theirs: Seen) -> bool:
        return bool(
            re.fullmatch(self.ours, ours.error)
            and re.fullmatch(self.theirs, theirs.error, re.DOTALL)
            and re.search(self.data, data, re.DOTALL)
        )


UNFINISHED = "they judge a line before it has ended; ended, we refuse it too"

HTTPTOOLS = [
    Rule(
        "RFC 9112 6.1: MUST NOT apply the chunked transfer coding more than once",
        "Invalid `Transfer-Encoding` header value",
        data=rb"(?i)chunked.*chunked",
    ),
    Rule(
        "RFC 9112 5.1: no whitespace is allowed between the field name and colon",
        "Invalid header token",
        data=rb"(?i)(content-length|transfer-encoding|connection|upgrade) +[^\n:]*:",
    ),
    Rule("RFC 9112 2.2: bare CR", "Expected LF after CR", data=rb"\r[^\n]"),
    Rule("RFC 9112 7.1: a chunk's line ends in CRLF", "Missing expected CR after chunk.*"),
    Rule("RFC 9112 7.1: chunk-data CRLF", "Expected LF after chunk data", data=rb"\n"),
    Rule("RFC 9110 5.5: white space ends no value", "", "", rb"(?i)chunked *\t"),
    Rule(
        "RFC 9112 9.3: with close it will not persist, whatever else there is",
        "",
        data=rb"(?i)HTTP/[12]\.0 .*connection:.*(close.*keep-alive|keep-alive.*close)",
    ),
    Rule("RFC 9110 5.5: NUL is invalid and dangerous", "Invalid HTTP header", data=rb"\0"),
    Rule(
        "RFC 9112 2.2: MUST either reject the message as invalid or consume the line unprocessed",
        "Unexpected space after start line",
    ),
    Rule("RFC 9112 6.1: it lists the codings", "Empty Transfer-Encoding"),
    Rule(
        "RFC 9110 5.6.1.2: MUST parse and ignore a reasonable number of empty list elements",
        data=rb"(?i)chunked[ \t]*,",
    ),
    Rule(
        "RFC 9112 4: reason-phrase is HTAB, SP, VCHAR, obs-text (lenient: no NUL)",
        "Invalid response status",
        data=rb"HTTP/[^\n]*[\x00-\x08\x0b-\x1f\x7f]",
    ),
    Rule("aiohttp's rule in its strict mode", "Duplicate '.*' header found."),
    Rule("RFC 9110 15: 100 to 599", "Invalid status code", data=rb"HTTP/.\.. 0"),
    Rule("2**63 bytes cannot come", "Content-Length overflow", data=rb"[1-9][0-9]{18}"),
    Rule("RFC 9112 2.2: bare CR", "Missing expected LF after header value", data=rb"\r[^\n]"),
    Rule(
        "RFC 9112 5.2: folds are joined before the value is read",
        theirs="Duplicate Content-Length|Data after .*",
        data=rb"\n[ \t]",
    ),
    Rule("RFC 9112 5.2, too", data=rb"(?i)transfer-encoding:[^\n]*\n[ \t]"),
    Rule("no difference: it stops at 101, as we do", "", "Pause on CONNECT/Upgrade", rb" 101 "),
    Rule("RFC 9112 6.3: no 1xx has a body", data=rb"HTTP/.\.. 1(?!0[0-3])"),
    Rule(
        "no control byte in Transfer-Encoding, however lenient",
        "Invalid `Transfer-Encoding` header value",
        data=rb"(?i)transfer-encoding:[^\r\n]*[\x01-\x1f\x7f]",
    ),
    Rule(
        "RFC 9110 15.2: a client MUST be able to parse 1xx responses prior to a final one",
        theirs="Data after `Connection: close`",
        data=rb"HTTP/.\.. 1",
    ),
    Rule(
        "RFC 9112 6.1: HTTP/1.0 knows no transfer codings, so no reuse (2.0 counts as 1.0)",
        "",
        data=rb"HTTP/[12]\.0 .*(?i:transfer-encoding:.*keep-alive|keep-alive.*transfer-encoding)",
    ),
]
# h11 is a library of its own mind, and waits for the end of a head before it looks at it.
H11 = [
    Rule(
        "h11 supports no other coding; RFC 9112 6.3 (4)", theirs="Only Transfer-Encoding: chunked.*"
    ),
    Rule("h11 supports one such field; RFC 9110 5.3", theirs="multiple Transfer-Encoding headers"),
    Rule(
        "RFC 9110 8.6: MUST either reject or replace; aiohttp rejects",
        "Duplicate Content-Length|Invalid character in Content-Length",
        data=rb"(?i)content-length.*(content-length|,)",
    ),
    Rule("2**63 bytes cannot come", "Content-Length overflow"),
    Rule("RFC 9112 6.3 (3): ought to be handled as an error", ".* can't be present with .*"),
    Rule("RFC 9112 7.1.1: h11 does not look into extensions", "Invalid .* in chunk extensions.*"),
    Rule("a chunk of 2**64 bytes cannot come", "Chunk size overflow"),
    Rule("RFC 9112 7.1: a chunk's line ends in CRLF", "Missing expected CR after chunk.*"),
    Rule("RFC 9112 2.2: bare CR", "Expected LF after chunk size", data=rb"\r[^\n]"),
    Rule("aiohttp refuses a minor version it does not know", "Invalid HTTP version"),
    Rule("aiohttp passes over empty lines first", theirs="no response line received"),
    Rule("row 14: an unasked 101 is a response", theirs=".*_SWITCH_UPGRADE.*", data=rb" 101 "),
    Rule(
        "aiohttp allows spaces behind a chunk's size",
        theirs="illegal chunk header.*",
        data=rb"[0-9a-fA-F][ \t]+[;\r]",
    ),
]


def explain(rules: list[Rule], data: bytes, ours: Seen, theirs: Seen) -> str:
    return next((rule.why for rule in rules if rule.applies(data, ours, theirs)), "")


def same(data: bytes, ours: Seen, theirs: Seen) -> bool:
    if re.search(rb"\n[ \t]", data):  # folds: the white space there was, or one space
        ours, theirs = squeeze(ours), squeeze(theirs)
    if theirs.error == "Data after `Connection: close`":  # we leave it to the connection
        return not ours.error and ours.rest > 0 and ours.messages == theirs.messages
    return bool(ours.error) == bool(theirs.error) and ours.messages == theirs.messages


def squeeze(seen: Seen) -> Seen:
    messages = [
        (status, [(n, re.sub(rb"[ \t]+", b" ", v)) for n, v in fields], body, whole)
        for status, fields, body, whole in seen.messages
    ]
    return Seen(messages, seen.error, seen.rest)


@dataclass
class Difference:
    peer: str
    mode: str
    data: bytes
    ours: Seen
    theirs: Seen
    why: str = ""


def until_final(seen: Seen) -> Seen:
    """Up to the first final response, which is as far as an h11 client reads."""
    for n, message in enumerate(seen.messages):
        if message[0] >= 200:
            over = message[3] or len(seen.messages) > n + 1
            return Seen(seen.messages[: n + 1], "" if over else seen.error)
    return seen


def lower_codings(seen: Seen) -> Seen:
    messages = [
        (s, [(n, v.lower() if n.lower() == b"transfer-encoding" else v) for n, v in f], b, w)
        for s, f, b, w in seen.messages
    ]
    return Seen(messages, seen.error)


def differences(inputs: list[bytes], with_h11: bool = True) -> list[Difference]:
    strict = [seen(o) for o in responses(inputs, STRICT | NO_EOF)]
    lenient = [seen(o) for o in responses(inputs, NO_EOF)]
    found = []
    for data, s, k in zip(inputs, strict, lenient, strict=True):
        for mode, ours in (("strict", s), ("lenient", k)):
            theirs = by_httptools(data, mode == "strict")
            if not same(data, ours, theirs):
                why = explain(HTTPTOOLS, data, ours, theirs)
                found.append(Difference("httptools", mode, data, ours, theirs, why))
        if with_h11:
            ours, theirs = lower_codings(until_final(k)), by_h11(data)
            if not same(data, ours, theirs):
                why = explain(H11, data, ours, theirs)
                if not why and ours.error and not theirs.error and by_h11(data + b"\r\n\r\n").error:
                    why = "h11 judges a head when it has ended; ended, it refuses it too"
                found.append(Difference("h11", "lenient", data, ours, theirs, why))
    explain_unfinished(found)
    return found


def explain_unfinished(found: list[Difference]) -> None:
    for mode, flags in (("strict", STRICT), ("lenient", 0)):
        some = [d for d in found if d.mode == mode and d.theirs.error and not d.ours.error]
        ended = responses([d.data + b"\r\n\r\n" for d in some], flags | NO_EOF)
        for difference, outcome in zip(some, ended, strict=True):
            if not difference.why and outcome.error:
                difference.why = UNFINISHED


BATCH = 5_000
BOUNDED = 15_000


def test_no_unexplained_difference() -> None:
    for seed in range(BOUNDED // BATCH):
        assert [d for d in differences(many(BATCH, seed)) if not d.why] == []


def test_differences_are_rare() -> None:
    """The rules do not swallow everything: most inputs have none, and both verdicts are common."""
    inputs = many(BATCH, 99)
    refused = sum(bool(o.error) for o in responses(inputs, NO_EOF))
    assert 0.2 < refused / BATCH < 0.8
    assert len({d.data for d in differences(inputs, with_h11=False)}) < 0.25 * BATCH


def test_whole_and_cut_agree_on_generated_input() -> None:
    for flags in (CUT, CUT | STRICT):
        responses(many(300, 7), flags)
        responses(many(100, 8), flags, flavour="sanitized")


def main() -> int:
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    why: collections.Counter[str] = collections.Counter()
    unexplained = 0
    for start in range(0, total, BATCH):
        for found in differences(many(min(BATCH, total - start), seed + start)):
            why[f"{found.peer}: {found.why or 'UNEXPLAINED'}"] += 1
            if not found.why:
                unexplained += 1
                print(found)
    print(f"{total} inputs, seed {seed}; {unexplained} differences unexplained")
    for reason, times in why.most_common():
        print(f"{times:8} {reason}")
    return min(unexplained, 1)


if __name__ == "__main__":
    sys.exit(main())
