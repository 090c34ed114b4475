"""Cookies of a session: its jar, the cookies of a call, the caller's own Cookie field.

The names of hosts are answered by a server on a Unix socket, so no name is looked up.
"""

from __future__ import annotations

from http.cookies import BaseCookie, SimpleCookie
from types import MappingProxyType

import aiohttp
import pytest
from http_support import Client, answers, raw
from yarl import URL

HOST = "http://www.example.com"
DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def ours() -> Client:
    return Client("uvolt")


def sets(*fields: str, location: str = "") -> bytes:
    status = b"302 Found" if location else b"200 OK"
    lines = [f"Set-Cookie: {field}" for field in fields]
    lines += [f"Location: {location}"] if location else []
    head = b"".join(line.encode() + b"\r\n" for line in lines)
    return b"HTTP/1.1 " + status + b"\r\n" + head + b"Content-Length: 0\r\n\r\n"


def talk(client, tmp_path, calls, *responses, check=None, **session):
    """The Cookie fields of some calls, (url, keywords) each, of one session."""
    path = str(tmp_path / "socket")

    async def main():
        make = {name: value() if callable(value) else value for name, value in session.items()}
        async with raw(answers(*(responses or [DONE])), path=path) as server:
            connector = client.http.UnixConnector(path)
            async with client.session(connector=connector, **make) as http:
                for url, keywords in calls:
                    async with http.get(url, **keywords) as response:
                        await response.read()
                if check is not None:
                    check(http, response)
        return [asked.headers.get("cookie") for asked in server.asked]

    return client.run(main)


# ---- on the wire --------------------------------------------------------------------------------

GIVEN = [
    {"a": "1"},
    {"b": "1", "a": "2"},
    {"a": ""},
    {"a": "two words", "b": "x=y", "c": 'q"uote', "d": "semi;colon", "e": "back\\slash", "f": "é"},
    [("b", "1"), ("a", "2"), ("b", "3")],
    SimpleCookie('a="as it is"; b=2; Path=/'),
    SimpleCookie("a=1; Secure"),
    {"a": 5},
]


@pytest.mark.parametrize("given", GIVEN, ids=range(len(GIVEN)))
@pytest.mark.parametrize("quote", [True, False])
@pytest.mark.parametrize("of", ["session", "call"])
def test_cookies_of_the_program(tmp_path, of, quote, given):
    """As aiohttp sends them, byte by byte."""

    def sent(name):
        client = Client(name)
        options = {"cookie_jar": lambda: client.http.CookieJar(quote_cookie=quote)}
        call = {"cookies": given} if of == "call" else {}
        if of == "session":
            options["cookies"] = given
        return talk(client, tmp_path, [(HOST, call)] * 2, **options)

    assert sent("uvolt") == sent("aiohttp")


@pytest.mark.parametrize(
    ("session", "headers", "cookies"),
    [
        ({"j": "1"}, {}, {"c": "2"}),
        ({"j": "1"}, {"Cookie": "h=3; a=4"}, None),
        ({"j": "1"}, {"Cookie": "h=3; j=4"}, None),
        ({"j": "1"}, {"cOOkie": 'h="3;4"; x'}, {"c": "2", "j": "5"}),
        ({}, {"Cookie": "z=1; a=2;b"}, None),
        ({}, {"Cookie": "z=1; a=2"}, {"m": "3"}),
        ({}, {"Cookie": "z=1; a=2"}, {}),
    ],
)
def test_what_comes_together(client, tmp_path, session, headers, cookies):
    """The jar's, the call's and the caller's field: one field, by name."""
    theirs = talk(Client("aiohttp"), tmp_path, [(HOST, {"headers": headers, "cookies": cookies})],
                  cookies=session)  # fmt: skip
    sent = talk(client, tmp_path, [(HOST, {"headers": headers, "cookies": cookies})],
                cookies=session)  # fmt: skip
    assert sent == theirs and sent[0] is not None


def test_servers_get_them_as_they_came_and_in_order(ours, tmp_path):
    """On the fast way, and on the slow one of a call with headers of its own."""
    fields = ["z=1; Path=/", "z=2, 3", "b=4; Path=/a", "a=", 'q="5"; Path=/a/b']
    calls = [
        (f"{HOST}/a/b", {}),
        (f"{HOST}/a/c", {}),
        (f"{HOST}/a/c", {"skip_auto_headers": ["x"]}),
    ]
    sent = talk(ours, tmp_path, calls, sets(*fields), DONE)
    assert sent[:1] == [None] and sent[1:] == ["z=2, 3; b=4; a=; z=1"] * 2


# ---- jars ---------------------------------------------------------------------------------------


def test_one_jar_of_two_sessions(client, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        jar = client.http.CookieJar()
        async with raw(answers(sets("a=1"), DONE), path=path) as server:
            for _ in range(2):
                connector = client.http.UnixConnector(path)
                async with client.session(connector=connector, cookie_jar=jar) as http:
                    async with http.get(HOST):
                        pass
            assert [asked.headers.get("cookie") for asked in server.asked] == [None, "a=1"]
            assert len(jar) == 1

    client.run(main)


def test_cookies_that_are_put_in_or_taken_out_on_the_way(client, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        async with raw(answers(DONE), path=path) as server:
            connector = client.http.UnixConnector(path)
            async with client.session(connector=connector) as http:
                jar = http.cookie_jar
                await http.get(HOST)
                jar.update_cookies({"a": "1"}, URL(HOST))
                await http.get(HOST)
                jar.save(tmp_path / "cookies")
                jar.clear()
                await http.get(HOST)
                jar.load(tmp_path / "cookies")
                await http.get(HOST)
                jar.clear_domain("example.com")
                await http.get(HOST)
        sent = [asked.headers.get("cookie") for asked in server.asked]
        assert sent == [None, "a=1", None, "a=1", None]

    client.run(main)


def test_a_jar_of_aiohttp_in_our_session(ours, tmp_path):
    def check(http, response):
        assert type(http.cookie_jar) is aiohttp.CookieJar and len(http.cookie_jar) == 2

    calls = [(HOST, {}), (HOST, {}), (HOST, {"cookies": {"c": "3"}})]
    sent = talk(ours, tmp_path, calls, sets("a=1", "b=2"), DONE,
                cookie_jar=aiohttp.CookieJar, check=check)  # fmt: skip
    assert sent == [None, "a=1; b=2", "a=1; b=2; c=3"]


def test_a_dummy_jar(client, tmp_path):
    calls = [(HOST, {}), (HOST, {}), (HOST, {"cookies": {"c": "3"}})]
    sent = talk(client, tmp_path, calls, sets("a=1"), DONE,
                cookie_jar=lambda: client.http.DummyCookieJar())  # fmt: skip
    assert sent == [None, None, "c=3"]


@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
@pytest.mark.parametrize("base", ["aiohttp", "uvolt"])
def test_a_jar_of_ones_own(ours, tmp_path, base, old):
    """Of either AbstractCookieJar; an old one lacks what aiohttp 3.13 and 3.14 have added."""
    abc = aiohttp.abc if base == "aiohttp" else ours.http.abc
    taken = []

    class Jar(abc.AbstractCookieJar):
        unsafe = quote_cookie = True
        cookies = MappingProxyType({})
        host_only_cookies = frozenset()

        def __len__(self):
            return 0

        def __iter__(self):
            return iter(())

        def clear(self, predicate=None):
            pass

        def clear_domain(self, domain):
            pass

        def update_cookies(self, cookies, response_url=None):
            pairs = cookies.items() if isinstance(cookies, dict) else cookies
            taken.append(({name: morsel.value for name, morsel in pairs}, str(response_url)))

        def filter_cookies(self, request_url):
            return BaseCookie({"n": str(len(taken))})

    if old:

        class Old:
            """Not a subclass of any: what has the methods is a jar."""

            unsafe = True
            __len__, __iter__ = Jar.__len__, Jar.__iter__
            update_cookies, filter_cookies = Jar.update_cookies, Jar.filter_cookies

    calls = [(HOST, {}), (HOST, {"cookies": {"c": "3"}})]
    sent = talk(ours, tmp_path, calls, sets("a=1", "b=2"), DONE, cookie_jar=Old if old else Jar)
    assert sent == ["n=0", "c=3; n=1"]
    assert taken == [({"a": "1", "b": "2"}, HOST)]


def test_a_subclass_that_looks_on(client, tmp_path):
    seen = []

    class Jar(client.http.CookieJar):
        def filter_cookies(self, request_url):
            seen.append(str(request_url))
            return super().filter_cookies(request_url)

    sent = talk(client, tmp_path, [(HOST, {})] * 2, sets("b=1", "a=2"), DONE, cookie_jar=Jar)
    assert sent == [None, "a=2; b=1"] and seen == [HOST] * 2


# ---- redirects ----------------------------------------------------------------------------------


@pytest.mark.parametrize("keywords", [{}, {"params": {"a": "1"}}], ids=["plain", "params"])
def test_a_jar_that_raises_leaves_no_connection_in_use(client, keywords):
    class Jar(client.http.CookieJar):
        def update_cookies(self, *args):
            raise RuntimeError("full")

        update_cookies_from_headers = update_cookies

    head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 5\r\n\r\n"

    async def main():
        async with raw(answers(head)) as server, client.session(cookie_jar=Jar()) as session:
            with pytest.raises(RuntimeError, match="full") as caught:  # which keeps its frames
                await session.get(server.url, **keywords)
            assert caught.tb is not None and not session.connector._acquired

    client.run(main)


def test_a_redirect_sets_cookies_for_where_it_leads(client, tmp_path):
    found = sets("a=1", "b=2; Domain=example.com; Path=/", location="http://sub.example.com/x")
    sent = talk(client, tmp_path, [(HOST, {"cookies": {"c": "3"}})], found, DONE)
    assert sent == ["c=3", "b=2"]


def test_a_redirect_on_the_same_origin_keeps_all(client, tmp_path):
    found = sets("a=1; Path=/", location="/x")
    calls = [(HOST, {"cookies": {"c": "3"}, "headers": {"Cookie": "h=4"}})]
    assert talk(client, tmp_path, calls, found, DONE) == ["c=3; h=4", "a=1; c=3; h=4"]


def test_a_host_elsewhere_fixes_no_session(client, tmp_path):
    """CVE-2015-2296: a redirect's cookie is for who set it, not for where it leads."""
    found = sets("sid=mallory", "sid2=mallory; Domain=victim.org", location="http://victim.org/")
    assert talk(client, tmp_path, [("http://mallory.org/", {})], found, DONE) == [None, None]


def test_response_cookies(client, tmp_path):
    """What aiohttp's lenient reader sees, of this response alone; the history has its own."""
    fields = ['a="x;y"; Path=/', "b=2; Expires=Wed, 09 Jun 2021 10:18:14 GMT Secure", "[c]=3", "d"]

    def check(http, response):
        cookies = response.cookies
        assert type(cookies) is SimpleCookie
        assert {name: m.value for name, m in cookies.items()} == {"a": "x;y", "b": "2", "[c]": "3"}
        assert cookies["b"]["secure"] is True
        assert cookies["b"]["expires"] == "Wed, 09 Jun 2021 10:18:14 GMT"
        assert list(response.history[0].cookies) == ["h"]

    talk(client, tmp_path, [(HOST, {})], sets("h=1", location="/x"), sets(*fields), check=check)


def test_bad_cookies_do_not_fill_a_log(client, tmp_path, caplog):
    """CVE-2025-69230."""
    caplog.set_level("DEBUG")
    fields = [f"bad name{i}=1; Domain=other.org" for i in range(100)]
    talk(client, tmp_path, [(HOST, {})] * 3, sets(*fields))
    if client.ours:
        assert sum("cookie" in record.message.lower() for record in caplog.records) <= 3 * 51


def test_an_upload_gets_its_cookies_too(client, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        async with raw(answers(sets("a=1"), DONE), path=path) as server:
            connector = client.http.UnixConnector(path)
            async with client.session(connector=connector) as http:
                for data in (b"x", {"form": "1"}):
                    async with http.post(HOST, data=data):
                        pass
        assert [asked.headers.get("cookie") for asked in server.asked] == [None, "a=1"]

    client.run(main)
