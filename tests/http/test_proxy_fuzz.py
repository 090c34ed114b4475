"""Damaged answers of proxies, damaged environments: fuzz/proxies.py. `make fuzz` runs more."""

from __future__ import annotations

import importlib.util
import os
import random
from pathlib import Path

import pytest
import support

ROUNDS = int(os.environ.get("UVOLT_FUZZ_ROUNDS", "12"))

pytestmark = pytest.mark.skipif("uvolt" not in support.LOOPS, reason="of uvolt alone")

spec = importlib.util.spec_from_file_location(
    "fuzz_proxies", Path(__file__).parents[2] / "fuzz" / "proxies.py"
)
assert spec is not None and spec.loader is not None
fuzz = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fuzz)


@pytest.mark.parametrize("name", fuzz.CASES)
def test_damaged_answers(name):
    count = {"connect": 60, "socks": 200, "environment": 10}[name] * ROUNDS
    words = {fuzz.CASES[name](random.Random(seed)) for seed in range(count)}
    assert len(words) > 1
