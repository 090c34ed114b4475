"""A run within a time limit: shares of the time, peers that hang, interrupted runs resumed."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import budget, counting, drivers, instructions, process, registry, results, run
from benchmarks.results import CaseResult, PeerResult

ROOT = Path(__file__).resolve().parents[2]
RUN = [sys.executable, str(ROOT / "benchmarks" / "run.py")]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_shares_follow_the_weights_and_what_was_used() -> None:
    clock = Clock()
    shared = budget.Budget(100.0, [1, 3, 1], clock)
    assert shared.deadline(1) == pytest.approx(120.0)
    clock.now += 60  # three times its share
    assert shared.deadline(3) == pytest.approx(160 + 40 * 3 / 4)
    clock.now += 10
    assert shared.deadline(1) == pytest.approx(200.0)
    assert not shared.spent()
    clock.now = 250.0
    assert shared.spent()
    assert shared.deadline(1) == 250.0


def test_without_a_limit_there_is_no_deadline() -> None:
    assert budget.Budget(None, [1.0]).deadline(1.0) == math.inf
    assert not budget.Budget(None, []).spent()


def test_a_case_without_time_has_its_least_rounds() -> None:
    case = registry.CASES["micro/sleep0"]
    done = run.run_case(case, ["asyncio"], rounds=9, seconds=0.01, deadline=time.monotonic())
    assert len(done.peers["asyncio"].values) == run.LEAST_ROUNDS


def test_a_peer_that_hangs_costs_its_figure_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "PATIENCE", 0.3)
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nsleep 600\n")
    hanging.chmod(0o755)
    begin = time.monotonic()
    for name in ("micro/sleep0", "echo/protocol_1k_10c", "start/import"):
        done = run.run_case(
            registry.CASES[name], ["asyncio"], rounds=1, seconds=0.01, python=str(hanging)
        )
        assert done.peers["asyncio"].error.startswith("no answer in 0.3 s")
    assert time.monotonic() - begin < 20
    assert not process._alive


def measured(name: str, **peers: PeerResult) -> CaseResult:
    return CaseResult(name, "turn", "", "cpu", peers=peers)


def sample_run() -> results.Run:
    made = results.Run("now", {}, {}, {})
    made.cases = [
        measured("micro/semaphore", asyncio=PeerResult([1.0])),
        measured(
            "micro/sleep0",
            asyncio=PeerResult([1.0]),
            uvolt=PeerResult([1.0], instructions=5.0, syscalls=0.0),
            rloop=PeerResult(error="cannot"),
        ),
        measured("micro/call_later_fire", asyncio=PeerResult([1.0])),  # is never counted
        measured("gone/case", asyncio=PeerResult([1.0])),
    ]
    return made


def test_what_is_counted_and_in_which_order() -> None:
    made = sample_run()
    found = [(job.case.name, job.peer) for job in counting.jobs(made)]
    assert found == [("micro/sleep0", "asyncio"), ("micro/semaphore", "asyncio")]
    assert counting.jobs(made, ["uvolt"]) == []


def test_counts_go_into_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    made = sample_run()
    seen: list[str] = []

    def cost(target: instructions.Target) -> instructions.Cost:
        seen.append(target.case.name)
        return instructions.Cost(100.0, 2.0, {"read": 2.0})

    monkeypatch.setattr(instructions, "cost", cost)
    reported: list[str] = []
    counting.count(
        counting.jobs(made),
        budget.Budget(None, []),
        done=lambda job, cost: reported.append(job.case.name),
    )
    assert sorted(seen) == sorted(reported) == ["micro/semaphore", "micro/sleep0"]
    assert made.cases[0].peers["asyncio"].instructions == 100.0
    assert made.cases[1].peers["asyncio"].syscall_names == {"read": 2.0}
    assert counting.jobs(made) == []


def test_a_count_that_fails_costs_itself_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def cost(target: instructions.Target) -> instructions.Cost:
        if target.case.name == "micro/sleep0":
            raise ZeroDivisionError("no operation")
        return instructions.Cost(100.0, 2.0)

    monkeypatch.setattr(instructions, "cost", cost)
    made = sample_run()
    seen: dict[str, str] = {}
    counting.count(
        counting.jobs(made),
        budget.Budget(None, []),
        done=lambda job, cost: seen.update({job.case.name: cost.error}),
    )
    assert seen == {"micro/sleep0": "ZeroDivisionError: no operation", "micro/semaphore": ""}


def test_a_round_that_fails_in_any_way_costs_its_peer_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def round_(self: drivers.Driver, seconds: float) -> drivers.Sample:
        if self.peer == "uvolt":
            raise ZeroDivisionError("no operation")
        return drivers.Sample(1.0)

    monkeypatch.setattr(drivers.WorkerDriver, "round", round_)
    case = registry.CASES["micro/sleep0"]
    done = run.run_case(case, ["asyncio", "uvolt"], rounds=2, seconds=0.01)
    assert done.peers["uvolt"].error == "ZeroDivisionError: no operation"
    assert done.peers["asyncio"].values == [1.0, 1.0]


def test_no_count_is_begun_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instructions, "cost", None)
    made = sample_run()
    counting.count(counting.jobs(made), budget.Budget(0.0, []))
    assert len(counting.jobs(made)) == 2


def test_an_interrupted_count_leaves_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    def cost(target: instructions.Target) -> instructions.Cost:
        if target.case.name == "micro/sleep0":
            return instructions.Cost(1.0, 1.0)
        child = process.start(["sleep", "600"])
        try:
            process.read_json(child, 600.0)
        finally:
            process.kill(child)
        raise AssertionError("it answered")

    def interrupt(job: counting.Job, cost: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(instructions, "cost", cost)
    with pytest.raises(KeyboardInterrupt):
        counting.count(
            counting.jobs(sample_run()), budget.Budget(None, []), done=interrupt, workers=2
        )
    assert not process._alive


def test_the_pairs_of_cores_are_different_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "cpus", lambda: [0, 1, 5])
    assert counting.cores() == [(5, 1), (1, 0), (0, 5)]
    assert counting.cores()[0][0] == process.server_cpu()
    monkeypatch.setattr(process, "cpus", lambda: [3])
    assert counting.cores() == [(3, 3)]


def test_a_run_is_resumed(tmp_path: Path) -> None:
    target = tmp_path / "run.json"
    common = ["--peers", "asyncio", "--rounds", "3", "--seconds", "0.01", "--minutes", "5"]
    first = subprocess.run(
        [*RUN, "micro/queue", *common, "--json", str(target)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert first.returncode == 0, first.stderr
    before = results.load(target).cases[0]
    second = subprocess.run(
        [*RUN, "micro/sleep0", "micro/queue", *common, "--resume", str(target)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 0, second.stderr
    after = results.load(target)
    assert [case.name for case in after.cases] == ["micro/sleep0", "micro/queue"]
    assert after.cases[1] == before
    assert "micro/queue: " not in second.stdout


def test_cases_of_a_run_are_measured_again() -> None:
    steady = results.PeerResult(values=[1.0, 1.0, 1.0, 1.0])
    unsteady = results.PeerResult(values=[1.0, 2.0, 4.0, 9.0])
    names = ["micro/queue", "micro/sleep0", "echo/sock_1k_1c"]

    def left(again: str) -> list[str]:
        cases = [results.CaseResult(name, "", "", "cpu", peers={"uvolt": steady}) for name in names]
        cases[1].peers["rloop"] = unsteady
        measured = results.Run("", {}, {}, {}, cases)
        run.forget(measured, again.split(",") if again else ())
        return [case.name for case in measured.cases]

    assert left("") == names
    assert left("wide") == ["micro/queue", "echo/sock_1k_1c"]
    assert left("echo,wide") == ["micro/queue"]
    assert left("micro/q*") == names[1:]
    with pytest.raises(KeyError):
        left("no/such")
    with pytest.raises(SystemExit):
        run.parse_args(["--again", "wide"])
