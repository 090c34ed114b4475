"""Builds uvolt._core: each csrc/**/*.c a unit of its own, compiled in parallel, on libuv and zlib.

All else about the package is in pyproject.toml. Switches, read from the environment (set to 1):
UVOLT_WERROR (warnings on and fatal), UVOLT_DEBUG (-O0 -g, assertions on), UVOLT_ASAN (address and
undefined sanitizers, assertions on), UVOLT_NO_POOLS (no free lists; implied by UVOLT_ASAN),
UVOLT_NO_LTO (no optimisation across units; implied by UVOLT_DEBUG and UVOLT_ASAN).
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zlib import crc32

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

# What pkg-config must find, and from which version on.
NEEDED = {"libuv": "1.43", "zlib": "1.2"}
LACKING = (
    "uvolt: {why}; install libuv's and zlib's headers and pkg-config first: "
    "`apt install libuv1-dev zlib1g-dev pkg-config`, `dnf install libuv-devel zlib-devel pkgconf` "
    "or `brew install libuv zlib pkgconf`"
)
# Content codings that are compiled in where their decoder is there; `uvolt info` tells.
CODINGS = {"libbrotlidec": ("1.0", "UVOLT_HAVE_BROTLI"), "libzstd": ("1.4", "UVOLT_HAVE_ZSTD")}
# Commands that compile. The others (egg_info, dist_info, sdist) work without the libraries.
BUILDING = {"build", "build_ext", "bdist_wheel", "editable_wheel", "install", "develop"}
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes", "-Werror"]
LTO = ["-flto=auto"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]

ROOT = Path(__file__).resolve().parent


def switch(name: str) -> bool:
    """Whether the environment turns the build switch UVOLT_<name> on."""
    return os.environ.get(f"UVOLT_{name}", "0") not in ("", "0")


def pkg_config(*args: str) -> subprocess.CompletedProcess[str]:
    tool = os.environ.get("PKG_CONFIG", "pkg-config")
    return subprocess.run([tool, *args], capture_output=True, text=True, check=False)


def found(name: str, least: str) -> bool:
    return pkg_config(f"--atleast-version={least}", name).returncode == 0


@functools.cache
def library_flags() -> tuple[list[str], list[str]]:
    """Compiler and linker flags for libuv and the decoders. Ends setup with one line where one
    that is needed cannot be had."""
    try:
        for name, least in NEEDED.items():
            if pkg_config("--exists", name).returncode != 0:
                raise SystemExit(LACKING.format(why=f"{name} was not found by pkg-config"))
            if not found(name, least):
                have = pkg_config("--modversion", name).stdout.strip()
                raise SystemExit(LACKING.format(why=f"{name} >= {least} needed, {have} found"))
        codings = {name: macro for name, (least, macro) in CODINGS.items() if found(name, least)}
        names = [*NEEDED, *codings]
        macros = [f"-D{macro}" for macro in codings.values()]
        compile_flags = pkg_config("--cflags", *names).stdout.split()
        return compile_flags + macros, pkg_config("--libs", *names).stdout.split()
    except OSError:
        raise SystemExit(LACKING.format(why="pkg-config was not found")) from None


def own_flags() -> tuple[list[str], list[str]]:
    """Compiler and linker flags that come from no library."""
    compile_flags = ["-std=c11", "-D_GNU_SOURCE", "-fvisibility=hidden", "-Icsrc"]
    link_flags: list[str] = ["-ldl"]  # dlopen(), before glibc 2.34
    if switch("ASAN"):
        compile_flags += ["-O1", "-g", "-fno-omit-frame-pointer", "-UNDEBUG", *SANITIZE]
        link_flags += SANITIZE
    elif switch("DEBUG"):
        compile_flags += ["-O0", "-g3", "-UNDEBUG"]
    else:
        compile_flags += ["-O3", "-DNDEBUG"]
    if switch("NO_POOLS") or switch("ASAN"):
        compile_flags.append("-DUVOLT_NO_POOLS")
    if switch("WERROR"):
        compile_flags += WARNINGS
    return compile_flags, link_flags


def lto_flags(compiler) -> list[str]:
    """The flags to optimise across units, if this compiler and its linker know them."""
    if any(switch(name) for name in ("ASAN", "DEBUG", "NO_LTO")):
        return []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("int probe(void) { return 0; }\n")
        try:
            objects = compiler.compile([str(source)], output_dir=folder, extra_postargs=LTO)
            target = str(Path(folder, "probe.so"))
            compiler.link_shared_object(objects, target, extra_postargs=[*LTO, "-O3"])
        except (CompileError, LinkError):
            return []
    return LTO


class BuildExt(build_ext):
    """build_ext that compiles units side by side and keeps the objects of each set of flags apart.

    It links every time: whatever library an earlier build left there, with other flags or for
    another Python of the same version, is replaced.
    """

    def build_extension(self, ext: Extension) -> None:
        library_compile, library_link = library_flags()
        compile_flags, link_flags = own_flags()
        lto = lto_flags(self.compiler)
        compile_flags += lto
        link_flags += [*lto, "-O3"] if lto else []
        ext.extra_compile_args = [*compile_flags, *library_compile]
        ext.extra_link_args = [*link_flags, *library_link]
        inherited = [os.environ.get(name, "") for name in ("CC", "CFLAGS", "CPPFLAGS")]
        variant = [sys.version, sys.base_prefix, *ext.extra_compile_args, *inherited]
        self.build_temp = os.path.join(self.build_temp, f"{crc32(repr(variant).encode()):08x}")
        self.compiler.compile = functools.partial(
            compile_stale, self.compiler, self.compiler.compile, bool(self.force)
        )
        self.force = self.compiler.force = True
        super().build_extension(ext)


def compile_stale(compiler, compile_some, force, sources, output_dir=None, depends=(), **options):
    """CCompiler.compile, given one source at a time from as many threads as there are cores.

    An object newer than its source and than every file of `depends` is kept, unless `force`.
    """
    objects = compiler.object_filenames(sources, output_dir=output_dir)
    shared = max((os.path.getmtime(name) for name in depends), default=0)
    stale = []
    for source, name in zip(sources, objects, strict=True):
        os.makedirs(os.path.dirname(name), exist_ok=True)  # threads would race for it
        newest = max(shared, os.path.getmtime(source))
        if force or not os.path.exists(name) or os.path.getmtime(name) <= newest:
            stale.append(source)

    def one(source):
        compile_some([source], output_dir=output_dir, depends=depends, **options)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, stale))
    return objects


def files(pattern: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(f"csrc/{pattern}"))


if BUILDING.intersection(sys.argv):
    if sys.platform != "linux":
        raise SystemExit("uvolt: runs on Linux only")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise SystemExit("uvolt: free-threaded builds of Python are not supported")
    library_flags()  # before setuptools prints anything, so that the one line stands alone

setup(
    ext_modules=[
        Extension(
            "uvolt._core",
            sources=files("**/*.c"),
            depends=[*files("**/*.h"), "setup.py"],
        )
    ],
    cmdclass={"build_ext": BuildExt},
)
