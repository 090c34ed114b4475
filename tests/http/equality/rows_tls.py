"""Rows of TLS, and of proxies. The recorder is the proxy; behind CONNECT it is the origin, too."""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl as ssl_module
from typing import Any

from http_support import response
from recorder import Do
from table import OK, Row, Side

PLAIN = "http://origin.test/path?a=b#c"
SECURE = "https://localhost:1/path"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def via(**options: Any) -> Any:
    return lambda s: {"proxy": s.url, **options}


@contextlib.contextmanager
def environment(**names: str):
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# ---- plain requests ------------------------------------------------------------------------------

FORWARDED: dict[str, Any] = {
    "proxy": via(),
    "proxy_auth": lambda s: {"proxy": s.url, "proxy_auth": s.basic_auth("u", "p")},
    "user of the URL": lambda s: {"proxy": s.url.replace("//", "//u:p%20w@")},
    "headers": via(headers={"X": "y"}),
    "auth": lambda s: {"proxy": s.url, "auth": s.basic_auth("a", "b")},
    "cookies": via(cookies={"a": "b"}),
    "proxy_headers": via(proxy_headers={"X-Proxy": "1"}),
    "a path": lambda s: {"proxy": s.url + "/some/path"},
    "POST": via(data=b"body"),
    "json": via(json={"a": 1}),
    "params": via(params={"q": "r s"}),
}
PLAIN_ROWS = [
    Row(
        f"proxied: {name}",
        "POST" if name in ("POST", "json") else "GET",
        path=lambda s: PLAIN,
        request=request,
    )
    for name, request in FORWARDED.items()
] + [
    Row("proxied: of the session", path=lambda s: PLAIN, session=lambda s: {"proxy": s.url}),
    Row(
        "proxied: of the session with proxy_auth",
        path=lambda s: PLAIN,
        session=lambda s: {"proxy": s.url, "proxy_auth": s.basic_auth("u", "p")},
    ),
    Row("proxied: a port", path=lambda s: "http://origin.test:8080/", request=via()),
    Row("proxied: an address", path=lambda s: "http://192.0.2.1/", request=via()),
    Row("proxied: IPv6", path=lambda s: "http://[2001:db8::1]/", request=via()),
    Row("proxied: a user", path=lambda s: "http://u:p@origin.test/", request=via()),
    Row("proxied: quoting", path=lambda s: "http://origin.test/a b/ü?c=d e", request=via()),
    Row("proxied: 407", path=lambda s: PLAIN, request=via(), answers=[response(b"", "407 Auth")]),
    Row("proxied: closed", "POST", path=lambda s: PLAIN, request=via(), answers=[[Do.CLOSE]]),
    Row(
        "proxied: redirect",
        path=lambda s: PLAIN,
        request=via(),
        answers=[response(b"", "302 M", Location="http://other.test/"), OK],
    ),
    Row("proxied: nobody listens", path=lambda s: PLAIN, request={"proxy": "http://127.0.0.1:9/"}),
    Row(
        "proxied: no such host", path=lambda s: PLAIN, request={"proxy": "http://no-such.invalid/"}
    ),
    Row("proxied: ftp", path=lambda s: PLAIN, request={"proxy": "ftp://127.0.0.1/"}),
    Row("proxied: auth of another type", path=lambda s: PLAIN, request=via(proxy_auth=("u", "p"))),
]

# ---- tunnels -------------------------------------------------------------------------------------

TUNNELS: dict[str, Any] = {
    "CONNECT": via(),
    "proxy_auth": lambda s: {"proxy": s.url, "proxy_auth": s.basic_auth("u", "p")},
    "user of the URL": lambda s: {"proxy": s.url.replace("//", "//u:p@")},
    "proxy_headers": via(proxy_headers={"X-Proxy": "1", "User-Agent": "me"}),
    "headers": via(headers={"X": "y"}),
    "auth": lambda s: {"proxy": s.url, "auth": s.basic_auth("a", "b")},
    "POST": via(data=b"body"),
}


def trusting(request: Any) -> Any:
    return lambda s: {**request(s), "ssl": s.certificates.client()}


TUNNEL_ROWS = [
    Row(
        f"tunnel: {name}",
        "POST" if name == "POST" else "GET",
        path=lambda s: SECURE,
        request=trusting(request),
        answers=[[ESTABLISHED, Do.TLS], OK],
    )
    for name, request in TUNNELS.items()
]
REFUSALS = {
    "403": response(b"no", "403 Forbidden"),
    "407": response(b"", "407 Auth", Proxy_Authenticate="Basic"),
    "502": response(b"", "502 Bad"),
}
TUNNEL_ROWS += [
    Row(
        f"tunnel refused: {name}",
        path=lambda s: SECURE,
        request=trusting(via()),
        answers=[[data, Do.CLOSE]],
    )
    for name, data in REFUSALS.items()
]
TUNNEL_ROWS += [
    Row(
        "tunnel: of the session",
        path=lambda s: SECURE,
        session=lambda s: {"proxy": s.url},
        request=lambda s: {"ssl": s.certificates.client()},
        answers=[[ESTABLISHED, Do.TLS], OK],
    ),
    Row(
        "tunnel: a certificate that is not known",
        path=lambda s: SECURE,
        request=lambda s: {"proxy": s.url},
        answers=[[ESTABLISHED, Do.TLS], OK],
    ),
]

# ---- the environment -----------------------------------------------------------------------------


def env(**names: Any) -> Any:
    def session(side: Side) -> dict[str, Any]:
        made = {name: value.replace("PROXY", side.url) for name, value in names.items()}
        side.stack.enter_context(environment(**made))
        return {"trust_env": True}

    return session


ENV_ROWS = [
    Row(f"environment: {name}", path=lambda s, p=path: p, session=session)
    for name, path, session in (
        ("http_proxy", PLAIN, env(http_proxy="PROXY")),
        ("http_proxy without a scheme", PLAIN, env(http_proxy="PROXY")),
        ("no_proxy", "http://127.0.0.1:9/", env(http_proxy="PROXY", no_proxy="127.0.0.1")),
        ("no_proxy, a domain", PLAIN, env(http_proxy="PROXY", no_proxy="other.test")),
        ("https_proxy for http", "http://127.0.0.1:9/", env(https_proxy="PROXY")),
    )
] + [
    Row(
        "environment: a proxy that is given",
        path=lambda s: PLAIN,
        session=env(http_proxy="http://127.0.0.1:9/"),
        request=via(),
    ),
    Row(
        "environment: not trusted",
        session=lambda s: {"trust_env": not env(http_proxy="http://127.0.0.1:9/")(s)},
    ),
]

# ---- TLS -----------------------------------------------------------------------------------------


def digest_of(side: Side) -> bytes:
    pem = side.certificates.certificate.read_text().split("-----END")[0]
    der = ssl_module.PEM_cert_to_DER_cert(pem + "-----END CERTIFICATE-----\n")
    return hashlib.sha256(der).digest()


def trusted(**options: Any) -> Any:
    return lambda s: {"ssl": s.certificates.client(), **options}


def deprecated(name: str, value: Any) -> Any:
    return lambda s: {name: value(s) if callable(value) else value}


TLS: dict[str, Any] = {
    "GET": ("GET", trusted()),
    "POST": ("POST", trusted(data=b"body")),
    "HEAD": ("HEAD", trusted()),
    "not trusted": ("GET", lambda s: {}),
    "ssl=True": ("GET", lambda s: {"ssl": True}),
    "ssl=False": ("GET", lambda s: {"ssl": False}),
    "server_hostname": ("GET", trusted(server_hostname="localhost")),
    "server_hostname of another": ("GET", trusted(server_hostname="other.test")),
    "fingerprint": ("GET", lambda s: {"ssl": s.http.Fingerprint(digest_of(s))}),
    "fingerprint of another": ("GET", lambda s: {"ssl": s.http.Fingerprint(b"x" * 32)}),
    "fingerprint, md5": ("GET", lambda s: {"ssl": s.http.Fingerprint(b"x" * 16)}),
    "ssl_context": ("GET", deprecated("ssl_context", lambda s: s.certificates.client())),
    "verify_ssl": ("GET", deprecated("verify_ssl", False)),
    "fingerprint, deprecated": ("GET", deprecated("fingerprint", digest_of)),
}
TLS_ROWS = [
    Row(
        f"tls: {name}",
        method,
        request=request,
        answers=[response() if method == "HEAD" else OK],
        tls=True,
    )
    for name, (method, request) in TLS.items()
] + [
    Row("tls: http on its port", path=lambda s: s.url.replace("https", "http") + "/", tls=True),
    Row(
        "tls: https on a port of http",
        path=lambda s: s.url.replace("http", "https") + "/",
        answers=[[Do.UNASKED, response(b"", "400 Bad Request"), Do.CLOSE]],
    ),
    Row(
        "tls: of the connector",
        session=lambda s: {"connector": s.http.TCPConnector(ssl=s.certificates.client())},
        tls=True,
    ),
    Row(
        "tls: connector that does not verify",
        session=lambda s: {"connector": s.http.TCPConnector(ssl=False)},
        tls=True,
    ),
    Row("tls: disconnected", "POST", request=trusted(), answers=[[Do.CLOSE]], tls=True),
    Row(
        "tls: short",
        request=trusted(),
        answers=[[response(b"0123456789")[:-4], Do.CLOSE]],
        tls=True,
    ),
]

ROWS = [*PLAIN_ROWS, *TUNNEL_ROWS, *ENV_ROWS, *TLS_ROWS]
