"""Forms: FormData and what a dict given as data becomes."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from multidict import MultiDict, MultiDictProxy

from .payload import BytesPayload, Payload

__all__ = ("FormData",)


class FormData:
    """The fields of a form: a dict, pairs of name and value, a MultiDict, or none at first.

    Calling it makes the body: application/x-www-form-urlencoded. Files, which need
    multipart/form-data, are not supported yet: NotImplementedError. TypeError for what is no field.
    """

    def __init__(
        self, fields: Iterable[Any] = (), quote_fields: bool = True, charset: str | None = None
    ) -> None:
        self._fields: list[tuple[str, Any]] = []
        self._charset = charset or "utf-8"
        if isinstance(fields, dict):
            fields = list(fields.items())
        elif not isinstance(fields, list | tuple):
            fields = (fields,)
        self.add_fields(*fields)

    def add_field(self, name: str, value: Any) -> None:
        """One more field."""
        if isinstance(value, io.IOBase | bytes | bytearray | memoryview):
            raise NotImplementedError("uvolt.http does not send files in forms yet")
        self._fields.append((name, value))

    def add_fields(self, *fields: Any) -> None:
        """More fields: pairs or MultiDicts of them."""
        for field in fields:
            if isinstance(field, MultiDict | MultiDictProxy):
                self.add_fields(*field.items())
            elif isinstance(field, list | tuple) and len(field) == 2:
                self.add_field(*field)
            elif isinstance(field, io.IOBase):
                raise NotImplementedError("uvolt.http does not send files in forms yet")
            else:
                raise TypeError(
                    "Only io.IOBase, multidict and (name, file) pairs allowed, use .add_field() "
                    f"for passing more complex parameters, got {field!r}"
                )

    def __call__(self) -> Payload:
        kind = "application/x-www-form-urlencoded"
        if self._charset != "utf-8":
            kind += f"; charset={self._charset}"
        data = urlencode(self._fields, doseq=True, encoding=self._charset)
        return BytesPayload(data.encode(), content_type=kind)
