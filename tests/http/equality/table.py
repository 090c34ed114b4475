"""The table: a row is a call that is made with aiohttp and with uvolt.http, on the same loop and
against the same server, and all that can be seen of it must be equal.

What differs on purpose is in differences.py, by the rows' names. What is listed there and does not
differ fails, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import observe
import support
from differences import Listed
from http_support import response
from recorder import Answer, Recorder, listen, quiet

OK = response(b"ok", Content_Type="text/plain")


class Side:
    """One of the two clients, while it makes its call."""

    def __init__(self, name: str, server: Recorder, certificates: Any) -> None:
        self.ours = name == "uvolt"
        self.http: Any = importlib.import_module("uvolt.http" if self.ours else "aiohttp")
        self.server = server
        self.certificates = certificates
        self.seen: dict[str, Any] = {}  # what a row's own functions want compared
        self.stack = contextlib.AsyncExitStack()

    @property
    def url(self) -> str:
        """Of the server, without a slash at its end."""
        return self.server.url

    def basic_auth(self, *words: str) -> Any:
        """A BasicAuth, without the warning that it is deprecated."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return self.http.BasicAuth(*words)


async def aiter_of(*pieces: bytes) -> AsyncIterator[bytes]:
    """A body that can be read once."""
    for piece in pieces:
        yield piece


Options = Mapping[str, Any]
Reader = Callable[[Side, Any], Awaitable[Any]]


@dataclasses.dataclass
class Row:
    """One call. What is callable is called with the Side first.

    path: behind the server's URL, or a function that gives the whole URL. read: a name of READERS,
    or an async function of (side, response). then: more calls by the same session: an async
    function of (side, session), whose result is compared. call: instead of session.request().
    """

    name: str
    method: str = "GET"
    path: str | Callable[[Side], Any] = "/"
    request: Options | Callable[[Side], Options] = dataclasses.field(default_factory=dict)
    session: Options | Callable[[Side], Options] = dataclasses.field(default_factory=dict)
    answers: Sequence[Answer] = (OK,)
    read: str | Reader = "read"
    then: Callable[[Side, Any], Awaitable[Any]] | None = None
    call: Callable[[Side, Any, Any, Options], Awaitable[Any]] | None = None
    tls: bool = False

    def options(self, given: Any, side: Side) -> dict[str, Any]:
        return dict(given(side) if callable(given) else given)


def rows(*groups: Sequence[Row]) -> dict[str, Row]:
    """By name; each has one of its own."""
    found: dict[str, Row] = {}
    for group in groups:
        for row in group:
            assert row.name not in found, f"two rows {row.name!r}"
            found[row.name] = row
    return found


async def _lines(_: Side, r: Any) -> Any:
    return [line async for line in r.content]


async def _chunks(_: Side, r: Any) -> Any:
    return [piece async for piece in r.content.iter_chunks()]


async def _any(_: Side, r: Any) -> Any:
    return [piece async for piece in r.content.iter_any()]


async def _fives(_: Side, r: Any) -> Any:
    return [piece async for piece in r.content.iter_chunked(5)]


async def _none(_: Side, r: Any) -> Any:
    return None


async def _release(_: Side, r: Any) -> Any:
    r.release()


async def _close(_: Side, r: Any) -> Any:
    r.close()


READERS: dict[str, Reader] = {
    "read": lambda _, r: r.read(),
    "text": lambda _, r: r.text(),
    "json": lambda _, r: r.json(),
    "json of any type": lambda _, r: r.json(content_type=None),
    "lines": _lines,
    "chunks": _chunks,
    "any": _any,
    "fives": _fives,
    "nothing": _none,
    "release": _release,
    "close": _close,
}


async def make(side: Side, row: Row) -> dict[str, Any]:
    """Make a row's call; what was seen."""
    seen: dict[str, Any] = {}
    side.seen = seen
    session, failed = None, None
    try:
        session = side.http.ClientSession(**row.options(row.session, side))
    except Exception as exc:
        failed = exc
    if session is not None:
        async with session:
            failed = await _ask(side, row, session, seen)
            seen["kept"] = await quiet(side.server.peers)
            seen["jar"] = sorted(observe.plain(morsel) for morsel in session.cookie_jar)
    seen["error"] = None if failed is None else observe.error(failed)
    if session is None:
        failed = None
        support.collect()  # what is left of the session
    return seen


async def _ask(side: Side, row: Row, session: Any, seen: dict[str, Any]) -> Exception | None:
    read = READERS[row.read] if isinstance(row.read, str) else row.read
    try:
        url = row.path(side) if callable(row.path) else side.url + row.path
        options = row.options(row.request, side)
        if row.call is not None:
            seen["result"] = observe.plain(await row.call(side, session, url, options))
        else:
            async with session.request(row.method, url, **options) as answer:
                seen["response"] = observe.response(answer)
                seen["body"], failed = await observe.outcome(read_by(read, side, answer))
                seen["body"] = observe.plain(seen["body"])
                seen["reading"] = None if failed is None else observe.error(failed)
                seen["response read"] = observe.response(answer)
            seen["closed"] = answer.closed
        if row.then is not None:
            seen["then"] = observe.plain(await row.then(side, session))
    except Exception as exc:
        return exc
    return None


async def read_by(read: Reader, side: Side, answer: Any) -> Any:
    return await read(side, answer)


async def both(row: Row, certificates: Any) -> dict[str, dict[str, Any]]:
    """What is seen of a row's call with each client, by its name."""
    loop = asyncio.get_running_loop()
    recorder = Recorder()
    recorder.context = certificates.server()
    listener = await listen(recorder, certificates.server() if row.tls else None)
    found = {}
    try:
        for name in ("aiohttp", "uvolt"):
            recorder.begin(row.answers)
            side = Side(name, recorder, certificates)
            contexts: list[Any] = []
            loop.set_exception_handler(lambda _, context, to=contexts: to.append(context))
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                async with side.stack:
                    seen = await asyncio.wait_for(make(side, row), 20 * support.SLOW)
            seen["wire"] = [observe.wire(data) for data in recorder.wire]
            seen["requests"] = [observe.whole(asked.head, asked.body) for asked in recorder.asked]
            seen["warnings"] = [
                (w.category.__name__, observe.plain(str(w.message)))
                for w in warned
                if w.category is not ResourceWarning
            ]
            seen["contexts"] = [observe.plain(c.get("message")) for c in contexts]
            found[name] = seen
            for peer in recorder.peers:
                peer.transport.abort()
                peer.task.cancel()
            await support.settle(4)
    finally:
        listener.close()
        await support.settle(4)
        loop.set_exception_handler(None)
    assert not recorder.errors, recorder.errors
    return found


def compare(listed: Listed | None, found: dict[str, dict[str, Any]]) -> str:
    """What differs and is not listed, and what is listed and does not differ: a text, or "".

    Where the wire may differ the requests may; but where it is the borders of chunks, the requests
    with their bodies in one piece may not."""
    differing = observe.difference(found["uvolt"], found["aiohttp"])
    if listed is None:
        return "\n".join(map(describe, differing.items()))
    problems = [
        f"{name} goes {observe.outline(seen)!r}, listed is {getattr(listed, name)!r}"
        for name, seen in found.items()
        if observe.outline(seen) != getattr(listed, name)
    ]
    if listed.paths:
        paths = listed.paths
        if "wire" in paths and listed.reason != "chunks":
            paths += ("requests",)
        unlisted = {p: v for p, v in differing.items() if not within(p, paths)}
        problems += map(describe, unlisted.items())
        problems += [
            f"{path}: listed as a difference and is none"
            for path in listed.paths
            if not any(within(p, (path,)) for p in differing)
        ]
    elif not differing:
        problems.append("listed as different and is not")
    return "\n".join(problems)


def within(path: str, paths: Sequence[str]) -> bool:
    """Whether a path is one of these or below one."""
    return any(path == name or path.startswith(name + ".") for name in paths)


def describe(item: tuple[str, tuple[Any, Any]]) -> str:
    path, (theirs, ours) = item
    return f"{path}:\n  aiohttp: {theirs!r}\n  uvolt:   {ours!r}"
