"""Includes point to the same layer or to a lower one; headers include each other acyclically."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

CSRC = Path(__file__).parents[2] / "csrc"
FILES = sorted(path.relative_to(CSRC).as_posix() for path in CSRC.rglob("*.[ch]"))

# What each layer may include besides itself.
LOWER = {
    "base": set(),
    "proto": {"base"},
    "runtime": {"base"},
    "core": {"base", "proto", "runtime"},
    "net": {"base", "proto", "runtime", "core"},
    "tls": {"base", "proto", "runtime", "core", "net"},
    "http": {"base", "proto", "runtime", "core", "net", "tls"},
    "": {"base", "proto", "runtime", "core", "net", "tls", "http"},  # module.c
}
# Plain C: neither Python nor libuv, so that it can be tested and fuzzed on its own.
PLAIN_C = {"base", "proto"}
PLAIN_C_FILES = {"http/decode.h", "http/decode.c", "http/codec.h", "http/codec.c"}


def layer(name: str) -> str:
    return name.rpartition("/")[0]


def includes(name: str) -> list[str]:
    text = (CSRC / name).read_text(encoding="utf-8")
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.MULTILINE)


def system_includes(name: str) -> list[str]:
    text = (CSRC / name).read_text(encoding="utf-8")
    return re.findall(r"^\s*#\s*include\s+<([^>]+)>", text, re.MULTILINE)


def test_there_are_sources() -> None:
    assert len([name for name in FILES if name.endswith(".c")]) >= 10


@pytest.mark.parametrize("name", FILES)
def test_file_is_in_a_layer(name: str) -> None:
    assert layer(name) in LOWER
    assert layer(name) != "" or name == "module.c", "only module.c stands above the layers"


@pytest.mark.parametrize("name", FILES)
def test_includes_point_down(name: str) -> None:
    allowed = LOWER[layer(name)] | {layer(name)}
    for target in includes(name):
        assert target in FILES, f'{name} includes "{target}", which csrc/ does not have'
        assert layer(target) in allowed, f"{name} is below {target}"


@pytest.mark.parametrize(
    "name", [name for name in FILES if layer(name) in PLAIN_C or name in PLAIN_C_FILES]
)
def test_plain_c(name: str) -> None:
    if name != "base/compat.h":
        assert not {"Python.h", "uv.h"} & set(system_includes(name))
        assert "base/compat.h" not in includes(name)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".c")])
def test_own_header_first(name: str) -> None:
    """A header that its own file includes first is known to stand alone."""
    own = name[:-1] + "h"
    if own in FILES:
        assert includes(name)[0] == own


def test_headers_are_acyclic() -> None:
    graph = {name: includes(name) for name in FILES if name.endswith(".h")}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("headers include each other: " + " -> ".join(error.args[1]))
