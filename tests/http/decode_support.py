"""csrc/http/decode.c as a library of its own, called with memory that ends where its page ends."""

from __future__ import annotations

import ctypes
import gzip
import mmap
import os
import shlex
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CSRC = Path(__file__).parents[2] / "csrc"
MORE, ROOM, ERROR = 0, 1, -1


def raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return coder.compress(data) + coder.flush()


# What makes each coding; the last one is deflate as some servers have it.
ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=5),
    "zstd": zstd.compress,
    "raw deflate": raw_deflate,
}


def coding_of(encoder: str) -> str:
    return encoder.removeprefix("raw ")


def build(folder: Path, lacking: str = "") -> ctypes.CDLL:
    """The library, without what is `lacking`, "br" or "zstd"."""
    library = folder / f"decode{lacking}.so"
    optional = {"br": "BROTLI", "zstd": "ZSTD"}
    names = ["zlib", "libbrotlidec", "libzstd"]
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", *names], check=True, capture_output=True, text=True
    )
    command = [*shlex.split(os.environ.get("CC", "cc")), "-std=c11", "-D_GNU_SOURCE", "-O1", "-g"]
    command += ["-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", f"-I{CSRC}"]
    command += [f"-DUVOLT_HAVE_{optional[name]}" for name in optional if name != lacking]
    command += ["-o", str(library)]
    command += [str(CSRC / "http" / name) for name in ("decode.c", "codec.c")]
    subprocess.run([*command, *flags.stdout.split()], check=True)
    decode = ctypes.CDLL(str(library))
    decode.decoder_ready.restype = ctypes.c_void_p
    decode.decoder_ready.argtypes = decode.decoder_finish.argtypes = [ctypes.c_void_p]
    decode.decoder_error.argtypes = decode.decoder_free.argtypes = [ctypes.c_void_p]
    decode.decoder_error.restype = ctypes.c_char_p
    return decode


class Guarded:
    """Memory of which any number of last bytes are had; the byte behind them faults."""

    def __init__(self, room: int) -> None:
        self._pages = -(-room // mmap.PAGESIZE) * mmap.PAGESIZE
        self._map = mmap.mmap(-1, self._pages + mmap.PAGESIZE)
        self._view = (ctypes.c_char * len(self._map)).from_buffer(self._map)
        libc = ctypes.CDLL(None, use_errno=True)
        end = ctypes.addressof(self._view) + self._pages
        assert libc.mprotect(ctypes.c_void_p(end), mmap.PAGESIZE, 0) == 0

    def last(self, n: int) -> int:
        """The address of the last n bytes."""
        assert n <= self._pages
        return ctypes.addressof(self._view) + self._pages - n

    def put(self, data: bytes) -> int:
        self._map[self._pages - len(data) : self._pages] = data
        return self.last(len(data))


class Decoder:
    """decode.h's decoder; `room` bytes are asked of it at a time."""

    def __init__(self, library: ctypes.CDLL, *lines: str, room: int = 4096) -> None:
        self._library = library
        self.room = room
        self._input = Guarded(1 << 20)
        self._output = Guarded(room)
        handle = ctypes.c_void_p()
        self.refused = False
        for line in lines:
            value = line.encode("latin-1")
            address = ctypes.c_void_p(self._input.put(value))
            status = library.decoder_add(ctypes.byref(handle), address, ctypes.c_size_t(len(value)))
            self.refused = self.refused or status == ERROR
        self._handle = handle.value if self.refused else library.decoder_ready(handle)

    @property
    def passes(self) -> bool:
        return self._handle is None

    @property
    def error(self) -> str:
        return self._library.decoder_error(self._handle).decode()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What comes of `data`, by rooms; ValueError with the decoder's text."""
        pos = ctypes.c_void_p(self._input.put(data))
        left, got = ctypes.c_size_t(len(data)), ctypes.c_size_t()
        out = ctypes.c_void_p(self._output.last(self.room))
        status = ROOM
        while status == ROOM:
            status = self._library.decoder_run(
                ctypes.c_void_p(self._handle), ctypes.byref(pos), ctypes.byref(left),
                out, ctypes.c_size_t(self.room), ctypes.byref(got),
            )  # fmt: skip
            yield ctypes.string_at(out, got.value)
            assert got.value == self.room or status != ROOM
        if status != MORE:
            raise ValueError(self.error)
        assert left.value == 0

    def finish(self) -> None:
        if self._library.decoder_finish(self._handle) != MORE:
            raise ValueError(self.error)

    def close(self) -> None:
        self._library.decoder_free(self._handle)
        self._handle = None

    def all(self, pieces: Iterable[bytes]) -> bytes:
        """All of a body that comes in pieces. Closes the decoder."""
        try:
            whole = b"".join(out for piece in pieces for out in self.feed(piece))
            self.finish()
        finally:
            self.close()
        return whole
