"""Small things of uvolt.http: what aiohttp's helpers answer, ours do."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import pickle
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.helpers as theirs
import aiohttp.multipart as multipart
import pytest
import support
from yarl import URL

from uvolt.http import ClientTimeout, Fingerprint, HttpVersion, disposition, hdrs, helpers
from uvolt.http.reqrep import RequestInfo, merge_ssl_params
from uvolt.http.timeouts import Expiry

pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth:DeprecationWarning")


def outcome(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a call returns, or raises, and warns of."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            result: Any = call(*args, **kwargs)
        except Exception as exc:
            result = type(exc).__name__, str(exc)
    return result, [type(warning.message).__name__ for warning in seen]


AUTH = [
    "",
    "Basic",
    "Basic ",
    "Basic !!!",
    "Bearer abc",
    "Basic dXNlcg==",
    "basic dTpwOnE=",
    "Basic w7w6",
]


@pytest.mark.parametrize("header", AUTH)
def test_decode_basic_auth(header: str) -> None:
    ours, oracle = (outcome(kind.decode, header) for kind in (helpers.BasicAuth, aiohttp.BasicAuth))
    assert ours == oracle


@pytest.mark.parametrize("login", ["", "user", "us:er", "jörg", "日本"])
@pytest.mark.parametrize("encoding", ["latin1", "utf-8"])
def test_encode_basic_auth(login: str, encoding: str) -> None:
    def encode(module: Any) -> Any:
        return outcome(module.encode_basic_auth, login, "pass", encoding)

    assert encode(helpers) == encode(theirs)
    if ":" not in login and (encoding == "utf-8" or login != "日本"):
        auth = helpers.BasicAuth(login, "pass", encoding)
        assert auth.encode() == theirs.encode_basic_auth(login, "pass", encoding)
        assert helpers.BasicAuth.decode(auth.encode(), encoding) == auth
        assert pickle.loads(pickle.dumps(auth)) == auth


@pytest.mark.parametrize("login, password", [(None, ""), ("a", None), ("a:b", "")])
def test_credentials_that_are_none(login: Any, password: Any) -> None:
    with pytest.raises(ValueError):
        helpers.BasicAuth(login, password)


@pytest.mark.parametrize("url", ["http://h/", "http://u@h/", "http://u:p%20q@h/", "http://:p@h/"])
def test_credentials_of_urls(url: str) -> None:
    assert helpers.BasicAuth.from_url(URL(url)) == aiohttp.BasicAuth.from_url(URL(url))
    assert helpers.strip_auth_from_url(URL(url)) == theirs.strip_auth_from_url(URL(url))
    with pytest.raises(TypeError):
        helpers.BasicAuth.from_url(url)  # type: ignore[arg-type]


HOSTS = ["", "127.0.0.1", "127.1", "1.2.3.4.", "::1", "[::1]", "a.b", "1a", "0.0.0.0", "256.1.1.1"]
HOSTS += ["01.2.3.4", "1.2.3", "٣.1.1.1", "1..2.3", "localhost", "2130706433"]


@pytest.mark.parametrize("host", HOSTS)
def test_hosts(host: str) -> None:
    assert helpers.is_ip_address(host) == theirs.is_ip_address(host)
    assert bool(helpers.is_canonical_ipv4(host)) == theirs.is_canonical_ipv4_address(host)


@pytest.mark.parametrize(
    "host, is_number",
    [("127.1", True), ("0x7f.1", True), ("0X", True), ("1.2.3.4.", True), ("a.09", True)]
    + [("a", False), ("1a", False), ("a.0xg", False), ("", False), ("1.a", False)],
)
def test_hosts_that_end_in_a_number(host: str, is_number: bool) -> None:
    assert helpers.ends_in_number(host) is is_number


TYPES = [
    "",
    "text/html",
    "Text/HTML; Charset=UTF-8",
    'text/plain; charset="utf-8"; a=b',
    "application/vnd.api+json; v=1",
    "application/json;",
    "*",
    "text",
    "text/html/x; a=b",
    "text/plain; charset",
    "text/plain; charset=utf-8; charset=latin1",
    ";charset=utf-8",
    'multipart/form-data; boundary="a;b"',
    "text/html; filename*=UTF-8''%e2%82%ac",
]


@pytest.mark.parametrize("text", TYPES)
def test_media_types(text: str) -> None:
    ours, oracle = helpers.parse_mimetype(text), theirs.parse_mimetype(text)
    assert (ours.type, ours.subtype, ours.suffix) == (oracle.type, oracle.subtype, oracle.suffix)
    assert list(ours.parameters.items()) == list(oracle.parameters.items())
    kind, parameters = helpers.parse_content_type(text)
    assert (kind, dict(parameters)) == (
        theirs.parse_content_type(text)[0],
        dict(theirs.parse_content_type(text)[1]),
    )


NAMES = ["charset", "Charset", "boundary", "a-1"]
VALUES = ["utf-8", "X.y+z_", '"a:b,c/d=e"', '"UTF-8"', "1"]
ODD = ["=", ";", "; ", " ", '"', "\\", "*", "*0", "(", ")", "'", "%e9", "é", "?", "=?utf-8?q?a?="]


@pytest.mark.parametrize("seed", range(4))
def test_content_types_as_the_email_package_reads_them(seed: int) -> None:
    """Most are not given to it, which is slow to import and to use; those of which it makes an
    IndexError ("text/html; a*") are read all the same."""
    rng = random.Random(seed)
    for number in range(600):
        field = rng.choice(["text/html", "Application/vnd.a+JSON", "a/b"])
        if number % 2:
            pairs = [rng.choice(NAMES) + "=" + rng.choice(VALUES) for _ in range(rng.randrange(4))]
            field = rng.choice([";", "; "]).join([field, *pairs])
        else:
            pieces = [*NAMES, *VALUES, *ODD]
            field += "".join(rng.choice(pieces) for _ in range(rng.randrange(8)))
        ours = helpers.parse_content_type(field)
        try:
            oracle = theirs.parse_content_type(field)
        except IndexError:
            assert ours[0].count("/") == 1
        else:
            assert ours == oracle, field


@pytest.mark.parametrize(
    "rest",
    ["(" * 200, "(" * 8000, ";" * 8000, " (a)" * 2000, "; a*0=x" * 1100, '; a="' + '\\"' * 4000],
)
def test_a_content_type_takes_little_time(rest: str) -> None:
    """Some read by the email package would take a second each; comments in one another end in a
    RecursionError."""
    started = time.process_time()
    for number in range(20):
        kind, _ = helpers.parse_content_type(f"text/html{number}; a=b{rest}")
        assert kind == f"text/html{number}"
    assert time.process_time() - started < 2 * support.SLOW  # all twenty; it was a second for each


DISPOSITIONS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    (("attachment",), {}),
    (("attachment",), {"filename": "a b.txt"}),
    (("form-data",), {"name": "ä", "filename": 'q"ü.txt'}),
    (("form-data", False), {"name": "ä", "filename": 'q"\\ü.txt'}),
    (("form-data",), {"name": 'q"uo\\te'}),
    (("",), {}),
    (("a b",), {}),
    (("form-data",), {"na me": "x"}),
    (("form-data", True, "latin1"), {"name": "ä"}),
]


@pytest.mark.parametrize("args, params", DISPOSITIONS)
def test_dispositions_written(args: tuple[Any, ...], params: dict[str, Any]) -> None:
    ours = outcome(helpers.content_disposition_header, *args, **params)
    assert ours == outcome(theirs.content_disposition_header, *args, **params)


PIECES = [
    "attachment",
    "inline",
    "filename",
    "filename*",
    "filename*0",
    "filename*1*",
    "=",
    ";",
    '"',
]
PIECES += [
    "UTF-8''a%20b",
    "'",
    " ",
    "\\",
    "a;b",
    "é",
    '\\"',
    "%FF",
    "latin1'en'%e4",
    "FILENAME",
    "x",
]


@pytest.mark.parametrize("seed", range(4))
def test_dispositions_read(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(3000):
        field = "attachment" * rng.randint(0, 1)
        field += "".join(rng.choice(PIECES) for _ in range(rng.randint(0, 9)))
        ours = outcome(disposition.parse_content_disposition, field)
        assert ours == outcome(multipart.parse_content_disposition, field), field
        name = disposition.content_disposition_filename(ours[0][1])
        assert name == multipart.content_disposition_filename(ours[0][1]), field


def test_a_name_in_pieces_with_an_apostrophe() -> None:
    """It is no charset: aiohttp raises ValueError."""
    _, parameters = disposition.parse_content_disposition('attachment; filename*0="it\'s.txt"')
    assert disposition.content_disposition_filename(parameters) == "it's.txt"


PROGRAM = """
import sys, warnings
warnings.simplefilter("default")
from uvolt.http import disposition, multipart
for number in range(500):
    disposition.parse_content_disposition(f"attachment; bad name {number}")
noted = [m for m in list(sys.modules.values()) if hasattr(m, "__warningregistry__")]
print(sum(len(m.__warningregistry__) for m in noted))
warnings.simplefilter("always")
"""


def test_what_servers_send_fills_no_registry_of_warnings(tmp_path: Path) -> None:
    """Python keeps each text that it has shown, one for each of a server's fields; and shows it,
    at the line of the program."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 10
    assert done.stderr.count("BadContentDispositionHeader") in range(60, 65)
    assert done.stderr.count("program.py:6: BadContentDispositionHeader") > 50


def test_names_of_files() -> None:
    class Named(io.BytesIO):
        name: Any = None

    for name in ("/a/b.txt", "b", "<stdin>", "", None, 3, b"bytes"):
        file = Named()
        file.name = name
        assert helpers.guess_filename(file, "none") == theirs.guess_filename(file, "none")


def test_names_of_fields() -> None:
    for name, value in vars(aiohttp.hdrs).items():
        if name.isupper() and isinstance(value, str):
            assert getattr(hdrs, name) == value


def test_timeout() -> None:
    timeout = ClientTimeout(total=1, pool=2)
    assert (timeout.total, timeout.connect, timeout.pool, timeout.write) == (1, None, 2, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        timeout.total = 2  # type: ignore[misc]
    assert dataclasses.replace(timeout, total=3) == ClientTimeout(total=3, pool=2)
    assert hash(timeout) == hash(ClientTimeout(total=1, pool=2))
    assert pickle.loads(pickle.dumps(timeout)) == timeout
    first = [field.name for field in dataclasses.fields(ClientTimeout)][:5]
    assert first == ["total", "connect", "sock_read", "sock_connect", "ceil_threshold"]


def test_fingerprint() -> None:
    for length in (16, 20, 31):
        with pytest.raises(ValueError):
            Fingerprint(b"x" * length)
    assert Fingerprint(b"x" * 32) == Fingerprint(b"x" * 32)
    assert len({Fingerprint(b"x" * 32), Fingerprint(b"x" * 32)}) == 1  # one connection for both
    assert merge_ssl_params(None, None, None, None) is True
    with pytest.warns(DeprecationWarning, match="fingerprint"):
        assert merge_ssl_params(True, None, None, b"x" * 32) == Fingerprint(b"x" * 32)


def test_request_info() -> None:
    info = RequestInfo(URL("http://h/"), "GET", {})  # type: ignore[arg-type]
    assert info.real_url == info.url
    assert info == (URL("http://h/"), "GET", {}, URL("http://h/"))
    assert HttpVersion(1, 1) == (1, 1)


@pytest.mark.parametrize("name", support.LOOPS)
def test_expiry(name: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with Expiry(loop, None):
            await asyncio.sleep(0)
        with Expiry(loop, loop.time() + 10):
            await asyncio.sleep(0)
        with pytest.raises(asyncio.TimeoutError):
            with Expiry(loop, loop.time() + 0.01):
                await asyncio.sleep(10)
        await asyncio.sleep(0)  # nothing of it is left behind
        with pytest.raises(asyncio.TimeoutError):
            with Expiry(loop, loop.time() + 10):
                with Expiry(loop, loop.time() + 0.01):
                    await asyncio.sleep(10)
        with pytest.raises(KeyError):
            with Expiry(loop, loop.time() + 10):
                raise KeyError

        async def cancelled() -> None:
            with Expiry(loop, loop.time() + 10):
                await asyncio.sleep(10)

        task = loop.create_task(cancelled())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    loop = support.factory(name)()
    try:
        loop.run_until_complete(main())
    finally:
        support.finish(loop)
