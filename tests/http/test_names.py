"""uvolt.http has aiohttp's names: what is missing is listed here, with the reason."""

from __future__ import annotations

import inspect
import warnings

import aiohttp
import aiohttp.hdrs

from uvolt import http

WEBSOCKETS = "WebSockets are an issue of their own"
SERVER = "of aiohttp's server"
QUEUES = "between aiohttp's parser and its WebSockets"

MISSING = {
    "ClientWSTimeout": WEBSOCKETS,
    "ClientWebSocketResponse": WEBSOCKETS,
    "WSCloseCode": WEBSOCKETS,
    "WSMessage": WEBSOCKETS,
    "WSMsgType": WEBSOCKETS,
    "WebSocketError": WEBSOCKETS,
    "DataQueue": QUEUES,
    "EofStream": QUEUES,
    "FlowControlDataQueue": QUEUES,
    "ChainMapProxy": SERVER,
    "ETag": SERVER,
    "GunicornUVLoopWebWorker": SERVER,
    "GunicornWebWorker": SERVER,
}

INTERNAL = "how aiohttp sends a request: here C does"
PATTERNS = "what aiohttp's parser of dates is made of"

MISSING_MEMBERS = {
    "ClientRequest.send": INTERNAL,
    "ClientRequest.write_bytes": INTERNAL,
    "ClientResponse.ATTRS": "names of aiohttp's slots",
    "ClientResponse.start": INTERNAL,
    "ClientSession.ATTRS": "what may be set on aiohttp's session: on ours, anything",
    "ClientSession.ws_connect": WEBSOCKETS,
    "CookieJar.DATE_DAY_OF_MONTH_RE": PATTERNS,
    "CookieJar.DATE_HMS_TIME_RE": PATTERNS,
    "CookieJar.DATE_MONTH_RE": PATTERNS,
    "CookieJar.DATE_TOKENS_RE": PATTERNS,
    "CookieJar.DATE_YEAR_RE": PATTERNS,
    "CookieJar.MAX_TIME": PATTERNS,
    "CookieJar.SUB_MAX_TIME": PATTERNS,
    "Fingerprint.HASHFUNC_BY_DIGESTLEN": "there is one hash",
    "NamedPipeConnector.path": "of Windows",
}

# What is called otherwise: why.
OTHERWISE = {"ClientRequest.update_body_from_data": "without aiohttp's _stacklevel"}


def shared():
    return [name for name in http.__all__ if hasattr(aiohttp, name)]


def test_all_names_are_there_or_listed():
    assert {name for name in aiohttp.__all__ if name not in http.__all__} == set(MISSING)


def test_what_is_listed_is_there():
    assert sorted(http.__all__) == sorted(set(http.__all__))
    for name in http.__all__:
        assert getattr(http, name) is not None


def test_names_of_headers():
    theirs = {name for name in dir(aiohttp.hdrs) if name.isupper()} - {"HOST_ALL"}  # spellings
    assert {name for name in theirs if not hasattr(http.hdrs, name)} == set()
    for name in theirs:
        assert getattr(http.hdrs, name) == getattr(aiohttp.hdrs, name), name


def members():
    """(class, name, theirs, ours) of all public members of classes that both have."""
    for name in shared():
        theirs, ours = getattr(aiohttp, name), getattr(http, name)
        if inspect.isclass(theirs):
            for member in dir(theirs):
                if not member.startswith("_"):
                    yield name, member, getattr(theirs, member), getattr(ours, member, MISSING)


def test_all_members_are_there_or_listed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = {f"{name}.{member}" for name, member, _, ours in members() if ours is MISSING}
    assert found - set(MISSING_MEMBERS) == set()
    assert set(MISSING_MEMBERS) - found == set(), "these are there now"


def parameters(function):
    """Names and kinds, and whether there is a default; None for what has no signature."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    return {
        one.name: ("self" if one.name == "self" else one.kind.name, one.default is not one.empty)
        for one in signature.parameters.values()
    }


def constructor(kind):
    """Parameters of a class: of its __init__, which metaclasses leave alone, if that is not C."""
    found = parameters(kind.__init__)
    if found is None or set(found) == {"self", "args", "kwargs"}:
        found = parameters(kind)
    if found is not None and set(found) == {"args", "kwargs"} and hasattr(kind, "__slots__"):
        return {name: ("POSITIONAL_OR_KEYWORD", False) for name in kind.__slots__}  # of a trace
    return found if found is None else {name: one for name, one in found.items() if name != "self"}


def functions():
    """(name, parameters of theirs, of ours) of all that both have."""
    for name in shared():
        theirs, ours = getattr(aiohttp, name), getattr(http, name)
        if not inspect.isclass(theirs):
            if callable(theirs):
                yield name, parameters(theirs), parameters(ours)
        elif not issubclass(theirs, Exception) or theirs.__init__ is not theirs.__base__.__init__:
            yield name, constructor(theirs), constructor(ours)
    for name, member, theirs, ours in members():
        if callable(theirs) and ours is not MISSING:
            yield f"{name}.{member}", parameters(theirs), parameters(ours)


def is_taken(theirs, ours):
    """Whether all that theirs takes, ours takes: more has a default."""
    return all(
        name in ours and ours[name][0] == kind and ours[name][1] >= optional
        for name, (kind, optional) in theirs.items()
    ) and all(ours[name][1] for name in ours if name not in theirs)


def test_what_is_called_is_called_alike():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        others, count = {}, 0
        for name, theirs, ours in functions():
            if theirs is None or set(theirs) == {"args", "kwargs"}:
                continue
            count += 1
            if not is_taken(theirs, ours or {}):
                others[name] = (theirs, ours)
    assert count > 200
    assert {name: pair for name, pair in others.items() if name not in OTHERWISE} == {}
    assert set(others) == set(OTHERWISE)


def test_set_zlib_backend(monkeypatch):
    """Requests are compressed with the module that is given."""
    import zlib

    from uvolt.http import compression

    made = []

    class Backend:
        MAX_WBITS = 15

        @staticmethod
        def compressobj(**options):
            made.append(options)
            return zlib.compressobj(**options)

    monkeypatch.setattr(compression, "_backend", zlib)
    http.set_zlib_backend(Backend)
    assert compression.compressor("gzip").flush()[:2] == b"\x1f\x8b"
    compression.compressor("deflate", raw=True, strategy=zlib.Z_HUFFMAN_ONLY)
    assert made == [{"wbits": 31}, {"wbits": -15, "strategy": zlib.Z_HUFFMAN_ONLY}]
