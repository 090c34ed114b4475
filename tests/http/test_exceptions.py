"""The exceptions of uvolt.http: aiohttp's tree, attributes and texts; and they can be pickled."""

from __future__ import annotations

import asyncio
import errno
import inspect
import pickle
import ssl
from collections.abc import Callable
from types import ModuleType
from typing import Any

import aiohttp.client_exceptions
import aiohttp.client_reqrep
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

import uvolt.http._support as support
import uvolt.http.exceptions
import uvolt.http.reqrep

OURS = uvolt.http.exceptions
THEIRS = aiohttp.client_exceptions
NAMES = sorted({*THEIRS.__all__, "UnixClientConnectorError", "TooManyRedirects"})


def test_all_of_aiohttps_names_are_there() -> None:
    assert sorted(OURS.__all__) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_bases_and_signature_are_aiohttps(name: str) -> None:
    ours, theirs = getattr(OURS, name), getattr(THEIRS, name)
    assert [kind.__name__ for kind in ours.__mro__] == [kind.__name__ for kind in theirs.__mro__]
    parameters = [
        [(p.name, p.kind, p.default) for p in inspect.signature(kind.__init__).parameters.values()]
        for kind in (ours, theirs)
    ]
    assert parameters[0] == parameters[1]


def key(reqrep: ModuleType) -> Any:
    return reqrep.ConnectionKey("example.com", 8080, False, True, None, None, None)


def info(reqrep: ModuleType) -> Any:
    headers = CIMultiDictProxy(CIMultiDict([("Host", "example.com"), ("A", "1"), ("a", "2")]))
    return reqrep.RequestInfo(URL("http://example.com/"), "GET", headers)


def response_error(name: str, **kwargs: Any) -> Callable[[ModuleType, ModuleType], Any]:
    return lambda errors, reqrep: getattr(errors, name)(info(reqrep), (), **kwargs)


def connector_error(name: str, cause: Exception) -> Callable[[ModuleType, ModuleType], Any]:
    return lambda errors, reqrep: getattr(errors, name)(key(reqrep), cause)


CERTIFICATE = ssl.SSLCertVerificationError(1, "self-signed certificate")
EXAMPLES: dict[str, Callable[[ModuleType, ModuleType], Any]] = {
    "error": lambda errors, _: errors.ClientError("so"),
    "response": response_error("ClientResponseError"),
    "response, all of it": response_error(
        "ClientResponseError", status=400, message="so", headers=CIMultiDict(a="b")
    ),
    "redirects": response_error("TooManyRedirects", status=302),
    "type": response_error("ContentTypeError", message="Attempt"),
    "os": lambda errors, _: errors.ClientOSError(errno.EPIPE, "so"),
    "reset": lambda errors, _: errors.ClientConnectionResetError("so"),
    "dns": connector_error("ClientConnectorDNSError", OSError(None, "DNS lookup failed")),
    "connector": connector_error(
        "ClientConnectorError", OSError(errno.ECONNREFUSED, "Connect call failed")
    ),
    "unix": lambda errors, reqrep: errors.UnixClientConnectorError(
        "/a/b", key(reqrep), OSError(errno.ENOENT, "No such file")
    ),
    "ssl": connector_error("ClientConnectorSSLError", ssl.SSLError(1, "bad")),
    "certificate": connector_error("ClientConnectorCertificateError", CERTIFICATE),
    "certificate, no errno": connector_error("ClientConnectorCertificateError", ValueError("so")),
    "disconnected": lambda errors, _: errors.ServerDisconnectedError(),
    "disconnected, why": lambda errors, _: errors.ServerDisconnectedError("so"),
    "timeout": lambda errors, _: errors.ConnectionTimeoutError("so"),
    "fingerprint": lambda errors, _: errors.ServerFingerprintMismatch(b"a", b"b", "h", 443),
    "url": lambda errors, _: errors.InvalidUrlClientError(URL("http:///a")),
    "url, why": lambda errors, _: errors.InvalidUrlRedirectClientError("http:///a", "so"),
    "scheme": lambda errors, _: errors.NonHttpUrlClientError("ftp://a"),
}
ATTRIBUTES = (
    "request_info history status message headers errno strerror os_error host port ssl path "
    "certificate_error expected got url description"
).split()


def facts(error: Any) -> dict[str, Any]:
    """What can be seen of an exception."""
    return {
        "str": str(error),
        "repr": repr(error),
        "args": repr(error.args),
        **{name: repr(getattr(error, name)) for name in ATTRIBUTES if hasattr(error, name)},
    }


@pytest.mark.parametrize("make", EXAMPLES.values(), ids=EXAMPLES)
def test_attributes_and_texts_are_aiohttps(make: Callable[..., Any]) -> None:
    assert facts(make(OURS, uvolt.http.reqrep)) == facts(make(THEIRS, aiohttp.client_reqrep))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("make", EXAMPLES.values(), ids=EXAMPLES)
def test_pickle(make: Callable[..., Any], protocol: int) -> None:
    error = make(OURS, uvolt.http.reqrep)
    error.note = "kept"
    copy = pickle.loads(pickle.dumps(error, protocol))
    assert type(copy) is type(error)
    assert copy.note == "kept"
    assert {name: text.replace("DictProxy(", "Dict(") for name, text in facts(copy).items()} == {
        name: text.replace("MultiDictProxy", "MultiDict") for name, text in facts(error).items()
    }


def test_responses_of_a_history_stay_behind() -> None:
    # They hold connections.
    error = OURS.TooManyRedirects(info(uvolt.http.reqrep), (object(),), status=302)  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(error)).history == ()


def test_the_old_name_of_status() -> None:
    with pytest.raises(ValueError, match="Both code and status"):
        OURS.ClientResponseError(info(uvolt.http.reqrep), (), code=400, status=400)
    with pytest.warns(DeprecationWarning, match="use status"):
        error = OURS.ClientResponseError(info(uvolt.http.reqrep), (), code=400)
    with pytest.warns(DeprecationWarning, match="use status"):
        assert error.code == 400
    with pytest.warns(DeprecationWarning, match="use status"):
        error.code = 404
    assert error.status == 404


def test_what_c_asks_for() -> None:
    bad = support.bad_head("Invalid header", "InvalidHeader")
    assert repr(bad) == "<InvalidHeader: 400, message='Invalid header'>"
    error = support.response_error(info(uvolt.http.reqrep), bad)
    assert (error.status, error.message, error.__cause__) == (400, "Invalid header", bad)
    short = support.short_body("length", "Not enough data")
    assert str(short) == (
        "Response payload is not completed: <ContentLengthError: 400, message='Not enough data'>"
    )
    assert isinstance(short.__cause__, OURS.ContentLengthError)
    reset = support.body_reset(ConnectionResetError(errno.ECONNRESET, "so"))
    assert isinstance(reset.__cause__, OURS.ClientOSError)
    assert reset.__cause__.errno == errno.ECONNRESET
    assert str(support.content_encoding("so")) == "400, message:\n  so"
    assert isinstance(support.write_error(BrokenPipeError(errno.EPIPE, "so"), "u"), OSError)
    assert isinstance(support.write_error(None, "u"), ConnectionResetError)
    assert isinstance(support.total_timeout(), asyncio.TimeoutError)
    assert "uvolt.run" in str(support.wrong_loop())
    assert "one session for each loop" in str(support.idle_loop())
