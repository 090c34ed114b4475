"""The registry of cases: every figure the project talks about has a name here.

A name is stable: other issues, the documentation and saved results refer to it.
"""

from __future__ import annotations

import fnmatch
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks import compile as compile_c

ROOT = Path(__file__).resolve().parent
C_PEER = "C"
LOOP_PEERS = ("uvolt", "uvloop", "rloop", "asyncio")
STREAM_PEERS = ("uvolt", "uvloop", "rloop", "asyncio", "aiofastnet", "aiofastnet+uvloop")


@dataclass(frozen=True)
class Case:
    name: str  # "group/name"
    kind: str  # how it is driven: "micro", "echo", ...
    unit: str  # what one operation is
    about: str  # what it stands for
    peers: tuple[str, ...] = LOOP_PEERS
    limit: str = ""  # the peer that is the limit, a program in C
    function: str = ""  # micro: the function of micro.py
    mode: str = ""  # servers: which server it is
    size: int = 0  # bytes of a message or body
    connections: int = 0
    counted: tuple[int, int] | None = None  # operations of the two runs for callgrind and strace
    batch: int = 1000  # micro: the first guess of operations in a round
    quick: bool = False  # part of --quick
    smoke: tuple[tuple[str, int], ...] = field(default=())

    @property
    def group(self) -> str:
        return self.name.split("/")[0]

    def server(self, peer: str, python: str = sys.executable) -> list[str]:
        """The command line of the server under test."""
        if self.kind == "echo":
            if peer == C_PEER:
                return [compile_c.program("echo_server_uv")]
            script = str(ROOT / "servers" / "echo.py")
            return [python, script, "--loop", peer, "--mode", self.mode]
        raise ValueError(f"{self.name} has no server")


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
            raise KeyError(f"no case matches {pattern!r}; --list shows them")
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
    micro("run_in_executor", "call", "a function in a thread", counted=None, batch=200)
    micro("getaddrinfo_literal", "call", "the look-up of a numeric address", counted=(200, 1200))
    quick("sock_pingpong", "round trip", "loop.sock_recv and sock_sendall", batch=300)
    quick("udp_pingpong", "round trip", "datagram endpoints", batch=300)
    micro("connect_close", "connection", "connect, read a line, close", counted=few, batch=50)
    micro("subprocess", "process", "a child started and waited for", counted=None, batch=10)
    micro(
        "subprocess_pipe", "process", "a child with pipes, communicate()", counted=None, batch=10
    )
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
                        # With 500 connections the accepts are a part of what is counted twice.
                        counted=counts[size] if connections < 500 else None,
                        quick=size == 1024 and connections == 10,
                    )
                )


_micro()
_echo()
