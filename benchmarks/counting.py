"""Counts for a whole run: instructions and system calls of its cases, the ones that matter first.

Counts do not depend on what else the machine does, so as many are taken at a time as there are
cores, each under test on a core of its own.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks import instructions, process
from benchmarks.budget import Budget
from benchmarks.registry import CASES, Case
from benchmarks.results import PeerResult, Run


@dataclass(frozen=True)
class Job:
    case: Case
    peer: str
    kept: PeerResult  # where the counts go


def jobs(run: Run, wanted: Sequence[str] | None = None) -> list[Job]:
    """What can be counted and has not been: the cases of a quick run first."""
    found = []
    for measured in run.cases:
        case = CASES.get(measured.name)
        if case is None or case.counted is None:
            continue
        for peer, kept in measured.measured().items():
            known = kept.instructions is not None or kept.syscalls is not None
            if not known and (wanted is None or peer in wanted):
                found.append(Job(case, peer, kept))
    return sorted(found, key=lambda job: not job.case.quick)


def cores() -> list[tuple[int, int]]:
    """For each worker the core of the process under test and that of its load or server."""
    able = process.cpus()
    return [(cpu, able[index - 1]) for index, cpu in reversed(list(enumerate(able)))]


def count(
    todo: Iterable[Job],
    budget: Budget,
    *,
    python: str = sys.executable,
    done: Callable[[Job, instructions.Cost], None] = lambda job, cost: None,
    workers: int | None = None,
) -> None:
    """Takes the counts until the budget is spent. `done` is called in this thread, after each."""
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    ready: queue.SimpleQueue[tuple[Job, instructions.Cost]] = queue.SimpleQueue()
    for job in todo:
        waiting.put(job)
    stop = threading.Event()

    def work(pair: tuple[int, int]) -> None:
        while not stop.is_set() and not budget.spent():
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            target = instructions.Target(job.case, job.peer, python, cores=pair)
            try:
                cost = instructions.cost(target)
            except Exception as error:  # one count less
                cost = instructions.Cost(error=f"{type(error).__name__}: {error}")
            ready.put((job, cost))

    threads = [threading.Thread(target=work, args=(pair,)) for pair in cores()[:workers]]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) or not ready.empty():
            try:
                job, cost = ready.get(timeout=0.2)
            except queue.Empty:
                continue
            job.kept.instructions, job.kept.syscalls = cost.instructions, cost.syscalls
            job.kept.syscall_names = cost.syscall_names
            done(job, cost)
    finally:
        stop.set()
        while any(thread.is_alive() for thread in threads):
            process.kill_all()
            for thread in threads:
                thread.join(0.05)
