"""Class 12, digest credentials: for the origin of the first request, and what that says is its own;
what a challenge says is quoted."""

from __future__ import annotations

import re

import pytest
from http_support import raw, response
from security_support import heads, http, lines_of, run
from test_client_redirects import moved

CHALLENGE = 'Digest realm="r", nonce="n0nce", qop="auth"'


def challenge(text: str = CHALLENGE) -> bytes:
    return response(b"", "401 Unauthorized", WWW_Authenticate=text)


def authorization(asked):
    return next((value for name, value in asked.fields if name == "Authorization"), None)


def script_of(where: dict[str, str], said: str = CHALLENGE):
    """Asks everyone for credentials; whoever has some is sent on to where[target]."""

    async def script(peer):
        while True:
            asked = await peer.request()
            if authorization(asked) is None and asked.target != "/open":
                peer.send(challenge(said))
            elif asked.target in where:
                peer.send(moved(where[asked.target], 307))
            else:
                peer.send(response(b"ok"))

    return script


def session():
    return http.ClientSession(middlewares=[http.DigestAuthMiddleware("me", "secret")])


@pytest.mark.parametrize("change", ["host", "port", "scheme", "nothing"])
@pytest.mark.parametrize("first", ["/start", "/open"])
def test_another_origin_gets_no_digest(certificates, change, first):
    """Row 54: neither at once nor for its challenge, whether or not the first origin had one."""

    async def main():
        where: dict[str, str] = {}
        tls = certificates.server()
        async with raw(script_of(where)) as a, raw(script_of({})) as b:
            async with raw(script_of({}), ssl=tls) as c, session() as client:
                other = {"host": f"http://localhost:{a.port}", "port": b.url, "scheme": c.url}
                where[first] = other.get(change, a.url) + "/other"
                ssl = certificates.client()
                async with client.get(a.url + first, ssl=ssl) as answer:
                    assert answer.status == (200 if change == "nothing" else 401)
                seen = [x for x in [*a.asked, *b.asked, *c.asked] if x.target == "/other"]
                assert seen
                assert any(map(authorization, seen)) == (change == "nothing")

    run(main)


def test_a_session_for_two_hosts():
    """Without a redirect: the second host does not get the first one's credentials."""

    async def main():
        async with raw(script_of({})) as a, raw(script_of({})) as b, session() as client:
            async with client.get(a.url) as answer:
                assert answer.status == 200
            async with client.get(b.url) as answer:
                assert answer.status == 401
            assert not any(map(authorization, b.asked))

    run(main)


def test_a_domain_is_named_by_the_first_origin_only():
    """What another origin says of its protection space is not believed."""

    async def main():
        async with raw(script_of({})) as third:
            said = f'{CHALLENGE}, domain="{third.url}/"'
            async with raw(script_of({}, said)) as other, raw(script_of({})) as a:
                async with session() as client:
                    for url, status in ((a.url, 200), (other.url, 401), (third.url, 401)):
                        async with client.get(url) as answer:
                            assert answer.status == status
                assert not any(map(authorization, [*other.asked, *third.asked]))

    run(main)


def test_who_is_named_in_a_domain_names_nobody():
    """The first origin shares its users with a second one; that cannot share them with a third.
    aiohttp sends that credentials."""

    async def main():
        async with raw(script_of({})) as third:

            async def second(peer):
                while True:
                    asked = await peer.request()
                    said = f'Digest realm="r", nonce="other", qop="auth", domain="{third.url}/"'
                    good = 'nonce="other"' in (authorization(asked) or "")
                    peer.send(response(b"ok") if good else challenge(said))

            async with raw(second) as other:
                said = f'{CHALLENGE}, domain="/ {other.url}/"'
                async with raw(script_of({}, said)) as first, session() as client:
                    for url, status in ((first.url, 200), (other.url, 200), (third.url, 401)):
                        async with client.get(url) as answer:
                            assert answer.status == status
                    async with client.get(first.url + "/again") as answer:
                        assert answer.status == 200
            assert not any(map(authorization, third.asked))

    run(main)


@pytest.mark.parametrize("field", ["realm", "nonce", "opaque", "domain", "qop", "algorithm"])
@pytest.mark.parametrize("text", ['a\\"b', "a\\\\", "a, uri=x", "a; b", "ü", "\x01", "=", ""])
def test_a_challenge_adds_no_parameter(field, text):
    """#13054: what comes in quotes goes back in quotes, and nothing becomes a line or a field."""
    values = {"realm": "r", "nonce": "n", "qop": "auth", field: text}
    said = "Digest " + ", ".join(f'{name}="{value}"' for name, value in values.items())

    async def main():
        async with raw(script_of({}, said)) as server, session() as client:
            try:
                async with client.get(server.url) as answer:
                    assert answer.status in (200, 401)
            except (http.ClientError, ValueError):
                pass
            for head in heads(server):
                assert all(re.match(rb"[-\w]+: |GET / |$", line) for line in lines_of(head))
            for sent in filter(None, map(authorization, server.asked)):
                bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', sent)
                assert bare.count('"') % 2 == 0
                names = re.findall(r"([a-z]+)=", bare)
                assert len(names) == len(set(names)), sent

    run(main)


def test_the_password_is_in_nothing_that_is_shown():
    middleware = http.DigestAuthMiddleware("me", "secret")
    assert "secret" not in repr(middleware)
