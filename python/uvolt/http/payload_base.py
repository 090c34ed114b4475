"""What payloads have in common, and the registry that knows which of them is for what.

Source: aiohttp.payload, whose names these are. payload.py has the payloads.
"""

from __future__ import annotations

import enum
import mimetypes
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from multidict import CIMultiDict

from . import lent
from .helpers import _Sentinel, content_disposition_header, safe_header, sentinel

CHUNK: Final = 256 * 1024  # bytes read from a file at a time
OCTETS: Final = "application/octet-stream"

Headers = Mapping[str, str] | Iterable[tuple[str, str]] | None


class Writer(Protocol):
    """What a payload is written to."""

    async def write(self, chunk: bytes | bytearray | memoryview, /) -> Any:
        """Take some bytes; returns when more may come."""


class Payload(ABC):
    """A body, or a part of one. `filename` tells the content type if `content_type` is not given.

    consumed: it cannot be sent again. autoclose: it holds nothing that needs to be closed.
    """

    _default_content_type = OCTETS
    _size: int | None = None
    _consumed = False
    _autoclose = False

    def __init__(
        self,
        value: Any,
        headers: Headers = None,
        content_type: str | None | _Sentinel = sentinel,
        filename: str | None = None,
        encoding: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._value = value
        self._filename = filename
        self._encoding = encoding
        self._headers: CIMultiDict[str] = CIMultiDict()
        if isinstance(content_type, str):
            kind = content_type
        else:
            kind = filename is not None and _guess_type(filename) or self._default_content_type
        self._headers["Content-Type"] = kind
        if headers:
            self._headers.update(headers)

    @property
    def size(self) -> int | None:
        """Bytes that will be sent; None if that is not known."""
        return self._size

    @property
    def filename(self) -> str | None:
        """The name of the file it comes from."""
        return self._filename

    @property
    def headers(self) -> CIMultiDict[str]:
        """The fields that describe it."""
        return self._headers

    @property
    def _binary_headers(self) -> bytes:
        """The fields as they go before a part of a multipart body, with the empty line. ValueError
        for what would be more than one line."""
        return serialize_fields(self._headers)

    @property
    def encoding(self) -> str | None:
        """How text is encoded."""
        return self._encoding

    @property
    def content_type(self) -> str:
        """The value of Content-Type."""
        return self._headers["Content-Type"]

    @property
    def consumed(self) -> bool:
        """Whether it cannot be sent again."""
        return self._consumed

    @property
    def autoclose(self) -> bool:
        """Whether it needs no close()."""
        return self._autoclose

    def set_content_disposition(
        self, disptype: str, quote_fields: bool = True, _charset: str = "utf-8", **params: Any
    ) -> None:
        """Set Content-Disposition (RFC 7578, 4.2)."""
        self._headers["Content-Disposition"] = content_disposition_header(
            disptype, quote_fields=quote_fields, _charset=_charset, **params
        )

    @abstractmethod
    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole as text. May block."""

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The whole as bytes."""
        actual = self._encoding or encoding
        return self.decode(actual, errors).encode(actual)

    @abstractmethod
    async def write(self, writer: Writer) -> None:
        """Write the whole."""

    async def write_with_length(self, writer: Writer, content_length: int | None) -> None:
        """Write the whole, or its first content_length bytes."""
        await self.write(writer)

    def _in_memory(self) -> bytes | None:
        """The whole if that is at hand and small enough to be sent in one piece, else None."""
        return None

    def _close(self) -> None:  # noqa: B027, most hold nothing
        """close() for who cannot await; in a loop all the same."""

    async def close(self) -> None:
        """Let go of what it holds. Does not wait."""
        self._close()


def serialize_fields(headers: Mapping[str, str]) -> bytes:
    """Fields of a part, with the empty line. ValueError for control characters."""
    lines = [f"{safe_header(name)}: {safe_header(value)}\r\n" for name, value in headers.items()]
    return "".join([*lines, "\r\n"]).encode("utf-8")


def _guess_type(filename: str) -> str | None:
    if sys.version_info >= (3, 13):
        return mimetypes.guess_file_type(filename)[0]
    return mimetypes.guess_type(filename)[0]


# ---- which for what -----------------------------------------------------------------------------


class LookupError(Exception):
    """There is no payload for values of this type."""


class Order(str, enum.Enum):
    """When a type of payload is asked: before the others, among them, or after them."""

    normal = "normal"
    try_first = "try_first"
    try_last = "try_last"


def is_payload(data: Any) -> bool:
    """Whether it can be sent as a payload is: aiohttp's own can."""
    return isinstance(data, Payload) or all(
        hasattr(data, name) for name in ("write_with_length", "size", "headers")
    )


def in_memory(payload: Any) -> bytes | None:
    """All of a payload if that is at hand and small enough to be sent in one piece, else None. One
    of a class of the user's own is asked to write() itself."""
    is_ours = type(payload).__module__.startswith("uvolt.http.")
    return payload._in_memory() if is_ours else None


class PayloadRegistry:
    """Which type of payload is for values of which type."""

    def __init__(self) -> None:
        self._types: dict[Order, list[tuple[type[Payload], Any]]] = {order: [] for order in Order}
        self._exact: dict[Any, type[Payload]] = {}

    def get(self, data: Any, *args: Any, **kwargs: Any) -> Payload:
        """The payload for a value, which may be one. This module's LookupError if there is none."""
        for factory, kind in self._types[Order.try_first]:
            if isinstance(data, kind):
                return factory(data, *args, **kwargs)
        exact = self._exact.get(type(data))
        if exact is not None:
            return exact(data, *args, **kwargs)
        if is_payload(data):
            return data  # type: ignore[no-any-return]
        for order in (Order.normal, Order.try_last):
            for factory, kind in self._types[order]:
                if isinstance(data, kind):
                    return factory(data, *args, **kwargs)
        found = None if lent.payload is None else lent.payload(data, *args, **kwargs)
        if found is None:
            raise LookupError
        return found  # type: ignore[no-any-return]

    def register(self, factory: type[Payload], type: Any, *, order: Order = Order.normal) -> None:
        """Use `factory` for values of `type`: a class or several."""
        if order not in self._types:
            raise ValueError(f"Unsupported order {order!r}")
        self._types[order].append((factory, type))
        if order is Order.normal:
            for kind in type if isinstance(type, Iterable) else (type,):
                self._exact[kind] = factory


PAYLOAD_REGISTRY = PayloadRegistry()


def get_payload(data: Any, *args: Any, **kwargs: Any) -> Payload:
    """The payload for a value. LookupError, of this module, if there is none."""
    return PAYLOAD_REGISTRY.get(data, *args, **kwargs)


def register_payload(factory: type[Payload], type: Any, *, order: Order = Order.normal) -> None:
    """Use `factory` for values of `type`: a class or several."""
    PAYLOAD_REGISTRY.register(factory, type, order=order)


class payload_type:
    """Decorator of a payload class: it is for values of `type`."""

    def __init__(self, type: Any, *, order: Order = Order.normal) -> None:
        self.type = type
        self.order = order

    def __call__(self, factory: type[Payload]) -> type[Payload]:
        PAYLOAD_REGISTRY.register(factory, self.type, order=self.order)
        return factory
