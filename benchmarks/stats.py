"""The statistics of a run: medians with their spread, paired ratios, and what moved since another.

Machines here are shared and swing from one second to the next, so no mean is used anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDE = 0.25  # a spread from here on is too wide to tell anything
NOISE_FLOOR = 0.05  # a move below this is never called one


@dataclass(frozen=True)
class Summary:
    minimum: float
    median: float
    spread: float  # the middle half of the values, as a share of the median
    rounds: int

    @property
    def wide(self) -> bool:
        return self.spread >= WIDE


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie, interpolated between neighbours."""
    if not values:
        raise ValueError("no values")
    if not 0 <= share <= 1:
        raise ValueError("share must be between 0 and 1")
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    low = math.floor(position)
    high = math.ceil(position)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def median(values: Sequence[float]) -> float:
    return quantile(values, 0.5)


def summarize(values: Sequence[float]) -> Summary:
    middle = median(values)
    width = quantile(values, 0.75) - quantile(values, 0.25)
    return Summary(min(values), middle, width / middle if middle else 0.0, len(values))


def paired_ratio(values: Sequence[float], reference: Sequence[float]) -> float:
    """The median ratio of two peers round by round: what slows both in a round falls out.

    Rounds of different number cannot be paired; then it is the ratio of the medians.
    """
    if len(values) == len(reference) and all(reference):
        return median([a / b for a, b in zip(values, reference, strict=True)])
    below = median(reference)
    return median(values) / below if below else math.nan


def moved(new: Summary, old: Summary) -> float | None:
    """The change of the median since another run, as a share, or None if it is within the noise.

    Minimum and median must both have moved, the same way, and further than half of both spreads.
    """
    if not old.median or not old.minimum:
        return None
    change = new.median / old.median - 1
    change_of_minimum = new.minimum / old.minimum - 1
    bar = max(NOISE_FLOOR, (new.spread + old.spread) / 2)
    if abs(change) <= bar or abs(change_of_minimum) <= NOISE_FLOOR:
        return None
    return change if (change > 0) == (change_of_minimum > 0) else None


def order(peers: Sequence[str], round_number: int) -> list[str]:
    """The order of the peers in a round: there and back, and rotated so that each comes first."""
    if not peers:
        return []
    shift = (round_number // 2) % len(peers)
    turned = [*peers[shift:], *peers[:shift]]
    return turned if round_number % 2 == 0 else turned[::-1]
