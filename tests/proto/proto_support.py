"""csrc/proto/ compiled on the spot with harness.c, and a way to give it cases."""

from __future__ import annotations

import functools
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "csrc"
HARNESS = Path(__file__).with_name("harness.c")
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes", "-Werror"]
FLAVOURS = {
    "plain": ["-O2"],
    "scalar": ["-O2", "-DUVOLT_NO_SIMD"],
    "sanitized": ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
}
LIMITS = (8190, 8190, 128)
STRICT, CUT, TO_HEAD, NO_EOF, FRONT, TEXT, TO_CONNECT, NO_MEMORY = (1 << i for i in range(8))


_folders: list[Path] = []


def compiler(flavour: str) -> list[str]:
    command = [os.environ.get("CC", "gcc"), "-std=c11", "-D_GNU_SOURCE", f"-I{CSRC}", *WARNINGS]
    return command + FLAVOURS[flavour]


@functools.cache
def library(flavour: str) -> Path:
    """csrc/proto as an archive."""
    folder = Path(tempfile.mkdtemp(prefix="uvolt-proto-"))
    _folders.append(folder)
    sources = [str(path) for path in sorted((CSRC / "proto").glob("*.c"))]
    subprocess.run([*compiler(flavour), "-c", *sources], check=True, cwd=folder)
    objects = sorted(map(str, folder.glob("*.o")))
    subprocess.run(["ar", "crs", "libproto.a", *objects], check=True, cwd=folder)
    return folder / "libproto.a"


@functools.cache
def harness(flavour: str) -> Path:
    """The compiled harness. It includes http1_lines.c, which is not taken from the archive then."""
    archive = library(flavour)
    program = archive.with_name("harness")
    command = [*compiler(flavour), str(HARNESS), str(archive), "-Wl,--wrap=malloc,--wrap=realloc"]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program


def remove_programs() -> None:
    for folder in _folders:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Case:
    op: str
    data: bytes
    flags: int = 0
    numbers: tuple[int, int, int] = LIMITS


def run(cases: Sequence[Case], flavour: str = "plain") -> list[str]:
    """What the harness has to say about each case."""
    stdin = b"".join(
        struct.pack("=cBIIII", c.op.encode(), c.flags, *c.numbers, len(c.data)) + c.data
        for c in cases
    )
    env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    done = subprocess.run([harness(flavour)], input=stdin, capture_output=True, env=env)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    answers, at = [], 0
    while at < len(done.stdout):
        (n,) = struct.unpack_from("=I", done.stdout, at)
        answers.append(done.stdout[at + 4 : at + 4 + n].decode("ascii"))
        at += 4 + n
    assert len(answers) == len(cases)
    return answers


@dataclass
class Message:
    version: str
    status: int
    reason: bytes
    facts: list[str]
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    framing: int = -1
    end: str = ""  # done, eof, short, broken, open; empty when no body was begun

    @property
    def length(self) -> int:
        return int(next(f for f in self.facts if f.startswith("cl=")).removeprefix("cl="))


@dataclass
class Outcome:
    messages: list[Message]
    error: str = ""  # without kind and code
    kind: str = ""
    code: int = 0
    text: str = ""
    where: str = ""  # head or body
    short: bool = False  # the peer closed within a head
    rest: int = 0

    @property
    def message(self) -> Message:
        assert len(self.messages) == 1 and not self.error, self
        return self.messages[0]


def parse_outcome(answer: str) -> Outcome:
    assert "CUT" not in answer, answer
    out = Outcome([])
    for line in answer.splitlines():
        word, _, rest = line.partition(" ")
        if " error " in line and word in ("head", "body"):
            out.where = word
            _, code, rest = rest.split(" ", 2)
            out.code = int(code)
            out.kind, _, out.error = rest.partition(": ")
        elif line == "head short":
            out.short = True
        elif word == "head":
            version, status, reason, *facts = rest.split(" ")
            out.messages.append(Message(version, int(status), bytes.fromhex(reason), facts))
        elif word == "field":
            name, value = rest.split(" ")
            out.messages[-1].fields.append((bytes.fromhex(name), bytes.fromhex(value)))
        elif word == "body":
            framing, data, end = rest.split(" ")
            message = out.messages[-1]
            message.framing, message.end = int(framing), end
            message.chunks = [bytes.fromhex(c) for c in data.split("|")]
            message.body = b"".join(message.chunks)
        elif word == "text":
            out.text = bytes.fromhex(rest).decode()
        elif word == "rest":
            out.rest = int(rest)
        else:
            raise AssertionError(line)
    return out


def responses(
    inputs: Iterable[bytes],
    flags: int = CUT,
    limits: tuple[int, int, int] = LIMITS,
    flavour: str = "plain",
) -> list[Outcome]:
    cases = [Case("r", data, flags, limits) for data in inputs]
    return [parse_outcome(answer) for answer in run(cases, flavour)]


def response(
    data: bytes, flags: int = CUT, limits: tuple[int, int, int] = LIMITS, flavour: str = "plain"
) -> Outcome:
    return responses([data], flags, limits, flavour)[0]
