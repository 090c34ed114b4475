"""aiohttp's default contexts read the certificates at their first use, not at the import."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import servers
import support

BEGIN = """
import os, ssl, sys, threading, uvolt, warnings
warnings.filterwarnings("ignore", "unclosed transport")  # the server's, of a failed handshake
CERTIFICATE, KEY, CA = sys.argv[1:]
PLAIN = ssl.SSLContext
uvolt.install(aiohttp=True)

def contexts():
    import aiohttp.connector as module
    return module._SSL_CONTEXT_VERIFIED, module._SSL_CONTEXT_UNVERIFIED

def waits(context):
    return type(context) is not PLAIN

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    await writer.drain()
    writer.close()

def run(main, kind=uvolt.Loop):
    loop = kind()
    try:
        result = loop.run_until_complete(main)
        loop.run_until_complete(asyncio.sleep(0.1))  # the server sees that its client has gone
        return result
    finally:
        loop.close()

async def get(**kwargs):
    outside = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    outside.load_cert_chain(CERTIFICATE, KEY)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=outside)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(url, **kwargs) as response:
                return await response.text()
        except aiohttp.ClientConnectorCertificateError:
            return "not trusted"
        finally:
            server.close()
"""


def program(body: str, certificates: servers.Certificates, **env: str) -> str:
    files = (certificates.certificate, certificates.key, certificates.ca)
    return support.script("asyncio", BEGIN + body, args=tuple(map(str, files)), env=env)


@pytest.mark.parametrize("loop", ["uvolt.Loop", "asyncio.SelectorEventLoop"])
@pytest.mark.parametrize("trusted", [True, False])
def test_the_places_are_those_of_the_import(
    certificates: servers.Certificates, tmp_path: Path, loop: str, trusted: bool
) -> None:
    """Whichever engine connects: ours, and aiohttp's own on another loop."""
    others = servers.Certificates.make(tmp_path)
    now, later = (certificates.ca, others.ca) if trusted else (others.ca, certificates.ca)
    expected = "ok" if trusted else "not trusted"
    program(
        f"""
import aiohttp
verified, unverified = contexts()
assert waits(verified) and waits(unverified)
os.environ["SSL_CERT_FILE"] = {str(later)!r}
os.stat = None  # looking at files is for the import, not for the loop (blockbuster says so)
assert run(get(), {loop}) == {expected!r}
assert not waits(verified) and waits(unverified)
assert run(get(ssl=False), {loop}) == "ok"
assert not waits(unverified) and verified.cert_store_stats()["x509_ca"] == 1
""",
        certificates,
        SSL_CERT_FILE=str(now),
        SSL_CERT_DIR=str(tmp_path / "none"),
    )


def test_they_are_the_same_as_without(certificates: servers.Certificates) -> None:
    """Settings and certificates; a directory alone; a file that is not there."""
    program(
        """
import aiohttp
def seen(context):
    return (context.get_ca_certs(), context.cert_store_stats(), context.options,
        context.verify_mode, context.verify_flags, context.check_hostname, context.protocol,
        context.minimum_version, [each["name"] for each in context.get_ciphers()])
verified, unverified = contexts()
assert isinstance(verified, ssl.SSLContext) and repr(verified).startswith("<ssl.SSLContext object")
assert waits(verified), "neither isinstance() nor repr() uses it"
expected = ssl.create_default_context()
assert seen(verified) == seen(expected) and type(verified) is type(expected)
assert vars(verified) == {}
expected.check_hostname, expected.verify_mode = False, ssl.CERT_NONE
assert seen(unverified)[0:4] == seen(expected)[0:4]
""",
        certificates,
    )
    program(
        """
import aiohttp
verified, _ = contexts()
os.environ["SSL_CERT_FILE"] = CA
assert verified.cert_store_stats()["x509"] == 0
verified.load_verify_locations(CA)
assert run(get()) == "ok"
""",
        certificates,
        SSL_CERT_FILE="/no/such/file",
        SSL_CERT_DIR=os.devnull,
    )


def test_what_others_do_meanwhile_is_done_at_once(certificates: servers.Certificates) -> None:
    """Another thread's contexts are whole, and the ssl module is as before, also after an error."""
    program(
        """
from uvolt.swap.certificates import read_later
before = dict(vars(PLAIN))
made = []
try:
    with read_later():
        thread = threading.Thread(target=lambda: made.append(ssl.create_default_context()))
        thread.start()
        thread.join()
        made.append(ssl.create_default_context())
        raise KeyError
except KeyError:
    pass
assert dict(vars(PLAIN)) == before
made.append(ssl.create_default_context())
assert [waits(context) for context in made] == [False, True, False]
counts = []
context = made[1]
threads = [
    threading.Thread(target=lambda: counts.append(context.cert_store_stats()["x509"]))
    for _ in range(8)
]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert counts == [made[0].cert_store_stats()["x509"]] * 8, counts
""",
        certificates,
    )


def test_a_class_of_somebody_else_is_left_alone(certificates: servers.Certificates) -> None:
    """As truststore.inject_into_ssl() puts one into the ssl module."""
    program(
        """
import truststore
truststore.inject_into_ssl()
import aiohttp
assert [type(context) for context in contexts()] == [truststore.SSLContext] * 2
assert run(get()) == "ok"
""",
        certificates,
        SSL_CERT_FILE=str(certificates.ca),
    )
    program(
        """
import aiohttp, truststore
verified, _ = contexts()
truststore.inject_into_ssl()
assert waits(verified)
assert run(get()) == "ok"
assert type(verified) is PLAIN
""",
        certificates,
        SSL_CERT_FILE=str(certificates.ca),
    )


def test_one_context_for_both_engines(certificates: servers.Certificates) -> None:
    """Somebody who has put another default context into aiohttp finds it used, by ours as well."""
    program(
        """
import aiohttp.connector
aiohttp.connector._SSL_CONTEXT_VERIFIED = ssl.create_default_context(cafile=CA)
assert run(get()) == "ok"
uvolt.uninstall()
from uvolt.http import dial
assert dial.default_context(True) is not aiohttp.connector._SSL_CONTEXT_VERIFIED
""",
        certificates,
    )
