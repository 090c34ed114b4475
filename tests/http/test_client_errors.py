"""The tree of exceptions: the same names, bases and attributes as aiohttp's; and pickling."""

from __future__ import annotations

import asyncio
import pickle
import ssl

import aiohttp
import pytest
import support
from http_support import answers, raw, response

BUILTIN = (OSError, ValueError, asyncio.TimeoutError, ssl.SSLError, ssl.CertificateError)
BUILTIN = (*BUILTIN, ConnectionResetError, TypeError, TimeoutError)
NAMES = [
    *("ClientError", "ClientResponseError", "ContentTypeError", "WSServerHandshakeError"),
    *("ClientHttpProxyError", "TooManyRedirects", "ClientConnectionError"),
    *("ClientConnectionResetError", "ClientOSError", "ClientConnectorError"),
    *("ClientConnectorDNSError", "ClientProxyConnectionError", "ClientSSLError"),
    *("ClientConnectorSSLError", "ClientConnectorCertificateError", "ServerConnectionError"),
    *("ServerDisconnectedError", "ServerTimeoutError", "ConnectionTimeoutError"),
    *("SocketTimeoutError", "ServerFingerprintMismatch", "ClientPayloadError", "InvalidURL"),
    *("InvalidUrlClientError", "InvalidUrlRedirectClientError", "RedirectClientError"),
    *("NonHttpUrlClientError", "NonHttpUrlRedirectClientError"),
]


@pytest.mark.parametrize("name", NAMES)
def test_bases(client, name):
    ours, oracle = getattr(client.http, name), getattr(aiohttp, name)
    for other in NAMES:
        expected = issubclass(oracle, getattr(aiohttp, other))
        assert issubclass(ours, getattr(client.http, other)) == expected, other
    for base in BUILTIN:
        assert issubclass(ours, base) == issubclass(oracle, base), base


NAMES_ELSEWHERE = [
    *("ClientSession", "ClientResponse", "ClientTimeout", "TCPConnector", "UnixConnector"),
    *("BaseConnector", "RequestInfo", "CookieJar", "DummyCookieJar", "BasicAuth", "Fingerprint"),
    *("StreamReader", "HttpVersion", "HttpVersion10", "HttpVersion11", "request", "hdrs"),
    *("ThreadedResolver", "DefaultResolver", "EMPTY_PAYLOAD"),
]


@pytest.mark.parametrize("name", NAMES_ELSEWHERE)
def test_names(client, name):
    assert hasattr(client.http, name)


def test_refused(client):
    async def main():
        port = support.free_port()
        async with client.session() as http:
            with pytest.raises(client.http.ClientConnectorError) as caught:
                await http.get(f"http://127.0.0.1:{port}/")
            error = caught.value
            assert isinstance(error, OSError) and error.errno == 111
            assert (error.host, error.port, error.ssl) == ("127.0.0.1", port, True)
            assert isinstance(error.os_error, ConnectionRefusedError)
            assert str(error).startswith(f"Cannot connect to host 127.0.0.1:{port} ssl:default")
            with pytest.raises(client.http.ClientConnectorError) as caught:
                await http.get(f"https://127.0.0.1:{port}/", ssl=False)
            assert caught.value.ssl is False

    client.run(main)


def test_response_errors_are_told_apart(client):
    async def main():
        data = response(b"x", "503 Later", Retry_After="5")
        async with raw(answers(data)) as server, client.session() as http:
            with pytest.raises(client.http.ClientResponseError) as caught:
                async with http.get(server.url) as answer:
                    answer.raise_for_status()
            error = caught.value
            assert error.headers["Retry-After"] == "5"
            assert repr(error).startswith("ClientResponseError(RequestInfo(")
            assert not isinstance(error, client.http.ClientConnectionError)

    client.run(main)


def test_made_by_hand(client):
    http = client.http
    key = object()
    os_error = ConnectionRefusedError(111, "refused")

    class Key:
        host, port, ssl, is_ssl = "a.b", 80, True, False

    error = http.ClientConnectorError(Key, os_error)
    assert str(error) == "Cannot connect to host a.b:80 ssl:default [refused]"
    assert (error.errno, error.strerror, error.host) == (111, "refused", "a.b")
    assert http.ServerDisconnectedError().message == "Server disconnected"
    assert str(http.ServerDisconnectedError("gone")) == "gone"
    assert http.InvalidURL("http://", "why").description == "why"
    error = http.ClientResponseError(key, (), status=404, message="no")
    assert (error.request_info, error.status, error.message) == (key, 404, "no")
    assert http.ClientResponseError(key, ()).status == 0


def test_pickled(client):
    http = client.http
    for error in (
        http.ClientPayloadError("short"),
        http.ServerDisconnectedError("gone"),
        http.InvalidURL("http://x"),
        http.ClientOSError(104, "reset"),
        http.ClientResponseError(None, (), status=404, message="no"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and again.args == error.args


def test_caught_by_one_of_them(client):
    """except ClientError gets what goes wrong in every phase; TimeoutError the timeouts."""

    async def main():
        http = client.http
        urls = [f"http://127.0.0.1:{support.free_port()}/", "ftp://x/", "http://", "http://:80"]
        async with client.session() as session:
            for url in urls:
                with pytest.raises(http.ClientError):
                    await session.get(url)

    client.run(main)
