"""The statistics behind every figure the benchmarks print."""

from __future__ import annotations

import math

import pytest

from benchmarks import stats


def test_quantile_interpolates() -> None:
    assert stats.quantile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.5
    assert stats.quantile([1.0, 2.0, 3.0, 4.0, 5.0], 0.25) == 2.0
    assert stats.quantile([7.0], 0.9) == 7.0
    assert stats.quantile([1.0, 3.0], 0.0) == 1.0
    assert stats.quantile([1.0, 3.0], 1.0) == 3.0


def test_quantile_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="no values"):
        stats.quantile([], 0.5)
    with pytest.raises(ValueError, match="share"):
        stats.quantile([1.0], 1.5)


def test_summary_is_not_moved_by_one_outlier() -> None:
    calm = stats.summarize([100.0, 101.0, 99.0, 100.0, 102.0])
    disturbed = stats.summarize([100.0, 101.0, 99.0, 100.0, 900.0])
    assert calm.median == disturbed.median == 100.0
    assert calm.minimum == 99.0
    assert calm.spread == pytest.approx(0.01)
    assert not disturbed.wide


def test_spread_is_wide_when_half_the_rounds_are_disturbed() -> None:
    assert stats.summarize([100.0, 180.0, 100.0, 170.0]).wide


def test_spread_of_zeros() -> None:
    assert stats.summarize([0.0, 0.0]).spread == 0.0


def test_paired_ratio_is_blind_to_what_slows_both() -> None:
    reference = [10.0, 30.0, 10.0, 50.0]  # the machine swings
    assert stats.paired_ratio([2 * value for value in reference], reference) == 2.0


def test_paired_ratio_of_uneven_rounds_takes_the_medians() -> None:
    assert stats.paired_ratio([10.0, 20.0, 30.0], [5.0, 5.0]) == 4.0
    assert math.isnan(stats.paired_ratio([1.0], [0.0, 0.0]))


def summary(*values: float) -> stats.Summary:
    return stats.summarize(values)


def test_moved_needs_median_and_minimum() -> None:
    old = summary(100.0, 101.0, 102.0)
    assert stats.moved(summary(120.0, 121.0, 122.0), old) == pytest.approx(0.198, abs=0.001)
    assert stats.moved(summary(80.0, 81.0, 82.0), old) == pytest.approx(-0.198, abs=0.001)
    assert stats.moved(summary(100.0, 121.0, 122.0), old) is None  # one good round: noise
    assert stats.moved(summary(101.0, 102.0, 103.0), old) is None  # below the floor


def test_moved_asks_more_of_noisy_runs() -> None:
    calm, noisy = summary(100.0, 100.0, 100.0), summary(110.0, 160.0, 300.0)
    assert noisy.spread > 0.5
    assert stats.moved(summary(115.0, 115.0, 115.0), calm) is not None
    assert stats.moved(summary(115.0, 115.0, 115.0), noisy) is None


def test_moved_from_nothing() -> None:
    assert stats.moved(summary(1.0), summary(0.0)) is None


def test_order_gives_every_peer_every_place() -> None:
    peers = ["a", "b", "c"]
    rounds = [stats.order(peers, number) for number in range(6)]
    assert rounds[0] == ["a", "b", "c"]
    assert rounds[1] == ["c", "b", "a"]
    for number, taken in enumerate(rounds):
        assert sorted(taken) == peers, number
    for place in range(3):
        assert {taken[place] for taken in rounds} == set(peers)
    assert stats.order([], 3) == []
