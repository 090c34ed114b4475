"""When each task of a job ran: written down by the job, drawn by the chart."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """One task: its start and end in seconds after the start of the job."""

    name: str
    start: float
    end: float
    ok: bool = True


class Trace:
    """The spans of one run of a job. The clock starts when it is made."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.seconds = 0.0
        self._origin = time.perf_counter()

    def stop(self) -> None:
        """The job has ended."""
        self.seconds = time.perf_counter() - self._origin

    @contextmanager
    def task(self, name: str) -> Iterator[None]:
        """Write down the time spent inside; an exception makes it a failed one and goes on."""
        start = time.perf_counter() - self._origin
        ok = False
        try:
            yield
            ok = True
        finally:
            end = time.perf_counter() - self._origin
            self.spans.append(Span(name, start, end, ok))
