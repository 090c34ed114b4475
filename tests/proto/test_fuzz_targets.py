"""The fuzz targets on their committed corpora, whole and cut short, under the sanitizers.

`make fuzz` runs them under libFuzzer; this keeps them compiling, and the corpora clean.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from proto_support import ROOT, compiler, library

FUZZ = ROOT / "fuzz"
REPLAY = ROOT / "tests" / "proto" / "replay.c"
TARGETS = sorted(path.stem for path in FUZZ.glob("*.c"))
IN_PYTHON = sorted(p.stem for p in FUZZ.glob("*.py") if "\ndef one_input" in p.read_text("utf-8"))
# What tools/fuzz.sh links with an embedded Python: "@core" in its line.
EMBEDDING = {"session"}


def test_there_are_targets() -> None:
    assert {"http1_response", "http1_chunked", "http1_write", "url_split", "session"} <= {*TARGETS}
    assert {"cookies"} <= {*IN_PYTHON}
    for target in TARGETS:
        assert ("@core" in (FUZZ / f"{target}.c").read_text("utf-8")) == (target in EMBEDDING)


@pytest.mark.once
@pytest.mark.parametrize("target", sorted({*TARGETS} - EMBEDDING))
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


@pytest.mark.parametrize("target", sorted(EMBEDDING))
def test_one_that_embeds_python_compiles(target: str) -> None:
    command = [*compiler("plain"), f"-I{FUZZ}", f"-I{sysconfig.get_path('include')}"]
    subprocess.run([*command, "-fsyntax-only", str(FUZZ / f"{target}.c")], check=True, cwd=ROOT)


def test_sessions() -> None:
    """The corpus of whole sessions, with the extension that is under test."""
    corpus = sorted(map(str, (FUZZ / "corpus" / "session").iterdir()))
    assert len(corpus) > 40
    done = subprocess.run(
        [sys.executable, FUZZ / "session.py", *corpus], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("target", IN_PYTHON)
def test_corpus_of_one_in_python(target: str) -> None:
    corpus = sorted(map(str, (FUZZ / "corpus" / target).iterdir()))
    assert len(corpus) >= 10
    command = [sys.executable, FUZZ / "pyfuzz.py", "--replay", target, *corpus]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
