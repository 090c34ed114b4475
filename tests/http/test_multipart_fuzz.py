"""Damaged multipart bodies: fuzz/multipart.py, some of it. `make fuzz` runs more."""

from __future__ import annotations

import importlib.util
import os
import warnings
from pathlib import Path

import pytest
import support

ROUNDS = int(os.environ.get("UVOLT_FUZZ_ROUNDS", "12"))

spec = importlib.util.spec_from_file_location(
    "fuzz_multipart", Path(__file__).parents[2] / "fuzz" / "multipart.py"
)
assert spec is not None and spec.loader is not None
fuzz = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fuzz)


@pytest.mark.parametrize("seed", range(0, ROUNDS * 10, 10))
def test_damaged_bodies(uloop, seed):
    """One outcome however they come, and aiohttp's where that reads them."""

    async def main():
        words = [await fuzz.one_case(one) for one in range(seed, seed + 10)]
        await support.settle(4)
        return words

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Content-Disposition that is not valid
        assert len(uloop.run_until_complete(main())) == 10
