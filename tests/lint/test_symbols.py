"""What the built library shows to the dynamic linker, and what it asks of it."""

from __future__ import annotations

import re
import subprocess
import sys

import uvolt._core

# Names beginning with _Py that are documented (the first), or that public macros and inline
# functions of CPython's headers expand to.
PUBLIC_MACROS = set(
    """
    _PyBytes_Resize _Py_VaBuildValue_SizeT
    _PyArg_ParseTupleAndKeywords_SizeT _PyArg_ParseTuple_SizeT _Py_BuildValue_SizeT
    _PyObject_CallFunction_SizeT _PyObject_CallMethod_SizeT
    _PyByteArray_empty_string
    _PyTrash_begin _PyTrash_cond _PyTrash_end _PyThreadState_UncheckedGet
    _PyTrash_thread_deposit_object _PyTrash_thread_destroy_chain
    _PyObject_GC_New _PyObject_New _PyObject_MakeTpCall _Py_CheckFunctionResult
    _PyWeakref_CallableProxyType _PyWeakref_ProxyType _PyWeakref_RefType
    _Py_Dealloc _Py_DecRef _Py_IncRef _Py_NegativeRefcount _Py_FatalErrorFunc
    _Py_EllipsisObject _Py_FalseStruct _Py_NoneStruct _Py_NotImplementedStruct _Py_TrueStruct
    """.split()
)
if sys.version_info < (3, 11):
    PUBLIC_MACROS.add("_PyType_GetModuleByDef")  # public as PyType_GetModuleByDef from 3.11 on
# Symbols of the sanitizers' own run time.
SANITIZER = re.compile(r"__(asan|odr_asan|ubsan|lsan|sanitizer)")


def symbols(which: str) -> set[str]:
    library = uvolt._core.__file__
    command = ["nm", "--dynamic", f"--{which}-only", "--format=posix", library]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    names = {line.split()[0].split("@")[0] for line in output.splitlines()}
    return {name for name in names if not SANITIZER.match(name)}


def test_one_exported_symbol() -> None:
    assert symbols("defined") == {"PyInit__core"}


def test_no_gilstate() -> None:
    """PyGILState always means the main interpreter."""
    assert {name for name in symbols("undefined") if name.startswith("PyGILState")} == set()


def test_public_c_api_only() -> None:
    private = {name for name in symbols("undefined") if name.startswith("_Py")}
    assert private <= PUBLIC_MACROS


def test_libuv_is_linked_not_copied() -> None:
    """uv_* come from the shared library: they are asked for, never defined."""
    assert "uv_run" in symbols("undefined")
