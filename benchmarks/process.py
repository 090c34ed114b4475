"""Child processes of a benchmark: pinned, in a group of their own, never outliving the run."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import IO, Any

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class ChildError(RuntimeError):
    """A child process did not start, died, or answered with something else than was agreed."""


class Child(subprocess.Popen[str]):
    """A child process and the file its standard error goes to."""

    errors: IO[str]


def cpus() -> list[int]:
    """The cores this process may use."""
    return sorted(os.sched_getaffinity(0))


def server_cpu() -> int:
    return cpus()[-1]


def client_cpu() -> int:
    return cpus()[0]


_alive: set[Child] = set()


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
) -> Child:
    """Starts a child in a session of its own, pinned to one core; it is killed when we die.

    Its standard error goes to a file: a pipe that nobody reads would stop a server that logs.
    """
    errors = tempfile.TemporaryFile("w+")
    try:
        child = _popen(argv, cpu, env, stdin, errors)
    except BaseException:
        errors.close()
        raise
    child.errors = errors
    _alive.add(child)
    return child


def _popen(
    argv: Sequence[str], cpu: int | None, env: dict[str, str] | None, stdin: Any, errors: Any
) -> Child:
    inherited = {**os.environ}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)  # or start/* would compile uvolt each time
    return Child(
        list(argv),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env={**inherited, "PYTHONHASHSEED": "0", **(env or {})},
        start_new_session=True,
        preexec_fn=lambda: _before_exec(cpu),
    )


def kill_all() -> None:
    """Ends all children; whoever waits for one of them, in another thread, finds it dead."""
    for child in list(_alive):
        _kill_group(child)


def _kill_group(child: Child) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def kill(child: Child) -> None:
    """Ends a child and whatever it started."""
    _kill_group(child)
    child.wait()
    _alive.discard(child)
    for pipe in (child.stdin, child.stdout, child.errors):
        if pipe is not None:
            pipe.close()


def text(errors: IO[str]) -> str:
    errors.seek(0)
    return errors.read()


def last_line(errors: IO[str]) -> str:
    """The last line a child wrote, without the remarks of valgrind."""
    lines = text(errors).splitlines()
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("==")]
    return lines[-1] if lines else ""


def failure(child: Child, what: str) -> ChildError:
    """The reason a child gives: the last line it wrote to standard error."""
    _kill_group(child)
    child.wait()
    return ChildError(last_line(child.errors) or f"{what} (exit status {child.returncode})")


def read_json(child: Child, timeout: float) -> dict[str, Any]:
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


def run_text(argv: Sequence[str], *, cpu: int | None = None, timeout: float = 120.0) -> str:
    """Runs a child to its end and returns what it printed."""
    child = start(argv, cpu=cpu)
    try:
        out, _ = child.communicate(timeout=timeout)
        if child.returncode != 0:
            raise failure(child, f"exit status {child.returncode}")
        return str(out)
    except subprocess.TimeoutExpired:
        raise ChildError(f"not done in {timeout:g} s") from None
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


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def terminate(pid: int, signum: int) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        pass
