"""What a program sees of the swapped names and of aiohttp's own: the same test on aiohttp with
asyncio and on the swapped names with uvolt."""

from __future__ import annotations

import asyncio
import logging
import sys
import warnings
from typing import Any
from unittest import mock

import aiohttp.connector
import pytest
from swap_support import listening, run, server

import uvolt
from uvolt import http, swap

PLAIN = {}
BY_PYTHON = {"params": {"a": "b"}}
WITH_HEADERS = {"headers": {"x": "y"}}


def credentials() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return aiohttp.BasicAuth("a", "b")


@pytest.mark.parametrize("how", [PLAIN, BY_PYTHON, WITH_HEADERS])
def test_user_agent(kind: str, how: dict[str, Any]) -> None:
    version = f"Python/{sys.version_info[0]}.{sys.version_info[1]} aiohttp/{aiohttp.__version__}"

    async def main() -> None:
        async with server() as url, aiohttp.ClientSession() as session:
            response = await session.get(url, **how)
            assert (await response.json())["headers"]["user-agent"] == version
            response = await session.get(url, skip_auto_headers=["User-Agent"], **how)
            assert "user-agent" not in (await response.json())["headers"]
            session.headers["user-agent"] = "mine"
            response = await session.get(url, **how)
            assert (await response.json())["headers"]["user-agent"] == "mine"

    run(main, kind)


@pytest.mark.parametrize("how", [PLAIN, BY_PYTHON, WITH_HEADERS])
def test_user_agent_that_a_program_has_changed(
    kind: str, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with server() as url:
            for name in ("one/1", "two/2", "one/1"):
                monkeypatch.setattr("aiohttp.client_reqrep.SERVER_SOFTWARE", name)
                async with aiohttp.ClientSession() as session:
                    response = await session.get(url, **how)
                    assert (await response.json())["headers"]["user-agent"] == name

    run(main, kind)


def test_uvolt_http_keeps_its_user_agent(swapped: Any) -> None:
    async def main() -> None:
        async with server() as url, http.ClientSession() as ours, swapped.ClientSession() as other:
            for session, name in ((ours, "uvolt"), (other, "aiohttp")) * 2:
                for how in (PLAIN, BY_PYTHON, WITH_HEADERS):
                    response = await session.get(url, **how)
                    agent = (await response.json())["headers"]["user-agent"]
                    assert agent.split()[1].startswith(name), agent

    run(main)


def test_user_agent_of_connect(kind: str) -> None:
    asked: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 503 no\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def main() -> None:
        async with listening(proxy) as url, aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientHttpProxyError):
                await session.get("https://origin.invalid/", proxy=url)

    run(main, kind)
    assert f"aiohttp/{aiohttp.__version__}\r\n".encode() in asked[0]


# ---- warnings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["auth", "proxy_auth"])
def test_credentials_of_a_session_are_deprecated(kind: str, name: str) -> None:
    async def main() -> None:
        with pytest.warns(DeprecationWarning, match=f"'{name}' parameter is deprecated") as warned:
            session = aiohttp.ClientSession(**{name: credentials()})
        assert [one.filename for one in warned] == [__file__]
        await session.close()

    run(main, kind)


@pytest.mark.parametrize("name", ["auth", "proxy_auth"])
def test_credentials_of_a_request_are_deprecated(kind: str, name: str) -> None:
    async def main() -> None:
        async with server() as url, aiohttp.ClientSession() as session:
            text = f"'{name}' parameter is deprecated"
            with pytest.warns(DeprecationWarning, match=text) as warned:
                response = await session.get(url, **{name: credentials()})
            assert response.status == 200
            assert len(warned) == 1
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                await session.get(url, **{name: None})

    run(main, kind)


def test_credentials_of_uvolt_http_are_not(swapped: Any) -> None:
    async def main() -> None:
        async with server() as url, http.ClientSession(auth=http.BasicAuth("a", "b")) as session:
            await session.get(url, auth=http.BasicAuth("c", "d"))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(main)


@pytest.mark.parametrize("is_needed", [True, False])
def test_cleanup_of_closed_connections(
    kind: str, is_needed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aiohttp.connector, "NEEDS_CLEANUP_CLOSED", is_needed)

    async def main() -> None:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            connector = aiohttp.TCPConnector(enable_cleanup_closed=True)
        texts = [str(one.message) for one in warned]
        assert len(texts) == (0 if is_needed else 1)
        assert all(text.startswith("enable_cleanup_closed ignored") for text in texts)
        await connector.close()

    run(main, kind)


# ---- arguments that can be seen -----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:ssl_shutdown_timeout=1.5 is ignored on Python < 3.11")
def test_what_a_connector_was_given(kind: str) -> None:
    async def main() -> None:
        pin = aiohttp.Fingerprint(bytes(32))
        async with aiohttp.TCPConnector(ssl=pin) as connector:
            assert connector._ssl is pin
            assert connector._ssl_shutdown_timeout == 0
        with pytest.warns(DeprecationWarning, match="ssl_shutdown_timeout parameter is deprecated"):
            session = aiohttp.ClientSession(ssl_shutdown_timeout=1.5)
        assert session.connector._ssl_shutdown_timeout == 1.5  # type: ignore[union-attr]
        await session.close()

    run(main, kind)


def test_a_fingerprint_is_checked(kind: str, certificates: Any) -> None:
    async def main() -> None:
        connector = aiohttp.TCPConnector(ssl=aiohttp.Fingerprint(bytes(32)))
        async with (
            server(ssl=certificates.server()) as url,
            aiohttp.ClientSession(connector=connector) as session,
        ):
            with pytest.raises(aiohttp.ServerFingerprintMismatch):
                await session.get(url)

    run(main, kind)


def test_default_resolver_that_a_program_has_changed(kind: str) -> None:
    class Resolver(aiohttp.ThreadedResolver):
        asked: list[str] = []
        closed = 0

        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
            self.asked.append(host)
            return await super().resolve("127.0.0.1", port, family)

        async def close(self) -> None:
            type(self).closed += 1

    async def main() -> None:
        with mock.patch.object(aiohttp.connector, "DefaultResolver", Resolver):
            session = aiohttp.ClientSession()
        async with server() as url, session:
            response = await session.get(url.replace("127.0.0.1", "some.invalid"))
            assert response.status == 200
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorDNSError):
                await session.get("http://some.invalid")

    run(main, kind)
    assert Resolver.asked == ["some.invalid"]
    assert Resolver.closed == 1


# ---- what is logged, what is raised -------------------------------------------------------------


def test_loggers(kind: str, caplog: pytest.LogCaptureFixture, tmp_path: Any) -> None:
    """aiohttp's, by their names."""

    async def main() -> None:
        jar = aiohttp.CookieJar()
        from yarl import URL

        with caplog.at_level(logging.DEBUG, "aiohttp.internal"):
            jar.update_cookies({"a": "b\x07"}, URL("https://example.com/"))

    run(main, kind)
    assert [record.name for record in caplog.records] == ["aiohttp.internal"]
    assert "Dropped cookie 'a' for example.com" in caplog.text


def test_loggers_are_uvolts_again(swapped: Any, caplog: pytest.LogCaptureFixture) -> None:
    from yarl import URL

    swap.swap_out()
    with caplog.at_level(logging.DEBUG, "uvolt.http"):
        http.CookieJar(loop=mock.Mock()).update_cookies({"a": "b\x07"}, URL("https://a.example/"))
    assert [record.name for record in caplog.records] == ["uvolt.http"]


def test_a_body_behind_its_session(kind: str) -> None:
    """aiohttp raises a RuntimeError; ours is one, too."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await reader.read()
        writer.close()

    async def main() -> None:
        async with listening(answer) as url:
            async with aiohttp.ClientSession() as session:
                response = await session.get(url)
            with pytest.raises(RuntimeError, match="Connection closed") as raised:
                await response.read()
        if kind == "uvolt":
            assert isinstance(raised.value, aiohttp.ClientConnectionError)
            assert isinstance(raised.value, http.ClientConnectionError)

    run(main, kind)


def test_types_of_arguments(kind: str) -> None:
    """ClientTimeout and FormData are one class, for who asks before and after the swap."""
    for name in ("ClientTimeout", "FormData", "Fingerprint", "BasicAuth"):
        assert getattr(aiohttp, name).__module__.startswith("aiohttp.")

    async def main() -> None:
        async with server() as url, aiohttp.ClientSession() as session:
            assert isinstance(session.timeout, aiohttp.ClientTimeout)
            form = aiohttp.FormData({"a": "b"})
            response = await session.post(url, data=form, timeout=aiohttp.ClientTimeout(total=9))
            assert (await response.json())["body"] == "a=b"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=9)) as session:
            assert session.timeout.total == 9
            assert isinstance(session.timeout, aiohttp.ClientTimeout)
        if kind == "uvolt":
            given = http.ClientTimeout(total=9, pool=1)
            async with aiohttp.ClientSession(timeout=given) as session:
                assert session.timeout is given

    assert uvolt.http.ClientTimeout is not aiohttp.ClientTimeout
    run(main, kind)
