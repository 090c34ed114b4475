"""Content-Disposition fields (RFC 6266, RFC 5987, RFC 2231), as lenient as aiohttp is."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from .helpers import program_line

__all__ = (
    "BadContentDispositionHeader",
    "BadContentDispositionParam",
    "content_disposition_filename",
    "parse_content_disposition",
)


class BadContentDispositionHeader(RuntimeWarning):
    """A Content-Disposition field is not valid: nothing of it is used."""


class BadContentDispositionParam(RuntimeWarning):
    """A parameter of a Content-Disposition field is not valid: it is left out."""


_is_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_is_piece = re.compile(r"[^*]*\*[0-9]+\*?").fullmatch  # of a value in pieces: name*0, name*1*
_escaped = re.compile(r"\\([\x00-\x7f])")


MOST_WARNINGS: Final = 64  # texts that are shown, each once; all where the filters say so
_shown: dict[Any, Any] = {}


def _warn(warning: RuntimeWarning) -> None:
    """Warn of what a server has sent, at the program's line. warnings.warn() would note each text
    for ever, and show each: a server has any number of them."""
    if len(_shown) < MOST_WARNINGS:
        line = program_line()
        warnings.warn_explicit(warning, type(warning), *line, registry=_shown)


def _unquoted(value: str) -> str | None:
    """A value in quotes without them; None if it is in none."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1]
    return None


def _unescape(text: str) -> str:
    return _escaped.sub(r"\1", text)


def _decoded(extended: str) -> str | None:
    """charset'language'percent-encoded as text; None if it cannot be."""
    if extended.count("'") != 2:
        return None
    charset, _, text = extended.split("'")
    try:
        return unquote(text, charset or "utf-8", "strict")
    except (LookupError, UnicodeDecodeError):
        return None


def parse_content_disposition(header: str | None) -> tuple[str | None, dict[str, str]]:
    """Type and parameters; (None, {}) with a BadContentDispositionHeader warning for a field that
    is not valid. Parameters that are not are left out, with a warning as well."""
    if not header:
        return None, {}
    kind, *items = header.split(";")
    kind = kind.strip()
    parameters = _parameters(header, items) if _is_token(kind) else None
    if parameters is None:
        _warn(BadContentDispositionHeader(header))
        return None, {}
    return kind.lower(), parameters


def _parameters(header: str, items: list[str]) -> dict[str, str] | None:
    parameters: dict[str, str] = {}
    while items:
        item = items.pop(0)
        if not item:  # two semicolons, or one at the end
            _warn(BadContentDispositionHeader(header))
            continue
        key, equals, value = item.partition("=")
        key, value = key.lower().strip(), value.lstrip()
        if not equals or key in parameters:
            return None
        found: str | None = None
        if not _is_token(key):
            pass
        elif _is_piece(key):
            quoted = _unquoted(value)
            if quoted is not None:
                found = _unescape(quoted)
            elif _is_token(value):
                found = value
        elif key.endswith("*"):
            found = _decoded(value) if _is_token(value) else None
        else:
            quoted = _unquoted(value.rstrip())
            if quoted is None and not _is_token(value) and items:
                # There may be a semicolon in the quotes.
                quoted = _unquoted(f"{value};{items[0]}")
                if quoted is not None:
                    items.pop(0)
            if quoted is not None:
                found = _unescape(quoted.lstrip("\\/"))
            elif _is_token(value):
                found = value
            else:
                return None
        if found is None:
            _warn(BadContentDispositionParam(item))
        else:
            parameters[key] = found
    return parameters


def content_disposition_filename(params: Mapping[str, str], name: str = "filename") -> str | None:
    """The name of the file that parameters tell: name*, else name, else name*0, name*1, ..."""
    for key in (f"{name}*", name):
        if key in params:
            return params[key]
    pieces: list[str] = []
    for key, value in sorted(params.items()):
        if key.startswith(f"{name}*"):
            if key[len(name) + 1 :].removesuffix("*") != str(len(pieces)):
                break
            pieces.append(value)
    text = "".join(pieces)
    if text.count("'") < 2:
        return text if pieces else None
    charset, _, text = text.split("'", 2)
    try:
        return unquote(text, charset or "utf-8", "strict")
    except (LookupError, UnicodeDecodeError):
        return None
