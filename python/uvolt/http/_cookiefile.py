"""Files of cookies: what CookieJar.save() writes and load() reads.

The form is aiohttp's, so each reads the other's: JSON, {"domain|path": {name: {key, value,
coded_value, attributes, host_only, expires_timestamp}}}. aiohttp wrote pickles before; they are
read, too, with nothing in them but cookies.
"""

from __future__ import annotations

import io
import json
import math
import os
import pickle
from collections.abc import Iterable, Iterator
from http.cookies import Morsel
from typing import Any, Final, NamedTuple

from ._cookies import make_morsel
from .typedefs import PathLike

# What a pickle may name: no call of theirs does more than to make one.
_CLASSES: Final = frozenset(
    {
        ("collections", "defaultdict"),
        ("http.cookies", "Morsel"),
        ("http.cookies", "SimpleCookie"),
    }
)


class Saved(NamedTuple):
    """A cookie of a file. domain: of the host that had it, or its own; "" for one that goes
    everywhere. expires: seconds since the epoch, None if the cookie's attributes tell."""

    domain: str
    name: str
    cookie: Morsel[str]
    expires: float | None


Row = tuple[tuple[str, str, str], Morsel[str], bool, float | None]


def write(file_path: PathLike, rows: Iterable[Row]) -> None:
    """Write cookies with their (domain, path, name), whether they are for the host alone, and when
    they expire. The file is for its owner's eyes only; one that was there keeps its rights."""
    data: dict[str, dict[str, dict[str, Any]]] = {}
    for (domain, path, name), morsel, host_only, expires in rows:
        record: dict[str, Any] = {
            "key": morsel.key,
            "value": morsel.value,
            "coded_value": morsel.coded_value,
        }
        for attribute, value in morsel.items():
            # What counts from now would mean another time when it is loaded.
            if value and attribute not in ("max-age", "expires"):
                record[attribute] = value
        if host_only:
            record["host_only"] = True
        if expires is not None:
            record["expires_timestamp"] = expires
        data.setdefault(f"{domain}|{path}", {})[name] = record

    def private(path: str, flags: int) -> int:
        return os.open(path, flags, 0o600)

    with open(file_path, "w", encoding="utf-8", opener=private) as file:
        json.dump(data, file, indent=2)


def read(file_path: PathLike) -> list[Saved]:
    """The cookies of a file. Raises ValueError for what is no such file, TypeError for an attribute
    of another type, pickle.UnpicklingError for a pickle that names anything but cookies, OSError.
    """
    with open(file_path, "rb") as file:
        content = file.read()
    if content[:1] == b"\x80":
        return _unpickled(content)
    data = json.loads(content.decode("utf-8"))
    try:
        return list(_records(data))
    except (AttributeError, KeyError, OverflowError) as exc:
        raise ValueError(f"{os.fspath(file_path)!r} holds what is no cookie: {exc!r}") from exc


def _records(data: dict[str, dict[str, dict[str, Any]]]) -> Iterator[Saved]:
    for place, cookies in data.items():
        domain, _, _ = place.partition("|")
        for name, record in cookies.items():
            expires = record.get("expires_timestamp")
            if expires is not None:
                expires = _timestamp(expires, f"Cookie {name!r} in {place!r}")
            morsel = _checked(name, record["key"], record["value"], record["coded_value"])
            for attribute in morsel:
                if attribute in record:
                    morsel[attribute] = _attribute(attribute, record[attribute])
            if record.get("host_only"):
                morsel["domain"] = ""  # or subdomains would get it from now on
            yield Saved(domain, name, morsel, expires)


def _timestamp(value: Any, what: str) -> float:
    try:
        expires = float(value)
        if not math.isfinite(expires):
            raise ValueError(expires)
    except (OverflowError, TypeError, ValueError) as exc:
        raise ValueError(f"{what}: expiration timestamp must be a finite number") from exc
    return expires


def _attribute(name: str, value: Any) -> Any:
    kinds = str if name in ("domain", "expires", "path") else (str, bool, int, float)
    if not isinstance(value, kinds):
        raise TypeError(f"a cookie's {name} cannot be {value!r}")
    return value


def _checked(name: str, key: Any, value: Any, coded: Any) -> Morsel[str]:
    if not (isinstance(key, str) and isinstance(value, str) and isinstance(coded, str)):
        raise ValueError(f"cookie {name!r} is not text")
    morsel = make_morsel(key, value, coded)
    if morsel is None:
        raise ValueError(f"cookie {name!r} is not valid")
    return morsel


# ---- pickles ------------------------------------------------------------------------------------


class _Unpickler(pickle._Unpickler):
    """Reads nothing but cookies. In Python: the one in C takes as much memory as a pickle says."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _CLASSES:
            raise pickle.UnpicklingError(
                f"Forbidden class: {module}.{name}. A file of cookies has none but cookies."
            )
        return super().find_class(module, name)

    def _flat_tuple(self, load: Any) -> None:
        """A tuple within a tuple within another, sixty times: its hash would take a lifetime."""
        load(self)
        if any(isinstance(item, tuple) for item in self.stack[-1]):  # type: ignore[attr-defined]
            raise pickle.UnpicklingError("A file of cookies has no tuples of tuples.")


def _checked_tuple(load: Any) -> Any:
    return lambda unpickler: unpickler._flat_tuple(load)


_Unpickler.dispatch = {
    **pickle._Unpickler.dispatch,
    **{
        code[0]: _checked_tuple(pickle._Unpickler.dispatch[code[0]])
        for code in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)
    },
}


def _unpickled(content: bytes) -> list[Saved]:
    try:
        data = _Unpickler(io.BytesIO(content)).load()
        return [
            Saved(str(domain), str(name), _plain(str(name), morsel), None)
            for (domain, *_), cookies in dict.items(data)
            for name, morsel in dict.items(cookies)
        ]
    except (pickle.UnpicklingError, TypeError):
        raise
    except Exception as exc:  # a pickle that is none can fail in any way
        raise ValueError(f"not a file of cookies: {exc!r}") from exc


def _plain(name: str, morsel: Any) -> Morsel[str]:
    """The cookie made anew: a pickle may have given it any attributes."""
    if type(morsel) is not Morsel:
        raise ValueError(f"cookie {name!r} is none")
    made = _checked(name, morsel.key, morsel.value, morsel.coded_value)
    for attribute in made:
        value = dict.get(morsel, attribute)
        if value:
            made[attribute] = _attribute(attribute, value)
    return made
