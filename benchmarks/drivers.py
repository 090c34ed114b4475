"""The drivers: how one case is run on one peer, a short round at a time.

A driver keeps its process alive between the rounds, idle, so that the rounds of all peers can be
interleaved without paying for a start each time.
"""

from __future__ import annotations

import math
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks import commands, process
from benchmarks.process import ChildError
from benchmarks.registry import C_PEER, WRK, Case

PATIENCE = 45.0  # seconds that anything may take to start or to answer: then it hangs


@dataclass(frozen=True)
class Sample:
    """What one round measured. `value` is in nanoseconds or bytes an operation; lower is better."""

    value: float
    rate: float | None = None  # operations a second, by the clock
    extra: dict[str, float] = field(default_factory=dict)


class Driver:
    def __init__(self, case: Case, peer: str, python: str = sys.executable) -> None:
        self.case = case
        self.peer = peer
        self.python = python
        self.child: process.Child | None = None

    def start(self) -> None:
        """Starts the process under test and warms it up."""

    def round(self, seconds: float) -> Sample:
        raise NotImplementedError

    def stop(self) -> None:
        if self.child is not None:
            process.kill(self.child)
            self.child = None

    def _open(self, argv: list[str], **options: Any) -> dict[str, Any]:
        self.child = process.start(argv, cpu=process.server_cpu(), **options)
        return process.read_json(self.child, PATIENCE)


class WorkerDriver(Driver):
    """micro and scale: a process that performs as many operations as it is told to."""

    calibrated = 0.0

    def start(self) -> None:
        argv = commands.program(self.case, self.peer, self.python)
        self._open(argv, stdin=subprocess.PIPE)
        self.count = self.case.batch
        self._perform()

    def _perform(self) -> dict[str, Any]:
        assert self.child is not None and self.child.stdin is not None
        try:
            self.child.stdin.write(f"{self.count}\n")
            self.child.stdin.flush()
        except BrokenPipeError:
            raise process.failure(self.child, "the process under test ended") from None
        return process.read_json(self.child, PATIENCE)

    def round(self, seconds: float) -> Sample:
        if self.calibrated != seconds:
            # By powers of two, so that peers of like speed do like work; timers wait, so by clock.
            for _ in range(12):
                took = self._perform()["wall_ns"] / 1e9
                steps = math.floor(math.log2(seconds / took)) if took < seconds else 0
                if steps <= 0:
                    break
                self.count *= 2 ** min(steps, 5)
            self.calibrated = seconds
        answer = self._perform()
        n = answer["n"]
        return Sample(answer["cpu_ns"] / n, n / (answer["wall_ns"] / 1e9))


class LoadDriver(Driver):
    """echo and http: a server under the closed-loop load in C."""

    def start(self) -> None:
        self.load = commands.load(self.case)
        ready = self._open(commands.server(self.case, self.peer, self.python))
        self.load += ["-p", str(ready["port"]), "-P", str(ready["pid"])]
        self._drive(0.1, 0.1)

    def _drive(self, seconds: float, warm_up: float) -> dict[str, Any]:
        argv = [*self.load, "-t", f"{seconds:g}", "-w", f"{warm_up:g}"]
        try:
            return process.run_json(argv, cpu=process.client_cpu(), timeout=PATIENCE)
        except ChildError:
            if self.child is not None and self.child.poll() is not None:
                raise process.failure(self.child, "the server ended") from None
            raise

    def round(self, seconds: float) -> Sample:
        answer = self._drive(seconds, max(min(0.1, seconds / 2), seconds / 3))
        n = answer["requests"]
        if not n:
            raise ChildError("no request was answered")
        extra = {key: answer[key] for key in ("p50_us", "p90_us", "p99_us")}
        return Sample(answer["server_cpu_ns"] / n, answer["rate"], extra)


class ClientDriver(WorkerDriver):
    """client: an HTTP client in a worker process, against a server in C on the other core."""

    server: process.Child | None = None

    def start(self) -> None:
        argv = commands.client_server(self.case, self.python)
        self.server = process.start(argv, cpu=process.client_cpu())
        port = process.read_json(self.server, PATIENCE)["port"]
        if self.peer == C_PEER:
            self.load = [*commands.load(self.case), "-p", str(port)]
            return
        scheme = "https" if self.case.function == "https" else "http"
        url = f"{scheme}://127.0.0.1:{port}"
        if self.peer == WRK:
            self.load = commands.wrk(self.case, url)
            return
        argv = commands.client(self.case, self.peer, url, self.python)
        self._open(argv, stdin=subprocess.PIPE)
        self.count = self.case.batch
        self._perform()

    def round(self, seconds: float) -> Sample:
        if self.peer == WRK:
            return self._wrk_round(seconds)
        if self.peer != C_PEER:
            return super().round(seconds)
        argv = [*self.load, "-t", f"{seconds:g}", "-w", f"{seconds / 2:g}"]
        answer = process.run_json(argv, cpu=process.server_cpu(), timeout=PATIENCE)
        return Sample(answer["own_cpu_ns"] / answer["requests"], answer["rate"])

    def _wrk_round(self, seconds: float) -> Sample:
        """It takes whole seconds. Its CPU time is what the children of this process add up to."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        argv = [*self.load[:1], "-d", f"{math.ceil(seconds)}s", *self.load[1:]]
        out = process.run_text(argv, cpu=process.server_cpu(), timeout=PATIENCE)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = re.search(r"(\d+) requests in ([\d.]+)s", out)
        wrong = re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", out)
        if wrong or not found or not int(found[1]):
            raise ChildError(wrong[0] if wrong else "wrk: no request was answered")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Sample(cpu * 1e9 / int(found[1]), int(found[1]) / float(found[2]))

    def stop(self) -> None:
        super().stop()
        if self.server is not None:
            process.kill(self.server)
            self.server = None


class MemoryDriver(Driver):
    """memory: a fresh server each round, what so many connections add to its memory.

    A thousand connections stand before: what a server makes once, and the slack of its allocator,
    are not counted.
    """

    BASE = 1000

    def start(self) -> None:
        self.load = commands.load(self.case)

    def round(self, seconds: float) -> Sample:
        self.stop()
        ready = self._open(commands.server(self.case, self.peer, self.python))
        pid = int(ready["pid"])
        files = process.open_files(pid)
        held = []
        try:
            sizes = []
            for count in (self.BASE, self.case.connections):
                argv = [*self.load, "-H", "-c", str(count), "-p", str(ready["port"])]
                load = process.start(argv, cpu=process.client_cpu(), stdin=subprocess.PIPE)
                held.append(load)
                process.read_json(load, PATIENCE)
                files += count
                self._settle(pid, files)
                sizes.append(process.resident_bytes(pid))
        finally:
            for load in held:
                process.kill(load)
        return Sample((sizes[1] - sizes[0]) / self.case.connections)

    def _settle(self, pid: int, files: int) -> None:
        """Waits until the server has accepted what is in its backlog, and its CPU stands still."""
        deadline = time.monotonic() + 30
        last = -1.0
        while time.monotonic() < deadline:
            now = process.cpu_seconds(pid)
            if now == last and process.open_files(pid) >= files:
                return
            last = now
            time.sleep(0.1)
        raise ChildError(f"the server accepted {process.open_files(pid)} of {files} connections")


class StartDriver(Driver):
    """start: a fresh process each round."""

    def start(self) -> None:
        self.round(0)  # fills the page cache, compiles bytecode

    def round(self, seconds: float) -> Sample:
        argv = commands.program(self.case, self.peer, self.python)
        answer = process.run_json(argv, cpu=process.server_cpu(), timeout=PATIENCE)
        return Sample(answer["ms"] * 1e6)


DRIVERS: dict[str, type[Driver]] = {
    "micro": WorkerDriver,
    "scale": WorkerDriver,
    "echo": LoadDriver,
    "http": LoadDriver,
    "client": ClientDriver,
    "memory": MemoryDriver,
    "start": StartDriver,
}


def driver(case: Case, peer: str, python: str = sys.executable) -> Driver:
    return DRIVERS[case.kind](case, peer, python)


def on_terminate() -> None:
    """SIGTERM ends a run as Ctrl-C does: through the clean-up."""

    def interrupt(signum: int, frame: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
