"""What the tests of forms, multipart bodies and payloads share: one request, as it went out."""

from __future__ import annotations

import re
from typing import Any

from http_support import Asked, answers, raw, response

BOUNDARY = "0123456789abcdef0123456789abcdef"


def dechunk(asked: Asked) -> bytes:
    """The body of a request, without the chunked coding."""
    if "transfer-encoding" not in asked.headers:
        return asked.body
    data, out = asked.body, b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        assert data[length : length + 2] == b"\r\n"
        out, data = out + data[:length], data[length + 2 :]
    return out


def post(client: Any, make: Any, **request: Any) -> Asked:
    """POST what make(http) gives, http being the client's module."""
    return post_all(client, make, **request)[0]


def post_all(client: Any, make: Any, *, count: int = 1, answer=None, **request: Any) -> list[Asked]:
    """POST it `count` times, or as often as answers redirect; all that the server got."""
    script = answer or answers(response(b"ok"))

    async def main():
        async with raw(script) as server, client.session() as http:
            data = make(client.http)
            for _ in range(count):
                async with http.post(server.url + "/", data=data, **request) as got:
                    assert (got.status, await got.read()) == (200, b"ok")
            return server.asked

    return client.run(main)


def part(*lines: str, body: bytes = b"") -> bytes:
    """A part with its boundary in front, and without the line end behind."""
    head = "\r\n".join([f"--{BOUNDARY}", *lines, "", ""])
    return head.encode() + body


def form(*parts: bytes) -> bytes:
    return b"\r\n".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


def boundary_of(asked: Asked) -> str:
    found = re.search(r'boundary="?([^";]+)', asked.headers["content-type"])
    assert found
    return found[1]
