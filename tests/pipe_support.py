"""What the tests of pipes have in common."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

import support

KIB = 1024
MIB = KIB * KIB


def run(loop, main):
    return loop.run_until_complete(asyncio.wait_for(main(), 30 * support.SLOW))


def fifo(mode: str):
    """A pipe: the file object that a transport is to have, and the other end's descriptor."""
    r, w = os.pipe()
    ours, theirs = (r, w) if mode == "r" else (w, r)
    return open(ours, mode + "b", buffering=0), theirs


async def reading(pipe, **on):
    loop = asyncio.get_running_loop()
    return await loop.connect_read_pipe(lambda: support.Recorder(**on), pipe)


async def writing(pipe, **on):
    loop = asyncio.get_running_loop()
    return await loop.connect_write_pipe(lambda: support.Recorder(**on), pipe)


def is_reading(transport) -> bool:
    """transport.is_reading(), which asyncio's pipes have from Python 3.11 on."""
    if sys.version_info < (3, 11) and type(transport).__module__.startswith("asyncio"):
        return not transport._paused and not transport._closing
    return transport.is_reading()


def drain(fd: int) -> int:
    """Read what is there from a non-blocking descriptor. How much that was."""
    got = 0
    with contextlib.suppress(BlockingIOError):
        while chunk := os.read(fd, MIB):
            got += len(chunk)
    return got


def read(fd: int, size: int) -> bytes:
    """Wait for that many bytes: a terminal hands them on in its own time."""
    data = b""
    while len(data) < size:
        data += os.read(fd, size - len(data))
    return data


def fill(transport, part=b"x" * 65536) -> int:
    """Write until the pipe takes no more. How much was written."""
    written = 0
    while not transport.get_write_buffer_size():
        transport.write(part)
        written += len(part)
    return written
