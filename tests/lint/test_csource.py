"""Rules for the C that no compiler checks, read from the text.

What is banned, how long things get, what a collector's functions must mirror. A file or member that
is excused stands in a table here, with its reason.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

CSRC = Path(__file__).parents[2] / "csrc"
FILES = sorted(path.relative_to(CSRC).as_posix() for path in CSRC.rglob("*.[ch]"))

MAX_FILE_LINES = 800
AIM_FUNCTION_LINES = 60  # a warning
MAX_FUNCTION_LINES = 100
MAX_CONTRACT_LINES = 16
LONG_FILES: dict[str, str] = {}

BANNED = {
    r"\bPyGILState_\w+": "always the main interpreter's",
    r"\bv?sprintf\s*\(": "unbounded, use snprintf",
    r"\bstrn?cpy\s*\(": "use memcpy with a known length",
    r"\bstrn?cat\s*\(": "use memcpy with a known length",
    r"\balloca\s*\(": "unbounded stack",
    r"\bgets\s*\(": "unbounded",
    r"\bPyDict_GetItem(String)?\s*\(": "swallows exceptions, use PyDict_GetItemWithError",
    r"\bPy_AddPendingCall\s*\(": "always the main interpreter's",
}
COMPAT_ONLY = {
    r"\bPY_VERSION_HEX\b": "version differences live in base/compat.h",
    r"\bPyErr_(Fetch|Restore)\b": "use PyErr_GetRaisedException",
}
# Tables that CPython's interface takes as non-const but only reads.
API_TABLES = (
    "PyMethodDef PyMemberDef PyGetSetDef PyType_Slot PyType_Spec PyModuleDef PyModuleDef_Slot"
).split()

# Members that only one of traverse and clear has: (prefix of the pair, member) -> reason.
VISIT_ONLY = {
    ("handle", "loop"): "kept until dealloc, methods of a cleared handle need it",
    ("listener", "loop"): "kept until dealloc, methods of a cleared listener need it",
    ("stream", "loop"): "kept until dealloc, methods of a cleared transport need it",
    ("pipe", "loop"): "kept until dealloc, methods of a cleared transport need it",
    ("udp", "loop"): "kept until dealloc, methods of a cleared transport need it",
    ("tls", "loop"): "kept until dealloc, methods of a cleared transport need it",
    ("relay", "loop"): "kept until dealloc, it has the state",
    ("http_connection", "loop"): "kept until dealloc, the slot goes back through it",
    ("http_connection", "route"): "kept until dealloc, the slot goes back through it",
    ("http_pool", "loop"): "kept until dealloc, methods of a cleared pool need it",
    ("exchange", "loop"): "kept until dealloc, methods of a cleared exchange need it",
    ("route", "key"): "kept until dealloc, connections show it",
    ("coro", "loop"): "kept until it is freed, it has the state",
    ("body", "loop"): "kept until dealloc, it has the state",
    ("response", "loop"): "kept until dealloc, it has the state",
    ("request", "result"): "kept until dealloc, __aexit__() comes after the end",
    ("loop", "module"): "kept until dealloc, it owns the state",
}
CLEAR_ONLY = {
    ("handle", "repr"): "a str, in no cycle",
    ("uvolt_state", "n_##name"): "interned strings, in no cycle",
    ("uvolt_state", "kw_context"): "a tuple of strings, in no cycle",
    ("uvolt_state", "kw_loop"): "a tuple of strings, in no cycle",
    ("uvolt_state", "kw_seen"): "a tuple of strings, in no cycle",
    ("uvolt_state", "no_args"): "an empty tuple",
}


def source(name: str) -> str:
    return (CSRC / name).read_text(encoding="utf-8")


def bare(text: str) -> str:
    """The text with comments and the contents of literals blanked, its lines and columns kept."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL)


def functions(name: str) -> list[tuple[str, int, str]]:
    """Name, number of lines and text of each function: from its name to the brace in column 0."""
    pattern = r"^(?:\w[\w\s*()]*?[\s*])?(\w+)\([^;{}]*?\)\s*\n?\{(.*?)^\}"
    found = re.finditer(pattern, bare(source(name)), re.MULTILINE | re.DOTALL)
    return [(m[1], m[2].count("\n") + 1, m[2]) for m in found]


@pytest.mark.parametrize("name", FILES)
def test_opens_with_a_contract(name: str) -> None:
    text = source(name)
    assert text.startswith(f"/* {Path(name).name} - "), "the first line says what the file is"
    contract = text[: text.index("*/")]
    assert contract.count("\n") < MAX_CONTRACT_LINES


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".h")])
def test_header_guard(name: str) -> None:
    guard = "UVOLT_" + re.sub(r"\W", "_", name.upper())
    assert f"#ifndef {guard}\n#define {guard}\n" in source(name)


@pytest.mark.parametrize("name", FILES)
def test_nothing_banned(name: str) -> None:
    rules = BANNED if name == "base/compat.h" else BANNED | COMPAT_ONLY
    for number, line in enumerate(bare(source(name)).splitlines(), 1):
        for pattern, reason in rules.items():
            assert not re.search(pattern, line), f"{name}:{number}: {line.strip()} ({reason})"


# Set for the length of a call and per thread, so no interpreter sees another's: how a BIO, which
# OpenSSL calls with no argument of ours, finds its engine.
PER_THREAD = {"tls/engine.c": ["static _Thread_local tls_engine *driven;"]}


def mutable(declaration: str) -> bool:
    """Whether a definition of static storage leaves something that can be written to."""
    if any(re.search(rf"\b{table}\b", declaration) for table in API_TABLES):
        return False
    head = declaration.split("=")[0]
    last_star = head.rfind("*")
    return "const" not in head[last_star + 1 :].split() if last_star >= 0 else "const" not in head


@pytest.mark.parametrize("name", FILES)
def test_no_mutable_statics(name: str) -> None:
    """Per-module state only: sub-interpreters share statics."""
    text = re.sub(r"^\s*#(?:[^\n\\]|\\.)*", "", bare(source(name)), flags=re.MULTILINE | re.DOTALL)
    statics = re.findall(r"^[ \t]*(?:static|_Thread_local)\b[^;{}()=]*[;=]", text, re.MULTILINE)
    # In column 0: what is neither static nor a type, a label or a mere declaration.
    not_global = r"(?!static\b|extern\b|typedef\b|struct\b|union\b|enum\b|goto\b|return\b)"
    statics += re.findall(rf"^{not_global}[A-Za-z_][^:;{{}}()=]*[;=]", text, re.MULTILINE)
    found = [s for s in statics if mutable(s)]
    assert [s for s in found if s not in PER_THREAD.get(name, ())] == []


def test_mutable_is_told_from_const() -> None:
    assert mutable("static int count;")
    assert mutable("static const char *name =")
    assert mutable("static PyObject *cache[4];")
    assert not mutable("static const int sizes[] =")
    assert not mutable("static const char *const names[] =")
    assert not mutable("static PyMethodDef methods[] =")


@pytest.mark.parametrize("name", FILES)
def test_file_length(name: str) -> None:
    lines = source(name).count("\n")
    assert (lines > MAX_FILE_LINES) == (name in LONG_FILES), f"{name} has {lines} lines"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("default::UserWarning")
def test_function_length(name: str) -> None:
    for function, lines, _ in functions(name):
        assert lines <= MAX_FUNCTION_LINES, f"{function} has {lines} lines"
        if lines > AIM_FUNCTION_LINES:
            warnings.warn(f"{name}: {function} has {lines} lines", UserWarning, stacklevel=1)


def test_functions_are_seen() -> None:
    """The parser above finds the functions there are: as many as closing braces in column 0 say."""
    for name in FILES:
        text = bare(source(name))
        braces = len(re.findall(r"^\}\s*$", text, re.MULTILINE))
        assert len(functions(name)) == braces, name


def members(macros: str, body: str) -> set[str]:
    """The members named in Py_VISIT or Py_CLEAR, without the pointer that leads to them.

    Elements of a container (an index or CONTAINER_OF in the expression) are left out: what is
    visited in a loop is emptied by a function of its own.
    """
    found = re.findall(rf"\b(?:{macros})\((.*?)\);", body, re.DOTALL)
    return {
        re.sub(r"^\w+(->|\.)", "", m)
        for m in found
        if not m.startswith("Py_TYPE(") and "[" not in m and "CONTAINER_OF" not in m
    }


def excused(table: dict[tuple[str, str], str], prefix: str) -> set[str]:
    return {member for owner, member in table if owner == prefix}


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".c")])
def test_clear_mirrors_traverse(name: str) -> None:
    bodies = {function: body for function, _, body in functions(name)}
    for function, body in bodies.items():
        prefix, _, kind = function.rpartition("_")
        if kind != "traverse" or f"{prefix}_clear" not in bodies:
            continue
        visited = members("Py_VISIT", body)
        cleared = members("Py_CLEAR", bodies[f"{prefix}_clear"])
        assert visited - cleared == excused(VISIT_ONLY, prefix), f"not in {prefix}_clear"
        assert cleared - visited == excused(CLEAR_ONLY, prefix), f"not in {prefix}_traverse"
