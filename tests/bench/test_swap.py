"""The benchmark of unmodified programs, in small: same output, and figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_same_output_and_figures(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    words = ["--rounds", "1", "--pages", "30", "--calls", "50"]
    words += ["--gathered", "20", "--json", str(figures)]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "swap.py", *words],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "behind the start" in done.stdout
    found = json.loads(figures.read_text())
    assert set(found) == {"start", "scraper, 30 pages", "API, 50 calls", "API, 50 by 20"}
    assert all(seconds > 0 for ways in found.values() for seconds in ways.values())
