"""A time limit shared out among things to do of different weight."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable


class Budget:
    """`seconds` for all of `weights`; without a limit every share is infinite.

    What one thing leaves over, or takes too much, changes the shares of those after it.
    """

    def __init__(
        self,
        seconds: float | None,
        weights: Iterable[float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self.end = math.inf if seconds is None else clock() + seconds
        self.weight_left = sum(weights)

    def deadline(self, weight: float) -> float:
        """When the next thing, of this weight, should be done, by the clock."""
        now = self.clock()
        left = max(self.end - now, 0.0)
        share = weight / self.weight_left if self.weight_left > 0 else 1.0
        self.weight_left -= weight
        return now + left * share

    def spent(self) -> bool:
        return self.clock() >= self.end
