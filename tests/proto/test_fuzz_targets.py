"""The fuzz targets on their committed corpora, whole and cut short, under the sanitizers.

`make fuzz` runs them under libFuzzer; this keeps them compiling, and the corpora clean.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from proto_support import ROOT, compiler, library

FUZZ = ROOT / "fuzz"
REPLAY = ROOT / "tests" / "proto" / "replay.c"
TARGETS = sorted(path.stem for path in FUZZ.glob("*.c"))


def test_there_are_targets() -> None:
    assert {"http1_response", "http1_chunked", "http1_write", "url_split"} <= set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_corpus(target: str, tmp_path: Path) -> None:
    source = FUZZ / f"{target}.c"
    # As tools/fuzz.sh reads it: what a target needs besides csrc/proto.
    extra = re.search(r"fuzz-build: (.*[^ */\n])", source.read_text(encoding="utf-8"))
    program = tmp_path / target
    command = [*compiler("sanitized"), f"-I{FUZZ}", str(source), str(REPLAY)]
    command += [str(library("sanitized")), *(extra[1].split() if extra else ())]
    subprocess.run([*command, "-o", str(program)], check=True, cwd=ROOT)
    corpus = sorted(map(str, (FUZZ / "corpus" / target).iterdir()))
    assert corpus
    env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    done = subprocess.run([program, *corpus], capture_output=True, env=env)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
