"""Every public callable of uvolt._core says its signature, and the stub says the same."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from inspect import Parameter
from pathlib import Path
from typing import Any

import pytest

import uvolt
import uvolt._core as core

STUB = Path(uvolt.__file__).with_name("_core.pyi")


def stub_functions() -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """The stub's functions by name, "Type.method" or "function"."""
    found: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
                    found[f"{node.name}.{item.name}"] = item
    for item in tree.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            found[item.name] = item
    return found


def callables() -> Iterator[tuple[str, Any]]:
    """Public functions of the module, and public methods its types define themselves."""
    for name, value in sorted(vars(core).items()):
        if name.startswith("_"):
            continue
        if isinstance(value, type):
            for attribute, member in sorted(vars(value).items()):
                if callable(member) and not attribute.startswith("_"):
                    yield f"{name}.{attribute}", member
        elif callable(value):
            yield name, value


# Name, kind and default of each parameter.
Shape = list[tuple[str, Any, object]]


def runtime_shape(signature: inspect.Signature) -> Shape:
    return [(p.name, p.kind, p.default) for p in signature.parameters.values()]


def stub_default(node: ast.expr | None) -> object:
    return Parameter.empty if node is None else ast.literal_eval(node)


def stub_shape(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Shape:
    arguments = node.args
    shape: Shape = []
    positional = arguments.posonlyargs + arguments.args
    required = [None] * (len(positional) - len(arguments.defaults))
    for arg, default in zip(positional, [*required, *arguments.defaults], strict=True):
        only = arg in arguments.posonlyargs
        kind = Parameter.POSITIONAL_ONLY if only else Parameter.POSITIONAL_OR_KEYWORD
        shape.append((arg.arg, kind, stub_default(default)))
    if arguments.vararg:
        shape.append((arguments.vararg.arg, Parameter.VAR_POSITIONAL, Parameter.empty))
    for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        shape.append((arg.arg, Parameter.KEYWORD_ONLY, stub_default(default)))
    if arguments.kwarg:
        shape.append((arguments.kwarg.arg, Parameter.VAR_KEYWORD, Parameter.empty))
    return shape


CALLABLES = dict(callables())


def test_there_is_something_to_check() -> None:
    assert "counters" in CALLABLES
    assert "Loop.call_soon" in CALLABLES
    assert len(CALLABLES) >= 40


@pytest.mark.parametrize("name", CALLABLES)
def test_signature_equals_stub(name: str) -> None:
    member = CALLABLES[name]
    assert member.__text_signature__, "the docstring opens with no signature"
    stub = stub_functions().get(name)
    assert stub is not None, f"{STUB.name} has no {name}"
    runtime = runtime_shape(inspect.signature(member))
    declared = stub_shape(stub)
    if "." in name:  # self is named and passed alike by all methods
        runtime, declared = runtime[1:], declared[1:]
    assert runtime == declared


@pytest.mark.parametrize("name", CALLABLES)
def test_has_a_docstring(name: str) -> None:
    assert CALLABLES[name].__doc__


def test_stub_has_nothing_else() -> None:
    """No public function in the stub that the module lacks; properties are descriptors there."""
    for name in stub_functions().keys() - CALLABLES.keys():
        owner, _, attribute = name.rpartition(".")
        if not owner.startswith("_") and not attribute.startswith("_"):
            assert inspect.isdatadescriptor(vars(getattr(core, owner)).get(attribute)), name
