"""Bad servers, section 4.1: status lines and headers. Each row whole, byte by byte, split."""

from __future__ import annotations

import pytest
from faults_support import WAYS, Fault, check

BAD = {"status": 400, "error": "ClientResponseError"}
END = b"Content-Length: 2\r\n\r\nok"


def status(line: bytes, **outcome) -> Fault:
    return Fault(line + b"\r\n" + END, **outcome)


def field(line: bytes, **outcome) -> Fault:
    outcome.setdefault("body", None if outcome.get("error") else b"ok")
    return Fault(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n" + END, **outcome)


ROWS = {
    "row 1: garbage": status(b"garbage", **BAD),
    "row 1: no version": status(b"HT/11 200 OK", **BAD),
    "row 1: version 12.3": status(b"HTTP/12.3 200 OK", **BAD),
    "row 1: version 1.10": status(b"HTTP/1.10 200 OK", **BAD),
    "row 1: version 1": status(b"HTTP/1 200 OK", **BAD),
    "row 1: lower case": status(b"http/1.1 200 OK", **BAD),
    "row 1: version 2.0": status(b"HTTP/2.0 200 OK"),
    "row 1: version 3.7": status(b"HTTP/3.7 200 OK", **BAD),
    "row 2: code 99": status(b"HTTP/1.1 99 OK", **BAD),
    "row 2: code 1000": status(b"HTTP/1.1 1000 OK", **BAD),
    "row 2: code 2x0": status(b"HTTP/1.1 2x0 OK", **BAD),
    "row 2: code +20": status(b"HTTP/1.1 +20 OK", **BAD),
    "row 2: code 20": status(b"HTTP/1.1 20 OK", **BAD),
    "row 2: digits of another script": status("HTTP/1.1 ２００ OK".encode(), **BAD),
    "row 2: no code": status(b"HTTP/1.1 ", **BAD),
    "row 2: code 999": status(b"HTTP/1.1 999 Odd", reason="Odd", **{"status": 999}),
    "row 3: no reason": status(b"HTTP/1.1 200", reason="", body=b"ok", reused=True),
    "row 3: an empty reason": status(b"HTTP/1.1 200 ", reason="", body=b"ok", reused=True),
    "row 3: a reason in latin-1": status(b"HTTP/1.1 200 \xfcber", body=b"ok"),
    "row 4: no colon": field(b"no colon", **BAD),
    "row 4: an empty name": field(b": value", **BAD),
    "row 4: space before the colon": field(b"X-A : value", **BAD),
    "row 4: space in the name": field(b"X A: value", **BAD),
    "row 4: a name with a control": field(b"X\x01A: value", **BAD),
    "row 4: a name with a NUL": field(b"X\0A: value", **BAD),
    "row 4: a name in utf-8": field("Xü: value".encode(), **BAD),
    "row 4: space before the first name": field(b" X-A: value", oracle=False, **BAD),
    "row 5: a folded value": field(b"X-A: one\r\n two", headers={"X-A": "one two"}),
    "row 5: a value folded twice": field(
        b"X-A: one\r\n two\r\n\tthree", headers={"X-A": "one two three"}, oracle=False
    ),
    "row 5: a folded length": Fault(
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok", body=b"ok"
    ),
    "row 6: bare line feeds": Fault(
        b"HTTP/1.1 200 OK\nX-A: b\nContent-Length: 2\n\nok", body=b"ok", headers={"X-A": "b"}
    ),
    "row 6: one bare line feed": field(b"X-A: b\nX-B: c", headers={"X-A": "b", "X-B": "c"}),
    "row 7: a bare carriage return in a value": field(b"X-A: b\rc", **BAD),
    "row 7: a smuggled header": field(b"X-A: \rxTransfer-Encoding: chunked", oracle=False, **BAD),
    "row 7: NUL in a value": field(b"X-A: b\0c", **BAD),
    "row 7: NUL at the end of a value": field(b"X-A: b\0", **BAD),
    "row 7: carriage return in the reason": status(b"HTTP/1.1 200 O\rK", **BAD),
    "row 7: NUL in the reason": status(b"HTTP/1.1 200 O\0K", oracle=False, **BAD),
    "row 8: control 1": field(b"X-A: b\x01c", headers={"X-A": "b\x01c"}),
    "row 8: control 31": field(b"X-A: b\x1fc", headers={"X-A": "b\x1fc"}),
    "row 8: DEL": field(b"X-A: b\x7fc", headers={"X-A": "b\x7fc"}),
    "row 8: a tab": field(b"X-A: b\tc", headers={"X-A": "b\tc"}, reused=True),
    "row 9: a long line": field(b"X-A: " + b"v" * 9000, match="8190", **BAD),
    "row 9: a long name": field(b"N" * 9000 + b": v", match="8190", **BAD),
    "row 9: a long reason": status(b"HTTP/1.1 200 " + b"r" * 9000, match="8190", **BAD),
    "row 9: a line of 8000": field(b"X-A: " + b"v" * 8000, headers={"X-A": "v" * 8000}),
    "row 9: without an end": Fault(b"HTTP/1.1 200 OK\r\nX-A: " + b"v" * 9000, **BAD),
    "row 9: a status line without an end": Fault(b"HTTP/1.1 200 " + b"r" * 9000, **BAD),
    "row 10: 120 headers": field(b"X: y\r\n" * 119 + b"X: y"),
    "row 10: 200 headers": field(b"X: y\r\n" * 199 + b"X: y", **BAD),
    "row 10: headers without an end": Fault(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2000, **BAD),
    "row 11: latin-1": field(b"X-A: \xfc", headers={"X-A": "\udcfc"}),
    "row 11: utf-8": field("X-A: ü€".encode(), headers={"X-A": "ü€"}),
    "row 12: duplicates": field(
        b"Content-Type: a/b\r\nContent-Type: c/d\r\nServer: a\r\nServer: b\r\nETag: a\r\nETag: b",
        headers={"Content-Type": "a/b", "Server": "a"},
        reused=True,
    ),
    "row 14: a 101 that nobody asked for": Fault(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw bytes",
        status=101,
        reused=False,
    ),
    "row 15: a page without a head": Fault(b"<html>an HTTP/0.9 page</html>\r\n\r\n", **BAD),
    "row 15: a TLS alert": Fault(b"\x15\x03\x03\x00\x02\x02\x28", **BAD),
    "row 15: a TLS hello": Fault(
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 50, **BAD
    ),
    "row 15: another protocol": Fault(b"SSH-2.0-OpenSSH_9.2\r\n", **BAD),
    "row 15: nothing but line ends": Fault(b"\r\n\r\n" + b"HTTP/1.1 200 OK\r\n" + END, body=b"ok"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ROWS)
def test_rows(client, name, way):
    check(client, ROWS[name], way)
