"""The command lines of the programs under test, and of the loads that drive them."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from benchmarks import compile as compile_c
from benchmarks.process import ChildError
from benchmarks.registry import C_PEER, Case

ROOT = Path(__file__).resolve().parent
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def scratch(name: str, content: bytes) -> str:
    """A file of the build folder with that content."""
    path = compile_c.BUILD / name
    if not path.exists() or path.read_bytes() != content:
        compile_c.BUILD.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(path)


def certificate() -> str:
    """A self-signed certificate for localhost with its key, in one PEM file, made once."""
    target = compile_c.BUILD / "certificate.pem"
    if target.exists():
        return str(target)
    if shutil.which("openssl") is None:
        raise ChildError("openssl, which makes the certificate, is not installed")
    compile_c.BUILD.mkdir(parents=True, exist_ok=True)
    key, cert = target.with_suffix(".key"), target.with_suffix(".crt")
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "3650", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise ChildError(f"openssl: {made.stderr.strip().splitlines()[-1]}")
    target.write_bytes(key.read_bytes() + cert.read_bytes())
    return str(target)


def _response(size: int) -> bytes:
    from benchmarks.servers import web

    return web.head(size) + web.body(size)


def program(case: Case, peer: str, python: str = sys.executable) -> list[str]:
    """The program under test of a micro, scale or start case."""
    if case.kind == "start":
        return [python, str(ROOT / "startup.py"), case.function, "--loop", peer]
    size = ["--size", str(case.size)] if case.kind == "scale" else []
    return [python, str(ROOT / "micro.py"), case.function, *size, "--loop", peer]


def server(case: Case, peer: str, python: str = sys.executable) -> list[str]:
    """The server under test of an echo, memory or http case."""
    if case.kind in ("echo", "memory"):
        if peer == C_PEER:
            return [compile_c.program("echo_server_uv")]
        script = str(ROOT / "servers" / "echo.py")
        return [python, script, "--loop", peer, "--mode", case.mode]
    if peer == C_PEER:
        file = scratch(f"response.{case.size}", _response(case.size))
        if case.mode == "tls":
            return [compile_c.program("https_server_uv"), certificate(), f"/={file}"]
        return [compile_c.program("http_server_uv"), f"/={file}"]
    script = str(ROOT / "servers" / "web.py")
    command = [python, script, "--loop", peer, "--mode", case.mode, "--size", str(case.size)]
    return [*command, "--certificate", certificate()] if case.mode == "tls" else command


def load(case: Case) -> list[str]:
    """The load in C for a server, without port and duration."""
    program = "tls_load" if case.mode == "tls" else "echo_load"
    command = [compile_c.program(program), "-c", str(case.connections)]
    if case.kind == "client":
        request = REQUEST.replace(b"GET / ", b"GET /json ")
        churn = ["-C"] if case.function == "session" else []
        return [*command, "-B", *churn, "-q", scratch("request.json", request)]
    if case.kind == "http":
        return [*command, "-q", scratch("request", REQUEST)]
    command += ["-s", str(case.size)]
    return [*command, "-i", str(case.idle)] if case.idle else command


def client(case: Case, peer: str, url: str, python: str = sys.executable) -> list[str]:
    """The HTTP client under test."""
    script = str(ROOT / "clients.py")
    command = [python, script, case.function, "--client", peer, "--url", url]
    return [*command, "--concurrency", str(case.connections)]


def wrk(case: Case, url: str) -> list[str]:
    """wrk on one thread, without its duration."""
    if shutil.which("wrk") is None:
        raise ChildError("wrk is not installed")
    if case.function == "session":
        raise ChildError("wrk keeps its connections")
    from benchmarks import clients

    script = ""
    if case.function == "post":
        body = json.dumps(clients.PAYLOAD)
        script = (
            'wrk.method = "POST"\n'
            f"wrk.body = [[{body}]]\n"
            'wrk.headers["Content-Type"] = "application/json"\n'
        )
    elif case.function == "gzip":
        script = 'wrk.headers["Accept-Encoding"] = "gzip"\n'
    words = ["wrk", "-t", "1", "-c", str(case.connections)]
    if script:
        words += ["-s", scratch(f"wrk.{case.function}.lua", script.encode())]
    return [*words, url + clients.PATHS[case.function]]


def _json_response(value: object, encoding: str = "") -> bytes:
    content = json.dumps(value).encode()
    lines = ["HTTP/1.1 200 OK", "Content-Type: application/json; charset=utf-8", "Server: bench"]
    if encoding:
        content = gzip.compress(content, mtime=0)
        lines.append(f"Content-Encoding: {encoding}")
    lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "\r\n"]).encode() + content


def client_server(case: Case, python: str = sys.executable) -> list[str]:
    """The server that an HTTP client is measured against: in C, but for TLS."""
    if case.function == "https":
        loop = next((name for name in ("uvloop", "uvolt") if find_spec(name)), "asyncio")
        script = str(ROOT / "servers" / "web.py")
        return [python, script, "--loop", loop, "--mode", "tls", "--certificate", certificate()]
    item = {"id": 1, "name": "a customer", "tags": ["a", "b"], "total": 12.5}
    many = {"ok": True, "items": [item | {"id": i} for i in range(290)]}
    routes = {
        "json": _json_response({"ok": True, "id": 7, "name": "a customer", "total": 125000}),
        "gzip": _json_response(many, "gzip"),
        "post": _json_response({"ok": True}),
        "big": _response(1 << 20),
    }
    files = [f"/{name}={scratch(f'client.{name}', data)}" for name, data in routes.items()]
    return [compile_c.program("http_server_uv"), *files]
