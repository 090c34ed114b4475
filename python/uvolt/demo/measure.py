"""Runs the jobs in turn on both loops, and keeps what the clock said."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import uvolt

from .jobs import Job
from .progress import Progress
from .trace import Trace

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvolt": uvolt.new_event_loop,
}


@dataclass
class Result:
    """All runs of a job. Times are in seconds, by (way, loop)."""

    job: Job
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    cpu: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    traces: dict[str, Trace] = field(default_factory=dict)  # by way: the last run on uvolt

    def median(self, way: str, loop: str) -> float:
        return statistics.median(self.seconds[way, loop])

    def best(self, way: str, loop: str) -> float:
        return min(self.seconds[way, loop])

    def cpu_each(self, way: str, loop: str) -> float:
        """Processor time of this process per operation, the median."""
        return statistics.median(self.cpu[way, loop]) / self.job.operations


def measure(jobs: list[Job], url: str, progress: Progress) -> list[Result]:
    """All jobs, each in both ways on both loops, as often as it asks for; the loops take turns."""
    results = []
    for job in jobs:
        progress.tell(f"measuring {job.title}")
        result = Result(job)
        for number in range(job.rounds):
            loops = list(LOOPS) if number % 2 == 0 else list(reversed(LOOPS))
            for way in job.ways:
                for loop in loops:
                    _run(result, way, loop, url)
                    progress.step()
        results.append(result)
    return results


def runs(jobs: list[Job]) -> int:
    """How many steps measure() makes."""
    return sum(job.rounds * len(job.ways) for job in jobs) * len(LOOPS)


def _run(result: Result, way: str, loop: str, url: str) -> None:
    cpu = 0.0

    async def main() -> Trace:
        nonlocal cpu
        start = time.process_time()
        trace = await result.job.run(url, way == "gather")
        cpu = time.process_time() - start
        return trace

    gc.collect()
    trace = uvolt.run(main(), loop_factory=LOOPS[loop])
    result.seconds.setdefault((way, loop), []).append(trace.seconds)
    result.cpu.setdefault((way, loop), []).append(cpu)
    if loop == "uvolt":
        result.traces[way] = trace
