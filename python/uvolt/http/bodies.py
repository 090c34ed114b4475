"""The body that a request has: what data= and json= stand for."""

from __future__ import annotations

from typing import Any

from . import lent, payload
from .formdata import FormData
from .payload import JsonBytesPayload, JsonPayload
from .payload_base import OCTETS, in_memory

__all__ = ("OCTETS", "JsonBytesPayload", "JsonPayload", "in_memory", "make_payload")


def make_payload(data: Any) -> payload.Payload:
    """The body that a value given as data stands for. TypeError if it stands for none."""
    if isinstance(data, FormData) or hasattr(data, "is_multipart"):  # aiohttp's is good, too
        data = data()
    if type(data).__module__.startswith("aiohttp."):
        # A part of a multipart body, a StreamReader, a streamer: aiohttp knows how they are read.
        found = lent.payload_of_aiohttp(data, disposition=None)
        if found is not None:
            return found  # type: ignore[no-any-return]
    try:
        return payload.PAYLOAD_REGISTRY.get(data, disposition=None)
    except payload.LookupError:
        pass
    found = lent.payload_of_aiohttp(data, disposition=None)  # a type that was registered there
    return FormData(data)() if found is None else found
