"""zlib, brotli and zstd get no memory at each point where they ask for some: MemoryError for who
reads, nothing lost, and the session goes on. Their malloc() is failing_malloc.c's."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
import support
from decode_support import ENCODERS

TESTS = Path(__file__).parent
TEXT = b'{"numbers": [' + b", ".join(b"%d" % (n * n) for n in range(3000)) + b"]}"

SCRIPT = """
import asyncio, ctypes, os, sys
sys.path[:0] = {paths!r}
from http_support import answers, raw, response
from test_decode_nomemory import TEXT, compressed
import uvolt, uvolt.http

memory = ctypes.CDLL(None)
fail_after, asked = memory.decoders_fail_after, memory.decoders_asked

async def read(http, url, way):
    async with http.get(url) as answer:
        if way == "read":
            return await answer.read()
        return b"".join([piece async for piece in answer.content.iter_chunked(1000)])

async def main():
    coding, way = sys.argv[1:]
    data = compressed(coding)
    sent = response(data, Content_Encoding=coding)
    contexts = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
    async with raw(answers(sent)) as server, uvolt.http.ClientSession() as http:
        assert await read(http, server.url, way) == TEXT
        pool = http.connector._pool
        failed = 0
        for n in range(200):
            fail_after(n)
            try:
                got = await read(http, server.url, way)
            except MemoryError:
                got = None
            enough = asked() <= n
            fail_after(-1)
            assert (got == TEXT) == enough, n
            assert (pool.in_use, pool.waiting) == (0, 0)
            assert await read(http, server.url, way) == TEXT
            if enough:
                break
            failed += 1
        assert failed == n > 0
        assert not contexts, contexts
        print(failed)

uvolt.run(main())
"""


def compressed(coding: str) -> bytes:
    """TEXT, encoded in the order that the codings are named."""
    data = TEXT
    for name in coding.split(", "):
        data = ENCODERS[name](data)
    return data


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("malloc") / "failing_malloc.so"
    command = [os.environ.get("CC", "gcc"), "-shared", "-fPIC", "-O1", "-o", str(path)]
    subprocess.run([*command, str(TESTS / "failing_malloc.c"), "-ldl"], check=True)
    assert ctypes.CDLL(str(path)).decoders_asked() == 0
    return path


@pytest.mark.once
@pytest.mark.skipif(support.SANITIZED, reason="the sanitizer's malloc is not to be replaced")
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, br", "zstd, gzip"])
@pytest.mark.parametrize("way", ["read", "pieces"])
def test_no_memory(library: Path, coding: str, way: str) -> None:
    script = SCRIPT.format(paths=[str(TESTS), str(TESTS.parent)])
    done = subprocess.run(
        [sys.executable, "-c", script, coding, way],
        capture_output=True,
        text=True,
        env={**os.environ, "LD_PRELOAD": str(library)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) >= coding.count(",") + 1  # points at which it failed
