"""Child processes of a benchmark: pinned, in a group of their own, never outliving the run."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Any

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class ChildError(RuntimeError):
    """A child process did not start, died, or answered with something else than was agreed."""


def cpus() -> list[int]:
    """The cores this process may use."""
    return sorted(os.sched_getaffinity(0))


def server_cpu() -> int:
    return cpus()[-1]


def client_cpu() -> int:
    return cpus()[0]


def _before_exec(cpu: int | None) -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})


def start(
    argv: Sequence[str],
    *,
    cpu: int | None = None,
    env: dict[str, str] | None = None,
    stdin: Any = subprocess.DEVNULL,
    stderr: Any = subprocess.PIPE,
) -> subprocess.Popen[str]:
    """Starts a child in a session of its own, pinned to one core; it is killed when we die."""
    return subprocess.Popen(
        list(argv),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "0", **(env or {})},
        start_new_session=True,
        preexec_fn=lambda: _before_exec(cpu),
    )


def kill(child: subprocess.Popen[str]) -> None:
    """Ends a child and whatever it started."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()


def failure(child: subprocess.Popen[str], what: str) -> ChildError:
    """The reason a child gives: the last line it wrote to standard error."""
    kill_text = ""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()
    if child.stderr is not None and not child.stderr.closed:
        lines = [line for line in child.stderr.read().splitlines() if line.strip()]
        kill_text = lines[-1].strip() if lines else ""
    return ChildError(kill_text or f"{what} (exit status {child.returncode})")


def read_json(child: subprocess.Popen[str], timeout: float) -> dict[str, Any]:
    """The next line of a child's output, as JSON; ChildError with its reason if none comes."""
    assert child.stdout is not None
    ready, _, _ = select.select([child.stdout], [], [], timeout)
    line = child.stdout.readline() if ready else ""
    if not line:
        raise failure(child, "ended without an answer" if ready else f"no answer in {timeout:g} s")
    try:
        answer = json.loads(line)
    except ValueError:
        raise failure(child, f"unexpected output {line!r}") from None
    if not isinstance(answer, dict):
        raise failure(child, f"unexpected output {line!r}")
    if "error" in answer:
        raise ChildError(str(answer["error"]))
    return answer


def run_json(
    argv: Sequence[str], *, cpu: int | None = None, timeout: float = 120.0
) -> dict[str, Any]:
    """Runs a child to its end and returns the JSON object it printed."""
    child = start(argv, cpu=cpu)
    try:
        return read_json(child, timeout)
    finally:
        kill(child)


def cpu_seconds(pid: int) -> float:
    """CPU time of another process, all threads, user and system, from its POSIX CPU clock."""
    return time.clock_gettime((~pid << 3) | 2)


def resident_bytes(pid: int) -> int:
    """Private and shared memory of a process, as the kernel accounts it (Pss)."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    raise ChildError(f"no Pss of process {pid}")


def terminate(pid: int, signum: int) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        pass
