"""Digest authentication, against a server that computes as RFC 7616 says."""

from __future__ import annotations

import asyncio
import hashlib
import re

import aiohttp.client_middleware_digest_auth as theirs
import pytest
from http_support import answers, raw, response
from yarl import URL

from uvolt import http
from uvolt.http import digest

NAMES = {"MD5": "md5", "SHA": "sha1", "SHA-256": "sha256", "SHA256": "sha256",
         "SHA-512": "sha512", "SHA512": "sha512"}  # fmt: skip


def parameters(header: str) -> dict[str, str]:
    assert header.startswith("Digest ")
    found = re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))(?:, |$)', header[7:])
    return {name: re.sub(r"\\(.)", r"\1", quoted) or word for name, quoted, word in found}


def expected(asked, given: dict[str, str], login: str, password: str, realm: str) -> str:
    """The response that RFC 7616, 3.4.1 wants."""
    algorithm = given["algorithm"].upper()
    name = NAMES[algorithm.removesuffix("-SESS")]

    def h(text: str, more: bytes = b"") -> str:
        return hashlib.new(name, text.encode() + more).hexdigest()

    a1 = h(f"{login}:{realm}:{password}")
    if algorithm.endswith("-SESS"):
        a1 = h(f"{a1}:{given['nonce']}:{given['cnonce']}")
    a2 = f"{asked.method}:{asked.target}"
    if given.get("qop") == "auth-int":
        a2 += ":" + hashlib.new(name, asked.body).hexdigest()
    middle = given["nonce"]
    if "qop" in given:
        middle += f":{given['nc']}:{given['cnonce']}:{given['qop']}"
    return h(f"{a1}:{middle}:{h(a2)}")


class Guard:
    """A script: a server that lets in who has the password."""

    def __init__(self, *, login="user", password="pass ä", realm='a "realm"', lives=1000, **more):
        self.login, self.password, self.realm = login, password, realm
        self.more = more
        self.lives = lives  # requests that a nonce is good for
        self.nonces: list[str] = []
        self.counts: list[int] = []
        self.refused = 0

    def challenge(self, **more: str) -> bytes:
        self.nonces.append(f'nonce"{len(self.nonces)}')
        fields = {"realm": self.realm, "nonce": self.nonces[-1], **self.more, **more}
        quoted = {k: v.replace("\\", "\\\\").replace('"', '\\"') for k, v in fields.items()}
        text = ", ".join(
            f"{k}={v}" if k in ("algorithm", "stale") else f'{k}="{v}"' for k, v in quoted.items()
        )
        self.refused += 1
        return response(b"who?", "401 Unauthorized", WWW_Authenticate=f"Digest {text}")

    def answer(self, asked) -> bytes:
        if "authorization" not in asked.headers:
            return self.challenge()
        given = parameters(asked.headers["authorization"])
        if given["nonce"] != self.nonces[-1] or self.lives <= 0:
            self.lives = 1000
            return self.challenge(stale="true")
        self.lives -= 1
        assert given["username"] == self.login
        assert given["realm"] == self.realm and given["uri"] == asked.target
        assert given.get("opaque") == self.more.get("opaque")
        if "qop" in given:
            self.counts.append(int(given["nc"], 16))
        good = expected(asked, given, self.login, self.password, self.realm)
        return response(b"in") if given["response"] == good else self.challenge()

    async def __call__(self, peer) -> None:
        while True:
            peer.send(self.answer(await peer.request()))


def get(client, guard, *paths, preemptive=True, auth=None, method="GET", **request):
    middleware = client.http.DigestAuthMiddleware(
        *(auth or (guard.login, guard.password)), preemptive=preemptive
    )
    seen = []

    async def main():
        async with raw(guard) as server, client.session(middlewares=[middleware]) as session:
            for path in paths or ("/a?b=c%2Fd&e= f",):
                async with session.request(method, server.url + path, **request) as r:
                    seen.append(r.status)
                    await r.read()
            return server.asked

    return seen, client.run(main)


ALGORITHMS = [name + end for name in NAMES for end in ("", "-SESS", "-sess")]


@pytest.mark.parametrize("qop", [None, "auth", "auth-int", "auth,auth-int", "auth-int , auth"])
@pytest.mark.parametrize("algorithm", [None, "md5", *ALGORITHMS])
def test_a_challenge_is_answered(client, algorithm, qop):
    more = {"algorithm": algorithm, "qop": qop}
    guard = Guard(**{name: value for name, value in more.items() if value})
    if algorithm is not None and algorithm.upper().endswith("-SESS") and qop is None:
        guard.more["qop"] = "auth"  # without one the server is not told the cnonce
    statuses, asked = get(client, guard, method="POST", data=b"the body")
    assert statuses == [200]
    assert [a.body for a in asked] == [b"the body"] * 2
    given = parameters(asked[1].headers["authorization"])
    assert given["algorithm"] == (algorithm or "MD5")
    assert given.get("qop") == (qop and ("auth-int" if "int" in qop else "auth")) or "-" in str(
        algorithm
    )


def test_quoting(client):
    guard = Guard(realm='back\\slash "quotes"', opaque='"\\', qop="auth", login='u"\\ser')
    statuses, asked = get(client, guard)
    assert statuses == [200]
    header = asked[1].headers["authorization"]
    assert re.search(r', nc=00000001, cnonce="[0-9a-f]{16}"$', header)
    assert ", algorithm=MD5," in header and ", qop=auth," in header


def test_the_fields_and_their_order_are_aiohttps():
    challenge = {"realm": "r", "nonce": "n", "qop": "auth", "opaque": "o", "algorithm": "SHA-256"}

    async def encode(middleware):
        middleware._challenge = dict(challenge)
        return await middleware._encode("GET", URL("http://h/a%2Fb?c=d e"), b"")

    mine = asyncio.run(encode(http.DigestAuthMiddleware("u", "p")))
    other = asyncio.run(encode(theirs.DigestAuthMiddleware("u", "p")))
    random = r'response="\w+"|cnonce="\w+"'
    assert re.sub(random, "", mine) == re.sub(random, "", other)


@pytest.mark.parametrize(
    "algorithm, answer",
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616(algorithm, answer, monkeypatch):
    """3.9.1; its cnonce is longer than ours."""
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"

    class Random:
        def hex(self):
            return cnonce

    monkeypatch.setattr(digest.os, "urandom", lambda n: Random())
    middleware = http.DigestAuthMiddleware("Mufasa", "Circle of Life")
    middleware._challenge = {
        "realm": "http-auth@example.org",
        "qop": "auth",
        "algorithm": algorithm,
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
    }
    url = URL("http://www.example.org/dir/index.html")
    header = asyncio.run(middleware._encode("GET", url, b""))
    assert parameters(header)["response"] == answer


def test_counts_of_a_nonce(client):
    guard = Guard(qop="auth")
    statuses, asked = get(client, guard, "/1", "/2", "/3")
    assert statuses == [200] * 3
    assert guard.counts == [1, 2, 3] and guard.refused == 1
    assert len(asked) == 4


def test_without_preemption_each_request_is_challenged(client):
    guard = Guard(qop="auth")
    statuses, _ = get(client, guard, "/1", "/2", preemptive=False)
    assert statuses == [200] * 2 and guard.refused == 2
    assert guard.counts == [1, 1]  # each has a nonce of its own


def test_a_stale_nonce_is_replaced(client):
    guard = Guard(qop="auth", lives=2)
    statuses, _ = get(client, guard, "/1", "/2", "/3", "/4")
    assert statuses == [200] * 4 and guard.refused == 2
    assert guard.counts == [1, 2, 1, 2]


def test_a_wrong_password_is_tried_once(client):
    guard = Guard(qop="auth")
    statuses, asked = get(client, guard, auth=("user", "wrong"))
    assert (statuses, len(asked)) == ([401], 2)


@pytest.mark.parametrize(
    "header",
    [
        None, "", "Digest", "Digest ", "Basic realm=a", "Digestive realm=a", "Digest =a, b",
        "Digest foo=bar",
    ],
)  # fmt: skip
def test_what_is_no_challenge_is_left_alone(client, header):
    script = answers(
        response(
            b"", "401 Unauthorized", **({} if header is None else {"WWW-Authenticate": header})
        )
    )

    async def main():
        middleware = client.http.DigestAuthMiddleware("user", "pass")
        async with raw(script) as server, client.session(middlewares=[middleware]) as session:
            async with session.get(server.url) as r:
                assert r.status == 401
            assert len(server.asked) == 1

    client.run(main)


@pytest.mark.parametrize(
    "challenge, message",
    [
        ('realm="a"', "Missing 'nonce'"),
        ('nonce="a"', "Missing 'realm'"),
        ('realm="a", nonce=""', "empty 'nonce'"),
        ('realm="a", nonce="b", qop="other"', r"Unsupported Quality of Protection .*: other"),
        ('realm="a", nonce="b", algorithm=MD4', "Unsupported hash algorithm: MD4. Supported"),
    ],
)
def test_challenges_that_cannot_be_answered(client, challenge, message):
    script = answers(
        response(b"", "401 Unauthorized", WWW_Authenticate=f"Digest {challenge}"), response(b"")
    )

    async def main():
        middleware = client.http.DigestAuthMiddleware("user", "pass")
        async with raw(script) as server, client.session(middlewares=[middleware]) as session:
            with pytest.raises(client.http.ClientError, match=message):
                await session.get(server.url)
            assert len(server.asked) == 1

    client.run(main)


@pytest.mark.parametrize(
    "others",
    [
        ["Basic realm=a", None],
        [None, "Basic realm=a"],
        ['Digest realm="a", nonce="b", algorithm=SHA-512-256', None],
        ["Negotiate", "Digest", None, 'Digest realm="a", nonce="b", algorithm=MD5'],
    ],
)
def test_the_first_challenge_that_can_be_answered(ours, others):
    """In fields of their own, as RFC 7616, 3.9.1 has them. aiohttp looks at the first field."""
    guard = Guard(algorithm="SHA-256", qop="auth")

    async def script(peer):
        while True:
            answer = guard.answer(await peer.request())
            head, end, body = answer.partition(b"\r\n\r\n")
            lines = head.split(b"\r\n")
            own = [line for line in lines if line.startswith(b"WWW-Authenticate")]
            fields = [f"WWW-Authenticate: {field}".encode() for field in others if field]
            if own:
                lines = [line for line in lines if line not in own]
                fields.insert(others.index(None), own[0])
                lines += fields
            peer.send(b"\r\n".join(lines) + end + body)

    async def main():
        middleware = ours.http.DigestAuthMiddleware(guard.login, guard.password)
        async with raw(script) as server, ours.session(middlewares=[middleware]) as session:
            async with session.get(server.url + "/x") as r:
                assert r.status == 200
            given = parameters(server.asked[1].headers["authorization"])
            assert given["algorithm"] == "SHA-256"

    ours.run(main)


@pytest.mark.parametrize("domain", ["http://[ /x", "/x http://a:port/", "http://["])
def test_a_domain_that_is_no_url(ours, domain):
    """It means nothing; with aiohttp the request raises yarl's ValueError."""
    statuses, asked = get(ours, Guard(qop="auth", domain=domain), "/x", "/x")
    assert statuses == [200, 200]
    assert "authorization" in asked[2].headers  # at once


def two_servers(client, first, second, *, follow=False):
    """What two origins got, the first of which the middleware meets first."""

    async def main():
        async with raw(second) as other, raw(lambda peer: first(peer, other.url)) as server:
            middleware = client.http.DigestAuthMiddleware("user", "pass ä")
            async with client.session(middlewares=[middleware]) as session:
                async with session.get(server.url + "/") as r:
                    await r.read()
                if not follow:
                    async with session.get(other.url + "/x") as r:
                        await r.read()
            return [a.headers.get("authorization") for a in other.asked], other

    return client.run(main)


@pytest.mark.parametrize("follow", [False, True], ids=["request", "redirect"])
def test_another_origins_challenge_is_never_answered(client, follow):
    async def first(peer, other):
        await peer.request()
        headers = {"Location": other + "/x"} if follow else {}
        peer.send(response(b"", "302 There" if follow else "200 OK", **headers))
        await peer.gone()

    sent, _ = two_servers(client, first, Guard(qop="auth"), follow=follow)
    assert sent == [None]


def test_another_origin_in_the_domain_of_the_challenge(client):
    guard = Guard(qop="auth")

    async def first(peer, other):
        guard.more["domain"] = f"/ {other}/x"
        while True:
            peer.send(guard.answer(await peer.request()))

    sent, _ = two_servers(client, first, answers(response(b"")))
    assert sent[-1] is not None and sent[-1].startswith("Digest ")


@pytest.mark.parametrize(
    "domain, path, is_inside",
    [
        ("/a", "/a", True), ("/a", "/a/b", True), ("/a/", "/a/b", True), ("/a", "/ab", False),
        ("/a /c", "/c/d", True), ("/a", "/", False), (None, "/anything", True),
    ],
)  # fmt: skip
def test_what_credentials_are_sent_at_once_for(client, domain, path, is_inside):
    guard = Guard(qop="auth", **({} if domain is None else {"domain": domain}))
    statuses, asked = get(client, guard, "/a", path)
    assert statuses == [200, 200]
    assert len(asked) == (3 if is_inside else 4)


@pytest.mark.parametrize("kind", ["file", "json", "form"])
def test_bodies_of_auth_int(client, kind, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content of a file")
    guard = Guard(qop="auth-int")
    with open(path, "rb") as file:
        body = {"file": {"data": file}, "json": {"json": [1]}, "form": {"data": {"a": "b"}}}[kind]
        statuses, asked = get(client, guard, method="POST", **body)
    assert statuses == [200]
    assert asked[0].body == asked[1].body != b""


@pytest.mark.parametrize("login, password", [(None, "p"), ("u", None), ("a:b", "p")])
def test_credentials_that_are_none(client, login, password):
    with pytest.raises(ValueError):
        client.http.DigestAuthMiddleware(login, password)


HEADERS = [
    'realm="a b", nonce=c, qop="auth,auth-int"',
    'Digest realm="a", nonce="b", Basic realm="other"',
    'realm = "a" , nonce="with, comma"',
    'a="esc \\" \\\\ aped",b=2',
    "Digest, a=1",
    "a=1 b=2, c",
    "",
    "only words here",
    'a="open, b=2',
    "a==b, c=d=e",
    '"quoted"=1, a=2',
]


@pytest.mark.parametrize("header", HEADERS)
def test_parameters_are_read_as_aiohttp_reads_them(header):
    assert digest.parse_header_pairs(header) == theirs.parse_header_pairs(header)


@pytest.mark.once
@pytest.mark.parametrize(
    "piece", [" ", ",", "a", "a ", "a=", 'a="', "\\", '"', ", ", "a=b ", "\t,"]
)
def test_reading_parameters_takes_linear_time(piece):
    """Else this would take hours."""
    assert len(digest.parse_header_pairs(piece * (200_000 // len(piece)))) <= 1
