"""Forms: FormData and what a dict given as data becomes.

Source: https://docs.aiohttp.org/en/stable/client_reference.html#formdata, and RFC 7578.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import urlencode

from multidict import MultiDict, MultiDictProxy

from .helpers import deprecated, guess_filename, safe_header
from .multipart_writer import MultipartWriter
from .payload import BytesPayload
from .payload_base import Payload, get_payload

__all__ = ("FormData",)

# The second is no io.IOBase, the third not before Python 3.11.
FILES = (io.IOBase, tempfile._TemporaryFileWrapper, tempfile.SpooledTemporaryFile)


class Field(NamedTuple):
    """One field: what Content-Disposition says of it, header fields of its own, the value."""

    disposition: dict[str, str]
    headers: dict[str, str]
    value: Any


class FormData:
    """The fields of a form: a dict, pairs of name and value, a MultiDict, a file, or none at first.

    Calling it makes the body: multipart/form-data if there is a file, a file name or a content type
    among the fields, or if default_to_multipart is true, else application/x-www-form-urlencoded.
    quote_fields: whether names of files are percent-encoded. charset: of text.

    It may be used again; fields that have become parts of a multipart body stay parts of it. Raises
    TypeError for what is no field, ValueError for control characters in what becomes a header.
    """

    def __init__(
        self,
        fields: Iterable[Any] = (),
        quote_fields: bool = True,
        charset: str | None = None,
        *,
        default_to_multipart: bool = False,
    ) -> None:
        self._writer = MultipartWriter("form-data")
        self._fields: list[Field] = []
        self._is_multipart = default_to_multipart
        self._quote_fields = quote_fields
        self._charset = charset
        if isinstance(fields, dict):
            fields = list(fields.items())
        elif not isinstance(fields, list | tuple):
            fields = (fields,)
        self.add_fields(*fields)

    @property
    def is_multipart(self) -> bool:
        """Whether the body will be multipart/form-data."""
        return self._is_multipart

    def add_field(
        self,
        name: str,
        value: Any,
        *,
        content_type: str | None = None,
        filename: str | None = None,
        content_transfer_encoding: str | None = None,
    ) -> None:
        """One more field. filename: of a file's own name by default. content_transfer_encoding has
        no effect (RFC 7578, 4.7) but that the form becomes a multipart one."""
        is_file = isinstance(value, FILES)
        if isinstance(value, bytes | bytearray | memoryview):
            if filename is None and content_transfer_encoding is None:
                deprecated(
                    "bytes without a filename make a file of the field's name; aiohttp 4 will not "
                    "do that: give the filename, or an io.BytesIO"
                )
                filename = name
        for key, text in {
            "filename": filename,
            "content_type": content_type,
            "content_transfer_encoding": content_transfer_encoding,
        }.items():
            if text is not None and not isinstance(text, str):
                raise TypeError(f"{key} must be an instance of str. Got: {text}")
        if filename is None and is_file:
            filename = guess_filename(value, name)

        disposition = {"name": safe_header(name)}
        headers: dict[str, str] = {}
        if filename is not None:
            disposition["filename"] = safe_header(filename)
        if content_type is not None:
            headers["Content-Type"] = safe_header(content_type)
        if content_transfer_encoding is not None:
            deprecated("content_transfer_encoding is deprecated: give a BytesPayload")
        told = (filename, content_type, content_transfer_encoding)
        if is_file or any(text is not None for text in told):
            self._is_multipart = True
        self._fields.append(Field(disposition, headers, value))

    def add_fields(self, *fields: Any) -> None:
        """More fields: files, pairs of name and value, or MultiDicts of them."""
        # A MultiDict's fields come last, as aiohttp has it.
        later: list[Any] = []
        for field in fields:
            if isinstance(field, FILES):
                self.add_field(guess_filename(field, "unknown") or "unknown", field)
            elif isinstance(field, MultiDict | MultiDictProxy):
                later.extend(field.items())
            elif isinstance(field, list | tuple) and len(field) == 2:
                self.add_field(*field)
            else:
                raise TypeError(
                    "Only io.IOBase, multidict and (name, file) pairs allowed, use .add_field() "
                    f"for passing more complex parameters, got {field!r}"
                )
        for name, value in later:
            self.add_field(name, value)

    def _urlencoded(self) -> BytesPayload:
        charset = self._charset or "utf-8"
        kind = "application/x-www-form-urlencoded"
        if charset != "utf-8":
            kind += f"; charset={charset}"
        pairs = [(field.disposition["name"], field.value) for field in self._fields]
        data = urlencode(pairs, doseq=True, encoding=charset)
        return BytesPayload(data.encode(), content_type=kind)

    def _multipart(self) -> MultipartWriter:
        parts = []
        for disposition, headers, value in self._fields:
            options: dict[str, Any] = {"headers": headers, "encoding": self._charset}
            if headers:
                options["content_type"] = headers["Content-Type"]
            try:
                part = get_payload(value, **options)
            except Exception as exc:
                raise TypeError(
                    f"Can not serialize value type: {type(value)!r}\n "
                    f"headers: {headers!r}\n value: {value!r}"
                ) from exc
            part.set_content_disposition(
                "form-data", quote_fields=self._quote_fields, **disposition
            )
            part.headers.popall("Content-Length", None)
            parts.append(part)
        for part in parts:
            self._writer.append_payload(part)
        self._fields.clear()
        return self._writer

    def __call__(self) -> Payload:
        """The body."""
        return self._multipart() if self._is_multipart else self._urlencoded()
