"""Runs the fuzz targets that are Python: `python fuzz/pyfuzz.py NAME [LIBFUZZER ARGUMENT...]`.

A target is a module fuzz/NAME.py with `one_input(data: bytes)`, which raises for a finding, and
`MODULES`, the modules whose coverage leads the way. It runs under libFuzzer by atheris.
`python fuzz/pyfuzz.py --replay NAME FILE...` runs the inputs in files, whole and cut short, without
atheris.
"""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def replay(name: str, files: list[str]) -> int:
    """Run inputs, whole and cut short at some places. Returns how many."""
    target = importlib.import_module(name)
    runs = 0
    for file in files:
        data = Path(file).read_bytes()
        for end in {len(data), *range(0, len(data), max(1, len(data) // 16))}:
            target.one_input(data[:end])
            runs += 1
    return runs


def fuzz(name: str, arguments: list[str]) -> None:
    """Run the target under libFuzzer until it ends the process."""
    import atheris

    source = (Path(__file__).parent / f"{name}.py").read_text("utf-8")
    modules = ast.literal_eval(source.partition("MODULES = ")[2].partition("]")[0] + "]")
    with atheris.instrument_imports(include=modules):
        target = importlib.import_module(name)
    atheris.Setup([name, *arguments], target.one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1] == "--replay":
        replay(sys.argv[2], sys.argv[3:])
    else:
        fuzz(sys.argv[1], sys.argv[2:])
