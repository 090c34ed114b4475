"""Each group run for real with tiny sizes: what is tested is the machinery, not the figures."""

from __future__ import annotations

import io
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import instructions, micro, registry, results, run, scale, stats

ROOT = Path(__file__).resolve().parents[2]
PEERS = ["asyncio", "uvolt"]


def tiny(name: str, peers: list[str], rounds: int = 2) -> results.CaseResult:
    return run.run_case(registry.CASES[name], peers, rounds=rounds, seconds=0.2)


@pytest.mark.parametrize(
    "name",
    [
        "micro/call_soon_chain",
        "micro/connect_close",
        "echo/protocol_1k_10c",
        "echo/buffered_100k_10c",
        "echo/streams_1k_1c",
        "echo/sock_10k_10c",
        "http/plain_13b",
        "http/split_13b",
        "http/tls_13b",
        "http/tls_100kb",
        "scale/timers_1000",
        "scale/tasks_100",
        "scale/idle_100",
        "scale/memory_1000",
        "start/request",
    ],
)
def test_group(name: str) -> None:
    case = registry.CASES[name]
    peers = [*PEERS, *([case.limit] if case.limit else [])]
    result = tiny(name, peers)
    assert {peer: kept.error for peer, kept in result.peers.items()} == dict.fromkeys(peers, "")
    for kept in result.peers.values():
        assert len(kept.values) == 2
    assert all(max(kept.values) > 0 for kept in result.peers.values())


@pytest.mark.parametrize("name", sorted(micro.CASES))
def test_every_micro_case_runs_as_a_program(name: str) -> None:
    argv = [sys.executable, str(ROOT / "benchmarks" / "micro.py"), name]
    done = subprocess.run(
        [*argv, "--loop", "asyncio", "--n", "3"], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert '"n": 3' in done.stdout


def test_http_clients() -> None:
    names = ["aiohttp", "aiohttp+uvolt", "C"]
    result = run.run_case(registry.CASES["client/json_64"], names, rounds=1, seconds=0.01)
    assert {peer: kept.error for peer, kept in result.peers.items()} == dict.fromkeys(names, "")


@pytest.mark.skipif(not shutil.which("wrk"), reason="without it the tables have a dash there")
@pytest.mark.parametrize("name", ["client/get_16", "client/post_64", "client/https_32"])
def test_wrk_beside_the_clients(name: str) -> None:
    result = run.run_case(registry.CASES[name], ["wrk"], rounds=1, seconds=0.01)
    assert result.peers["wrk"].error == "" and result.peers["wrk"].values[0] > 0


def test_every_registered_function_exists() -> None:
    for case in registry.CASES.values():
        assert case.kind in run.drivers.DRIVERS
        if case.kind == "micro":
            assert case.function in micro.CASES
        if case.kind == "scale":
            assert case.function in scale.CASES
    assert {c.function for c in registry.CASES.values() if c.kind == "micro"} == set(micro.CASES)


def test_a_peer_that_cannot_is_a_dash_with_its_error() -> None:
    case = registry.CASES["micro/call_soon_chain"]
    result = run.run_case(
        case, ["asyncio"], rounds=1, seconds=0.01, python=str(ROOT / "no-such-python")
    )
    assert "No such file" in result.peers["asyncio"].error
    assert result.peers["asyncio"].values == []


def test_progress_without_a_terminal_is_a_line_a_case() -> None:
    stream = io.StringIO()
    progress = run.Progress(4, stream)
    for label in ("one", "one", "two"):
        progress.show(label, 1.0)
    assert stream.getvalue() == "[ 25%] one\n[ 75%] two\n"


def test_command_line_writes_table_json_and_charts(tmp_path: Path) -> None:
    target = tmp_path / "run.json"
    argv = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "micro/sleep0"]
    argv += ["--peers", "asyncio,uvolt", "--rounds", "2", "--seconds", "0.01"]
    first = subprocess.run(
        [*argv, "--json", str(target)], capture_output=True, text=True, timeout=60
    )
    assert first.returncode == 0, first.stderr
    assert "micro/sleep0" in first.stdout
    assert (tmp_path / "run" / "micro.svg").exists()
    assert set(results.load(target).cases[0].measured()) == {"asyncio", "uvolt"}
    second = subprocess.run(
        [*argv, "--json", str(tmp_path / "b.json"), "--against", str(target)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 0, second.stderr
    assert "moved beyond the noise since" in second.stdout


def test_unknown_case_is_said_in_one_line() -> None:
    argv = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "nothing/at_all"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    message = "no case matches 'nothing/at_all'; `python -m benchmarks --list` shows them"
    assert done.stderr == f"run.py: {message}\n"
    argv = [sys.executable, str(ROOT / "benchmarks" / "instructions.py"), "nothing/at_all"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f"instructions.py: error: {message}\n")


def descendants(pid: int) -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            found |= {int(entry.name), *descendants(int(entry.name))}
    return found


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_behind(signum: signal.Signals, tmp_path: Path) -> None:
    argv = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "echo/protocol_1k_10c"]
    argv += ["--peers", "asyncio,uvolt,C", "--rounds", "500", "--json", str(tmp_path / "r.json")]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        started: set[int] = set()
        deadline = time.monotonic() + 30
        while len(started) < 4 and time.monotonic() < deadline:  # three servers and a load
            started = descendants(child.pid)
            time.sleep(0.02)
        assert len(started) >= 4
        child.send_signal(signum)
        _, errors = child.communicate(timeout=20)
    finally:
        child.kill()
        child.communicate()
    if signum != signal.SIGKILL:
        assert child.returncode == 130
        assert "interrupted" in errors
        assert "Traceback" not in errors
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in started) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [pid for pid in started if alive(pid)] == []


def alive(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields[0] not in "ZX"


@pytest.mark.parametrize("tool", ["valgrind", "strace"])
def test_a_missing_tool_costs_only_its_figure(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instructions.shutil, "which", lambda name: None if name == tool else name)
    monkeypatch.setattr(instructions, "count_instructions", lambda target, profiles: 1.0)
    monkeypatch.setattr(instructions, "count_syscalls", lambda target: {"read": 1.0})
    target = instructions.Target(registry.CASES["micro/sleep0"], "asyncio")
    counted = instructions.cost(target)
    assert counted.error == f"{tool} is not installed"
    assert (counted.instructions is None) == (tool == "valgrind")
    assert (counted.syscalls is None) == (tool == "strace")


@pytest.mark.skipif(
    not (shutil.which("valgrind") and shutil.which("strace")),
    reason="the tools are needed for the counts only; what happens without them is tested above",
)
def test_counts_do_not_depend_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)  # valgrind and a sanitizer exclude each other
    case = registry.CASES["echo/protocol_1k_10c"]
    target = instructions.Target(case, registry.C_PEER)
    first, second = (instructions.cost(target) for _ in range(2))
    assert (first.error, second.error) == ("", "")
    assert first.instructions and second.instructions and first.syscalls
    assert 200 < first.instructions < 800
    assert first.instructions == pytest.approx(second.instructions, rel=0.1)
    assert 2.0 <= first.syscalls < 4.1  # a read, a write, a poll or less
    assert first.syscall_names["read"] == pytest.approx(1.0, abs=0.01)


@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which("valgrind"), reason="what happens without it is tested above")
def test_compiling_python_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the first run after sources have changed, here all of them."""
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path))
    target = instructions.Target(registry.CASES["micro/sleep0"], "asyncio")
    counted = instructions.cost(target, syscalls=False)
    assert counted.error == ""
    assert counted.instructions and 0 < counted.instructions < 100_000


def test_interleaving_covers_all_rounds() -> None:
    names = ["a", "b", "c"]
    taken = [peer for number in range(6) for peer in stats.order(names, number)]
    assert {peer: taken.count(peer) for peer in names} == dict.fromkeys(names, 6)
