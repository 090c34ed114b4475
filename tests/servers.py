"""Real servers for the tests of programs: each a child process of the tests on a free port, with a
directory of its own that is removed at the end. tools/system.sh installs them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import support
import trustme

START_SECONDS = 40 * support.SLOW
STOP_SECONDS = 20 * support.SLOW


def run(loop: asyncio.AbstractEventLoop, main: Callable[[], Any], seconds: float = 40) -> None:
    """Run main() on the loop, at most so many seconds, and let its last callbacks happen."""

    async def body() -> None:
        await asyncio.wait_for(main(), seconds * support.SLOW)
        await support.settle(20)

    loop.run_until_complete(body())
    loop.run_until_complete(loop.shutdown_default_executor())


# -- certificates -----------------------------------------------------------------------------


@dataclasses.dataclass
class Certificates:
    """A CA and a server's certificate for localhost and 127.0.0.1, as files."""

    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def make(cls, directory: Path) -> Certificates:
        ca = trustme.CA()
        issued = ca.issue_cert("localhost", support.LOCALHOST)
        files = cls(directory / "ca.pem", directory / "server.pem", directory / "server.key")
        ca.cert_pem.write_to_path(files.ca)
        for blob in issued.cert_chain_pems:
            blob.write_to_path(files.certificate, append=True)
        issued.private_key_pem.write_to_path(files.key)
        files.key.chmod(0o600)
        return files

    def client(self, alpn: Sequence[str] = ()) -> ssl.SSLContext:
        """A context that trusts this CA and no other."""
        context = ssl.create_default_context(cafile=self.ca)
        if alpn:
            context.set_alpn_protocols(alpn)
        return context

    def server(self, alpn: Sequence[str] = ()) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        if alpn:
            context.set_alpn_protocols(alpn)
        return context


# -- processes --------------------------------------------------------------------------------


def program(name: str, package: str, *places: str) -> str:
    """Where a server's program is."""
    path = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", *places]))
    if path is None:
        raise RuntimeError(f"{name} is not installed: sudo apt install {package}")
    return path


@contextlib.contextmanager
def directory(user: str | None = None) -> Iterator[Path]:
    """A directory, the user's if one is named, with a path short enough for a Unix socket."""
    path = Path(tempfile.mkdtemp(prefix="uvolt-"))
    try:
        if user is not None:
            shutil.chown(path, user)
        yield path
    finally:
        shutil.rmtree(path)


def give(path: Path, user: str | None) -> None:
    """What is in a directory now becomes the user's."""
    for name in path.iterdir():
        if user is not None:
            shutil.chown(name, user)


def as_user(user: str | None) -> list[str]:
    """The words before a command's that run it as this user, and end it when the tests are gone."""
    words = [program("setpriv", "util-linux"), "--pdeathsig=INT"]
    if user is not None:
        words += [f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"]
    return words


def environment() -> dict[str, str]:
    """The environment of a server: without what is meant for the tests' own process."""
    lacking = ("LD_PRELOAD", "PYTHON", "ASAN_", "UBSAN_", "LSAN_", "PG")
    return {name: value for name, value in os.environ.items() if not name.startswith(lacking)}


@contextlib.contextmanager
def process(
    words: Sequence[str],
    log: Path,
    ready: Callable[[], bool],
    *,
    user: str | None = None,
    stop: int = signal.SIGTERM,
    env: dict[str, str] | None = None,
) -> Iterator[subprocess.Popen]:
    """A server that runs from here to the end of the block. RuntimeError with its log if it ends
    before it is ready or is not ready in time."""
    with open(log, "wb") as file:
        child = subprocess.Popen(
            [*as_user(user), *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=log.parent,
            env={**environment(), **(env or {})},
            start_new_session=True,  # Ctrl-C at the tests is not the server's to see
        )
    support.SERVERS.add(child.pid)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if child.poll() is not None or time.monotonic() > deadline:
                state = "is not ready" if child.returncode is None else f"ended {child.returncode}"
                raise RuntimeError(
                    f"{words[0]} {state}:\n{log.read_text(errors='replace')[-4000:]}"
                )
            time.sleep(0.02)
        yield child
    finally:
        child.send_signal(stop)
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise
        finally:
            support.SERVERS.remove(child.pid)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((support.LOCALHOST, port), 1):
        return True
    return False


@dataclasses.dataclass
class Server:
    """Where a server is: its port, its TLS port, its directory (of Unix sockets)."""

    port: int
    tls_port: int
    directory: Path
    certificates: Certificates
    process: subprocess.Popen


@contextlib.contextmanager
def postgres(certificates: Certificates) -> Iterator[Server]:
    """PostgreSQL, user and database "postgres", TLS on its only port, and a Unix socket."""
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to be run by root
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    find = [program(name, "postgresql", *map(str, places)) for name in ("initdb", "postgres")]
    with directory(user) as path:
        data = path / "data"
        make = [find[0], "--no-sync", "-A", "trust", "-U", "postgres", "-D", data]
        make += ["-E", "UTF8", "--locale=C"]  # whatever the environment's are
        subprocess.run(
            [*as_user(user), *make],
            cwd=path,
            env=environment(),
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=START_SECONDS,
        )
        for file in (certificates.certificate, certificates.key):
            shutil.copy(file, path)
        give(path, user)
        port = support.free_port()
        settings = {
            "port": port,
            "listen_addresses": support.LOCALHOST,
            "unix_socket_directories": path,
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": path / certificates.certificate.name,
            "ssl_key_file": path / certificates.key.name,
            "max_connections": 40,
        }
        words = [find[1], "-D", str(data), *(f"--{k}={v}" for k, v in settings.items())]

        def ready() -> bool:
            lock = data / "postmaster.pid"
            return lock.exists() and lock.read_text().rstrip().endswith("ready")

        log = path / "log"
        # SIGINT is its fast shutdown; SIGTERM would wait for the clients.
        with process(words, log, ready, user=user, stop=signal.SIGINT) as child:
            yield Server(port, port, path, certificates, child)


@contextlib.contextmanager
def redis(certificates: Certificates) -> Iterator[Server]:
    """Redis on a port, on one with TLS and on the Unix socket "redis.sock"."""
    with directory() as path:
        port, tls_port = support.free_port(), support.free_port()
        words = [
            program("redis-server", "redis-server"),
            *("--bind", support.LOCALHOST, "--port", str(port), "--tls-port", str(tls_port)),
            *("--unixsocket", str(path / "redis.sock"), "--save", "", "--dir", str(path)),
            *("--tls-cert-file", str(certificates.certificate)),
            *("--tls-key-file", str(certificates.key)),
            *("--tls-ca-cert-file", str(certificates.ca), "--tls-auth-clients", "no"),
        ]

        def ready() -> bool:
            return answers(port) and answers(tls_port) and (path / "redis.sock").exists()

        with process(words, path / "log", ready) as child:
            yield Server(port, tls_port, path, certificates, child)


@contextlib.contextmanager
def mosquitto(certificates: Certificates) -> Iterator[Server]:
    """An MQTT broker that lets anyone in, on a port and on one with TLS."""
    with directory() as path:
        port, tls_port = support.free_port(), support.free_port()
        (path / "conf").write_text(
            f"allow_anonymous true\nuser root\nlistener {port} {support.LOCALHOST}\n"
            f"listener {tls_port} {support.LOCALHOST}\n"
            f"certfile {certificates.certificate}\nkeyfile {certificates.key}\n"
        )
        words = [program("mosquitto", "mosquitto"), "-c", str(path / "conf")]

        def ready() -> bool:
            return answers(port) and answers(tls_port)

        with process(words, path / "log", ready) as child:
            yield Server(port, tls_port, path, certificates, child)


@contextlib.contextmanager
def rabbitmq(certificates: Certificates) -> Iterator[Server]:
    """RabbitMQ, user and password "guest", on a port and on one with TLS; with an epmd, Erlang's
    registry of nodes, of its own, which would stay behind otherwise."""
    place = "/usr/lib/rabbitmq/bin"
    server = program("rabbitmq-server", "rabbitmq-server")
    if (Path(place) / "rabbitmq-server").exists():  # Debian's wrapper changes the user
        server = f"{place}/rabbitmq-server"
    with directory() as path:
        port, tls_port, epmd_port = (support.free_port() for _ in range(3))
        (path / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = {support.LOCALHOST}:{port}\n"
            f"listeners.ssl.1 = {support.LOCALHOST}:{tls_port}\n"
            f"ssl_options.cacertfile = {certificates.ca}\n"
            f"ssl_options.certfile = {certificates.certificate}\n"
            f"ssl_options.keyfile = {certificates.key}\n"
            "ssl_options.verify = verify_none\n"
        )
        (path / "plugins").write_text("[].\n")
        env = {
            "HOME": str(path),  # where Erlang keeps its cookie
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": support.LOCALHOST,
            "RABBITMQ_NODENAME": "uvolt@localhost",
            "RABBITMQ_DIST_PORT": str(support.free_port()),
            "RABBITMQ_CONFIG_FILE": str(path / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(path / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(path / "mnesia"),
            "RABBITMQ_LOG_BASE": str(path),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ALLOW_INPUT": "1",  # the shell becomes the server: no process in between
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput +sbwt none +S 2:2",
        }
        epmd = [program("epmd", "erlang-base")]
        with process(epmd, path / "epmd.log", lambda: answers(epmd_port), env=env):
            with process(
                [server], path / "log", lambda: answers(port) and answers(tls_port), env=env
            ) as child:
                yield Server(port, tls_port, path, certificates, child)


NGINX = """
daemon off; worker_processes 1; pid {path}/pid; error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off; client_body_temp_path {path}/t1; proxy_temp_path {path}/t2;
    fastcgi_temp_path {path}/t3; uwsgi_temp_path {path}/t4; scgi_temp_path {path}/t5;
    types {{ text/plain txt; application/json json; }} default_type application/octet-stream;
    sendfile on; keepalive_requests 1000000; client_max_body_size 100m;
    gzip on; gzip_min_length 100; gzip_types application/json;
    limit_req_zone $binary_remote_addr zone=few:1m rate=1r/s;
    ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_client_certificate {ca};
    ssl_verify_client optional;
    server {{
        listen {host}:{port}; listen {host}:{tls_port} ssl; listen unix:{path}/nginx.sock;
        root {path}/files;
        location = /hello {{ return 200 "hello\\n"; }}
        location = /tls {{ return 200 "$ssl_protocol $ssl_session_reused $ssl_client_s_dn"; }}
        location = /connection {{ return 200 "$connection $connection_requests"; }}
        location = /close {{ keepalive_timeout 0; return 200 "bye\\n"; }}
        location = /moved {{ return 302 /hello; }}
        location = /empty {{ return 204; }}
        location /slow/ {{ alias {path}/files/; limit_rate 700k; }}
        location = /limited {{ limit_req zone=few nodelay; limit_req_status 429;
                               try_files /small.json =404; }}
        location /upload/ {{ dav_methods PUT DELETE; }}
    }}
}}
"""


@contextlib.contextmanager
def nginx(certificates: Certificates) -> Iterator[Server]:
    """nginx on a port, one with TLS and the Unix socket "nginx.sock": keep-alive, gzip, ranges,
    uploads, and the files of its folder "files": small.json, text.txt (1 MiB), large (64 MiB)."""
    with directory() as path:
        port, tls_port = support.free_port(), support.free_port()
        files = path / "files"
        (files / "upload").mkdir(parents=True)
        (files / "small.json").write_text('{"ok": true, "pad": "' + "x" * 200 + '"}')
        lines = "".join(f"line {n} of a file that gzip makes small\n" for n in range(30_000))
        (files / "text.txt").write_text(lines[: 1 << 20])
        (files / "large").write_bytes(os.urandom(1 << 20) * 64)
        user = "user root;" if os.geteuid() == 0 else ""
        (path / "conf").write_text(
            user
            + NGINX.format(
                path=path,
                host=support.LOCALHOST,
                port=port,
                tls_port=tls_port,
                certificate=certificates.certificate,
                key=certificates.key,
                ca=certificates.ca,
            )
        )
        words = [program("nginx", "nginx-light"), "-p", str(path), "-c", str(path / "conf")]
        with process(words, path / "log", lambda: answers(port) and answers(tls_port)) as child:
            yield Server(port, tls_port, path, certificates, child)


ASGI = """
import json

async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["path"] == "/stream":
        parts = [b"part %d;" % n for n in range(50)]
    elif scope["path"] == "/echo":
        parts = [body]
    else:
        headers = [[k.decode("latin-1"), v.decode("latin-1")] for k, v in scope["headers"]]
        asked = {"method": scope["method"], "path": scope["path"], "headers": headers,
                 "query": scope["query_string"].decode(), "body": body.decode("latin-1")}
        parts = [json.dumps(asked).encode()]
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"application/json")]})
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
"""


@contextlib.contextmanager
def uvicorn(certificates: Certificates) -> Iterator[Server]:
    """uvicorn with an application that says what it was asked, echoes and streams."""
    with directory() as path:
        port = support.free_port()
        (path / "asgi_app.py").write_text(ASGI)
        words = [sys.executable, "-m", "uvicorn", "asgi_app:application", "--host"]
        words += [support.LOCALHOST, "--port", str(port), "--log-level", "warning"]
        words += ["--timeout-keep-alive", "60", "--app-dir", str(path)]
        with process(words, path / "log", lambda: answers(port)) as child:
            yield Server(port, 0, path, certificates, child)


# -- proxies ----------------------------------------------------------------------------------


@contextlib.contextmanager
def tinyproxy(certificates: Certificates) -> Iterator[Server]:
    """tinyproxy on a port; user "user", password "word"; CONNECT to any port."""
    user = "nobody" if os.geteuid() == 0 else None
    with directory(user) as path:
        port = support.free_port()
        (path / "conf").write_text(
            f"Port {port}\nListen {support.LOCALHOST}\nTimeout 60\nMaxClients 100\n"
            f'Allow {support.LOCALHOST}\nBasicAuth user word\nViaProxyName "tinyproxy"\n'
        )
        give(path, user)
        words = [program("tinyproxy", "tinyproxy-bin"), "-d", "-c", str(path / "conf")]
        with process(words, path / "log", lambda: answers(port), user=user) as child:
            yield Server(port, 0, path, certificates, child)


@contextlib.contextmanager
def microsocks(certificates: Certificates) -> Iterator[Server]:
    """microsocks on a port; user "user", password "word"."""
    with directory() as path:
        port = support.free_port()
        words = [program("microsocks", "microsocks"), "-i", support.LOCALHOST, "-p", str(port)]
        words += ["-u", "user", "-P", "word"]
        with process(words, path / "log", lambda: answers(port)) as child:
            yield Server(port, 0, path, certificates, child)


DANTE = """
logoutput: stderr
internal: {host} port = {port}
external: lo
socksmethod: none
clientmethod: none
client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
socks block {{ from: 0.0.0.0/0 to: 127.0.0.2/32 }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
"""


@contextlib.contextmanager
def dante(certificates: Certificates) -> Iterator[Server]:
    """Dante's SOCKS server on a port, without credentials; 127.0.0.2 is against its rules."""
    with directory() as path:
        port = support.free_port()
        (path / "conf").write_text(DANTE.format(host=support.LOCALHOST, port=port))
        words = [program("danted", "dante-server"), "-f", str(path / "conf")]
        words += ["-p", str(path / "pid")]
        with process(words, path / "log", lambda: answers(port)) as child:
            yield Server(port, 0, path, certificates, child)


# -- fixtures -------------------------------------------------------------------------------------


def fixture(start: Callable[[Certificates], Any], scope: Any) -> Any:
    """A fixture of one of these servers, which runs for a "session" or for a "module" of tests."""

    @pytest.fixture(scope=scope)
    def server(certificates: Certificates) -> Iterator[Server]:
        with start(certificates) as running:
            yield running

    return server
