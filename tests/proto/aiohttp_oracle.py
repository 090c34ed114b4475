"""aiohttp's own response parser, as its client uses it: what it makes of the same bytes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp._http_parser import HttpResponseParser
from aiohttp.base_protocol import BaseProtocol


@dataclass
class Answer:
    messages: list[tuple[int, str, tuple[tuple[bytes, bytes], ...], bytes]]
    error: str = ""
    kind: str = ""


def parse(data: bytes) -> Answer:
    loop = asyncio.new_event_loop()
    try:
        parser = HttpResponseParser(BaseProtocol(loop), loop, 2**16, read_until_eof=True)
        try:
            messages, _, _ = parser.feed_data(data)
        except Exception as error:
            return Answer([], error.message, type(error).__name__)
        return Answer(
            [
                (m.code, m.reason, m.raw_headers, b"".join(getattr(body, "_buffer", ())))
                for m, body in messages
            ]
        )
    finally:
        loop.close()
