"""Class 9, credentials of a file by the host: they go to that host, whatever the URL looks like."""

from __future__ import annotations

import base64

import pytest
from http_support import answers, raw, response
from security_support import http, run
from test_class_08_urls import Resolver

pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth:DeprecationWarning")
SECRET = base64.b64encode(b"me:secret").decode()


@pytest.fixture
def netrc(tmp_path, monkeypatch):
    def write(text):
        (tmp_path / "netrc").write_text(text)
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return write


async def sent(url, **options):
    """The Authorization that a request to this URL goes with."""
    async with raw(answers(response(b"ok"))) as server:
        connector = http.TCPConnector(resolver=Resolver(server.port))
        async with http.ClientSession(connector=connector, trust_env=True) as session:
            try:
                async with session.get(url, **options):
                    pass
            except (ValueError, http.ClientError):
                return None
            return dict(server.asked[0].fields).get("Authorization")


@pytest.mark.parametrize(
    "url, expected",
    [
        ("http://good.test/", True),
        ("http://good.test:8080/", True),
        ("http://GOOD.test/", True),
        ("http://evil.test/", False),
        ("http://good.test.evil.test/", False),
        ("http://evilgood.test/", False),
        ("http://sub.good.test/", False),
        ("http://evil.test/good.test", False),
        ("http://evil.test/?good.test", False),
        ("http://evil.test/#good.test", False),
        ("http://good.test:@evil.test/", False),  # CVE-2024-47081
        ("http://good.test@evil.test/", False),
        ("http://good.test:80@evil.test/", False),
        ("http://good.test\\@evil.test/", False),
        ("http://good.test%2F@evil.test/", False),
        ("http://good.test%00@evil.test/", False),
    ],
)
def test_the_host_is_the_url_s(netrc, url, expected):
    netrc("machine good.test login me password secret\n")

    async def main():
        found = await sent(url)
        assert (found is not None and SECRET in found) == expected

    run(main)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "machine",
        "machine good.test",
        "garbage\n",
        "machine good.test login",
        "\0",
        "macdef x\n",
    ],
)
def test_a_bad_file_is_no_credentials(netrc, text, caplog):
    netrc(text)

    async def main():
        assert await sent("http://good.test/") in (None, http.encode_basic_auth("", ""))

    run(main)


def test_what_the_caller_says_goes_first(netrc):
    """Of auth=, the URL and the file, only one is sent."""
    netrc("machine good.test login me password secret\n")

    async def main():
        own = http.encode_basic_auth("own", "word")
        assert await sent("http://good.test/", auth=http.BasicAuth("own", "word")) == own
        assert await sent("http://own:word@good.test/") == own

    run(main)


def test_only_with_trust_env(netrc):
    netrc("machine 127.0.0.1 login me password secret\n")

    async def main():
        async with raw(answers(response())) as server, http.ClientSession() as session:
            async with session.get(server.url):
                assert "authorization" not in server.asked[0].headers

    run(main)


def test_a_name_with_line_ends_is_not_sent(netrc):
    """What the file has may not become a header of its own: it is coded."""
    netrc('machine good.test login "me\\r\\nX: y" password secret\n')

    async def main():
        found = await sent("http://good.test/")
        assert found is None or "\r" not in found

    run(main)
