"""The registry of cases: every figure the project talks about has a name here.

A name is stable: other issues, the documentation and saved results refer to it.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from functools import partial

C_PEER = "C"
WRK = "wrk"  # the load generator, one thread: the least that an HTTP client in C costs
LOOP_PEERS = ("uvolt", "uvloop", "rloop", "asyncio")
METRICS = {
    "cpu": "CPU time of the process under test, an operation",
    "wall": "time",
    "bytes": "memory of the process under test",
}
STREAM_PEERS = ("uvolt", "uvloop", "rloop", "asyncio", "aiofastnet", "aiofastnet+uvloop")


@dataclass(frozen=True)
class Case:
    name: str  # "group/name"
    kind: str  # how it is driven: a key of drivers.DRIVERS
    unit: str  # what one operation is
    about: str  # what it stands for
    peers: tuple[str, ...] = LOOP_PEERS
    limit: str = ""  # the peer that is the limit, a program in C
    metric: str = "cpu"  # what is measured, lower is better: a key of METRICS
    function: str = ""  # micro, scale, start: the function of the program under test
    mode: str = ""  # servers: which server it is
    size: int = 0  # bytes of a message or body
    connections: int = 0
    idle: int = 0  # echo: further connections that stay silent
    counted: tuple[int, int] | None = None  # operations of the two runs for callgrind and strace
    batch: int = 1000  # micro: the first guess of operations in a round
    quick: bool = False  # part of --quick
    series: str = ""  # scale: the line of the chart it is a point of
    x: int = 0  # scale: where on that line

    @property
    def file_name(self) -> str:
        return self.name.replace("/", ".")

    @property
    def group(self) -> str:
        return self.name.split("/")[0]


CASES: dict[str, Case] = {}


def add(case: Case) -> None:
    if case.name in CASES:
        raise ValueError(f"two cases named {case.name}")
    CASES[case.name] = case


def select(patterns: list[str]) -> list[Case]:
    """The cases of names, groups or shell patterns, in the order of the registry."""
    chosen: set[str] = set()
    for pattern in patterns:
        found = [n for n in CASES if n.split("/")[0] == pattern] or fnmatch.filter(CASES, pattern)
        if not found:
            raise KeyError(f"no case matches {pattern!r}; `python -m benchmarks --list` shows them")
        chosen.update(found)
    return [case for name, case in CASES.items() if name in chosen]


def _micro() -> None:
    def micro(
        function: str,
        unit: str,
        about: str,
        *,
        counted: tuple[int, int] | None = (2000, 12000),
        batch: int = 1000,
        quick: bool = False,
        peers: tuple[str, ...] = LOOP_PEERS,
    ) -> None:
        add(
            Case(
                f"micro/{function}",
                "micro",
                unit,
                about,
                peers=peers,
                function=function,
                counted=counted,
                batch=batch,
                quick=quick,
            )
        )

    quick = partial(micro, quick=True)
    few = (100, 600)
    child = (10, 60)  # the system calls of the child are counted with its parent's
    quick("call_soon_chain", "callback", "the cost of one iteration with one callback")
    quick("call_soon_fanout", "callback", "many callbacks ready at once")
    quick(
        "call_later_cancel",
        "timer",
        "a timeout that does not happen: most of them",
        counted=(5000, 25000),
    )
    # How many timers are due at a time depends on the clock, so the count is not a constant.
    quick("call_later_fire", "timer", "timers that fire", counted=None)
    quick("call_soon_threadsafe", "callback", "call_soon_threadsafe while the loop is running")
    micro(
        "call_soon_threadsafe_thread",
        "wake-up",
        "another thread wakes the loop and waits for it",
        counted=None,
        batch=200,
    )
    quick("sleep0", "sleep", "a task that gives way")
    micro("future_wake", "wake-up", "a task waiting on a future")
    quick("gather", "task", "tasks made, run and gathered, 100 at a time")
    quick("wait_for", "call", "a timeout around an awaitable")
    micro("queue", "item", "a producer and a consumer")
    micro("semaphore", "turn", "a limit on concurrency")
    micro("run_in_executor", "call", "a function in a thread", counted=(200, 1200), batch=200)
    micro("getaddrinfo_literal", "call", "the look-up of a numeric address", counted=(200, 1200))
    quick("sock_pingpong", "round trip", "loop.sock_recv and sock_sendall", batch=300)
    quick("udp_pingpong", "round trip", "datagram endpoints", batch=300)
    micro("udp_peers", "round trip", "a datagram endpoint with 32 peers", batch=300)
    micro("udp_burst", "datagram", "datagrams of 1200 bytes, 50 at a time")
    micro("connect_close", "connection", "connect, read a line, close", counted=few, batch=50)
    micro("subprocess", "process", "a child started and waited for", counted=child, batch=10)
    # Under valgrind, which knows no pidfd, uvolt waits for this one in a thread.
    micro("subprocess_pipe", "process", "a child with pipes, communicate", counted=child, batch=10)
    micro("add_reader_churn", "turn", "add_reader, its callback, remove_reader", batch=500)


def _size_name(size: int) -> str:
    return f"{size // 1024}k"


def _echo() -> None:
    names = {
        "protocol": "asyncio.Protocol",
        "buffered": "asyncio.BufferedProtocol",
        "streams": "asyncio.start_server and readline",
        "sock": "loop.sock_recv and sock_sendall",
    }
    counts = {1024: (2000, 12000), 10240: (1000, 6000), 102400: (300, 1500)}
    for mode, about in names.items():
        for size in (1024, 10240, 102400):
            for connections in (1, 10, 500):
                add(
                    Case(
                        f"echo/{mode}_{_size_name(size)}_{connections}c",
                        "echo",
                        "round trip",
                        f"echo of {size // 1024} KiB by {about}, {connections} connections",
                        peers=STREAM_PEERS,
                        limit=C_PEER,
                        mode=mode,
                        size=size,
                        connections=connections,
                        # One takes what ten take; with 500 the accepts swamp the rest.
                        counted=counts[size] if connections == 10 else None,
                        quick=size == 1024 and connections == 10,
                    )
                )


def _http() -> None:
    abouts = {
        "plain": "a protocol that answers each request with one write",
        "split": "a protocol that writes head and body apart",
        "tls": "a protocol that answers with one write, over TLS",
        "aiohttp": "aiohttp.web, one handler",
        "uvicorn": "an ASGI application under uvicorn",
    }
    sizes = {"plain": (13, 100_000), "tls": (13, 100_000)}
    for mode, about in abouts.items():
        for size in sizes.get(mode, (13,)):
            text = "13b" if size == 13 else "100kb"
            add(
                Case(
                    f"http/{mode}_{text}",
                    "http",
                    "request",
                    f"{about}; a body of {size} bytes, 10 connections",
                    peers=STREAM_PEERS,
                    limit=C_PEER if mode in ("plain", "split", "tls") else "",
                    mode=mode,
                    size=size,
                    connections=10,
                    counted=(1000, 5000) if size == 13 else (300, 1500),
                    quick=size == 13 and mode in ("plain", "tls", "aiohttp"),
                )
            )


CLIENT_PEERS = (
    *("uvolt", "aiohttp", "aiohttp+uvloop", "aiohttp+uvolt", "httpx", "pyreqwest", "wreq"),
    *("primp", "curl_cffi", "niquests", "aiosonic", "aiosonic+uvloop", "pycurl", WRK),
)


# Operations of the two runs under callgrind and strace.
COUNTED_CLIENT = {
    **dict.fromkeys(("json", "get", "post", "gzip", "https"), (200, 1200)),
    "big": (20, 60),
    "session": (20, 70),
}


def _client() -> None:
    for function, concurrency, about, batch in (
        ("json", 1, "GET of a small JSON, one at a time", 100),
        ("json", 64, "GET of a small JSON, 64 at a time", 640),
        ("json", 500, "GET of a small JSON, 500 at a time", 1000),
        ("get", 16, "GET of a small JSON, read and not parsed, 16 at a time", 640),
        ("gzip", 64, "GET of a JSON of 20 KiB, gzip on the wire, 64 at a time", 256),
        ("big", 8, "GET of 1 MiB, 8 at a time", 16),
        ("post", 64, "POST of a JSON of 1 KiB, 64 at a time", 640),
        ("https", 32, "GET of 13 bytes over TLS, kept-alive connections, 32 at a time", 320),
        ("session", 1, "a session, a GET of a small JSON, the session closed", 20),
    ):
        limited = function in ("json", "get", "session")
        add(
            Case(
                f"client/{function}_{concurrency}",
                "client",
                "request",
                about,
                peers=CLIENT_PEERS,
                limit=C_PEER if limited else "",
                function=function,
                connections=concurrency,
                counted=COUNTED_CLIENT.get(function) if concurrency < 500 else None,
                batch=batch,
                quick=(function, concurrency) == ("json", 64),
            )
        )


def _scale() -> None:
    for function, unit, about in (
        ("timers", "timer", "call_later and cancel beside so many pending timers"),
        ("callbacks", "callback", "callbacks of which so many are ready at a time"),
        ("tasks", "resumption", "so many tasks that give way in turns"),
    ):
        for size in (10, 100, 1000, 10_000, 100_000):
            add(
                Case(
                    f"scale/{function}_{size}",
                    "scale",
                    unit,
                    f"{about}: {size:,}",
                    function=function,
                    size=size,
                    batch=max(1000, 5 * size),
                    series=f"scale/{function}",
                    x=size,
                )
            )
    for idle in (10, 100, 1000, 10_000):
        add(
            Case(
                f"scale/idle_{idle}",
                "echo",
                "round trip",
                f"echo of 1 KiB on 10 connections beside {idle:,} silent ones",
                peers=STREAM_PEERS,
                limit=C_PEER,
                mode="protocol",
                size=1024,
                connections=10,
                idle=idle,
                series="scale/idle",
                x=idle,
            )
        )
    for count in (1000, 5000):
        add(
            Case(
                f"scale/memory_{count}",
                "memory",
                "connection",
                f"memory of the server for each of {count:,} silent connections (Protocol)",
                peers=STREAM_PEERS,
                limit=C_PEER,
                metric="bytes",
                mode="protocol",
                size=1024,
                connections=count,
                series="scale/memory",
                x=count,
            )
        )


def _start() -> None:
    for function, about in (
        ("import", "a fresh interpreter imports the loop's package (and asyncio)"),
        ("loop", "import, a first loop, an empty coroutine"),
        ("request", "import, a first loop, a stream server, a connection, a line and its answer"),
    ):
        add(
            Case(
                f"start/{function}",
                "start",
                "process",
                about,
                peers=STREAM_PEERS,
                metric="wall",
                function=function,
                quick=function == "request",
            )
        )


_micro()
_echo()
_http()
_client()
_scale()
_start()
