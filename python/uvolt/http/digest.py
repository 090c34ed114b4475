"""HTTP's Digest authentication (RFC 7616, and RFC 2617 without qop) as a middleware.

Source: https://docs.aiohttp.org/en/stable/client_reference.html#aiohttp.DigestAuthMiddleware
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypedDict

from yarl import URL

from .exceptions import ClientError
from .middlewares import ClientHandlerType
from .request import ClientRequest
from .response import ClientResponse

__all__ = ("DigestAuthMiddleware",)


class DigestAuthChallenge(TypedDict, total=False):
    """What is used of a challenge's parameters."""

    realm: str
    nonce: str
    qop: str
    algorithm: str
    opaque: str
    domain: str
    stale: str


CHALLENGE_FIELDS: Final = ("realm", "nonce", "qop", "algorithm", "opaque", "domain", "stale")
QUOTED_AUTH_FIELDS: Final = frozenset(
    {"username", "realm", "nonce", "uri", "response", "opaque", "cnonce"}
)


def _functions() -> dict[str, Callable[[bytes], Any]]:
    functions: dict[str, Callable[[bytes], Any]] = {}
    for names, function in (
        (("MD5",), hashlib.md5),
        (("SHA",), hashlib.sha1),
        (("SHA256", "SHA-256"), hashlib.sha256),
        (("SHA512", "SHA-512"), hashlib.sha512),
    ):
        for name in names:
            functions[name] = functions[name + "-SESS"] = function
    return functions


DigestFunctions: Final = _functions()
"""The hash of each algorithm, by its name in capitals."""
SUPPORTED_ALGORITHMS: Final = tuple(sorted(DigestFunctions))


# ---- the header ---------------------------------------------------------------------------------

# A name, and its value if there is one: quoted or a word. One separator stands before a name, which
# is matched whole or not at all: so the time is linear in what a server sends.
_parameter = re.compile(
    r"""(?:^|[\s,])
        (\w+)(?!\w)
        (?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+)))?""",
    re.VERBOSE,
)


def escape_quotes(value: str) -> str:
    """As the inside of a quoted string."""
    return value.replace("\\", "\\\\").replace('"', '\\"')


def unescape_quotes(value: str) -> str:
    """What the inside of a quoted string stands for."""
    return value.replace('\\"', '"').replace("\\\\", "\\")


def parse_header_pairs(header: str) -> dict[str, str]:
    """The parameters of the first challenge of a WWW-Authenticate field.

    A word without a value is the name of a scheme: skipped at the beginning; behind parameters it
    begins the next challenge (RFC 9110, 11.6.1), and is the end.
    """
    pairs: dict[str, str] = {}
    for match in _parameter.finditer(header):
        name, quoted, word = match.groups()
        if quoted is not None:
            pairs[name] = unescape_quotes(quoted)
        elif word is not None:
            pairs[name] = word
        elif pairs:
            break
    return pairs


# ---- the middleware -----------------------------------------------------------------------------


class DigestAuthMiddleware:
    """Answers Digest challenges: a 401 is followed by the same request with credentials.

    login, password: the credentials, sent to the origin of the first request only, and to what that
    origin's challenge names as its `domain`. preemptive: requests after the first challenge carry
    credentials from the start, which saves their 401.
    Algorithms: MD5, SHA, SHA-256 and SHA-512, each also as -sess; qop auth and auth-int, which is
    preferred (its body is read as bytes, whole), or none.

    Raises ValueError for a login or password of None and a login with a colon; a request raises
    ClientError for a challenge that cannot be answered.
    """

    def __init__(self, login: str, password: str, preemptive: bool = True) -> None:
        if login is None:
            raise ValueError("None is not allowed as login value")
        if password is None:
            raise ValueError("None is not allowed as password value")
        if ":" in login:
            raise ValueError('A ":" is not allowed in username (RFC 1945#section-11.1)')
        self._login_str: Final = login
        self._login_bytes: Final = login.encode("utf-8")
        self._password_bytes: Final = password.encode("utf-8")
        self._last_nonce_bytes = b""
        self._nonce_count = 0
        self._challenge: DigestAuthChallenge = {}
        self._preemptive = preemptive
        self._protection_space: list[str] = []
        self._origin: URL | None = None

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """The middleware."""
        origin = request.url.origin()
        if self._origin is None:
            self._origin = origin
        elif origin != self._origin and not self._in_protection_space(request.url):
            return await handler(request)
        if self._preemptive and self._challenge and self._in_protection_space(request.url):
            await self._authorize(request)
        response = await handler(request)
        if self._authenticate(response):
            await self._authorize(request)
            response = await handler(request)
            self._authenticate(response)  # for the next request
        return response

    async def _authorize(self, request: ClientRequest) -> None:
        request.headers["Authorization"] = await self._encode(
            request.method, request.url, request.body
        )

    def _in_protection_space(self, url: URL) -> bool:
        """Whether a URI of the space is the URL, or a folder above it (RFC 7616, 3.3)."""
        text = f"{url.origin()}{url.raw_path_qs}"  # "http://a" has a path, too
        for space in self._protection_space:
            rest = text[len(space) :]
            if text.startswith(space) and (not rest or space[-1] == "/" or rest[0] == "/"):
                return True
        return False

    def _authenticate(self, response: ClientResponse) -> bool:
        """Keep the challenge of a 401. Whether there is one."""
        if response.status != 401:
            return False
        name = "www-authenticate"  # so that a response of a test may have a dict
        fields = [value for key, value in response.headers.items() if key.lower() == name]
        pairs = choose_challenge(fields)
        if not pairs:
            return False
        challenge: Any = {name: pairs[name] for name in CHALLENGE_FIELDS if name in pairs}
        self._challenge = challenge
        origin = response.url.origin()
        if self._origin is not None and origin != self._origin:
            return True  # it was named by the first one, and names nobody itself
        spaces: list[str] = []
        for uri in challenge.get("domain", "").replace('"', "").split():
            with contextlib.suppress(ValueError):  # no URL: there is nothing that it could mean
                spaces.append(str(origin.join(URL(uri)) if uri.startswith("/") else URL(uri)))
        self._protection_space = spaces or [str(origin)]
        return bool(challenge)

    async def _encode(self, method: str, url: URL, body: Any) -> str:
        """The value of Authorization for the challenge. ClientError if that cannot be answered."""
        challenge = self._challenge
        for name in ("realm", "nonce"):
            if name not in challenge:
                raise ClientError(f"Malformed Digest auth challenge: Missing '{name}' parameter")
        realm, nonce = challenge["realm"], challenge["nonce"]
        if not nonce:
            raise ClientError("Security issue: Digest auth challenge contains empty 'nonce' value")
        qop = choose_qop(challenge.get("qop", ""))
        algorithm = challenge.get("algorithm", "MD5")
        function = DigestFunctions.get(algorithm.upper())
        if function is None:
            raise ClientError(
                f"Digest auth error: Unsupported hash algorithm: {algorithm.upper()}. "
                f"Supported algorithms: {', '.join(SUPPORTED_ALGORITHMS)}"
            )

        def digest(*parts: bytes) -> bytes:
            hashed: str = function(b":".join(parts)).hexdigest()
            return hashed.encode()

        # What goes over the wire is what the server computes with: the encoded form.
        target = URL(url).raw_path_qs
        nonce_bytes = nonce.encode("utf-8")
        self._nonce_count = self._nonce_count + 1 if nonce_bytes == self._last_nonce_bytes else 1
        self._last_nonce_bytes = nonce_bytes
        count = f"{self._nonce_count:08x}"
        cnonce = os.urandom(8).hex()

        secret = digest(self._login_bytes, realm.encode("utf-8"), self._password_bytes)
        if algorithm.upper().endswith("-SESS"):
            secret = digest(secret, nonce_bytes, cnonce.encode())
        asked = [method.upper().encode(), target.encode()]
        if qop == "auth-int":
            entity = body if isinstance(body, bytes) else await body.as_bytes()
            asked.append(digest(entity))
        proof = [nonce_bytes]
        if qop:
            proof += [count.encode(), cnonce.encode(), qop.encode()]
        answer = digest(secret, *proof, digest(*asked))

        fields = {
            "username": escape_quotes(self._login_str),
            "realm": escape_quotes(realm),
            "nonce": escape_quotes(nonce),
            "uri": target,
            "response": answer.decode(),
            "algorithm": algorithm,
        }
        if challenge.get("opaque"):
            fields["opaque"] = escape_quotes(challenge["opaque"])
        if qop:
            fields |= {"qop": qop, "nc": count, "cnonce": cnonce}
        return "Digest " + ", ".join(
            f'{name}="{value}"' if name in QUOTED_AUTH_FIELDS else f"{name}={value}"
            for name, value in fields.items()
        )


def choose_challenge(fields: Sequence[str]) -> dict[str, str]:
    """The parameters of the Digest challenge among the WWW-Authenticate fields: of the first whose
    algorithm is supported (RFC 7616, 3.7), else of the first; empty if there is none."""
    found: dict[str, str] = {}
    for field in fields:
        scheme, _, parameters = field.partition(" ")
        if scheme.lower() == "digest":
            pairs = parse_header_pairs(parameters)
            if pairs and pairs.get("algorithm", "MD5").upper() in DigestFunctions:
                return pairs
            found = found or pairs
    return found


def choose_qop(offered: str) -> str:
    """ "auth-int" before "auth"; "" if the challenge has no qop. ClientError if it has others."""
    if not offered:
        return ""
    values = {value.strip() for value in offered.split(",")}
    for qop in ("auth-int", "auth"):
        if qop in values:
            return qop
    raise ClientError(
        f"Digest auth error: Unsupported Quality of Protection (qop) value(s): {offered}"
    )
