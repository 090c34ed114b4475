"""Figures that noise does not touch: user-space instructions and system calls of one operation.

    python benchmarks/instructions.py [CASE...] [--peers uvolt,uvloop,...] [--json FILE]

The process under test runs twice, for a short and for a long run; the difference of the two counts
by the difference of the operations is the cost of one operation, start-up and end taken out.
Instructions are counted by valgrind's callgrind, system calls by strace -c -f.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import commands, process, registry, results  # noqa: E402
from benchmarks import compile as compile_c  # noqa: E402

DEFAULT_CASES = [
    "echo/protocol_1k_10c",
    "echo/streams_1k_10c",
    "micro/call_soon_chain",
    "micro/call_later_cancel",
]
TIMEOUT = 120.0  # seconds for one run under a tool


@dataclass
class Cost:
    """What one operation costs a peer; None where it could not be had, with the reason."""

    instructions: float | None = None
    syscalls: float | None = None
    syscall_names: dict[str, float] = field(default_factory=dict)
    error: str = ""


def callgrind_command(profile: str = "/dev/null") -> list[str]:
    return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}"]


def parse_callgrind(stderr: str) -> int:
    """The number of instructions in what callgrind wrote to standard error."""
    found = re.search(r"Collected\s*:\s*(\d+)", stderr)
    if not found:
        lines = [line for line in stderr.splitlines() if line.strip()]
        raise process.ChildError(lines[-1] if lines else "callgrind wrote nothing")
    return int(found.group(1))


def parse_strace(summary: str) -> dict[str, int]:
    """The calls by name in the table that strace -c writes."""
    calls: dict[str, int] = {}
    for line in summary.splitlines():
        columns = line.split()
        if len(columns) < 5 or columns[-1] == "total" or not re.fullmatch(r"[\d.]+", columns[0]):
            continue
        calls[columns[-1]] = calls.get(columns[-1], 0) + int(columns[3])
    return calls


def _run_server(
    argv: Sequence[str], drive: Sequence[str], operations: int, cores: tuple[int, int]
) -> str:
    """Starts a server (under a tool), drives it with a load, ends it; its standard error."""
    server = process.start(argv, cpu=cores[0])
    try:
        ready = process.read_json(server, 60.0)
        load = [*drive, "-p", str(ready["port"])]
        # The first connections of a server cost more than all later ones: until one has been
        # closed, malloc maps and unmaps memory for each of asyncio's reads of 256 KiB.
        for count in (100, operations):
            argv = [*load, "-m", str(count)]
            process.run_json(argv, cpu=cores[1], timeout=TIMEOUT)
        process.terminate(int(ready["pid"]), signal.SIGTERM)
        server.wait(30)
        return process.text(server.errors)
    finally:
        process.kill(server)


def _run_program(argv: Sequence[str], cpu: int) -> str:
    """Runs a program (under a tool) to its end; its standard error."""
    child = process.start(argv, cpu=cpu)
    try:
        status = child.wait(TIMEOUT)
        if status != 0:
            raise process.ChildError(process.last_line(child.errors) or f"exit status {status}")
        return process.text(child.errors)
    except subprocess.TimeoutExpired:
        raise process.ChildError(f"not done in {TIMEOUT:g} s") from None
    finally:
        process.kill(child)


class Target:
    """How one case runs a fixed number of operations on one peer.

    `cores`: of the process under test, and of the load or server it talks to.
    """

    def __init__(
        self,
        case: registry.Case,
        peer: str,
        python: str = sys.executable,
        *,
        cores: tuple[int, int] | None = None,
    ) -> None:
        self.case = case
        self.peer = peer
        self.python = python
        self.cores = cores or (process.server_cpu(), process.client_cpu())

    def run(self, wrap: Sequence[str], operations: int) -> str:
        case = self.case
        if case.kind == "micro":
            argv = commands.program(case, self.peer, self.python)
            return _run_program([*wrap, *argv, "--n", str(operations)], self.cores[0])
        if case.kind in ("echo", "http"):
            server = [*wrap, *commands.server(case, self.peer, self.python)]
            return _run_server(server, commands.load(case), operations, self.cores)
        if case.kind == "client":
            return self._run_client(wrap, operations)
        raise process.ChildError("no fixed number of operations in this case")

    def _run_client(self, wrap: Sequence[str], operations: int) -> str:
        case = self.case
        server = process.start(commands.client_server(case, self.python), cpu=self.cores[1])
        try:
            port = process.read_json(server, 60.0)["port"]
            if self.peer == registry.C_PEER:
                argv = [*commands.load(case), "-p", str(port), "-m", str(operations)]
                return _run_program([*wrap, *argv], self.cores[0])
            if self.peer == registry.WRK:
                raise process.ChildError("wrk does no fixed number of requests")
            scheme = "https" if case.function == "https" else "http"
            argv = commands.client(case, self.peer, f"{scheme}://127.0.0.1:{port}", self.python)
            return _run_program([*wrap, *argv, "--n", str(operations)], self.cores[0])
        finally:
            process.kill(server)


def warm_up(target: Target) -> None:
    """One run that is not counted. Python compiles what has changed since the last time: the short
    run alone would pay for that, and an operation would seem to cost less than nothing."""
    target.run([], target.case.counted[0])


def count_instructions(target: Target, profiles: Path | None = None) -> float:
    short, long = target.case.counted
    counts = []
    for n in (short, long):
        profile = "/dev/null"
        if profiles is not None and n == long:
            profile = str(profiles / f"{target.case.file_name}.{target.peer}.callgrind")
        counts.append(parse_callgrind(target.run(callgrind_command(profile), n)))
    return (counts[1] - counts[0]) / (long - short)


def count_syscalls(target: Target) -> dict[str, float]:
    short, long = target.case.counted
    counts: list[dict[str, int]] = []
    for n in (short, long):
        with tempfile.NamedTemporaryFile("r", prefix="strace") as summary:
            target.run(["strace", "-f", "-c", "-o", summary.name], n)
            counts.append(parse_strace(summary.read()))
    return {
        name: (counts[1].get(name, 0) - counts[0].get(name, 0)) / (long - short)
        for name in sorted(set(counts[0]) | set(counts[1]))
    }


def need(tool: str) -> None:
    if not shutil.which(tool):
        raise process.ChildError(f"{tool} is not installed")


def cost(
    target: Target,
    *,
    instructions: bool = True,
    syscalls: bool = True,
    profiles: Path | None = None,
) -> Cost:
    """Both counts of one case on one peer. What is missing is said in `error`, never raised."""
    result = Cost()
    failures = (process.ChildError, compile_c.CompileError, subprocess.TimeoutExpired)
    errors = []
    try:
        warm_up(target)
    except failures as error:
        return Cost(error=str(error))
    if instructions:
        try:
            need("valgrind")
            result.instructions = count_instructions(target, profiles)
        except failures as error:
            errors.append(str(error))
    if syscalls:
        try:
            need("strace")
            names = count_syscalls(target)
            result.syscalls = sum(names.values())
            result.syscall_names = {k: round(v, 4) for k, v in names.items() if abs(v) >= 0.005}
        except failures as error:
            errors.append(str(error))
    result.error = "; ".join(dict.fromkeys(errors))
    return result


def describe(result: Cost) -> str:
    if result.error and result.instructions is None and result.syscalls is None:
        return f"-  ({result.error})"
    instructions = "-" if result.instructions is None else f"{result.instructions:,.0f}"
    names = ", ".join(f"{name} {count:.2f}" for name, count in result.syscall_names.items())
    syscalls = "-" if result.syscalls is None else f"{result.syscalls:.2f}"
    note = f"  ({result.error})" if result.error else ""
    return f"{instructions:>12}  {syscalls:>8}  {names}{note}"


def fill(args: argparse.Namespace, names: set[str]) -> int:
    """Adds counts to a saved run, for its cases of these names and the peers that could do them."""
    run = results.load(args.into)
    wanted = args.peers.split(",") if args.peers else None
    for measured in run.cases:
        case = registry.CASES.get(measured.name)
        if case is None or case.counted is None or case.name not in names:
            continue
        for peer, kept in measured.measured().items():
            if wanted is not None and peer not in wanted:
                continue
            counted = cost(Target(case, peer, args.python))
            kept.instructions, kept.syscalls = counted.instructions, counted.syscalls
            kept.syscall_names = counted.syscall_names
            print(f"{case.name}  {peer:18}{describe(counted)}", flush=True)
            results.save(run, args.into)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="names or patterns (echo/*)")
    parser.add_argument("--peers", help="comma-separated; C is the server in plain C")
    parser.add_argument("--python", default=sys.executable, help="the interpreter under test")
    parser.add_argument("--no-syscalls", action="store_true")
    parser.add_argument("--no-instructions", action="store_true")
    parser.add_argument(
        "--profile", type=Path, metavar="DIR", help="keep callgrind's profiles of the long runs"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument(
        "--into", type=Path, metavar="FILE", help="add the counts to the results of a run"
    )
    args = parser.parse_args(argv)
    try:
        cases = registry.select(args.cases or (["*"] if args.into else DEFAULT_CASES))
    except KeyError as error:
        parser.error(error.args[0])
    if args.into:
        return fill(args, {case.name for case in cases})
    if args.profile:
        args.profile.mkdir(parents=True, exist_ok=True)
    loops = [registry.C_PEER, "uvolt", "rloop", "uvloop", "asyncio"]
    clients = [registry.C_PEER, "uvolt", "aiohttp+uvloop", "aiohttp", "pyreqwest", "wreq"]
    out: dict[str, dict[str, Any]] = {}
    for case in cases:
        if not case.counted:
            print(f"{case.name}: not counted, it has no fixed number of operations")
            continue
        print(f"{case.name}  (one {case.unit})", flush=True)
        print(f"  {'':18}{'instructions':>12}  {'syscalls':>8}", flush=True)
        default = clients if case.kind == "client" else loops
        for peer in args.peers.split(",") if args.peers else default:
            if peer == registry.C_PEER and (case.kind == "micro" or not case.limit):
                continue
            result = cost(
                Target(case, peer, args.python),
                instructions=not args.no_instructions,
                syscalls=not args.no_syscalls,
                profiles=args.profile,
            )
            print(f"  {peer:18}{describe(result)}", flush=True)
            out.setdefault(case.name, {})[peer] = vars(result)
    if args.json:
        args.json.write_text(json.dumps(out, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
