"""Damaged answers of proxies, damaged environments: fuzz/proxies.py without libFuzzer. `make fuzz`
runs more, and tests/proto/test_fuzz_targets.py its corpus."""

from __future__ import annotations

import importlib.util
import os
import random
from pathlib import Path
from typing import Any

import pytest
import support

ROUNDS = int(os.environ.get("UVOLT_FUZZ_ROUNDS", "12"))
SEEDS = sorted((Path(__file__).parents[2] / "fuzz" / "corpus" / "proxies").iterdir())
SPICE = [b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"\t", b"\xe9", b"HTTP/1.1 ", b"\r\n\r\n"]
SPICE += [b"x" * 200, b"\5\0", b"\3", b"/", b"*", b"[", b"%", b"machine ", b"@", b'"']

pytestmark = pytest.mark.skipif("uvolt" not in support.LOOPS, reason="of uvolt alone")

spec = importlib.util.spec_from_file_location(
    "fuzz_proxies", Path(__file__).parents[2] / "fuzz" / "proxies.py"
)
assert spec is not None and spec.loader is not None
fuzz = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fuzz)


def spoil(rng: random.Random, data: bytes) -> bytes:
    """Some bytes changed, left out, put in; a byte or a word once or very often."""
    out = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        at = rng.randrange(1, len(out) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            out[at:at] = rng.choice(SPICE)
        elif kind == 1:
            del out[at : at + rng.randrange(1, 6)]
        elif kind == 2 and at < len(out):
            out[at] = rng.randrange(256)
        else:
            out[at:at] = rng.choice(SPICE) * rng.choice((1, 90, 1700))
    return bytes(out)


def case(seed: Path) -> Any:
    """A netrc is the standard library's to read, a character at a time onto the end of a token: in
    quadratic time under a sanitizer, whose realloc() always copies."""
    marks = [pytest.mark.once] if seed.name.startswith("netrc") else []
    return pytest.param(seed, id=seed.name, marks=marks)


@pytest.mark.parametrize("seed", [case(seed) for seed in SEEDS])
def test_damaged_answers(seed):
    rng = random.Random(seed.name)
    data = seed.read_bytes()
    for _ in range(10 * ROUNDS):
        fuzz.one_input(spoil(rng, data))
